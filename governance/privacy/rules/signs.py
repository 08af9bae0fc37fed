"""What a text shows at a glance, so that most patterns needn't read it."""

from __future__ import annotations

import re
from functools import cached_property

from governance.privacy.overlaps import without_placeholders
from governance.privacy.scripts import HAN

_NO_DIGITS = dict.fromkeys(range(0x30, 0x3A))
_HAN = re.compile(HAN)


class Signs:
    """Cheap facts about one folded text, each worked out once and only if a rule asks.

    Attributes:
        text: the text.
        digits: how many ASCII digits it holds; folding has made all others ASCII.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.digits = len(text) - len(text.translate(_NO_DIGITS))

    @cached_property
    def han(self) -> bool:
        """Whether there is a Chinese character."""
        return not self.text.isascii() and _HAN.search(self.text) is not None

    @cached_property
    def lower(self) -> str:
        """The text in small letters, of the same length."""
        lowered = self.text.lower()
        return lowered if len(lowered) == len(self.text) else self.text

    @cached_property
    def words(self) -> str:
        """The text with spaces for placeholders: `[CREDIT_CARD]` must not vouch for the number next to it."""
        return without_placeholders(self.text)
