"""Parts of a config built and checked: what is wrong with them is told with file and key."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from governance.config import EVALUATORS
from governance.errors import ConfigError, DataError
from governance.registry import check, load


def within(where: str, act: Any) -> Any:
    """Run a check; what it complains about is prefixed with file and key."""
    try:
        return act()
    except (ConfigError, DataError) as error:
        text = str(error)
        raise type(error)(text if text.startswith(where) else f"{where}: {text}") from None


def evaluator_of(
    where: str,
    name: str,
    settings: Mapping[str, Any],
    *,
    kind: str = "evaluator",
    known: Mapping[str, str] = EVALUATORS,
) -> Any:
    """Build an evaluator from its settings; its dataclass fields are the keys it knows.

    Args:
        where: file and key that name it.
        name: its name in the config.
        settings: the config's.
        kind: what it is called in messages.
        known: the built-in ones.
    """
    within(f"{where}.name", lambda: check(kind, name, known))
    made = load(kind, name, known)
    fields = {field.name: field for field in dataclasses.fields(made) if field.init}
    for key in settings:
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ConfigError(
                f"{where}.{key}: unknown key '{key}'.{hint} Known: {', '.join(sorted(fields)) or 'none'}."
            )
        default = fields[key].default
        if isinstance(default, bool | int | float | str) and not _fits(settings[key], default):
            wanted = type(default).__name__
            raise ConfigError(f"{where}.{key}: expected {wanted}, found {settings[key]!r}")
    try:
        return made(**{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float) if isinstance(default, float) else isinstance(value, type(default))
