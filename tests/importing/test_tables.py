"""Tables of explanations: what is read of them, and where they say that they cannot be."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnreadableWords
from seesay.importing.config import LONGEST_TEXT, Format, Reading
from seesay.importing.reading import format_of, rows_of
from seesay.importing.rows import Row


def csv_of(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "words.csv"
    path.write_bytes(text.encode(encoding))
    return path


def parquet_of(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "words.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(*paths: Path, **reading: Any) -> list[Row]:
    formats: Sequence[Format] = [format_of(path) for path in paths]
    return list(rows_of(paths, formats, Reading(**reading), 1))


def told(rows: Sequence[Row]) -> list[tuple[int, int, str]]:
    return [(row.feature_id, row.sample, row.text) for row in rows]


def refusal(*paths: Path, **reading: Any) -> str:
    with pytest.raises(UnreadableWords) as error:
        read(*paths, **reading)
    assert "\n" not in str(error.value)
    return str(error.value)


WORDS = 'feature_id,text\n3,a frog\n5,"two lines,\nand a comma"\n7,\n'
READ = [(3, 0, "a frog"), (5, 0, "two lines,\nand a comma"), (7, 0, "")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_table_of_numbers_and_words_is_read_whoever_saved_it(tmp_path: Path, encoding: str, ending: str) -> None:
    path = tmp_path / "words.csv"
    path.write_bytes(WORDS.replace('comma"\n', 'comma"' + ending).replace("frog\n", "frog" + ending).encode(encoding))
    rows = read(path)
    assert told(rows) == READ
    assert {(row.name, row.control) for row in rows} == {("words", None)}


def test_a_parquet_file_of_the_same_gives_the_same(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, {"feature_id": [3, 5, 7], "text": ["a frog", READ[1][2], None], "more": [[1], [], [2]]})
    assert told(read(path)) == READ


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_texts_may_be_kept_in_parquet_in_any_way(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["a frog", None, "a frog"], pa.string()).cast(kind)
    path = parquet_of(tmp_path, {"feature_id": pa.array(["3", "5", "7"]), "text": texts})
    assert told(read(path)) == [(3, 0, "a frog"), (5, 0, ""), (7, 0, "a frog")]


def test_columns_may_be_called_otherwise(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "latent,description,text\n3,a frog,no\n")
    assert told(read(path, id_column="latent", text_column="description")) == [(3, 0, "a frog")]


def test_samples_names_and_controls_are_read_where_they_are_there(tmp_path: Path) -> None:
    path = csv_of(
        tmp_path,
        "feature_id,text,sample,method,explainer,strength,strength_unit,control,status\n"
        "3,a frog,0,topk,world:L,,,,ok\n"
        "3,a toad,1,topk,world:L,,,,ok\n"
        "3,a box,0,steering,world:L,2.0,residual_norm,random,ok\n"
        "3,,0,hybrid,world:L,2,residual_norm,,failed\n"
        "3,mine,0,imported,ann,,,,ok\n",
    )
    rows = read(path)
    assert [(row.name, row.sample, row.control) for row in rows] == [
        ("topk by world:L", 0, None),
        ("topk by world:L", 1, None),
        ("steering by world:L at 2.0 residual_norm", 0, "random"),
        ("ann", 0, None),
    ], "what failed is a matter of a machine, and no explanation"


def test_a_column_name_says_it_alone(tmp_path: Path) -> None:
    rows = read(csv_of(tmp_path, "feature_id,text,name,method\n3,a frog,ann,by hand\n4,a toad,,by hand\n"))
    assert [row.name for row in rows] == ["ann", "by hand"]


def test_a_name_that_is_given_is_for_words_of_one(tmp_path: Path) -> None:
    one = csv_of(tmp_path, "feature_id,text,name\n3,a frog,ann\n4,a toad,ann\n")
    assert {row.name for row in read(one, name="mine")} == {"mine"}
    two = csv_of(tmp_path, "feature_id,text,name\n3,a frog,ann\n4,a toad,bob\n")
    assert "line 3 of" in (said := refusal(two, name="mine"))
    assert "words of 'bob' after those of 'ann', and --name 'mine' for all; expected words of one, or no --name" in said


def test_a_control_that_is_given_is_for_rows_that_tell_none(tmp_path: Path) -> None:
    rows = read(csv_of(tmp_path, "feature_id,text,control\n3,a frog,\n4,a toad,permuted\n"), control="random")
    assert [row.control for row in rows] == ["random", "permuted"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no column feature_id or text, but none; expected the columns feature_id and text"),
        ("id,text\n", "has no column feature_id, but id, text"),
        ("feature_id;text\n1;a\n", "has no column feature_id or text, but feature_id;text"),
        ("feature_id,text,text\n", "has two columns text; expected one"),
        ("feature_id,text\n1,a,b\n", "line 2 of {path}: 3 cells; expected 2, one for each column"),
        ("feature_id,text\n1,a\nx,b\n", "line 3 of {path}: feature_id 'x'; expected a whole number from 0"),
        ("feature_id,text\n-1,a\n", "line 2 of {path}: feature_id '-1'"),
        ("feature_id,text\n1.0,a\n", "line 2 of {path}: feature_id '1.0'"),
        ("feature_id,text\n٣,a\n", "line 2 of {path}: feature_id '٣'"),
        ("feature_id,text\n12345678901,a\n", "line 2 of {path}: feature_id '12345678901'"),
        ("feature_id,text\n,a\n", "line 2 of {path}: feature_id ''"),
        ("feature_id,text,sample\n1,a,first\n", "line 2 of {path}: sample 'first'"),
        ("feature_id,text,control\n1,a,shuffled\n", "control 'shuffled'; expected nothing, or one of random, permuted"),
        ("feature_id,text,name\n1,a," + "n" * 201 + "\n", "expected 1 to 200 characters"),
        (f"feature_id,text\n1,{'a' * (LONGEST_TEXT + 1)}\n", "a text of more than 2000 characters"),
        ('feature_id,text\n1,"a"b\n', "after line 1 of {path}: ',' expected after '\"'; expected a comma-separated"),
        ('feature_id,text\n1,"never closed\n', "unexpected end of data"),
        (f"feature_id,text\n1,{'a' * 200_000}\n", "field larger than field limit (131072)"),
        (f"feature_id,text\n1,{'a' * (1 << 20)}\n", "a line of {path} has 1048576 characters or more"),
    ],
    ids=lambda text: text[:30],
)
def test_what_cannot_be_taken_says_where_it_stands_and_what_it_is(tmp_path: Path, text: str, said: str) -> None:
    path = csv_of(tmp_path, text)
    assert said.format(path=path) in refusal(path)


def test_another_encoding_is_told_with_what_to_do(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "feature_id,text\n1,ein Käfer\n", "latin-1")
    assert "is not in UTF-8, after line" in (said := refusal(path))
    assert f"expected UTF-8; save it so, or convert it: iconv -f latin1 -t utf-8 {path}" in said


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-32-le", "UTF-32"), ("utf-32-be", "UTF-32")],
)
def test_an_encoding_that_its_byte_order_mark_tells_is_told_with_the_command_that_converts_it(
    tmp_path: Path, encoding: str, name: str
) -> None:
    path = csv_of(tmp_path, "\ufefffeature_id,text\n1,ein Käfer\n", encoding)
    said = refusal(path)
    assert f"{path} is in {name}, by its byte order mark; expected UTF-8; " in said
    *command, _ = said.rpartition("convert it: ")[2].split(" ")
    assert command == ["iconv", "-f", name, "-t", "utf-8"]
    path.write_text(path.read_bytes().decode(name), "utf-8")  # as that command does
    assert told(read(path)) == [(1, 0, "ein Käfer")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"feature_id": [1]}, "has no column text, but feature_id"),
        ({"feature_id": [1], "text": [["a"]]}, "column text of {path} holds list<"),
        ({"feature_id": [1], "text": [b"a"]}, "column text of {path} holds binary"),
        ({"feature_id": [1], "text": [{"a": "b"}]}, "column text of {path} holds struct<"),
        ({"feature_id": [1, 2], "text": [3, 4]}, "row 1 of {path}: '3' where words should be; expected a text"),
        ({"feature_id": [1, None], "text": ["a", "b"]}, "row 2 of {path}: feature_id 'None'"),
        ({"feature_id": [1.0], "text": ["a"]}, "row 1 of {path}: feature_id '1.0'"),
        ({"feature_id": [True], "text": ["a"]}, "row 1 of {path}: feature_id 'True'"),
        ({"feature_id": [2**62], "text": ["a"]}, "row 1 of {path}: feature_id '4611686018427387904'"),
        ({"feature_id": [1, 2], "text": ["a", "b" * 3000]}, "row 2 of {path}: a text of more than 2000 characters"),
    ],
    ids=str,
)
def test_what_cannot_be_taken_of_parquet_says_the_same(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    path = parquet_of(tmp_path, columns)
    assert said.format(path=path) in refusal(path)


def test_a_text_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    path = parquet_of(tmp_path, {"feature_id": [1], "text": text})
    assert f"cannot read {path}" in refusal(path)


def test_a_long_text_in_a_million_rows_is_never_unpacked(tmp_path: Path) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int32()), pa.array(["a" * 1_000_000]))
    path = parquet_of(tmp_path, {"feature_id": pa.array(range(1_000_000)), "text": long})
    assert path.stat().st_size < 20_000_000
    assert "row 1 of" in refusal(path)
    most = pa.default_memory_pool().max_memory()
    assert most is not None
    assert most < 500_000_000, "the first 4096 rows alone would be eight times as much"


def test_damage_is_one_line(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, {"feature_id": list(range(1000)), "text": [f"word {each}" for each in range(1000)]})
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"PAR1" + bytes(100) + b"PAR1", b""):
        path.write_bytes(damaged)
        assert f"cannot read {path}" in refusal(path)
    path.write_bytes(content[:40] + bytes(200) + content[240:])
    assert f"cannot read {path}" in refusal(path)


def test_what_is_no_file_or_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    assert f"no file or folder {tmp_path / 'none.csv'}" in refusal(tmp_path / "none.csv")
    odd = tmp_path / "words.xlsx"
    odd.write_text("")
    assert "ends in '.xlsx'; expected .csv or .parquet; say what it is by --format" in refusal(odd)
    assert format_of(odd, "csv") == "csv"
    with pytest.raises(UnreadableWords, match="no file .*; expected a table of explanations"):
        list(rows_of([tmp_path], ["csv"], Reading(), None))


@given(st.lists(st.tuples(st.integers(0, 999_999_999), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))))
def test_both_kinds_of_table_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    with (folder / "words.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("feature_id", "text"), *written])
    columns = {"feature_id": pa.array([each for each, _ in written], pa.int64()), "text": [text for _, text in written]}
    parquet_of(folder, {**columns, "text": pa.array(columns["text"], pa.string())})
    expected = [(feature_id, 0, text) for feature_id, text in written]
    assert told(read(folder / "words.parquet")) == expected
    assert told(read(folder / "words.csv")) == expected
