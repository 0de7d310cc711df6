"""What a lens is made of, and what it never looks at."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import seesay
from seesay.errors import InvalidSetting
from seesay.explainers.lens import Lens
from seesay.pipeline.speakers import Speaker
from seesay.pipeline.teaching import teach_lens
from seesay.records import Strength
from seesay.sae import SAE, load_sae
from seesay.split import split_of
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.store.taught import find_taught, taught_path
from seesay.store.thumbnails import Thumbnails
from seesay.teaching.config import Teaching
from seesay.teaching.teaching import teach
from tests.explainers.galleries import noise, vlm_of
from tests.families import SIDE
from tests.tiny import tiny_sae

STRENGTH = Strength(2.0, "residual_norm")
FEW = Teaching(n_pupils=20, n_images=2, n_references=6, proposing=(1.0, 2.0))


@contextmanager
def silent(what: str, *, total: int | None) -> Generator[Callable[[int], None]]:
    yield lambda _n: None


def a_speaker(sae: SAE | None = None) -> Speaker:
    vlm = seesay.world.load_vlm("world:S", device="cpu")
    sae = sae or load_sae(seesay.world.sae("world:late"))
    return Speaker.of(vlm, "world:S", sae=sae, layer=5)


def taught(run: Run, speaker: Speaker, teaching: Teaching = FEW) -> Lens:
    return teach_lens(run, speaker, STRENGTH, teaching=teaching, progress=silent)


def parts_of(run: Run) -> dict[str, str]:
    return dict(run.rows("SELECT pixel_hash, part FROM images"))


def test_scoring_images_and_features_that_are_judged_touch_nothing(
    collected_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(collected_world, tmp_path / "run"))
    looked_at: set[str] = set()
    read = Thumbnails.read

    def spied(self: Thumbnails, pixel_hash: str) -> object:
        looked_at.add(pixel_hash)
        return read(self, pixel_hash)

    monkeypatch.setattr(Thumbnails, "read", spied)
    with Run.writing(folder) as run:
        before = taught(run, a_speaker())
        part_of = parts_of(run)
        assert {part_of[each] for each in looked_at} == {"explaining"}
        assert {split_of(each) for each in before.facts["references"]} == {"validation"}
        # all else may be anything: the lens stays the same to the last bit
        sae = load_sae(seesay.world.sae("world:late"))
        judged = torch.tensor([split_of(each) == "test" for each in range(sae.n_features)])
        assert sae.W_enc is not None
        other = replace(
            sae,
            W_enc=sae.W_enc.where(~judged, torch.randn_like(sae.W_enc)),
            W_dec=sae.W_dec.where(~judged[:, None], torch.nn.functional.normalize(torch.randn_like(sae.W_dec), dim=-1)),
        )
        for pixel_hash, part in part_of.items():
            if part == "scoring":
                run.thumbnails.path(pixel_hash).unlink()
        run.rows("DELETE FROM exemplars WHERE part = 'scoring'")
        assert taught(run, a_speaker(other)).identity == before.identity
        # and what does take part makes another one
        scrambled = replace(sae, W_enc=sae.W_enc.where(judged, torch.randn_like(sae.W_enc)))
        assert taught(run, a_speaker(scrambled)).identity != before.identity


def test_a_lens_is_kept_for_who_was_asked(collected_world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(collected_world, tmp_path / "run"))
    speaker = a_speaker()
    with Run.writing(folder) as run:
        assert find_taught(run, speaker.voice.lens_key, Lens) is None
        lens = taught(run, speaker)
        found = find_taught(run, speaker.voice.lens_key, Lens)
        assert found is not None
        assert found.identity == lens.identity
        another = replace(speaker.voice, prompts=speaker.voice.prompts.instead("topk", "what is it ?"))
        assert find_taught(run, another.lens_key, Lens) is None
        assert taught(run, speaker, replace(FEW, seed=1)).identity != lens.identity
        assert [path.name for path in taught_path(run, "x", Lens).parent.iterdir()] == [
            f"{speaker.voice.lens_key}.safetensors"
        ]


def test_what_is_said_of_the_empty_image_is_no_phrase(collected_world: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(collected_world, tmp_path / "run"))
    speaker = a_speaker()
    with Run.writing(folder) as run:
        lens = taught(run, speaker)
        n_validation = sum(each.split == "validation" for each in features(run))
    (said,) = speaker.vlm.say(
        speaker.vlm.prompts["steering"], [speaker.vlm.encode([seesay.images.blank.blank_image("white", 64)])]
    )
    assert said.text.strip() not in lens.phrases
    assert max(len(speaker.vlm.tokenize(each)) for each in lens.phrases) < 24, "what has come to no end is no phrase"
    assert len(set(lens.phrases)) == len(lens.phrases) > 3
    assert len(lens.facts["references"]) == min(6, n_validation)
    assert lens.strength == STRENGTH


def test_a_lens_can_be_taught_for_any_model_of_any_family() -> None:
    pictures = [noise((SIDE, SIDE), seed) for seed in range(4)]
    for family in ("gemma3", "llava", "qwen2_5_vl"):
        lens = teach(
            vlm_of(family), tiny_sae(), 1, pictures, range(8), STRENGTH, teaching=FEW,
            progress=lambda name, total: silent(name, total=total),
        )  # fmt: skip
        assert lens.weights.isfinite().all()
        assert lens.weights.shape == (len(lens.phrases), tiny_sae().d_model)


@pytest.mark.parametrize(("n_images", "feature_ids"), [(1, range(8)), (4, [3, 3])])
def test_too_little_is_refused(n_images: int, feature_ids: list[int]) -> None:
    pictures = [noise((SIDE, SIDE), seed) for seed in range(n_images)]
    with pytest.raises(InvalidSetting, match="expected at least two of each"):
        teach(
            vlm_of(), tiny_sae(), 1, pictures, list(feature_ids), STRENGTH, teaching=FEW,
            progress=lambda name, total: silent(name, total=total),
        )  # fmt: skip
