"""Stages by digest, a chained journal, and writes that can't be torn."""

import json
from pathlib import Path

import pytest

from governance.errors import RecordError
from governance.files import canonical, digest_file, write_atomic
from governance.journal import Journal
from governance.store import Store, code_digest, versions


def test_a_stage_is_there_only_when_it_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path = store.path("scrub", {"a": 1})
    with pytest.raises(RuntimeError, match="killed"), store.building(path) as working:
        (working / "half").write_text("x")
        raise RuntimeError("killed")
    assert not path.exists()
    with store.building(path) as working:
        assert (working / "half").read_text() == "x"  # what an interrupted attempt left
    assert (path / "half").exists()


def test_a_stage_depends_on_all_its_inputs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.path("s", {"a": 1, "b": 2}) == store.path("s", {"b": 2, "a": 1})
    assert store.path("s", {"a": 1}) != store.path("s", {"a": 2})


def test_the_store_is_private(tmp_path: Path) -> None:
    assert Store(tmp_path / "store").root.stat().st_mode & 0o777 == 0o700


def test_code_digest_sees_a_changed_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest("some_package")
    (package / "a.py").write_text("x = 2\n")
    code_digest.cache_clear()
    assert code_digest("some_package") != before
    code_digest.cache_clear()
    with pytest.raises(ValueError, match="no module"):
        code_digest("no_such_module")


def test_versions_leave_out_what_is_not_installed() -> None:
    assert "pydantic" in versions("pydantic", "no-such-distribution")
    assert "no-such-distribution" not in versions("pydantic", "no-such-distribution")


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_canonical_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"x": float("nan")})
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()


def test_a_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert digest_file(tmp_path / "f") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def journal(path: Path, count: int = 3) -> Journal:
    made = Journal(path)
    for number in range(count):
        made.append({"charged": number})
    return made


def test_a_journal_remembers(tmp_path: Path) -> None:
    journal(tmp_path / "j")
    again = Journal(tmp_path / "j")
    assert [entry["charged"] for entry in again.entries] == [0, 1, 2]
    again.append({"charged": 3})
    assert len(Journal(tmp_path / "j").entries) == 4


@pytest.mark.parametrize("change", ["edit", "remove", "insert", "swap", "garbage"])
def test_a_changed_journal_is_found(tmp_path: Path, change: str) -> None:
    path = tmp_path / "j"
    journal(path)
    lines = path.read_bytes().splitlines()
    changed = {
        "edit": [lines[0].replace(b'"charged":0', b'"charged":9'), *lines[1:]],
        "remove": [lines[0], lines[2]],
        "insert": [lines[0], json.dumps({"charged": 7, "previous": "0" * 64}).encode(), *lines[1:]],
        "swap": [lines[1], lines[0], lines[2]],
        "garbage": [b"\xff\x00", *lines],
    }[change]
    path.write_bytes(b"\n".join(changed) + b"\n")
    with pytest.raises(RecordError, match=r"chain breaks at line|is not a journal entry"):
        Journal(path)


@pytest.mark.parametrize("cut", range(1, 30, 7))
def test_a_torn_last_line_is_dropped_and_the_journal_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    journal(path)
    path.write_bytes(path.read_bytes()[:-cut])
    torn = Journal(path)
    assert [entry["charged"] for entry in torn.entries] == [0, 1]
    torn.append({"charged": 5})
    assert [entry["charged"] for entry in Journal(path).entries] == [0, 1, 5]
