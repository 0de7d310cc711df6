"""Tables say what runs say."""

import json
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from seesay.errors import FeatureNotFound, UnreadableImage, UnusablePath
from seesay.explainers.config import Setting
from seesay.export import parquet
from seesay.export import source as reading
from seesay.export.config import Selection
from seesay.export.parquet import write_tables
from seesay.export.schema import TABLES
from seesay.export.source import Source, check_features
from seesay.records import Explanation
from seesay.scorers.config import SCORES
from seesay.split import split_of
from seesay.store.exemplars import exemplars, features
from seesay.store.explanations import add, explanations, settings
from seesay.store.run import Run
from seesay.store.trust import trusts
from tests.collected import STEERING, WORDS
from tests.comparison.making import making, said, scored


@pytest.fixture(scope="module")
def tables(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    with Run.open(filled) as run:
        write_tables(folder, [Source(run, "late")], images=True)
    return folder


@pytest.fixture
def run(filled: Path) -> Iterator[Run]:
    with Run.open(filled) as opened:
        yield opened


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def exported(folder: Path, *sources: Source, images: bool = False) -> Path:
    folder.mkdir()
    write_tables(folder, sources, images=images)
    return folder


@pytest.mark.parametrize("table", TABLES)
def test_files_have_the_documented_columns_with_their_meaning(tables: Path, table: str) -> None:
    schema = pq.read_schema(tables / f"{table}.parquet")
    assert schema.equals(TABLES[table])
    assert all(field.metadata[b"meaning"] == TABLES[table].field(field.name).metadata[b"meaning"] for field in schema)


def test_every_explanation_is_told_with_its_setting_controls_too(tables: Path, run: Run) -> None:
    found = rows(tables, "explanations")
    told = {(row["setting"], row["feature_id"], row["sample"]): row for row in found}
    assert len(told) == len(found)
    n = 0
    for setting in settings(run):
        for feature_id, several in explanations(run, setting).items():
            for each in several:
                row = told[setting.identity, feature_id, each.sample]
                assert (row["text"], row["raw_text"], row["status"]) == (each.text, each.raw_text, each.status)
                assert (row["method"], row["control"], row["explainer"]) == (each.method, each.control, "world:M")
                assert row["strength"] == (each.strength and each.strength.value)
                n += 1
    assert n == len(found)
    assert {row["control"] for row in found} == {None, "random"}


def test_trust_is_told_of_the_words_that_it_was_told_of(tables: Path, run: Run, tmp_path: Path) -> None:
    sure = [row for row in rows(tables, "explanations") if row["trust"] is not None]
    assert {row["feature_id"] for row in sure} == {each.feature_id for each in trusts(run)}
    assert {(row["method"], row["control"], row["trust"]) for row in sure} == {("topk", None, 0.9)}
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    with Run.writing(folder) as changed:
        changed.rows("UPDATE explanations SET text = 'asked again'")
        after = exported(tmp_path / "out", Source(changed, "x"))
    assert all(row["trust"] is None for row in rows(after, "explanations"))


def test_every_number_is_told_with_what_it_is_of(tmp_path: Path) -> None:
    with making(tmp_path / "run", 4) as run:
        words = {0: "a red car", 1: ["a tree", "grass"], 2: "an edge"}
        steered = said(run, words, STEERING)
        others = {0: {"precision": 0.25}, 1: {}, 2: {}}
        scored(run, "iou", steered, {0: 0.5, 1: [0.1, 0.2], 2: None}, words, others=others)
        scored(run, "iou", steered, {0: 0.75}, "a red car", aid="permuted")
        scored(run, "iou", steered, {0: 1.0}, words, facts={"holding": "shared"})
        scored(run, "distinctness", None, {3: 0.5}, "", facts={"algorithm": 1})
        found = rows(exported(tmp_path / "out", Source(run, "x")), "scores")
    names = ("score", "name", "is_primary", "feature_id", "sample", "value", "aid", "holding", "method", "text")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("iou", "iou", True, 0, 0, 0.5, None, "held-out", "steering", "a red car"),
        ("iou", "precision", False, 0, 0, 0.25, None, "held-out", "steering", "a red car"),
        ("iou", "iou", True, 1, 0, 0.1, None, "held-out", "steering", "a tree"),
        ("iou", "iou", True, 1, 1, 0.2, None, "held-out", "steering", "grass"),
        ("iou", "iou", True, 2, 0, None, None, "held-out", "steering", "an edge"),
        ("iou", "iou", True, 0, 0, 0.75, "permuted", "held-out", "steering", "a red car"),
        ("iou", "iou", True, 0, 0, 1.0, None, "shared", "steering", "a red car"),
        ("distinctness", SCORES["distinctness"].value, True, 3, 0, 0.5, None, None, None, ""),
    ]
    assert {row["scoring"] for row in found} == {row["scoring"] for row in rows(tmp_path / "out", "scorings")}
    assert {row["setting"] for row in found} - {None} == {row["setting"] for row in rows(tmp_path / "out", "settings")}


def test_numbers_of_words_that_were_asked_for_again_are_left_out(tmp_path: Path) -> None:
    with making(tmp_path / "run", 2) as run:
        setting = said(run, {0: "a red car", 1: "a tree"})
        scored(run, "iou", setting, {0: 0.5, 1: 0.5}, {0: "a blue car", 1: "a tree"})
        found = rows(exported(tmp_path / "out", Source(run, "x")), "scores")
    assert [row["feature_id"] for row in found] == [1]


def test_features_come_with_their_statistics(tables: Path, run: Run) -> None:
    told = {row["feature_id"]: row for row in rows(tables, "features")}
    for each in features(run):
        row = told.pop(each.feature_id)
        assert (row["frequency"], row["max_activation"], row["split"]) == (
            each.frequency,
            each.max_activation,
            each.split,
        )
        assert tuple(row["histogram"]) == each.histogram
        assert [(near["feature_id"], near["cosine"]) for near in row["nearest"]] == list(each.nearest)
    assert not told


def test_exemplars_come_with_their_heatmaps_and_images(tables: Path, run: Run) -> None:
    told = {(row["feature_id"], row["part"], row["kind"], row["rank"]): row for row in rows(tables, "exemplars")}
    n = 0
    for stats in features(run):
        for part in ("explaining", "scoring"):
            for kind in ("top", "quantile", "inactive"):
                for each in exemplars(run, stats.feature_id, part, kind):
                    row = told[stats.feature_id, part, kind, each.rank]
                    heatmap = np.zeros((row["grid_rows"], row["grid_columns"]), np.float32)
                    heatmap.reshape(-1)[row["heatmap_patches"]] = row["heatmap_activations"]
                    assert (heatmap == each.dense()).all()
                    assert (row["image"], row["peak"]) == (each.image.pixel_hash, each.peak)
                    assert tuple(row["box"]) == each.image.box
                    n += 1
    assert n == len(told)
    kept = {row["image"]: row for row in rows(tables, "images")}
    assert {row["image"] for row in told.values()} <= set(kept)
    for pixel_hash, row in kept.items():
        assert row["webp"] == run.thumbnails.content(pixel_hash)


def test_the_images_that_an_explainer_was_shown_are_told_by_their_hashes(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        (shown, pixel_hash), *_ = run.rows("SELECT image_id, pixel_hash FROM images")
        setting = settings(run)[0]
        add(run, setting, [Explanation(7, "topk", None, "x", "x", "ok", None, None, image_ids=(shown,))])
        found = rows(exported(tmp_path / "out", Source(run, "x")), "explanations")
        assert [row["images"] for row in found if row["feature_id"] == 7] == [[pixel_hash]]
        add(run, setting, [Explanation(7, "topk", None, "x", "x", "ok", None, None, image_ids=(12345,))])
        with pytest.raises(UnusablePath, match="image 12345 that an explainer was shown"):
            exported(tmp_path / "other", Source(run, "x"))


def test_a_selection_holds_in_every_table(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        ids = [each.feature_id for each in features(run)]
        few = frozenset(ids[:5])
        source = Source(run, "x", Selection(few, ["steering"], "test"))
        out = exported(tmp_path / "out", source, images=True)
    expected = {each for each in few if split_of(each) == "test"}
    assert expected < few
    for table in ("features", "explanations", "exemplars", "scores"):
        assert {row["feature_id"] for row in rows(out, table)} == expected
    for table in ("settings", "explanations", "scorings", "scores"):
        assert {row["method"] for row in rows(out, table) if "method" in row} <= {"steering"}
    assert len(rows(out, "settings")) == 1
    assert {row["image"] for row in rows(out, "images")} == {row["image"] for row in rows(out, "exemplars")}


def test_a_feature_that_no_run_has_is_refused(filled: Path) -> None:
    with Run.open(filled) as run:
        check_features([run], (features(run)[0].feature_id,))
        with pytest.raises(FeatureNotFound, match="feature 999999999"):
            check_features([run], (999999999,))


def test_runs_are_told_apart_and_their_images_are_there_once(filled: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(filled, tmp_path / "other"))
    with Run.open(filled) as one, Run.open(other) as two:
        out = exported(tmp_path / "out", Source(one, "one"), Source(two, "two"), images=True)
        n_images = len(one.rows("SELECT 1 FROM images"))
    for table in ("runs", "settings", "features", "explanations", "scorings", "scores", "exemplars"):
        found = [row["run"] for row in rows(out, table)]
        assert found.count("one") == found.count("two") > 0
    assert len(rows(out, "images")) == n_images


def test_two_runs_on_other_features_share_their_images(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        ids = [each.feature_id for each in features(run)]
        halves = [Source(run, str(n), Selection(frozenset(ids[n::2]))) for n in range(2)]
        found = [row["image"] for row in rows(exported(tmp_path / "out", *halves, images=True), "images")]
    used = {row["image"] for row in rows(tmp_path / "out", "exemplars")}
    assert len(found) == len(set(found))
    assert set(found) == used


def test_a_run_without_images_has_its_words(tmp_path: Path) -> None:
    with Run.writing(tmp_path / "run", {"subject": "m", "layer": 1, "sae": "s", "identity": "i"}) as run:
        said(run, {3: "a red car", 9: None, 2**40: ""})
        out = exported(tmp_path / "out", Source(run, "x"), images=True)
    found = rows(out, "explanations")
    assert [(row["feature_id"], row["status"], row["split"]) for row in found] == [
        (each, status, split_of(each)) for each, status in ((3, "ok"), (9, "failed"), (2**40, "empty"))
    ]
    assert rows(out, "features") == rows(out, "images") == []
    assert rows(out, "runs")[0]["n_images"] is None


def test_nothing_says_where_things_lie(tmp_path: Path) -> None:
    secret = "/home/ann/secret"
    with making(tmp_path / "run", 2, sae=f"{secret}/sae", images=f"{secret}/images") as run:
        run.rows("UPDATE run SET value = ? WHERE name = 'subject'", (json.dumps(f"{secret}/gemma"),))
        setting = said(run, {0: "a car"}, explainer=f"{secret}/big", vocabulary=f"{secret}/words.txt")
        failed = Explanation(1, "topk", None, "", "", "failed", None, None, reason=f"no room in {secret}/run/run.db")
        add(run, setting, [failed])
        scored(run, "iou", setting, {0: 0.5}, "a car", facts={"segmenter": {"name": f"{secret}/sam"}})
        out = exported(tmp_path / "out", Source(run, "x"))
    for table in TABLES.keys() - {"images"}:
        assert "ann" not in str(rows(out, table)).replace("scanned", "")
    (of,) = rows(out, "runs")
    assert (of["subject"], of["sae"], of["images"]) == ("gemma", "sae", "images")
    assert rows(out, "settings")[0]["explainer"] == "big"
    assert {row["reason"] for row in rows(out, "explanations")} == {"", "no room in run.db"}


@pytest.mark.parametrize("what", ["link", "linked folder", "appended", "no picture", "missing", "large picture"])
def test_a_file_that_is_no_thumbnail_is_never_sent_along(filled: Path, tmp_path: Path, what: str) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    victim = next((folder / "images").rglob("*.webp"))
    private = tmp_path / "private.webp"
    shutil.copy(victim, private)
    match what:
        case "link":
            victim.unlink()
            victim.symlink_to(private)
        case "linked folder":
            shutil.move(victim.parent, tmp_path / "elsewhere")
            victim.parent.symlink_to(tmp_path / "elsewhere")
        case "appended":
            victim.write_bytes(victim.read_bytes() + b"what else there is")
        case "no picture":
            victim.write_bytes(b"RIFF" + (12).to_bytes(4, "little") + b"WEBPVP8 ....")
        case "large picture":
            from PIL import Image

            Image.new("RGB", (600, 600)).save(victim)
        case _:
            victim.unlink()
    with Run.open(folder) as run, pytest.raises(UnreadableImage):
        exported(tmp_path / "out", Source(run, "x"), images=True)


def test_a_heatmap_without_numbers_is_refused(filled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(folder) as run:
        query = "SELECT feature_id, heatmaps FROM exemplars WHERE part = 'explaining' AND kind = 'top' LIMIT 1"
        ((feature_id, data),) = run.rows(query)
        bad = data[:4] + np.float32(np.inf).tobytes() + data[8:]
        run.rows(
            "UPDATE exemplars SET heatmaps = ? WHERE feature_id = ? AND part = 'explaining' AND kind = 'top'",
            (bad, feature_id),
        )
        with pytest.raises(UnusablePath, match=f"a heatmap of feature {feature_id}"):
            exported(tmp_path / "out", Source(run, "x"))


def test_a_number_that_no_column_holds_is_refused(tmp_path: Path) -> None:
    with making(tmp_path / "run", 2) as run:
        said(run, {0: "a car"}, coarse=2**70)
        with pytest.raises(UnusablePath, match="settings of x are damaged"):
            exported(tmp_path / "out", Source(run, "x"))


def test_the_same_run_gives_the_same_bytes(filled: Path, tables: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        again = exported(tmp_path / "out", Source(run, "late"), images=True)
    for table in TABLES:
        assert (again / f"{table}.parquet").read_bytes() == (tables / f"{table}.parquet").read_bytes()


def test_pages_and_groups_change_nothing(
    filled: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 7)
    monkeypatch.setattr(parquet, "_MANY", 10)
    told: list[int] = []
    with Run.open(filled) as run:
        out = exported(tmp_path / "out", source := Source(run, "late", on_features=told.append), images=True)
        assert sum(told) == source.n_features("features", "explanations", "scores", "exemplars")
    assert pq.ParquetFile(out / "explanations.parquet").num_row_groups > 10

    def in_order(folder: Path, table: str) -> list[str]:
        return sorted(map(str, rows(folder, table)))

    for table in TABLES:
        assert in_order(out, table) == in_order(tables, table)


def peak_of_export(folder: Path, n_features: int) -> int:
    """Bytes that Python holds at most while a run of so many features is exported."""
    with making(folder / "run", n_features) as run:
        words = {each: WORDS[each % len(WORDS)] for each in range(n_features)}
        for setting in (Setting("topk"), Setting("topk", control="random")):
            scored(run, "iou", said(run, words, setting), dict.fromkeys(words, 0.5), words)
        tracemalloc.start()
        try:
            exported(folder / "out", Source(run, "x"))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.usefixtures("unchecked")
def test_memory_does_not_grow_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PAGE", 50)
    monkeypatch.setattr(parquet, "_MANY", 50)
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", {})
    peaks: list[int] = []
    for n_features in (100, 1000):
        (tmp_path / str(n_features)).mkdir()
        peaks.append(peak_of_export(tmp_path / str(n_features), n_features))
    assert peaks[1] < 1.5 * peaks[0]


def test_pandas_opens_every_table(tables: Path) -> None:
    for table in TABLES:
        frame = pd.read_parquet(tables / f"{table}.parquet")
        assert list(frame.columns) == TABLES[table].names
        assert len(frame) == len(rows(tables, table)) > 0
    scores = pd.read_parquet(tables / "scores.parquet")
    means = scores[scores.is_primary & scores.control.isna()].groupby("method")["value"].mean()
    assert means["steering"] == pytest.approx(0.2)


def test_a_dataset_of_pyarrow_opens_every_table(tables: Path) -> None:
    for table in TABLES:
        assert ds.dataset(tables / f"{table}.parquet").count_rows() == len(rows(tables, table))
    found = ds.dataset(tables / "explanations.parquet").to_table(filter=ds.field("method") == "steering")
    assert set(found["strength_unit"].to_pylist()) == {"residual_norm"}


def test_polars_opens_every_table(tables: Path) -> None:
    polars = pytest.importorskip("polars")
    for table in TABLES:
        assert polars.read_parquet(tables / f"{table}.parquet").columns == TABLES[table].names


def test_duckdb_opens_every_table(tables: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    for table in TABLES:
        assert duckdb.sql(f"SELECT * FROM '{tables / table}.parquet'").columns == TABLES[table].names
