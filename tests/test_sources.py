"""Raw rows: whatever the file, either a data set that can be audited or a clear complaint without a cell of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.dataset import Roles, ScrubbedDataset, ScrubbedText
from governance.errors import DataError
from governance.sources import Dataset, classes_of, digest_source, locate, read_dataset

ROLES = Roles("text", "label")
ROWS = [
    {"text": f"review number {i}", "label": i % 2, "city": None if i % 5 else "Riga", "age": 20 + i} for i in range(20)
]


def write(path: Path, rows: list[dict[str, object]] = ROWS) -> Path:
    table = pa.Table.from_pylist(rows)
    if ".parquet" in path.name:
        pq.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix in (".csv", ".tsv"):
        separator = "\t" if path.suffix == ".tsv" else ","
        lines = [
            separator.join(rows[0]),
            *(separator.join("" if v is None else str(v) for v in r.values()) for r in rows),
        ]
        path.write_text("\n".join(lines) + "\n")
    else:  # what datasets.Dataset.save_to_disk writes
        path.mkdir()
        with (
            pa.OSFile(str(path / "data-00000-of-00001.arrow"), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as out,
        ):
            out.write_table(table)
        (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    return path


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.jsonl", "d.parquet", "d.parquet.brotli", "folder"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    roles = Roles("text", "label", ("city", "band"))
    data = read_dataset(write(tmp_path / name), roles, bands={"band": ("age", [30])})
    assert data.raw_texts(np.arange(3)) == [f"review number {i}" for i in range(3)]
    assert data.labels == tuple(str(i % 2) for i in range(20))
    assert data.groups["city"] == tuple(None if i % 5 else "Riga" for i in range(20))
    assert data.groups["band"].count("under 30") == 10
    assert (data.read, data.empty) == (20, 0)


def test_a_csv_is_read_as_what_somebody_wrote(tmp_path: Path) -> None:
    lines = "".join(f'"NA, {i}\nnull",{"007" if i % 2 else "True"},{"" if i % 2 else "c1"}\n' for i in range(20))
    (tmp_path / "d.csv").write_text("text,label,shop\n" + lines)
    data = read_dataset(tmp_path / "d.csv", Roles("text", "label", cluster="shop"))
    assert data.raw_texts(np.array([3])) == ["NA, 3\nnull"]
    assert set(data.labels) == {"007", "True"}
    assert len(set(data.clusters)) == 11  # ten rows without a cluster stand alone


def test_a_band_reads_the_usual_words_for_nothing_as_missing(tmp_path: Path) -> None:
    ages = ["NA", "", "none", "25", "35.5"] * 4
    rows = "".join(f"t{i},{i % 2},{age}\n" for i, age in enumerate(ages))
    (tmp_path / "d.csv").write_text("text,label,age\n" + rows)
    data = read_dataset(tmp_path / "d.csv", Roles("text", "label", ("band",)), bands={"band": ("age", [30])})
    assert data.groups["band"][:5] == (None, None, None, "under 30", "30 and over")


def test_an_identifier_makes_no_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"text": f"t{i}", "label": i % 2, "who": f"p{i}"} for i in range(200)])
    with pytest.raises(DataError, match=r"column 'who' has 200 values, at most 100 make groups; is it an identifier"):
        read_dataset(path, Roles("text", "label", ("who",)))


def test_rows_without_text_or_label_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS, {**ROWS[0], "text": "  "}, {**ROWS[0], "label": None}, {**ROWS[0], "text": None}]
    data = read_dataset(write(tmp_path / "d.parquet", rows), ROLES)
    assert (len(data), data.read, data.empty) == (20, 23, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"text,label\n", "no rows"),
        (b"text,label\nAnn Smith,1,SECRET,4\n", "CSV parse error: Expected 2 columns, got 4"),
        (b"text,label\n\xff\xfe\xff,1\n", "expected UTF-8 text"),
        (b"text,kind\na,1\n", "data.label: no column 'label'. Known: kind, text"),
        (b"text,labels\na,1\n", "Did you mean 'labels'"),
        (b"text,label,text\na,1,b\n", "stands twice"),
        (b"text,label\n,1\n,0\n", "no row has both a text"),
    ],
)
def test_a_bad_csv_is_told_without_quoting_it(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_dataset(path, ROLES)
    assert message in str(raised.value)
    assert "Smith" not in str(raised.value)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(("name", "content"), [("d.parquet", b"PAR1 no"), ("d.jsonl", b"{not json"), ("d.xlsx", b"x")])
def test_a_file_of_another_kind_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a file of this format|JSON parse error|expected \.csv"):
        read_dataset(path, ROLES)


def test_a_sensitive_column_without_any_value_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "city": None} for row in ROWS]
    rows[0]["city"] = ""
    with pytest.raises(DataError, match="sensitive column 'city' has no value in any row"):
        read_dataset(write(tmp_path / "d.csv", rows), Roles("text", "label", ("city",)))


def test_a_band_needs_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", [{**row, "age": "old"} for row in ROWS])
    with pytest.raises(DataError, match="expected numbers in column 'age'"):
        read_dataset(path, Roles("text", "label", ("band",)), bands={"band": ("age", [30])})


@pytest.mark.parametrize(
    ("labels", "positive", "message"),
    [
        (["1"] * 20, None, "at least two classes, found one"),
        ([str(i) for i in range(20)] * 3, "99", "expected at least 4 rows in every class"),
        (["a"] * 10 + ["b"] * 10, "c", "no class 'c'. Known: a, b"),
        ([str(i % 60) for i in range(240)], None, "at most 50 classes, found 60"),
    ],
)
def test_labels_that_carry_no_task_are_refused(tmp_path: Path, labels: list[str], positive: str, message: str) -> None:
    path = write(tmp_path / "d.parquet", [{"text": f"t{i}", "label": label} for i, label in enumerate(labels)])
    with pytest.raises(DataError, match=message):
        classes_of(path, read_dataset(path, ROLES), ROLES, positive)


def test_two_classes_have_a_positive_one_and_three_have_none(tmp_path: Path) -> None:
    two = write(tmp_path / "two.parquet")
    assert classes_of(two, read_dataset(two, ROLES), ROLES, None).positive == "1"
    assert classes_of(two, read_dataset(two, ROLES), ROLES, "0").positive == "0"
    three = write(tmp_path / "three.parquet", [{"text": f"t{i}", "label": f"c{i % 3}"} for i in range(30)])
    assert classes_of(three, read_dataset(three, ROLES), ROLES, None).positive is None


def dataset(texts: list[str], labels: list[str]) -> Dataset:
    n = len(texts)
    return Dataset(texts=texts, labels=labels, rows=np.arange(n), groups={}, clusters=np.arange(n), read=n)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["Nice", "nice ", "NICE", "poor", "ｐｏｏｒ", "ok"]), min_size=12, max_size=80),
    st.integers(0, 9),
)
def test_the_same_text_is_never_on_both_sides(texts: list[str], seed: int) -> None:
    distinct = [f"filler {i}" for i in range(12)]
    data = dataset(texts + distinct, [str(i % 2) for i in range(len(texts) + 12)])
    split = data.split(rows=None, test_share=0.3, seed=seed)

    def folded(index: np.ndarray) -> set[str]:
        return {{"ｐｏｏｒ": "poor"}.get(t.strip().casefold(), t.strip().casefold()) for t in data.raw_texts(index)}

    assert not folded(split.train) & folded(split.test)
    assert sorted([*split.train, *split.test]) == list(range(len(data)))


def test_the_split_is_stratified_seeded_and_blind_to_order() -> None:
    texts, labels = [f"text {i}" for i in range(1000)], ["1" if i % 10 else "0" for i in range(1000)]
    data = dataset(texts, labels)
    split = data.split(rows=400, test_share=0.25, seed=3)
    assert (len(split.train), len(split.test)) == (300, 100)
    assert [labels[i] for i in split.test].count("0") == 10
    again = dataset(texts[::-1], labels[::-1]).split(rows=400, test_share=0.25, seed=3)
    assert {texts[i] for i in split.test} == {texts[::-1][i] for i in again.test}
    other = data.split(rows=400, test_share=0.25, seed=4)
    assert set(other.test) != set(split.test)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.995])
def test_every_class_stands_on_both_sides(share: float) -> None:
    data = dataset([f"t{i}" for i in range(20)] + ["x", "y"], ["a"] * 20 + ["b"] * 2)
    split = data.split(rows=None, test_share=share, seed=0)
    for side in (split.train, split.test):
        assert {data.labels[i] for i in side} == {"a", "b"}


def test_a_class_with_one_text_is_refused() -> None:
    data = dataset([f"t{i}" for i in range(20)] + ["the same"] * 5, ["a"] * 20 + ["b"] * 5)
    with pytest.raises(DataError, match="class 'b' has a single distinct text"):
        data.split(rows=None, test_share=0.3, seed=0)


def test_a_row_in_the_header_s_place_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("1,I am Ann Smith and live here\n0,other\n")
    with pytest.raises(DataError, match="does the file have a header row") as raised:
        read_dataset(tmp_path / "d.csv", ROLES)
    assert "Smith" not in str(raised.value)


def test_the_repr_shows_no_text() -> None:
    assert repr(dataset(["my name is Ann"], ["1"])) == "Dataset(<1 rows>)"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.csv", "no such file or folder"),
        ("package:no_such_package/x", "package 'no_such_package' is not installed"),
        ("package:configs/../pyproject.toml", "leads out of the package"),
        ("package:os.path/x", "is not installed"),
    ],
)
def test_a_source_that_is_not_there_is_told(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        locate(source, tmp_path)


def test_a_digest_sees_every_byte(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder")
    before = digest_source(folder)
    state = folder / "state.json"
    state.write_text(state.read_text() + " ")
    assert digest_source(folder) != before


def test_users_are_codes_and_survive_the_split(tmp_path: Path) -> None:
    rows = [{**row, "who": f"ann{i % 3}" if i % 4 else None} for i, row in enumerate(ROWS)]
    data = read_dataset(write(tmp_path / "d.parquet", rows), Roles("text", "label", unit="who"))
    assert data.units is not None
    assert (len(data.units), set(data.units.tolist())) == (len(ROWS), {-1, 0, 1, 2})
    same = [[row["who"] == other["who"] for other in rows] for row in rows]
    assert (np.equal.outer(data.units, data.units) == np.array(same)).all()
    assert read_dataset(write(tmp_path / "e.parquet", rows), ROLES).units is None


def test_scrubbed_rows_keep_their_users_and_files_without_any_still_load(tmp_path: Path) -> None:
    rows = ScrubbedDataset(
        rows=np.arange(3),
        texts=tuple(ScrubbedText(text) for text in "abc"),
        labels=("x", "y", "x"),
        groups={},
        clusters=np.arange(3),
        units=np.array([0, -1, 0]),
    )
    rows.take(np.array([2, 1])).save(tmp_path / "new.parquet")
    units = ScrubbedDataset.load(tmp_path / "new.parquet").units
    assert units is not None
    assert units.tolist() == [0, -1]
    dataclasses.replace(rows, units=None).save(tmp_path / "old.parquet")
    assert "unit" not in pq.read_table(tmp_path / "old.parquet").column_names
    assert ScrubbedDataset.load(tmp_path / "old.parquet").units is None
    with pytest.raises(ValueError, match="expected every column to have 3 rows"):
        dataclasses.replace(rows, units=np.array([0]))
