"""What went wrong between us and an endpoint, in words that hold no text, no key and no address.

The SDK's exceptions carry requests, responses and messages of the server, which may echo a prompt; none of
them gets past this module.
"""

from __future__ import annotations

import importlib
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import ModuleType
from typing import Any

TRIES = "steelyard.tries"
"""Key in a request's extensions: which try this is, from 1."""

PROBLEM = "steelyard.problem"
"""Key in a request's extensions: what was wrong with a response that called itself a success."""

_TRANSIENT = frozenset({408, 409, 425, 429})
_MALFORMED = frozenset({400, 422})
OPTIONAL = ("response_format", "output_config", "logprobs", "top_logprobs")
"""Parts of a request that not every endpoint takes."""
_ABOUT = re.compile(rf"[`'\"]?({'|'.join(OPTIONAL)})\b")
_HINTS = {
    401: "the endpoint refuses the key",
    402: "the account can't pay",
    403: "the endpoint refuses access",
    404: "no such model or address",
}


class Blame(Enum):
    """Whom a fault tells something about."""

    ROW = "row"  # this message only
    ENDPOINT = "endpoint"  # it may recover
    SETUP = "setup"  # it won't: key, model or address are wrong


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that got no answer.

    Attributes:
        reason: what a failed row says.
        blame: whether asking for other rows makes sense.
        left: whether the message may have left this machine's process.
        seconds: wall-clock time from the first try to giving up, waits between tries included; 0: not asked.
        malformed: whether the endpoint found fault with the request itself.
    """

    reason: str
    blame: Blame
    left: bool = True
    seconds: float = 0.0
    malformed: bool = False


def fault_of(error: Exception, timeout: float, sdk: ModuleType | None = None) -> Fault:
    """Read an exception of an SDK, which has given up retrying.

    Args:
        error: what it raised.
        timeout: seconds that one try had.
        sdk: whose exception it is; openai and anthropic name theirs alike. None: openai's.
    """
    known: Any = sdk or importlib.import_module("openai")
    if isinstance(error, known.APITimeoutError):
        return Fault(f"timed out after {timeout:g} s{_after(error.request)}", Blame.ENDPOINT)
    if isinstance(error, known.APIConnectionError):
        problem = error.request.extensions.get(PROBLEM)
        reason, left = (problem, True) if problem else _connection(error)
        return Fault(f"{reason}{_after(error.request)}", Blame.ENDPOINT, left)
    if isinstance(error, known.APIStatusError):
        return _status(error.status_code, error.response.request, error.body)
    return Fault("the response can't be read", Blame.ROW)


def _status(code: int, request: Any, body: object) -> Fault:
    if code in _HINTS:
        return Fault(f"HTTP {code}: {_HINTS[code]}", Blame.SETUP)
    if 300 <= code < 400:
        return Fault(f"HTTP {code}: the endpoint redirects; give its final address", Blame.SETUP)
    if code in _TRANSIENT or code >= 500:
        return Fault(f"HTTP {code}{_after(request)}", Blame.ENDPOINT)
    if code in _MALFORMED and (part := _refused(body)):
        return Fault(f"HTTP {code}: the endpoint doesn't take {part}", Blame.SETUP, malformed=True)
    return Fault(f"HTTP {code}", Blame.ROW, malformed=code in _MALFORMED)


def _refused(body: object) -> str | None:
    """Which of `OPTIONAL` an error is about: by its field for that, or because its message begins with the name.

    Nothing of what the endpoint wrote is passed on: its words may echo a prompt.
    """
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    for told in (error.get("param"), error.get("message")):
        if isinstance(told, str) and (found := _ABOUT.match(told)):
            return found[1]
    return None


def _after(request: Any) -> str:
    tries = request.extensions.get(TRIES, 1)
    return f" after {tries} tries" if tries > 1 else ""


def _connection(error: BaseException) -> tuple[str, bool]:
    """Why there was no connection, and whether anything can have been sent."""
    causes = list(_causes(error))
    for kind, reason in (
        (ConnectionRefusedError, "connection refused"),
        (socket.gaierror, "host name not found"),
        (ssl.SSLError, "no secure connection (TLS)"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return reason, False
    if any(type(cause).__name__ in {"ConnectError", "ProxyError", "UnsupportedProtocol"} for cause in causes):
        return "no connection", False
    return "connection lost", True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that led to it, groups opened."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            pending += cause.exceptions
