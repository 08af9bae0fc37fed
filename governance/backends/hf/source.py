"""Where a local model is, and whether its folder may be loaded: nothing is fetched, nothing in it is run.

A folder may come from anybody. Its JSON files are read as data; what would lead out of it (another repository's code,
an adapter's base, a kernel from a hub, a shard elsewhere), or keep Python busy for hours, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.errors import ConfigError, DataError
from governance.registry import nearest
from governance.sources import locate

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
GGUF = ".gguf"
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
ATTENTION = frozenset({"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
MAX_JSON = 64 * 2**20  # bytes of a config or an index
MAX_COUNT = 10_000  # layers, heads, experts or labels
MAX_DEPTH = 50
SAFE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Folder:
    """A model folder that may be loaded.

    Attributes:
        path: of the folder.
        config: its config.json.
        weights: its safetensors files.
    """

    path: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What a classification head on it calls its outputs, in their order."""
        named = self.config.get("id2label")
        if isinstance(named, dict) and named and all(str(key).isdecimal() for key in named):
            return tuple(str(named[key]) for key in sorted(named, key=int))
        count = self.config.get("num_labels", 2)
        return tuple(f"LABEL_{i}" for i in range(count if isinstance(count, int) and 0 < count <= MAX_COUNT else 2))


def find(source: str, base: Path, *, revision: str | None = None, file: str | None = None, code: bool = False) -> Path:
    """The folder or GGUF file of a model.

    Args:
        source: a folder or a GGUF file, `package:module/path`, or, with a revision, a hub's `organisation/name`.
        base: where relative paths start.
        revision: a commit of the hub's repository, 40 hex digits.
        file: a GGUF file in that folder.
        code: the folder's own Python files may be run.

    Raises:
        ConfigError: there is none, or it is of another kind.
    """
    found = _cached(source, revision) if revision is not None else _local(source, base)
    if file is not None:
        if Path(file).name != file or not file.endswith(GGUF):
            raise ConfigError(f"file: expected the name of a {GGUF} file in the model's folder, found '{file}'")
        found = found / file
        if not found.is_file():
            raise ConfigError(f"{source}: its folder has no file '{file}'")
    if found.is_dir():
        check_folder(found, code=code)
    elif found.suffix != GGUF:
        raise ConfigError(f"{source}: expected a folder or a {GGUF} file; no other file of weights is loaded")
    else:
        with found.open("rb") as handle:
            if handle.read(4) != b"GGUF":
                raise ConfigError(f"{source}: not a GGUF file")
    return found


def _local(source: str, base: Path) -> Path:
    try:
        return locate(source, base)
    except DataError:
        if not HUB_ID.fullmatch(source):
            raise
        raise ConfigError(
            f"{source}: no such folder (from {base}). If it is a hub's: an audit fetches nothing, and a name alone may "
            f"mean other weights tomorrow. Pin `revision` to the 40 hex digits of a commit and fetch it before: "
            f"hf download {source} --revision <commit>"
        ) from None


def _cached(source: str, revision: str) -> Path:
    if not HUB_ID.fullmatch(source):
        raise ConfigError(f"{source}: expected organisation/name, as a hub has it, beside `revision`")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True))
    except (OSError, ValueError):  # what the hub's library raises where it may not ask the hub
        raise ConfigError(
            f"{source}: commit {revision} is not in the local cache, and an audit fetches nothing. Fetch it before: "
            f"hf download {source} --revision {revision}"
        ) from None


def check_folder(path: Path, *, code: bool = False) -> Folder:
    """Whether a folder may be loaded.

    Args:
        path: of the folder.
        code: its own Python files may be run.

    Raises:
        ConfigError: it is no model folder, its weights are pickled, or it asks for what it must not.
    """
    config = _json(path / "config.json")
    if (path / "adapter_config.json").exists():
        raise ConfigError(f"{path.name}: holds an adapter, whose base is elsewhere: merge it into its base first")
    tokenizer = path / "tokenizer_config.json"
    for told in (config, _json(tokenizer) if tokenizer.exists() else {}):
        _check_code(path, told, allowed=code)
    _check_values(path, config)
    return Folder(path, config, _weights(path, config))


def _check_code(path: Path, told: Mapping[str, Any], *, allowed: bool) -> None:
    """Code that the folder names must be its own; without leave transformers never runs it, see `loading`."""
    if allowed and "--" in json.dumps(told.get("auto_map", {})):
        raise ConfigError(f"{path.name}: auto_map names code of another repository; only its own may be run")


def _check_values(path: Path, value: object, key: str = "", depth: int = 0) -> None:
    """Counts that would keep Python busy for hours, and attention that would be fetched from a hub."""
    if depth > MAX_DEPTH or (isinstance(value, list) and len(value) > MAX_COUNT):
        raise ConfigError(f"{path.name}: config.json: {key}: larger or deeper than any model's")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_values(path, inner, str(name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_values(path, inner, key, depth + 1)
    elif "implementation" in key and value is not None and value not in ATTENTION:
        raise ConfigError(f"{path.name}: config.json: {key}: expected one of {', '.join(sorted(ATTENTION))}")
    elif isinstance(value, int) and re.search("layer|head|expert|num_labels|depth", key) and abs(value) > MAX_COUNT:
        raise ConfigError(f"{path.name}: config.json: {key}: expected at most {MAX_COUNT}")


def _weights(path: Path, config: Mapping[str, Any]) -> tuple[Path, ...]:
    if config.get("transformers_weights") is not None:
        raise ConfigError(f"{path.name}: config.json: transformers_weights: expected none; weights are {SAFE}")
    if (path / SAFE).is_file():
        return (path / SAFE,)
    if (path / INDEX).is_file():
        shards = _json(path / INDEX).get("weight_map")
        names = set(shards.values()) if isinstance(shards, dict) else set()
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise ConfigError(f"{path.name}: {INDEX}: expected names of .safetensors files in the folder")
            if not (path / name).is_file():
                raise ConfigError(f"{path.name}: {INDEX} names a file that isn't there: {name}")
        if names:
            return tuple(path / name for name in sorted(names))
    if any(file.suffix in PICKLED for file in path.iterdir()):
        raise ConfigError(
            f"{path.name}: its weights are pickled, and reading them may run anything: save them as safetensors on a "
            "machine that may be lost (model.save_pretrained(folder)), or take a revision that has them"
        )
    raise ConfigError(f"{path.name}: expected {SAFE}, found no weights")


def _json(file: Path) -> dict[str, Any]:
    where = f"{file.parent.name}: {file.name}"
    try:
        if file.stat().st_size > MAX_JSON:
            raise ConfigError(f"{where}: expected at most {MAX_JSON} bytes")
        found = json.loads(file.read_bytes())
    except OSError:
        raise ConfigError(f"{where}: expected a Hugging Face model folder, which has one") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: not JSON") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: expected an object")
    return found


def class_columns(
    named: Sequence[str], mapping: Mapping[str, str], classes: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """For each class the outputs that mean it: by the mapping, or by name where there is none.

    Several outputs may mean one class; their probabilities are summed.

    >>> class_columns(["1 star", "5 stars"], {"1 star": "bad", "5 stars": "good"}, ["good", "bad"])
    ((1,), (0,))

    Raises:
        ConfigError: an output means no class, or no output means a class.
    """
    for name in mapping:
        if name not in named:
            raise ConfigError(f"labels: the model has no label '{name}'. {nearest(name, named)}")
    meant = [mapping.get(name, None if mapping else name) for name in named]
    for name, label in zip(named, meant, strict=True):
        if label not in classes:
            raise ConfigError(
                f"labels: the model's label '{name}' means none of the task's classes ({', '.join(classes)}): say here "
                f"which class each of its labels is ({', '.join(named)})"
            )
    columns = tuple(tuple(i for i, label in enumerate(meant) if label == one) for one in classes)
    for one, found in zip(classes, columns, strict=True):
        if not found:
            raise ConfigError(f"labels: no label of the model ({', '.join(named)}) means the class '{one}'")
    return columns
