"""YAML files, ours and the user's: read safely, checked against a model, complained about precisely."""

from __future__ import annotations

import difflib
import importlib.resources
import inspect
import typing
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from governance.errors import ConfigError
from governance.registry import nearest

MAX_BYTES = 1_000_000
_EXPECTED = {  # pydantic's error types, in words that fit "expected …, found …"
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}
Model = TypeVar("Model", bound=BaseModel)


class StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and aliases (a small file could grow without bound)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, unless it is an alias."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, unless a key stands in it twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' stands twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def shipped(folder: str) -> list[str]:
    """Names of the YAML files that ship in `configs/<folder>`, without their ending."""
    root = importlib.resources.files("configs") / folder
    return sorted(entry.name.removesuffix(".yaml") for entry in root.iterdir() if entry.name.endswith(".yaml"))


def find(folder: str, source: str, base: Path = Path()) -> Path:
    """The file that a config names: a path from `base` if it looks like one, else a shipped name.

    Raises:
        ConfigError: there is neither.
    """
    if source.endswith((".yaml", ".yml")) or "/" in source:
        return base / source
    if source not in shipped(folder):
        raise ConfigError(f"no '{source}' in configs/{folder}. {nearest(source, shipped(folder))}")
    return Path(str(importlib.resources.files("configs") / folder / f"{source}.yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: missing, empty, too large, not YAML, not a mapping.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.y*ml")], n=1)
        raise ConfigError(f"{path}: no such file{f'. Did you mean {near[0]!r}?' if near else ''}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: expected a YAML file, found a folder") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: expected at most {MAX_BYTES} bytes, found {len(data)}")
    try:
        value = yaml.load(data.decode("utf-8-sig"), Loader=StrictLoader)  # noqa: S506 - derives from SafeLoader
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8, found another encoding at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path}: {line}not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML ({type(error).__name__})") from None
    if value is None:
        raise ConfigError(f"{path}: the file is empty; `steelyard init` writes one to start from")
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, found a {type(value).__name__}")
    return value


def read(model: type[Model], path: Path) -> Model:
    """Read a YAML file as a checked model.

    Raises:
        ConfigError: names the file, the key, what was expected, and the nearest valid name.
    """
    return validate(model, read_yaml(path), path)


def validate(model: type[Model], raw: dict[str, Any], path: Path) -> Model:
    """Check a mapping against a model; see `read`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_sentence(model, detail) for detail in error.errors(include_url=False)]
        shown = lines[:5] + ([f"… and {len(lines) - 5} more"] if len(lines) > 5 else [])
        raise ConfigError("\n".join(f"{path}: {line}" for line in shown)) from None


def _sentence(model: type[BaseModel], detail: Any) -> str:
    """One validation error in words: key, what was expected, what was found."""
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        parent, _, key = where.rpartition(".")
        known = _fields_at(model, detail["loc"][:-1])
        return f"{where}: unknown key '{key}'{f' in {parent}' if parent else ''}. {nearest(key, known)}"
    if detail["type"] == "missing":
        return f"{where}: this key is required"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        known = [name.strip().strip("'") for name in context["expected_tags"].split(",")]
        discriminator = context["discriminator"].strip("'")
        return f"{where}.{discriminator}: no '{context['tag']}'. {nearest(context['tag'], known)}"
    if detail["type"] == "literal_error":
        known = [name.strip("' ") for name in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        return f"{where}: no '{detail['input']}'. {nearest(str(detail['input']), known)}"
    message = str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")
    if detail["type"] in _EXPECTED:
        message = f"expected {_EXPECTED[detail['type']]}"
    found = detail["input"]
    shown = f", found {found!r}" if isinstance(found, str | int | float | bool) and len(str(found)) < 60 else ""
    prefix = f"{where}: " if where else ""
    return prefix + message[:1].lower() + message[1:] + (shown if detail["type"] != "value_error" else "")


def _fields_at(model: type[BaseModel], loc: Iterable[str | int]) -> list[str]:
    """The keys allowed at a place in a model, for suggestions."""
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        inner: list[type[BaseModel]] = []
        for candidate in candidates:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                inner.extend(_models_in(field.annotation))
            elif _is_tag(candidate, part):
                inner.append(candidate)
        candidates = inner or candidates
    return [name for candidate in candidates for name in candidate.model_fields]


def _is_tag(model: type[BaseModel], part: str | int) -> bool:
    """Whether this step of a location is a union's tag that selects `model`."""
    return any(part in typing.get_args(field.annotation) for field in model.model_fields.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]
