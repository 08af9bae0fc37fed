"""A waiver: somebody answers, by name and for a time, for a control that is not met.

It hides nothing: the finding keeps its status and names the waiver. One that has expired, that fits nothing, or that
lacks a signature where the policy asks for one fails the gate, so that no list of waivers outlives its reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.errors import ConfigError
from governance.files import canonical


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Found(Protocol):
    """What a waiver needs to know of a finding."""

    @property
    def control(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def slice(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102


class Waiver(_Frozen):
    """Who answers for what, why, and until when.

    Attributes:
        id: name of the waiver, unique in its file.
        control: id of the control that is waived.
        audit: the only audit that it is for; absent means any. In others it doesn't count, so audits may share a file.
        model: the only model that it is for; absent means any.
        slice: a slice's label as findings print it ("age_band=30-39"); absent means all.
        covers: "unproven" alone, or "fail" as well.
        owner: who mends it.
        approver: who accepted the risk; somebody else than the owner.
        reason: why the risk is acceptable, or what is being done.
        granted: first day.
        expires: last day on which it counts.
        ticket: where it is followed, if anywhere.
        signature: the approver's, hex of Ed25519 over `signed_bytes`.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)
    control: str
    audit: str | None = None
    model: str | None = None
    slice: str | None = None
    covers: Literal["unproven", "fail"]
    owner: str = Field(min_length=1, max_length=200)
    approver: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=10, max_length=2000)
    granted: date
    expires: date
    ticket: str | None = Field(default=None, max_length=500)
    signature: str | None = Field(default=None, pattern=r"^[0-9a-f]{128}$")

    @model_validator(mode="after")
    def _two_people_and_an_end(self) -> Waiver:
        if self.owner.strip().casefold() == self.approver.strip().casefold():
            raise ValueError("approver: expected somebody other than the owner")
        if self.expires < self.granted:
            raise ValueError("expires: expected a day on or after granted")
        return self

    def signed_bytes(self) -> bytes:
        """What a signature is over: everything but itself."""
        return b"steelyard waiver v1\n" + canonical(self.model_dump(mode="json", exclude={"signature"}))

    def fits(self, finding: Found, audit: str) -> bool:
        """Whether this waiver is about a finding, its dates aside."""
        return (
            finding.control == self.control
            and self.audit in (None, audit)
            and self.model in (None, finding.model)
            and self.slice in (None, finding.slice)
            and (finding.status == "unproven" or (finding.status == "fail" and self.covers == "fail"))
        )


Key: TypeAlias = Callable[[bytes, bytes], bool]
"""A public key: whether a signature, the first, is by it over some bytes."""


def signed(waivers: Sequence[Waiver], keys: Sequence[Key]) -> tuple[str, ...]:
    """Ids of the waivers that were signed with one of the keys; without keys nothing is known, so there are none.

    A signature that fits no key is an error whether or not a policy asks for signatures: somebody changed what was
    approved, or approved it with a key that nobody here knows, and neither may pass for "not signed".

    Raises:
        ConfigError: there is such a signature.
    """
    if not keys:
        return ()
    trusted = []
    for waiver in waivers:
        if waiver.signature is None:
            continue
        if not any(key(bytes.fromhex(waiver.signature), waiver.signed_bytes()) for key in keys):
            raise ConfigError(
                f"waiver '{waiver.id}': its signature fits none of the {len(keys)} keys given: the waiver was changed "
                f"since its approver ({waiver.approver}) signed it, or the approver's key is missing"
            )
        trusted.append(waiver.id)
    return tuple(trusted)


class WaiverState(StrEnum):
    """What became of a waiver."""

    USED = "used"
    EXPIRED = "expired"
    EARLY = "early"  # its first day is to come
    UNMATCHED = "unmatched"
    UNSIGNED = "unsigned"  # the policy asks for a signature of a known key


class WaiverUse(_Frozen):
    """A waiver at one judgement."""

    waiver: Waiver
    state: WaiverState
    findings: int = 0  # how many it covers

    @property
    def counts(self) -> bool:
        """Whether it does what it was written for; one that doesn't fails the gate."""
        return self.state is WaiverState.USED
