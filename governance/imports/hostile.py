"""Files that somebody else wrote: bounded, and refused where they aren't what they seem."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from governance.errors import ConfigError, RecordError

MAX_BYTES = 300_000_000
Model = TypeVar("Model", bound=BaseModel)


def read_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        ConfigError: there is none, or it can't be read.
        RecordError: it is too large.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: expected a result file, found a folder")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise RecordError(f"{path}: expected at most {MAX_BYTES:,} bytes, found more")
    return data


def parse_json(data: bytes, where: str) -> Any:
    """JSON as its standard has it: no NaN, no infinite number, no key twice, not nested beyond reason.

    Raises:
        RecordError: anything else; nothing of the content is quoted.
    """
    try:
        return json.loads(
            data.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_each_once
        )
    except UnicodeDecodeError:
        raise RecordError(f"{where}: expected UTF-8") from None
    except _Refused as error:
        raise RecordError(f"{where}: {error}") from None
    except RecursionError:
        raise RecordError(f"{where}: its values are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"{where}: not JSON (line {error.lineno}, column {error.colno})") from None
    except ValueError:  # a whole number of thousands of digits
        raise RecordError(f"{where}: not JSON that can be read") from None


class _Refused(ValueError):
    """JSON that Python would read, and we don't."""


def _no_number(_: str) -> NoReturn:
    raise _Refused("holds NaN or Infinity, which is no JSON and no figure")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("holds a number that is too large for a figure")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Refused("a key stands twice in one object")
    return made


def checked(model: type[Model], raw: Any, where: str) -> Model:
    """What a format promises.

    Raises:
        RecordError: the first place where it isn't kept; values are not quoted.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part)[:60] for part in first["loc"])
        raise RecordError(f"{where}: {place}: {first['msg'][:200]}") from None
    except RecursionError:
        raise RecordError(f"{where}: its values are nested too deeply") from None
