"""Evidence: verify, sign, and who did what."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from governance.cli.base import RUN, guarded, main

TRUST = click.option(
    "--trust-config", type=click.Path(path_type=Path), help="With --sigstore: which service. [default: the public one]"
)


@main.command()
@RUN
@click.option("--key", "keys", multiple=True, help="A public key (PEM file); may be given again.")
@click.option("--deep", is_flag=True, help="Also make verdicts and reports again, and compare.")
@click.option("--data", type=click.Path(path_type=Path), help="With --deep: the data that was audited.")
@click.option("--model", "models", multiple=True, metavar="NAME=PATH", help="With --deep: weights of a model.")
@click.option("--sigstore", type=click.Path(path_type=Path), help="A folder of bundles, as `attest --sigstore` makes.")
@click.option("--identity", help="With --sigstore: who must have signed.")
@click.option("--issuer", help="With --sigstore: URL of the OpenID provider that must have known them.")
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on stdout.")
@guarded
def verify(run: Path, **options: Any) -> int:
    """Tell what, if anything, was changed, added, removed, renamed or swapped in RUN since it was attested.

    Exit codes: 0 verified, 1 something differs or a signature is wrong, 2 no such run or key, 3 the digests agree but
    nothing vouches for them: it isn't signed, or no key was given.
    """
    from governance.evidencecommand import verify_command

    return verify_command(run, echo=click.echo, **options)


@main.command()
@RUN
@click.option("--key", type=click.Path(path_type=Path), help="The private key. [default: STEELYARD_SIGNING_KEY]")
@click.option("--sigstore", type=click.Path(path_type=Path), help="Have a sigstore service sign, into this folder.")
@TRUST
@guarded
def attest(run: Path, **options: Any) -> int:
    """Sign what nobody has signed in RUN, after checking that it is as it was attested.

    With --sigstore, all of it is signed without a key, in bundles outside RUN; the service is asked over the network,
    and the public one shows what it signs to everybody.
    """
    from governance.evidencecommand import attest_command

    return attest_command(run, echo=click.echo, **options)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@guarded
def keygen(file: Path) -> int:
    """Make a pair of Ed25519 keys: FILE to sign with, FILE.pub to verify with.

    FILE is encrypted if STEELYARD_SIGNING_PASSWORD is set.
    """
    from governance.evidencecommand import keygen_command

    return keygen_command(file, echo=click.echo)


@main.command()
@click.argument("runs", metavar="[RUNS]", type=click.Path(path_type=Path), default=Path("runs"))
@click.option("--holds", help="A head that was kept: exit 2 if the trail has been set back since.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@guarded
def trail(runs: Path, **options: Any) -> int:
    """Show who did what with a folder of runs (or of models), and check that nothing was changed or taken out.

    Exit code 2 if the chain is broken, or a record or verdict is there that the trail doesn't tell of.
    """
    from governance.trailcommand import trail_command

    return trail_command(runs, echo=click.echo, complain=partial(click.echo, err=True), **options)
