"""Audits: run, judge, render, import, export."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.cli.base import JSON, LANG, OUT, POLICY, RUN, WAIVER_KEY, WAIVERS, guarded, main

if TYPE_CHECKING:
    from governance.conclude import Result


@main.command()
@click.argument("config")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of runs.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 whenever the audit completed, whatever its verdict.")
@click.option("--again", is_flag=True, help="Make a new record although nothing changed: asks failed rows again.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@LANG
@JSON
@guarded
def audit(config: str, *, out: Path, exit_zero: bool, again: bool, quiet: bool, lang: str, as_json: bool) -> int:
    """Run the audit in CONFIG (a path, or a name that ships such as "quickstart"); resume it if it was cut off."""
    from governance.audit import run_audit
    from governance.progress import Progress

    result = run_audit(config, out=out, language=lang, again=again, progress=Progress(quiet=quiet))
    _show(result, language=lang, as_json=as_json)
    return 0 if exit_zero else result.verdict.exit_code


@main.command()
@click.argument("config")
@click.option(
    "--margin", type=float, default=0.05, show_default=True, help="How much better than its bound a model is."
)
@click.option("--variance", type=float, default=0.1, show_default=True, help="Of paired right answers, row by row.")
@click.option("--correlation", type=float, default=0.02, show_default=True, help="Of two rows of one cluster.")
@click.option("--rate", type=float, default=0.85, show_default=True, help="How often models are right.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Chance that what is true gets proven.")
@click.option("--all", "every", is_flag=True, help="Show all controls of all models.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@guarded
def preflight(config: str, **options: Any) -> int:
    """Tell before a run whether CONFIG has rows enough for its policy, and what its models' answers will cost.

    No model is asked. Exit code 0: the candidate can pass with these rows, and budgets will do; 3: not.
    """
    from governance.preflightcommand import preflight_command

    return preflight_command(config, echo=click.echo, **options)


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
@guarded
def gate(run: Path, *, lang: str, as_json: bool, **options: Any) -> int:
    """Judge the record of RUN again, by any policy, without running anything."""
    from governance.conclude import gate_run

    result = gate_run(run, language=lang, **options)
    _show(result, language=lang, as_json=as_json)
    return result.verdict.exit_code


@main.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--index", "runs", type=click.Path(path_type=Path), help="One page of all runs in this folder instead.")
@click.option("--out", type=click.Path(path_type=Path), help="With --index: its file. [default: index.html in there]")
@click.option("--today", help="With --index: the day that waivers are held against, as YYYY-MM-DD. [default: today]")
@LANG
@guarded
def report(run: Path | None, *, runs: Path | None, out: Path | None, today: str | None, lang: str) -> int:
    """Render the reports of RUN's last judgement again, for example in another language; or a page of all runs."""
    if (run is None) == (runs is None):
        raise click.UsageError("expected RUN, or --index RUNS")
    if runs is not None:
        from governance.indexcommand import index_command

        return index_command(runs, out=out, today=today, lang=lang, echo=click.echo)
    if out is not None or today is not None:
        raise click.UsageError("--out and --today are for --index")
    from governance.conclude import render_again

    assert run is not None  # noqa: S101 - tested above
    click.echo(str(render_again(run, language=lang).out / "report.html"))
    return 0


@main.command()
@click.argument("before", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("now", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write it as a page (HTML) into this file.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write it as Markdown, for a pull request.")
@LANG
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@guarded
def compare(before: Path, now: Path, **options: Any) -> int:
    """Tell what changed from the first RUN to the second: data, models, settings, verdicts, figures with intervals.

    Each is taken as it was last judged. Exit code 0, whatever changed: `gate --baseline` is what judges it.
    """
    from governance.comparecommand import compare_command

    return compare_command(before, now, echo=click.echo, **options)


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
@guarded
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
@guarded
def export(run: Path, out: Path, **options: Any) -> int:
    """Write the figures of RUN in another tool's schema: one file per model, in the folder OUT."""
    from governance.exportcommand import export_run

    for line in export_run(run, out, **options):
        click.echo(line)
    return 0


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--data", type=click.Path(path_type=Path), help="Your data; found by itself if there is only one file.")
@click.option("--text", help="Its text column.")
@click.option("--label", help="Its label column.")
@click.option("--ci", type=click.Choice(["github", "gitlab"]), default="github", help="The CI system to write for.")
@guarded
def init(directory: Path, **options: Any) -> int:
    """Write a starter config and a CI workflow into DIRECTORY."""
    from governance.starter import write_starter

    for line in write_starter(directory, **options):
        click.echo(line)
    return 0


@main.command()
@click.option("--table", is_flag=True, help="Of an audit of a table of decisions.")
@click.option("--task", is_flag=True, help="Of an audit of a task whose answers are words or rankings.")
@click.option("--training", is_flag=True, help="Of a training config.")
@guarded
def schema(*, table: bool, task: bool, training: bool) -> int:
    """Print the JSON Schema of the config, for editors."""
    from governance.config import AuditConfig
    from governance.tableconfig import TableAuditConfig
    from governance.taskconfig import TaskAuditConfig
    from governance.trainconfig import TrainConfig

    model = TrainConfig if training else TaskAuditConfig if task else TableAuditConfig if table else AuditConfig
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
