"""A search over settings that costs little more than one run: a random number of runs, the best of which is shown.

The number of runs is drawn before the first one and written down before anything else happens, the settings of each
with it, so that no result and no kill can change them. The best is told by the loss on public rows, which costs no
privacy. What the others found is deleted; the budget book accounts for all of them as one selection.

Source:
    Papernot and Steinke (2022), arXiv:2110.03620.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import RecordError
from governance.files import write_atomic
from governance.progress import Progress
from governance.trainconfig import TuningConfig
from governance.training.recipes.base import PUBLIC_LOSS
from governance.trainprepare import Prepared, prepare
from governance.trainrecord import RECORD, load_training

if TYPE_CHECKING:
    import numpy as np

DRAWN = "search.json"


@dataclass(frozen=True, slots=True)
class Search:
    """The runs of one search, drawn beforehand: the settings of each."""

    runs: tuple[Mapping[str, Any], ...]


def run_search(
    source: str,
    prepared: Prepared,
    directory: Path,
    progress: Progress,
    train: Callable[[Prepared, Path], None],
) -> None:
    """Run (or go on with) a search; its best run becomes `directory`.

    Args:
        source: of the config.
        prepared: as it stands there; it has `tuning.tries`.
        directory: where the best goes.
        progress: where to say what is being done.
        train: trains what is prepared into a folder, unless that is done.

    Raises:
        BudgetExceeded: the data set's privacy budget has no room for it.
        RecordError: the notes of an earlier attempt are damaged, or no run has a loss that is a number.
    """
    place = directory.with_name(f"{directory.name}.search")
    tuning = prepared.config.tuning
    assert tuning is not None  # noqa: S101 - narrows the type
    search = _drawn(place, tuning)
    ready = [prepare(source, settings) for settings in search.runs]  # every setting is checked before any is paid for
    losses = []
    for number, one in enumerate(ready):
        trial = place / f"{number:04d}" / directory.name
        progress.say(f"  run {number + 1} of this search")  # not how many there will be: that was drawn in secret
        if not (trial / RECORD).exists():
            train(one, trial)
        losses.append(_loss(trial))
    best = min(range(len(losses)), key=losses.__getitem__)
    if not math.isfinite(losses[best]):
        raise RecordError(f"{place}: no run of this search has a loss on public rows that is a number")
    (place / f"{best:04d}" / directory.name).replace(directory)
    forget(directory)


def forget(directory: Path) -> None:
    """Remove what a finished search left: nothing but its best run may be shown."""
    shutil.rmtree(directory.with_name(f"{directory.name}.search"), ignore_errors=True)


def _loss(trial: Path) -> float:
    found = load_training(trial).facts.get(PUBLIC_LOSS)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else math.inf


def _drawn(place: Path, tuning: TuningConfig) -> Search:
    """The search that an earlier attempt drew, or a new one: a second draw would not be the distribution's."""
    file = place / DRAWN
    if file.exists():
        try:
            runs = json.loads(file.read_bytes())["runs"]
            return Search(tuple({str(name): value for name, value in one.items()} for one in runs))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(f"{file}: not what a search drew ({type(error).__name__})") from None
    from numpy.random import default_rng

    rng = default_rng(secrets.randbits(128))
    tries = tuning.tries or {}
    count = number_of_runs(tuning, rng)
    runs = [{name: values[int(rng.integers(len(values)))] for name, values in tries.items()} for _ in range(count)]
    write_atomic(file, json.dumps({"runs": runs}).encode())
    return Search(tuple(runs))


def number_of_runs(tuning: TuningConfig, rng: np.random.Generator) -> int:
    """Drawn from the truncated negative binomial distribution of this mean: eta 1 is geometric, eta 0 logarithmic."""
    mean = float(tuning.mean_runs or 1.0)
    if mean == 1:
        return 1
    if tuning.distribution == "geometric":
        return int(rng.geometric(1 / mean))
    return int(rng.logseries(_logarithmic(mean)))


def _logarithmic(mean: float) -> float:
    """The parameter p of the logarithmic distribution with this mean: -p / ((1 - p) log(1 - p)) = mean."""
    from scipy.optimize import brentq

    # In terms of x = log(1 - p), so that means of millions can be told apart.
    found = brentq(lambda x: math.expm1(-x) / -x - mean, -50.0, -1e-9)
    return float(-math.expm1(found))
