"""Explaining into a run of the embedded world: only what is missing, batch by batch, and as if nothing had happened."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import seesay
from seesay.errors import UnreadablePrompt, UnusablePath
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.cases import donors as donors_of
from seesay.explainers.config import Setting
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker, explain
from seesay.records import Decoding, Explanation, Strength
from seesay.sae import load_sae
from seesay.store.explanations import StoredSetting, explanations, find_setting, n_explained, settings
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run
from seesay.vlm import VLM, load_vlm
from seesay.world.pictures import Pictures
from tests.soak.explaining import Request, soak

N_IMAGES = 100
CONFIG = CollectionConfig(n_top=6, n_per_quantile=2, n_sampled=16, n_inactive=1, n_background=20)
STRENGTH = Strength(2.0, "residual_norm")
STEERING = Setting(strength=STRENGTH, decoding=Decoding(max_new_tokens=12))
HYBRID, TOPK = replace(STEERING, method="hybrid"), replace(STEERING, method="topk", strength=None)


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return load_vlm(seesay.world.checkpoint("world:M"), device="cpu")


@pytest.fixture(scope="module")
def speaker(vlm: VLM) -> Speaker:
    sae = load_sae(seesay.world.sae("world:late"))
    return Speaker.of(vlm, "world:M", sae=sae, layer=sae.provenance.layer)


@pytest.fixture(scope="module")
def collected(speaker: Speaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "world"
    assert speaker.sae is not None
    assert speaker.layer is not None
    subject = Subject(speaker.vlm.encoder, speaker.sae, speaker.layer, {"subject": "world:M", "sae": "world:late"})
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_IMAGES), CONFIG)
    return folder


@pytest.fixture
def folder(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "run")


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    with Run.writing(folder) as run:
        yield run


@pytest.fixture
def feature_ids(run: Run) -> list[int]:
    return explainable(run)[:6]


def alike(one: Explanation) -> Explanation:
    """An explanation that equals any other of the same words, whatever the last digits of its likelihood."""
    value = one.mean_log_probability
    return replace(one, mean_log_probability=None if value is None else round(value, 5))


def words_in(run: Run, stored: StoredSetting | None) -> list[Explanation]:
    assert stored is not None
    return [alike(each) for samples in explanations(run, stored).values() for each in samples]


def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that must not be asked."""

    def say(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("it was asked")

    monkeypatch.setattr(VLM, "say", say)


def test_every_batch_is_written_before_the_next_is_asked(run: Run, speaker: Speaker, feature_ids: list[int]) -> None:
    done: list[int] = []
    there: list[int] = []

    def on_batch(n: int) -> None:
        done.append(n)
        with Run.open(run.folder) as reader:
            there.append(reader.rows("SELECT count(*) FROM explanations")[0][0])

    stored = explain(run, speaker, STEERING, feature_ids, batch_size=2, on_batch=on_batch)
    assert done == [0, 2, 2, 2]
    assert there == [0, 2, 4, 6]
    found = explanations(run, stored)
    assert list(found) == feature_ids
    assert all(each.text and each.seconds > 0 for (each,) in found.values())


@pytest.mark.parametrize("setting", [STEERING, HYBRID, TOPK], ids=lambda setting: setting.method)
def test_what_is_there_is_not_asked_again(
    setting: Setting, run: Run, speaker: Speaker, feature_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = explain(run, speaker, setting, feature_ids)
    before = words_in(run, stored)
    silence(monkeypatch)
    done: list[int] = []
    assert explain(run, speaker, setting, feature_ids, batch_size=1, on_batch=done.append) == stored
    assert sum(done) == len(feature_ids)
    assert words_in(run, stored) == before


def test_the_words_are_those_of_steering_without_a_run(run: Run, speaker: Speaker, feature_ids: list[int]) -> None:
    stored = explain(run, speaker, STEERING, feature_ids)
    assert speaker.sae is not None
    alone = seesay.steer(speaker.vlm, speaker.sae, feature_ids, STRENGTH, decoding=STEERING.decoding)
    assert words_in(run, stored) == [alike(each) for each in alone]


def test_only_what_failed_is_tried_again(
    run: Run, speaker: Speaker, feature_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky, asked, say = feature_ids[2], [], VLM.say

    def out_of_memory(self: VLM, *arguments: Any, keys: Sequence[int], **options: Any) -> Any:
        asked.extend(keys)
        if unlucky in keys and is_full:
            raise torch.OutOfMemoryError
        return say(self, *arguments, keys=keys, **options)

    monkeypatch.setattr(VLM, "say", out_of_memory)
    is_full = True
    stored = explain(run, speaker, STEERING, feature_ids)
    assert n_explained(run, stored) == {"ok": len(feature_ids) - 1, "empty": 0, "failed": 1}
    (failed,) = explanations(run, stored, [unlucky])[unlucky]
    assert (failed.text, failed.raw_text) == ("", "")
    assert "memory" in failed.reason
    is_full = False
    asked.clear()
    done: list[int] = []
    explain(run, speaker, STEERING, feature_ids, on_batch=done.append)
    assert asked == [unlucky]
    assert done == [len(feature_ids) - 1, 1]
    assert n_explained(run, stored)["ok"] == len(feature_ids)


def test_all_samples_are_asked_again_if_one_is_missing(run: Run, speaker: Speaker, feature_ids: list[int]) -> None:
    drawn = replace(STEERING, decoding=Decoding(max_new_tokens=12, temperature=1.0, n_samples=3, seed=5))
    stored = explain(run, speaker, drawn, feature_ids)
    before = words_in(run, stored)
    assert [(each.feature_id, each.sample) for each in before] == [(each, n) for each in feature_ids for n in range(3)]
    assert len({each.text for each in before}) > len(feature_ids), "they are drawn"
    run.rows("DELETE FROM explanations WHERE feature_id = ? AND sample = 1", (feature_ids[3],))
    explain(run, speaker, drawn, feature_ids, batch_size=4)
    assert words_in(run, stored) == before, "by the feature and the seed alone"


@pytest.mark.parametrize("setting", [STEERING, HYBRID, TOPK], ids=lambda setting: setting.method)
def test_a_permuted_control_copies_its_donors_words_which_are_what_it_would_have_said(
    setting: Setting, folder: Path, tmp_path: Path, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    permuted = replace(setting, control="permuted", seed=3)
    with Run.writing(tmp_path / "other") as run:
        feature_ids = explainable(run)[:4]
        generated = words_in(run, explain(run, speaker, permuted, feature_ids))
        donor_of = donors_of(permuted, RunGallery(run))
        donors = [donor_of[each] for each in feature_ids]
    assert [each.donor_id for each in generated] == donors
    assert {each.control for each in generated} == {"permuted"}
    with Run.writing(folder) as run:
        explain(run, speaker, setting, donors)
        silence(monkeypatch)
        stored = explain(run, speaker, permuted, feature_ids)
        assert words_in(run, stored) == generated
        assert all(each.seconds == 0 for samples in explanations(run, stored).values() for each in samples)


def test_a_permuted_control_asks_for_what_its_donors_have_not_got(
    run: Run, speaker: Speaker, feature_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    permuted = replace(STEERING, control="permuted")
    donor_of = donors_of(permuted, RunGallery(run))
    donors = {each: donor_of[each] for each in feature_ids}
    known = feature_ids[::2]
    explain(run, speaker, STEERING, [donors[each] for each in known])
    asked, say = [], VLM.say

    def noted(self: VLM, *arguments: Any, keys: Sequence[int], **options: Any) -> Any:
        asked.extend(keys)
        return say(self, *arguments, keys=keys, **options)

    monkeypatch.setattr(VLM, "say", noted)
    done: list[int] = []
    stored = explain(run, speaker, permuted, feature_ids, on_batch=done.append)
    assert asked == [donors[each] for each in feature_ids if each not in known]
    assert done == [len(known), len(feature_ids) - len(known)]
    assert [each.donor_id for each in words_in(run, stored)] == list(donors.values())


def test_methods_strengths_controls_and_explainers_live_side_by_side(
    run: Run, speaker: Speaker, feature_ids: list[int]
) -> None:
    small = Speaker.of(
        load_vlm(seesay.world.checkpoint("world:S"), device="cpu"), "world:S", sae=speaker.sae, layer=speaker.layer
    )
    stronger = replace(STEERING, strength=Strength(3.0, "residual_norm"))
    ways = [
        *[(speaker, each) for each in (STEERING, stronger, HYBRID, TOPK, replace(STEERING, control="random"))],
        (small, STEERING),
    ]
    first = {explain(run, who, setting, feature_ids[:3]).setting_id: (who, setting) for who, setting in ways}
    assert len(first) == len(ways)
    stored = settings(run)
    assert [each.setting_id for each in stored] == list(first)
    assert [each.explainer for each in stored] == [who.name for who, _setting in ways]
    assert [(each.method, each.strength) for each in stored] == [(each.method, each.strength) for _who, each in ways]
    assert {tuple(explanations(run, each)) for each in stored} == {tuple(feature_ids[:3])}
    assert len({tuple(each.raw_text for each in words_in(run, one)) for one in stored}) == len(ways)


def other_prompt(vlm: VLM) -> VLM:
    other = load_vlm(seesay.world.checkpoint("world:M"), device="cpu")
    other.prompts = replace(vlm.prompts, texts={**vlm.prompts.texts, "steering": "a picture of"})
    return other


def test_what_words_depend_on_is_another_setting_and_what_they_do_not_is_not(
    run: Run, speaker: Speaker, vlm: VLM
) -> None:
    half = load_vlm(seesay.world.checkpoint("world:M"), device="cpu", dtype="bfloat16")
    others = {
        "prompt": Speaker.of(other_prompt(vlm), "world:M"),
        "dtype": Speaker.of(half, "world:M"),
        "encoder": Speaker.of(vlm, "world:M", encoder_differs_in="blocks.1.weight"),
    }
    usual = speaker.facts_of(STEERING)
    assert all(each.facts_of(STEERING) != usual for each in others.values())
    random = replace(STEERING, control="random")
    for one, other in (
        (random, replace(random, seed=1)),
        (TOPK, replace(TOPK, overlay="crop")),
        (TOPK, replace(TOPK, n_images=3)),
        (TOPK, replace(TOPK, selection="quantile")),
        (STEERING, replace(STEERING, mode="replace")),
        (STEERING, replace(STEERING, empty="black")),
        (STEERING, replace(STEERING, decoding=Decoding(max_new_tokens=13))),
    ):
        assert speaker.facts_of(one) != speaker.facts_of(other)
    for one, other in (
        (STEERING, replace(STEERING, seed=1)),
        (STEERING, replace(STEERING, overlay="crop")),
        (STEERING, replace(STEERING, decoding=replace(STEERING.decoding, seed=1))),
        (HYBRID, replace(HYBRID, empty="black")),
    ):
        assert speaker.facts_of(one) == speaker.facts_of(other)
    assert Speaker.of(load_vlm(seesay.world.checkpoint("world:M"), device="cpu"), "mine").facts_of(STEERING) == usual


def test_another_question_is_asked_anew_and_its_words_are_kept_apart(
    run: Run, speaker: Speaker, vlm: VLM, feature_ids: list[int]
) -> None:
    usual = explain(run, speaker, STEERING, feature_ids[:2])
    asking = Speaker.of(other_prompt(vlm), "world:M", sae=speaker.sae, layer=speaker.layer)
    other = explain(run, asking, STEERING, feature_ids[:2])
    assert (usual.prompt_hash != other.prompt_hash, usual.explainer_hash == other.explainer_hash) == (True, True)
    assert [each.raw_text for each in words_in(run, usual)] != [each.raw_text for each in words_in(run, other)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_batch_and_the_same_call_goes_on(
    number: signal.Signals, run: Run, speaker: Speaker, feature_ids: list[int], tmp_path: Path
) -> None:
    n_calls = 0

    def interrupt(_n: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:  # when the first batch is written
            os.kill(os.getpid(), number)

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt):
            explain(run, speaker, STEERING, feature_ids, batch_size=2, on_batch=interrupt)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    stored = find_setting(run, speaker.facts_of(STEERING))
    assert [each.feature_id for each in words_in(run, stored)] == feature_ids[:2]
    explain(run, speaker, STEERING, feature_ids, batch_size=2)
    with Run.writing(tmp_path / "whole", run.subject) as whole:
        assert words_in(run, stored) == words_in(whole, explain(whole, speaker, STEERING, feature_ids, batch_size=2))


def test_a_full_disk_is_one_line_and_what_was_written_is_kept(folder: Path, tmp_path: Path, speaker: Speaker) -> None:
    shutil.copytree(folder, tmp_path / "whole")
    with Run.writing(tmp_path / "whole") as run:
        feature_ids = explainable(run)[:60]
        whole = words_in(run, explain(run, speaker, STEERING, feature_ids, batch_size=4))
    with Run.writing(folder) as run:
        run.rows("VACUUM")
        ((n_pages,),) = run.rows("PRAGMA page_count")
        run.rows(f"PRAGMA max_page_count = {n_pages}")
        with pytest.raises(UnusablePath) as caught:
            explain(run, speaker, STEERING, feature_ids, batch_size=4)
        assert "full; expected room on the disk" in str(caught.value)
        assert "\n" not in str(caught.value)
    with Run.writing(folder) as run:
        before = words_in(run, find_setting(run, speaker.facts_of(STEERING)))
        assert len(before) % 4 == 0
        assert 0 < len(before) < len(whole)
        assert before == whole[: len(before)]
        assert words_in(run, explain(run, speaker, STEERING, feature_ids, batch_size=4)) == whole


def test_what_cannot_be_asked_is_said_before_anything_is_noted(run: Run, speaker: Speaker, vlm: VLM) -> None:
    mute = load_vlm(seesay.world.checkpoint("world:M"), device="cpu")
    mute.prompts = replace(vlm.prompts, texts={"steering": vlm.prompts.texts["steering"]})
    with pytest.raises(UnreadablePrompt, match="topk"):
        explain(run, Speaker.of(mute, "world:M"), TOPK, [0])
    assert settings(run) == []


@pytest.mark.parametrize("control", ["random", "random-images", "permuted-images", "permuted-direction", "none"])
def test_a_control_gives_the_same_whatever_else_is_asked(
    control: Any, run: Run, speaker: Speaker, feature_ids: list[int]
) -> None:
    setting = replace(HYBRID, control=control)
    stored = explain(run, speaker, setting, feature_ids[:3])
    before = words_in(run, stored)
    run.rows("DELETE FROM explanations")
    explain(run, speaker, setting, [feature_ids[1]])
    assert words_in(run, stored) == [before[1]]


def test_a_strangers_exemplars_without_images_are_an_error_in_one_line(run: Run, speaker: Speaker) -> None:
    run.rows("UPDATE exemplars SET images = x'', heatmaps = x''")
    feature_ids = explainable(run)[:3]
    for control in (None, "random"):
        stored = explain(run, speaker, replace(TOPK, control=control), feature_ids)
        assert n_explained(run, stored) == {"ok": 0, "empty": 3, "failed": 0}


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_is_not(tmp_path: Path) -> None:
    strength = "--strength 2 --strength-unit residual_norm --batch-size 2"
    asked = iter([
        Request.of(f"--method steering {strength} --limit 600", 3),
        Request.of(f"--method hybrid {strength} --limit 100", 2),
    ])  # fmt: skip
    told: list[str] = []
    soak(tmp_path, asked, 5, 0, told.append)
    assert sum("kill " in line for line in told) == 5
