"""What a run leaves is its owner's alone, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance import run_audit
from governance.conclude import gate_run
from governance.files import make_private, private_folder
from governance.trainrun import run_training
from tests import test_tableaudit, test_trainrun
from tests.fakeserver import fake_server
from tests.tiny import write_config, write_reviews


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What group or others may touch, the folder itself included; links have no mode of their own."""
    found = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    assert len(found) > 5
    return [f"{path.relative_to(folder)} {path.stat().st_mode:o}" for path in found if path.stat().st_mode & 0o077]


def test_new_folders_are_private_and_old_ones_stay(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o775)
    private_folder(tmp_path / "shared/a/b")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("shared", "shared/a", "shared/a/b")]
    assert modes == [0o775, 0o700, 0o700]
    (tmp_path / "f").touch(mode=0o644)
    make_private(tmp_path / "f")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_an_audit_is_its_owners_alone(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    with fake_server() as fake:
        models = {
            "baseline": {"kind": "tfidf-logistic"},
            "closed": {"kind": "openai", "model": "fake", "prompt": "recommend.en.v1", "rows": 9, "base_url": fake.url},
        }
        config = write_config(tmp_path / "c.yaml", models=models, evaluators=[{"name": "quality", "draws": 200}])
        result = run_audit(config, out=tmp_path / "deep/runs")
    gate_run(result.directory, language="zh")
    assert open_to_others(tmp_path / "deep") == []
    assert {path.name for path in (tmp_path / "deep/runs").rglob("*")} >= {
        "trail.jsonl", ".stages", "answers.sqlite", "train.parquet", "closed.parquet", "record.json", "report.html",
    }  # fmt: skip


@pytest.mark.slow
def test_a_run_that_was_opened_to_a_group_stays_open(tmp_path: Path) -> None:
    test_tableaudit.decisions(tmp_path)
    config = test_tableaudit.config(tmp_path)
    result = run_audit(config, out=tmp_path / "runs")
    assert open_to_others(tmp_path / "runs") == []
    for folder in (tmp_path / "runs", tmp_path / "runs/credit", result.directory):
        folder.chmod(0o750)
    run_audit(config, out=tmp_path / "runs")
    gate_run(result.directory, language="zh")
    assert {path.split()[0] for path in open_to_others(tmp_path / "runs")} == {
        ".",
        "credit",
        f"credit/{result.record.run}",
    }


@pytest.mark.slow
def test_a_model_is_its_owners_alone(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    run_training(str(test_trainrun.config(tmp_path)), out=tmp_path / "models")
    assert open_to_others(tmp_path / "models") == []
