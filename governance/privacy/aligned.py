"""Tagged tokens through the scrubber: which tags belong to what scrubbing left of the tokens.

Tokens are scrubbed as the text that they came from, joined without a blank between Han characters, since a number or a
name that stands in pieces is not found. What comes back is split where the tokens were.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from governance.dataset import ScrubbedText

LONGEST = 2000  # pieces of a row: comparing takes up to the square of it
_PIECE = re.compile(r"\[[A-Z_]+\]|[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]|_")
_HAN = re.compile("[\u3400-\u9fff\u3000-\u303f\uff00-\uffef]")


def joined(tokens: Sequence[str]) -> str:
    """The text that tokens came from.

    >>> joined(["call", "Ann", "现", "在", "。"])
    'call Ann 现在。'
    """
    text = ""
    for token in tokens:
        apart = text and token and not (_HAN.match(text[-1]) and _HAN.match(token[0]))
        text += f" {token}" if apart else token
    return text


def retagged(tokens: Sequence[str], tags: Sequence[str], scrubbed: ScrubbedText) -> tuple[ScrubbedText, str] | None:
    """Scrubbed tokens with a blank between any two, and their tags likewise.

    What replaced several tokens takes the first one's tag.

    Args:
        tokens: as they were, without blanks in them.
        tags: one each.
        scrubbed: `joined(tokens)` after the scrubber.

    Returns:
        Tokens and tags, equally many; None: they can't be told apart any more, or weren't one tag a token before.
    """
    if len(tokens) != len(tags) or any(" " in tag for tag in tags):
        return None
    before = [(piece, owner) for owner, token in enumerate(tokens) for piece in _PIECE.findall(token)]
    after = [(found.group(), found.start()) for found in _PIECE.finditer(scrubbed.text)]
    if max(len(before), len(after)) > LONGEST:
        return None
    owners: list[int] = []
    pieces = [piece for piece, _ in before], [piece for piece, _ in after]
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, *pieces, autojunk=False).get_opcodes():
        if kind == "insert":
            return None
        owners += [before[i][1] for i in range(i1, i2)] if kind == "equal" else [before[i1][1]] * (j2 - j1)
    kept: list[tuple[str, int]] = []
    for (piece, start), owner in zip(after, owners, strict=True):
        apart = not start or scrubbed.text[start - 1].isspace()
        if kept and kept[-1][1] == owner and not apart:
            kept[-1] = (kept[-1][0] + piece, owner)
        else:
            kept.append((piece, owner))
    named = [
        _continuing(tags[owner]) if place and kept[place - 1][1] == owner else tags[owner]
        for place, (_, owner) in enumerate(kept)
    ]
    return ScrubbedText(" ".join(token for token, _ in kept)), " ".join(named)


def _continuing(tag: str) -> str:
    """The tag of what follows inside the same name, in the BIO scheme."""
    return f"I-{tag[2:]}" if tag.startswith("B-") else tag
