"""The audit of a task whose answers are words or rankings, top to bottom: scrub, ask, score, record, conclude.

Data, scrubbing, backends, answer cache, record, policy and reports are those of every audit; what differs is that a
row has several texts, that answers are words or scores of candidates, and that a task scores them.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluators.tasks.sheet import Asked, measured
from governance import atrest
from governance.asked import load_scrubber, sample, stand, tell_failed
from governance.backends.base import Answer, Backend, ByRow, Capability, Likelihoods, Ranks, Request, Writes, in_parts
from governance.backends.gates import ScrubGate
from governance.backends.givenreplies import Replies, read_replies
from governance.backends.predictions import row_keys
from governance.building import within
from governance.conclude import ID_DIGITS, Result, conclude
from governance.contenders import Contender, Ring, facts_of
from governance.contenders.tasks import task_contenders
from governance.datafacts import DataStatistics
from governance.dataset import Labels, ModelText, ScrubbedDataset, ScrubbedItems, ScrubbedText, joined
from governance.datastats import Texts, statistics_of
from governance.describe import lineage, task_data_entry
from governance.errors import BackendError
from governance.files import digest_file, digest_of, write_atomic
from governance.measure import Outcome
from governance.modelconfig import PredictionsModel
from governance.privacy.shards import scrub_kept
from governance.progress import Progress
from governance.record import PREDICTIONS, ModelEntry, RunRecord
from governance.rundir import alone, existing, recorded, run_directory
from governance.store import Store, code_digest, versions
from governance.taskanswers import REFERENCES, answered_by, copy_replies, items_of, load_replies, save_replies
from governance.taskconfig import TaskAuditConfig
from governance.taskprepare import TaskPlan, prepare_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluators.tasks.sheet import Answered
    from governance.privacy.scrubber import Scrubber

ASKED_AT_ONCE = 256  # between two moves of the progress bar
STORE = ".stages"
_BETWEEN = {"en": "; ", "zh": "；"}


def run_task_audit(
    config: TaskAuditConfig, path: Path, *, out: Path, language: str, again: bool, progress: Progress
) -> Result:
    """Ask the models, score their answers, judge the record, write the reports; an unchanged record stands.

    Raises:
        SteelyardError: what the user can mend; the message says how.
    """
    plan = prepare_task(config, path)
    directory = run_directory(out / config.audit, plan.identity[:ID_DIGITS], again=again)
    record = existing(directory, progress)
    if record is None:
        with alone(out / config.audit, progress):
            store = Store(out / config.audit / STORE)
            record = existing(directory, progress) or recorded(
                directory, lambda: _TaskAudit(plan, directory, store, progress).run()
            )
    return conclude(record, plan.terms, directory, language=language)


@dataclass
class _TaskAudit:
    """One run of a plan. `run` is the pipeline; every other method is one of its stages."""

    plan: TaskPlan
    directory: Path
    store: Store
    progress: Progress

    def run(self) -> RunRecord:
        items, replaced = self.scrub()
        requests = self._requests(items)
        files, entries, answered = {}, [], []
        for one in self._contenders():
            one.prepare()
            folder = self._answer(one, items, requests)
            given = load_replies(folder / "answers.parquet")
            facts = json.loads((folder / "facts.json").read_bytes())
            entries.append(one.entry(len(given.index), facts))
            answered.append(answered_by(one.name, given, self.plan.config.models[one.name], facts.get("versions", {})))
            copied = copy_replies(
                folder / "answers.parquet", self.directory / PREDICTIONS / f"{one.name}.parquet", items.clusters
            )
            files[copied.relative_to(self.directory).as_posix()] = digest_file(copied)
        with self.progress.stage(f"measure {self.plan.task.name}"):
            outcomes = self._measure(items, answered)
        return self._record(items, replaced, entries, outcomes, files)

    @cached_property
    def _scrubber(self) -> Scrubber:
        """Loaded when first needed: a run whose stages are all there never needs it."""
        return load_scrubber(self.plan.scrub, self.progress)

    @cached_property
    def _gate(self) -> ScrubGate:
        return ScrubGate(lambda: self._scrubber)

    # -- scrub --------------------------------------------------------------------------------

    def scrub(self) -> tuple[ScrubbedItems, Mapping[str, int]]:
        """The rows that are asked, every text of theirs scrubbed; and what that took out, by entity."""
        plan, config = self.plan, self.plan.config
        inputs = {
            "data": plan.digests["data"],
            "roles": config.data.model_dump(mode="json"),
            "order": list(config.data.columns),  # kept shards are matched with texts by their place
            "seed": config.seed,
            "policy": plan.digests["scrub"],
            "code": code_digest(
                "governance.privacy", "governance.items", "governance.sources", "governance.dataset",
                "governance.formats", "governance.encoding",
            ),
            "versions": dict(versions("presidio-analyzer", "spacy", "phonenumbers", "pyarrow")),
        }  # fmt: skip
        finished = self.store.path("scrub", inputs)
        if not finished.exists():
            chosen = plan.items.sample(config.data.rows, config.seed)
            with self.store.building(finished) as working:
                replaced: dict[str, int] = {}
                shards = working / "shards"
                items = plan.items.scrubbed(chosen, lambda raw: self._scrub_texts(raw, shards, replaced))
                atrest.keep(working / "items.parquet", items.save)
                write_atomic(working / "replaced.json", json.dumps(replaced).encode())
                shutil.rmtree(shards)
        return (
            ScrubbedItems.load(atrest.plain(finished / "items.parquet")),
            json.loads((finished / "replaced.json").read_bytes()),
        )

    def _scrub_texts(self, raw: list[str], shards: Path, replaced: dict[str, int]) -> list[ScrubbedText]:
        workers = self.plan.config.scrub.workers
        with self.progress.stage("scrub", len(raw)):
            texts, counts = scrub_kept(
                raw, self.plan.scrub, workers=workers, keep=shards, advance=self.progress.advance
            )
        replaced.update(counts)
        return texts

    # -- ask ----------------------------------------------------------------------------------

    def _requests(self, items: ScrubbedItems) -> list[Request]:
        """Rows as models see them: lists but the candidates in one text."""
        between = _BETWEEN[self.plan.config.language]
        texts = {role: items.texts[role] for role in self.plan.shown if role in items.texts}
        lists = {role: items.lists[role] for role in self.plan.shown if role in items.lists}
        requests = []
        for row in range(len(items)):
            fields: dict[str, ModelText] = {role: values[row] for role, values in texts.items()}
            for role, several in lists.items():
                parts = [part for text in several[row] for part in (between, text)][1:]
                fields[role] = joined(parts)
            candidates = items.lists["candidates"][row] if self.plan.task.ranks else ()
            requests.append(Request(fields, candidates))
        return requests

    def _contenders(self) -> list[Contender]:
        plan, config = self.plan, self.plan.config
        ring = Ring(
            store=self.store,
            train=_nothing(),
            rows_digest=digest_of(None),
            labels=Labels((), None),
            language=config.language,
            seed=config.seed,
            base={name: (path, plan.digests["bases"][name]) for name, path in plan.bases.items()},
            prompts=plan.prompts,
            gate=self._gate,
            scrub=plan.digests["scrub"],
            progress=self.progress,
            account=_no_account,
            vendors=plan.vendors,
        )
        files = {name: model for name, model in config.models.items() if isinstance(model, PredictionsModel)}
        replies = {name: self._file_of(name, model) for name, model in files.items()}
        return task_contenders(config.models, ring, ranks=plan.task.ranks, replies=replies)

    def _file_of(self, name: str, model: PredictionsModel) -> Replies:
        plan = self.plan
        where = f"{plan.path}: models.{name}"
        keys = within(
            str(plan.path), lambda: row_keys(plan.file, plan.config.data.id, plan.items.rows, plan.items.read)
        )
        return cast(
            "Replies",
            within(
                where,
                lambda: read_replies(
                    plan.bases[name],
                    key=model.id,
                    column=model.label,
                    seconds=model.seconds,
                    failure=model.failure,
                    keys=keys,
                    ranks=plan.task.ranks,
                    gate=self._gate,
                ),
            ),
        )

    def _answer(self, one: Contender, items: ScrubbedItems, requests: Sequence[Request]) -> Path:
        """Ask a model every row. Kept as one stage."""
        asked = sample(self.plan.config.models[one.name].rows, len(items), self.plan.config.seed)
        inputs = {
            "model": one.identity(),
            "rows": [_said(requests[i]) for i in asked],
            "keys": items.rows[asked].tolist(),
            "references": [text.text for text in _references(items, asked)],
            "scrub": self.plan.digests["scrub"],
            "code": code_digest("governance.taskanswers", "governance.backends.base"),
        }
        finished = self.store.path("answers", inputs)
        if stand(finished):
            return finished
        backend = one.open()
        try:
            with self.progress.stage(f"ask {one.name}", len(asked)), self.store.building(finished) as working:
                answers = self._ask(one, backend, items.rows[asked], [requests[i] for i in asked])
                failed = sum(answer.failure is not None for answer in answers)
                likely = self._likelihoods(backend, _references(items, asked))
                rows, clusters = items.rows[asked], items.clusters[asked]
                save_replies(working / "answers.parquet", asked, rows, clusters, answers, likely)
                write_atomic(working / "facts.json", json.dumps({**facts_of(backend), "failed": failed}).encode())
        finally:
            backend.close()
        tell_failed(self.progress, one.name, failed, len(asked))
        return finished

    def _ask(
        self, one: Contender, backend: Backend, rows: NDArray[np.int64], requests: Sequence[Request]
    ) -> list[Answer]:
        wanted = Capability.RANK if self.plan.task.ranks else Capability.WRITE
        if not {wanted, Capability.ROWS} & backend.capabilities:
            raise BackendError(
                f"{self.plan.path}: models.{one.name}: the task '{self.plan.task.name}' wants a model that can "
                f"{wanted.value}; this one can {', '.join(sorted(backend.capabilities))}"
            )

        def ask(part: slice) -> Sequence[Answer]:
            if wanted not in backend.capabilities:
                return cast("ByRow", backend).classify_rows(rows[part].tolist())
            if wanted is Capability.RANK:
                return cast("Ranks", backend).rank(requests[part])
            return cast("Writes", backend).write(requests[part])

        found = in_parts(backend, len(requests), ask, part=ASKED_AT_ONCE, advance=self.progress.advance)
        return [_fitting(answer, request) for answer, request in zip(found, requests, strict=True)]

    def _likelihoods(self, backend: Backend, references: Sequence[ModelText]) -> dict[str, list[float]]:
        """How likely the model finds each row's first reference, where it can say so of any."""
        if Capability.LOGPROBS not in backend.capabilities or not references:
            return {}
        told = cast("Likelihoods", backend).logprobs(references)
        kept = [len(one) > 0 for one in told]
        sums = [float(one.sum()) if ok else float("nan") for one, ok in zip(told, kept, strict=True)]
        tokens = [float(len(one)) if ok else float("nan") for one, ok in zip(told, kept, strict=True)]
        letters = [float(len(text.text)) if ok else float("nan") for text, ok in zip(references, kept, strict=True)]
        return dict(zip(REFERENCES, (sums, tokens, letters), strict=True))

    # -- score --------------------------------------------------------------------------------

    def _measure(self, items: ScrubbedItems, answered: Sequence[Answered]) -> tuple[Outcome, ...]:
        plan, config = self.plan, self.plan.config
        asked = Asked(
            task=plan.task,
            items=items_of(items),
            clusters=items.clusters,
            groups=items.groups,
            language=config.language,
            level=config.level,
            seed=config.seed,
            draws=config.draws,
            own=plan.own,
        )
        return tuple(within(f"{plan.path}: metrics", lambda: measured(asked, answered, incumbent=config.incumbent)))

    # -- record -------------------------------------------------------------------------------

    def _statistics(self, items: ScrubbedItems) -> DataStatistics | None:
        config = self.plan.config
        if not config.data.statistics:
            return None
        with self.progress.stage("describe the data"):
            asked = Texts.of_items(items, self.plan.shown)
            return statistics_of(Texts([]), asked, language=config.language, seed=config.seed)

    def _record(
        self,
        items: ScrubbedItems,
        replaced: Mapping[str, int],
        entries: Sequence[ModelEntry],
        outcomes: tuple[Outcome, ...],
        files: Mapping[str, str],
    ) -> RunRecord:
        config = self.plan.config
        return RunRecord(
            audit=config.audit,
            run=self.directory.name,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            title=config.title or config.audit,
            task=self.plan.task.name,
            question=config.question,
            candidate=config.candidate,
            incumbent=config.incumbent,
            requests_per_month=config.requests_per_month,
            data=task_data_entry(self.plan, items, replaced, self._statistics(items)),
            models=tuple(entries),
            outcomes=outcomes,
            lineage=lineage(self.plan),
            files=files,
            seconds=self.progress.seconds,
        )


def _nothing() -> ScrubbedDataset:
    """No rows to train on: a task audit asks models as they are."""
    return ScrubbedDataset(np.zeros(0, dtype=np.int64), (), (), {}, np.zeros(0, dtype=np.int64))


def _no_account(name: str, folder: Path, plan: Any) -> Any:  # noqa: ARG001 - as a ring's
    raise BackendError(f"models.{name}: a task audit trains nothing")


def _said(request: Request) -> list[Any]:
    """A request as a stage's inputs name it."""
    return [{part: text.text for part, text in request.fields.items()}, [text.text for text in request.candidates]]


def _references(items: ScrubbedItems, asked: NDArray[np.int64]) -> list[ModelText]:
    """Each row's first reference, "" where it has none; empty where the task has none at all."""
    found = items.lists.get("references")
    return [] if found is None else [found[i][0] if found[i] else joined(()) for i in asked]


def _fitting(answer: Answer, request: Request) -> Answer:
    """A ranking must have a score for each candidate; what anybody's file says is not believed."""
    if answer.scores is None or not request.candidates or len(answer.scores) == len(request.candidates):
        return answer
    return Answer(failure="its scores are not one per candidate", seconds=answer.seconds, tokens_in=answer.tokens_in,
                  tokens_out=answer.tokens_out, version=answer.version)  # fmt: skip
