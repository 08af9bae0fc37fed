"""Asking a model behind an API, whoever its vendor: what `Asking` does, an adapter per SDK says how.

Every message passes the scrubber before it leaves, every answer before anything else sees it. An answer is
cached as soon as it is there, a fault becomes a failed row, and an endpoint that is down is left alone
after a few rows. Retries with back-off and `Retry-After` are the SDK's.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Required, TypedDict

from governance.backends.base import Answer, Capability
from governance.backends.cache import AnswerCache, Reply, key
from governance.backends.faults import Blame, Fault
from governance.backends.limits import Limits, Pace, Place, Spending, Tokens, most, used
from governance.backends.line import Line, Tries, run_to_end
from governance.backends.prompts import Prompt
from governance.dataset import Labels, ModelText, SyntheticText
from governance.errors import ScrubError

Direction = Literal["prompt", "output"]
Gate = Callable[[str, Direction], tuple[str, dict[str, int]]]
"""The scrubber for one text: the scrubbed text, and pieces replaced by entity."""

_UNVOUCHED = "the scrubber can't vouch for the answer"
_BUDGET = "the money budget was reached"


class Closes(Protocol):
    """Something to end together with the backend, such as the server behind it."""

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class _Message:
    """One user message, scrubbed: what leaves. Its `repr` shows no text."""

    key: str
    text: str = field(repr=False)
    scrubbed: Mapping[str, int]


class Common(TypedDict, total=False):
    """What every adapter is told and passes on.

    Attributes:
        prompt: how the task is put.
        labels: the task's classes.
        gate: the scrubber.
        cache: where answers are kept. [default: nowhere]
        concurrency: requests under way at once.
        limits: what may be spent, and how fast. [default: any]
        patience: rows in a row that may be lost to the endpoint before the rest are not asked.
        owned: what `close` ends as well, in this order.
    """

    prompt: Required[Prompt]
    labels: Required[Labels]
    gate: Required[Gate]
    cache: AnswerCache | None
    concurrency: int
    limits: Limits | None
    patience: int
    owned: Sequence[Closes]


class Asking(ABC):
    """Classifies texts by asking a chat model and reading its answer strictly. Implements `Backend`.

    Transient faults (no connection, time-outs, 408, 409, 429, 5xx, a response that holds no answer) are tried
    again, then the row fails; 401, 402, 403, 404 and redirects on the first row fail all. A run after that asks failed
    rows again, except those that the endpoint did complete (no label, a refusal, a content filter, no text or too
    much of it): they are paid for, so they are kept.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.TOKENS})

    def __init__(
        self,
        line: Line,
        *,
        model: str,
        prompt: Prompt,
        labels: Labels,
        gate: Gate,
        identity: str,
        options: Mapping[str, object],
        max_tokens: int,
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
            labels: the task's classes.
            gate: the scrubber.
            identity: who answers, for cache keys.
            options: what shapes an answer beside the messages, by the endpoint's names; None: not sent.
            max_tokens: length limit of an answer.
            cache: where answers are kept; None: nowhere.
            concurrency: requests under way at once.
            limits: what may be spent, and how fast; None: any.
            patience: rows in a row that may be lost to the endpoint before the rest are not asked.
            owned: what `close` ends as well, in this order.

        Raises:
            ConfigError: the prompt doesn't fit the labels.
        """
        limits = limits or Limits()
        self._line, self._model = line, model
        self._prompt, self._gate, self._cache = prompt.bind(labels), gate, cache
        self._identity, self._concurrency, self._max_tokens = identity, concurrency, max_tokens
        self._options = {name: value for name, value in options.items() if value is not None}
        self._spending = Spending(limits.price, limits.budget)
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute)
        self._patience, self._lost, self._stopped, self._succeeded = patience, 0, "", False
        self._owned = tuple(owned)
        self._left: dict[str, Mapping[str, int]] = {}
        self._answered: dict[str, str | None] = {}  # a message's key -> the version that answered it

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self._model!r}, host={self.host!r})"

    @abstractmethod
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        """A request's body, in the endpoint's form."""

    @property
    def host(self) -> str:
        """The endpoint's host, for the record."""
        return self._line.host

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
        prepared = [self._prepare(text) for text in texts]
        messages = {message.key: message for message in prepared if isinstance(message, _Message)}
        replies: dict[str, Reply | Fault] = {}
        for name, message in messages.items():
            known = self._cache.get(name) if self._cache else None
            if known is not None:
                if name not in self._answered:  # an earlier run paid, out of the same budget
                    self._spending.add(used(known, most(self._prompt.system, message.text, self._max_tokens)))
                self._note(message, known)
                replies[name] = known
        open_messages = [message for name, message in messages.items() if name not in replies]
        if open_messages:
            replies |= run_to_end(self._ask_all(open_messages))
        return [self._answer(replies[p.key]) if isinstance(p, _Message) else p for p in prepared]

    def close(self) -> None:
        """End what it was given to own."""
        for thing in self._owned:
            thing.close()

    def _prepare(self, text: ModelText) -> _Message | Answer:
        """Fill the prompt and scrub it; a message that can't be vouched for is not sent."""
        try:
            message = self._prompt.fill(text).text
            scrubbed: dict[str, int] = {}
            if not isinstance(text, SyntheticText):  # ours, nobody's data: a name swap must not become a placeholder
                message, scrubbed = self._gate(message, "prompt")
            message.encode()
        except ScrubError:
            return Answer(failure="not sent: the scrubber can't vouch for the message")
        except UnicodeEncodeError:
            return Answer(failure="not sent: the text is not valid Unicode")
        name = key(
            endpoint=self._identity,
            model=self._model,
            prompt=self._prompt.digest(),
            settings=self._options,
            system=self._prompt.system,
            message=message,
        )
        return _Message(name, message, scrubbed)

    def _answer(self, reply: Reply | Fault) -> Answer:
        if isinstance(reply, Fault):
            return Answer(failure=reply.reason, seconds=reply.seconds)
        label = None if reply.output is None else self._prompt.parse(reply.output)
        return Answer(
            label=label,
            failure=None if label is not None else reply.problem or "answer is not a label",
            seconds=reply.seconds,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            output=reply.output,
            personal=reply.personal,
            version=reply.model,
        )

    def _note(self, message: _Message, reply: Reply) -> None:
        self._left[message.key] = message.scrubbed
        self._answered[message.key] = reply.model

    async def _ask_all(self, messages: Sequence[_Message]) -> dict[str, Reply | Fault]:
        """Ask with `concurrency` workers; each takes the next message when it is free."""
        replies, queue = dict[str, Reply | Fault](), iter(messages)
        self._turn = asyncio.Lock()  # belongs to the loop that runs now
        try:
            async with self._line.open() as client, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(messages))):
                    group.create_task(self._work(client, queue, replies))
        except BaseExceptionGroup as failures:
            # One reason to stop is enough, and a full disk should read as such.
            raise failures.exceptions[0] from None
        return replies

    async def _work(self, client: Any, queue: Iterator[_Message], replies: dict[str, Reply | Fault]) -> None:
        for message in queue:
            found = await self._ask(client, message)
            if isinstance(found, Reply):
                self._succeeded, self._lost = True, 0
                self._note(message, found)
                # A scrubber may learn to read an answer; what the endpoint refused was paid for like any other.
                if self._cache is not None and found.problem != _UNVOUCHED:
                    self._cache.put(message.key, found)
            else:
                self._count_loss(found)
                if found.left:
                    self._left[message.key] = message.scrubbed
            replies[message.key] = found

    async def _ask(self, client: Any, message: _Message) -> Reply | Fault:
        """One message to the endpoint within the limits, one scrubbed reply back."""
        bound = most(self._prompt.system, message.text, self._max_tokens)
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
        return self._scrubbed(found) if isinstance(found, Reply) else found

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

    def _scrubbed(self, reply: Reply) -> Reply:
        """The reply as the rest of the audit may see it."""
        if reply.output is None:
            return reply
        try:
            output, pieces = self._gate(reply.output, "output")
        except ScrubError:
            return reply.model_copy(update={"output": None, "problem": _UNVOUCHED})
        return reply.model_copy(update={"output": output, "personal": sum(pieces.values())})

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
