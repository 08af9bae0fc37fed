"""`steelyard init`: a config that runs on somebody's own file, and a CI workflow that gates on it."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from pathlib import Path

from governance.errors import ConfigError

CONFIG = "steelyard.yaml"
PIPELINES: Mapping[str, tuple[str, Path]] = {
    "github": ("workflow.yml", Path(".github/workflows/steelyard.yml")),
    "gitlab": ("gitlab-ci.yml", Path(".gitlab-ci.yml")),
}
"""CI system -> the shipped file for it, and where it reads it."""
READABLE = (".csv", ".tsv", ".jsonl", ".parquet")


def write_starter(
    directory: Path, *, data: Path | None, text: str | None, label: str | None, ci: str = "github"
) -> list[str]:
    """Write `steelyard.yaml` and a file for a CI system; nothing that is there is overwritten.

    Args:
        directory: where; made if it isn't there.
        data: the user's file; absent: the only readable one in `directory`.
        text: its text column; absent: "text".
        label: its label column; absent: "label".
        ci: "github" or "gitlab".

    Returns:
        What was done and what to do next, a line each.

    Raises:
        ConfigError: there is a config already, or the data file can't be chosen or lacks a column.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory}: expected a folder, found a file")
    config = directory / CONFIG
    if config.exists():
        raise ConfigError(f"{config}: is there already; delete it or choose another folder")
    source = data or _only_file(directory)
    columns = _columns(source, text or "text", label or "label") if source else None
    language = _language(source, columns[0]) if source and columns else "en"
    directory.mkdir(parents=True, exist_ok=True)
    shown = _relative(source, directory) if source else "reviews.csv"
    text_column, label_column = columns or (text or "text", label or "label")
    scrub, warning = _scrub_policy()
    values = {"language": language, "scrub": scrub}
    # JSON strings are YAML strings on one line, whatever a column is called.
    quoted = {"path": shown, "text": text_column, "label": label_column}
    values |= {slot: json.dumps(value, ensure_ascii=False) for slot, value in quoted.items()}
    config.write_text(_fill("starter.yaml", values), encoding="utf-8")
    lines = [f"wrote {config}"]
    lines.append(_pipeline(directory, ci))
    lines += warning
    if source is None:
        lines.append(f"put your data at {directory / shown} with the columns '{text_column}' and '{label_column}'")
    lines.append(f"next: steelyard audit {config}")
    return lines


def _pipeline(directory: Path, ci: str) -> str:
    """Write the CI system's file, or say what it must hold if there is another one."""
    shipped, place = PIPELINES[ci]
    path, content = directory / place, _fill(shipped, {"config": CONFIG})
    if path.exists():
        return f"note: {path} is there already; to gate in it, add this job:\n{content}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return f"wrote {path}"


def _scrub_policy() -> tuple[str, list[str]]:
    """The default scrub policy if its models are installed, else the one that needs none; and what to say."""
    from governance.privacy.policy import load_policy

    try:
        load_policy("default")
    except ConfigError:
        return "patterns", ["note: no model for names is installed: the scrub policy 'patterns' leaves names in"]
    return "default", []


def _only_file(directory: Path) -> Path | None:
    files = sorted(f for f in directory.iterdir() if f.suffix in READABLE) if directory.is_dir() else []
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ConfigError(f"{directory}: several data files ({names}); name one with --data")
    return files[0] if files else None


def _columns(source: Path, text: str, label: str) -> tuple[str, str]:
    """The two columns, checked against the file."""
    from governance.formats import column_names, known_columns
    from governance.sources import locate

    names = column_names(locate(str(source), Path()))
    for option, column in (("--text", text), ("--label", label)):
        if column not in names:
            raise ConfigError(f"{source}: no column '{column}'; choose with {option}. {known_columns(column, names)}")
    return text, label


def _language(source: Path, text: str) -> str:
    """ "zh" if the first rows hold many Han characters, else "en"."""
    from governance.formats import first_values

    sample = "".join(first_values(source, text, 100))
    han = sum("\u4e00" <= character <= "\u9fff" for character in sample)
    return "zh" if sample and han > 0.2 * len(sample) else "en"


def _relative(source: Path, directory: Path) -> str:
    """The file as seen from the config's folder, where paths in a config start."""
    absolute, base = source.resolve(), directory.resolve()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()


def _fill(name: str, values: dict[str, str]) -> str:
    """A shipped starter file with its `<<slots>>` filled."""
    text = (importlib.resources.files("configs") / "starter" / name).read_text(encoding="utf-8")
    for slot, value in values.items():
        text = text.replace(f"<<{slot}>>", value)
    return text
