"""Records of earlier versions of the schema are kept as they were written: they are still read, judged and rendered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from governance.policy import judge
from governance.record import SCHEMA, RunRecord, load_record
from reports import render
from tests.sample_record import POLICY

GOLDEN = Path(__file__).parent / "golden"
KEPT = {
    # By the code that wrote it: digest, verdict on each model.
    1: (
        "sha256:708787d97ab308f4bf929070083e992ffda76af49f517d45fda11c23e5b56956",
        {"baseline": "unproven", "open": "unproven", "open-private": "fail", "closed": "fail"},
    ),
}


def older(version: int, folder: Path) -> RunRecord:
    """Read as a run directory is; the files that it names are not kept, so they are left out of the copy."""
    raw = json.loads((GOLDEN / f"record-v{version}.json").read_bytes())
    assert raw["schema_version"] == version
    (folder / "record.json").write_text(json.dumps({**raw, "files": {}}), "utf-8")
    read = load_record(folder)
    return read.model_copy(update={"files": raw["files"]})


def test_every_version_has_its_golden_record() -> None:
    assert set(KEPT) == set(range(1, SCHEMA + 1))


@pytest.mark.parametrize("version", KEPT)
def test_an_older_record_keeps_its_digest_and_verdict(version: int, tmp_path: Path) -> None:
    digest, statuses = KEPT[version]
    record = older(version, tmp_path)
    assert record.digest() == digest
    assert {one.model: one.status.value for one in judge(record, POLICY).models} == statuses


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("version", KEPT)
def test_an_older_record_still_renders(version: int, language: str, tmp_path: Path) -> None:
    record = older(version, tmp_path)
    files = render(record, judge(record, POLICY), POLICY, language=language)
    for name in ("report.html", "summary.md", "junit.xml", "results.sarif", "verdict.json", "card/open-private.md"):
        assert len(files[name]) > 200, name
    assert b"0.780" in files["report.html"] and b"0.780" in files["card/open-private.md"]
    shutil.rmtree(tmp_path)
