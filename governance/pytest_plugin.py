"""A fixture for pytest, `steelyard`: controls as assertions that say why they don't hold.

    def test_groups_are_treated_alike(steelyard):
        run = steelyard.latest("runs/quickstart")
        assert run.passes("fairness.equalized-odds")

Every project that has Steelyard installed loads this module whenever it runs pytest: it imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from governance.policy import Finding, Policy, Verdict
    from governance.record import RunRecord

_ASKED: pytest.StashKey[list[Held]] = pytest.StashKey()
"""What a test has asked and did not hold, told again in full where the test fails."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--steelyard-run` and the ini values `steelyard_run` and `steelyard_policy`."""
    group = parser.getgroup("steelyard")
    group.addoption("--steelyard-run", metavar="RUN", help="the run that `steelyard.run()` reads")
    parser.addini("steelyard_run", "the run that `steelyard.run()` reads, from the root directory")
    parser.addini("steelyard_policy", "policy by path or name; default: the one that a run was last judged by")


@pytest.fixture
def steelyard(request: pytest.FixtureRequest) -> Steelyard:
    """Judged runs, and audits, whose controls can be asserted."""
    asked = request.node.stash.setdefault(_ASKED, [])
    return Steelyard(request.config, asked)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say in full why controls didn't hold, under the failure: pytest shortens what stands in an assertion."""
    report = yield
    unmet = item.stash.get(_ASKED, [])
    if report.when == "call" and report.failed and unmet:
        report.sections.append(("steelyard", "\n".join(held.told() for held in unmet)))
    return report


class Held:
    """Whether a control holds for a model: true if each of its findings passes or is waived; unproven is not true."""

    def __init__(self, control: str, model: str, findings: tuple[Finding, ...]) -> None:
        self.control, self.model, self.findings = control, model, findings

    def __bool__(self) -> bool:
        return bool(self.findings) and not self.unmet

    @property
    def unmet(self) -> tuple[Finding, ...]:
        """The findings that neither pass nor are waived."""
        return tuple(one for one in self.findings if one.status.value != "pass" and one.waiver is None)

    @property
    def waivers(self) -> tuple[str, ...]:
        """Ids of the waivers that cover what doesn't pass."""
        return tuple(sorted({one.waiver for one in self.findings if one.waiver is not None}))

    def __repr__(self) -> str:
        if not self.findings:
            return f"<{self.control}: says nothing about {_clean(self.model)}>"
        worst = sorted(
            self.unmet or self.findings, key=lambda one: ("fail", "unproven", "pass").index(one.status.value)
        )
        more = f" (and {len(worst) - 1} more)" if self.unmet and len(worst) > 1 else ""
        return f"<{_line(worst[0])}{more}>"

    def told(self) -> str:
        """Every finding that is not met, a line each."""
        return "\n".join(_line(one) for one in self.unmet) or repr(self)


def _line(finding: Finding) -> str:
    """One finding: its status, bound, figure with its interval, and reason."""
    waived = f", waived by {finding.waiver}" if finding.waiver else ""
    where = "" if finding.slice == "everyone" else f", {_clean(finding.slice)}"
    return (
        f"{finding.control}: {finding.status.value}{waived}; {_clean(finding.model)}{where}: "
        f"must be {finding.bound}, is {_clean(finding.reason, 300).removeprefix('is ')}"
    )


def _clean(text: str, limit: int = 60) -> str:
    from reports.text import clean

    return clean(text, limit)


@dataclass(frozen=True)
class Run:
    """A judged run: `passes` asks one control; record, verdict and policy are there for anything else."""

    directory: Path
    record: RunRecord
    policy: Policy
    verdict: Verdict
    asked: list[Held]

    def __repr__(self) -> str:  # assertions print it, and a record is long
        return f"<{self.directory}: {self.verdict.status.value}>"

    def passes(self, control: str, *, model: str | None = None) -> Held:
        """Whether a control holds.

        Args:
            control: its id in the policy.
            model: of the record; absent: the candidate.

        Raises:
            ConfigError: the policy has no such control, or the record no such model; the message names the nearest.
        """
        from governance.errors import ConfigError
        from governance.registry import nearest

        ids = [one.id for one in self.policy.controls]
        if control not in ids:
            raise ConfigError(f"policy '{self.policy.name}' has no control '{control}'. {nearest(control, ids)}")
        models = {one.model: one.findings for one in self.verdict.models}
        model = self.record.candidate if model is None else model
        if model not in models:
            raise ConfigError(f"{self.directory}: no model '{model}' in the record. {nearest(model, models)}")
        held = Held(control, model, tuple(one for one in models[model] if one.control == control))
        if not held:
            self.asked.append(held)
        return held


class Steelyard:
    """Where runs come from. Judging again, by the policy that the ini file names, writes nothing."""

    def __init__(self, config: pytest.Config, asked: list[Held]) -> None:
        self._config, self._asked = config, asked

    def run(self, path: str | Path | None = None) -> Run:
        """A run's record, judged today.

        Args:
            path: the run's folder; absent: what `--steelyard-run` or the ini value `steelyard_run` names.

        Raises:
            UsageError: no run is named.
            SteelyardError: it is no run, or damaged, or the policy can't be read.
        """
        from governance.conclude import reopen

        named = path or self._named()
        if named is None:
            raise pytest.UsageError("steelyard.run(): name a run's folder, or give --steelyard-run RUN")
        record, terms = reopen(Path(named), policy=self._policy())
        return Run(Path(named), record, terms.policy, terms.judge(record), self._asked)

    def latest(self, folder: str | Path) -> Run:
        """The newest run in an audit's folder, such as "runs/quickstart".

        Raises:
            RecordError: the folder holds no run.
        """
        from governance.errors import RecordError
        from governance.record import RECORD

        found = {path.parent: _created(path) for path in Path(folder).glob(f"*/{RECORD}")}
        if not found:
            raise RecordError(f"{folder}: no run in it; expected folders with a {RECORD}")
        return self.run(max(found, key=lambda directory: (found[directory], directory.name)))

    def audit(self, config: str | Path, *, out: str | Path = "runs") -> Run:
        """Run (or resume) the audit in a config, by the config's policy unless the ini file names one.

        Raises:
            SteelyardError: what the user can mend.
        """
        from governance.audit import run_audit

        result, policy = run_audit(str(config), out=Path(out)), self._policy()
        terms = result.terms if policy is None else result.terms.under(policy)
        return Run(result.directory, result.record, terms.policy, terms.judge(result.record), self._asked)

    def _named(self) -> str | Path | None:
        option, value = self._config.getoption("--steelyard-run"), self._config.getini("steelyard_run")
        return option or (self._config.rootpath / value if value else None)

    def _policy(self) -> Path | str | None:
        """What the ini file names: a path from the root directory if there is such a file, else a shipped policy."""
        policy = self._config.getini("steelyard_policy")
        path = self._config.rootpath / policy
        return None if not policy else path if path.is_file() else policy


def _created(path: Path) -> str:
    """When a record was made, in UTC; what can't be read is older than anything."""
    try:
        return str(json.loads(path.read_bytes())["created"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""  # `load_record` says what is wrong with it, if it is the only one
