"""Asking a model behind an API, whoever its vendor: what `Asking` does, an adapter per SDK says how.

Every message passes the scrubber before it leaves, every answer before anything else sees it. An answer is
cached as soon as it is there, a fault becomes a failed row, and an endpoint that is down is left alone
after a few rows. Retries with back-off and `Retry-After` are the SDK's.
"""

from __future__ import annotations

import asyncio
import functools
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, Required, TypedDict

from governance.backends.base import Answer, Capability, Request
from governance.backends.cache import AnswerCache, Reply, key
from governance.backends.faults import OPTIONAL, Blame, Fault
from governance.backends.gates import Direction, Gate
from governance.backends.limits import Limits, Pace, Place, Spending, Tokens, most, used
from governance.backends.line import Tries, run_to_end
from governance.backends.messages import Asked, Message, messages
from governance.backends.prompts import BoundPrompt
from governance.backends.reading import UNVOUCHED, Reading, answer_of, label_of
from governance.backends.shapes import schema_of
from governance.backends.taskprompts import BoundTaskPrompt
from governance.dataset import ModelText

__all__ = ["Asking", "Closes", "Common", "Direction", "Endpoint", "Gate"]

_SPARE = 6  # requests that may be under way for each spare worker, who goes on while others wait
_BUDGET = "the money budget was reached"
_OTHER_TASK = "its prompt asks for something else"
_ABOUT_FORM = 512  # tokens that an endpoint may say about a schema to its model
_AT_ONCE = 256  # rows that are taken on together, and so scrubbed together, at least


class Closes(Protocol):
    """Something to end together with the backend, such as the server behind it."""

    def close(self) -> None:
        """End it."""
        ...


class Endpoint(Protocol):
    """Where messages go: a `Line`, or what stands in for one."""

    host: str

    def open(self, at_once: int | None = None) -> Any:
        """A client for the event loop that runs now, as an async context manager; `at_once` tries may be under way."""
        ...

    async def ask(self, client: Any, body: Mapping[str, object], tries: Tries | None = None) -> Reply | Fault:
        """One message sent, one reply that isn't scrubbed yet, or why there is none."""
        ...


class Common(TypedDict, total=False):
    """What every adapter is told and passes on.

    Attributes:
        prompt: how the task is put; decides whether labels, words or an order are asked for.
        gate: the scrubber.
        cache: where answers are kept. [default: nowhere]
        concurrency: requests under way at once.
        limits: what may be spent, and how fast. [default: any]
        patience: rows in a row that may be lost to the endpoint before the rest are not asked.
        owned: what `close` ends as well, in this order.
    """

    prompt: Required[BoundPrompt | BoundTaskPrompt]
    gate: Required[Gate]
    cache: AnswerCache | None
    concurrency: int
    limits: Limits | None
    patience: int
    owned: Sequence[Closes]


class Asking(ABC):
    """Asks a chat model and reads its answers strictly. Implements `Backend`, and `Writes` or `Ranks` by its prompt.

    Transient faults (no connection, time-outs, 408, 409, 429, 5xx, a response that holds no answer) are tried
    again, then the row fails; 401, 402, 403, 404 and redirects on the first row fail all. A run after that asks failed
    rows again, except those that the endpoint did complete (no label, a refusal, a content filter, no text or too
    much of it): they are paid for, so they are kept.
    """

    def __init__(
        self,
        line: Endpoint,
        *,
        model: str,
        prompt: BoundPrompt | BoundTaskPrompt,
        gate: Gate,
        identity: str,
        options: Mapping[str, object],
        max_tokens: int,
        structured: bool = False,
        scored: bool = False,
        cache: AnswerCache | None = None,
        concurrency: int = 4,
        limits: Limits | None = None,
        patience: int = 5,
        owned: Sequence[Closes] = (),
    ) -> None:
        """Get ready to ask; nothing is sent yet.

        Args:
            line: how to reach the endpoint.
            model: the endpoint's name for the model.
            prompt: how the task is put.
            gate: the scrubber.
            identity: who answers, for cache keys.
            options: what shapes an answer beside the messages, by the endpoint's names; None: not sent.
            max_tokens: length limit of an answer.
            structured: whether `options` hold the endpoint to the JSON of `shapes`.
            scored: whether `options` ask for the alternatives of tokens, of which scores are made.
            cache: where answers are kept; None: nowhere.
            concurrency: requests under way at once.
            limits: what may be spent, and how fast; None: any.
            patience: rows in a row that may be lost to the endpoint before the rest are not asked.
            owned: what `close` ends as well, in this order.

        Raises:
            ConfigError: the task's answers can't be told apart by their first token, but are to be scored.
        """
        limits = limits or Limits()
        self._line, self._model = line, model
        self._prompt, self._gate, self._cache = prompt, gate, cache
        self._identity, self._concurrency, self._max_tokens = identity, concurrency, max_tokens
        self._options = {name: value for name, value in options.items() if value is not None}
        self._optional = [name for name in OPTIONAL if name in self._options]
        self._reading = Reading(prompt, gate, structured=structured, scored=scored)
        self._spending = Spending(limits.price, limits.budget)
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
        self._patience, self._lost, self._stopped, self._succeeded = patience, 0, "", False
        self._understood = False  # a request with these options was answered, maybe to an earlier run
        self._owned = tuple(owned)
        self._left: dict[str, Mapping[str, int]] = {}
        self._answered: dict[str, str | None] = {}  # a message's key -> the version that answered it
        self._unscored: set[str] = set()
        self.advance: Callable[[int], None] = lambda _: None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self._model!r}, host={self.host!r})"

    @abstractmethod
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        """A request's body, in the endpoint's form."""

    def _form(self, prompt: BoundPrompt | BoundTaskPrompt) -> Mapping[str, object]:  # noqa: ARG002 - for others
        """The options that hold an endpoint to the JSON of a prompt's answers."""
        return {}

    def reword(self, prompt: BoundPrompt | BoundTaskPrompt) -> None:
        """See `Rewords`. What was sent, spent and lost so far goes on counting: the limits are the model's."""
        self._prompt, self._reading = prompt, self._reading.by(prompt)
        if self._reading.structured:
            self._options |= self._form(prompt)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        if isinstance(self._prompt, BoundPrompt):
            scores = {Capability.SCORES} if self._reading.scored else set()
            return frozenset({Capability.CLASSIFY, Capability.TOKENS, *scores})
        return frozenset({Capability.RANK if self._prompt.orders else Capability.WRITE, Capability.TOKENS})

    @property
    def host(self) -> str:
        """The endpoint's host, for the record."""
        return self._line.host

    @property
    def at_once(self) -> int:
        """See `Tells`: enough that few of those who ask wait for the last answers of a part."""
        return max(_AT_ONCE, 8 * self._concurrency)

    @property
    def unscored(self) -> int | None:
        """Different messages that were answered without defined scores; None where none are asked for."""
        return len(self._unscored) if self._reading.scored else None

    @property
    def versions(self) -> Mapping[str, int]:
        """Names and versions that the endpoint gave its model -> different messages that each answered."""
        return dict(sorted(Counter(filter(None, self._answered.values())).items()))

    @property
    def reported_model(self) -> str | None:
        """The name and version that the endpoint gave its model; several, if it changed under way."""
        return ", ".join(self.versions) or None

    @property
    def spent(self) -> float | None:
        """Money that the answers cost, an earlier, killed run's included; None where there is no price."""
        return self._spending.spent

    @property
    def sent(self) -> Mapping[str, int]:
        """What left: "rows" different messages, and pieces of personal data scrubbed from them before, by entity.

        Counts messages that an earlier, killed run sent and whose answers came from the cache.
        """
        counts: Counter[str] = Counter(rows=len(self._left))
        for scrubbed in self._left.values():
            counts.update(scrubbed)
        return dict(counts)

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """One answer per text, in order. Equal messages are asked once.

        `Answer.seconds` is the time of the try that succeeded, without retries and waits before it; of a row lost to
        the endpoint, all the time that it was waited for; 0 of one that was not asked.
        """
        prompt = self._prompt
        if not isinstance(prompt, BoundPrompt):
            return [Answer(failure=_OTHER_TASK)] * len(texts)
        return self._answers(texts, prompt.fill, lambda _, reply: label_of(prompt, reply), "a label")

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Writes`; times as of `classify`."""
        prompt = self._prompt
        if isinstance(prompt, BoundPrompt) or prompt.orders:
            return [Answer(failure=_OTHER_TASK)] * len(requests)

        def words(_: Request, reply: Reply) -> dict[str, Any]:
            return {"output": prompt.words(reply.output or "")}

        return self._answers(requests, prompt.fill, words, "words")

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`: candidates that the answer doesn't name share the last place. Times as of `classify`."""
        prompt = self._prompt
        if isinstance(prompt, BoundPrompt) or not prompt.orders:
            return [Answer(failure=_OTHER_TASK)] * len(requests)

        def order(request: Request, reply: Reply) -> dict[str, Any]:
            return {"scores": prompt.order(reply.output or "", len(request.candidates))}

        return self._answers(requests, prompt.fill, order, "an order of the candidates")

    def _answers(
        self,
        asked: Sequence[Asked],
        fill: Callable[[Asked], ModelText],
        read: Callable[[Asked, Reply], Mapping[str, Any]],
        wanted: str,
    ) -> list[Answer]:
        """One answer per thing asked, in order.

        Args:
            asked: the task's rows.
            fill: makes a row the user message.
            read: what an answer to a row means, as a field of `Answer`; None in it: nothing.
            wanted: what that is, in words.
        """
        prepared = messages(asked, fill, self._gate, self._key)
        rows = Counter(message.key for message in prepared if isinstance(message, Message))
        different = {message.key: message for message in prepared if isinstance(message, Message)}
        replies: dict[str, Reply | Fault] = {}
        for name, message in different.items():
            known = self._cache.get(name) if self._cache else None
            if known is not None:
                if name not in self._answered:  # an earlier run paid, out of the same budget
                    self._spending.add(used(known, self._most(message)))
                self._note(message, known)
                replies[name] = known
        left = [message for name, message in different.items() if name not in replies]
        self.advance(len(asked) - sum(rows[message.key] for message in left))
        if left:
            replies |= run_to_end(self._ask_all(left, lambda message: self.advance(rows[message.key])))
        return [
            answer_of(replies[message.key], functools.partial(read, one), wanted)
            if isinstance(message, Message)
            else message
            for one, message in zip(asked, prepared, strict=True)
        ]

    def close(self) -> None:
        """End what it was given to own."""
        for thing in self._owned:
            thing.close()

    def _key(self, message: str) -> str:
        return key(
            endpoint=self._identity,
            model=self._model,
            prompt=self._prompt.digest(),
            settings=self._options,
            system=self._prompt.system,
            message=message,
        )

    def _most(self, message: Message) -> Tokens:
        """The most that asking can take; an endpoint puts a schema, and words about it, before the messages."""
        read, written = most(self._prompt.system, message.text, self._max_tokens)
        if self._reading.structured:
            read += len(json.dumps(schema_of(self._prompt)).encode()) + _ABOUT_FORM
        return Tokens(read, written)

    def _note(self, message: Message, reply: Reply) -> None:
        self._understood = True
        self._left[message.key] = message.scrubbed
        self._answered[message.key] = reply.model
        if self._reading.scored and reply.output is not None and reply.scores is None:
            self._unscored.add(message.key)

    async def _ask_all(self, messages: Sequence[Message], done: Callable[[Message], None]) -> dict[str, Reply | Fault]:
        """Ask `concurrency` at once, with a few spare workers for those that wait to be tried again.

        Each takes the next message when it is free, and says when it is done.
        """
        replies, queue = dict[str, Reply | Fault](), iter(messages)
        self._turn = asyncio.Lock()  # belongs to the loop that runs now
        try:
            async with self._line.open(self._concurrency) as client, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency + self._concurrency // _SPARE, len(messages))):
                    group.create_task(self._work(client, queue, replies, done))
        except BaseExceptionGroup as failures:
            # One reason to stop is enough, and a full disk should read as such.
            raise failures.exceptions[0] from None
        return replies

    async def _work(
        self,
        client: Any,
        queue: Iterator[Message],
        replies: dict[str, Reply | Fault],
        done: Callable[[Message], None],
    ) -> None:
        for message in queue:
            found = await self._ask(client, message)
            if isinstance(found, Reply):
                self._succeeded, self._lost = True, 0
                self._note(message, found)
                # A scrubber may learn to read an answer; what the endpoint refused was paid for like any other.
                if self._cache is not None and found.problem != UNVOUCHED:
                    self._cache.put(message.key, found)
            else:
                found = self._explained(found)
                self._count_loss(found)
                if found.left:
                    self._left[message.key] = message.scrubbed
            replies[message.key] = found
            done(message)

    async def _ask(self, client: Any, message: Message) -> Reply | Fault:
        """One message to the endpoint within the limits, one scrubbed reply back."""
        bound = self._most(message)
        place = await self._enter(bound)
        if isinstance(place, str):
            return Fault(f"not asked: {place}", Blame.ROW, left=False)
        tries = Tries(again=self._pace.note)
        found = await self._line.ask(client, self._body(self._prompt.system, message.text), tries)
        cost = used(found, bound) if isinstance(found, Reply) else None
        self._spending.settle(bound, cost)
        # A try that got no word back may have been answered, and charged for, all the same.
        self._spending.add(bound, tries.in_doubt(found))
        if cost is not None:
            self._pace.correct(place, cost.total)
        return self._reading.shown(found) if isinstance(found, Reply) else found

    async def _enter(self, bound: Tokens) -> Place | str:
        """Wait for money and for room in the minute, first come, first served; or say why not to ask."""
        async with self._turn:
            if why := self._halted():
                return why
            if not await self._spending.reserve(bound):
                return _BUDGET
            place = await self._pace.admit(bound.total)
        if why := self._halted():  # while it waited
            self._spending.settle(bound, None)
            return why
        return place

    def _halted(self) -> str:
        return self._stopped

    def _explained(self, fault: Fault) -> Fault:
        """What an endpoint that took no request yet may have against this one: a part that not all endpoints know."""
        if not fault.malformed or fault.blame is Blame.SETUP or self._understood or not self._optional:
            return fault
        perhaps = f"{fault.reason}; perhaps the endpoint doesn't take {' or '.join(self._optional)}"
        return replace(fault, reason=perhaps, blame=Blame.ENDPOINT)

    def _count_loss(self, fault: Fault) -> None:
        """Stop asking once the endpoint is plainly down, or refuses us from the start."""
        if fault.blame is Blame.ROW:
            return
        self._lost += 1
        # After a success the set-up is right, so a refusal speaks of one row, unless they follow each other.
        if fault.blame is Blame.SETUP and not self._succeeded:
            self._stopped = fault.reason
        elif self._lost >= self._patience:
            self._stopped = f"{self._lost} rows in a row were lost, the last one to: {fault.reason}"
