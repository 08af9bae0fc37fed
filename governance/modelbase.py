"""What every model of a config has, and every part of one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Share = Annotated[float, Field(gt=0, lt=1)]


class Frozen(BaseModel):
    """A part of a config: no key that isn't known, no infinite number, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Twin(Frozen):
    """That a model is another one but for one thing, so that what differs between them is what that thing costs."""

    of: str
    by: Literal["differential-privacy", "scrubbing", "quantised", "distilled"]


class Model(Frozen):
    """What can be said of any model."""

    title: str | None = None
    licence: str | None = None
    note: str | None = None
    rows: PositiveInt | None = None  # weighed on at most so many held-out rows
    price_per_hour: PositiveFloat | None = None  # of the hardware, in `currency`
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    vendor: str | None = None  # a file of facts about it: a name in configs/vendors or a path; FILE#PRODUCT names one
    twin: Twin | None = None


class Reading(Model):
    """A model that reads the rows' texts, and may be shown made-up values where the scrubber left placeholders."""

    placeholders: Literal["kept", "filled"] = "kept"
