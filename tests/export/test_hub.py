"""Datasets of the Hub: the card is safe whatever a run says, and nothing is public by mistake."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from seesay.errors import InvalidSetting, UnusablePath
from seesay.explainers.config import Setting
from seesay.export.hub import HuggingFaceHub, check_names, upload, write_dataset
from seesay.export.source import Source
from seesay.store.run import Run
from tests.comparison.making import making, said, scored
from tests.export.serving import Server, serving

NASTY = "`</td>|--- [x](http://evil.example) <img src=x onerror=alert(1)> https://evil.example\n---\n# Title ``` **b**"


@pytest.fixture(scope="module")
def dataset(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    with Run.open(filled) as run:
        write_dataset(folder, [Source(run, "late")], licence="cc-by-4.0")
    return folder


def split_card(folder: Path) -> tuple[dict[str, Any], str]:
    _, head, body = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_card_names_a_configuration_for_each_file(dataset: Path) -> None:
    head, _ = split_card(dataset)
    files = {config["data_files"] for config in head["configs"]}
    assert files == {path.name for path in dataset.glob("*.parquet")}
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["explanations"]
    assert head["license"] == "cc-by-4.0"


def test_the_card_says_what_it_is_of_who_said_it_and_how_it_was_scored(dataset: Path) -> None:
    _, body = split_card(dataset)
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in body.splitlines() if line[:1] == "|"]
    assert ["late", "world:M", "5", "world:late", "world:80"] in [row[:5] for row in rows]
    assert ["late", "steering", "", "world:M", "2 residual_norm", "40", "0", "0"] in rows
    assert ["late", "topk", "random", "world:M", "", "40", "0", "0"] in rows
    assert ["late", "iou", "held-out", "steering", "", "", "40"] in rows
    assert "belong in no list of explanations" in body
    assert "The images themselves are not in it" in body


def test_a_card_without_a_licence_says_so(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        write_dataset(tmp_path, [Source(run, "late")], images=True)
    head, body = split_card(tmp_path)
    assert "license" not in head
    assert "None was named" in body
    assert "They are their owners'" in body
    assert "images" in {config["config_name"] for config in head["configs"]}


def test_whatever_a_run_says_the_card_is_no_markup_of_a_strangers(tmp_path: Path) -> None:
    with making(tmp_path / "run", 2, sae=NASTY, images=NASTY) as run:
        run.rows("UPDATE run SET value = ? WHERE name = 'subject'", (json.dumps(NASTY),))
        words = {0: NASTY, 1: NASTY}
        scored(run, "iou", said(run, words, Setting("topk"), explainer=NASTY), dict.fromkeys(words, 0.5), words)
        write_dataset(tmp_path, [Source(run, NASTY)])
    head, body = split_card(tmp_path)
    assert set(head) == {"pretty_name", "tags", "configs"}
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(body)
    inner = [each for token in tokens for each in [token, *(token.children or ())]]
    assert [each.attrs["href"] for each in inner if each.type == "link_open"] == ["https://arxiv.org/abs/2603.22593"]
    assert not {"html_inline", "html_block", "image", "strong_open", "fence", "hr"} & {each.type for each in inner}
    headings = [tokens[place + 1].content for place, each in enumerate(tokens) if each.type == "heading_open"]
    assert headings == [
        "Features of a vision encoder in words", "What it is of", "Who says what", "Scores", "Tables",
        "Images", "Licence",
    ]  # fmt: skip
    assert not [each for each in inner if each.type == "text" and ("evil" in each.content or "alert" in each.content)]
    assert [each for each in inner if each.type == "code_inline" and "evil" in each.content]


def test_the_folder_is_a_dataset_for_those_who_load_it(dataset: Path, tmp_path: Path) -> None:
    import datasets

    found = datasets.load_dataset(str(dataset), "scores", cache_dir=str(tmp_path), split="train")
    assert len(found) == 80
    assert set(found["score"]) == {"iou"}


@pytest.mark.parametrize("name", ["../x", "a/b/c", "a b/c", "", "me/a--b", "me/-x", "me/x.git", "features"])
def test_a_name_that_no_dataset_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match="the dataset"):
        check_names(name, None)


@pytest.mark.parametrize("licence", ["MIT\nx: y", "my own", "", "-"])
def test_a_licence_is_a_name(licence: str) -> None:
    check_names("me/features", "apache-2.0")
    with pytest.raises(InvalidSetting, match="the licence"):
        check_names(None, licence)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def test_a_dataset_is_made_private_unless_it_is_asked_to_be_public(server: Server, dataset: Path) -> None:
    for is_public in (False, True):
        server.private, server.files = None, {}
        address, is_private = upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=is_public)
        assert (address, is_private) == (f"{server.address}/datasets/me/features", not is_public)
        (_, told) = server.told[-1]
        assert told["type"] == "dataset"
        assert server.private is not is_public
        assert server.files == {path.name: path.read_bytes() for path in dataset.iterdir()}


def test_a_private_dataset_stays_private(server: Server, dataset: Path) -> None:
    server.private = True
    assert upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=True)[1]


def test_nothing_is_uploaded_to_a_public_dataset_without_being_asked(server: Server, dataset: Path) -> None:
    server.private = False
    with pytest.raises(InvalidSetting, match="everyone can read it"):
        upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=False)
    assert server.told == []
    assert server.files == {}


def test_nothing_is_uploaded_where_all_is_public_without_being_asked(server: Server, dataset: Path) -> None:
    server.is_open = True
    with pytest.raises(InvalidSetting, match="everyone can read it"):
        upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=False)
    assert server.files == {}


def test_tables_of_an_earlier_export_do_not_stay_there(server: Server, dataset: Path) -> None:
    server.private, server.files = True, {"images.parquet": b"private", "notes.txt": b"mine", "other.parquet": b"mine"}
    upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=False)
    assert "images.parquet" not in server.files
    assert {"notes.txt", "other.parquet", "scores.parquet"} <= set(server.files)


def test_a_refusal_is_one_line_that_says_where_the_export_is(server: Server, dataset: Path) -> None:
    server.refuses = True
    with pytest.raises(UnusablePath, match="hf auth login") as error:
        upload(HuggingFaceHub(server.address), dataset, "me/features", is_public=False)
    assert str(dataset) in str(error.value)
    assert "\n" not in str(error.value)
    assert server.files == {}


def test_a_hub_that_cannot_be_reached_is_named(dataset: Path) -> None:
    with pytest.raises(UnusablePath, match="cannot be reached"):
        upload(HuggingFaceHub("http://127.0.0.1:9"), dataset, "me/features", is_public=False)
