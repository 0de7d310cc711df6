"""Calibrating on the embedded world: on validation features alone, gone on with after a stop, stored with its curve."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import seesay
from seesay import cli
from seesay.errors import FeatureNotFound, InvalidSetting, InvalidStrength
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.pipeline.calibrating import calibrate
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker
from seesay.records import Decoding, Explanation, Strength
from seesay.sae import SAE, load_sae
from seesay.split import split_of
from seesay.store.calibrations import calibrations
from seesay.store.explanations import explanations, settings
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run
from seesay.vlm import VLM
from seesay.world.pictures import Pictures

STEERING = Setting("steering", decoding=Decoding(8))
HYBRID = Setting("hybrid", n_images=2, decoding=Decoding(8))


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    vlm, sae = seesay.world.load_vlm("world:M", device="cpu"), load_sae(seesay.world.sae("world:late"))
    return Speaker.of(vlm, "world:M", sae=sae, layer=5)


@pytest.fixture(scope="module")
def folder(speaker: Speaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few pictures."""
    assert speaker.sae is not None
    path = tmp_path_factory.mktemp("runs") / "world"
    subject = Subject(speaker.vlm.encoder, speaker.sae, 5, {"subject": "world:M", "sae": "world:late"})
    with Run.writing(path, subject.as_json()) as run:
        collect(run, subject, Pictures(80), CollectionConfig())
    return path


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    import shutil

    return Path(shutil.copytree(folder, tmp_path / "run"))


def judged_by(scores: dict[float, float]) -> tuple[str, object]:
    """A judge who looks at the strength alone."""

    def judge(said: Sequence[Explanation]) -> list[float]:
        return [scores[each.strength.value] for each in said if each.strength is not None]

    return "made up", judge


@pytest.mark.parametrize("setting", [STEERING, HYBRID], ids=lambda setting: setting.method)
def test_no_test_feature_is_ever_looked_at(
    run: Path, speaker: Speaker, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: set[int] = set()

    def noting(method):  # noqa: ANN001, ANN202
        def look(self, feature_id: int, *more):  # noqa: ANN001, ANN002, ANN202
            looked_at.add(feature_id)
            return method(self, feature_id, *more)

        return look

    monkeypatch.setattr(RunGallery, "exemplars", noting(RunGallery.exemplars))
    monkeypatch.setattr(RunGallery, "max_activation", noting(RunGallery.max_activation))
    monkeypatch.setattr(SAE, "direction", noting(SAE.direction))
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:6]
        calibrate(
            opened,
            speaker,
            setting,
            [1.0, 2.0],
            "max_activation",
            feature_ids=chosen_on,
            by=judged_by({1.0: 0.0, 2.0: 1.0}),
        )
        said = {each for stored in settings(opened) for each in explanations(opened, stored)}
    assert looked_at == said == set(chosen_on)
    assert {split_of(feature_id) for feature_id in looked_at} == {"validation"}


def test_by_default_all_validation_features_take_part(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        found = calibrate(opened, speaker, STEERING, [2.0], "residual_norm", by=judged_by({2.0: 1.0}))
        validation = [each for each in explainable(opened) if split_of(each) == "validation"]
    assert found.curve[0]["n"] == len(validation) > 20


def test_a_test_feature_is_refused(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        feature_id = explainable(opened, "test")[0]
        with pytest.raises(InvalidSetting, match=f"feature {feature_id}; expected validation features"):
            calibrate(opened, speaker, STEERING, [1.0], "residual_norm", feature_ids=[feature_id])
        with pytest.raises(FeatureNotFound, match="no validation features"):
            calibrate(opened, speaker, STEERING, [1.0], "residual_norm", feature_ids=[])
        for strengths in ([], [2.0, 1.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 1.0], [math.nan], [1.0, math.inf]):
            with pytest.raises(InvalidSetting, match="each more than the one before"):
                calibrate(opened, speaker, STEERING, strengths, "residual_norm")
        assert settings(opened) == []


def test_the_choice_is_stored_with_its_curve_and_another_takes_its_place(run: Path, speaker: Speaker) -> None:
    grid = [0.5, 1.0, 2.0]
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:3]
        for winner in grid:
            by = judged_by({value: float(value == winner) for value in grid})
            found = calibrate(opened, speaker, STEERING, grid, "residual_norm", feature_ids=chosen_on, by=by)
            assert found.strength == Strength(winner, "residual_norm")
            assert calibrations(opened) == [found]
            assert calibrations(opened, speaker.calibration_key(STEERING)) == [found]
        assert [point["strength"] for point in found.curve] == grid
        assert [point["score"] for point in found.curve] == [0.0, 0.0, 1.0]
        assert calibrations(opened, speaker.calibration_key(HYBRID)) == []


def test_where_nothing_is_heard_nothing_is_stored(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:3]
        with pytest.raises(InvalidStrength, match="none will do"):
            calibrate(opened, speaker, STEERING, [1e-5, 1e-4], "residual_norm", feature_ids=chosen_on)
        assert calibrations(opened) == []


def test_what_was_said_already_is_not_asked_again(run: Path, speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:3]
        by = judged_by({1.0: 0.0, 2.0: 1.0})
        first = calibrate(opened, speaker, STEERING, [1.0, 2.0], "residual_norm", feature_ids=chosen_on, by=by)
        monkeypatch.setattr(VLM, "say", lambda *_asked, **_options: pytest.fail("asked again"))
        assert calibrate(opened, speaker, STEERING, [1.0, 2.0], "residual_norm", feature_ids=chosen_on, by=by) == first


def test_stronger_pushes_move_the_first_word_further(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:6]
        for setting in (STEERING, HYBRID):
            grid, by = [0.01, 0.5, 8.0], judged_by({0.01: 0.0, 0.5: 0.0, 8.0: 1.0})
            found = calibrate(opened, speaker, setting, grid, "residual_norm", feature_ids=chosen_on, by=by)
            nothing, little, much = (point["kl"] for point in found.curve)
            assert 0 <= nothing < 0.01 < little < much


def test_what_speaks_for_a_strength_depends_on_what_is_seen(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:12]
        for setting, score in ((STEERING, "agreement"), (HYBRID, "kl")):
            found = calibrate(opened, speaker, setting, [4.0, 8.0, 16.0], "residual_norm", feature_ids=chosen_on)
            assert found.score == score


def test_a_strength_of_its_own_is_found_for_each_feature(run: Path, speaker: Speaker) -> None:
    with Run.writing(run) as opened:
        chosen_on = explainable(opened, "validation")[:8]
        by = judged_by({1.0: 1.0})
        calibrate(opened, speaker, STEERING, [1.0], "kl", feature_ids=chosen_on, by=by)
        (stored,) = settings(opened)
        pushed = [each.coefficient for samples in explanations(opened, stored).values() for each in samples]
        (found,) = calibrations(opened)
    assert len(set(pushed)) > 1
    assert found.curve[0]["kl"] == pytest.approx(1.0, rel=0.02), "on average over these features"


def test_the_command_stores_the_choice_draws_it_and_explain_takes_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "calibrate",
        str(run),
        "--grid",
        "2,4,8",
        "--max-features",
        "12",
        "--max-new-tokens",
        "8",
        "--device",
        "cpu",
    ]
    assert cli.main([*asked, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    page = Path(found["page"]).read_text("utf-8")
    assert "95 % intervals of the mean over 12 validation features" in page
    assert page.startswith("<!DOCTYPE html>")
    with Run.open(run) as opened:
        feature_id = explainable(opened, "test")[0]
    explain = ["explain", str(run), "--features", str(feature_id), "--max-new-tokens", "8", "--device", "cpu"]
    assert cli.main([*explain, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["strength"] == found["strength"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "1,x"], "numbers with commas between"),
        (["--grid", "2,1"], "each more than the one before"),
        (["--per-feature", "--strength-unit", "coefficient"], "one of the two"),
        (["--per-feature", "--grid", "-1,1"], "above 0"),
        (["--explainer", "./nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_calibrated_is_one_line(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibrate", str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_truth_of_the_world_can_choose(run: Path, speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    from seesay.world import judging, truth

    assert speaker.sae is not None
    monkeypatch.setattr(judging, "measure", lambda *args, **rest: truth.measure(*args, n_scenes=120, **rest))
    with Run.writing(run) as opened:
        chosen_on, judge = judging.judge_of(speaker.vlm, speaker.sae, 5, "steering", explainable(opened, "validation"))
        assert chosen_on
        found = calibrate(
            opened, speaker, STEERING, [0.01, 8.0], "residual_norm", feature_ids=chosen_on, by=("ground_truth", judge)
        )
    assert found.score == "ground_truth"
    assert found.curve[0]["score"] == 0.0, "what is said of nothing does not count"
    assert found.curve[1]["score"] > 0
    assert np.isfinite(found.curve[1]["kl"])
