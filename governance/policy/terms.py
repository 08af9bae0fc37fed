"""All that a judgement is made by beside the record, and as files beside each verdict, so that it can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from governance.configfile import validate
from governance.errors import RecordError
from governance.files import canonical
from governance.measure import Outcome
from governance.policy.judging import judge
from governance.policy.model import Policy, Verdict
from governance.policy.places import Places, controls_in, waivers_in
from governance.policy.reading import load_policy, load_waivers
from governance.policy.waivers import Key, Waiver, signed
from governance.record import RunRecord

POLICY = "policy.json"
WAIVERS = "waivers.json"
CHANGES = "changes.json"
PLACES = "places.json"
OUTCOMES: TypeAdapter[tuple[Outcome, ...]] = TypeAdapter(tuple[Annotated[Outcome, Field(discriminator="kind")], ...])
_GIVEN: TypeAdapter[tuple[Waiver, ...]] = TypeAdapter(tuple[Waiver, ...])
_PLACES: TypeAdapter[Places] = TypeAdapter(Places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a record is held against. See `governance.policy.judge` for the fields.

    Attributes:
        trusted: ids of the waivers whose signature was checked, on the day that they were.
        places: where controls and waivers stand in their files; decides no verdict, but where reports point.
    """

    policy: Policy
    waivers: tuple[Waiver, ...] = ()
    today: date | None = None
    trusted: tuple[str, ...] = ()
    changes: tuple[Outcome, ...] = ()
    baseline: str | None = None
    places: Places = field(default_factory=Places)

    @classmethod
    def load(cls, policy: Path | str, waivers: Path | str | None = None, *, base: Path = Path()) -> Terms:
        """A policy by path or name, and a file of waivers, held against this day (UTC).

        Args:
            policy: see `load_policy`.
            waivers: their file, if there is one.
            base: where relative paths start.

        Raises:
            ConfigError: one of them can't be read.
        """
        named = load_policy(policy, base=base)
        places = Places(controls=controls_in(policy, base=base))
        terms = cls(policy=named, today=datetime.now(UTC).date(), places=places)
        return terms if waivers is None else terms.waived(base / waivers, base=base)

    def under(self, policy: Path | str) -> Terms:
        """The same, but by another policy, and without waivers for controls that it doesn't have.

        Raises:
            ConfigError: it can't be read.
        """
        named = load_policy(policy)
        known = {control.id for control in named.controls}
        waivers = tuple(waiver for waiver in self.waivers if waiver.control in known)
        return replace(self, policy=named, waivers=waivers, places=replace(self.places, controls=controls_in(policy)))

    def waived(self, waivers: Path, *, base: Path = Path()) -> Terms:
        """The same, but with the waivers in a file.

        Raises:
            ConfigError: the file can't be read.
        """
        given = load_waivers(waivers)
        return replace(self, waivers=given, places=replace(self.places, waivers=waivers_in(waivers, base=base)))

    def trusting(self, keys: Sequence[Key]) -> Terms:
        """The same, but with the waivers' signatures held against these keys and no others.

        Raises:
            ConfigError: a waiver is signed by none of them, or was changed after it was signed.
        """
        return replace(self, trusted=signed(self.waivers, keys))

    def judge(self, record: RunRecord) -> Verdict:
        """The verdict on a record; waivers for other audits, which may share a file with this one's, are left out."""
        return judge(
            record,
            self.policy,
            changes=self.changes,
            baseline=self.baseline,
            waivers=[waiver for waiver in self.waivers if waiver.audit in (None, record.audit)],
            today=self.today,
            trusted=self.trusted,
        )

    def __post_init__(self) -> None:
        if self.changes and self.baseline is None:
            raise ValueError("changes need the digest of the baseline that they were measured from")

    def files(self) -> Mapping[str, bytes]:
        """What makes the same judgement possible again: name -> content."""
        found = {POLICY: self.policy.model_dump(mode="json")}
        if self.waivers:
            given = [waiver.model_dump(mode="json") for waiver in self.waivers]
            found[WAIVERS] = {"judged": str(self.today), "trusted": sorted(self.trusted), "waivers": given}
        if self.baseline is not None:
            found[CHANGES] = {"baseline": self.baseline, "outcomes": OUTCOMES.dump_python(self.changes, mode="json")}
        if self.places != Places():
            found[PLACES] = _PLACES.dump_python(self.places, mode="json")
        return {
            name: json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
            for name, value in found.items()
        }

    def identity(self) -> str:
        """What tells two judgements of one record apart, as canonical JSON."""
        return canonical({name: content.decode() for name, content in self.files().items()}).decode()

    @classmethod
    def read(cls, folder: Path) -> Terms:
        """What `files` wrote.

        Raises:
            ConfigError: the policy is damaged.
            RecordError: another of the files is.
        """
        waivers, changes = _read(folder / WAIVERS), _read(folder / CHANGES)
        try:
            return cls(
                policy=validate(Policy, _read(folder / POLICY), folder / POLICY),
                waivers=_GIVEN.validate_python(waivers.get("waivers", [])),
                today=date.fromisoformat(str(waivers["judged"])) if waivers else None,
                trusted=tuple(map(str, waivers.get("trusted", []))),
                changes=OUTCOMES.validate_python(changes.get("outcomes", [])),
                baseline=str(changes["baseline"]) if changes else None,
                places=_PLACES.validate_python(_read(folder / PLACES)),
            )
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{folder}: not the terms of a judgement ({type(error).__name__})") from None


def _read(path: Path) -> dict[str, Any]:
    """A file's mapping; empty where there is no file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON that Steelyard wrote ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path}: expected a mapping of keys")
    return value
