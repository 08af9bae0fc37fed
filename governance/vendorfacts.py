"""What a vendor says of its model: from a dated file, a source for each fact, never from memory.

A price, a promise about retention or a deprecation policy is true on the day it was read. So every fact carries where
it was read and when, a file carries its date, and what is older than the file allows is told as stale.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from governance.configfile import find, read
from governance.errors import ConfigError
from governance.files import digest_file
from governance.registry import nearest

FOLDER = "vendors"
STALE_AFTER = 180  # days
T = TypeVar("T")
Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Known(_Frozen, Generic[T]):
    """One fact, where it was read and when."""

    value: T
    source: Text  # a URL, or a document's name
    read_on: date


def _maybe() -> Any:
    """A fact that need not be known; one that isn't leaves no trace, so that facts added later change no digest."""
    return Field(default=None, exclude_if=lambda fact: fact is None)


class Facts(_Frozen):
    """What may be known of a product. Prices are per million tokens, in the file's currency."""

    price_read: Known[NonNegativeFloat] | None = _maybe()
    price_written: Known[NonNegativeFloat] | None = _maybe()
    price_cached: Known[NonNegativeFloat] | None = _maybe()  # of input that the vendor had in its cache
    licence: Known[Text] | None = _maybe()  # of the weights, or the terms of service
    use_limits: Known[Text] | None = _maybe()
    trained_on_input: Known[bool] | None = _maybe()  # whether the vendor trains on what its API is sent
    retention_days: Known[NonNegativeInt] | None = _maybe()
    regions: Known[tuple[Text, ...]] | None = _maybe()  # where requests are handled
    sla: Known[Text] | None = _maybe()
    deprecation: Known[Text] | None = _maybe()
    versioning: Known[Literal["pinned", "alias"]] | None = _maybe()  # the name asked for: a snapshot, or what moves
    contact: Known[Text] | None = _maybe()
    switch_cost: Known[NonNegativeFloat] | None = _maybe()  # of moving to this product, once, as the shop reckons

    def known(self) -> dict[str, Known[Any]]:
        """Those that are known, by name."""
        return {name: fact for name in type(self).model_fields if (fact := getattr(self, name)) is not None}


class VendorFacts(_Frozen):
    """What a record keeps of one model's vendor."""

    vendor: str
    product: str | None = None
    as_of: date
    currency: str
    stale_after_days: int
    note: str | None = None
    facts: Facts
    digest: str  # of the file

    def stale(self, day: date) -> dict[str, int]:
        """Facts that were too old on a day -> their age in days."""
        ages = {name: (day - fact.read_on).days for name, fact in self.facts.known().items()}
        return {name: age for name, age in ages.items() if age > self.stale_after_days}


class VendorFile(_Frozen):
    """`configs/vendors/<name>.yaml`, or the user's own."""

    vendor: Text
    as_of: date
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    stale_after_days: PositiveInt = STALE_AFTER
    note: Text | None = None  # shown beside the vendor's name
    facts: Facts = Facts()  # of all its products
    products: dict[Text, Facts] = Field(default_factory=dict)  # by the name that requests use; wins over `facts`

    @model_validator(mode="after")
    def _read_before_dated(self) -> VendorFile:
        for place, facts in (
            ("facts", self.facts),
            *((f"products.{name}", one) for name, one in self.products.items()),
        ):
            for name, fact in facts.known().items():
                if fact.read_on > self.as_of:
                    raise ValueError(f"{place}.{name}.read_on: expected no day after as_of ({self.as_of})")
        return self

    def of(self, product: str | None) -> Facts:
        """The facts of one product; None: of the only one, or those that hold for all."""
        known = self.products[product].known() if product is not None else {}
        return Facts(**{**self.facts.known(), **known})


def load_vendor(source: str, base: Path, *, product: str | None = None) -> VendorFacts:
    """What a vendor's file says of one product.

    Args:
        source: a path from `base`, or the name of a file that ships; "#product" behind it names the product.
        base: folder that relative paths start from.
        product: the name that requests use, where `source` names none.

    Raises:
        ConfigError: no such file or product, or the file is not as it should be.
    """
    source, _, named = source.partition("#")
    path = find(FOLDER, source, base)
    file = read(VendorFile, path)
    wanted = named or product
    if file.products and wanted not in file.products:
        if wanted is not None or len(file.products) > 1:
            told = f"no product '{wanted}'" if wanted else "expected a product (vendor: FILE#PRODUCT)"
            raise ConfigError(f"{path}: products: {told}. {nearest(wanted or '', file.products)}")
        [wanted] = file.products
    if named and not file.products:
        raise ConfigError(f"{path}: products: no product '{named}'; the file lists none")
    chosen = wanted if file.products else None
    return VendorFacts(
        product=chosen,
        facts=file.of(chosen),
        digest=digest_file(path),
        **file.model_dump(include={"vendor", "as_of", "currency", "stale_after_days", "note"}),
    )
