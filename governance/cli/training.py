"""Models: train, and what privacy that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from governance.cli.base import SUMMARY, guarded, main


@main.command()
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), default=Path("models"), show_default=True, help="For models.")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what it would cost and stop; exit 1 if it doesn't fit.")
@click.option("--again", is_flag=True, help="Train once more although nothing changed; a private run pays again.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", help="Language of the model card.")
@SUMMARY
@guarded
def train(config: str, **options: Any) -> int:
    """Train the model in CONFIG (a path, or a name that ships), privately or not; resume it if it was cut off.

    A private run tells its noise, steps and what the data's budget book will hold before anything is trained.
    """
    from governance.traincommand import train_command

    return train_command(config, echo=click.echo, **options)


@main.command()
@click.argument("path", metavar="[BOOK-OR-DATASET]", type=click.Path(path_type=Path), default=Path())
@click.option("--plot", type=click.Path(path_type=Path), help="Draw epsilon by run into this SVG file.")
@click.option(
    "--what-if",
    help='A planned run, such as "epsilon=3,sample_rate=0.01,steps=1000" (or sigma=, delta=, cap=, drawn=user, '
    "runs=10,distribution=poisson); exit 1 if it doesn't fit.",
)
@click.option("--set-epsilon", type=float, help="Set the budget, with --delta.")
@click.option("--delta", type=float, help="Of the budget; below 1 over the number of rows.")
@click.option("--unit", type=click.Choice(["record", "user"]), default="record", show_default=True)
@click.option("--holds", help="A head that was kept: exit 2 if the book has been set back since.")
@click.option("--reason", default="", help="Why the budget changes; stays in the book.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@guarded
def budget(path: Path, **options: Any) -> int:
    """Show the privacy budget of a data set: spent, left, and by run."""
    from governance.budgetcommand import budget_command

    return budget_command(path, echo=click.echo, **options)
