"""What `steelyard policy` does: explain and check policies before a run, and sign waivers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.config import load_config
from governance.configfile import find, read_yaml, shipped
from governance.errors import ConfigError
from governance.evidence.signing import SIGNING, signing_key
from governance.policy import Control, Policy, Waiver, bound_of, load_policy, load_waivers
from governance.policy.check import Problem, check_policy, check_waivers
from governance.policy.places import Place, controls_in, waivers_in
from governance.policy.scope import Scope
from governance.policy.waivers import signed
from governance.policyscope import scope_of
from governance.record import RunRecord, load_record
from governance.registry import nearest
from governance.tableconfig import load_table_config
from governance.taskconfig import load_task_config
from governance.vocabulary import vocabulary
from governance.waiverkeys import sign_waiver, waiver_keys
from reports.text import Texts

WRONG = 2


@dataclass(frozen=True)
class Checked:
    """One file's policy, or one file of waivers, and what is wrong with it.

    Attributes:
        source: as it was named.
        policy: None for a file of waivers.
        problems: errors and warnings.
        lines: control or waiver -> where it stands.
    """

    source: str
    policy: Policy | None
    problems: Sequence[Problem]
    lines: Mapping[str, Place]

    @property
    def wrong(self) -> bool:
        """Whether the check fails."""
        return any(problem.weight == "error" for problem in self.problems)


def check_command(
    paths: Sequence[str],
    *,
    echo: Callable[[str], None],
    config: str | None,
    run: Path | None,
    waivers: Path | None,
    keys: Sequence[Path],
    quiet: bool,
    as_json: bool,
) -> int:
    """Check policies, the policies of audit configs, and files of waivers.

    Args:
        paths: files, or names of what ships.
        echo: where to print.
        config: an audit's, whose run the policies are for.
        run: one whose record the policies are held against.
        waivers: their file, held against each policy.
        keys: public keys that signatures of waivers are held against.
        quiet: print problems alone.
        as_json: print one JSON value.

    Returns:
        The exit code: 2 if anything is wrong, else 0; warnings alone are 0.

    Raises:
        ConfigError: a file can't be read, or is of another kind.
        RecordError: the run's record is damaged.
    """
    check = _Check(
        scope=None if config is None else scope_of(config),
        record=None if run is None else load_record(run),
        waivers=waivers,
        keys=keys,
    )
    checked = [one for path in paths for one in check.of(path)]
    code = WRONG if any(one.wrong for one in checked) else 0
    if as_json:
        found = {"files": [_as_json(one) for one in checked], "exit_code": code}
        echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for line in _told(checked, quiet=quiet):
            echo(line)
    return code


def sign_command(waivers: Path, *, echo: Callable[[str], None], name: str, key: Path | None) -> int:
    """Put an approver's signature into a file of waivers.

    Raises:
        ConfigError: no key, no such waiver, or the file can't be edited.
    """
    found = signing_key(key)
    if found is None:
        raise ConfigError(f"expected a private key: --key FILE, or {SIGNING}; `steelyard keygen FILE` makes one")
    waiver = sign_waiver(waivers, name, found)
    echo(f"{waivers}: waiver '{name}' signed for {waiver.approver}, until {waiver.expires}")
    return 0


@dataclass(frozen=True)
class _Check:
    """What files are held against."""

    scope: Scope | None
    record: RunRecord | None
    waivers: Path | None
    keys: Sequence[Path]

    def of(self, source: str) -> list[Checked]:
        """A policy, the policy of a config, or a file of waivers; with the waivers that belong to it."""
        path, raw = _read(source)
        if "controls" in raw or "extends" in raw:
            return self._policy(source, source, self.waivers, Path())
        if "audit" in raw:
            named, waivers = _named(str(path))
            return replace(self, scope=self.scope or scope_of(str(path)))._policy(source, named, waivers, path.parent)
        if "waivers" in raw:
            return [self._waivers(source, path, None)]
        raise ConfigError(f"{path}: expected a policy, an audit config or a file of waivers")

    def _policy(self, source: str, named: str, waivers: Path | None, base: Path) -> list[Checked]:
        policy = load_policy(named, base=base)
        problems = check_policy(policy, scope=self.scope, record=self.record)
        found = [Checked(source, policy, problems, controls_in(named, base=base))]
        return found if waivers is None else [*found, self._waivers(str(waivers), waivers, policy)]

    def _waivers(self, source: str, path: Path, policy: Policy | None) -> Checked:
        given, today = load_waivers(path), datetime.now(UTC).date()
        problems = [*check_waivers(given, today, policy=policy, scope=self.scope if policy else None)]
        return Checked(source, None, [*problems, *self._forged(given)], waivers_in(path))

    def _forged(self, given: Iterable[Waiver]) -> Iterable[Problem]:
        keys = waiver_keys(self.keys)
        for waiver in given:
            try:
                signed([waiver], keys)
            except ConfigError as error:
                yield Problem("error", str(error).partition(": ")[2], waiver=waiver.id)


def _read(source: str) -> tuple[Path, dict[str, Any]]:
    """The mapping in a file, or in a policy or config of that name that ships."""
    path = Path(source)
    if not path.exists() and "/" not in source and not path.suffix:
        names = {name: folder for folder in ("audits", "policies") for name in shipped(folder)}
        if source not in names:
            raise ConfigError(f"no policy or audit '{source}'. {nearest(source, names)}")
        path = find(names[source], source)
    return path, read_yaml(path)


def _named(config: str) -> tuple[str, Path | None]:
    """The policy and the waivers that a config names."""
    given, path = load_table_config(config) or load_task_config(config) or load_config(config)
    return given.policy_name, None if given.waivers is None else path.parent / given.waivers


def _words(policy: Policy, control: Control) -> str:
    """A control in words: what is tested, on whom, and what happens if it isn't met."""
    title = Texts("en").metric(control.metric, reference=control.reference).title
    of = {"all": "every model", "candidate": "the candidate"}.get(str(control.models), " and ".join(control.models))
    where = {"any": "every slice", "None": "everyone"}.get(str(control.slice), _slice(control))
    told = [f"{control.metric} ({title})"]
    told += [f"against {control.reference}"] if control.reference else []
    told += [f"of the task {control.task}"] if control.task else []
    facts = {entry.kind for entry in vocabulary().of(control.metric)} == {("fact",)}
    end = "its high end" if control.at_least is None else "its low end"
    bound = f"{'it' if facts or control.end == 'value' else end} is {bound_of(control, policy)}"
    if control.parameter is not None:
        unsure = "" if policy.parameters[control.parameter].confirmed else ", which nobody has confirmed"
        bound += f", the parameter '{control.parameter}'{unsure}"
    blocks = "blocks where it fails, tells where it is unproven" if control.unproven == "warn" else "blocks"
    return f"{' '.join(told)}; {where}; {of}: {bound}; {'warns' if control.severity == 'warn' else blocks}"


def _slice(control: Control) -> str:
    pairs = dict(control.slice) if isinstance(control.slice, dict) else {}
    return ", ".join(f"{column}={value}" for column, value in pairs.items()) or "everyone"


def _told(checked: Sequence[Checked], *, quiet: bool) -> Iterable[str]:
    """What is printed for people."""
    for one in checked:
        policy = one.policy
        if not quiet and policy is not None:
            blocks = sum(control.severity == "block" for control in policy.controls)
            of = f"{policy.name} {policy.version}"
            yield f"{one.source}: {of}, {len(policy.controls)} controls, {blocks} of them block"
            for control in policy.controls:
                yield f"  {control.id}: {control.says['en']}"
                yield f"    {_words(policy, control)}"
        for problem in sorted(one.problems, key=lambda problem: problem.weight):
            yield f"{_place(one, problem)}{problem.weight}: {_about(problem)}{problem.says}"
    weights = [problem.weight for one in checked for problem in one.problems]
    if not quiet or weights:
        yield f"{weights.count('error')} errors, {weights.count('warning')} warnings"


def _place(one: Checked, problem: Problem) -> str:
    place = one.lines.get(problem.control or problem.waiver or "")
    return f"{place.file}:{place.line}: " if place else f"{one.source}: "


def _about(problem: Problem) -> str:
    if problem.control:
        return f"control '{problem.control}': "
    return f"waiver '{problem.waiver}': " if problem.waiver else ""


def _as_json(one: Checked) -> dict[str, Any]:
    found: dict[str, Any] = {"source": one.source}
    if (policy := one.policy) is not None:
        found |= {"policy": policy.name, "version": policy.version}
        found["controls"] = [
            {"id": control.id, "says": dict(control.says), "tests": _words(policy, control)}
            for control in policy.controls
        ]
    places = [one.lines.get(problem.control or problem.waiver or "") for problem in one.problems]
    found["problems"] = [
        {**asdict(problem), "file": place and place.file, "line": place and place.line}
        for problem, place in zip(one.problems, places, strict=True)
    ]
    return found
