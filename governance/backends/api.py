"""A model behind an OpenAI-compatible API: a vendor's, or a server on loopback that stands in for one.

Every message passes the scrubber before it leaves, every answer before anything else sees it. An answer is
cached as soon as it is there, a fault becomes a failed row, and an endpoint that is down is left alone
after a few rows. Retries with back-off and `Retry-After` (up to two minutes) are the SDK's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from pydantic import SecretStr

from governance.backends.base import Answer, Capability
from governance.backends.cache import AnswerCache, Reply, key
from governance.backends.faults import Blame, Fault
from governance.backends.line import Line
from governance.backends.prompts import Prompt
from governance.dataset import Labels, ModelText, SyntheticText
from governance.errors import ScrubError

if TYPE_CHECKING:
    import openai

Direction = Literal["prompt", "output"]
Gate = Callable[[str, Direction], tuple[str, dict[str, int]]]
"""The scrubber for one text: the scrubbed text, and pieces replaced by entity."""

_UNVOUCHED = "the scrubber can't vouch for the answer"

Result = TypeVar("Result")


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


class OpenAIBackend:
    """Classifies texts by asking a chat model and reading its answer strictly. Implements `Backend`.

    Transient faults (no connection, time-outs, 408, 409, 429, 5xx, a response that is no chat completion) are tried
    again, then the row fails; 401, 403, 404 and redirects on the first row fail all. A run after that asks failed
    rows again, except those that the endpoint did complete (no label, a refusal, a content filter, no text or too
    much of it): they are paid for, so they are kept.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.TOKENS})

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        prompt: Prompt,
        labels: Labels,
        gate: Gate,
        api_key: SecretStr | None = None,
        cache: AnswerCache | None = None,
        identity: str | None = None,
        concurrency: int = 4,
        timeout: float = 60.0,
        max_retries: int = 5,
        max_tokens: int = 8,
        temperature: float | None = 0.0,
        seed: int | None = 0,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        patience: int = 5,
        owned: Sequence[Closes] = (),
    ) -> None:
        """Get ready to ask; nothing is sent yet.

        Args:
            base_url: the endpoint, up to and including "/v1".
            model: the endpoint's name for the model.
            prompt: how the task is put.
            labels: the task's classes.
            gate: the scrubber.
            api_key: the key; None for endpoints that want none.
            cache: where answers are kept; None: nowhere.
            identity: who answers, for cache keys; default `base_url`. A server on a free port needs
                a steady one: a digest of its weights, its kind and precision.
            concurrency: requests under way at once.
            timeout: seconds for one try.
            max_retries: tries after the first.
            max_tokens: length limit of an answer.
            temperature: None: not sent, for models that refuse it.
            seed: None: not sent.
            limit_name: what the endpoint calls the length limit.
            patience: rows in a row that may be lost to the endpoint before the rest are not asked.
            owned: what `close` ends as well, in this order.

        Raises:
            ConfigError: the address, the key or the prompt can't be used.
            MissingExtra: the SDK isn't installed.
        """
        self._line = Line(base_url, api_key, timeout=timeout, max_retries=max_retries)
        self._model = model
        self._prompt, self._gate, self._cache = prompt.bind(labels), gate, cache
        self._identity, self._concurrency = identity or base_url, concurrency
        options = {limit_name: max_tokens, "temperature": temperature, "seed": seed}
        self._options = {name: value for name, value in options.items() if value is not None}
        self._patience, self._lost, self._stopped = patience, 0, ""
        self._succeeded = False
        self._owned = tuple(owned)
        self._left: dict[str, Mapping[str, int]] = {}
        self._models: set[str] = set()

    def __repr__(self) -> str:
        return f"OpenAIBackend(model={self._model!r}, host={self.host!r})"

    @property
    def host(self) -> str:
        """The endpoint's host, for the record."""
        return self._line.host

    @property
    def reported_model(self) -> str | None:
        """The name and version that the endpoint gave its model; several, if it changed under way."""
        return ", ".join(sorted(self._models)) or None

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
        )

    def _note(self, message: _Message, reply: Reply) -> None:
        self._left[message.key] = message.scrubbed
        if reply.model is not None:
            self._models.add(reply.model)

    async def _ask_all(self, messages: Sequence[_Message]) -> dict[str, Reply | Fault]:
        """Ask with `concurrency` workers; each takes the next message when it is free."""
        replies: dict[str, Reply | Fault] = {}
        queue = iter(messages)
        try:
            async with self._line.open() as client, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(messages))):
                    group.create_task(self._work(client, queue, replies))
        except BaseExceptionGroup as failures:
            # One reason to stop is enough, and a full disk should read as such.
            raise failures.exceptions[0] from None
        return replies

    async def _work(
        self, client: openai.AsyncOpenAI, queue: Iterator[_Message], replies: dict[str, Reply | Fault]
    ) -> None:
        for message in queue:
            if self._stopped:
                replies[message.key] = Fault(f"not asked: {self._stopped}", Blame.ROW, left=False)
                continue
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

    async def _ask(self, client: openai.AsyncOpenAI, message: _Message) -> Reply | Fault:
        """One message to the endpoint, one scrubbed reply back."""
        system, user = {"role": "system", "content": self._prompt.system}, {"role": "user", "content": message.text}
        body = {"model": self._model, "messages": [system, user], **self._options}
        found = await self._line.ask(client, body)
        return self._scrubbed(found) if isinstance(found, Reply) else found

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


def run_to_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
