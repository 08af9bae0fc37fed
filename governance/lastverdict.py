"""A run as it was last judged: record, terms and verdict as they lie there, checked, and not judged anew."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from governance.conclude import last_terms
from governance.errors import RecordError
from governance.evidence.folder import LATEST
from governance.evidence.signing import checking_keys
from governance.evidence.verify import check_run
from governance.policy import Terms, Verdict
from governance.record import RECORD, RunRecord, load_record
from governance.trail import VERDICT

MOST = 256 * 2**20
"""Bytes of a record or a verdict; one of a few thousand figures has a few megabytes."""


def last_verdict(directory: Path) -> tuple[RunRecord, Terms, Verdict]:
    """A run and its last judgement. One that was never judged is judged by the default policy, and nothing is written.

    That the verdict was reached on this very record is for `reports.view.View` to check, which takes its digest anyway.

    Raises:
        RecordError: not a run directory, or damaged.
        ConfigError: its policy is damaged.
    """
    _check_sizes(directory)
    check_run(directory, checking_keys())
    record, terms = load_record(directory), last_terms(directory)
    known = {entry.name for entry in record.models}
    for role, name in (("candidate", record.candidate), ("incumbent", record.incumbent)):
        if name is not None and name not in known:
            raise RecordError(f"{directory / RECORD}: the {role} is none of its models")
    last = directory / LATEST
    if not last.exists() and not last.is_symlink():
        return record, terms, terms.judge(record)
    verdict = _read(last / VERDICT)
    names = sorted(entry.name for entry in record.models)
    if verdict.candidate != record.candidate or sorted(one.model for one in verdict.models) != names:
        raise RecordError(f"{last / VERDICT}: speaks of other models than the record")
    return record, terms, verdict


def _check_sizes(directory: Path) -> None:
    for path in (directory / RECORD, directory / LATEST / VERDICT):
        if not path.resolve().is_relative_to(directory.resolve()):
            raise RecordError(f"{path}: leads outside of the run")
        if path.is_file() and path.stat().st_size > MOST:
            raise RecordError(f"{path}: expected at most {MOST:,} bytes, found {path.stat().st_size:,}")


def _read(path: Path) -> Verdict:
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RecordError(f"{path}: not a verdict that Steelyard wrote ({type(error).__name__})") from None
