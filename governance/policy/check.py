"""Is a policy one that a run can pass, and fail? Told before anything is run, or of a record that is there.

A control that is never measured blocks for ever, and one that can't fail is worth nothing: both are errors. What may be
meant, or depends on what a run finds, is a warning.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from governance.measure import EVERYONE
from governance.policy.judging import NOT_MEASURED, judge
from governance.policy.model import Control, Finding, Parameter, Policy, Status
from governance.policy.scope import Scope, lacking, sources, speaks_of
from governance.policy.waivers import Waiver
from governance.record import RunRecord
from governance.registry import nearest
from governance.vocabulary import Entry, vocabulary

SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a policy or a waiver.

    Attributes:
        weight: an error makes the check fail; a warning is told.
        says: what was found, and what to do.
        control: which one, if it is about one.
        waiver: likewise.
    """

    weight: Literal["error", "warning"]
    says: str
    control: str | None = None
    waiver: str | None = None


def check_policy(policy: Policy, *, scope: Scope | None = None, record: RunRecord | None = None) -> list[Problem]:
    """What is wrong with a policy: by itself, for the run of a config, and for a record.

    Args:
        policy: as it was read, with all that it extends.
        scope: what a config's run can measure.
        record: a run's, against which the policy is judged without waivers and with all parameters confirmed.
    """
    found = [*_whole(policy, scope), *_twice(policy)]
    for control in policy.controls:
        found += _measured(control, scope, record)
        found += _bound(policy, control)
    if scope is not None:
        found += _level(policy, scope)
    return found if record is None else [*found, *_judged(policy, record)]


def _whole(policy: Policy, scope: Scope | None) -> Iterator[Problem]:
    """About the policy rather than one control."""
    blocking = [control for control in policy.controls if control.severity == "block"]
    if not blocking:
        yield Problem("error", "every control only warns, so no model can pass: nothing that is tested decides")
    elif all(control.unproven == "warn" for control in blocking):
        yield Problem("warning", "every control has 'unproven: warn': one that is met is enough, whatever the rest is")
    for name, parameter in policy.parameters.items():
        users = [control.id for control in policy.controls if control.parameter == name]
        if not users:
            yield Problem("warning", f"no control uses the parameter '{name}'")
        elif not parameter.confirmed:
            what = f"nobody has confirmed the parameter '{name}' ({parameter.value:g})"
            yield Problem("warning", f"{what}; until somebody does, these stay unproven: {', '.join(users)}")
    yield from _languages(policy, scope)


def _languages(policy: Policy, scope: Scope | None) -> Iterator[Problem]:
    """Sentences that lack a language which the others have, or which the config's reports are in."""
    said: dict[str, Mapping[str, str]] = {"the title": policy.title}
    said |= {f"control {control.id}": control.says for control in policy.controls}
    said |= {f"the rationale of {control.id}": control.why for control in policy.controls if control.why}
    said |= {f"parameter {name}": parameter.says for name, parameter in policy.parameters.items()}
    spoken = {language for sentence in said.values() for language in sentence} | ({scope.language} if scope else set())
    for language in sorted(spoken):
        lacks = [where for where, sentence in said.items() if language not in sentence]
        if lacks:
            shown = ", ".join(lacks[:5]) + (f" and {len(lacks) - 5} more" if len(lacks) > 5 else "")
            yield Problem("warning", f"not said in '{language}', so reports in it show English: {shown}")


def _twice(policy: Policy) -> Iterator[Problem]:
    """Controls that hold one outcome against several bounds."""
    same: dict[object, list[Control]] = defaultdict(list)
    for control in policy.controls:
        where = control.slice if isinstance(control.slice, str) else tuple(sorted((control.slice or {}).items()))
        same[control.metric, control.task, control.reference, control.models, where].append(control)
    for controls in same.values():
        first = controls[0]
        for other in controls[1:]:
            upper = [one for one in (first, other) if one.at_most is not None]
            if len(upper) == 1:
                (lower,) = (one for one in (first, other) if one.at_most is None)
                if policy.bound(lower) > policy.bound(upper[0]):
                    says = f"it and '{first.id}' can't both be met: one asks for at least {policy.bound(lower):g}, "
                    yield Problem("error", f"{says}the other for at most {policy.bound(upper[0]):g}", other.id)
            else:
                bounds = f"{policy.bound(first):g} and {policy.bound(other):g}"
                yield Problem("warning", f"it tests the very outcomes that '{first.id}' tests: {bounds}", other.id)


def _measured(control: Control, scope: Scope | None, record: RunRecord | None) -> Iterator[Problem]:
    """Whether anybody makes what a control tests."""
    words = vocabulary()
    if not words.of(control.metric):
        in_record = record is not None and any(one.metric == control.metric for one in record.outcomes)
        if not in_record:
            others = scope.strangers if scope else []
            hint = f"; perhaps {' or '.join(map(repr, others))} does, of which nothing is known here" if others else ""
            says = f"nothing measures '{control.metric}'{hint}: {words.suggest(control.metric)}"
            yield Problem("warning" if others else "error", says, control.id)
        return
    found = sources(control, words, scope)
    if isinstance(found, str):
        yield Problem("error", f"'{control.metric}' can't be measured as it is asked for: {found}", control.id)
    elif scope is not None:
        yield from _of_models(control, found, scope)
        if control.since_baseline:
            says = "measured only by a gate with '--baseline RUN'; unproven without"
            yield Problem("warning", says, control.id)


def _of_models(control: Control, found: Sequence[tuple[Entry, str]], scope: Scope) -> Iterator[Problem]:
    """Whether what is tested can be had of the models that it is tested on."""
    if isinstance(control.models, tuple):
        for name in control.models:
            if name not in scope.models:
                yield Problem("error", f"the config has no model '{name}'. {nearest(name, scope.models)}", control.id)
    models = speaks_of(control, scope)
    why = {model: reason for model in models if (reason := lacking(found, model, scope)) is not None}
    if not models:
        yield Problem("error", "it is tested on no model of the config: none is compared with itself", control.id)
        return
    if len(why) == len(models):
        told = "; ".join(f"{model}: {reason}" for model, reason in why.items())
        says = f"'{control.metric}' can't be measured for any model that it is tested on: {told}"
        yield Problem("error", says, control.id)
        return
    decides = control.severity == "block" and control.unproven == "block"
    for model, reason in why.items():
        stuck = model == scope.candidate and decides
        what = "can't be measured for the candidate, which so can't pass" if stuck else f"stays unproven for '{model}'"
        yield Problem("error" if stuck else "warning", f"'{control.metric}' {what}: {reason}", control.id)


def _bound(policy: Policy, control: Control) -> Iterator[Problem]:
    """Whether a bound can be missed, and can be kept."""
    entries = [entry for entry in vocabulary().of(control.metric) if _same_reference(entry, control)]
    if not entries:
        return
    low, high, bound = min(e.ends[0] for e in entries), max(e.ends[1] for e in entries), policy.bound(control)
    upper = control.at_most is not None
    asked = f"{'at most' if upper else 'at least'} {bound:g}"
    can_be = f"it is {_between(low, high)}"
    if (bound >= high) if upper else (bound <= low):
        yield Problem("error", f"it can't fail: {asked} is asked of what {can_be[3:]}", control.id)
    elif (bound < low) if upper else (bound > high):
        yield Problem("error", f"it can't be met: {asked} is asked of what {can_be[3:]}", control.id)
    elif bound in (low, high) and control.end == "pessimistic" and all(e.kind == ("measurement",) for e in entries):
        says = f"no interval from so many rows as there are will show {asked}: {can_be}, its end included"
        yield Problem("warning", f"{says}; it stays unproven", control.id)


def _same_reference(entry: Entry, control: Control) -> bool:
    return (entry.reference is None) is (control.reference is None)


def _between(low: float, high: float) -> str:
    if math.isinf(low):
        return "any number" if math.isinf(high) else f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"


def _level(policy: Policy, scope: Scope) -> Iterator[Problem]:
    facts = {c.metric for c in policy.controls if all(e.kind == ("fact",) for e in vocabulary().of(c.metric))}
    measured = [control.id for control in policy.controls if control.metric not in facts]
    if policy.level > scope.level + 1e-9 and measured:
        says = f"the policy asks for intervals of level {policy.level:g}, the config makes them at {scope.level:g}"
        yield Problem("error", f"{says}, and nothing is proven; write 'level: {policy.level:g}' into the config")


def _judged(policy: Policy, record: RunRecord) -> Iterator[Problem]:
    """What a record leaves open, and what the policy asks of it in vain."""
    sure = {name: _sure(parameter, record) for name, parameter in policy.parameters.items()}
    verdict = judge(record, policy.model_copy(update={"parameters": sure}))
    controls = {control.id: control for control in policy.controls}
    for model in verdict.models:
        for finding in model.findings:
            if finding.tested is not None or finding.status is not Status.UNPROVEN:
                continue
            absent = not finding.reason.startswith(NOT_MEASURED) and not controls[finding.control].since_baseline
            stuck = model.model == record.candidate and finding.blocks and absent
            where = "" if finding.slice == EVERYONE.label() else f", {finding.slice}"
            there = _there(record, finding) if absent else ""
            told = f"unproven for '{model.model}'{where}: {finding.reason}{there}"
            yield Problem("error" if stuck else "warning", told, finding.control)


def _there(record: RunRecord, finding: Finding) -> str:
    """For which other slices, and against what, the record has a figure that it lacks as a control asks for it."""
    found = [one for one in record.outcomes if one.metric == finding.metric and one.model in (finding.model, None)]
    references = [getattr(one, "reference", None) for one in found]
    places = dict.fromkeys(
        one.slice.label() + (f" against '{reference}'" if reference else "")
        for one, reference in zip(found, references, strict=True)
    )
    shown = ", ".join(list(places)[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    return f"; it has it for {shown}" if places else ""


def _sure(parameter: Parameter, record: RunRecord) -> Parameter:
    day = date.fromisoformat(record.created[:10])
    return parameter.model_copy(update={"confirmed_by": "the check", "confirmed_on": day})


def check_waivers(
    waivers: Iterable[Waiver], today: date, *, policy: Policy | None = None, scope: Scope | None = None
) -> list[Problem]:
    """What is wrong with waivers: on a day, for a policy, and for the run of a config."""
    found: list[Problem] = []
    for waiver in waivers:
        for weight, says in _of_waiver(waiver, today, policy, scope):
            found.append(Problem(weight, says, waiver=waiver.id))
    return found


def _of_waiver(
    waiver: Waiver, today: date, policy: Policy | None, scope: Scope | None
) -> Iterator[tuple[Literal["error", "warning"], str]]:
    if scope is not None and waiver.audit not in (None, scope.audit):
        yield "warning", f"it is for the audit '{waiver.audit}', not for '{scope.audit}', and doesn't count here"
        return
    if waiver.expires < today:
        yield "error", f"it expired on {waiver.expires}, which fails the gate: mend what it is for, or renew it"
    elif waiver.expires - today <= SOON:
        yield "warning", f"it expires on {waiver.expires}, in {(waiver.expires - today).days} days"
    if waiver.granted > today:
        yield "error", f"its first day is {waiver.granted}; before that it fails the gate"
    if policy is not None:
        control = next((control for control in policy.controls if control.id == waiver.control), None)
        if control is None:
            yield "error", f"no control '{waiver.control}'. {nearest(waiver.control, (c.id for c in policy.controls))}"
        elif control.severity == "warn":
            yield "error", f"the control '{control.id}' only warns, so there is nothing to waive"
        elif control.unproven == "warn" and waiver.covers == "unproven":
            yield (
                "error",
                f"'{control.id}' doesn't block for lack of evidence, so there is nothing to waive",
            )
        if policy.signed_waivers and waiver.signature is None:
            yield "error", "the policy asks for signatures, and it has none: `steelyard policy sign`"
    if scope is not None and waiver.model is not None and waiver.model not in scope.models:
        yield "error", f"no model '{waiver.model}'. {nearest(waiver.model, scope.models)}"
