"""What the run of a config can measure, and why a control that demands something else would never be met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from governance.measure import ANY
from governance.policy.model import Control
from governance.vocabulary import Entry, Vocabulary, vocabulary

CLASS = "(class)"
"""In a slice: the class that a rate speaks of, where none is declared positive (`governance.groups.asked`)."""
BASELINE_MAKER = "baseline"
_WHAT = {
    "trained": "it isn't trained by this audit",
    "scores": "it gives labels without scores",
    "weights": "its weights can't be read",
    "private": "it isn't trained with differential privacy",
    "mitigated": "it isn't a mitigated model",
    "twin": "no other model is it but for one thing",
    "prompts": "it is asked by one prompt alone",
    "price": "no price is stated for it",
    "seconds": "nobody says how long its rows took",
    "endpoint": "it is behind no endpoint that could report a version",
}
"""What a metric needs of a model -> why it is lacking, for a model's traits as `Scope.models` names them."""
Source: TypeAlias = tuple[Entry, str]
"""A metric as one maker makes it."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the run of a config can measure.

    Attributes:
        audit: its name.
        candidate: the model that the verdict is about.
        incumbent: the system to beat, if there is one.
        models: model -> what can be asked of it: "trained", "scores", "weights", "private", "mitigated", "price",
            "seconds", "endpoint", "twin", "prompts".
        bases: mitigated model -> the one that it was made from.
        twins: model -> the one that it is but for one thing.
        makers: evaluators, or the kind of table as "table:ranking" -> their settings.
        groups: group columns, bands included.
        roles: of a table, the roles that it has columns for.
        positive: whether a positive class is declared.
        level: of its intervals.
        language: of its reports.
    """

    audit: str
    candidate: str
    models: Mapping[str, frozenset[str]]
    makers: Mapping[str, Mapping[str, object]]
    groups: Sequence[str]
    level: float
    language: str = "en"
    incumbent: str | None = None
    bases: Mapping[str, str] = field(default_factory=dict)
    twins: Mapping[str, str] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    positive: bool = False

    @property
    def strangers(self) -> list[str]:
        """Evaluators of other packages; nobody here knows what they measure."""
        return [maker for maker in self.makers if maker not in vocabulary().makers]


def speaks_of(control: Control, scope: Scope) -> list[str]:
    """The config's models that a control is tested on."""
    reference = scope.incumbent if control.reference == "incumbent" else control.reference
    named = {"all": list(scope.models), "candidate": [scope.candidate]}.get(str(control.models), control.models)
    itself = reference if not control.since_baseline else None
    return [model for model in named if model in scope.models and model != itself]


def sources(control: Control, words: Vocabulary, scope: Scope | None) -> list[Source] | str:
    """The metrics that can give a control what it tests, whatever the model; or why there is none."""
    found = [(entry, maker) for entry in words.of(control.metric) for maker in entry.by]
    for step in (_reference, _task, _maker, _where, _needs):
        reasons = [step(control, source, scope) for source in found]
        left = [source for source, reason in zip(found, reasons, strict=True) if reason is None]
        if not left:
            return " or ".join(dict.fromkeys(reason for reason in reasons if reason))
        found = left
    return found


def lacking(found: Sequence[Source], model: str, scope: Scope) -> str | None:
    """Why none of these metrics can be had of a model, if so."""
    reasons = [list(_lacks(entry, scope.models[model])) for entry, _ in found]
    return None if any(not reason for reason in reasons) else reasons[0][0]


def _lacks(entry: Entry, traits: frozenset[str]) -> Iterator[str]:
    return (_WHAT[need] for need in entry.needs if need in _WHAT and entry.about == "model" and need not in traits)


def _reference(control: Control, source: Source, scope: Scope | None) -> str | None:
    wanted, given = source[0].reference, control.reference
    if wanted is None:
        return None if given is None else f"it is no difference from anything; leave out 'reference: {given}'"
    if wanted == "baseline":
        told = "it is a change since an earlier run; write 'reference: baseline'"
        return None if given == "baseline" else told
    if wanted in ("base", "twin"):
        bases = set((scope.bases if wanted == "base" else scope.twins).values()) if scope else set()
        other = scope.incumbent if scope and given == "incumbent" else given
        what = "that a mitigated one was made from" if wanted == "base" else "that another one is but for one thing"
        told = f"it is a difference from the model {what}; name that under 'reference'"
        known = f" ({', '.join(sorted(bases))})" if bases else ""
        return None if other is not None and (scope is None or other in bases) else told + known
    told = "it is a difference from the incumbent; write 'reference: incumbent'"
    if given is None or (scope is not None and given not in ("incumbent", scope.incumbent)):
        return told
    return "the config names no incumbent to compare with" if scope and scope.incumbent is None else None


def _task(control: Control, source: Source, scope: Scope | None) -> str | None:  # noqa: ARG001 - one of the steps
    task = vocabulary().task(*source)
    if control.task in (None, task):
        return None
    return "its outcomes carry no task" if task is None else f"its task is '{task}', not '{control.task}'"


def _maker(control: Control, source: Source, scope: Scope | None) -> str | None:  # noqa: ARG001 - one of the steps
    maker = source[1]
    if scope is None or maker in scope.makers or maker in (BASELINE_MAKER, "import"):
        return None
    if maker.startswith("table:"):
        return f"an audit of a table of kind '{maker.removeprefix('table:')}' measures it"
    return f"the evaluator '{maker}' measures it, which the config doesn't run"


def _where(control: Control, source: Source, scope: Scope | None) -> str | None:
    """Whether a metric has slices as the control asks for."""
    entry, maker = source
    grouped = not {"everyone", "any"} & set(entry.slices)
    if scope is not None and grouped and not entry.columns and not scope.groups:
        return "the config declares no group columns"
    if control.slice == "any" or "any" in entry.slices:
        return None
    wanted = dict(control.slice or {})
    if entry.columns:
        told = f"its slices are by {' and '.join(entry.columns)}"
        return None if wanted.keys() == set(entry.columns) else f"{told}; {_found(wanted)}"
    if scope is not None and not scope.positive and entry.metric.startswith("fairness."):
        wanted.pop(CLASS, None)
    unknown = [column for column in wanted if scope is not None and column not in scope.groups]
    if unknown:
        return f"no group column '{unknown[0]}' in the config; it has {', '.join(scope.groups) if scope else ''}"
    settings = scope.makers.get(maker, {}) if scope else None
    if any(_fits(shape, wanted, settings, scope) for shape in entry.slices):
        return None
    return f"it is measured for {_shapes(entry)}; {_found(wanted)}"


def _fits(shape: str, wanted: Mapping[str, str], settings: Mapping[str, object] | None, scope: Scope | None) -> bool:
    """Whether a slice of this shape can be one that is wanted; without settings, whether any settings allow it."""
    n, every = len(wanted), all(value == ANY for value in wanted.values())
    given = settings or {}
    deep = n > 1 and n <= int(str(given.get("depth", n)))
    held = [column for column in wanted if settings is None or column in _columns(given.get("controls"), ())]
    others = [{value for name, value in wanted.items() if name != column} for column in held]
    known = _columns(given.get("quasi_identifiers"), scope.groups if scope else list(wanted))
    return {
        "everyone": n == 0,
        "group": n == 1,
        "groups": n == 1 and every,
        "cell": deep,
        "cells": deep and every,
        "group-within": n == 2 and bool(held),
        "groups-within": n == 2 and {ANY} in others,
        "identifiers": every and wanted.keys() == set(known),
    }[shape]


def _columns(setting: object, otherwise: Sequence[str]) -> Sequence[str]:
    return setting if isinstance(setting, tuple | list) else otherwise


def _shapes(entry: Entry) -> str:
    words = {
        "everyone": "everyone",
        "group": 'single groups ({column: value} or {column: "*"})',
        "groups": 'all groups of a column together ({column: "*"})',
        "cell": "where columns meet",
        "cells": 'where columns meet ({one: "*", other: "*"})',
        "group-within": "groups within a value of a control",
        "groups-within": "the groups within a value of a control",
        "identifiers": 'all identifying columns together (each "*")',
    }
    return ", ".join(words[shape] for shape in entry.slices) + (
        "" if "everyone" in entry.slices else ", or 'slice: any'"
    )


def _found(wanted: Mapping[str, str]) -> str:
    return f"the control asks for {wanted}" if wanted else "the control asks for everyone, for it names no slice"


def _needs(control: Control, source: Source, scope: Scope | None) -> str | None:
    """What the config itself must have; what is needed of a model is asked of each."""
    entry, maker = source
    if scope is None:
        return None
    settings, wanted = scope.makers.get(maker, {}), control.slice if isinstance(control.slice, dict) else {}
    columns = []
    for need in entry.needs:
        kind, _, name = need.partition(".")
        if kind == "column" and not set(name.split("|")) & scope.roles:
            return f"the table has no column {' or '.join(name.split('|'))}"
        if kind == "setting":
            if settings.get(name) is None:
                return f"the setting '{name}' of its evaluator names no column"
            columns.append(str(settings[name]))
    strange = [column for column in wanted if columns and column not in (*columns, CLASS)]
    return f"it is measured by {' and '.join(columns)}, not by '{strange[0]}'" if strange else None
