"""The audit, top to bottom: data, scrub, train, answer, evaluate, record, judge, render.

Each stage's artefact is kept under the digest of its inputs and settings, so a rerun does only
what changed and a killed run continues. `judge` and the renderers read the record alone, so
`conclude` serves a fresh run, a gate and a year-old record alike.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluators.base import HELD_OUT, Draws, Found, Predictions, Probe, Reads, Setting, Subject
from governance.answers import copy_answers, load_answers, save_answers
from governance.asked import load_scrubber, sample, stand, tell_failed
from governance.auditrows import Rows, run_account, scrubbed_rows
from governance.backends.base import Answer, Backend, ByRow, Capability, DecidesByGroup, Rewords, in_parts
from governance.backends.gates import ScrubGate
from governance.backends.prompts import BoundPrompt
from governance.conclude import ID_DIGITS, Result, conclude
from governance.contenders import Contender, Ring, contenders, facts_of
from governance.contenders.base import training_digest
from governance.curves import Curve
from governance.datafacts import DataStatistics
from governance.dataset import ModelText, ScrubbedDataset
from governance.datastats import Texts, statistics_of
from governance.describe import data_entry, lineage
from governance.evidence.signing import signing_key
from governance.files import digest_file, write_atomic
from governance.imports import figures
from governance.inputs import INPUTS, save_inputs, summarise
from governance.measure import Outcome
from governance.modelconfig import ClosedModel
from governance.offline import stay_home
from governance.prepare import Plan, prepare
from governance.progress import Progress
from governance.record import PREDICTIONS, ModelEntry, RunRecord
from governance.rundir import alone, existing, recorded, run_directory
from governance.store import Store, code_digest
from governance.tableaudit import run_table_audit
from governance.tableconfig import load_table_config
from governance.taskaudit import run_task_audit
from governance.taskconfig import load_task_config
from governance.trail import note_spending

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.budget.account import Account
    from governance.privacy.scrubber import Scrubber
    from governance.training.dp import plan as dp

ASKED_AT_ONCE = 64  # between two moves of the progress bar
STORE = ".stages"


def run_audit(
    source: str | Path,
    *,
    out: Path = Path("runs"),
    language: str = "en",
    again: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Run (or resume) the audit in a config, judge it and write the reports.

    Args:
        source: path of a config, or the name of one that ships ("quickstart").
        out: folder of all runs.
        language: of the reports, "en" or "zh".
        again: make a new record even if nothing changed, for example to ask failed rows again;
            finished stages and answers that were paid for are used.
        progress: where to say what is being done; absent: nowhere.

    Sets environment variables that keep this process's libraries offline (`governance.offline`).

    Raises:
        SteelyardError: what the user can mend; the message says how.
    """
    stay_home()
    progress = progress or Progress(quiet=True)
    signing_key()  # one that can't be used is told now, not when the record is written
    if (of_table := load_table_config(str(source))) is not None:
        return run_table_audit(*of_table, out=out, language=language, again=again, progress=progress)
    if (of_task := load_task_config(str(source))) is not None:
        return run_task_audit(*of_task, out=out, language=language, again=again, progress=progress)
    plan = prepare(str(source))
    directory = run_directory(out / plan.config.audit, plan.identity[:ID_DIGITS], again=again)
    record = existing(directory, progress)
    if record is None:
        with alone(out / plan.config.audit, progress):
            # Asked again: another audit may have finished this very run while we waited for it.
            store = Store(out / plan.config.audit / STORE)
            record = existing(directory, progress) or recorded(
                directory, lambda: _Audit(plan, directory, store, progress).run()
            )
    return conclude(record, plan.terms, directory, language=language)


def scrubbed(source: str, out: Path, progress: Progress | None = None) -> tuple[Plan, Rows]:
    """An audit's plan and its scrubbed rows, without training or asking anything; kept for the audit itself."""
    stay_home()
    plan = prepare(source)
    folder = out / plan.config.audit
    audit = _Audit(plan, folder, Store(folder / STORE), progress or Progress(quiet=True))
    return plan, audit.scrub()


@dataclass
class _Audit:
    """One run of a plan. `run` is the pipeline; every other method is one of its stages."""

    plan: Plan
    directory: Path
    store: Store
    progress: Progress

    def run(self) -> RunRecord:
        plan, config = self.plan, self.plan.config
        rows = self.scrub()
        base = {name: (path, plan.digests["bases"][name]) for name, path in plan.bases.items()}
        ring = Ring(
            store=self.store,
            train=rows.train,
            rows_digest=training_digest(rows.train),
            labels=plan.labels,
            language=config.language,
            seed=config.seed,
            base=base,
            prompts=plan.prompts,
            gate=self._gate,
            scrub=plan.digests["scrub"],
            progress=self.progress,
            account=functools.partial(self._account, rows.train.rows),
            given=plan.given,
            vendors=plan.vendors,
            wordings=plan.wordings,
        )
        setting = self._setting(rows)
        probes = [probe for evaluator in plan.evaluators.values() for probe in evaluator.probes(setting)]
        subjects, entries, answers = [], [], {}
        for one in contenders(config.models, ring):
            one.prepare()
            folder = self._answer(one, setting, probes)
            facts = json.loads((folder / "facts.json").read_bytes())
            predictions = load_answers(folder / "answers.parquet", plan.labels)
            subjects.append(self._subject(one, facts, predictions))
            entries.append(one.entry(len(predictions[HELD_OUT]), facts))
            answers[one.name] = folder / "answers.parquet"
        outcomes = self._measure(subjects, setting)
        return self._record(rows, entries, outcomes, answers, self._curves(subjects, setting))

    @cached_property
    def _scrubber(self) -> Scrubber:
        """Loaded when first needed: a run whose stages are all there never needs it."""
        return load_scrubber(self.plan.scrub, self.progress)

    @cached_property
    def _gate(self) -> ScrubGate:
        return ScrubGate(lambda: self._scrubber)

    def _find(self, texts: Sequence[str]) -> list[list[Found]]:
        spans = self._scrubber.find(texts)
        return [[Found(span.entity, span.start, span.end) for span in found] for found in spans]

    # -- data -> scrub ------------------------------------------------------------------------

    def scrub(self) -> Rows:
        """Sample, split by content, scrub; see `governance.auditrows`."""
        return scrubbed_rows(self.plan, self.store, self.progress)

    def _account(self, rows: NDArray[np.int64], name: str, working: Path, plan: dp.Plan) -> Account:
        """A private run's account in the budget book of the data; noted before the first step."""
        opened = run_account(self.plan, rows, name, working, plan)
        note_spending(self.directory, self.plan.config.audit, name, plan)
        return opened

    # -- answer -------------------------------------------------------------------------------

    def _setting(self, rows: Rows) -> Setting:
        config = self.plan.config
        return Setting(
            labels=self.plan.labels,
            train=rows.train,
            test=rows.test,
            find_personal=self._find,
            language=config.language,
            incumbent=config.incumbent,
            level=config.level,
            seed=config.seed,
        )

    def _answer(self, one: Contender, setting: Setting, probes: Sequence[Probe]) -> Path:
        """Ask a model everything: held-out rows and probes. Kept as one stage."""
        held_out = sample(self.plan.config.models[one.name].rows, len(setting.test), self.plan.config.seed)
        asked = [probe for probe in probes if one.trained or not probe.trained_only]
        rows = setting.test.take(held_out)
        rows = dataclasses.replace(rows, texts=tuple(one.shown(rows.texts)))
        asked = [dataclasses.replace(probe, texts=tuple(one.shown(probe.texts))) for probe in asked]
        groups = rows.groups[one.decides_by] if one.decides_by else None
        inputs = {
            "model": one.identity(),
            "rows": [text.text for text in rows.texts],
            "labels": [setting.test.labels[i] for i in held_out],
            "keys": setting.test.rows[held_out].tolist(),
            "clusters": setting.test.clusters[held_out].tolist(),
            "probes": {probe.name: [text.text for text in probe.texts] for probe in asked},
            "scrub": self.plan.digests["scrub"],
            "code": code_digest("governance.answers", "governance.backends.base"),
            **({"groups": list(groups)} if groups else {}),
            **({"wordings": [wording.digest() for wording in one.wordings]} if one.wordings else {}),
        }
        finished = self.store.path("answers", inputs)
        if stand(finished):
            return finished
        backend = one.open()
        try:
            asked = [probe for probe in asked if {Capability.CLASSIFY, *probe.needs} <= backend.capabilities]
            total = (1 + len(one.wordings)) * len(held_out) + sum(len(probe.texts) for probe in asked)
            with self.progress.stage(f"ask {one.name}", total), self.store.building(finished) as working:
                sets = {HELD_OUT: (held_out, self._ask_rows(backend, rows, groups))}
                sets |= {probe.name: (np.arange(len(probe.texts)), self._ask(backend, probe.texts)) for probe in asked}
                for wording in one.wordings:
                    cast("Rewords", backend).reword(wording)
                    sets[_wording(wording)] = (held_out, self._ask_rows(backend, rows, groups))
                failed = sum(answer.failure is not None for _, answers in sets.values() for answer in answers)
                save_answers(working / "answers.parquet", sets, setting.labels, setting.test)
                write_atomic(working / "facts.json", json.dumps({**facts_of(backend), "failed": failed}).encode())
        finally:
            backend.close()
        tell_failed(self.progress, one.name, failed, total)
        return finished

    def _ask_rows(self, backend: Backend, rows: ScrubbedDataset, groups: Sequence[str | None] | None) -> list[Answer]:
        """Answers to rows of the data: by their texts or, where a backend knows rows alone, by their numbers."""
        if Capability.ROWS not in backend.capabilities:
            return self._ask(backend, rows.texts, groups)
        answers = list(cast("ByRow", backend).classify_rows(rows.rows.tolist()))
        self.progress.advance(len(answers))
        return answers

    def _ask(
        self, backend: Backend, texts: Sequence[ModelText], groups: Sequence[str | None] | None = None
    ) -> list[Answer]:
        """Answers in order; groups go to a backend that decides by them, beside the texts."""

        def ask(part: slice) -> Sequence[Answer]:
            if groups is None:
                return backend.classify(texts[part])
            return cast("DecidesByGroup", backend).classify_in_groups(texts[part], groups[part])

        return in_parts(backend, len(texts), ask, part=ASKED_AT_ONCE, advance=self.progress.advance)

    # -- evaluate -> record -------------------------------------------------------------------

    def _subject(self, one: Contender, facts: Mapping[str, Any], predictions: Mapping[str, Predictions]) -> Subject:
        config = self.plan.config.models[one.name]
        price = config.price_per_million_tokens if isinstance(config, ClosedModel) else None
        return Subject(
            name=one.name,
            capabilities=frozenset(Capability(name) for name in facts["capabilities"]),
            answers=predictions,
            trained=one.trained,
            claim=one.claim,
            price_per_hour=config.price_per_hour,
            price_per_million_tokens=(price.read, price.written) if price else None,
            currency=config.currency,
            model=one.open,
            of=one.of,
            mitigates=one.mitigates,
            wordings=self._wordings(one),
            twin_of=config.twin.of if config.twin else None,
            twin_by=config.twin.by if config.twin else None,
            versions=facts.get("versions", {}) if isinstance(config, ClosedModel) else None,
        )

    def _wordings(self, one: Contender) -> dict[str, str]:
        """Prompt -> the name of its answers, where a model is asked by several."""
        others = {wording.prompt.name: _wording(wording) for wording in one.wordings}
        return {self.plan.prompts[one.name].prompt.name: HELD_OUT, **others} if others else {}

    def _measure(self, subjects: Sequence[Subject], setting: Setting) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        for name, evaluator in self.plan.evaluators.items():
            with self.progress.stage(f"measure {name}"):
                outcomes += evaluator.measure(subjects, setting)
        return (*outcomes, *self._imported())

    def _curves(self, subjects: Sequence[Subject], setting: Setting) -> tuple[Curve, ...]:
        drawing = [evaluator for evaluator in self.plan.evaluators.values() if isinstance(evaluator, Draws)]
        return tuple(curve for evaluator in drawing for curve in evaluator.curves(subjects, setting))

    def _imported(self) -> Sequence[Outcome]:
        """What other tools measured, models beside the incumbent where both were."""
        config, incumbent = self.plan.config, self.plan.config.incumbent
        pairs = [(name, incumbent) for name in config.models if incumbent is not None and name != incumbent]
        return figures(self.plan.imports, level=config.level, pairs=pairs)

    def _names(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """What people call the values of slices that evaluators have made."""
        reading = [evaluator for evaluator in self.plan.evaluators.values() if isinstance(evaluator, Reads)]
        return {column: said for evaluator in reading for column, said in evaluator.names().items()}

    def _statistics(self, rows: Rows) -> DataStatistics | None:
        config = self.plan.config
        if not config.data.statistics:
            return None
        with self.progress.stage("describe the data"):
            sides = Texts.of(rows.train), Texts.of(rows.test)
            return statistics_of(*sides, language=config.language, seed=config.seed)

    def _record(
        self,
        rows: Rows,
        entries: Sequence[ModelEntry],
        outcomes: tuple[Outcome, ...],
        answers: Mapping[str, Path],
        curves: tuple[Curve, ...],
    ) -> RunRecord:
        config = self.plan.config
        files = {}
        for name, source in answers.items():
            copied = copy_answers(source, self.directory / PREDICTIONS / f"{name}.parquet")
            files[copied.relative_to(self.directory).as_posix()] = digest_file(copied)
        if len(rows.test):
            files[INPUTS] = digest_file(save_inputs(summarise(rows.test), self.directory))
        return RunRecord(
            audit=config.audit,
            run=self.directory.name,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            title=config.title or config.audit,
            task="classification",
            question=config.question,
            candidate=config.candidate,
            incumbent=config.incumbent,
            requests_per_month=config.requests_per_month,
            data=data_entry(
                self.plan,
                rows.train,
                rows.test,
                replaced=rows.replaced,
                duplicates=rows.duplicates,
                statistics=self._statistics(rows),
            ),
            models=tuple(entries),
            outcomes=outcomes,
            names=self._names(),
            curves=curves,
            lineage=lineage(self.plan),
            files=files,
            seconds=self.progress.seconds,
        )


def _wording(prompt: BoundPrompt) -> str:
    """The name of the answers to held-out rows by another prompt than a model's own."""
    return f"{HELD_OUT} by {prompt.prompt.name}"
