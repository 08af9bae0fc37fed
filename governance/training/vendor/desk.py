"""The vendor's desk: one method for each thing that is asked there. Nothing in an answer is believed.

The SDK's own models accept whatever they are told, so each answer is checked again by the few fields that matter here.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import SecretStr, ValidationError
from typing_extensions import override

from governance import atrest
from governance.backends.faults import PROBLEM, Blame, fault_of
from governance.backends.line import Line
from governance.errors import BackendError
from governance.training.vendor.answers import Answer, Checkpoint, Deleted, Event, Job, Page, StoredFile
from governance.training.vendor.words import Plain

if TYPE_CHECKING:
    import openai

KEY = "steelyard"
"""Key of the job's metadata that says which job of ours it is."""

_MAX_BYTES = 20_000_000
_PAGES = 100
_PURPOSE: Literal["fine-tune"] = "fine-tune"
_ROOM = 300.0  # seconds that a request may wait between its tries, all together
_SLOWEST = 50_000  # bytes per second that an upload must make
_LONGEST_WAIT = 120.0


class VendorError(BackendError):
    """Something that the vendor did not do; the message shows no text, key or address.

    Attributes:
        again: whether it is worth another try, since the vendor may have done it, or may do it next time.
        gone: the vendor says that there is no such thing.
        wait: seconds that the vendor asks us to wait before; None: it doesn't say.
    """

    def __init__(self, reason: str, *, again: bool = False, gone: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.again, self.gone, self.wait = again, gone, wait


Shape = TypeVar("Shape", bound=Answer)


class VendorLine(Line):
    """A line that carries any JSON object, not chat completions alone."""

    @override
    async def _read(self, response: Any) -> None:
        if not response.is_success:
            return
        await response.aread()
        problem = _problem(response.content)
        if problem is not None:
            response.request.extensions[PROBLEM] = problem
            raise self._http.RemoteProtocolError(problem)


def _problem(body: bytes) -> str | None:
    if len(body) > _MAX_BYTES:
        return "the response is too large"
    try:
        return None if isinstance(json.loads(body), dict) else "the response is not a JSON object"
    except (ValueError, RecursionError):
        return "the response is not JSON"


class Vendor:
    """A vendor's address and our key there. Its `repr` shows the host alone."""

    def __init__(
        self, base_url: str, api_key: SecretStr | None, *, timeout: float = 60.0, max_retries: int = 5
    ) -> None:
        """Check what can be checked without sending anything.

        Args:
            base_url: the endpoint, up to and including "/v1".
            api_key: the key; None for endpoints that want none.
            timeout: seconds for one try.
            max_retries: tries after the first, of requests that change nothing.

        Raises:
            ConfigError: the address or the key can't be used.
            MissingExtra: the SDK isn't installed.
        """
        self._line = VendorLine(base_url, api_key, timeout=timeout, max_retries=max_retries)
        self.host, self._api_key, self._timeout = self._line.host, api_key, timeout
        self._room = timeout * (max_retries + 1) + _ROOM

    def __repr__(self) -> str:
        return f"Vendor(host={self.host!r})"

    def plain(self, texts: Iterable[str]) -> Plain:
        """What makes this vendor's words fit to be shown.

        Args:
            texts: what it must not repeat, beside our key.
        """
        return Plain(texts, self._api_key)

    @asynccontextmanager
    async def open(self, plain: Plain) -> AsyncIterator[Desk]:
        """Connections for the event loop that runs now.

        Args:
            plain: makes what the vendor says fit to be shown.
        """
        async with self._line.open() as client:
            yield Desk(client, plain, timeout=self._timeout, room=self._room)


class Desk:
    """What is asked of a vendor. All methods raise `VendorError`."""

    def __init__(self, client: openai.AsyncOpenAI, plain: Plain, *, timeout: float, room: float) -> None:
        """Ask through a client; see `Vendor.open`."""
        self._client = client
        # What makes something is tried once; `once.make_once` looks for it before the next try.
        self._once = client.with_options(max_retries=0)
        self._plain, self._timeout, self._room = plain, timeout, room

    async def upload(self, name: str, path: Path) -> StoredFile:
        """Send a file, tried once."""
        data = atrest.read(path)
        sent = self._once.files.create(file=(name, data, "application/jsonl"), purpose=_PURPOSE)
        return await self._ask(sent, StoredFile, room=self._room + len(data) / _SLOWEST)

    async def file(self, file: str) -> StoredFile:
        """What has become of a file."""
        return await self._ask(self._client.files.retrieve(file), StoredFile)

    async def find_file(self, name: str, size: int) -> StoredFile | None:
        """The file of this name and size, if it was uploaded before and not refused."""
        pages = self._pages(lambda after: self._client.files.list(purpose=_PURPOSE, order="desc", limit=1000, **after))
        async for entry in _entries(pages):
            if (entry.get("filename"), entry.get("bytes")) == (name, size) and entry.get("status") != "error":
                return self._shaped(StoredFile, entry)
        return None

    async def delete(self, file: str) -> bool:
        """Ask to delete a file; whether the vendor says that it did."""
        return (await self._ask(self._client.files.delete(file), Deleted)).deleted

    async def start(self, **body: Any) -> Job:
        """Start a job, tried once. Takes what the SDK's `fine_tuning.jobs.create` takes."""
        return await self._ask(self._once.fine_tuning.jobs.create(**body), Job)

    async def job(self, job: str) -> Job:
        """How a job stands."""
        return await self._ask(self._client.fine_tuning.jobs.retrieve(job), Job)

    async def find_job(self, key: str, file: str | None) -> Job | None:
        """Our job, if it was started before and neither failed nor was cancelled.

        Args:
            key: what its metadata hold.
            file: its training file, by which a vendor that keeps no metadata is understood.
        """
        listed = self._client.fine_tuning.jobs.list
        async for entry in _entries(self._pages(lambda after: listed(limit=100, metadata={KEY: key}, **after))):
            # The vendor's own filter is not believed: another job's model would be taken for ours.
            metadata = entry.get("metadata")
            if isinstance(metadata, dict) and metadata:
                ours = metadata.get(KEY) == key
            else:
                ours = file is not None and entry.get("training_file") == file
            if ours and entry.get("status") not in ("failed", "cancelled"):
                return self._shaped(Job, entry)
        return None

    async def cancel(self, job: str) -> Job:
        """Ask to cancel a job."""
        return await self._ask(self._client.fine_tuning.jobs.cancel(job), Job)

    async def events(self, job: str, told: str | None) -> list[Event]:
        """What happened since the event of id `told`, oldest first."""
        listed = self._client.fine_tuning.jobs.list_events
        news: list[Event] = []
        async for entry in _entries(self._pages(lambda after: listed(job, limit=100, **after))):
            if entry.get("id") == told:
                break
            news.append(self._shaped(Event, entry))
        return news[::-1]

    async def checkpoints(self, job: str) -> list[Checkpoint]:
        """Checkpoints of a job, by step."""
        listed = self._client.fine_tuning.jobs.checkpoints.list
        pages = self._pages(lambda after: listed(job, limit=100, **after))
        found = [self._shaped(Checkpoint, entry) async for entry in _entries(pages)]
        return sorted(found, key=lambda one: one.step_number)

    async def _pages(self, ask: Callable[[dict[str, Any]], Any]) -> AsyncIterator[list[Any]]:
        """Pages of a list, at most a hundred: a vendor that always has more would keep us for ever."""
        after: dict[str, Any] = {}
        for _ in range(_PAGES):
            page = await self._ask(ask(after), Page)
            yield page.data
            last = page.data[-1].get("id") if page.data and isinstance(page.data[-1], dict) else None
            if not page.has_more or not isinstance(last, str) or last == after.get("after"):
                return
            after = {"after": last}

    async def _ask(self, what: Awaitable[Any], shape: type[Shape], *, room: float | None = None) -> Shape:
        import openai

        try:
            # The SDK's own limit is per read, so a server that drips would never reach it.
            async with asyncio.timeout(room or self._room):
                answer = await what
        except TimeoutError:
            raise VendorError("timed out: the answer came too slowly", again=True) from None
        except openai.OpenAIError as error:
            raise self._refusal(error) from None
        if isinstance(answer, str):  # the SDK hands on as it is what is not called JSON
            raise VendorError("the response is not called JSON", again=True)
        return self._shaped(shape, answer.to_dict(warnings=False))

    def _shaped(self, shape: type[Shape], raw: Mapping[str, Any]) -> Shape:
        try:
            return shape.model_validate(raw)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            # Not worth another try: what can't be read now could not be recognised as ours either.
            raise VendorError(f"the response can't be read (its '{self._plain(where)}')") from None

    def _refusal(self, error: openai.OpenAIError) -> VendorError:
        import openai

        fault = fault_of(error, self._timeout)
        if not isinstance(error, openai.APIStatusError):
            return VendorError(fault.reason, again=fault.blame is Blame.ENDPOINT)
        # What a vendor says of a key that it refuses shows some of it.
        body = error.body if isinstance(error.body, dict) and error.status_code != 401 else {}
        said = ": ".join(filter(None, (self._plain(body.get("code")), self._plain(body.get("message")))))
        out_of_money = body.get("code") in ("insufficient_quota", "billing_hard_limit_reached")
        return VendorError(
            f"{fault.reason} ({said})" if said else fault.reason,
            again=fault.blame is Blame.ENDPOINT and not out_of_money,
            gone=error.status_code == 404,
            wait=_asked_to_wait(error.response.headers),
        )


async def _entries(pages: AsyncIterator[list[Any]]) -> AsyncIterator[dict[str, Any]]:
    async for page in pages:
        for entry in page:
            if isinstance(entry, dict):
                yield entry


def _asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds, up to two minutes, as the SDK reads it."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            wait = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if math.isfinite(wait) and 0 < wait <= _LONGEST_WAIT:
            return wait
    return None
