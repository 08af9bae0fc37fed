"""The line to an endpoint: what travels on it is what we mean to send, and nothing that arrives is believed.

Stands on the official SDK for retries, back-off and `Retry-After` (up to two minutes), but not for its habits: it
adds facts about this machine and headers from the environment, follows redirects, logs, and takes every fault for a
sign of too much to do.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from governance.backends.cache import Reply
from governance.backends.faults import PROBLEM, TRIES, Blame, Fault, fault_of
from governance.backends.replies import read_body
from governance.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import openai

_REPLY = "steelyard.reply"
_RETRY_ROOM = 300.0  # seconds that a row may wait between its tries, all together
_HICCUPS = frozenset({500, 502})
"""Something broke under this request; 429, 503 and 529 say that there is too much to do, which waiting helps."""
_FIRST_WAIT, _GROWTH, _LONGEST_WAIT = 0.1, 4.0, 8.0  # seconds after a hiccup; the SDKs wait 0.5, then 1, 2, 4, 8
_HEADERS = frozenset({b"host", b"accept", b"accept-encoding", b"connection", b"content-type", b"content-length"})
_TALKERS = ("openai", "anthropic", "httpx2", "httpcore2", "httpx", "httpcore")

Result = TypeVar("Result")


@dataclass(slots=True)
class Tries:
    """What became of the tries of one request.

    Attributes:
        again: called for each try after the first, as it leaves.
        begun: tries that left, or were about to.
        refused: tries that the endpoint answered with an error status.
        holding: whether one is under way, among those that may be at once.
    """

    again: Callable[[], None]
    begun: int = 0
    refused: int = 0
    holding: bool = False

    def in_doubt(self, found: Reply | Fault) -> int:
        """Tries that got neither an answer nor an error: the endpoint may have answered, and charge for, them."""
        if isinstance(found, Fault) and not found.left:
            return 0
        return max(0, self.begun - self.refused - isinstance(found, Reply))


_TRIES: ContextVar[Tries | None] = ContextVar("tries", default=None)


class Line:
    """How to reach one endpoint of OpenAI's kind; a subclass reaches another kind. Its `repr` shows the host alone."""

    SDK: ClassVar[str] = "openai"
    EXTRA: ClassVar[str] = "api"
    RAISES: ClassVar[str] = "OpenAIError"  # the base of all that it raises
    PATH: ClassVar[str] = "/chat/completions"

    def __init__(self, base_url: str, api_key: SecretStr | None, *, timeout: float, max_retries: int) -> None:
        """Check what can be checked without sending anything.

        Args:
            base_url: the endpoint, up to where `PATH` begins.
            api_key: the key; None for endpoints that want none.
            timeout: seconds for one try.
            max_retries: tries after the first.

        Raises:
            ConfigError: the address or the key can't be used.
            MissingExtra: the SDK isn't installed.
        """
        self.host, loopback = _endpoint(base_url)
        if api_key is not None and not _is_header_safe(api_key.get_secret_value()):
            raise ConfigError("the API key holds characters that can't be sent; expected printable ASCII, not empty")
        self._sdk, self._http = _import_sdk(self.SDK, self.EXTRA)
        self._raised: type[Exception] = getattr(self._sdk, self.RAISES)
        self._base_url, self._api_key = base_url, api_key
        self._timeout, self._max_retries = timeout, max_retries
        self._use_proxies = not loopback  # a vendor may be reachable through one only
        self._slots: asyncio.Semaphore | None = None

    def __repr__(self) -> str:
        return f"Line(host={self.host!r})"

    async def ask(self, client: Any, body: Mapping[str, object], tries: Tries | None = None) -> Reply | Fault:
        """Send one request, as often as it takes. The reply isn't scrubbed yet; a fault says how long it took.

        Args:
            client: from `open`.
            body: as the endpoint wants it.
            tries: where to keep account of its tries.
        """
        started = time.monotonic()
        token = _TRIES.set(tries)
        try:
            found = await self._send(client, body)
        finally:
            _TRIES.reset(token)
            self._leave(tries)
        return replace(found, seconds=time.monotonic() - started) if isinstance(found, Fault) else found

    async def _send(self, client: Any, body: Mapping[str, object]) -> Reply | Fault:
        try:
            # The SDK's own limit is per read, so a server that drips would never reach it.
            async with asyncio.timeout(self._timeout * (self._max_retries + 1) + _RETRY_ROOM):
                # Asked for as it came: the SDK's own models of an answer believe whatever they are told.
                response = await client.post(self.PATH, cast_to=self._http.Response, body=body)
        except TimeoutError:
            return Fault("timed out: the answer came too slowly", Blame.ENDPOINT)
        except self._raised as error:
            return fault_of(error, self._timeout, self._sdk)
        reply: Reply = response.extensions[_REPLY]
        return reply.model_copy(update={"seconds": response.elapsed.total_seconds()})

    def open(self, at_once: int | None = None) -> Any:
        """The SDK's client for the event loop that runs now; an async context manager.

        Args:
            at_once: tries that may be under way; one that waits to be tried again is not. None: any number.
        """
        self._slots = asyncio.Semaphore(at_once) if at_once else None
        for name in _TALKERS:  # at DEBUG they write requests; each time, since an environment variable raises it
            logging.getLogger(name).setLevel(logging.WARNING)
        transport = self._sdk.DefaultAsyncHttpxClient(
            trust_env=self._use_proxies,
            follow_redirects=False,  # a redirect would carry texts to a host that the config doesn't name
            timeout=self._timeout,
            event_hooks={"request": [self._send_ours_alone], "response": [self._read]},
        )
        return self._client(transport)

    def _client(self, transport: Any) -> Any:
        client: openai.AsyncOpenAI = self._sdk.AsyncOpenAI(
            api_key=self._secret() or "none",
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=self._max_retries,
            http_client=transport,
        )
        return client

    def _headers(self) -> Mapping[str, str]:
        """What is sent beside the transport's own headers."""
        secret = self._secret()
        return {"user-agent": "steelyard"} | ({} if secret is None else {"authorization": f"Bearer {secret}"})

    def _reply(self, body: bytes) -> Reply | str:
        """A response's body as a reply, or why it is none."""
        return read_body(body)

    def _secret(self) -> str | None:
        return None if self._api_key is None else self._api_key.get_secret_value()

    async def _send_ours_alone(self, request: Any) -> None:
        request.extensions[TRIES] = int(request.headers.get("x-stainless-retry-count", 0)) + 1
        # As bytes and at once: one by one, this took a tenth of a request's time.
        kept = [(name, value) for name, value in request.headers.raw if name.lower() in _HEADERS]
        request.headers = self._http.Headers(kept)
        request.headers.update(self._headers())
        tries = _TRIES.get()
        if tries is not None:
            if self._slots is not None and not tries.holding:
                await self._slots.acquire()
                tries.holding = True
            if tries.begun:
                tries.again()
            tries.begun += 1

    def _leave(self, tries: Tries | None) -> None:
        """Make room for another try."""
        if self._slots is not None and tries is not None and tries.holding:
            tries.holding = False
            self._slots.release()

    async def _read(self, response: Any) -> None:
        """Read a success here, so that the SDK tries again when it turns out to be nonsense."""
        if not response.is_success:
            tries = _TRIES.get()
            if tries is not None:
                tries.refused += 1
                self._leave(tries)  # its wait is nobody else's
            _hasten(response)
            return
        await response.aread()
        reply = self._reply(response.content)
        if isinstance(reply, str):
            response.request.extensions[PROBLEM] = reply
            raise self._http.RemoteProtocolError(reply)
        response.extensions[_REPLY] = reply


def _hasten(response: Any) -> None:
    """Let the SDK try again soon after a hiccup, unless the endpoint says when; if it lasts, as late as ever."""
    told = {"retry-after", "retry-after-ms"} & set(response.headers)
    if response.status_code in _HICCUPS and not told:
        wait = min(_FIRST_WAIT * _GROWTH ** (response.request.extensions[TRIES] - 1), _LONGEST_WAIT)
        spread = random.uniform(0.5, 1)  # noqa: S311 - keeps rows that failed together from coming back together
        response.headers["retry-after-ms"] = f"{1000 * wait * spread:.0f}"


def _import_sdk(name: str, extra: str) -> tuple[Any, Any]:
    """The SDK, and the HTTP library that it stands on."""
    try:
        sdk = importlib.import_module(name)
        return sdk, importlib.import_module("httpx2")
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtra(f"a model behind an API needs {name}: pip install 'steelyard[{extra}]'") from None


def _endpoint(base_url: str) -> tuple[str, bool]:
    """An address's host, and whether it is this machine.

    Raises:
        ConfigError: not an address that may be called.
    """
    try:
        parts = urlsplit(base_url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("base_url: expected an address such as https://api.example.com/v1") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError("base_url: expected an address such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None or parts.query:
        raise ConfigError("base_url: expected no name, password or parameters in it; the key goes into a variable")
    try:
        return host, ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host, host == "localhost"


def _is_header_safe(secret: str) -> bool:
    return bool(secret) and secret.isascii() and secret.isprintable() and " " not in secret


def run_to_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; in a thread of its own where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
