"""Anthropic's Messages API on loopback, as published: it takes what the API takes and answers what the API answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from tests.asked import KEY
from tests.fakeserver import Behaviour, Fake, Play, fake_server

MODEL = "fake-1-20261101"
ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Said(Play):
    """A message: `body` as a string is its text."""

    @override
    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        message = {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [] if self.body is None else [{"type": "text", "text": self.body}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 2},
        }
        return json.dumps(message | self.extra).encode()


def error(status: int, **headers: str) -> Said:
    """An error as the API words it; it echoes something that must not be shown."""
    said = {"type": ERRORS.get(status, "api_error"), "message": "echo: private words"}
    body = json.dumps({"type": "error", "error": said, "request_id": "req_01"}).encode()
    return Said(body, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def check(path: str, headers: dict[str, str], body: dict[str, Any]) -> Said | None:
    """The error that a request earns which isn't one of the API's."""
    from anthropic.types import OutputConfigParam
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Params

    if path != "/v1/messages":
        return error(404)
    if headers.get("authorization") != f"Bearer {KEY}":
        return error(401)
    known = Params.__required_keys__ | Params.__optional_keys__
    required = {"model", "max_tokens", "messages"}
    if not required <= body.keys() <= known or body["max_tokens"] < 1 or "anthropic-version" not in headers:
        return error(400)
    try:
        TypeAdapter(OutputConfigParam).validate_python(body.get("output_config", {}))
    except ValidationError:
        return error(400)
    return None if [message["role"] for message in body["messages"]] == ["user"] else error(400)


@contextmanager
def fake_anthropic(behave: Behaviour = lambda _message, _before: Said()) -> Iterator[Fake]:
    """Serve `behave` to requests that the API would take; `url` is without "/v1"."""
    with fake_server(behave, check) as fake:
        fake.url = fake.url.removesuffix("/v1")
        yield fake
