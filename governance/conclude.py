"""From a record to a verdict and its renderings: for a fresh run, a gate and a year-old record alike."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from governance.errors import ConfigError
from governance.evidence.attest import save_manifest
from governance.evidence.folder import LATEST, OUT
from governance.evidence.signing import checking_keys, signing_key
from governance.evidence.statement import MANIFEST, judgement_inputs, judgement_name
from governance.evidence.verify import check_judgement, check_run
from governance.files import digest_bytes, digest_of, private_folder, write_atomic
from governance.policy import Policy, Terms, Verdict
from governance.policy.terms import OUTCOMES, POLICY
from governance.record import RunRecord, load_record
from governance.statements import families
from governance.store import code_digest
from governance.trail import VERDICT, around
from governance.waiverkeys import waiver_keys

RENDERER = ("reports", "governance.policy", "governance.decision")
"""The code that a rendering depends on."""
ID_DIGITS = 12  # of a digest in a folder's name, for people to read out

Act: TypeAlias = Literal["judgement", "gate", "report"]


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

    def told(self) -> dict[str, object]:
        """What `--json` prints: the verdict, all that it was reached by beside the record, and where both are."""
        verdict, terms = self.verdict, self.terms
        return {
            **verdict.model_dump(mode="json"),
            "status": verdict.status.value,
            "exit_code": verdict.exit_code,
            "waivers": [use.model_dump(mode="json") for use in verdict.waivers],
            "baseline": verdict.baseline,
            "changes": OUTCOMES.dump_python(terms.changes, mode="json"),
            "statements": [one.to_json() for one in families(self.record, terms.policy, terms.changes)],
            "run": str(self.directory),
            "out": str(self.out),
        }


def conclude(
    record: RunRecord, terms: Terms, directory: Path, *, language: str = "en", act: Act = "judgement"
) -> Result:
    """Judge a record and render it to `out/<digest of record, terms, language and renderer>/`, once.

    Args:
        record: what was measured.
        terms: what it is held against.
        directory: of the run.
        language: of the reports, "en" or "zh".
        act: what the audit trail calls it.

    Raises:
        RecordError: this judgement is there already, but not as it was written.
        ConfigError: the environment names a signing key that can't be used.
    """
    verdict = terms.judge(record)
    renderer = code_digest(*RENDERER)
    inputs = judgement_inputs(record.digest(), digest_of(terms.identity()), language, renderer)
    out = directory / "out" / judgement_name(inputs)
    contents = {} if (out / MANIFEST).exists() else contents_of(record, terms, verdict, language)
    result = Result(record, terms, verdict, directory, out)
    trail = around(directory, record.audit)
    with trail.turn() if trail else contextlib.nullcontext():
        fresh = not (out / MANIFEST).exists()  # asked again: another process may have had its turn
        if not fresh:
            check_judgement(directory, out.name)
        if trail and (fresh or act == "gate" or not _points(directory / LATEST, out)):
            trail.note(act, _line(result, contents[VERDICT] if fresh else (out / VERDICT).read_bytes(), language))
        if fresh:
            if trail and out.exists():
                shutil.rmtree(out)  # an attempt that was cut off; nobody else is at work in our turn
            for name, content in contents.items():
                write_atomic(private_folder((out / name).parent) / name.rpartition("/")[2], content)
            save_manifest(record, inputs, contents, out, signing_key())  # last: a folder that has it is whole
        for left in directory.glob(f".{LATEST}-*") if trail else ():
            left.unlink()
        _point(directory / LATEST, Path(OUT) / out.name)
    return result


def contents_of(record: RunRecord, terms: Terms, verdict: Verdict, language: str) -> Mapping[str, bytes]:
    """All files of a judgement but its manifest: path from its folder -> content."""
    from reports import render

    rendered = render(record, verdict, terms.policy, changes=terms.changes, places=terms.places, language=language)
    return {**rendered, **terms.files()}


def _line(result: Result, verdict: bytes, language: str) -> dict[str, object]:
    """What the audit trail tells of a judgement."""
    record, said, policy = result.record, result.verdict, result.terms.policy
    return {
        "run": f"{record.audit}/{result.directory.absolute().name}",
        "record": record.digest(),
        "policy": {
            "name": policy.name,
            "version": policy.version,
            "digest": "sha256:" + digest_of(policy.model_dump(mode="json")),
        },
        "candidate": said.candidate,
        "verdicts": {one.model: str(one.status) for one in said.models},
        "waivers": sorted(use.waiver.id for use in said.waivers if use.counts),
        "baseline": said.baseline,
        "language": language,
        "out": result.out.name,
        "verdict": digest_bytes(verdict),
    }


def _points(link: Path, target: Path) -> bool:
    """Whether a link leads there; a copy made without links has a folder, which stays what it was."""
    return (link.exists() and not link.is_symlink()) or link.resolve() == target.resolve()


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
    return Terms.read(last) if (last / POLICY).exists() else Terms.load("launch")


def reopen(
    directory: Path,
    *,
    policy: Path | str | None = None,
    waivers: Path | None = None,
    keys: Sequence[Path] = (),
) -> tuple[RunRecord, Terms]:
    """An existing run's record, checked, and what it is held against today: what it last was, unless others are named.

    Signatures of waivers are checked anew, by the keys given or those of the environment.

    Raises:
        RecordError: not a run directory, or damaged.
        ConfigError: policy, waivers or a key can't be read, or a waiver's signature is wrong.
    """
    check_run(directory, checking_keys())
    terms = replace(last_terms(directory), today=datetime.now(UTC).date())
    if policy is not None:
        terms = terms.under(policy)
    if waivers is not None:
        terms = terms.waived(waivers)
    return load_record(directory), terms.trusting(waiver_keys(keys))


def gate_run(
    directory: Path,
    *,
    policy: str | None = None,
    waivers: Path | None = None,
    baseline: Path | None = None,
    state: Path | None = None,
    keys: Sequence[Path] = (),
    language: str,
) -> Result:
    """Judge an existing run today; see `reopen`.

    Args:
        directory: of the run.
        policy: a path or name.
        waivers: their file.
        baseline: directory of an earlier run; changes and drift are measured from it.
        state: file that keeps the evidence of many nights against that run; see `governance.nightly`.
        keys: public keys of those who may approve waivers.
        language: of the reports, "en" or "zh".

    Raises:
        RecordError: not a run directory, or damaged; or the baseline is of another task.
        ConfigError: policy, waivers or a key can't be read, a waiver's signature is wrong, or the state is another
            baseline's.
    """
    if state is not None and baseline is None:
        raise ConfigError("--state: expected --baseline beside it, the run that the evidence is held against")
    record, terms = reopen(directory, policy=policy, waivers=waivers, keys=keys)
    if baseline is not None:
        terms = _since(terms, record, directory, baseline, state)
    return conclude(record, terms, directory, language=language, act="gate")


def _since(terms: Terms, record: RunRecord, directory: Path, baseline: Path, state: Path | None) -> Terms:
    """The terms with all that changed since an earlier run."""
    from governance.baseline import changes_since
    from governance.drift import drift_since
    from governance.nightly import evidence_since

    check_run(baseline, checking_keys())
    earlier = load_record(baseline)
    runs = (record, directory, earlier, baseline)
    changes = (*changes_since(*runs), *drift_since(*runs), *evidence_since(*runs, state))
    return replace(terms, changes=changes, baseline=earlier.digest())


def render_again(directory: Path, *, language: str) -> Result:
    """Render an existing run's last judgement, as it was on its day.

    Raises:
        RecordError: not a run directory, or damaged.
    """
    check_run(directory, checking_keys())
    return conclude(load_record(directory), last_terms(directory), directory, language=language, act="report")
