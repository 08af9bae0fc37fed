"""Where controls and waivers stand in the files that they came from, for reports that point at a line.

Paths mean the same on every machine: they start at the repository that holds the file, else at the folder of the config
that names it, and for files that ship at the package.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml

from governance.configfile import StrictLoader, find


class Place(NamedTuple):
    """A line of a file; the first line is 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Places:
    """Where controls and waivers stand, by their ids. One that nothing is known of is not in it."""

    controls: Mapping[str, Place] = field(default_factory=dict)
    waivers: Mapping[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place in (*self.controls.values(), *self.waivers.values()):
            path = PurePosixPath(place.file)
            if path.is_absolute() or ".." in path.parts or place.line < 1:
                raise ValueError("a place: expected a path below the repository and a line from 1")


def controls_in(source: Path | str, *, base: Path = Path()) -> dict[str, Place]:
    """Control id -> where it stands, in a policy that `load_policy` has read, and in those that it extends.

    Args:
        source: path or name of the policy.
        base: where relative paths start.
    """
    return _controls(find("policies", str(source), base), base)


def _controls(path: Path, base: Path) -> dict[str, Place]:
    root = _root(path)
    found: dict[str, Place] = {}
    for name in _parents(root):
        found |= _controls(find("policies", name, path.parent), base)
    return found | _entries(root, "controls", _shown(path, base))


def waivers_in(path: Path, *, base: Path = Path()) -> dict[str, Place]:
    """Waiver id -> where it stands, in a file that `load_waivers` has read."""
    return _entries(_root(path), "waivers", _shown(path, base))


def _root(path: Path) -> yaml.Node | None:
    return yaml.compose(path.read_text("utf-8-sig"), Loader=StrictLoader)


def _parents(root: yaml.Node | None) -> list[str]:
    """What `extends` names, in order."""
    given = _value(root, "extends")
    nodes = given.value if isinstance(given, yaml.SequenceNode) else [given]
    return [str(node.value) for node in nodes if isinstance(node, yaml.ScalarNode)]


def _entries(root: yaml.Node | None, key: str, file: str) -> dict[str, Place]:
    """Id -> place, of the entries of a list."""
    found = {}
    entries = _value(root, key)
    for entry in entries.value if isinstance(entries, yaml.SequenceNode) else ():
        name = _value(entry, "id")
        if isinstance(name, yaml.ScalarNode):
            found[str(name.value)] = Place(file, entry.start_mark.line + 1)
    return found


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    return next((value for name, value in _pairs(node) if name.value == key), None)


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    yield from node.value if isinstance(node, yaml.MappingNode) else ()


def _shown(path: Path, base: Path) -> str:
    """A file's path as a reader of another checkout knows it; its name alone where there is no such path."""
    path, package = path.resolve(), Path(str(importlib.resources.files("configs"))).resolve()
    if path.is_relative_to(package):
        return ("configs" / path.relative_to(package)).as_posix()
    root = next((folder for folder in path.parents if (folder / ".git").exists()), base.resolve())
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
