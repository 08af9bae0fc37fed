"""One pattern, its check digits and its context: how sure a match makes us."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from governance.privacy.checks import Check
from governance.privacy.overlaps import CHECKSUM, PATTERN, Find
from governance.privacy.rules.signs import Signs

BEFORE, AFTER = 32, 16
"""Characters before and after a candidate in which a context word may stand."""
_PREFIX = 80

ORDER_NUMBER = re.compile(
    r"(?:(?<![A-Za-z])(?:orders?|order id|tracking|sku|item|style|product|invoice|serial|batch|lot|upc|ean|isbn|barcode"
    r"|ticket|case|model|part|article|po|rma|reference|ref|coupon|voucher|promo)"
    r"|订单|单号|运单|货号|款号|商品|编[号码]|条码|流水|批次|批号|型号|货品|工单|券码|条形码|序列号|69码)"
    r"\s{0,3}(?:no\.?|numbers?|num|id|code|ref|reference|号码?|编[号码])?\s{0,3}(?:is|was|是"
    r"|为)?\s{0,3}[:#=]?\s{0,3}[A-Z]{0,4}[-]?$",
    re.IGNORECASE,
)
"""What makes a run of digits right after it a shop's number, not a person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One pattern and what a match of it is worth.

    Attributes:
        entity: what it finds.
        pattern: candidates; group "value", where it has one, is the personal data itself.
        needs: tells cheaply that a text can't match.
        before: a character right before a match that belongs to the value, which needs at least one; None: none does.
        prefix: what may stand right before a match and belongs to it, such as a flat's number; matched backwards.
        score: of a candidate as it is; 0: not enough.
        check: says how much of a candidate is valid; None: there is nothing to check.
        checked: score of a candidate that passes the check.
        loose: a weaker check that a candidate near a context word must pass; None: none.
        context: words that support it, before or after; a placeholder such as `[CREDIT_CARD]` is none.
        reach: characters before and after a candidate in which such a word may stand.
        supported: score of a candidate near such a word, its check passed or not.
        shops_own: a candidate right after "order number" and the like counts only with context, and not at all if
            `reach` isn't the usual one: a word far away doesn't vouch for it.
        region: whose numbering plan a telephone number follows; "": none in particular.
    """

    entity: str
    pattern: re.Pattern[str]
    needs: Callable[[Signs], object]
    before: re.Pattern[str] | None = None
    prefix: re.Pattern[str] | None = None
    score: float = 0.0
    check: Check | None = None
    checked: float = 0.0
    loose: Check | None = None
    context: re.Pattern[str] | None = None
    reach: tuple[int, int] = (BEFORE, AFTER)
    supported: float = 0.0
    shops_own: bool = False
    region: str = ""

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text that the rule needs, with scores above 0."""
        text = signs.text
        for match in self.pattern.finditer(text):
            start, end = match.span("value" if "value" in self.pattern.groupindex else 0)
            if self.before is not None:
                end_of_prefix, start = start, _backwards(text, start, self.before)
                if start == end_of_prefix:
                    continue
            length, score, rank = self._worth(signs, start, end)
            if score > 0:
                end = start + length
                if self.prefix is not None and (prefix := self.prefix.search(text, max(0, start - _PREFIX), start)):
                    start = prefix.start()
                yield Find(self.entity, start, end, score, rank)

    def _worth(self, signs: Signs, start: int, end: int) -> tuple[int, float, int]:
        """(characters that count, score, rank) of one candidate."""
        text = signs.text
        options = [(end - start, self.score, PATTERN)]
        if self.check is not None and (length := self.check(text[start:end])):
            options.append((length, self.checked, CHECKSUM if self.checked >= 0.9 else PATTERN))
        if self.shops_own and ORDER_NUMBER.search(text, max(0, start - BEFORE), start):
            if self.reach != (BEFORE, AFTER):
                return 0, 0.0, 0
            options = []
        if self.context is not None and self._in_context(self.context, signs.words, start, end):
            length = self.loose(text[start:end]) if self.loose else end - start
            options.append((length, self.supported if length else 0.0, PATTERN))
        return max(options, key=lambda option: option[1], default=(0, 0.0, 0))

    def _in_context(self, context: re.Pattern[str], words: str, start: int, end: int) -> bool:
        before, after = self.reach
        around = words[max(0, start - before) : start], words[end : end + after]
        return any(context.search(side) for side in around)


def _backwards(text: str, start: int, char: re.Pattern[str]) -> int:
    """Where the run of such characters that ends at `start` begins, or 255 characters before."""
    first = start
    while first > max(0, start - 255) and char.match(text, first - 1):
        first -= 1
    return first
