"""Policies and waivers from files: composed, checked, complained about precisely."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from governance.configfile import find, read_yaml, validate
from governance.errors import ConfigError
from governance.policy.model import Policy
from governance.policy.waivers import Waiver
from governance.registry import nearest

DEPTH = 10  # policies that extend one another
MERGED = ("parameters", "without")


def load_policy(source: Path | str, *, base: Path = Path()) -> Policy:
    """Read a policy: a path (relative ones start from `base`), or the name of one that ships ("launch").

    `extends: [a, b]` takes over their controls in order; a control of the same id replaces the one before it, where
    it stood; `without: {id: reason}` leaves one out. Parameters are taken over the same way.

    Raises:
        ConfigError: unreadable, or not a policy; the message names file and key.
    """
    path = find("policies", str(source), base)
    return validate(Policy, _composed(path, ()), path)


def _composed(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The mapping in a policy's file, with all that it extends."""
    if path.resolve() in children or len(children) >= DEPTH:
        raise ConfigError(f"{path}: extends: a policy can't extend itself, nor go deeper than {DEPTH} files")
    raw = read_yaml(path)
    parents = raw.pop("extends", [])
    if isinstance(parents, str):
        parents = [parents]
    if not isinstance(parents, list) or not all(isinstance(name, str) for name in parents):
        raise ConfigError(f"{path}: extends: expected names or paths of policies")
    if not parents:
        return raw
    found = [_parent(path, name, children) for name in parents]
    merged = dict(raw)  # name, version and title are its own: it is another policy than those that it extends
    for key in MERGED:
        together = {name: value for part in (*found, raw) for name, value in _mapping(path, key, part).items()}
        if together:
            merged[key] = together
    for key, choose in (("level", max), ("signed_waivers", max), ("source", "; ".join), ("reading", _first)):
        given = [part[key] for part in found if key in part]
        if given and key not in raw:
            merged[key] = choose(given)
    merged["not_covered"] = [clause for part in (*found, raw) for clause in part.get("not_covered", [])]
    merged["built_on"] = [line for part in found for line in (*part.get("built_on", []), _called(part))]
    merged["controls"] = _controls(path, [*found, raw], merged.get("without", {}))
    return merged


def _first(values: list[Any]) -> Any:
    return values[0]


def _parent(path: Path, name: str, children: tuple[Path, ...]) -> dict[str, Any]:
    try:
        return _composed(find("policies", name, path.parent), (*children, path.resolve()))
    except ConfigError as error:
        raise ConfigError(f"{path}: extends: {error}") from None


def _called(raw: Mapping[str, Any]) -> str:
    return f"{raw.get('name', '?')} {raw.get('version', '?')}"


def _mapping(path: Path, key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    given = raw.get(key, {})
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: {key}: expected a mapping of keys")
    return given


def _controls(path: Path, parts: list[dict[str, Any]], without: Mapping[str, str]) -> list[Any]:
    """The controls of all parts, each id once and where it first stood."""
    found: dict[object, Any] = {}
    for part in parts:
        controls = part.get("controls", [])
        if not isinstance(controls, list):
            raise ConfigError(f"{path}: controls: expected a list")
        seen: set[object] = set()
        for number, control in enumerate(controls):
            key = control.get("id") if isinstance(control, dict) else (id(part), number)
            if key in seen:
                raise ConfigError(f"{path}: control '{key}' stands twice")
            seen.add(key)
            found[key] = control
    strangers = sorted(str(name) for name in without if name not in found)
    if strangers:
        raise ConfigError(
            f"{path}: without: no control '{strangers[0]}'. {nearest(strangers[0], [str(k) for k in found])}"
        )
    return [control for key, control in found.items() if key not in without]


class _WaiverFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    waivers: tuple[Waiver, ...] = Field(min_length=1)


def load_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read a file of waivers: `waivers:` and a list.

    Raises:
        ConfigError: unreadable, a waiver without an owner, a reason, an end; or one id twice.
    """
    raw = read_yaml(path)
    waivers = validate(_WaiverFile, _dates_as_text(raw), path).waivers
    seen: set[str] = set()
    for waiver in waivers:
        if waiver.id in seen:
            raise ConfigError(f"{path}: waiver '{waiver.id}' stands twice")
        seen.add(waiver.id)
    return waivers


def _dates_as_text(value: Any) -> Any:
    """YAML makes dates of what looks like one; a time of day in one would pass for a date without it."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _dates_as_text(inner) for key, inner in value.items()}
    return [_dates_as_text(inner) for inner in value] if isinstance(value, list) else value
