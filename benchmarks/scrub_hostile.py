"""What text made to be slow costs: four times the text should take four times as long, not sixteen.

    make bench NAME=scrub_hostile

Each row repeats one unit to a short text and to one four times as long (the last rows: runs of backticks, each longer
than the one before it), reads both, and gives the ratio of the CPU seconds: about 4 if the reading is linear, 16 if it
is quadratic. The best of three rounds, since other work on the machine only adds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import cast

from governance.privacy.leaves import Kind, rewrite
from governance.privacy.normalise import readings, segments
from governance.privacy.rules import RULES, all_finds
from governance.privacy.rules.signs import Signs

SIZE = 20_000
"""Characters of the shorter text."""
ROUNDS = 3
STRUCTURED = (
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


def structured(kind: str, text: str) -> None:
    """Walk the leaves of one value and find nothing in them."""
    rewrite([text], cast(Kind, kind), lambda leaves: [[] for _ in leaves], lambda pieces: ["" for _ in pieces])


def plain(text: str) -> None:
    """Read one text as the recognisers would."""
    readings(text)
    segments(text + "好")


def ruled(text: str) -> None:
    """Find all that the patterns and lists find."""
    for _ in all_finds(RULES, Signs(text)):
        pass


def backticks(characters: int, row: str) -> str:
    """Runs of backticks, each longer than the one before it."""
    runs = round((2 * characters) ** 0.5)
    return row + " ".join("`" * length for length in range(1, runs))


def cases() -> Iterator[tuple[str, str, Callable[[int], Callable[[], None]]]]:
    """(kind, unit, characters -> reading of a text that long) of every row."""
    for kind, unit in STRUCTURED:
        yield kind, unit, lambda size, k=kind, u=unit: lambda: structured(k, u * (size // len(u)))  # type: ignore[misc]
    for unit in PLAIN:
        yield "plain", unit, lambda size, u=unit: lambda: plain(u * (size // len(u)))  # type: ignore[misc]
    for unit in RULED:
        yield "rules", unit, lambda size, u=unit: lambda: ruled(u * (size // len(u)) + "@")  # type: ignore[misc]
    for row in ("", "a|b\n-|-\n"):
        yield "markdown", f"{row}` `` ```", lambda size, r=row: lambda: structured("markdown", backticks(size, r))  # type: ignore[misc]


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds of the quickest round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


def main() -> None:
    print(f"{'kind':9} {'unit':24} {'1x, s':>8} {'4x, s':>8} {'ratio':>6}")
    ratios = {}
    for kind, unit, work in cases():
        short, long = seconds(work(SIZE)), seconds(work(4 * SIZE))
        ratios[f"{kind} {unit}"] = long / short
        print(f"{kind:9} {unit!r:24} {short:8.3f} {long:8.3f} {long / short:6.1f}", flush=True)
    print(
        json.dumps({"worst_ratio": round(max(ratios.values()), 2), "worst_case": max(ratios, key=ratios.__getitem__)})
    )


if __name__ == "__main__":
    main()
