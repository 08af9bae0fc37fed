"""The `steelyard` command. Thin: it parses words and prints results; imports what a command needs when it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
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
@LANG
@JSON
@_guarded
def gate(run: Path, *, policy: str | None, waivers: Path | None, lang: str, as_json: bool) -> int:
    """Judge the record of RUN again, by any policy, without running anything."""
    from governance.conclude import gate_run

    result = gate_run(run, policy=policy, waivers=waivers, language=lang)
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


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--data", type=click.Path(path_type=Path), help="Your data; found by itself if there is only one file.")
@click.option("--text", help="Its text column.")
@click.option("--label", help="Its label column.")
@_guarded
def init(directory: Path, *, data: Path | None, text: str | None, label: str | None) -> int:
    """Write a starter config and a CI workflow into DIRECTORY."""
    from governance.starter import write_starter

    for line in write_starter(directory, data=data, text=text, label=label):
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
    """Every model's verdict as a table, where the reports are, and the gate's code."""
    from governance.record import RECORD

    verdict, record = result.verdict, result.record
    if as_json:
        click.echo(json.dumps({**verdict.model_dump(mode="json"), "exit_code": verdict.exit_code}, ensure_ascii=False))
        return
    from reports import terminal

    click.echo(terminal.render(record, verdict, result.policy, language=language) + "\n")
    places = {"report": result.out / "report.html", "cards": result.out / "card", "record": result.directory / RECORD}
    click.echo(terminal.whereabouts(verdict, {name: str(path) for name, path in places.items()}, language=language))
