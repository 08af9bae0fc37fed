"""The record: written once, checked when read, hostile until then."""

import json
from pathlib import Path

import pytest

from governance.errors import RecordError
from governance.files import digest_file
from governance.measure import Fact, NotMeasured, Slice, Unit
from governance.record import RECORD, RunRecord, load_record, save_record
from tests.test_policy import measured, record


def saved(directory: Path) -> RunRecord:
    (directory / "predictions").mkdir(parents=True)
    (directory / "predictions/m.parquet").write_bytes(b"rows")
    made = record(
        measured(0.1, None, slice=Slice.of(age="30")),
        Fact(metric="f", value=2, unit=Unit.NATS, method="claim"),
        NotMeasured(metric="n", model="m", reason="why"),
    ).model_copy(update={"files": {"predictions/m.parquet": digest_file(directory / "predictions/m.parquet")}})
    save_record(made, directory)
    return made


def test_a_record_comes_back_the_same(tmp_path: Path) -> None:
    made = saved(tmp_path)
    read = load_record(tmp_path)
    assert read == made
    assert read.digest() == made.digest()


def test_a_record_is_written_once(tmp_path: Path) -> None:
    made = saved(tmp_path)
    with pytest.raises(RecordError, match="a record is written once"):
        save_record(made, tmp_path)


def test_a_changed_or_missing_file_is_found(tmp_path: Path) -> None:
    saved(tmp_path)
    predictions = tmp_path / "predictions/m.parquet"
    predictions.write_bytes(b"rowz")
    with pytest.raises(RecordError, match="changed since the record was written"):
        load_record(tmp_path)
    predictions.unlink()
    with pytest.raises(RecordError, match="found nothing"):
        load_record(tmp_path)


def edit(directory: Path, change: dict[str, object]) -> None:
    path = directory / RECORD
    raw = json.loads(path.read_bytes())
    path.write_text(json.dumps({**raw, **change}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "expected schema_version 1, found 2"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"models": []}, None),
        ({"files": {"../../etc/passwd": "sha256:0"}}, "outside its own folder"),
        ({"outcomes": [{"kind": "measurement", "metric": "m", "value": float("nan")}]}, "outcomes.0"),
        ({"outcomes": [{"kind": "rumour"}]}, "outcomes.0"),
    ],
)
def test_a_hostile_record_is_refused(tmp_path: Path, change: dict[str, object], message: str | None) -> None:
    saved(tmp_path)
    edit(tmp_path, change)
    if message is None:
        assert load_record(tmp_path).models == ()
        return
    with pytest.raises(RecordError, match=message):
        load_record(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused_without_a_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(RecordError, match=r"not JSON|schema_version"):
        load_record(tmp_path)


def test_a_folder_without_a_record_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Is it a run directory"):
        load_record(tmp_path)
