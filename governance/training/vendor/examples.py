"""The file that leaves: chat examples in which every text went through the scrubber once more, as at use.

An example is the very conversation that the backend will hold later: the same system message, the same filled and
scrubbed user message, and the answer word that `BoundPrompt.parse` reads. Same rows, same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from governance import atrest
from governance.backends.asking import Gate
from governance.backends.prompts import BoundPrompt
from governance.dataset import ModelText
from governance.errors import ConfigError, DataError, ScrubError
from governance.files import canonical, digest_bytes
from governance.record import SentRows

UNVOUCHED = "the scrubber can't vouch for it"
NOT_UNICODE = "not valid Unicode"
TOO_LONG = "too long for the vendor"
_PER_MESSAGE, _PER_EXAMPLE = 4, 3  # tokens around a message, and around an example's answer
# JSON allows these inside a string, but a reader that splits a file at every Unicode line end would cut there.
_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the vendor takes; the defaults are OpenAI's for GPT-4o mini.

    Attributes:
        rows: examples that a job needs at least.
        bytes: of a file.
        tokens: of one example, estimated; a longer one would be cut, and its answer with it, so it stays here.
    """

    rows: int = 10
    bytes: int = 512_000_000
    tokens: int = 65_536


LIMITS = Limits()


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: no vendor's tokeniser is needed here.

    One for three ASCII characters and two for any other. Against SmolLM2's tokeniser that is 1.4 times too
    many over 1,000 English reviews, and never too few for one of them.

    >>> estimate_tokens("It fits."), estimate_tokens("很合身")
    (3, 6)
    """
    ascii_only = sum(character.isascii() for character in text)
    return -(-ascii_only // 3) + 2 * (len(text) - ascii_only)


def write_examples(
    rows: Sequence[ModelText],
    labels: Sequence[str],
    prompt: BoundPrompt,
    path: Path,
    gate: Gate,
    *,
    limits: Limits = LIMITS,
    least: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> SentRows:
    """Write chat examples as JSON lines, `{"messages": [system, user, assistant]}`, in the order of the rows.

    Args:
        rows: scrubbed texts, length n.
        labels: the class of each, length n.
        prompt: how the task is put at use.
        path: the file; replaced atomically.
        gate: scrubs each filled prompt, as before it is sent at use.
        limits: what the vendor takes.
        least: examples needed; default: the vendor's number. A validation file needs one.
        advance: told how many more rows are done.

    Returns:
        What would leave: counts, the scrubber's pieces by entity, rows that stay here and why, and the digest.

    Raises:
        ConfigError: the scrubber would change a class's answer word, so no answer could be read later.
        DataError: too few examples, or too large a file.
    """
    answers = {label: _answer(words[0], label, gate) for label, words in prompt.answers.items()}
    scrubbed, left_out = Counter[str](), Counter[str]()
    lines: list[bytes] = []
    characters = tokens = size = 0
    for text, label in zip(rows, labels, strict=True):
        advance(1)
        found = _user_message(text, prompt, gate)
        if isinstance(found, str):
            left_out[found] += 1
            continue
        message, pieces = found
        contents = {"system": prompt.system, "user": message, "assistant": answers[label]}
        cost = sum(estimate_tokens(content) + _PER_MESSAGE for content in contents.values()) + _PER_EXAMPLE
        if cost > limits.tokens:
            left_out[TOO_LONG] += 1
            continue
        lines.append(_line(contents))
        scrubbed.update(pieces)
        characters, tokens, size = characters + len(message), tokens + cost, size + len(lines[-1])
        if size > limits.bytes:
            raise DataError(f"{path.name}: the vendor takes at most {limits.bytes} bytes in a file; audit fewer rows")
    needed = limits.rows if least is None else least
    if len(lines) < needed:
        stay = ", ".join(f"{n} are left out ({reason})" for reason, n in sorted(left_out.items()))
        raise DataError(
            f"{path.name}: the vendor needs at least {needed} examples, found {len(lines)}" + (f"; {stay}" * bool(stay))
        )
    data = b"".join(lines)
    atrest.keep(path, data)
    return SentRows(
        rows=len(lines),
        characters=characters,
        bytes=size,
        tokens=tokens,
        scrubbed=dict(sorted(scrubbed.items())),
        left_out=dict(sorted(left_out.items())),
        digest=digest_bytes(data),
    )


def held_back(rows: Sequence[ModelText], share: float) -> list[bool]:
    """Which rows go into the validation file: about `share` of them. Told by the text, so equal ones stay together."""
    return [
        int.from_bytes(hashlib.sha256(row.text.encode(errors="replace")).digest()[:8], "big") < share * 2**64
        for row in rows
    ]


def _answer(word: str, label: str, gate: Gate) -> str:
    if gate(word, "prompt")[0] != word:
        raise ConfigError(
            f"the scrubber would change the answer word of class '{label}': choose another prompt or scrub policy"
        )
    return word


def _user_message(text: ModelText, prompt: BoundPrompt, gate: Gate) -> tuple[str, dict[str, int]] | str:
    """The user message as the backend would send it and what was scrubbed from it, or why it stays here."""
    try:
        message, pieces = gate(prompt.fill(text).text, "prompt")
        message.encode()
    except ScrubError:
        return UNVOUCHED
    except UnicodeEncodeError:
        return NOT_UNICODE
    return message, pieces


def _line(contents: dict[str, str]) -> bytes:
    messages = [{"role": role, "content": content} for role, content in contents.items()]
    return canonical({"messages": messages}).decode().translate(_LINE_ENDS).encode() + b"\n"
