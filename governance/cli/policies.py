"""Policies: check, and sign waivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from governance.cli.base import WAIVER_KEY, guarded, main


@main.group()
def policy() -> None:
    """Check a policy before a run, and sign waivers."""


@policy.command()
@click.argument("paths", metavar="POLICY...", nargs=-1, required=True)
@click.option("--config", help="For the run of this audit config: a file, or a name that ships.")
@click.option("--run", type=click.Path(path_type=Path), help="Against the record of this run.")
@click.option("--waivers", type=click.Path(path_type=Path), help="A file of waivers for these policies.")
@WAIVER_KEY
@click.option("--quiet", is_flag=True, help="Print what is wrong alone.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@guarded
def check(paths: tuple[str, ...], **options: Any) -> int:
    """Explain policies, and tell what can never be measured, never fail or never pass, or is misspelt: exit 2.

    POLICY is a file or a name that ships; of an audit config, its policy and waivers are checked for its run; of a
    file of waivers, their dates and signatures.
    """
    from governance.policycommand import check_command

    return check_command(paths, echo=click.echo, **options)


@policy.command()
@click.argument("waivers", type=click.Path(path_type=Path))
@click.option("--id", "name", required=True, help="Which waiver.")
@click.option("--key", type=click.Path(path_type=Path), help="The private key. [default: STEELYARD_SIGNING_KEY]")
@guarded
def sign(waivers: Path, **options: Any) -> int:
    """Sign one waiver in the file WAIVERS as its approver; nothing else in the file changes."""
    from governance.policycommand import sign_command

    return sign_command(waivers, echo=click.echo, **options)
