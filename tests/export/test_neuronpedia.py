"""What Neuronpedia would import."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.errors import UnusablePath
from seesay.explainers.config import Setting
from seesay.export import neuronpedia
from seesay.export.neuronpedia import places_of, write_lines
from seesay.export.source import Source
from seesay.records import Strength
from seesay.split import split_of
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from tests.comparison.making import making, said

COLUMNS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "model": {
        "id": str, "displayName": str, "displayNameShort": str, "owner": str, "layers": int, "neuronsPerLayer": int,
        "instruct": bool, "inferenceEnabled": bool, "creatorId": str, "visibility": str,
    },
    "release": {"name": str, "description": str, "creatorName": str, "urls": list, "creatorId": str, "visibility": str},
    "sourceset": {
        "modelId": str, "name": str, "description": str, "creatorName": str, "urls": list, "releaseName": str,
        "hasDashboards": bool, "creatorId": str, "visibility": str,
    },
    "source": {
        "id": str, "modelId": str, "setName": str, "hasDashboards": bool, "inferenceEnabled": bool,
        "dataset": (str, type(None)), "num_prompts": (int, type(None)), "notes": str, "creatorId": str,
        "visibility": str,
    },
    "features": {
        "modelId": str, "layer": str, "index": str, "creatorId": str, "sourceSetName": str, "hasVector": bool,
        "maxActApprox": float, "frac_nonzero": float, "freq_hist_data_bar_values": list,
        "freq_hist_data_bar_heights": list, "topkCosSimIndices": list, "topkCosSimValues": list,
    },
    "activations": {
        "id": str, "modelId": str, "layer": str, "index": str, "tokens": list, "values": list, "maxValue": float,
        "maxValueTokenIndex": int, "minValue": float, "dataIndex": str, "dataSource": (str, type(None)),
        "creatorId": str, "binMin": float, "binMax": float, "binContains": float,
    },
    "explanations": {
        "id": str, "modelId": str, "layer": str, "index": str, "description": str, "authorId": str,
        "typeName": type(None), "explanationModelName": type(None), "notes": str,
    },
}  # fmt: skip
"""Columns and types of the tables Model, SourceRelease, SourceSet, Source, Neuron, Activation and Explanation, in
apps/webapp/prisma/schema.prisma of github.com/hijohnnylin/neuronpedia at ebb8426: all that have no default are here."""


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    files = sorted(folder.rglob(f"{kind}/batch-*.jsonl.gz")) or sorted(folder.rglob(f"{kind}.jsonl"))
    texts = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files]
    return [json.loads(line) for text in texts for line in text.decode().split("\n") if line]


@pytest.fixture(scope="module")
def written(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("neuronpedia")
    with Run.open(filled) as run:
        write_lines(folder, [Source(run, "late")])
    return folder


def test_folders_and_batches_are_where_the_importer_looks(written: Path) -> None:
    inner = written / "world-m" / "5-world-late"
    assert sorted(path.name for path in inner.iterdir()) == [
        "activations", "explanations", "features", "model.jsonl", "release.jsonl", "source.jsonl", "sourceset.jsonl",
    ]  # fmt: skip
    for kind in ("activations", "explanations", "features"):
        assert [path.name for path in (inner / kind).iterdir()] == ["batch-0.jsonl.gz"]


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_line_has_the_columns_of_its_table(written: Path, kind: str) -> None:
    found = lines(written, kind)
    assert found
    for line in found:
        assert set(line) == set(COLUMNS[kind])
        assert all(isinstance(line[name], types) for name, types in COLUMNS[kind].items())


def test_what_lines_refer_to_is_there(written: Path) -> None:
    (model,), (release,), (source_set,), (source,) = (
        lines(written, kind) for kind in ("model", "release", "sourceset", "source")
    )
    assert source_set["modelId"] == source["modelId"] == model["id"]
    assert (source_set["releaseName"], source["setName"]) == (release["name"], source_set["name"])
    there = {(line["modelId"], line["layer"], line["index"]) for line in lines(written, "features")}
    assert {(model_id, layer) for model_id, layer, _ in there} == {(model["id"], source["id"])}
    for kind in ("activations", "explanations"):
        found = lines(written, kind)
        assert {(line["modelId"], line["layer"], line["index"]) for line in found} <= there
        assert len({line["id"] for line in found}) == len(found)


def test_a_token_is_a_patch_and_its_value_is_the_heatmaps(written: Path, filled: Path) -> None:
    told = {(line["index"], line["dataIndex"]): line for line in lines(written, "activations")}
    n = 0
    with Run.open(filled) as run:
        for stats in features(run):
            for part in ("explaining", "scoring"):
                for each in exemplars(run, stats.feature_id, part, "top"):
                    line = told[str(stats.feature_id), each.image.pixel_hash]
                    for token, value in zip(line["tokens"], line["values"], strict=True):
                        row, column = map(int, token[1:].split("c"))
                        assert np.float32(value) == each.dense()[row, column]
                    assert line["values"][line["maxValueTokenIndex"]] == line["maxValue"] == each.peak
                    n += 1
    assert n == len(told) > 0


def test_features_keep_their_statistics(written: Path, filled: Path) -> None:
    told = {line["index"]: line for line in lines(written, "features")}
    with Run.open(filled) as run:
        for stats in features(run):
            line = told.pop(str(stats.feature_id))
            assert (line["maxActApprox"], line["frac_nonzero"]) == (stats.max_activation, stats.frequency)
            assert sum(line["freq_hist_data_bar_heights"]) == sum(stats.histogram)
            assert len(line["freq_hist_data_bar_values"]) == len(line["freq_hist_data_bar_heights"])
    assert not told


def test_explanations_are_words_of_the_features_alone(written: Path) -> None:
    found = lines(written, "explanations")
    assert {line["description"] for line in found if "random" in line["notes"] or not line["description"]} == set()
    assert {line["notes"].split(",")[0] for line in found} == {"seesay: topk by world:M", "seesay: steering by world:M"}


def test_strengths_that_were_only_tried_are_left_out_unless_there_are_no_others(tmp_path: Path) -> None:
    tried = [each for each in range(40) if split_of(each) == "validation"]
    weak = Setting("steering", Strength(1.0, "residual_norm"))
    with making(tmp_path / "run", 40) as run:
        said(run, dict.fromkeys(tried, "tried"), weak)
        source = Source(run, "x")
        write_lines(tmp_path / "before", [source])
        said(run, dict.fromkeys(range(40), "chosen"), Setting("steering", Strength(2.0, "residual_norm")))
        write_lines(tmp_path / "after", [Source(run, "x")])
    assert {line["description"] for line in lines(tmp_path / "before", "explanations")} == {"tried"}
    assert {line["description"] for line in lines(tmp_path / "after", "explanations")} == {"chosen"}


def test_a_run_without_images_has_features_to_refer_to(tmp_path: Path) -> None:
    with Run.writing(tmp_path / "run", {"subject": "m", "layer": 1, "sae": "s", "identity": "i"}) as run:
        said(run, {3: "a red car", 9: "a tree"})
        assert write_lines(tmp_path / "out", [Source(run, "x")]) == {"features": 2, "activations": 0, "explanations": 2}
    assert {line["index"] for line in lines(tmp_path / "out", "features")} == {"3", "9"}
    assert "maxActApprox" not in lines(tmp_path / "out", "features")[0]


def test_runs_of_one_sae_have_places_of_their_own(filled: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(filled, tmp_path / "other"))
    with Run.open(filled) as one, Run.open(other) as two:
        places = places_of([Source(one, "one"), Source(two, "two")])
        write_lines(tmp_path / "out", [Source(one, "one"), Source(two, "two")])
    assert [place.source for place in places] == ["5-world-late__one-0", "5-world-late__two-1"]
    for kind in ("features", "activations", "explanations"):
        assert {line["layer"] for line in lines(tmp_path / "out", kind)} == {place.source for place in places}


def test_batches_are_of_a_bounded_size_and_the_same_each_time(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuronpedia, "_PER_BATCH", 16)
    with Run.open(filled) as run:
        for name in ("one", "two"):
            write_lines(tmp_path / name, [Source(run, "late")])
    batches = sorted((tmp_path / "one").rglob("features/*"))
    assert [path.name for path in batches] == [f"batch-{n}.jsonl.gz" for n in range(3)]
    assert [len(gzip.decompress(path.read_bytes()).splitlines()) for path in batches] == [16, 16, 8]
    files = [path for path in sorted((tmp_path / "one").rglob("*")) if path.is_file()]
    for path in files:
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_it_is_private_unless_it_is_asked_to_be_public(written: Path, filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        write_lines(tmp_path, [Source(run, "late")], is_public=True)
    for kind in ("model", "release", "sourceset", "source"):
        assert [line["visibility"] for line in lines(written, kind)] == ["PRIVATE"]
        assert [line["visibility"] for line in lines(tmp_path, kind)] == ["PUBLIC"]


@pytest.mark.parametrize("name", ["../../../etc", "/", "\n", "..", "a/../../b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with making(tmp_path / "run", 2, sae=name) as run:
        said(run, {0: "a car"})
        run.rows("UPDATE run SET value = ? WHERE name = 'subject'", (json.dumps(f"x{name}x"),))
        (tmp_path / "a" / "b").mkdir(parents=True)
        write_lines(tmp_path / "a" / "b", [Source(run, name)])
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    (model,) = (tmp_path / "a" / "b").iterdir()
    assert len(list(model.iterdir())) == 1


def test_a_run_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path) -> None:
    with making(tmp_path / "run", 2) as run:
        run.rows("DELETE FROM run WHERE name = 'layer'")
        with pytest.raises(UnusablePath, match="does not say which model and block"):
            write_lines(tmp_path / "out", [Source(run, "x")])
