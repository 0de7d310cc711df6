"""Where something lies on a disk is nobody's business."""

import pytest

from seesay.export.names import public, public_facts, slug, within_source, without_paths


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("world:late", "world:late"),
        ("world:2000@50000", "world:2000@50000"),
        ("google/gemma-3-4b-it", "google/gemma-3-4b-it"),
        ("gemma", "gemma"),
        ("/home/ann/models/gemma", "gemma"),
        ("/home/ann/models/gemma/", "gemma"),
        ("~/gemma", "gemma"),
        ("./runs/sae", "sae"),
        ("../sae", "sae"),
        ("models/of/ann/gemma", "gemma"),
        ("models/../gemma", "gemma"),
        ("C:\\Users\\ann\\sae", "sae"),
        ("\\\\server\\ann\\sae", "sae"),
        ("file:///home/ann/sae", "sae"),
        ("/", ""),
    ],
)
def test_of_a_path_the_last_part_is_told_and_other_names_as_they_are(name: str, told: str) -> None:
    assert public(name) == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cats/tabby/1.jpg", "cats/tabby/1.jpg"),
        ("train/17", "train/17"),
        ("/home/ann/cats/1.jpg", "1.jpg"),
        ("cats/../../ann/1.jpg", "1.jpg"),
    ],
)
def test_an_image_keeps_its_name_within_its_source(name: str, told: str) -> None:
    assert within_source(name) == told


def test_a_message_keeps_its_words_without_the_paths_in_it() -> None:
    said = '/home/ann/run/run.db: no room; see C:\\Users\\ann\\log.txt and/or "/var/log/seesay.log", at 3/4 of it'
    assert without_paths(said) == 'run.db: no room; see log.txt and/or "seesay.log", at 3/4 of it'


def test_facts_keep_what_is_said_to_a_model_and_lose_paths() -> None:
    facts = {
        "prompt": "/a/b is a path ?",
        "embedder": {"name": "/home/ann/clip", "sizes": [1, 2.5, None]},
        "files": ["~/x/one.txt"],
        "dtype": "torch.float32",
    }
    assert public_facts(facts) == {
        "prompt": "/a/b is a path ?",
        "embedder": {"name": "clip", "sizes": [1, 2.5, None]},
        "files": ["one.txt"],
        "dtype": "torch.float32",
    }


@pytest.mark.parametrize("name", ["World:L", "../../etc", "a b\n<script>", "../", "x" * 500, "ÄÖ", ""])
def test_a_slug_is_fit_for_a_folder_and_an_address(name: str) -> None:
    found = slug(name)
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(found) <= 80
    assert not found.startswith("-")
