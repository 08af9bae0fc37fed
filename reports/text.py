"""Words and numbers in the reader's language.

Every string that a person reads comes from `locales/<language>.yaml`; numbers take their
shape from their unit. What a record holds (names, reasons, words) is hostile: `clean` makes
it one short, visible line before any renderer escapes it for its own format.
"""

from __future__ import annotations

import importlib.resources
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from governance.configfile import read_yaml
from governance.errors import ConfigError
from governance.measure import ANY, EVERYONE, Fact, Measurement, Slice, Unit
from governance.registry import nearest
from governance.vocabulary import CHANGE

LANGUAGES = ("en", "zh")
LIMIT = 300
"""Characters of a record's string that are shown; the rest is counted."""

_SPACE = re.compile(r"[ \t\r\n]+")  # no-break spaces stay: our own strings use them
_NBSP = "\u00a0"
_JOINERS = "\u200c\u200d"  # shape letters and emoji; harmless, and text looks broken without them
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SHARES = frozenset(
    {"coverage", "accuracy", "accuracy_all", "precision", "recall"}
    | {"selection_rate", "true_positive_rate", "false_positive_rate", "equalized_odds", "macro_recall"}
    | {"refusal_rate", "scoring_rate", "envy_share"}
    | {"demographic_parity"}
    | {"difference", "predicted_difference", "distortion", "largest_distortion"}  # of `drivers`: of negatives
)
"""Metrics that are shares of rows: their differences are told in percentage points."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name for people, and one line on what it means."""

    name: str
    title: str
    says: str


def clean(value: object, limit: int = LIMIT) -> str:
    """One visible line: white space folded, hidden characters spelt out, long text cut.

    >>> clean("a\u202eb")
    'a[U+202E]b'
    >>> clean("x" * 9, limit=4)
    'xxxx… (9)'
    """
    text = str(value)
    head = text if len(text) <= limit else text[:limit]
    if not (head.isascii() and head.isprintable()):
        head = "".join(map(_visible, head))
    head = _SPACE.sub(" ", head).strip(" ")
    return head if len(text) <= limit else f"{head}… ({len(text):,})"


def _visible(char: str) -> str:
    if char in "\n\r\t":
        return " "
    if unicodedata.category(char) in _HIDDEN and char not in _JOINERS:
        return f"[U+{ord(char):04X}]"
    return char


MADE = frozenset(
    {"difference", "ratio", "difference_to_rest", "ratio_to_rest", "difference_to_best", "ratio_to_best"}
    | {"rows_left_out", "unknown", "excluded"}
)
"""What is made of a metric: gaps between groups, one group beside others, and what it does not speak of."""


def base_name(metric: str) -> tuple[str, str]:
    """A metric's stem and what is made of it.

    >>> base_name("fairness.accuracy.ratio")
    ('fairness.accuracy', 'ratio')
    >>> base_name("quality.auc")
    ('quality.auc', '')
    """
    stem, _, last = metric.rpartition(".")
    return (stem, last) if last in MADE and "." in stem else (metric, "")


def scale_of(metric: str, unit: Unit) -> int:
    """100 for what is told in percent or points, else 1."""
    share = base_name(metric.removesuffix(CHANGE))[0].rpartition(".")[2] in _SHARES
    return 100 if unit in (Unit.RATE, Unit.RELATIVE) or (unit is Unit.DIFFERENCE and share) else 1


@lru_cache(maxsize=len(LANGUAGES))
def load(language: str) -> Mapping[str, str]:
    """All strings of one language: dotted key -> string.

    Raises:
        ConfigError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ConfigError(f"no language '{language}'. {nearest(language, LANGUAGES)}")
    path = importlib.resources.files("reports") / "locales" / f"{language}.yaml"
    return dict(_flatten(read_yaml(Path(str(path)))))


def _flatten(value: Mapping[Any, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            pairs.extend(_flatten(inner, f"{prefix}{key}."))
        else:
            pairs.append((f"{prefix}{key}", str(inner)))
    return pairs


@lru_cache(maxsize=len(LANGUAGES))
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Known phrases with a `{hole}` for what varies in them."""
    found = []
    for key, translation in load(language).items():
        if key.startswith("said.") and "{" in key:
            parts = re.split(r"\{(\w+)\}", key.removeprefix("said."))
            holes = "".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^;]+?)" for i, p in enumerate(parts))
            found.append((re.compile(holes), translation))
    return found


class Texts:
    """Strings, numbers and dates of one language.

    Args:
        language: "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._strings = load(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """The string behind a key, its `{names}` filled in as they are.

        Raises:
            KeyError: no such string; a test compares code and locales, so users never see it.
        """
        return self._strings[key].format(**values) if values else self._strings[key]

    def has(self, key: str) -> bool:
        """Whether there is such a string."""
        return key in self._strings

    def named(self, family: str, value: str) -> str:
        """The string of a value that a record holds, such as `claim.style.fixed`; the value itself if it is unknown."""
        key = f"{family}.{value}"
        return self(key) if self.has(key) else clean(value, 80)

    def said(self, phrase: str) -> str:
        """A phrase that a record holds in English, in this language where it, or each part of it, is a known one."""
        found = self._known(phrase)
        if found is None and "; " in phrase and len(phrase) <= LIMIT:
            parts = [self._known(part) for part in phrase.split("; ")]
            known = [part for part in parts if part is not None]
            found = self("list.long").join(known) if len(known) == len(parts) else None
        return phrase if found is None else found

    def _known(self, phrase: str) -> str | None:
        found = self._strings.get(f"said.{phrase}")
        if found is not None or len(phrase) > LIMIT:
            return found
        for pattern, translation in _patterns(self.language):
            if match := pattern.fullmatch(phrase):
                # What fills a hole may be a known phrase too: "the baseline: 7 rows, 10 needed".
                return translation.format(**{hole: self.said(inner) for hole, inner in match.groupdict().items()})
        return None

    def says(self, sentences: Mapping[str, str]) -> str:
        """A policy's sentence in this language, or in English."""
        return sentences.get(self.language) or sentences.get("en", "")

    def metric(self, name: str, *, reference: str | None = None) -> Metric:
        """Title and meaning of a metric; an unknown one is its own title."""
        if name.endswith(CHANGE):
            inner = self.metric(name.removesuffix(CHANGE))
            return Metric(name, self("made.since.title", metric=inner.title), inner.says)
        stem, made = base_name(name)
        title = self._strings.get(f"metric.{stem}.title", clean(stem, 80))
        says = self._strings.get(f"metric.{stem}.says", "")
        if made:
            # Of a gap more is worse, so a change of one is told without praise or blame.
            kind = ("change" if stem.startswith(("mitigation.", "twin.")) else "paired") if reference else made
            kind = "times" if reference and made == "ratio" else kind
            title = self(f"made.{kind}.title", metric=title, reference=clean(reference, 40))
            says = self(f"made.{kind}.says", reference=clean(reference, 40))
        return Metric(name, title, says)

    def slice(self, where: Slice) -> str:
        """Which rows a figure speaks of, in words."""
        if where == EVERYONE:
            return self("slice.everyone")
        if all(value == ANY for _, value in where):
            columns = self("slice.and").join(clean(column, 60) for column, _ in where)
            return self("slice.between", columns=columns)
        return self("slice.comma").join(
            clean(column, 60) if value == ANY else f"{clean(column, 60)}: {clean(value, 60)}" for column, value in where
        )

    def count(self, n: int) -> str:
        """A whole number with its thousands marked."""
        return f"{n:,}"

    def number(self, value: float, unit: Unit, metric: str = "", *, signed: bool = False) -> str:
        """A number in the shape of its unit: `82.0%`, `−6.1 pts`, `0.913`, `4.2 ms`, `1×10⁻⁵`.

        Args:
            value: the number.
            unit: decides its shape.
            metric: decides whether a difference is told in points.
            signed: a plus sign for what is better than its reference.
        """
        plus = "+" if signed else ""
        if unit is Unit.DIFFERENCE:
            return self._difference(value, metric, plus)
        if unit is Unit.SECONDS:
            return _minus(
                f"{value:.2f}{_NBSP}{self('unit.s')}" if value >= 1 else f"{value * 1000:.3g}{_NBSP}{self('unit.ms')}"
            )
        if unit is Unit.PROBABILITY:
            return _scientific(value)
        if unit is Unit.COUNT:
            return _minus(f"{value:,.0f}" if value == int(value) else f"{value:,.2f}")
        shapes = {
            Unit.RATE: _percent(value),
            Unit.RELATIVE: f"{value * 100:+.1f}%",
            Unit.UNITS: f"{value:,.4g}",
            Unit.WEIGHT: f"{value:+.2f}",
            Unit.RATIO: f"{value:.2f}",
        }
        return _minus(shapes.get(unit) or _plain(value, unit))

    def _difference(self, value: float, metric: str, plus: str) -> str:
        if scale_of(metric, Unit.DIFFERENCE) == 100:
            return _minus(f"{value * 100:{plus}.1f}{_NBSP}{self('unit.points')}")
        return _minus(f"{value:{plus}.3f}")

    def value(self, outcome: Measurement | Fact) -> str:
        """An outcome's value alone; signed where it is a difference from another model."""
        signed = getattr(outcome, "reference", None) is not None
        return self.number(outcome.value, outcome.unit, outcome.metric, signed=signed)

    def bound(self, value: float, unit: Unit | None, metric: str) -> str:
        """A policy's bound, in the unit of what it tests, and without a plus sign."""
        if unit is None:
            return _minus(f"{value:.4g}")
        if unit in {Unit.RATE, Unit.DIFFERENCE} and scale_of(metric, unit) == 100:
            suffix = "%" if unit is Unit.RATE else f"{_NBSP}{self('unit.points')}"
            return _minus(f"{value * 100:.4g}{suffix}")
        if unit is Unit.PROBABILITY:
            return _scientific(value)
        if unit is Unit.SECONDS:
            return self.number(value, unit, metric)
        return _minus(f"{value:.4g}")

    def interval(self, outcome: Measurement, *, bare: bool = True) -> str:
        """`74.0% to 81.2%`; with `bare=False` it names its level too."""
        ends = [
            self("interval.open")
            if end is None
            else self.number(end, outcome.unit, outcome.metric, signed=outcome.reference is not None)
            for end in (outcome.low, outcome.high)
        ]
        span = self("interval.span", low=ends[0], high=ends[1])
        return span if bare else self("interval.full", level=f"{outcome.level * 100:.4g}%", span=span)

    def figure(self, outcome: Measurement | Fact) -> str:
        """Value and, for a measurement, its interval, on one line."""
        value = self.value(outcome)
        if isinstance(outcome, Fact):
            return value
        return self("interval.after", value=value, interval=self.interval(outcome, bare=False))

    def date(self, iso: str) -> str:
        """An ISO 8601 moment as this language writes it; anything else as it stands."""
        try:
            moment = datetime.fromisoformat(iso)
        except ValueError:
            return clean(iso, 40)
        # The month by its number: strftime's names follow the machine's locale, not the reader's.
        month = self(f"month.{moment.month}")
        clock = f"{moment.hour:02d}:{moment.minute:02d} {moment.tzname() or ''}".strip()
        return self("date", year=moment.year, month=month, day=moment.day, clock=clock)


def _percent(value: float) -> str:
    shown = f"{value * 100:.1f}%"
    if shown != "0.0%" or value == 0:
        return shown
    # A few rows among many must not read as none.
    return f"{value * 100:.1g}%" if value >= 1e-6 else "<0.0001%"


def _plain(value: float, unit: Unit) -> str:
    if unit is Unit.NATS:
        return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"  # 0.00 would read as perfect
    if unit is Unit.MONEY and abs(value) >= 100:
        return f"{value:,.0f}"
    if unit is Unit.MONEY and 0 < abs(value) < 0.001:  # people read prices in decimals, not in powers of ten
        return f"{value:.{1 - math.floor(math.log10(abs(value)))}f}"
    return f"{value:.3f}" if unit is Unit.SCORE else f"{value:.3g}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _scientific(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 1000:
        return _minus(f"{value:.3g}")
    mantissa, _, power = f"{value:.2e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return _minus(f"{mantissa}×10{str(int(power)).translate(_SUPERSCRIPT)}")
