"""Where a model comes from, in other tools' words: its licence as SPDX, and the model that it was made from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from governance.record import ModelEntry

Relation = Literal["finetune", "quantized", "distilled", "mitigated"]
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_SMALLER: dict[str, Relation] = {"quantised": "quantized", "distilled": "distilled"}
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """What a model was made from.

    Attributes:
        name: of the other model; hostile.
        relation: how it was made of it.
        inside: whether that is another model of the same record.
    """

    name: str
    relation: Relation
    inside: bool

    @property
    def hub_id(self) -> str | None:
        """Its name as the hub would have it, `owner/name` or `name`; None: it is none."""
        whole = HUB_ID.fullmatch(self.name)
        if whole:
            return whole[0]
        found = HUB_ID.match(self.name)  # "owner/name, from the package …"
        return found[0] if found and "/" in found[0] and self.name[found.end() :].startswith(",") else None


def origin(entry: ModelEntry) -> Origin | None:
    """What the record says that a model was made from; None: it says nothing."""
    if entry.twin is not None and entry.twin.by in _SMALLER:
        return Origin(entry.twin.of, _SMALLER[entry.twin.by], inside=True)
    if entry.of is not None:
        return Origin(entry.of, "mitigated", inside=True)
    if entry.vendor is not None:
        return Origin(entry.vendor.base_reported, "finetune", inside=False)
    if entry.kind == "classifier" and entry.trained:  # the one kind that trains on top of somebody's weights
        return Origin(entry.source, "finetune", inside=False)
    return None


def spdx(licence: str | None) -> str | None:
    """A licence as an SPDX expression, what stands in brackets after it left out; None: it is none.

    >>> spdx("apache-2.0 (from some-package 1.0)"), spdx("MIT or CC0-1.0"), spdx("as the vendor says")
    ('Apache-2.0', 'MIT OR CC0-1.0', None)
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if not licence or len(licence) > _LONGEST:
        return None
    for said in (licence, licence.partition(" (")[0]):
        try:
            return str(canonicalize_license_expression(said))
        except InvalidLicenseExpression:
            continue
    return None
