"""Asking models, as far as audits of labels and of tasks do it alike: which rows, when answers stand, what is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from governance.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.privacy.policy import ScrubPolicy
    from governance.privacy.scrubber import Scrubber

FACTS = "facts.json"


def sample(limit: int | None, n: int, seed: int) -> NDArray[np.int64]:
    """Which of n rows a model is weighed on: all, or a seeded sample, the same for all models of one limit."""
    if limit is None or limit >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).permutation(n)[:limit])


def stand(finished: Path) -> bool:
    """Whether a stage's answers are there, none of them failed.

    Others are removed: a new record asks failed rows again; answers that were paid for are kept elsewhere.
    """
    if not finished.exists():
        return False
    if not json.loads((finished / FACTS).read_bytes())["failed"]:
        return True
    shutil.rmtree(finished)
    return False


def tell_failed(progress: Progress, model: str, failed: int, total: int) -> None:
    """Say how many rows have no answer, if any."""
    if failed:
        counted = f"{failed} of {total} rows have no usable answer; coverage counts them"
        progress.say(f"  {model}: {counted}, and --again asks them again")


def load_scrubber(policy: ScrubPolicy, progress: Progress) -> Scrubber:
    """The scrubber, which takes seconds to load."""
    from governance.privacy.scrubber import Scrubber

    with progress.stage("load the scrubber"):
        return Scrubber(policy)
