"""Answers that a server holds to a JSON schema: the schema of a task, and what such an answer says.

Only the form is the server's. What stands in it is read as strictly as any answer.

Source:
    OpenAI's `response_format` and Anthropic's `output_config.format`, as their SDKs publish them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.backends.firsttoken import FirstToken
from governance.backends.prompts import BoundPrompt
from governance.backends.taskprompts import BoundTaskPrompt
from governance.errors import ConfigError

NAME = "answer"
NOT_AS_ASKED = "the answer is not the JSON that was asked for, or was cut off"


def schema_of(prompt: BoundPrompt | BoundTaskPrompt) -> dict[str, object]:
    """The JSON schema of an object whose `answer` is one of the accepted ones, or numbers of candidates in order.

    Raises:
        ConfigError: the task wants words, which no schema can name.
    """
    if isinstance(prompt, BoundPrompt):
        accepted = dict.fromkeys(answer for answers in prompt.answers.values() for answer in answers)
        wanted: dict[str, object] = {"type": "string", "enum": list(accepted)}
    elif prompt.orders:
        wanted = {"type": "array", "items": {"type": "integer"}}
    else:
        raise ConfigError("structured: expected false in a task whose answers are words: no schema can list them")
    return {"type": "object", "properties": {NAME: wanted}, "required": [NAME], "additionalProperties": False}


def check_reading(prompt: BoundPrompt | BoundTaskPrompt, *, structured: bool, scored: bool) -> None:
    """Refuse what a task's answers don't allow.

    Args:
        prompt: how the task is put.
        structured: whether answers are held to a schema.
        scored: whether scores are made of an answer's first token.

    Raises:
        ConfigError: the task has no schema, no classes to score, or classes that begin alike.
    """
    if structured:
        schema_of(prompt)
    if scored:
        if not isinstance(prompt, BoundPrompt):
            raise ConfigError("logprobs: expected false in a task of words or orders: there are no classes to score")
        FirstToken(prompt.answers)


def opened(output: str, *, order: bool) -> str | None:
    """What stands in such an answer, as an answer in words would say it; None: it isn't one.

    Args:
        output: all that the model wrote.
        order: whether numbers are expected; else one string.

    >>> opened('{"answer": "Yes"}', order=False), opened('{"answer": [3, 1]}', order=True)
    ('Yes', '3, 1')
    >>> opened("Yes", order=False), opened('{"answer": "Yes", "why": "soft"}', order=False)
    (None, None)
    """
    try:
        found = json.loads(output, object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.keys() != {NAME}:
        return None
    said: Any = found[NAME]
    if not order:
        # Half a surrogate pair can be written in JSON, but not in a file.
        return said.encode(errors="replace").decode() if isinstance(said, str) else None
    if not isinstance(said, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in said):
        return None
    return ", ".join(map(str, said))


def _unambiguous(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found
