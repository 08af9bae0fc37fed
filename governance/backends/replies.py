"""Reads a chat completion as sent by a stranger: nothing in it is taken for granted."""

from __future__ import annotations

import json
from typing import Any

from governance.backends.cache import Reply

MAX_BYTES = 2_000_000
MAX_OUTPUT = 4_000
"""Characters of an answer; a few tokens were asked for, and scrubbing megabytes would take minutes."""
_MAX_NAME = 100


def read_body(body: bytes) -> Reply | str:
    """A response's body as a reply, or why it is not a chat completion.

    The reply's `output` is not scrubbed yet, and its `seconds` are not set.
    """
    if len(body) > MAX_BYTES:
        return "the response is too large"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "the response is not JSON"
    choices = _at(found, "choices")
    if not isinstance(choices, list) or not choices:
        return "the response holds no answer"
    message = _at(choices[0], "message")
    if not isinstance(message, dict):
        return "the response holds no answer"
    output, problem = _content(choices[0], message)
    usage = _at(found, "usage")
    return Reply(
        output=output,
        problem=problem,
        tokens_in=_count(usage, "prompt_tokens"),
        tokens_out=_count(usage, "completion_tokens"),
        model=_name(_at(found, "model")),
    )


def _content(choice: Any, message: dict[str, Any]) -> tuple[str | None, str | None]:
    content = message.get("content")
    if _at(choice, "finish_reason") == "content_filter":
        return None, "stopped by the endpoint's content filter"
    if isinstance(message.get("refusal"), str):
        return None, "the model refused to answer"
    if not isinstance(content, str):
        return None, "the answer holds no text"
    if len(content) > MAX_OUTPUT:
        return None, f"the answer is longer than {MAX_OUTPUT} characters"
    # Half a surrogate pair can be written in JSON, but not in a file.
    return content.encode(errors="replace").decode(), None


def _at(mapping: Any, name: str) -> Any:
    return mapping.get(name) if isinstance(mapping, dict) else None


def _count(usage: Any, name: str) -> int | None:
    value = _at(usage, name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _name(value: Any) -> str | None:
    """A model's reported name: short and printable, since it is shown in reports."""
    if not isinstance(value, str):
        return None
    return "".join(character for character in value if character.isprintable())[:_MAX_NAME] or None
