"""What a vendor says, made fit to be shown: one short printable line that repeats no training text."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import SecretStr

_RUN = 16  # bytes that a message may share with a text by chance: 16 Latin letters, 5 Chinese characters
_STEP = 8
_SHORTEST = 6  # a text of fewer bytes ("no", "好") stands in any message
_READ, _SHOWN = 4_000, 200
HIDDEN = "(not shown: it repeats a training text)"
HIDDEN_KEY = "(not shown: it repeats the key)"


class Plain:
    """Turns a vendor's message into a line for terminals, logs and errors.

    A reason for refusing a file likes to quote the line that it dislikes. A message that shares 23 bytes in a row with
    a training text (23 Latin letters, 8 Chinese characters), or all of a shorter text, is not shown at all.
    """

    def __init__(self, texts: Iterable[str], key: SecretStr | None = None) -> None:
        """Remember what must not come back.

        Args:
            texts: scrubbed training texts.
            key: our key at the vendor; a message with it in it is not shown either.
        """
        self._key = key
        folded = [_fold(text) for text in texts]
        self._all = b"\n".join(folded)
        self._short = {text for text in folded if _SHORTEST <= len(text) < _RUN + _STEP - 1}

    def __call__(self, message: object) -> str:
        """The message as it may be shown."""
        text = message[:_READ] if isinstance(message, str) else ""
        line = _one_line(text)
        if self._key is not None and self._key.get_secret_value() in text:
            return HIDDEN_KEY
        if self._repeats(_fold(line)):
            return HIDDEN
        return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"

    def _repeats(self, line: bytes) -> bool:
        runs = (line[start : start + _RUN] for start in range(0, len(line) - _RUN + 1, _STEP))
        return any(run in self._all for run in runs) or any(text in line for text in self._short)


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _fold(text: str) -> bytes:
    # Unprintable characters are spaces in the comparison as well: they could hide a text from it.
    return _one_line(text).casefold().encode(errors="replace")
