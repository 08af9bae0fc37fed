"""Where the budget book of a data set is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from governance.budget.book import BOOK, HEAD
from governance.errors import ConfigError, RecordError

FOLDER = ".steelyard-budget"
PLACE_VARIABLE = "STEELYARD_BUDGET"


def place_for(data: Path, *, fallback: Path | None = None) -> Path:
    """The folder of the book for a data set: `STEELYARD_BUDGET` if set, else beside the data.

    Args:
        data: a file or folder.
        fallback: where to keep it if the data's folder can't be written to, such as `state_book()`: data that was
            installed with a package, or mounted read-only.

    Raises:
        ConfigError: the folder can't be written to, and there is no fallback, or a book is there already.
    """
    chosen = os.environ.get(PLACE_VARIABLE)
    if chosen:
        return Path(chosen)
    beside = data.resolve().parent / FOLDER
    if os.access(beside if beside.exists() else beside.parent, os.W_OK | os.X_OK):
        return beside
    there = (beside / BOOK).exists() or (beside / HEAD).exists()
    if fallback is None or there:  # another book beside the one that is there would start from nothing
        raise ConfigError(
            f"{beside}: the privacy budget is kept beside the data, and this folder can't be written to; "
            f"set {PLACE_VARIABLE} to a folder that all who train on this data share"
        )
    return fallback


def state_book(data: Path) -> Path:
    """This user's book for data that can't have one beside it: a folder for each place of data, so a budget of one."""
    base = os.environ.get("XDG_STATE_HOME")
    root = (Path(base) if base else Path.home() / ".local" / "state") / "steelyard" / "budget"
    return root / f"{data.name}-{hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:12]}"


def find_book(path: Path) -> Path:
    """The book that a path means: itself, the one beside a data set, the one inside a folder of data, the fallback.

    Raises:
        RecordError: there is none.
    """
    places = [path, path / FOLDER, place_for(path, fallback=state_book(path)), state_book(path)]
    for place in places:
        if (place / BOOK).is_file() or (place / HEAD).is_file():
            return place
    if not path.exists():
        raise RecordError(f"{path}: no such file or folder, so there is no budget book beside it")
    raise RecordError(
        f"{path}: no budget book found; looked in {', '.join(str(place) for place in places)}. "
        "A private run makes one before its first step; --set-epsilon makes one now."
    )
