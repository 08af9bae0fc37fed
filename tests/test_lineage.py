"""What a record was made from: digests that don't depend on order, commits, and whether files differ from them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from governance import describe, run_audit
from governance.configfile import shipped
from governance.describe import code_version, config_version
from governance.formats import read_whole
from governance.groups.scan import batches
from governance.tables import MOST_DIGESTED, rows_digest
from tests import sample_record, test_tableaudit
from tests.tiny import write_config, write_reviews

ROWS = {"text": ["a b", "c", "c", "d, e"], "n": [1, 2, 2, None], "x": [0.5, 1.0, 1.0, 2.25]}


def digest(path: Path) -> str | None:
    table = read_whole(path)
    return rows_digest(table.to_batches(), table.num_rows)


def test_order_and_format_make_no_difference_and_a_cell_or_a_copy_does(tmp_path: Path) -> None:
    table = pa.table(ROWS)
    pq.write_table(table, tmp_path / "a.parquet")
    pa.csv.write_csv(table, tmp_path / "b.csv")
    pq.write_table(table.take([3, 1, 0, 2]).select(["x", "n", "text"]), tmp_path / "c.parquet")
    [same] = {digest(tmp_path / name) for name in ("a.parquet", "b.csv", "c.parquet")}
    assert same == rows_digest(batches(tmp_path / "b.csv"), 4)  # another reader
    for number, index in enumerate(([0, 1, 3], [0, 1, 2, 3, 3])):
        pq.write_table(table.take(index), tmp_path / f"{number}.parquet")
        assert digest(tmp_path / f"{number}.parquet") != same
    pq.write_table(pa.table({**ROWS, "n": [1, 2, 3, None]}), tmp_path / "d.parquet")
    assert digest(tmp_path / "d.parquet") != same


def test_too_many_rows_are_not_looked_at() -> None:
    def unread():
        pytest.fail("was looked at")
        yield

    assert rows_digest(unread(), MOST_DIGESTED + 1) is None


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for package in describe.PACKAGES:
        (folder / package).mkdir(parents=True)
        (folder / package / "a.py").write_text("x = 1\n")
    (folder / "c.yaml").write_text("audit: a\n")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_config_has_a_commit_of_its_own(repository: Path, tmp_path: Path) -> None:
    commit, dirty = config_version(repository / "c.yaml")
    assert commit is not None
    assert (len(commit), dirty) == (12, False)
    (repository / "runs").mkdir()
    (repository / "runs/record.json").touch()  # what an audit leaves changes nothing
    assert config_version(repository / "c.yaml") == (commit, False)
    (repository / "new.yaml").touch()
    assert config_version(repository / "new.yaml") == (commit, True)  # no commit has it
    (repository / "governance/a.py").write_text("x = 2\n")
    assert config_version(repository / "c.yaml") == (commit, True)
    assert config_version(tmp_path / "c.yaml") == (None, None)


def test_a_shipped_config_has_this_packages_version() -> None:
    [first, *_] = shipped("audits")
    assert config_version(Path(describe.HERE) / "configs/audits" / f"{first}.yaml") == (None, None)


def test_code_is_dirty_if_a_file_was_changed_or_added(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "HERE", repository)
    code, dirty = code_version({"steelyard": "1.0"})
    assert dirty is False
    assert code.startswith("steelyard 1.0, commit ")
    (repository / "notes.txt").touch()
    assert code_version({})[1] is False
    (repository / "evaluators/new.py").touch()
    assert code_version({})[1] is True


def test_records_from_before_keep_their_digest() -> None:
    made = sample_record.record().model_dump(mode="json")
    new = {"bases", "parts", "config_commit", "config_dirty"}
    assert not new & made["lineage"].keys()
    assert "rows_digest" not in made["data"]


@pytest.mark.slow
def test_an_audit_names_what_it_was_made_from(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    config = write_config(tmp_path / "c.yaml", evaluators=[{"name": "quality", "draws": 200}])
    record = run_audit(config, out=tmp_path / "runs").record
    assert record.data.rows_digest == digest(tmp_path / "reviews.csv")
    assert set(record.lineage.parts) == {"code", "probes", "evaluator quality"}
    assert {"python", "torch", "dp-accounting", "duckdb"} <= record.lineage.versions.keys()


@pytest.mark.slow
def test_an_audit_of_a_table_too(tmp_path: Path) -> None:
    path = test_tableaudit.decisions(tmp_path, 300)
    record = run_audit(test_tableaudit.config(tmp_path), out=tmp_path / "runs").record
    assert record.data.rows_digest == digest(path)
    assert set(record.lineage.parts) == {"code"}
