"""The `cleaning:` section of a config, of an audit's texts or of a training's columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from governance.cleaning import Cleaning, Range


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RangeConfig(_Frozen):
    """Where a value must be: public knowledge, never read off the rows."""

    low: float | None = None
    high: float | None = None
    outside: Literal["drop", "clip"] = "drop"

    @model_validator(mode="after")
    def _some_bound(self) -> RangeConfig:
        if self.low is None and self.high is None:
            raise ValueError("expected low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"expected low <= high, found {self.low:g} > {self.high:g}")
        return self


class TextCleaning(_Frozen):
    """What to do about texts that are not as they should be; what is found is counted either way."""

    encoding: Literal["repair", "drop", "keep"] = "repair"
    characters: RangeConfig | None = None
    duplicates: Literal["drop", "keep"] = "keep"
    near_duplicates: Literal["drop", "keep"] = "keep"
    similar: Annotated[float, Field(gt=0, lt=1)] | None = None  # not before a private run

    def made(self) -> Cleaning:
        """What it stands for."""
        plain = self.model_dump(exclude={"bounds", "characters"})
        characters = Range(**self.characters.model_dump()) if self.characters else None
        return Cleaning(**plain, characters=characters)


class CleaningConfig(TextCleaning):
    """The same for all columns of a table."""

    missing: Literal["drop", "keep"] = "keep"  # an optional value; rows without a required one always go
    fill: dict[str, float] = Field(default_factory=dict)  # number column -> what stands for a missing value
    bounds: dict[str, RangeConfig] = Field(default_factory=dict)
    outliers: Literal["drop", "clip", "keep"] = "keep"  # by median and spread of the rows; not in a private run
    z: PositiveFloat = 8.0

    def made(self) -> Cleaning:
        """What it stands for."""
        bounds = {name: Range(**bound.model_dump()) for name, bound in self.bounds.items()}
        return replace(super().made(), bounds=bounds)
