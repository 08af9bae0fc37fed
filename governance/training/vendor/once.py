"""Making things at a vendor once, however often an answer is lost or we are killed.

The published API has no idempotency keys for files and jobs. So what is to be made is looked for first, each time: an
answer that was lost may have been a success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from governance.files import write_atomic
from governance.training.vendor.desk import VendorError
from governance.training.vendor.terms import Pace

Made = TypeVar("Made")


class State(BaseModel):
    """What saves a killed run the search. The truth is at the vendor, so a lost or damaged state costs nothing.

    Attributes:
        key: of the job.
        files: "training", "validation" -> the vendor's id.
        job: the vendor's id.
        told: the last event passed on.
        epochs: that the vendor chose when it was too expensive.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str
    files: dict[str, str] = Field(default_factory=dict)
    job: str | None = None
    told: str | None = None
    epochs: int | None = None
    _path: Path = PrivateAttr()

    @classmethod
    def load(cls, path: Path, key: str) -> Self:
        """The state in a file; a fresh one if there is none, or it is damaged or another job's."""
        try:
            state = cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            state = cls(key=key)
        if state.key != key:
            state = cls(key=key)
        state._path = path
        return state

    def keep(self, **changes: Any) -> None:
        """Change it, on disk when this returns."""
        for name, value in changes.items():
            setattr(self, name, value)
        write_atomic(self._path, self.model_dump_json().encode())


async def make_once(
    find: Callable[[], Awaitable[Made | None]], make: Callable[[], Awaitable[Made]], pace: Pace
) -> Made:
    """Make something unless it can be found, looking again after each answer that was lost."""

    async def act() -> Made:
        found = await find()
        return found if found is not None else await make()

    return await patiently(act, pace)


async def patiently(act: Callable[[], Awaitable[Made]], pace: Pace) -> Made:
    """Try until it works or the vendor refuses; waits as long as the vendor asks.

    Raises:
        VendorError: refused, or not done in the tries that `pace` gives.
    """
    for attempt in range(pace.tries - 1):
        try:
            return await act()
        except VendorError as error:
            if not error.again:
                raise
            await asyncio.sleep(error.wait or min(pace.first * 2**attempt, pace.longest))
    return await act()


async def unless_gone(asked: Awaitable[Made]) -> Made | None:
    """The answer; None if the vendor says that there is no such thing."""
    try:
        return await asked
    except VendorError as error:
        if error.gone:
            return None
        raise
