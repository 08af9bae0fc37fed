"""What tests of the small recipes share: tables with a rule to learn, a purse, plans that cost nothing to make."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from governance.dataset import ScrubbedTable, ScrubbedText
from governance.errors import BudgetExceeded
from governance.training import loop
from governance.training.dp.plan import Plan
from governance.training.recipes.base import Setting
from tests.tiny import review

GOOD_ZH, BAD_ZH = "很喜欢质量好舒服", "差退货破旧失望"


def table(
    labels: Sequence[str] = (),
    *,
    texts: Sequence[str] | None = None,
    units: Sequence[int] | None = None,
    numbers: dict[str, Sequence[float]] | None = None,
    categories: dict[str, Sequence[str]] | None = None,
) -> ScrubbedTable:
    columns: dict[str, tuple[str, ...]] = {"label": tuple(labels)} if len(labels) else {}
    columns |= {name: tuple(values) for name, values in (categories or {}).items()}
    values = {name: np.asarray(column, dtype=np.float64) for name, column in (numbers or {}).items()}
    sealed = {} if texts is None else {"text": tuple(ScrubbedText(text) for text in texts)}
    found: list[Any] = [*columns.values(), *values.values(), *sealed.values()]
    owner = None if units is None else np.asarray(units, dtype=np.int64)
    return ScrubbedTable(rows=np.arange(len(found[0])), texts=sealed, labels=columns, numbers=values, units=owner)


def reviews(n: int = 160, *, seed: int = 0, chinese: bool = False) -> ScrubbedTable:
    """Texts whose words decide their class."""
    rng = random.Random(seed)
    good = [rng.random() < 0.5 for _ in range(n)]
    if chinese:
        texts = ["".join(rng.choices("这件衣服的尺码", k=6) + rng.choices(GOOD_ZH if g else BAD_ZH, k=3)) for g in good]
    else:
        texts = [review(rng, g) for g in good]
    return table(["yes" if g else "no" for g in good], texts=texts)


def customers(n: int = 300, *, seed: int = 0) -> ScrubbedTable:
    """Numbers and a category that decide a class, with holes."""
    rng = np.random.default_rng(seed)
    age, spent = rng.uniform(18, 80, n), rng.exponential(50, n)
    kind = rng.choice(["shop", "web"], n)
    label = np.where((age > 45) ^ (kind == "web"), "yes", "no")
    spent[rng.random(n) < 0.1] = np.nan
    return table(list(label), numbers={"age": age, "spent": spent}, categories={"kind": [str(k) for k in kind]})


BOUNDS = {"age": (18.0, 80.0), "spent": (0.0, 200.0)}


class Purse:
    """Where steps are paid for in tests: counts, and refuses or dies when told to.

    Args:
        limit: steps that the budget allows.
        dies_after: the process is killed as soon as so many steps are paid for.
    """

    def __init__(self, *, charged: int = 0, limit: int = 10**9, dies_after: int = 10**9) -> None:
        self.charged, self.limit, self.dies_after = charged, limit, dies_after

    def charge(self, steps: int) -> None:
        if self.charged + steps > self.limit:
            raise BudgetExceeded("no more")
        self.charged += steps
        if self.charged >= self.dies_after:
            raise Killed


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


def plan(n: int, *, steps: int, sigma: float = 0.6, sample_rate: float = 1.0, batch: float = 1.0, **more: Any) -> Plan:
    """A plan of chosen noise: what it costs is told after the run, as for any other."""
    return Plan(
        **{"n": n, "units": n, "sample_rate": sample_rate, "steps": steps, "batch": batch, "clipping": 1.0,
           "sigma": sigma, "epsilon": 10.0, "delta": 1e-3 if n < 900 else 1e-5} | more
    )  # fmt: skip


def setting(
    private: Plan | None = None, *, purse: Purse | None = None, base: Path | None = None, **changes: Any
) -> Setting:
    own = {"learning_rate": 0.02, "epochs": 6, "batch": 16, "weight_decay": 0.0} | changes
    extra = {key: own.pop(key) for key in list(own) if key in {f.name for f in dataclasses.fields(Setting)}}
    charges = (purse or Purse()) if private else None
    return Setting(base=base, settings=loop.Settings(**own), plan=private, charges=charges, **extra)
