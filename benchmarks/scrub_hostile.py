"""What text made to be slow costs: four times the text should take four times as long, not sixteen.

    make bench NAME=scrub_hostile

Each row repeats one unit to a short text and to one four times as long (two rows: runs of backticks, each longer
than the one before it), reads both, and gives the ratio of the CPU seconds: about 4 if the reading is linear, 16 if it
is quadratic. The best of three rounds, since other work on the machine only adds.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial

from governance.privacy.leaves import Kind, rewrite
from governance.privacy.normalise import readings, segments
from governance.privacy.rules import RULES, all_finds, chinese_names
from governance.privacy.rules.goods import Sells
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.weighing import weighed

SIZE = 20_000
"""Characters of the shorter text."""
ROUNDS = 3
STRUCTURED: tuple[tuple[Kind, str], ...] = (
    ("html", "<a "), ("html", "<a b='"), ("html", "<!--"), ("html", "<a b='<a c=\"' d=\"'e=\""), ("json", "["),
    ("json", '{"a":'), ("markdown", "` `` "), ("markdown", "[a]("), ("markdown", "**a"), ("markdown", "> "),
    ("markdown", "a|b\n"), ("url", "%25"),
)  # fmt: skip
PLAIN = (
    "&#", "%25%25", "<<<<", "[at][at]", "<a ", "**a", "a dot ", "a at ", "a艾特", "<b>a", "a AT b.", "点a", "&amp;", "`"
)  # fmt: skip

RULED = (
    "1", "12-", "1234 ", "a!", "a@", "1 A ", "1a:", "GB12 ABCD ", "http://", "微信", "(212) ", "order ", "@aa.", "abc",
    "a_b1 微信", "QQ 123456 ", "lazaro ", "Bukola - ", "x's order ", "王和"
)  # fmt: skip
NAMED = ("Frances stands over. ", "the Frances Jones and ", "Creatine Mono! ", "Ward Pate 12 ")
HAN_NAMED = ("王芳和", "王芳！")


def structured(kind: Kind, text: str) -> None:
    """Walk the leaves of one value and find nothing in them."""
    rewrite([text], kind, lambda leaves: [[] for _ in leaves], lambda pieces: ["" for _ in pieces])


def plain(text: str) -> None:
    """Read one text as the recognisers would."""
    readings(text)
    segments(text + "好")


def ruled(text: str) -> None:
    """Find all that the patterns and lists find."""
    for _ in all_finds(RULES, Signs(text + "@")):
        pass


def named(text: str) -> None:
    """Weigh every word that a model could take for a name."""
    sold = Sells(text)
    for word in re.finditer("[A-Z][a-z]+", text):
        weighed(text, word.start(), word.end(), sold)


def named_in_chinese(text: str) -> None:
    """Weigh every two characters that a model could take for a name."""
    sold = Sells(text, chinese_names.sells)
    for word in re.finditer("王芳", text):
        chinese_names.weighed(text, word.start(), word.end(), sold)


def repeated(unit: str, size: int) -> str:
    """A unit again and again."""
    return unit * (size // len(unit))


def backticks(row: str, size: int) -> str:
    """Runs of backticks, each longer than the one before it."""
    return row + " ".join("`" * length for length in range(1, round((2 * size) ** 0.5)))


def cases() -> Iterator[tuple[str, str, Callable[[int], str], Callable[[str], None]]]:
    """(kind, unit, characters -> text, what reads it) of every row."""
    for kind, unit in STRUCTURED:
        yield kind, unit, partial(repeated, unit), partial(structured, kind)
    for row in ("", "a|b\n-|-\n"):
        yield "markdown", f"{row}` `` ```", partial(backticks, row), partial(structured, "markdown")
    of_texts = (
        ("plain", PLAIN, plain),
        ("rules", RULED, ruled),
        ("names", NAMED, named),
        ("中文", HAN_NAMED, named_in_chinese),
    )
    for kind, units, read in of_texts:
        for unit in units:
            yield kind, unit, partial(repeated, unit), read


def seconds(read: Callable[[str], None], text: str) -> float:
    """CPU seconds of the quickest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        read(text)
        best = min(best, time.process_time() - begun)
    return best


def main() -> None:
    """Print a row per unit, then one JSON line."""
    print(f"{'kind':9} {'unit':26} {'1x, s':>8} {'4x, s':>8} {'ratio':>6}")
    ratios = {}
    for kind, unit, write, read in cases():
        short, long = seconds(read, write(SIZE)), seconds(read, write(4 * SIZE))
        ratios[f"{kind} {unit}"] = long / short
        print(f"{kind:9} {unit!r:26} {short:8.3f} {long:8.3f} {long / short:6.1f}", flush=True)
    worst = max(ratios, key=ratios.__getitem__)
    print(json.dumps({"worst_ratio": round(ratios[worst], 2), "worst_case": worst}))


if __name__ == "__main__":
    main()
