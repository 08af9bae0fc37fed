"""From a record to a verdict and its renderings: for a fresh run, a gate and a year-old record alike."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from governance.files import digest_of, write_atomic
from governance.policy import Policy, Terms, Verdict, load_policy, load_waivers
from governance.policy.terms import POLICY
from governance.record import RunRecord, load_record
from governance.store import code_digest

ID_DIGITS = 12  # of a digest in a folder's name, for people to read out


@dataclass(frozen=True)
class Result:
    """A finished audit: its evidence, its verdict, and where both are."""

    record: RunRecord
    terms: Terms
    verdict: Verdict
    directory: Path
    out: Path

    @property
    def policy(self) -> Policy:
        """What was demanded."""
        return self.terms.policy


def conclude(record: RunRecord, terms: Terms, directory: Path, *, language: str = "en") -> Result:
    """Judge a record and render it to `out/<digest of terms, language and renderer>/`, once."""
    from reports import render

    verdict = terms.judge(record)
    inputs = [record.digest(), terms.identity(), language, code_digest("reports", "governance.policy")]
    out = directory / "out" / digest_of(inputs)[:ID_DIGITS]
    if not (out / "verdict.json").exists():
        rendered = dict(render(record, verdict, terms.policy, changes=terms.changes, language=language))
        whole = rendered.pop("verdict.json")
        for name, content in {**rendered, **terms.files()}.items():
            write_atomic(out / name, content)
        write_atomic(out / "verdict.json", whole)  # last: a folder that has it is whole
    _point(directory / "latest", Path("out") / out.name)
    return Result(record, terms, verdict, directory, out)


def _point(link: Path, target: Path) -> None:
    """Make a symbolic link point to `target`, in one step."""
    if link.is_symlink() and link.readlink() == target:
        return
    if link.exists() and not link.is_symlink():
        return  # a copy of a run, made without links; what it calls latest stays as it was copied
    new = link.with_name(f".latest-{os.getpid()}")
    new.symlink_to(target)
    new.replace(link)


def last_terms(directory: Path) -> Terms:
    """What a run was last judged by; the default policy if it never was.

    Raises:
        ConfigError: its policy is damaged.
        RecordError: its waivers or changes are.
    """
    last = directory / "latest"
    return Terms.read(last) if (last / POLICY).exists() else Terms(policy=load_policy("launch"))


def gate_run(directory: Path, *, policy: str | None = None, waivers: Path | None = None, language: str) -> Result:
    """Judge an existing run today: by the policy and the waivers that it was last judged by, unless others are named.

    Raises:
        RecordError: not a run directory, or damaged.
        ConfigError: policy or waivers can't be read.
    """
    record, last, given = load_record(directory), last_terms(directory), None
    if waivers is not None:
        given = load_waivers(waivers)
    terms = replace(
        last,
        policy=last.policy if policy is None else load_policy(policy),
        waivers=last.waivers if given is None else given,
        today=datetime.now(UTC).date(),
    )
    return conclude(record, terms, directory, language=language)


def render_again(directory: Path, *, language: str) -> Result:
    """Render an existing run's last judgement, as it was on its day.

    Raises:
        RecordError: not a run directory, or damaged.
    """
    return conclude(load_record(directory), last_terms(directory), directory, language=language)
