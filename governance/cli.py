"""The `steelyard` command. Thin: it parses words and prints results; imports what a command needs when it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from governance.conclude import Result

INTERRUPTED = 130
BROKEN_PIPE = 141
BUG = 4


def _guarded(command: Callable[..., int]) -> Callable[..., NoReturn]:
    """A user's mistake becomes one clear message and its exit code; a bug says where to report it."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> NoReturn:
        from governance.errors import SteelyardError
        from governance.offline import stay_home

        stay_home()
        try:
            code = command(*args, **kwargs)
        except SteelyardError as error:
            click.echo(f"steelyard: {error}", err=True)
            code = error.exit_code
        except KeyboardInterrupt:
            click.echo("\nsteelyard: interrupted; run the same command again to resume", err=True)
            code = INTERRUPTED
        except BrokenPipeError:  # `| head`: whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = BROKEN_PIPE
        except OSError as error:
            # A full disk, a folder without permission: the user's to mend, and nothing done so far is lost.
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"steelyard: {where}{error.strerror or error}; run the same command again to resume", err=True)
            code = 2
        except click.exceptions.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 - the last line of defence; a traceback could quote a record
            click.echo(_bug(error), err=True)
            code = BUG
        sys.exit(code)

    return run


def _bug(error: Exception) -> str:
    """Where an internal error happened: file and line, never the message, which may quote a text."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    if os.environ.get("STEELYARD_TRACEBACK"):
        traceback.print_exception(error)
    return (
        f"steelyard: internal error {type(error).__name__} at {where}. This is a bug in Steelyard: please report this "
        "line with the config. STEELYARD_TRACEBACK=1 shows everything (it may quote your data)."
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="steelyard")
def main() -> None:
    """Weigh a model before a shop ships it.

    Exit codes: 0 pass, 1 a control failed, 2 bad input or config, 3 unproven (not enough evidence), 4 a bug.
    """


LANG = click.option("--lang", type=click.Choice(["en", "zh"]), default="en", help="Language of the reports.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
RUN = click.argument("run", type=click.Path(path_type=Path))
POLICY = click.option("--policy", help="A policy file, or a name that ships. [default: the one it was last judged by]")
WAIVERS = click.option(
    "--waivers", type=click.Path(path_type=Path), help="A file of waivers. [default: those it was last judged with]"
)
WAIVER_KEY = click.option(
    "--waiver-key", "keys", type=click.Path(path_type=Path), multiple=True,
    help="A public key of who may approve waivers; may be given again. [default: STEELYARD_WAIVER_KEYS]",
)  # fmt: skip


@main.command()
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whenever the audit completed, whatever its verdict.")
@click.option("--again", is_flag=True, help="Make a new record although nothing changed: asks failed rows again.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@LANG
@JSON
@_guarded
def audit(config: str, *, out: Path, exit_zero: bool, again: bool, quiet: bool, lang: str, as_json: bool) -> int:
    """Run the audit in CONFIG (a path, or a name that ships such as "quickstart"); resume it if it was cut off."""
    from governance.audit import run_audit
    from governance.progress import Progress

    result = run_audit(config, out=out, language=lang, again=again, progress=Progress(quiet=quiet))
    _show(result, language=lang, as_json=as_json)
    return 0 if exit_zero else result.verdict.exit_code


@main.command()
@RUN
@POLICY
@WAIVERS
@WAIVER_KEY
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="An earlier run: tell what changed since, and judge it."
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="With --baseline: a file that keeps evidence over nights."
)
@LANG
@JSON
@_guarded
def gate(run: Path, *, lang: str, as_json: bool, **options: Any) -> int:
    """Judge the record of RUN again, by any policy, without running anything."""
    from governance.conclude import gate_run

    result = gate_run(run, language=lang, **options)
    _show(result, language=lang, as_json=as_json)
    return result.verdict.exit_code


@main.command()
@RUN
@LANG
@_guarded
def report(run: Path, *, lang: str) -> int:
    """Render the reports of RUN's last judgement again, for example in another language."""
    from governance.conclude import render_again

    click.echo(str(render_again(run, language=lang).out / "report.html"))
    return 0


@main.command("import")
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--name", default="imported", show_default=True, help="What to call the audit.")
@click.option("--candidate", metavar="MODEL", help="Whose verdict it is. [default: the only model]")
@click.option("--incumbent", metavar="MODEL", help="The model that the others are compared with.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--policy", default="launch", show_default=True, help="A policy file, or a name that ships.")
@click.option("--waivers", type=click.Path(path_type=Path), help="A file of waivers.")
@LANG
@JSON
@_guarded
def import_(sources: tuple[str, ...], *, lang: str, as_json: bool, **options: Any) -> int:
    """Record what other tools measured, and judge it: Inspect's logs, lm-eval's results, promptfoo's output.

    NAME=FILE calls the model of that file NAME. The figures are named imported.<task>.<scorer>.
    """
    from governance.importcommand import import_files

    result = import_files(sources, language=lang, **options)
    if not as_json:
        from reports import terminal

        click.echo(terminal.imported(result.record, language=lang) + "\n")
    _show(result, language=lang, as_json=as_json)
    return result.verdict.exit_code


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--data", type=click.Path(path_type=Path), help="Your data; found by itself if there is only one file.")
@click.option("--text", help="Its text column.")
@click.option("--label", help="Its label column.")
@click.option("--ci", type=click.Choice(["github", "gitlab"]), default="github", help="The CI system to write for.")
@_guarded
def init(directory: Path, **options: Any) -> int:
    """Write a starter config and a CI workflow into DIRECTORY."""
    from governance.starter import write_starter

    for line in write_starter(directory, **options):
        click.echo(line)
    return 0


IN = click.argument("source", metavar="IN", type=click.Path(path_type=Path))
OUT = click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
TEXT = click.option("--text", "columns", multiple=True, help="A text column; may be given again. [default: text]")
SCRUB_POLICY = click.option("--policy", default="files", show_default=True, help="A scrub policy: a file, or a name.")
FORCE = click.option("--force", is_flag=True, help="Replace an OUT that something else made.")
STRICT = click.option("--strict", is_flag=True, help="Exit 3 if a row or text could not be passed on.")
QUIET = click.option("--quiet", is_flag=True, help="On stderr nothing but what went wrong.")
SUMMARY = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")


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
@_guarded
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
@_guarded
def restore(source: Path, out: Path, **options: Any) -> int:
    """Put the values that `scrub --vault` hid back into the answers in IN."""
    from governance.bulkscrub import restore_command

    return restore_command(source, out, _columns(options), echo=click.echo, **options)


def _columns(options: dict[str, Any]) -> tuple[str, ...]:
    return options.pop("columns") or ("text",)


@main.command()
@RUN
@OUT
@click.option(
    "--format", "kind", type=click.Choice(["every-eval-ever"]), required=True, help="Whose schema to write it in."
)
@click.option("--organization", default="unknown", show_default=True, help="Who ran the evaluation.")
@click.option(
    "--relationship",
    type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
    default="other",
    show_default=True,
    help="Of that organization to the models.",
)
@_guarded
def export(run: Path, out: Path, **options: Any) -> int:
    """Write the figures of RUN in another tool's schema: one file per model, in the folder OUT."""
    from governance.exportcommand import export_run

    for line in export_run(run, out, **options):
        click.echo(line)
    return 0


@main.command()
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), default=Path("models"), show_default=True, help="For models.")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what it would cost and stop; exit 1 if it doesn't fit.")
@click.option("--again", is_flag=True, help="Train once more although nothing changed; a private run pays again.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", help="Language of the model card.")
@SUMMARY
@_guarded
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
@_guarded
def budget(path: Path, **options: Any) -> int:
    """Show the privacy budget of a data set: spent, left, and by run."""
    from governance.budgetcommand import budget_command

    return budget_command(path, echo=click.echo, **options)


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
@_guarded
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
@_guarded
def attest(run: Path, **options: Any) -> int:
    """Sign what nobody has signed in RUN, after checking that it is as it was attested.

    With --sigstore, all of it is signed without a key, in bundles outside RUN; the service is asked over the network,
    and the public one shows what it signs to everybody.
    """
    from governance.evidencecommand import attest_command

    return attest_command(run, echo=click.echo, **options)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_guarded
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
@_guarded
def trail(runs: Path, **options: Any) -> int:
    """Show who did what with a folder of runs (or of models), and check that nothing was changed or taken out.

    Exit code 2 if the chain is broken, or a record or verdict is there that the trail doesn't tell of.
    """
    from governance.trailcommand import trail_command

    return trail_command(runs, echo=click.echo, complain=partial(click.echo, err=True), **options)


@main.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@_guarded
def decrypt(source: Path, out: Path) -> int:
    """Write what is in an encrypted FILE of a run (.enc) into OUT, by the key in STEELYARD_RECORD_KEY."""
    from governance.atrest import read
    from governance.files import write_atomic

    write_atomic(out, read(source))
    return 0


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
@_guarded
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
@_guarded
def sign(waivers: Path, **options: Any) -> int:
    """Sign one waiver in the file WAIVERS as its approver; nothing else in the file changes."""
    from governance.policycommand import sign_command

    return sign_command(waivers, echo=click.echo, **options)


@main.command()
@click.option("--table", is_flag=True, help="Of an audit of a table of decisions.")
@click.option("--training", is_flag=True, help="Of a training config.")
@_guarded
def schema(*, table: bool, training: bool) -> int:
    """Print the JSON Schema of the config, for editors."""
    from governance.config import AuditConfig
    from governance.tableconfig import TableAuditConfig
    from governance.trainconfig import TrainConfig

    model = TrainConfig if training else TableAuditConfig if table else AuditConfig
    click.echo(json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False))
    return 0


def _show(result: Result, *, language: str, as_json: bool) -> None:
    """Every model's verdict as a table, where the reports are, and the gate's code; and what GitHub asks for."""
    from governance.github import tell_github
    from governance.record import RECORD

    verdict, record = result.verdict, result.record
    tell_github(result, partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps(result.told(), ensure_ascii=False))
        return
    from reports import terminal

    shown = terminal.render(record, verdict, result.policy, changes=result.terms.changes, language=language)
    click.echo(shown + "\n")
    places = {"report": result.out / "report.html", "cards": result.out / "card", "record": result.directory / RECORD}
    click.echo(terminal.whereabouts(verdict, {name: str(path) for name, path in places.items()}, language=language))
