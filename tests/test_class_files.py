"""Data as a plain text file for each class: what is read, what is left out and counted, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import formats
from governance.audit import run_audit
from governance.config import load_config
from governance.dataset import Roles
from governance.errors import ConfigError, DataError
from governance.formats import ClassFiles, read_columns, read_whole
from governance.sources import digest_source, read_dataset
from governance.tables import marks, rows_digest
from tests.tiny import write_config

ROLES = Roles("text", "label")


def write(folder: Path, **files: bytes | str) -> ClassFiles:
    found = []
    for name, content in files.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        found.append((name, path))
    return ClassFiles(tuple(sorted(found)))


def rows(files: ClassFiles) -> list[tuple[str, str]]:
    data = read_dataset(files, ROLES)
    return list(zip(data.raw_texts(np.arange(len(data))), data.labels, strict=True))


def test_lines_are_rows_and_copies_are_one(tmp_path: Path) -> None:
    files = write(tmp_path, good="很好\r\n 很好 \n\n不错\nso so", bad="\ufeff差\u2028评\nso so\n  \n差\n差\n")
    assert rows(files) == [("差\u2028评", "bad"), ("差", "bad"), ("很好", "good"), ("不错", "good")]
    data = read_dataset(files, ROLES)
    assert (data.read, data.empty, data.found) == (4, 0, {"repeated lines": 2, "lines of two classes": 1})
    assert read_columns(files, ["label"], {}).column_names == ["label"]
    assert len(list(marks(files, np.array([0, 3])))) == 2
    assert (rows_digest(read_whole(files).to_batches(), 4) or "").startswith("sha256:")


def test_clean_files_have_nothing_to_tell(tmp_path: Path) -> None:
    assert read_dataset(write(tmp_path, good="a", bad="b"), ROLES).found == {}


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from(["x", "y", "z", "好", ""])), min_size=2))
def test_every_line_is_kept_once_or_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: dict[str, list[str]]
) -> None:
    files = write(tmp_path_factory.mktemp("f"), **{name: "\n".join(said) for name, said in lines.items()})
    owners: dict[str, set[str]] = {}
    for name, said in lines.items():
        for line in said:
            if line:
                owners.setdefault(line, set()).add(name)
    kept = sorted((line, *names) for line, names in owners.items() if len(names) == 1)
    assert sorted(zip(*(files.table[c].to_pylist() for c in ("text", "label")), strict=True)) == kept
    total = sum(bool(line) for said in lines.values() for line in said)
    disputed = [names for names in owners.values() if len(names) > 1]
    left_out = files.found.get("repeated lines", 0) + sum(map(len, disputed))
    assert len(kept) + left_out == total
    assert files.found.get("lines of two classes", 0) == len(disputed)


def test_a_digest_sees_every_file_and_is_that_of_their_folder(tmp_path: Path) -> None:
    files = write(tmp_path, good="a", bad="b")
    before = digest_source(files)
    assert before == digest_source(tmp_path)
    write(tmp_path, good="a", bad="c")
    assert digest_source(files) != before


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "好".encode("gbk")])
def test_another_encoding_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"bad\.txt: expected UTF-8 text, found another encoding at byte \d$"):
        rows(write(tmp_path, good="a", bad=content))


def test_folders_and_giants_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path, good="a" * 20, bad="b")
    with pytest.raises(DataError, match="expected a text file, found a folder"):
        rows(ClassFiles((("a", tmp_path), *files.files)))
    monkeypatch.setattr(formats, "MOST_BYTES", 10)
    with pytest.raises(DataError, match=r"good\.txt: expected at most 10 bytes, found 20"):
        rows(files)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data: expected either path, a file of rows, or files"),
        ({"path": "a.csv", "files": {"a": "a.txt", "b": "b.txt"}}, "data: expected either path"),
        ({"files": {"a": "a.txt"}}, "files: expected a file for each of two classes or more"),
        ({"files": {"a": "a.txt", "b": "b.txt"}, "groups": ["age"]}, "groups: expected none beside files"),
        ({"files": {"a": "a.txt", "b": "b.txt"}, "id": "key"}, "id: expected none beside files"),
        ({"files": {1: "a.txt", "b": "b.txt"}}, r"expected text \(put it in quotes\)"),
    ],
)
def test_a_config_names_one_source(tmp_path: Path, data: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(str(write_config(tmp_path / "c.yaml", data=data)))


def config(folder: Path, **changes: Any) -> Path:
    write(
        folder,
        good="\n".join(f"好看，第{i}次买" for i in range(120)) + "\n好看，第1次买\n一般",
        bad="\n".join(f"太差，第{i}次退" for i in range(80)) + "\n一般",
    )
    files = {"好评": "good.txt", "差评": "bad.txt"}
    settings = {"language": "zh", "evaluators": [{"name": "quality", "draws": 200}], **changes}
    return write_config(folder / "c.yaml", data={"files": files, "positive": "好评"}, **settings)


@pytest.mark.slow
def test_an_audit_of_files_counts_what_it_left_out(tmp_path: Path) -> None:
    path = config(tmp_path)
    done = run_audit(path, out=tmp_path / "runs")
    data = done.record.data
    assert (data.source, data.name) == ("good.txt, bad.txt", "good.txt, bad.txt")
    assert data.cleaning == {"repeated lines": 1, "lines of two classes": 1}
    assert (data.rows_read, data.rows_used, data.labels) == (200, 200, {"好评": 120, "差评": 80})
    assert data.digest == digest_source(ClassFiles((("a", tmp_path / "bad.txt"), ("b", tmp_path / "good.txt"))))
    (tmp_path / "bad.txt").write_text("太差\n", encoding="utf-8")
    with pytest.raises(DataError, match="at least 4 rows in every class"):
        run_audit(path, out=tmp_path / "runs")
    (tmp_path / "bad.txt").unlink()
    with pytest.raises(DataError, match=r"c\.yaml: data\.files\.差评: bad\.txt: no such file"):
        run_audit(path, out=tmp_path / "runs")


def test_predictions_of_rows_without_keys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,label\n0,好评\n", encoding="utf-8")
    path = config(tmp_path, models={"theirs": {"kind": "predictions", "path": "p.csv"}}, candidate="theirs")
    with pytest.raises(ConfigError, match=r"models\.theirs: .*plain texts by class don't have"):
        run_audit(path, out=tmp_path / "runs")
