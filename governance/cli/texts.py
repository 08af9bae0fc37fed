"""Texts: scrub, restore, decrypt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from governance.cli.base import OUT, SUMMARY, guarded, main

IN = click.argument("source", metavar="IN", type=click.Path(path_type=Path))
TEXT = click.option("--text", "columns", multiple=True, help="A text column; may be given again. [default: text]")
SCRUB_POLICY = click.option("--policy", default="files", show_default=True, help="A scrub policy: a file, or a name.")
FORCE = click.option("--force", is_flag=True, help="Replace an OUT that something else made.")
STRICT = click.option("--strict", is_flag=True, help="Exit 3 if a row or text could not be passed on.")
QUIET = click.option("--quiet", is_flag=True, help="On stderr nothing but what went wrong.")


@main.command()
@IN
@OUT
@TEXT
@click.option("--language", type=click.Choice(["auto", "en", "zh"]), help="Of the texts. [default: the policy's]")
@SCRUB_POLICY
@click.option("--direction", type=click.Choice(["train", "prompt", "output"]), default="train", show_default=True)
@click.option(
    "--structure",
    type=click.Choice(["text", "json", "html", "markdown", "url"]),
    default="text",
    show_default=True,
    help="What the texts are: only the leaves of structured ones are rewritten.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes. [default: one per core]")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--vault", type=click.Path(path_type=Path), help="Hide values in this folder, for `steelyard restore`.")
@click.option(
    "--hours", type=click.FloatRange(min=0.01), default=168, show_default=True, help="Life of a vault session."
)
@FORCE
@STRICT
@QUIET
@SUMMARY
@guarded
def scrub(source: Path, out: Path, **options: Any) -> int:
    """Take the personal data out of the texts in IN, and write everything else to OUT as it is.

    IN and OUT are Parquet, CSV, TSV or JSON lines, or folders of them. A killed run goes on where it was. Rows that
    can't be read are left out, and texts that can't be vouched for become [UNREADABLE]; OUT.quarantine.jsonl says
    which. That is exit code 0, or 3 with --strict.
    """
    from governance.bulkscrub import scrub_command

    return scrub_command(source, out, _columns(options), echo=click.echo, **options)


@main.command()
@IN
@OUT
@TEXT
@click.option("--vault", type=click.Path(path_type=Path), required=True, help="The folder that `scrub` was given.")
@click.option("--session", required=True, help="The id that `scrub` printed, also in its OUT.session.")
@SCRUB_POLICY
@FORCE
@STRICT
@QUIET
@SUMMARY
@guarded
def restore(source: Path, out: Path, **options: Any) -> int:
    """Put the values that `scrub --vault` hid back into the answers in IN."""
    from governance.bulkscrub import restore_command

    return restore_command(source, out, _columns(options), echo=click.echo, **options)


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    return options.pop("columns") or ("text",)


@main.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@guarded
def decrypt(source: Path, out: Path) -> int:
    """Write what is in an encrypted FILE of a run (.enc) into OUT, by the key in STEELYARD_RECORD_KEY."""
    from governance.atrest import read
    from governance.files import write_atomic

    write_atomic(out, read(source))
    return 0
