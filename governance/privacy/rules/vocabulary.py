r"""What the patterns share: edges, context words, and lists that ship in configs/lists.

No pattern uses `\b`: Python counts Han characters as letters, so `\b` never matches in
`邮箱zhang.wei@qq.com谢谢`. Edges are ASCII look-arounds instead.
"""

from __future__ import annotations

import functools
import importlib.resources
import re

from governance.privacy.scripts import CJK

EDGE = r"(?<![A-Za-z0-9])"
END = r"(?![A-Za-z0-9])"
WORD = rf"[^\W{CJK}]"  # a letter, digit or underscore of an alphabetic script


def words(*known: str) -> re.Pattern[str]:
    """Context words: whole words where they are Latin ("lic" must not match "public"), anywhere where they are Han."""
    latin = [word for word in known if word.isascii()]
    han = [word for word in known if not word.isascii()]
    whole = [rf"(?<![A-Za-z])(?:{'|'.join(latin)})(?![A-Za-z])"] if latin else []
    return re.compile("|".join([*whole, *han]), re.IGNORECASE)


@functools.cache
def word_list(name: str, most: int | None = None) -> frozenset[str]:
    """A list that ships in configs/lists, such as "given.en"; the first entries of one that is ordered by frequency."""
    text = (importlib.resources.files("configs") / "lists" / f"{name}.txt").read_text(encoding="utf-8")
    return frozenset([line for line in text.splitlines() if line and not line.startswith("#")][:most])
