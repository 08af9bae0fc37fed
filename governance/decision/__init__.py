"""Open or closed? What a record says of that choice, and how far the answer hangs on what the reader cares for.

Pure: the same record gives the same decision. There is no score. Models that answer in the same way are held beside
each other: which of them is beaten on everything, and how often each comes first over all ways of weighing what was
measured. Models that answer in different ways are never ranked together; between them stand paired differences alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.decision.criteria import MAIN, Main, Profile, main_of, profiles, protocol_of
from governance.decision.front import Told, front
from governance.decision.weighing import Weighing, weigh
from governance.measure import EVERYONE, NotMeasured, Outcome
from governance.record import RunRecord

__all__ = ["Decision", "Group", "Profile", "Told", "Weighing", "decide", "protocol_of"]


@dataclass(frozen=True)
class Group:
    """Models that answer in one way, and so may be ranked.

    Attributes:
        protocol: how they answer.
        profiles: the models, in the record's order.
        front: model -> whether no other one is as good on every criterion and better on one.
        beaten: model -> those that surely (yes) or possibly (open) dominate it.
        weighing: how the first place moves with the weights; None: one model, or nothing that tells them apart.
    """

    protocol: str
    profiles: tuple[Profile, ...]
    front: Mapping[str, Told]
    beaten: Mapping[str, Mapping[str, Told]]
    weighing: Weighing | None


@dataclass(frozen=True)
class Decision:
    """What a reader decides by.

    Attributes:
        main: the metric that stands for quality; None: the record has none.
        groups: by protocol, in the record's order.
        across: paired differences of the main metric between models of different groups.
    """

    main: str | None
    groups: tuple[Group, ...]
    across: tuple[Outcome, ...]

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """All models."""
        return tuple(profile for group in self.groups for profile in group.profiles)


def decide(record: RunRecord, *, main: Mapping[str, Main] = MAIN) -> Decision:
    """What a record says for and against each model.

    Args:
        record: what was measured.
        main: task -> the metric that stands for its quality; for other tasks, the record's first.
    """
    chosen = main_of(record, main)
    by_protocol: dict[str, list[str]] = {}
    for entry in record.models:
        by_protocol.setdefault(protocol_of(entry), []).append(entry.name)
    groups = tuple(_group(record, protocol, names, chosen) for protocol, names in by_protocol.items())
    home = {name: protocol for protocol, names in by_protocol.items() for name in names}
    across = tuple(
        outcome
        for outcome in record.outcomes
        if chosen is not None
        and outcome.metric == f"{chosen.metric}.difference"
        and outcome.slice == EVERYONE
        and not isinstance(outcome, NotMeasured)
        and outcome.reference in home
        and home.get(outcome.model or "", home[outcome.reference]) != home[outcome.reference]
    )
    return Decision(chosen.metric if chosen else None, groups, across)


def _group(record: RunRecord, protocol: str, names: list[str], main: Main | None) -> Group:
    found = profiles(record, names, main)
    spreads = {profile.model: profile.spreads for profile in found}
    on_front, beaten = front(spreads)
    return Group(protocol, found, on_front, beaten, weigh(spreads))
