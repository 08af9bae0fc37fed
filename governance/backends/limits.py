"""What may be spent on a model behind an API, and how fast it may be asked.

Both are kept before a request leaves, on the most that it can cost, and put right once the endpoint has counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from governance.backends.cache import Reply

MINUTE = 60.0
_MILLION = 1_000_000
_FRAME = 64
"""Tokens that an endpoint may put around two messages."""


class Tokens(NamedTuple):
    """Tokens of one request."""

    read: int
    written: int

    @property
    def total(self) -> int:
        """Both, as limits per minute count them."""
        return self.read + self.written


def most(system: str, message: str, max_tokens: int) -> Tokens:
    """The most tokens that a request can take: no tokenizer in use makes more of a text than it has bytes."""
    return Tokens(len(system.encode()) + len(message.encode()) + _FRAME, max_tokens)


def used(reply: Reply, bound: Tokens) -> Tokens:
    """What a reply took, as the endpoint counted; where it didn't, the most that it can have been."""
    read, written = reply.tokens_in, reply.tokens_out
    return Tokens(bound.read if read is None else read, bound.written if written is None else written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the user allows.

    Attributes:
        price: money per million tokens read and written; None: not known.
        budget: the most that all answers may cost, in the price's currency; None: no limit.
        requests_per_minute: None: no limit.
        tokens_per_minute: read and written together; None: no limit.
    """

    price: tuple[float, float] | None = None
    budget: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.price is None:
            raise ValueError("a budget needs a price")


class Spending:
    """Keeps what is spent within a budget: asks nothing that could take it over, in-flight requests at their most."""

    def __init__(self, price: tuple[float, float] | None, budget: float | None) -> None:
        """Nothing is spent yet; see `Limits`."""
        self._price, self._budget = price, budget
        self._spent = self._reserved = 0.0
        self._under_way = 0
        self._waiter: asyncio.Future[None] | None = None
        self.reached = False

    @property
    def spent(self) -> float | None:
        """Money; None where there is no price."""
        return None if self._price is None else self._spent

    async def reserve(self, bound: Tokens) -> bool:
        """Set the most that a request can cost aside; waits for others to end where they hold what it needs.

        Called by one at a time: who waits is not overtaken, so what is asked depends on the costs alone.

        Returns:
            Whether it may be sent. Once one may not, none may: else the short texts alone would be asked.
        """
        most = self._cost(bound)
        while self._budget is not None and not self.reached and self._spent + self._reserved + most > self._budget:
            if self._under_way:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            else:
                self.reached = True
        if self.reached:
            return False
        self._reserved += most
        self._under_way += 1
        return True

    def settle(self, bound: Tokens, cost: Tokens | None) -> None:
        """A request that was reserved has ended; None: it cost nothing."""
        self._under_way -= 1
        # Sums of floats that should be nothing are not quite.
        self._reserved = self._reserved - self._cost(bound) if self._under_way else 0.0
        if cost is not None:
            self.add(cost)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def add(self, cost: Tokens, times: int = 1) -> None:
        """Count what was spent without being reserved."""
        self._spent += times * self._cost(cost)

    def _cost(self, tokens: Tokens) -> float:
        if self._price is None:
            return 0.0
        return (tokens.read * self._price[0] + tokens.written * self._price[1]) / _MILLION


@dataclass(slots=True)
class Place:
    """One request's place in the last minute."""

    at: float
    tokens: int


class Pace:
    """Lets at most so many requests and tokens begin in any minute, whichever minute it is."""

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Nothing was asked yet; see `Limits`.

        Args:
            requests: in a minute.
            tokens: in a minute.
            clock: seconds that only rise.
            sleep: waits for seconds.
        """
        self._requests, self._tokens = requests, tokens
        self._clock, self._sleep = clock, sleep
        self._places: deque[Place] = deque()

    async def admit(self, tokens: int) -> Place:
        """Wait until there is room; a request larger than the limit goes when the minute is empty."""
        # Tries of others may take the room while this one sleeps, so it looks again.
        while (wait := self._wait(tokens)) > 0:
            await self._sleep(wait)
        return self._take(tokens)

    def correct(self, place: Place, tokens: int) -> None:
        """A request took another number of tokens than was thought."""
        place.tokens = tokens

    def note(self) -> None:
        """Another try of a request that was admitted: it isn't held up, but those after it are."""
        self._take(0)

    def _take(self, tokens: int) -> Place:
        place = Place(self._clock(), tokens)
        if self._requests is not None or self._tokens is not None:
            self._places.append(place)
        return place

    def _wait(self, tokens: int) -> float:
        now = self._clock()
        while self._places and now - self._places[0].at >= MINUTE:
            self._places.popleft()
        held, free_at = sum(place.tokens for place in self._places), now
        left = len(self._places)
        for place in self._places:
            crowded = self._requests is not None and left >= self._requests
            heavy = self._tokens is not None and held + min(tokens, self._tokens) > self._tokens
            if not crowded and not heavy:
                break
            free_at = place.at + MINUTE
            held, left = held - place.tokens, left - 1
        return free_at - now
