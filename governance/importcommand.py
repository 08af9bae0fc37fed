"""`steelyard import`: what other tools measured becomes a run of its own, judged and rendered like any other."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from governance.conclude import ID_DIGITS, Result, conclude
from governance.describe import code_version
from governance.errors import ConfigError
from governance.evidence.signing import signing_key
from governance.files import digest_of
from governance.imports import Column, Imported, Log, figures, read_import
from governance.imports.logs import slug
from governance.imports.outcomes import names
from governance.measure import Outcome
from governance.policy import Terms
from governance.progress import Progress
from governance.record import DataEntry, Lineage, ModelEntry, RunRecord
from governance.registry import nearest
from governance.rundir import alone, existing, recorded, run_directory
from governance.store import code_digest, versions

AUDIT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
LONGEST = 40  # characters of a model's name in the record
LIBRARIES = ("steelyard", "numpy", "scipy", "pydantic", "inspect-ai")


@dataclass(frozen=True)
class _Plan:
    """What is to be recorded: every file, and every log under the name that the record gives its model."""

    audit: str
    files: tuple[Imported, ...]
    logs: tuple[tuple[str, Log], ...]
    candidate: str
    incumbent: str | None
    level: float

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model for model, _ in self.logs))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every other model beside the incumbent; without one, the candidate beside every other model."""
        if self.incumbent is not None:
            return [(model, self.incumbent) for model in self.models if model != self.incumbent]
        return [(self.candidate, model) for model in self.models if model != self.candidate]


def import_files(
    sources: Sequence[str],
    *,
    out: Path = Path("runs"),
    name: str = "imported",
    candidate: str | None = None,
    incumbent: str | None = None,
    level: float = 0.95,
    policy: str = "launch",
    waivers: Path | None = None,
    language: str = "en",
    progress: Progress | None = None,
) -> Result:
    """Record what result files hold, judge it and write the reports; the record of unchanged files stands.

    Args:
        sources: paths of result files, or NAME=PATH to call the model of that file otherwise.
        out: folder of all runs.
        name: what to call the audit.
        candidate: the model that the verdict is about; may be left out where the files hold only one.
        incumbent: the system to beat; the others are compared with it.
        level: of the intervals.
        policy: what judges the record, a path or the name of one that ships.
        waivers: their file.
        language: of the reports, "en" or "zh".
        progress: where to say what is being done; absent: nowhere.

    Raises:
        SteelyardError: what the user can mend; the message says how.
    """
    progress = progress or Progress(quiet=True)
    signing_key()  # one that can't be used is told now, not when the record is written
    terms = Terms.load(policy, waivers)
    plan = _plan(sources, name, candidate, incumbent, level)
    digests = {
        "files": [file.digests for file in plan.files],
        "models": [model for model, _ in plan.logs],
        "settings": {"candidate": plan.candidate, "incumbent": plan.incumbent, "level": level},
        "code": code_digest("governance.imports", "governance.importcommand", "governance.statistics"),
        "versions": dict(versions(*LIBRARIES)),
    }
    directory = run_directory(out / name, digest_of(digests)[:ID_DIGITS], again=False)
    record = existing(directory, progress)
    if record is None:
        outcomes = tuple(figures(plan.logs, level=level, pairs=plan.pairs))
        with alone(out / name, progress):
            record = existing(directory, progress) or recorded(
                directory, lambda: _record(plan, outcomes, digests, directory.name)
            )
    return conclude(record, terms, directory, language=language)


def _plan(sources: Sequence[str], name: str, candidate: str | None, incumbent: str | None, level: float) -> _Plan:
    if AUDIT.fullmatch(name) is None:
        raise ConfigError(f"--name: expected small letters, digits and hyphens, at most {LONGEST}, found '{name[:60]}'")
    if not 0 < level < 1:
        raise ConfigError(f"--level: expected a number in (0, 1), found {level:g}")
    files, logs = [], list[tuple[str, Log]]()
    called: dict[str, str] = {}  # name in the record -> as the tools call it
    for source in sources:
        given, path = _named(source)
        file = read_import(path)
        if given is not None and len({log.model for log in file.logs}) > 1:
            raise ConfigError(f"{path}: holds several models, so '{given}=' can't name them")
        for log in file.logs:
            own = given or slug(log.model, LONGEST)
            if called.setdefault(own, log.model) != log.model and given is None:
                raise ConfigError(f"{path}: two models would both be called '{own}'; name one of them: NAME={path}")
            logs.append((own, log))
        files.append(file)
    models = tuple(called)
    if candidate is None and len(models) > 1:
        raise ConfigError(f"--candidate: which of the models is the verdict about? {nearest('', models)}")
    for option, model in (("candidate", candidate), ("incumbent", incumbent)):
        if model is not None and model not in models:
            raise ConfigError(f"--{option}: no model '{model}'. {nearest(model, models)}")
    return _Plan(name, tuple(files), tuple(logs), candidate or models[0], incumbent, level)


def _named(source: str) -> tuple[str | None, Path]:
    """The name that a file's model is given, if any, and the file."""
    name, equals, path = source.partition("=")
    if equals and AUDIT.fullmatch(name) and not Path(source).exists():
        return name, Path(path)
    return None, Path(source)


def _record(plan: _Plan, outcomes: tuple[Outcome, ...], digests: Mapping[str, object], run: str) -> RunRecord:
    installed = dict(versions(*LIBRARIES))
    code, dirty = code_version(installed)
    tools = dict.fromkeys((log.tool, log.version) for _, log in plan.logs)
    tasks = ", ".join(dict.fromkeys(slug(log.task) for _, log in plan.logs))
    return RunRecord(
        audit=plan.audit,
        run=run,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        title=plan.audit,
        task="imported",
        question=f"Measured by other tools: {tasks[:250]}.",
        candidate=plan.candidate,
        incumbent=plan.incumbent,
        data=_data(plan, tasks),
        models=tuple(_entry(model, [log for own, log in plan.logs if own == model]) for model in plan.models),
        outcomes=outcomes,
        lineage=Lineage(
            plan=digest_of(digests),
            config=digest_of(digests["settings"]),
            policy=digest_of(None),  # no text reaches a model, so no scrub policy was used
            code=code,
            dirty=dirty,
            versions={
                "python": platform.python_version(),
                **installed,
                **{f"imported from {tool}": ", ".join(v for own, v in tools if own == tool) for tool, _ in tools},
            },
            hardware="not this machine",
            seed=0,
            parts={
                "code": str(digests["code"]),
                **{
                    f"import {i} {name}": digest
                    for i, file in enumerate(plan.files)
                    for name, digest in file.digests.items()
                },
            },
        ),
    )


def _data(plan: _Plan, tasks: str) -> DataEntry:
    """Samples of all files, each counted once however many models answered it."""
    read, clusters = 0, 0
    for task in dict.fromkeys(slug(log.task) for _, log in plan.logs):
        logs = [log for _, log in plan.logs if slug(log.task) == task and not log.group]
        columns = [log.coverage for log in logs if isinstance(log.coverage, Column)]
        rows = len({key for column in columns for key in column.keys})
        read += max([rows, *(log.asked or 0 for log in logs)])
        clusters += len({cluster for column in columns for cluster in column.clusters})
    found = sorted(file.digest for file in plan.files)
    return DataEntry(
        name=tasks[:200],
        source=", ".join(dict.fromkeys(log.source for _, log in plan.logs))[:200],
        digest=found[0] if len(found) == 1 else f"sha256:{digest_of(found)}",
        rows_read=read,
        rows_empty=0,
        rows_duplicate=0,
        rows_used=read,
        rows_train=0,
        rows_test=read,
        clusters_test=clusters,
        labels={},
        language="und",  # nobody says: ISO 639-2's own word for it
    )


def _entry(model: str, logs: Sequence[Log]) -> ModelEntry:
    sources = " and ".join(dict.fromkeys(log.source for log in logs))
    settings: dict[str, str | int | float | bool | None] = {}
    for log in logs:
        task = slug(log.task)
        settings |= {f"{task}.{key}": value for key, value in log.settings.items() if value is not None}
        called = names(log)
        settings |= {f"{called[score]}.lower_is_better": True for score in sorted(log.lower_is_better)}
    return ModelEntry(
        name=model,
        kind="imported",
        title=logs[0].model,
        source=sources,
        note=f"measured by {sources}, not by Steelyard",
        weighed_on=sum(log.asked or 0 for log in logs if not log.group),
        settings=settings,
    )
