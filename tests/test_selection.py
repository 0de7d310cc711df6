import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import FeatureNotFound
from seesay.selection import MAX_FEATURES, parse_along, parse_features


@pytest.mark.parametrize(
    ("text", "feature_ids"),
    [
        ("42", (42,)),
        ("0", (0,)),
        ("0-3", (0, 1, 2, 3)),
        ("7-7", (7,)),
        ("0-2,777", (0, 1, 2, 777)),
        (" 5 , 1 - 3 ", (5, 1, 2, 3)),
        ("007", (7,)),
    ],
)
def test_ids_and_ranges_are_read_in_the_order_given(text: str, feature_ids: tuple[int, ...]) -> None:
    assert parse_features(text) == feature_ids


@pytest.mark.parametrize(
    "text",
    [*("", "  ", ",", "1,", ",1", "1,,2", "1 2"), *("-1", "1-", "1--3", "1-2-3"), *("a", "all", "1.5", "1e3"), *"٣²"],
)
def test_what_is_no_selection_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(FeatureNotFound) as refusal:
        parse_features(text)
    assert "\n" not in str(refusal.value)
    assert "0-499,777" in str(refusal.value)


def test_a_range_that_counts_downwards_is_refused_with_the_right_one() -> None:
    with pytest.raises(FeatureNotFound, match=r"expected 3-9"):
        parse_features("9-3")


@pytest.mark.parametrize("text", ["4,4", "0-9,5", "5,0-9", "0-4,2-6"])
def test_a_feature_selected_twice_is_refused(text: str) -> None:
    with pytest.raises(FeatureNotFound, match="selected twice"):
        parse_features(text)


@pytest.mark.parametrize("text", ["0-999999999", "0-1000000", "0-900000,900001-1900000"])
def test_a_huge_selection_is_refused_before_it_is_built(text: str) -> None:
    with pytest.raises(FeatureNotFound, match="holds more than 1,000,000 features"):
        parse_features(text)


def test_the_largest_selection_is_read() -> None:
    assert len(parse_features(f"0-{MAX_FEATURES - 1}")) == MAX_FEATURES


def test_an_endless_text_is_refused_with_a_short_message() -> None:
    with pytest.raises(FeatureNotFound) as refusal:
        parse_features("9" * 5000)
    assert len(str(refusal.value)) < 250


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50, unique=True))
def test_a_list_of_ids_reads_back_as_itself(feature_ids: list[int]) -> None:
    assert parse_features(",".join(map(str, feature_ids))) == tuple(feature_ids)


@given(st.integers(0, 100_000), st.integers(0, 500))
def test_a_range_holds_both_its_ends_and_all_between(first: int, length: int) -> None:
    assert parse_features(f"{first}-{first + length}") == tuple(range(first, first + length + 1))


@given(st.text(max_size=30))
def test_any_text_is_either_read_or_refused_by_our_own_error(text: str) -> None:
    try:
        feature_ids = parse_features(text)
    except FeatureNotFound:
        return
    assert len(set(feature_ids)) == len(feature_ids) > 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, {}),
        (" ", {}),
        ("17:-1.5", {17: -1.5}),
        ("17:2, 3 : .5,4:1e2", {17: 2.0, 3: 0.5, 4: 100.0}),
    ],
)
def test_features_that_are_pushed_along_come_with_how_hard(text: str | None, found: dict[int, float]) -> None:
    assert parse_along(text) == found
    assert list(parse_along(text)) == list(found)


@pytest.mark.parametrize(
    "text", ["17", "17:", ":1", "17:x", "17:1,", "17:1,17:2", "17:nan", "17:inf", "-1:2", "17:1e999", "٣:1"]
)
def test_what_says_not_how_hard_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(FeatureNotFound) as refusal:
        parse_along(text)
    assert "\n" not in str(refusal.value)
