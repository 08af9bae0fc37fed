"""Names in a config to code: imported on use, spelt-out when wrong, never silently absent.

No decorator registers by being imported: a check that vanishes because nobody
imported its module is the worst failure that a gate can have.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from governance.errors import ConfigError, MissingExtra

ENTRY_POINTS = "steelyard.{kind}s"  # e.g. steelyard.evaluators


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that suggests the nearest known name and lists all of them.

    >>> nearest("bais", ["bias", "quality"])
    "Did you mean 'bias'? Known: bias, quality."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."


def table(kind: str, builtin: Mapping[str, str]) -> dict[str, str]:
    """All names of one kind: the built-in ones and those that installed packages add.

    Raises:
        ConfigError: a package offers a name that is taken.
    """
    names = dict(builtin)
    for point in entry_points(group=ENTRY_POINTS.format(kind=kind)):
        if point.name in names:
            raise ConfigError(f"{kind} '{point.name}' is offered twice: by {names[point.name]} and by {point.value}")
        names[point.name] = point.value
    return names


def check(kind: str, name: str, builtin: Mapping[str, str]) -> str:
    """The `module:attribute` behind a name, without importing it.

    Raises:
        ConfigError: nobody offers that name.
    """
    names = table(kind, builtin)
    if name not in names:
        raise ConfigError(f"no {kind} '{name}'. {nearest(name, names)}")
    return names[name]


def load(kind: str, name: str, builtin: Mapping[str, str], *, extras: Mapping[str, str] | None = None) -> Any:
    """Import what a name stands for, and nothing else.

    Args:
        kind: what is looked for, in the singular ("evaluator").
        name: the name in the config.
        builtin: name -> "module:attribute".
        extras: top-level module that may be missing -> the extra that installs it.

    Raises:
        ConfigError: nobody offers that name.
        MissingExtra: the module needs a library that is not installed.
    """
    module_name, _, attribute = check(kind, name, builtin).partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in (extras or {}):
            raise
        assert extras is not None  # noqa: S101 - narrows the type; membership was just tested
        raise MissingExtra(f"{kind} '{name}' needs {missing}: pip install 'steelyard[{extras[missing]}]'") from error
    return getattr(module, attribute)
