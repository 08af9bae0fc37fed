"""Policies and waivers from files: composed, checked, complained about precisely."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from governance.configfile import find, read_yaml, validate
from governance.errors import ConfigError
from governance.policy.model import Control, Policy
from governance.policy.waivers import Waiver
from governance.registry import nearest

DEPTH = 10  # policies that extend one another


class _Own(BaseModel):
    """What a policy that extends others brings itself."""

    controls: tuple[Control, ...]


def load_policy(source: Path | str, *, base: Path = Path()) -> Policy:
    """Read a policy: a path (relative ones start from `base`), or the name of one that ships ("launch").

    `extends: [a, b]` takes over their controls in order; a control of the same id replaces the one before it, where
    it stood; `without: {id: reason}` leaves one out. Parameters are taken over the same way; one that is given again
    may keep what its predecessor says it is, but never its value: who confirms a number writes that number.

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
    validate(_Own, {"controls": raw.get("controls", [])}, path)  # told by their place in this file, not among all
    found = [_parent(path, name, children) for name in parents]
    merged = dict(raw)  # name, version and title are its own: it is another policy than those that it extends
    for key, choose in (("level", max), ("signed_waivers", max), ("source", "; ".join), ("reading", _first)):
        given = [part[key] for part in found if key in part]
        if given and key not in raw:
            merged[key] = choose(given)
    merged["parameters"] = _parameters(path, found, raw)
    merged["not_covered"] = [clause for part in (*found, raw) for clause in _entries(path, "not_covered", part)]
    merged["built_on"] = [line for part in found for line in (*part.get("built_on", []), _called(part))]
    merged["controls"] = _controls(path, [*found, raw], _mapping(path, "without", raw))
    merged["without"] = _left_out(path, [*found, raw], merged["controls"])
    return merged


def _first(values: list[Any]) -> Any:
    return values[0]


def _parent(path: Path, name: str, children: tuple[Path, ...]) -> dict[str, Any]:
    """A policy that another one extends: a whole policy itself, so that a mistake in it is told with its own place."""
    try:
        parent = find("policies", name, path.parent)
        raw = _composed(parent, (*children, path.resolve()))
        policy = validate(Policy, raw, parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: extends: {error}") from None
    return raw | {key: getattr(policy, key) for key in ("level", "signed_waivers") if key in raw}  # "0.9" is a number


def _called(raw: Mapping[str, Any]) -> str:
    return f"{raw['name']} {raw['version']}"


def _mapping(path: Path, key: str, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    given = raw.get(key, {})
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: {key}: expected a mapping of keys")
    return given


def _entries(path: Path, key: str, raw: Mapping[str, Any]) -> list[Any]:
    given = raw.get(key, [])
    if not isinstance(given, list):
        raise ConfigError(f"{path}: {key}: expected a list")
    return given


def _parameters(path: Path, found: list[dict[str, Any]], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of all parts, each name's last; what one doesn't say anew stays said."""
    together: dict[str, Any] = {}
    for part in (*found, raw):
        for name, given in _mapping(path, "parameters", part).items():
            before = together.get(name)
            said = {"says": before["says"]} if before and isinstance(given, dict) else {}
            together[name] = {**said, **given} if isinstance(given, dict) else given
    return together


def _controls(path: Path, parts: list[dict[str, Any]], without: Mapping[str, Any]) -> list[Any]:
    """The controls of all parts, each id once and where it first stood."""
    found: dict[object, Any] = {}
    for part in parts:
        seen: set[object] = set()
        for number, control in enumerate(_entries(path, "controls", part)):
            key = control.get("id") if isinstance(control, dict) else None
            if not isinstance(key, str):  # `validate` tells what is wrong with it
                key = (id(part), number)
            if key in seen:
                raise ConfigError(f"{path}: control '{key}' stands twice")
            seen.add(key)
            found[key] = control
    strangers = sorted(str(name) for name in without if name not in found)
    if strangers:
        raise ConfigError(f"{path}: without: no control '{strangers[0]}'. {nearest(strangers[0], _ids(found))}")
    return [control for key, control in found.items() if key not in without]


def _ids(found: Mapping[object, Any]) -> list[str]:
    return [key for key in found if isinstance(key, str)]


def _left_out(path: Path, parts: list[dict[str, Any]], controls: list[Any]) -> dict[str, Any]:
    """What any part leaves out, unless another one brings it in."""
    there = [control.get("id") for control in controls if isinstance(control, dict)]
    together = {name: why for part in parts for name, why in _mapping(path, "without", part).items()}
    return {name: why for name, why in together.items() if name not in there}


class _WaiverFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    waivers: tuple[Waiver, ...]


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
