"""Which settings can be, and what of them takes part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import InvalidSetting, InvalidStrength, SeesayError, UnknownChoice
from seesay.explainers.config import IMPORTED, METHODS, MOST_IMAGES, Setting
from seesay.records import Decoding, Strength

STEERS = [method for method, way in METHODS.items() if way.steers]
SHOWS = [method for method, way in METHODS.items() if way.shows]
GENERATES = [method for method, way in METHODS.items() if way.generates]
FINDS = [method for method, way in METHODS.items() if way.finds]
CONTROLS = ["none", "random", "permuted", "random-direction", "permuted-direction", "random-images", "permuted-images"]
STRENGTHS = [None, Strength(2.0), Strength(2.0, "kl")]
OTHERS: dict[str, list[Any]] = {
    "mode": ["add", "replace", "clamp"],
    "empty": ["white", "noise", "several", "mean", "zeros"],
    "positions": ["all", "patches", "disc", "half"],
    "n_images": [1, 5],
    "overlay": ["mask", "crop"],
    "selection": ["top", "quantile"],
    "n_words": [1, 5],
    "decoding": [
        Decoding(),
        Decoding(8),
        Decoding(temperature=1.0),
        Decoding(temperature=1.0, seed=1),
        Decoding(seed=1),
    ],
    "seed": [0, 1],
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["method", "control", "mode", "empty", "positions", "overlay", "selection"])
def test_a_word_that_is_none_of_the_choices_is_refused_and_they_are_named(name: str) -> None:
    with pytest.raises(UnknownChoice, match=rf"{name} 'sideways'; expected one of \w[\w-]+, \w"):
        Setting(**{name: "sideways"})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["method", "empty", "positions", "overlay", "selection"])
def test_only_the_control_and_the_mode_may_be_left_out(name: str) -> None:
    assert Setting(control=None).control is None
    assert (Setting(mode=None).push, Setting("one-word").push) == ("add", "clamp")
    with pytest.raises(UnknownChoice, match=f"{name} None"):
        Setting(**{name: None})


@pytest.mark.parametrize("name", ["n_images", "n_words"])
def test_nothing_at_all_and_too_much_are_refused(name: str) -> None:
    assert Setting(**{name: 1})
    assert Setting(**{name: MOST_IMAGES})
    for n in (-1, 0, MOST_IMAGES + 1):
        with pytest.raises(InvalidSetting, match=f"{name} {n}; expected 1 to 100"):
            Setting(**{name: n})


def test_a_push_cannot_be_taken_from_a_method_that_steers_nothing() -> None:
    with pytest.raises(InvalidSetting, match="none for topk, which steers nothing; expected another control"):
        Setting("topk", control="none")


@pytest.mark.parametrize("control", ["random-direction", "permuted-direction", "random-images", "permuted-images"])
def test_a_part_can_only_be_taken_from_a_method_that_has_another(control: str) -> None:
    assert Setting("hybrid", control=control)
    whole = control.split("-")[0]
    for method in set(FINDS) - {"hybrid", "hybrid+"}:
        with pytest.raises(InvalidSetting, match=f"{control} for {method}.*expected hybrid, or the control {whole}"):
            Setting(method, control=control)


@pytest.mark.parametrize("contrast", [-0.1, 1.1, float("nan")])
def test_more_than_all_of_what_another_image_gets_cannot_be_taken_away(contrast: float) -> None:
    with pytest.raises(InvalidSetting, match="contrast .* for steering; expected 0 to 1"):
        Setting(contrast=contrast)
    with pytest.raises(InvalidSetting, match="contrast 0.5 for steering at a temperature; expected 0 of one of them"):
        Setting(contrast=0.5, decoding=Decoding(temperature=1.0))


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_that_no_database_holds_is_refused(seed: int) -> None:
    with pytest.raises(InvalidSetting, match=f"seed {seed}"):
        Setting(seed=seed)


def test_words_that_are_made_elsewhere_are_nobodys_to_ask_for() -> None:
    assert set(METHODS) - set(FINDS) == {IMPORTED}
    with pytest.raises(
        InvalidSetting, match="method imported: .* expected one of steering, .*; seesay import RUN FILE"
    ):
        Setting(IMPORTED)


def test_a_strength_for_a_method_that_pushes_nothing_is_refused() -> None:
    with pytest.raises(InvalidStrength, match="a strength for topk, which steers nothing; expected none"):
        Setting("topk", Strength(0.0))


@pytest.mark.parametrize("method", FINDS)
def test_every_method_that_finds_words_can_be_controlled(method: str) -> None:
    for control in ("random", "permuted"):
        assert Setting(method, control=control).facts["control"] == control


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    """Any setting that can be."""
    method = draw(st.sampled_from(FINDS))
    chosen = {name: draw(st.sampled_from(values)) for name, values in OTHERS.items()}
    control = draw(st.sampled_from([None, *CONTROLS]))
    strength = draw(st.sampled_from(STRENGTHS)) if method in STEERS else None
    try:
        return Setting(method, strength, control, **chosen)
    except SeesayError:
        return Setting(method, strength, **chosen)


def without(setting: Setting, name: str, value: Any) -> dict[str, Any]:
    return Setting(**(vars(setting) | {name: value})).facts


@given(settings(), st.data())
def test_what_a_method_has_no_use_for_is_no_part_of_its_facts(setting: Setting, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*OTHERS, "strength"]))
    choices = [value for value in (STRENGTHS if setting.way.steers else [None]) if value] if name == "strength" else []
    other = data.draw(st.sampled_from(OTHERS.get(name) or choices or [None]))
    is_same = without(setting, name, other) == setting.facts
    if name not in setting.facts:
        assert is_same, "a field that is not told may be anything"
    elif name != "decoding":
        assert is_same == (getattr(setting, name) == other), "and one that is told must differ if it does"


@given(settings())
def test_facts_are_plain_data(setting: Setting) -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(name, str) and plain(each) for name, each in value.items())
        return value is None or isinstance(value, str | int | float)

    assert plain(setting.facts)
    assert setting.facts == Setting(**vars(setting)).facts


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (Setting("steering", Strength(1.0)), "strength mode empty positions decoding"),
        (Setting("one-word", Strength(1.0)), "strength mode empty positions decoding"),
        (Setting("steering", control="none"), "empty decoding"),
        (Setting("steering", Strength(1.0), empty="noise"), "strength mode empty positions decoding seed"),
        (Setting("steering", Strength(1.0), "random"), "strength mode empty positions decoding seed"),
        (Setting("topk"), "n_images overlay selection decoding"),
        (Setting("topk", empty="noise"), "n_images overlay selection decoding"),
        (Setting("topk", control="permuted"), "n_images overlay selection decoding seed"),
        (Setting("hybrid", Strength(1.0)), "strength mode n_images overlay selection decoding"),
        (Setting("hybrid", control="none"), "n_images overlay selection decoding"),
        (Setting("hybrid", Strength(1.0), "random-images"), "strength mode n_images overlay selection decoding seed"),
        (Setting("vocabulary", Strength(1.0)), "strength mode empty positions n_words"),
        (Setting("token-change", Strength(1.0)), "strength mode empty positions n_words"),
        (Setting("token-change", Strength(1.0), contrast=0.5), "strength mode empty positions n_words"),
        (Setting("steering", Strength(1.0), positions="half"), "strength mode empty positions decoding seed"),
        (Setting("steering", Strength(1.0), contrast=0.5), "strength mode empty positions decoding contrast"),
        (Setting("topk", contrast=0.5), "n_images overlay selection decoding contrast"),
        (Setting("steering+", Strength(1.0), lens="x"), "strength mode empty positions lens"),
        (Setting("topk+", lens="x"), "n_images overlay selection lens"),
    ],
)
def test_facts_tell_what_takes_part(setting: Setting, told: str) -> None:
    assert setting.facts.keys() == {"method", "control", *told.split()}


def test_greedy_words_are_the_same_whatever_a_draw_would_have_been() -> None:
    greedy = Setting(decoding=Decoding(8, top_p=0.5, top_k=3, seed=4)).facts
    assert greedy == Setting(decoding=Decoding(8)).facts
    assert greedy != Setting(decoding=Decoding(9)).facts
    assert greedy == Setting(decoding=Decoding(8, n_samples=2)).facts, "a sample does not know of the others"
    drawn = Setting(decoding=Decoding(8, temperature=1.0)).facts
    assert drawn != greedy
    assert drawn != Setting(decoding=Decoding(8, temperature=1.0, seed=4)).facts
