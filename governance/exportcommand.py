"""`steelyard export`: a run's figures in the schema of another tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from governance.errors import ConfigError
from governance.files import private_folder, write_atomic
from governance.record import load_record


def export_run(
    run: Path, out: Path, *, kind: str = "every-eval-ever", organization: str = "unknown", relationship: str = "other"
) -> Iterator[str]:
    """Write one file per model into a folder.

    Args:
        run: a run's directory.
        out: the folder; made if it isn't there. What lies in it is not replaced by anything else.
        kind: the schema; there is one.
        organization: who ran the evaluation.
        relationship: of that organization to the models.

    Yields:
        What was written, a line each.

    Raises:
        RecordError: not a run directory, or damaged.
        ConfigError: OUT is a file, or holds another one of that name.
    """
    from reports.everyeval import render

    if kind != "every-eval-ever":
        raise ConfigError(f"--format: no '{kind}'. Known: every-eval-ever.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: expected a folder, found a file")
    made = render(load_record(run), organization=organization, relationship=relationship)
    for name, file in made.items():
        if (out / name).exists() and (out / name).read_bytes() != file.content:
            raise ConfigError(f"{out / name}: is there already and says something else; export into another folder")
    private_folder(out)
    for name, file in made.items():
        write_atomic(out / name, file.content)
        without = f"; {file.left_out} outcomes have no place in that schema" if file.left_out else ""
        yield f"{out / name}: {file.figures} figures{without}"
