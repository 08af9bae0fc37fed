"""Reads a model's answer as sent by a stranger, a chat completion or a message: nothing in it is taken for granted."""

from __future__ import annotations

import json
import math
from typing import Any

from governance.backends.cache import Reply
from governance.backends.firsttoken import Position, Token

MAX_BYTES = 2_000_000
MAX_OUTPUT = 4_000
"""Characters of an answer; a few tokens were asked for, and scrubbing megabytes would take minutes."""
_MAX_NAME = 100
_MAX_POSITIONS = 8
"""First places of an answer whose alternatives are read."""
_MAX_KNOWN, _MAX_TOKEN = 64, 200
_ROUNDING = 0.01
_NEVER = -10_000  # a logarithm of next to nothing
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_STOPPED = {
    "refusal": "the model refused to answer",
    "model_context_window_exceeded": "the answer was cut off at the end of the model's context",
    "pause_turn": "the answer was not finished",
    "tool_use": "the model asked for a tool instead of answering",
}


def read_body(body: bytes) -> Reply | str:
    """A response's body as a reply, or why it is not a chat completion.

    The reply's `output` is not scrubbed yet, and its `seconds` are not set.
    """
    found = _parsed(body)
    if isinstance(found, str):
        return found
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
        positions=_positions(_at(choices[0], "logprobs")),
    )


def _content(choice: Any, message: dict[str, Any]) -> tuple[str | None, str | None]:
    content = message.get("content")
    if _at(choice, "finish_reason") == "content_filter":
        return None, "stopped by the endpoint's content filter"
    if isinstance(message.get("refusal"), str):
        return None, "the model refused to answer"
    if not isinstance(content, str):
        return None, "the answer holds no text"
    return _fit(content)


def read_message(body: bytes) -> Reply | str:
    """A response's body as a reply, or why it is not a message of Anthropic's API.

    One that was cut off at `max_tokens` is read as a chat completion's is: strictly, so a label must be all of it. One
    that was not finished otherwise, or isn't text alone, counts as none. Thoughts before an answer are no part of it.
    The reply is as `read_body` leaves it.

    Source:
        The Messages API as published; `anthropic.types.Message` and its `StopReason`.
    """
    found = _parsed(body)
    if isinstance(found, str):
        return found
    blocks = _at(found, "content")
    if _at(found, "type") != "message" or not isinstance(blocks, list):
        return "the response holds no answer"
    output, problem = _text(blocks, _at(found, "stop_reason"))
    usage = _at(found, "usage")
    read = [_count(usage, name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    return Reply(
        output=output,
        problem=problem,
        tokens_in=None if read[0] is None else sum(count for count in read if count is not None),
        tokens_out=_count(usage, "output_tokens"),
        model=_name(_at(found, "model")),
    )


def _text(blocks: list[Any], stopped: Any) -> tuple[str | None, str | None]:
    if isinstance(stopped, str) and stopped in _STOPPED:
        return None, _STOPPED[stopped]
    answer = [block for block in blocks if _at(block, "type") not in _THOUGHTS]
    texts = [_at(block, "text") for block in answer if _at(block, "type") == "text"]
    if len(texts) < len(answer):
        return None, "the answer holds something else than text"
    if not all(isinstance(text, str) for text in texts) or not any(texts):
        return None, "the answer holds no text"
    return _fit("".join(texts))


def _positions(logprobs: Any) -> tuple[Position, ...]:
    """The first places of an answer, up to one that makes no sense."""
    content = _at(logprobs, "content")
    positions: list[Position] = []
    for place in content[:_MAX_POSITIONS] if isinstance(content, list) else []:
        found = _position(place)
        if found is None:
            break
        positions.append(found)
    return tuple(positions)


def _position(place: Any) -> Position | None:
    written, others = _token(place), _at(place, "top_logprobs")
    if written is None or not isinstance(others, list) or len(others) > _MAX_KNOWN:
        return None
    known = {(written.text, written.raw): written}
    for one in others:
        token = _token(one)
        if token is None:
            return None
        known.setdefault((token.text, token.raw), token)
    total = sum(math.exp(token.logprob) for token in known.values())
    return Position(written, tuple(known.values())) if total <= 1 + _ROUNDING else None


def _token(value: Any) -> Token | None:
    text, raw, logprob = (_at(value, name) for name in ("token", "bytes", "logprob"))
    if not isinstance(text, str) or len(text) > _MAX_TOKEN:
        return None
    # Rounding may take a certain token's logarithm a little above 0.
    if not isinstance(logprob, int | float) or isinstance(logprob, bool) or not logprob <= _ROUNDING:
        return None
    if raw is not None and not (
        isinstance(raw, list) and len(raw) <= 4 * _MAX_TOKEN and all(_is_byte(one) for one in raw)
    ):
        return None
    least = max(logprob, _NEVER)  # a whole number may be too large for a float
    return Token(_written(text), None if raw is None else bytes(raw), min(float(least), 0.0))


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 256


def _parsed(body: bytes) -> Any:
    """What a body holds, or in words why it holds nothing; JSON that is a string alone is no answer either."""
    if len(body) > MAX_BYTES:
        return "the response is too large"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "the response is not JSON"
    return "the response holds no answer" if isinstance(found, str) else found


def _fit(content: str) -> tuple[str | None, str | None]:
    if len(content) > MAX_OUTPUT:
        return None, f"the answer is longer than {MAX_OUTPUT} characters"
    return _written(content), None


def _written(text: str) -> str:
    # Half a surrogate pair can be written in JSON, but not in a file.
    return text.encode(errors="replace").decode()


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
