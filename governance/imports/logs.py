"""What a result file comes to once its texts are gone: scores by row, or what it reports of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from governance.errors import RecordError
from governance.files import digest_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 1e100  # a score beyond that is no score, and its square no number
LONGEST = 60  # characters of a name's part in a metric
MOST_ROWS = 1_000_000
NO_SAMPLES = "the file has no scores by sample"
RESERVED = frozenset(
    {"coverage", "change", "difference", "ratio", "difference_to_rest", "ratio_to_rest", "difference_to_best"}
    | {"ratio_to_best", "rows_left_out", "unknown", "excluded"}
)
"""Last parts of metrics that mean something of their own; a scorer of that name gets another."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One scorer's scores.

    Attributes:
        keys: per row, a digest of what was asked: the same in two logs means the same row. Unique.
        clusters: per row, of its sample, (n,): epochs of one sample say less than as many samples.
        values: per row, finite, (n,).
    """

    keys: tuple[str, ...]
    clusters: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1."""
        return bool(np.isin(self.values, (0.0, 1.0)).all())

    @property
    def codes(self) -> NDArray[np.int64]:
        """Cluster of each row as 0…k - 1."""
        return np.unique(np.array(self.clusters), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Reported:
    """A mean that the file states without the scores behind it.

    Attributes:
        value: the mean.
        error: its standard error, where stated.
        n: samples, where stated.
    """

    value: float
    error: float | None
    n: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """One model on one task, as another tool wrote it down.

    Attributes:
        tool: "lm-eval".
        version: of the tool, as the file states it; "unknown" if it doesn't.
        task: as the tool calls it.
        model: as the tool calls it; never a path.
        asked: rows that were to be answered; None: the file doesn't say.
        coverage: 1 for rows that have every score, 0 for others; or why that is not known.
        scores: scorer or metric -> its scores, what is reported of them, or why there is neither.
        lower_is_better: those of the scores of which less is better, where the file says so.
        settings: few and short: seeds, shots, versions.
        group: whether its samples are those of other logs of the file.
    """

    tool: str
    version: str
    task: str
    model: str
    asked: int | None
    coverage: Column | str
    scores: Mapping[str, Column | Reported | str]
    lower_is_better: frozenset[str] = frozenset()
    settings: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    group: bool = False

    @property
    def source(self) -> str:
        """Tool and version."""
        return f"{self.tool} {self.version}"


def row_key(*parts: object) -> str:
    """A digest of what names a row; the parts themselves, which may be texts, are not kept."""
    # Escaped: a lone surrogate, which JSON may hold, is no UTF-8.
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def column(where: str, rows: Sequence[tuple[str, str, float]]) -> Column:
    """Scores from key, cluster and value per row.

    Raises:
        RecordError: a row stands twice, or a score is no finite number of a sane size.
    """
    keys = tuple(key for key, _, _ in rows)
    if len(set(keys)) < len(keys):
        raise RecordError(f"{where}: a sample stands twice")
    if any(not math.isfinite(value) or abs(value) > MOST for _, _, value in rows):
        raise RecordError(f"{where}: expected finite scores, found one that is infinite or beyond {MOST:g}")
    values = np.array([value for _, _, value in rows], dtype=float)
    return Column(keys, tuple(cluster for _, cluster, _ in rows), values)


def coverage(where: str, rows: Sequence[tuple[str, str, bool]], asked: int) -> Column:
    """Which rows have every score; those that were asked for and are missing count as well, each for itself.

    Args:
        where: the file, for messages.
        rows: key, cluster, and whether every score is there.
        asked: rows that were to be answered.

    Raises:
        RecordError: more rows than can be.
    """
    if max(asked, len(rows)) > MOST_ROWS:
        raise RecordError(f"{where}: expected at most {MOST_ROWS:,} samples, found {max(asked, len(rows)):,}")
    unseen = [f"unseen {number}" for number in range(asked - len(rows))]
    seen = [(key, cluster, float(whole)) for key, cluster, whole in rows]
    return column(where, [*seen, *((key, key, 0.0) for key in unseen)])


def slug(name: str, limit: int = LONGEST) -> str:
    """A name as part of a metric: small letters and digits of any script, underscores and hyphens.

    >>> slug("MMLU-Pro / Law (5-shot)"), slug("客服 意图"), slug("../../etc")
    ('mmlu-pro-law-5-shot', '客服-意图', 'etc')
    """
    plain = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFKC", name[:1000]).casefold())
    plain = re.sub(r"-{2,}", "-", plain).strip("-_")
    if plain and len(plain) <= limit and len(name) <= 1000:
        return plain
    tail = digest_of(name.encode("utf-8", "replace").decode())[:6]  # long names may differ at their end alone
    return f"{plain[: limit - 7].rstrip('-_') or 'unnamed'}-{tail}"


def plain(value: object, limit: int = 40) -> str:
    """A short string that any encoding takes."""
    return "".join(char for char in str(value)[:limit] if char.isprintable()) or "unknown"


def short_name(model: str) -> str:
    """A model's name without what a path on somebody's machine would tell.

    >>> short_name("/home/ann/models/ft-7"), short_name("EleutherAI/pythia-160m"), short_name("C:\\\\m\\\\ft")
    ('ft-7', 'EleutherAI/pythia-160m', 'ft')
    """
    parts = [part for part in re.split(r"[/\\]", model) if part]
    local = model.startswith(("/", "\\", ".", "~", "file:")) or re.match(r"[A-Za-z]:[/\\]", model) or len(parts) > 3
    return plain(parts[-1] if parts and local else model, 200)
