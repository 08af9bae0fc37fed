"""From a record to a verdict and its renderings: for a fresh run, a gate and a year-old record alike."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from governance.files import digest_of, write_atomic
from governance.policy import Policy, Verdict, judge, load_policy
from governance.record import RunRecord, load_record
from governance.store import code_digest

ID_DIGITS = 12  # of a digest in a folder's name, for people to read out
POLICY = "policy.json"  # beside each verdict: what it was judged by


@dataclass(frozen=True)
class Result:
    """A finished audit: its evidence, its verdict, and where both are."""

    record: RunRecord
    policy: Policy
    verdict: Verdict
    directory: Path
    out: Path


def conclude(record: RunRecord, policy: Policy, directory: Path, *, language: str = "en") -> Result:
    """Judge a record and render it to `out/<digest of policy, language and renderer>/`, once."""
    from reports import render

    verdict = judge(record, policy)
    inputs = [record.digest(), policy.model_dump(mode="json"), language, code_digest("reports", "governance.policy")]
    out = directory / "out" / digest_of(inputs)[:ID_DIGITS]
    if not (out / "verdict.json").exists():
        rendered = dict(render(record, verdict, policy, language=language))
        whole = rendered.pop("verdict.json")
        for name, content in {**rendered, POLICY: policy.model_dump_json(indent=1).encode()}.items():
            write_atomic(out / name, content)
        write_atomic(out / "verdict.json", whole)  # last: a folder that has it is whole
    _point(directory / "latest", Path("out") / out.name)
    return Result(record, policy, verdict, directory, out)


def _point(link: Path, target: Path) -> None:
    """Make a symbolic link point to `target`, in one step."""
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() and not link.is_symlink():
        return  # a copy of a run, made without links; what it calls latest stays as it was copied
    new = link.with_name(f".latest-{os.getpid()}")
    new.symlink_to(target)
    new.replace(link)


def judge_again(directory: Path, policy: str | None, *, language: str) -> Result:
    """Judge and render an existing run, by a policy or, if none is named, by the one that it was last judged by.

    Raises:
        RecordError: not a run directory, or damaged.
        ConfigError: the policy can't be read.
    """
    record = load_record(directory)
    last = directory / "latest" / POLICY
    return conclude(record, load_policy(policy or (last if last.exists() else "launch")), directory, language=language)
