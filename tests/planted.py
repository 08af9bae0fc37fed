"""A record with something hostile in every text that it can hold, whatever fields it gets: its types are walked."""

from __future__ import annotations

import dataclasses
import datetime
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import cycle, islice
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from governance.measure import ANY, Slice
from governance.record import ModelEntry, RunRecord
from tests.sample_record import curves, record

PAYLOADS = (
    "<script>window.hit=1</script>",
    "\"'><img src=x onerror=window.hit=1>",
    "<svg onload=window.hit=1><animate onbegin=window.hit=1>",
    "</style><style>*{background:url(http://127.0.0.1:9/c)}",
    "a\u202egnp.exe\u2066\u200f{{7*7}}",
    "javascript:window.hit=1",
    "]]>--></title></svg><iframe srcdoc='<script>top.hit=1</script>'>",
    "`${window.hit=1}` \x00 \u5b57",
)
# What a type's own checks demand.
_NUMBERS: dict[tuple[str, str], Any] = {
    ("PrivacyClaim", "delta"): 1e-6,
    ("PrivacyClaim", "units"): 100,
    ("Axis", "merged"): 0,
    ("CrossTable", "counts"): ((5,),),
    ("Side", "characters"): {"0.5": 9},
    ("Side", "words"): {"0.5": 9},
}


class Planter:
    """Makes a value of any type that records are made of; every text is the next payload."""

    def __init__(self, payloads: Sequence[str], start: int = 0) -> None:
        self._texts = islice(cycle(payloads), start, None)
        self.planted = 0

    def text(self) -> str:
        """The next payload."""
        self.planted += 1
        return next(self._texts)

    def of(self, kind: Any) -> Any:  # noqa: PLR0911 - a line per kind
        """A value of this type; optional parts are there, and tuples hold one of each kind."""
        origin, parts = get_origin(kind), get_args(kind)
        if kind is str:
            return self.text()
        if kind in (bool, int, float):
            return {bool: True, int: 1, float: 0.5}[kind]
        if kind is datetime.date:
            return datetime.date(2026, 1, 2)
        if origin is Annotated:
            return self.of(parts[0])
        if origin in (Union, types.UnionType):
            return self.of(next(part for part in parts if part is not type(None)))
        if origin is Literal:
            return parts[0]
        if origin is tuple:
            return tuple(self._members(parts))
        if origin is not None and issubclass(origin, Mapping):
            return {self.of(parts[0]): self.of(parts[1])}
        if issubclass(kind, Enum):
            return next(iter(kind))
        if issubclass(kind, BaseModel):
            return kind.model_construct(**self._fields(kind, {n: f.annotation for n, f in kind.model_fields.items()}))
        assert dataclasses.is_dataclass(kind), kind
        return kind(**self._fields(kind, get_type_hints(kind, include_extras=True)))

    def _members(self, parts: tuple[Any, ...]) -> Iterator[Any]:
        if parts[-1] is not ...:
            yield from (self.of(part) for part in parts)
            return
        inner = get_args(parts[0])[0] if get_origin(parts[0]) is Annotated else parts[0]
        union = get_origin(inner) in (Union, types.UnionType)
        several = [one for one in get_args(inner) if one is not type(None)] if union else [inner]
        yield from (self.of(one) for one in several)

    def _fields(self, kind: type, hints: Mapping[str, Any]) -> dict[str, Any]:
        known = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else hints
        demanded = {name: _NUMBERS[kind.__name__, name] for name in hints if (kind.__name__, name) in _NUMBERS}
        return {
            name: demanded[name] if name in demanded else self.of(hint) for name, hint in hints.items() if name in known
        }


def planted(planter: Planter, *, outcomes: bool = True) -> RunRecord:
    """A record in which every text is hostile: four models, and the sample's outcomes, so that chapters are full."""
    small, whole = record(), planter.of(RunRecord)
    names = {entry.name: f"{planter.text()} {place}" for place, entry in enumerate(small.models)}
    models = []
    for entry in small.models:
        made: ModelEntry = planter.of(ModelEntry)
        first = next(iter(names.values()))
        twin = made.twin and made.twin.model_copy(update={"of": first})
        # Points of the curve by the sample's keys, or no curve would be drawn.
        kept = {"name": names[entry.name], "curve": (*made.curve, *entry.curve), "of": first, "twin": twin}
        models.append(made.model_copy(update=kept))
    found = [_replanted(outcome, names, planter) for outcome in small.outcomes] if outcomes else []
    return whole.model_copy(
        update={
            "schema_version": small.schema_version,
            "candidate": names[small.candidate],
            "incumbent": names[small.incumbent or ""],
            "models": tuple(models),
            "outcomes": (*whole.outcomes, *found),
            "curves": tuple(dataclasses.replace(curve, model=names[curve.model]) for curve in curves()),
        }
    )


def _replanted(outcome: Any, names: Mapping[str, str], planter: Planter) -> Any:
    """An outcome whose every text but the metric's name is hostile: the name decides which chapter shows it."""
    texts = {name: planter.text() for name in ("method", "reason", "task") if hasattr(outcome, name)}
    where = {
        column if column in ("class", "word", "entity", "language") else planter.text() + column: value
        if value == ANY
        else planter.text() + value
        for column, value in outcome.slice
    }
    people = {name: names.get(getattr(outcome, name, None) or "") for name in ("model", "reference")}
    told = {name: value for name, value in people.items() if hasattr(outcome, name)}
    return dataclasses.replace(outcome, **texts, **told, slice=Slice.of(where))
