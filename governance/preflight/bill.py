"""What asking a model behind an API will cost, how long at least it will take, and whether its budget will do.

Tokens are estimated here, without the vendor's tokeniser, from texts as they are before scrubbing, which puts
placeholders of about the same length for what it finds. Two figures bound the bill: "about" counts rather too many
tokens than too few (1.4 times too many for English reviews) and answers of full length; "at most" is what the budget
reserves before a request leaves, a token for every byte. Retries of requests that the endpoint didn't answer cost more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.backends.limits import Limits, Tokens, most
from governance.training.vendor.examples import estimate_tokens

_MILLION = 1_000_000
_FRAME = 11
"""Tokens around a system and a user message, as vendors count them."""


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens that a request reads: about, and at most."""

    about: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one model's answers will come to.

    Attributes:
        model: its name in the config.
        rows: that it is weighed on.
        requests: different messages among them; equal ones are asked once.
        about: tokens read and written.
        most: tokens read and written.
        cost: money for `about`; None: no price is stated.
        cost_most: money for `most`.
        currency: of both.
        minutes: the least time that requests and tokens per minute leave.
        budget: the most that all its answers may cost; None: no limit.
        covered: whether the budget will do; it must also hold what the requests under way can cost.
        says: what is wrong with it, or nothing.
    """

    model: str
    rows: int
    requests: int
    about: Tokens
    most: Tokens
    cost: float | None
    cost_most: float | None
    currency: str
    minutes: float
    budget: float | None
    covered: bool
    says: str = ""


def sizes_of(system: str, shell: str, texts: Iterable[str]) -> list[Size]:
    """Sizes of the different messages that texts make.

    Args:
        system: the system message.
        shell: the user message around an empty text.
        texts: one per row; those of several parts joined.
    """
    # Scrubbing may make different texts equal, never equal ones different.
    around = estimate_tokens(system) + estimate_tokens(shell) + _FRAME
    reserved = most(system, shell, 0).read
    return [
        Size(around + estimate_tokens(text), reserved + len(text.encode(errors="replace")))
        for text in dict.fromkeys(texts)
    ]


def api_bill(
    model: str,
    rows: int,
    sizes: Sequence[Size],
    *,
    max_tokens: int,
    limits: Limits,
    concurrency: int = 1,
    currency: str = "USD",
) -> Bill:
    """What asking a model for so many messages will cost.

    Args:
        model: its name.
        rows: that it is weighed on.
        sizes: of the different messages; see `sizes_of`.
        max_tokens: of an answer.
        limits: price, budget and pace.
        concurrency: requests under way at once, each of which reserves the most that it can cost.
        currency: of the price.
    """
    written = max_tokens * len(sizes)
    about = Tokens(sum(size.about for size in sizes), written)
    top = Tokens(sum(size.most for size in sizes), written)
    cost, cost_most = _cost(about, limits), _cost(top, limits)
    largest = sorted((size.most for size in sizes), reverse=True)[:concurrency]
    reserve = _cost(Tokens(sum(largest), max_tokens * len(largest)), limits) or 0.0
    needed = min(cost_most or 0.0, (cost or 0.0) + reserve)
    covered = limits.budget is None or needed <= limits.budget
    says = "" if covered else f"set budget to at least {_up(needed)}, or rows to fewer"
    return Bill(
        model=model,
        rows=rows,
        requests=len(sizes),
        about=about,
        most=top,
        cost=cost,
        cost_most=cost_most,
        currency=currency,
        minutes=_minutes(len(sizes), about.total, limits),
        budget=limits.budget,
        covered=covered,
        says=says,
    )


def _cost(tokens: Tokens, limits: Limits) -> float | None:
    if limits.price is None:
        return None
    return (tokens.read * limits.price[0] + tokens.written * limits.price[1]) / _MILLION


def _minutes(requests: int, tokens: int, limits: Limits) -> float:
    """A minute's worth goes at once, the rest as the minutes pass."""
    asked = math.ceil(requests / limits.requests_per_minute) - 1 if limits.requests_per_minute else 0
    read = tokens / limits.tokens_per_minute - 1 if limits.tokens_per_minute else 0.0
    return max(0.0, float(asked), read)


def _up(money: float) -> str:
    """Two significant digits, rounded up.

    >>> _up(1.234), _up(0.00061)
    ('1.3', '0.00061')
    """
    if money <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(money))
    return f"{math.ceil(round(money * 10**digits, 6)) / 10**digits:.10g}"
