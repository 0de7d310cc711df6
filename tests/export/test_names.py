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
        ("/home/ann/My Models/dino", "dino"),
        ("~/My Models/dino", "dino"),
        ("C:\\Users\\ann lee\\My Models\\sae", "sae"),
        ("\\\\server\\ann lee\\sae", "sae"),
        ("IDEA-Research/dino+facebook/sam2.1", "IDEA-Research/dino+facebook/sam2.1"),
        ("/home/ann/My Models/dino + ~/My Models/sam", "dino+sam"),
        ("facebook/dino+C:\\My Models\\sam", "facebook/dino+sam"),
        ("/home/ann/c+x y/dino", "dino"),
        ("mine + yours", "mine + yours"),
        ("steering by google/gemma-3-4b-it at 2 residual_norm", "steering by google/gemma-3-4b-it at 2 residual_norm"),
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


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/My Models/dino",
        "~/My Models/dino",
        "~ann/My Models/dino",
        "..\\My Models\\dino",
        "D:\\My Models\\dino",
        "\\\\server\\My Models\\dino",
        "file:///home/ann/My%20Models and more/dino",
    ],
)
def test_a_path_with_blanks_is_found_whatever_the_fact_is_called(path: str) -> None:
    facts = {"name": path, "nobody_knows": path, "inner": [{"models": [f"a/b+{path}", f"{path}+{path}"]}]}
    assert public_facts(facts) == {
        "name": "dino",
        "nobody_knows": "dino",
        "inner": [{"models": ["a/b+dino", "dino+dino"]}],
    }


@pytest.mark.parametrize("words", ["what is highlighted ?", "a/b testing is fun", "~50 images of cats/dogs", "1 + 1/2"])
def test_words_stay_as_they_are_whatever_the_fact_is_called(words: str) -> None:
    facts = {"prompt": words, "nobody_knows": words, "inner": [words]}
    assert public_facts(facts) == facts


def test_what_a_fact_is_called_tells_words_from_names() -> None:
    looks_like_a_path = "/home/ann/My Models/dino"
    words = {"opening": looks_like_a_path, "questions": {"model": looks_like_a_path}, "aid": {"text": "/a/b"}}
    assert public_facts(words) == words
    assert public_facts({"model": "models of ann/big ones/dino", "note": "models of ann/big ones/dino"}) == {
        "model": "dino",
        "note": "models of ann/big ones/dino",
    }
    assert public_facts({"note": "as /home/ann/notes.txt says"}) == {"note": "as notes.txt says"}


@pytest.mark.parametrize("name", ["World:L", "../../etc", "a b\n<script>", "../", "x" * 500, "ÄÖ", ""])
def test_a_slug_is_fit_for_a_folder_and_an_address(name: str) -> None:
    found = slug(name)
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert len(found) <= 80
    assert not found.startswith("-")
