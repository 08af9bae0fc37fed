"""What personal data looks like: patterns, check digits and words around them, for texts of any language.

All rules read every text, whatever its language: a Chinese review may hold a US telephone number. Repetitions
are bounded and don't nest over the same characters, so time grows linearly with the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from governance.privacy.overlaps import Find
from governance.privacy.rules import addresses, china, network, numbers, phones
from governance.privacy.rules.chinese_addresses import ChineseAddresses
from governance.privacy.rules.chinese_names import ChineseNames
from governance.privacy.rules.names import Names
from governance.privacy.rules.signs import Signs


class Finder(Protocol):
    """One way to find one entity."""

    @property
    def entity(self) -> str:
        """What it finds."""

    @property
    def needs(self) -> Callable[[Signs], object]:
        """Tells cheaply that a text holds nothing of it."""

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text that it needs."""


def all_finds(finders: Iterable[Finder], signs: Signs) -> Iterator[Find]:
    """All finds of finders in a folded text."""
    for finder in finders:
        if finder.needs(signs):
            yield from finder.finds(signs)


RULES: tuple[Finder, ...] = (
    *network.RULES,
    *numbers.RULES,
    *phones.RULES,
    *china.RULES,
    *addresses.RULES,
    ChineseAddresses(),
    Names(),
    ChineseNames(),
)
"""Every rule; a policy chooses among them by entity."""
