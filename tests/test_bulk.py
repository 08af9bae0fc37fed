"""Files and folders through a run: all but the texts stays, whatever the format and whatever is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.dataset import ScrubbedText
from governance.errors import DataError, ScrubError
from governance.privacy.files import bulk, kept
from governance.privacy.files.batch import LOST, rewrite_arrow, scrub_arrow
from governance.privacy.files.bulk import Summary, Work
from governance.privacy.files.csvrows import CsvRows
from governance.privacy.files.rowfiles import LIMIT
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber

TEXTS = ["me@x.org", "so soft", "邮箱a@b.cn谢谢", None, "", 'a "b"\nc, d@x.org\r\n']
KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int16(), pa.string_view()),
]  # fmt: skip


def shout(texts: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
    """A stand-in for the scrubber, so that these tests are about files."""
    if any("refuse" in text for text in texts):
        raise ScrubError("a text can't be passed on")
    return [(text.replace("@", "[AT]"), {"AT": text.count("@")} if "@" in text else {}) for text in texts]


WORK = Work({"test": 1}, partial(partial, rewrite_arrow, rewrite=shout))


def run(source: Path, out: Path, columns: Sequence[str] = ("text",), **settings: Any) -> Summary:
    return bulk.run(source, out, columns, WORK, workers=1, **settings)


def bad_rows(out: Path) -> list[tuple[int, str, bool]]:
    rows = map(json.loads, out.with_name(out.name + ".quarantine.jsonl").read_text().splitlines())
    return [(row.get("line") or row["row"], row["reason"], row["kept"]) for row in rows]


# -- Arrow --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_arrow_type_of_strings_keeps_its_type_and_nulls(kind: pa.DataType) -> None:
    column = pa.array(TEXTS, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(TEXTS)
    column = column.cast(kind) if kind.__class__ is not column.type.__class__ or kind != column.type else column
    out, report = rewrite_arrow(column, shout)
    assert out.type == kind
    assert out.to_pylist() == ["me[AT]x.org", "so soft", "邮箱a[AT]b.cn谢谢", None, "", 'a "b"\nc, d[AT]x.org\r\n']
    assert (report.texts, report.changed, report.counts) == (5, 3, {"AT": 3})


def test_dictionary_keeps_no_raw_value_that_no_row_uses() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["soft", "me@x.org"]))
    out, _ = rewrite_arrow(pa.chunked_array([column]), shout)
    assert out.dictionary.to_pylist() == ["soft"]


def test_text_that_is_refused_or_broken_costs_no_other() -> None:
    raw = pa.array([b"me@x.org", b"refuse me", b"\xff\xfe", None])
    column = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    out, report = rewrite_arrow(column, shout)
    assert out.to_pylist() == ["me[AT]x.org", LOST, LOST, None]
    assert [row for row, _ in report.unreadable] == [1, 2]
    assert (report.texts, report.changed) == (3, 3)


def test_column_that_is_no_text_is_refused() -> None:
    with pytest.raises(ScrubError, match="expected a column of strings, found int64"):
        rewrite_arrow(pa.array([1]), shout)


def test_scrubber_reads_arrow_in_both_languages() -> None:
    out, report = scrub_arrow(pa.array(TEXTS), Scrubber(load_policy("patterns")), "train")
    assert "@" not in json.dumps(out.to_pylist())
    assert report.counts == {"EMAIL_ADDRESS": 3}
    assert isinstance(Scrubber(load_policy("patterns")).scrub_many(["x"], "train")[0].text, ScrubbedText)


# -- JSON lines ---------------------------------------------------------------------------------

ODD_LINE = (
    '\ufeff{ "id" : 1e400, "n": 123456789012345678901234567890,"text" :  "me@x.org \\u00e9","te\\u0078t":"b@x.org",'
    '"in": {"text": "c@x.org"}, "k\\/": [1.50,null] }\r\n'
)


def test_rest_of_a_line_stays_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(ODD_LINE.encode())
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    expected = ODD_LINE.replace('"me@x.org \\u00e9"', '"me[AT]x.org \\u00e9"').replace("b@x", "b[AT]x")
    assert (tmp_path / "out.jsonl").read_bytes() == expected.encode()


def test_each_kind_of_bad_line_is_told_and_none_is_passed_on(tmp_path: Path) -> None:
    lines = [
        b'{"text": "ok@x.org"}', b'{"text": 5550123}', b'{"text": ["z@x.org"]}', b'{"text": {"a": "z@x.org"}}',
        b'{"text": true}', b'{"text": "z@x.org', b'"z@x.org"', b'{"text": "\xff z@x.org"}', b'{"text": "z@x.org"} z@x',
        b'{"text": null}', b"{}", b"", b'{"text": ' + b"[" * 100_000 + b"z@x.org", b'{"text": "refuse z@x.org"}',
        b'{"text": "' + b"z@x.org " * (LIMIT // 8) + b'"}', b'{"text": "end@x.org"}',
    ]  # fmt: skip
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    summary = run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    out = (tmp_path / "out.jsonl").read_bytes()
    assert b"@" not in out + (tmp_path / "out.jsonl.quarantine.jsonl").read_bytes()
    assert b"z[AT]" not in out
    assert [json.loads(line).get("text") for line in out.splitlines()] == [
        "ok[AT]x.org", LOST, LOST, LOST, LOST, None, None, LOST, "end[AT]x.org"
    ]  # fmt: skip
    assert bad_rows(tmp_path / "out.jsonl") == [
        (2, "the text is a number, not a string", True),
        (3, "the text is a list, not a string", True),
        (4, "the text is an object, not a string", True),
        (5, "the text is true or false, not a string", True),
        (6, "the line is not a JSON object", False),
        (7, "the line is not a JSON object", False),
        (8, "the line is not UTF-8", False),
        (9, "the line is not a JSON object", False),
        (13, "the line is nested too deeply", False),
        (14, "a text can't be passed on", True),
        (15, "the line is longer than 16 MiB", False),
    ]
    assert (summary.rows, summary.unreadable, summary.dropped) == (9, 5, 6)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)  # files, on a disk that others use too
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5), st.text(), st.booleans())
def test_any_json_keeps_all_but_the_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], text: str, plain: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [{**row, "text": text} for row in rows]
    lines = [json.dumps(row, ensure_ascii=plain) for row in rows]
    (folder / "in.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    run(folder / "in.jsonl", folder / "out.jsonl")
    out = [json.loads(line) for line in (folder / "out.jsonl").read_bytes().split(b"\n")]
    assert out == [{**row, "text": text.replace("@", "[AT]")} for row in rows]


# -- CSV ----------------------------------------------------------------------------------------


def test_csv_keeps_spelling_quotes_and_line_breaks(tmp_path: Path) -> None:
    given_bytes = (
        b'\xef\xbb\xbf"id",text,"a,""b"""\r\n007,"a@x.org,\r\n""b""", "x"\n1.0,5" wide,\r\n,"","q ""w"""\n8,\n'
    )
    (tmp_path / "in.csv").write_bytes(given_bytes)
    summary = run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == given_bytes.replace(b"@", b"[AT]").replace(b"8,\n", b"")
    assert bad_rows(tmp_path / "out.csv") == [(6, "expected 3 fields, found 2", False)]
    assert (summary.rows, summary.texts, summary.changed) == (3, 3, 1)


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet", "out.jsonl"])
def test_only_field_that_becomes_empty_stays_a_row(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_text("text\na@x.org\n邮箱\nb@x.org", encoding="utf-8")

    def empty(texts: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
        return [("" if "@" in text else text, {}) for text in texts]

    work = Work({"test": "empty"}, partial(partial, rewrite_arrow, rewrite=empty))
    assert bulk.run(tmp_path / "in.csv", tmp_path / name, ["text"], work, workers=1).rows == 3
    run(tmp_path / name, tmp_path / "back.jsonl")
    assert [json.loads(line)["text"] for line in (tmp_path / "back.jsonl").read_text().splitlines()] == ["", "邮箱", ""]


def test_broken_quotes_take_nothing_into_another_column(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(
        b'n,text\n1,ok\n2,"z@x.org" z@x.org\n3,\xff\n4,"two\nlines"\n5,"never closed\n6,z@x.org\n7,z@x.org\n'
    )
    summary = run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == b'n,text\n1,ok\n4,"two\nlines"\n'
    assert [(place, kept) for place, _, kept in bad_rows(tmp_path / "out.csv")] == [(3, False), (4, False), (7, False)]
    assert summary.dropped == 3
    assert "@" not in (tmp_path / "out.csv.quarantine.jsonl").read_text()


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@settings(deadline=None)  # files, on a disk that others use too
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6), st.sampled_from([0, 1, 3]), st.sampled_from("\t,")
)
def test_any_csv_that_python_writes_is_read_as_it_was_meant(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], quoting: int, separator: str
) -> None:
    if quoting == 3:  # without quotes a cell can't hold what needs them
        rows = [["".join(char for char in cell if char not in '\r\n\t,"') for cell in row] for row in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting, escapechar="\\" if quoting == 3 else None)  # type: ignore[arg-type]
    writer.writerows([["a", "text", "c"], *rows])
    if quoting == 3 and "\\" in buffer.getvalue():
        return
    path = tmp_path_factory.mktemp("any") / ("in.tsv" if separator == "\t" else "in.csv")
    path.write_bytes(buffer.getvalue().encode())
    file = CsvRows(path, ["text"])
    shards = list(file.shards())
    assert file.head() + b"".join(shard.render(shard.texts) for shard in shards) == path.read_bytes()
    assert [row for shard in shards for row in file.values(shard.render(shard.texts))] == rows
    assert [text for shard in shards for text in shard.texts.to_pylist()] == [row[1] for row in rows]


# -- Parquet and conversions ---------------------------------------------------------------------


def parquet(path: Path, kind: pa.DataType) -> pa.Table:
    text = (
        pa.array(TEXTS, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(TEXTS, kind)
    )
    table = pa.table(
        {
            "when": pa.array(range(6), pa.timestamp("us", tz="UTC")),
            "price": pa.array(["1.10"] * 6).cast(pa.decimal128(9, 2)),
            "text": text,
            "tags": [["a@x.org"], [], None, ["b"], None, None],
            "x\ny, \"z'": pa.array(range(6), pa.int8()),
        }
    ).replace_schema_metadata({"owner": "shop"})
    pq.write_table(table, path, row_group_size=4)
    return table


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[3]], ids=str)
def test_parquet_keeps_types_metadata_and_other_columns(tmp_path: Path, kind: pa.DataType) -> None:
    parquet(tmp_path / "in.parquet", kind)
    before = pq.read_table(tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    after = pq.read_table(tmp_path / "out.parquet")
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.drop_columns(["text"]).equals(before.drop_columns(["text"]))
    assert after["text"].to_pylist() == [text and text.replace("@", "[AT]") for text in TEXTS]


def test_text_column_that_is_no_text_is_refused_before_any_work(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match="column 'text': expected strings, found int64"):
        run(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet.part").exists()


def test_formats_turn_into_each_other(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "text": "邮箱a@b.cn", "p": 1.5},
        {"id": 8, "text": None, "p": 2},
        {"id": 9, "text": "", "p": None},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(tmp_path / "in.jsonl", tmp_path / "a.parquet")
    expected = {"id": [7, 8, 9], "text": ["邮箱a[AT]b.cn", None, ""], "p": [1.5, 2.0, None]}
    assert pq.read_table(tmp_path / "a.parquet").to_pydict() == expected
    run(tmp_path / "a.parquet", tmp_path / "b.jsonl")
    assert [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()] == [
        {**row, "text": row["text"] and "邮箱a[AT]b.cn"} for row in rows
    ]
    run(tmp_path / "a.parquet", tmp_path / "c.tsv")
    assert (tmp_path / "c.tsv").read_text() == '"id"\t"text"\t"p"\n7\t"邮箱a[AT]b.cn"\t1.5\n8\t\t2\n9\t""\t\n'
    (tmp_path / "d.csv").write_text('id,text\n007,"a@b.cn\nx"\nNA,\n')
    run(tmp_path / "d.csv", tmp_path / "d.parquet")
    assert pq.read_table(tmp_path / "d.parquet").to_pylist() == [
        {"id": "007", "text": "a[AT]b.cn\nx"}, {"id": "NA", "text": ""}
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_only_column_with_nulls_keeps_its_rows_as_csv(tmp_path: Path, ending: str) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": null}\n{"text": "邮箱a@b.cn"}\n{"text": ""}\n', encoding="utf-8")
    run(tmp_path / "in.jsonl", tmp_path / f"out.{ending}")
    assert (tmp_path / f"out.{ending}").read_text(encoding="utf-8") == '"text"\n""\n"邮箱a[AT]b.cn"\n""\n'


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_empty_json_lines_turn_into_any_format(tmp_path: Path, ending: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"")
    out = tmp_path / f"out.{ending}"
    assert run(tmp_path / "in.jsonl", out).rows == 0
    assert pq.read_table(out).num_rows == 0 if ending == "parquet" else out.read_bytes() == b""


def test_columns_that_a_format_cannot_hold_are_an_error_without_their_values(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "x", "v": 1}\n{"text": "y", "v": "z@x.org"}\n')
    with pytest.raises(DataError, match=r"can't be written as parquet") as caught:
        run(tmp_path / "in.jsonl", tmp_path / "out.parquet")
    assert "z@x.org" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


# -- runs ---------------------------------------------------------------------------------------


def lines(count: int) -> bytes:
    return b"".join(json.dumps({"n": n, "text": f"{n} me{n}@x.org"}).encode() + b"\n" for n in range(count))


def test_folder_keeps_names_and_formats(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "x.jsonl").write_bytes(lines(3))
    (folder / "a" / "empty.jsonl").write_bytes(b"")
    (folder / "y.csv").write_text("n,text\n1,a@x.org\n")
    (folder / "notes.txt").write_text("z@x.org")
    (folder / ".hidden.jsonl").write_text("z@x.org")
    summary = run(folder, tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert found == ["a/b/x.jsonl", "a/empty.jsonl", "y.csv"]
    assert (tmp_path / "out/a/b/x.jsonl").read_bytes() == lines(3).replace(b"@", b"[AT]")
    assert (summary.files, summary.rows, summary.left_out) == (3, 4, 1)
    assert run(folder, tmp_path / "out").reused
    (folder / "y.csv").write_text("n,text\n1,b@x.org\n")
    with pytest.raises(DataError, match="--force"):
        run(folder, tmp_path / "out")
    assert not run(folder, tmp_path / "out", force=True).reused
    assert (tmp_path / "out/y.csv").read_text() == "n,text\n1,b[AT]x.org\n"


def test_finished_output_is_recognised_until_it_is_touched(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(3) + b"broken\n")
    first = run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    again = run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert again.reused and again.counts == first.counts and not (tmp_path / "out.jsonl.part").exists()
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(DataError, match=r"it exists, and is not what this run would write"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine" and not (tmp_path / "out.jsonl.part").exists()
    (tmp_path / "in.jsonl").write_bytes(lines(3))
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", force=True).quarantine is None
    assert not (tmp_path / "out.jsonl.quarantine.jsonl").exists()


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 4])
def test_interrupted_run_does_no_shard_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(2600))
    seen: list[int] = []

    def counted(texts: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
        if len(seen) == after:
            raise Stopped
        seen.append(int(texts[0].split()[0]))
        return shout(texts)

    def work(rewrite: Any) -> Work:
        return Work({"test": 1}, partial(partial, rewrite_arrow, rewrite=rewrite))

    with pytest.raises(Stopped):
        bulk.run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", ["text"], work(counted), workers=1)
    part = tmp_path / "out.jsonl.part"
    assert part.exists() == bool(after) and not (tmp_path / "out.jsonl").exists()
    assert not after or part.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in part.rglob("*.shard"))
    rest: list[int] = []
    summary = bulk.run(
        tmp_path / "in.jsonl", tmp_path / "out.jsonl", ["text"],
        work(lambda texts: rest.append(int(texts[0].split()[0])) or shout(texts)), workers=1,
    )  # fmt: skip
    assert seen + rest == [0, 500, 1000, 1500, 2000, 2500]
    assert (summary.rows, summary.counts) == (2600, {"AT": 2600})
    assert (tmp_path / "out.jsonl").read_bytes() == lines(2600).replace(b"@", b"[AT]")


def test_input_that_changes_under_the_run_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(lines(600))

    def change(texts: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
        path.write_bytes(lines(700))
        return shout(texts)

    with pytest.raises(DataError, match="changed while it was read"):
        bulk.run(
            path, tmp_path / "out.jsonl", ["text"], Work({}, partial(partial, rewrite_arrow, rewrite=change)), workers=1
        )
    assert not (tmp_path / "out.jsonl").exists()


def test_places_that_cannot_be_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(lines(1))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "in" / "a.jsonl")
    (tmp_path / "hard.jsonl").hardlink_to(tmp_path / "in" / "a.jsonl")
    source = tmp_path / "in" / "a.jsonl"
    for out, why in [
        (source, "OUT is IN itself"), (tmp_path / "link.jsonl", "OUT is IN itself"),
        (tmp_path / "hard.jsonl", "OUT is IN itself"), (tmp_path / "out.xlsx", "expected an ending of"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=why):
            run(source, out, force=True)
    for out in (tmp_path / "in" / "out", tmp_path):
        with pytest.raises(DataError, match="within each other"):
            run(tmp_path / "in", out, force=True)
    with pytest.raises(DataError, match="OUT is a file, IN is a folder"):
        (tmp_path / "file.jsonl").write_bytes(b"")
        run(tmp_path / "in", tmp_path / "file.jsonl", force=True)
    assert source.read_bytes() == lines(1)


@pytest.mark.parametrize("beside", [".part", ".scrub.json", ".quarantine.jsonl", ".session"])
def test_input_that_stands_where_a_run_keeps_its_own_files_is_refused(tmp_path: Path, beside: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    place = tmp_path / f"x.jsonl{beside}"
    if beside == ".quarantine.jsonl":
        source = place
    else:
        place.mkdir()
        source = place / "in.jsonl"
    source.write_bytes(lines(1))
    for inside, out in ((source, "x.jsonl"), (source, "link/x.jsonl"), (place, "x.jsonl")):
        with pytest.raises(DataError, match=f"its own files at .*{beside}, where IN is"):
            run(inside, tmp_path / out, force=True)
    assert source.read_bytes() == lines(1)


def test_second_run_on_one_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(1))
    with bulk._alone(bulk._Places(tmp_path / "out.jsonl")), pytest.raises(DataError, match="another run is writing"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")


def test_unknown_column_names_the_nearest_and_no_cell(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(lines(1))
    with pytest.raises(DataError, match=r"no column 'txt'\. Did you mean 'text'"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", ["txt"])
    (tmp_path / "in.csv").write_text("1,I am Ann Smith call 212-555-0187\n2,x\n")
    with pytest.raises(DataError, match="does the file have a header row") as caught:
        run(tmp_path / "in.csv", tmp_path / "out.csv")
    assert "Ann" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_file_that_is_not_what_its_name_says_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\xff\xfe z@x.org" * 50)
    with pytest.raises(DataError) as caught:
        run(tmp_path / name, tmp_path / f"out{name}")
    assert "z@x.org" not in str(caught.value)


@pytest.mark.slow
def test_full_disk_is_told_and_what_is_done_is_kept(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        (tmp_path / "in.jsonl").write_bytes(lines(20_000))
        with pytest.raises(OSError, match="No space left") as caught:
            run(tmp_path / "in.jsonl", small / "out.jsonl")
        assert caught.value.errno == 28
        done = sorted((small / "out.jsonl.part").rglob("*.shard"))
        assert done and not (small / "out.jsonl").exists()
        before = {path: path.stat().st_mtime_ns for path in done}
        subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
        again = []
        monkeyed = kept.Job.keep
        try:
            kept.Job.keep = lambda job, number, *rest: again.append(number) or monkeyed(job, number, *rest)  # type: ignore[method-assign,assignment]
            run(tmp_path / "in.jsonl", small / "out.jsonl")
        finally:
            kept.Job.keep = monkeyed  # type: ignore[method-assign]
        assert again == list(range(len(before), 40))
        assert (small / "out.jsonl").read_bytes() == lines(20_000).replace(b"@", b"[AT]")
    finally:
        subprocess.run(["umount", small], check=True)


MEMORY = """
import resource, sys
from functools import partial
from pathlib import Path
from governance.privacy.files import bulk
from governance.privacy.files.batch import rewrite_arrow
def same(texts): return [(t, {}) for t in texts]
import pyarrow, pyarrow.parquet, pyarrow.csv
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work = bulk.Work({}, partial(partial, rewrite_arrow, rewrite=same))
bulk.run(Path(sys.argv[1]), Path(sys.argv[2]), ["text"], work, workers=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    texts = [f"{n} " + f"review {n * 7919} of a dress " * 12 for n in range(170_000)]  # 50 MB
    source = tmp_path / f"in.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"n": range(len(texts)), "text": texts}), source, use_dictionary=False)
    elif ending == "csv":
        pa.csv.write_csv(pa.table({"n": range(len(texts)), "text": texts}), source)
    else:
        source.write_text("".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    environment = {**os.environ, "PYTHONPATH": str(Path(bulk.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, source, tmp_path / f"out.{ending}"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert int(done.stdout) < 60_000  # kB above what the imports took; the file has 50,000 and more
