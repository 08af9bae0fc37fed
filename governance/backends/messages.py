"""From a task's rows to the messages that leave: filled into the prompt, scrubbed, named by a digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from governance.backends.base import Answer, Request
from governance.backends.gates import Gate, through
from governance.dataset import ModelText, SyntheticText

Asked = TypeVar("Asked", ModelText, Request)


@dataclass(frozen=True, slots=True)
class Message:
    """One user message, scrubbed: what leaves. Its `repr` shows no text.

    Attributes:
        key: names it and all that shapes its answer.
        text: its words.
        scrubbed: pieces of personal data taken out, by entity.
    """

    key: str
    text: str = field(repr=False)
    scrubbed: Mapping[str, int]


def messages(
    asked: Sequence[Asked], fill: Callable[[Asked], ModelText], gate: Gate, key: Callable[[str], str]
) -> list[Message | Answer]:
    """One message per row, in order; in place of one that can't be vouched for, an answer that says so.

    Args:
        asked: the rows.
        fill: makes a row the user message.
        gate: the scrubber.
        key: names a scrubbed message.
    """
    filled = [fill(one) for one in asked]
    # Ours is nobody's data: a name swap must not become a placeholder.
    raw = [place for place, text in enumerate(filled) if not isinstance(text, SyntheticText)]
    passed = dict(zip(raw, through(gate, [filled[place].text for place in raw], "prompt"), strict=True))
    made: list[Message | Answer] = []
    for place, text in enumerate(filled):
        found = passed.get(place) if place in passed else (text.text, {})
        if found is None:
            made.append(Answer(failure="not sent: the scrubber can't vouch for the message"))
        elif not _is_unicode(found[0]):
            made.append(Answer(failure="not sent: the text is not valid Unicode"))
        else:
            made.append(Message(key(found[0]), *found))
    return made


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
