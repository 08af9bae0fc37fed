"""The line to an endpoint: what travels on it is what we mean to send, and nothing that arrives is believed.

Stands on the official SDK for retries, back-off and `Retry-After` (up to two minutes), but not for its habits: it
adds facts about this machine and headers from the environment, follows redirects, and logs.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from governance.backends.cache import Reply
from governance.backends.faults import PROBLEM, TRIES, Blame, Fault, fault_of
from governance.backends.replies import read_body
from governance.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import openai

_PATH = "/chat/completions"
_REPLY = "steelyard.reply"
_RETRY_ROOM = 300.0  # seconds that a row may wait between its tries, all together
_HEADERS = frozenset({"host", "accept", "accept-encoding", "connection", "content-type", "content-length"})
_TALKERS = ("openai", "httpx2", "httpcore2", "httpx", "httpcore")


class Line:
    """How to reach one endpoint. Its `repr` shows the host alone."""

    def __init__(self, base_url: str, api_key: SecretStr | None, *, timeout: float, max_retries: int) -> None:
        """Check what can be checked without sending anything.

        Args:
            base_url: the endpoint, up to and including "/v1".
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
        self._sdk, self._http = _import_sdk()
        self._base_url, self._api_key = base_url, api_key
        self._timeout, self._max_retries = timeout, max_retries
        self._use_proxies = not loopback  # a vendor may be reachable through one only

    def __repr__(self) -> str:
        return f"Line(host={self.host!r})"

    async def ask(self, client: openai.AsyncOpenAI, body: Mapping[str, object]) -> Reply | Fault:
        """Send one request, as often as it takes. The reply isn't scrubbed yet; a fault says how long it took."""
        started = time.monotonic()
        found = await self._send(client, body)
        return replace(found, seconds=time.monotonic() - started) if isinstance(found, Fault) else found

    async def _send(self, client: openai.AsyncOpenAI, body: Mapping[str, object]) -> Reply | Fault:
        try:
            # The SDK's own limit is per read, so a server that drips would never reach it.
            async with asyncio.timeout(self._timeout * (self._max_retries + 1) + _RETRY_ROOM):
                # Asked for as it came: the SDK's own models of an answer believe whatever they are told.
                response = await client.post(_PATH, cast_to=self._http.Response, body=body)
        except TimeoutError:
            return Fault("timed out: the answer came too slowly", Blame.ENDPOINT)
        except self._sdk.OpenAIError as error:
            return fault_of(error, self._timeout)
        reply: Reply = response.extensions[_REPLY]
        return reply.model_copy(update={"seconds": response.elapsed.total_seconds()})

    def open(self) -> openai.AsyncOpenAI:
        """A client for the event loop that runs now; an async context manager."""
        for name in _TALKERS:  # at DEBUG they write requests; each time, since an environment variable raises it
            logging.getLogger(name).setLevel(logging.WARNING)
        transport = self._sdk.DefaultAsyncHttpxClient(
            trust_env=self._use_proxies,
            follow_redirects=False,  # a redirect would carry texts to a host that the config doesn't name
            timeout=self._timeout,
            event_hooks={"request": [self._send_ours_alone], "response": [self._read]},
        )
        client: openai.AsyncOpenAI = self._sdk.AsyncOpenAI(
            api_key=self._secret() or "none",
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=self._max_retries,
            http_client=transport,
        )
        return client

    def _secret(self) -> str | None:
        return None if self._api_key is None else self._api_key.get_secret_value()

    async def _send_ours_alone(self, request: Any) -> None:
        request.extensions[TRIES] = int(request.headers.get("x-stainless-retry-count", 0)) + 1
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["user-agent"] = "steelyard"
        secret = self._secret()
        if secret is not None:
            request.headers["authorization"] = f"Bearer {secret}"

    async def _read(self, response: Any) -> None:
        """Read a success here, so that the SDK tries again when it turns out to be nonsense."""
        if not response.is_success:
            return
        await response.aread()
        reply = read_body(response.content)
        if isinstance(reply, str):
            response.request.extensions[PROBLEM] = reply
            raise self._http.RemoteProtocolError(reply)
        response.extensions[_REPLY] = reply


def _import_sdk() -> tuple[Any, Any]:
    """The SDK, and the HTTP library that it stands on."""
    try:
        sdk = importlib.import_module("openai")
        return sdk, importlib.import_module("httpx2")
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise MissingExtra("a model behind an API needs openai: pip install 'steelyard[api]'") from None


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
