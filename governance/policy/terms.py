"""All that a judgement is made by beside the record, and as files beside each verdict, so that it can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from governance.errors import RecordError
from governance.files import canonical
from governance.measure import Outcome
from governance.policy.judging import judge
from governance.policy.model import Policy, Verdict
from governance.policy.reading import load_policy, load_waivers
from governance.policy.waivers import Waiver
from governance.record import RunRecord

POLICY = "policy.json"
WAIVERS = "waivers.json"
CHANGES = "changes.json"
_OUTCOMES: TypeAdapter[tuple[Outcome, ...]] = TypeAdapter(tuple[Annotated[Outcome, Field(discriminator="kind")], ...])
_GIVEN: TypeAdapter[tuple[Waiver, ...]] = TypeAdapter(tuple[Waiver, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a record is held against. See `governance.policy.judge` for the fields."""

    policy: Policy
    waivers: tuple[Waiver, ...] = ()
    today: date | None = None
    trusted: tuple[str, ...] = ()
    changes: tuple[Outcome, ...] = ()
    baseline: str | None = None

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
        given = load_waivers(base / waivers) if waivers is not None else ()
        return cls(policy=load_policy(policy, base=base), waivers=given, today=datetime.now(UTC).date())

    def judge(self, record: RunRecord) -> Verdict:
        """The verdict on a record."""
        return judge(
            record,
            self.policy,
            changes=self.changes,
            baseline=self.baseline,
            waivers=self.waivers,
            today=self.today,
            trusted=self.trusted,
        )

    def files(self) -> Mapping[str, bytes]:
        """What makes the same judgement possible again: name -> content."""
        found = {POLICY: self.policy.model_dump(mode="json")}
        if self.waivers:
            given = [waiver.model_dump(mode="json") for waiver in self.waivers]
            found[WAIVERS] = {"judged": str(self.today), "trusted": sorted(self.trusted), "waivers": given}
        if self.baseline is not None:
            found[CHANGES] = {"baseline": self.baseline, "outcomes": _OUTCOMES.dump_python(self.changes, mode="json")}
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
                policy=load_policy(folder / POLICY),
                waivers=_GIVEN.validate_python(waivers.get("waivers", [])),
                today=date.fromisoformat(str(waivers["judged"])) if waivers else None,
                trusted=tuple(map(str, waivers.get("trusted", []))),
                changes=_OUTCOMES.validate_python(changes.get("outcomes", [])),
                baseline=str(changes["baseline"]) if changes else None,
            )
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{folder}: not the terms of a judgement ({type(error).__name__})") from None


def _read(path: Path) -> dict[str, object]:
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
