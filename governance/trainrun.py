"""One training run, top to bottom: data, clean, scrub, plan, train, record, card.

Each stage is kept under the digest of its inputs, so a killed run goes on where it was and a finished one is not
repeated. A private run's steps are paid for in the data's budget book before they are taken, whatever becomes of
them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.building import within
from governance.contenders.classifier import told
from governance.errors import BudgetExceeded
from governance.files import write_atomic
from governance.offline import stay_home
from governance.progress import Progress
from governance.rundir import alone
from governance.store import Store
from governance.tables import sampled
from governance.trail import Act, Trail, digest_at, note_spending, spending
from governance.traindata import Rows, Source, cleansed, sealed
from governance.trainfinish import MODEL, Outcome, finish
from governance.trainplan import Outlook, account, check_budget_delta, outlook
from governance.trainprepare import Prepared, prepare
from governance.trainrecord import RECORD, TrainingRecord, load_training
from governance.trainsearch import forget, run_search

if TYPE_CHECKING:
    from governance.budget.account import Account
    from governance.training.dp.plan import Plan
    from governance.training.recipes.base import Fitted, Setting

STORE = ".stages"
ID_DIGITS = 12
PARTIAL = ("histograms.safetensors", "centres.safetensors", "round-*/round.json")
"""What recipes without checkpoints keep of steps that were paid for, until the result is written down."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run.

    Attributes:
        record: what was done.
        directory: model, record, claim and card.
        fresh: trained now, not found.
    """

    record: TrainingRecord
    directory: Path
    fresh: bool


def plan_training(source: str, *, out: Path = Path("models"), progress: Progress | None = None) -> Outlook:
    """What a run would cost: rows are cleaned, nothing is scrubbed, trained, or written into the budget book.

    Raises:
        SteelyardError: what the user can mend; the message says how.
    """
    stay_home()
    prepared = prepare(source)
    return _Training(prepared, out / prepared.config.train, progress or Progress(quiet=True)).outlook()


def run_training(
    source: str,
    *,
    out: Path = Path("models"),
    language: str = "en",
    again: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Run (or resume) the training in a config.

    Args:
        source: path of a config, or the name of one that ships.
        out: folder of all models.
        language: of the model card, "en" or "zh".
        again: train once more although nothing changed; a private run pays again.
        progress: where to say what is being done; absent: nowhere.

    Raises:
        BudgetExceeded: the data set's privacy budget has no room for it.
        SteelyardError: what else the user can mend; the message says how.
    """
    stay_home()
    progress = progress or Progress(quiet=True)
    prepared = prepare(source)
    folder = out / prepared.config.train
    directory = _directory(folder, prepared.identity[:ID_DIGITS], again=again)
    fresh = not (directory / RECORD).exists()
    if fresh:
        with alone(folder, progress):
            fresh = not (directory / RECORD).exists()
            if fresh:

                def train(one: Prepared, place: Path) -> None:
                    with Trail(out).act("training", run=f"{folder.name}/{directory.name}") as act:
                        _Training(one, folder, progress).run(place, language, act)

                if prepared.config.tuning is not None and prepared.config.tuning.tries is not None:
                    run_search(source, prepared, directory, progress, train)
                else:
                    train(prepared, directory)
    forget(directory)
    if not fresh:
        progress.say(f"nothing changed: the model in {directory} stands")
    return Trained(load_training(directory), directory, fresh)


def _directory(folder: Path, identity: str, *, again: bool) -> Path:
    """Where a run of this identity is or goes."""
    places = (folder / name for name in itertools.chain([identity], (f"{identity}-{k}" for k in itertools.count(2))))
    first = next(places)
    if not again:
        return first
    return next(place for place in itertools.chain([first], places) if not (place / RECORD).exists())


@dataclass
class _Training:
    """One run. `run` is the pipeline; every other method is one of its stages."""

    prepared: Prepared
    folder: Path
    progress: Progress

    def __post_init__(self) -> None:
        self.root, self.store = Store(self.folder), Store(self.folder / STORE)

    def run(self, directory: Path, language: str, act: Act) -> None:
        prepared, config = self.prepared, self.prepared.config
        rows = self._sealed(prepared.source, "rows")
        public = None if prepared.public is None else self._sealed(prepared.public, "public rows")
        users = rows.users if prepared.source.cap else None
        ahead = self._outlook(rows.read, len(rows.table), users, own=_book_name(directory))
        for line in ahead.lines():
            self.progress.say(f"  {line}")
        private = config.private
        if private and private.on_budget == "refuse" and ahead.cost and ahead.cost.fits is False:
            raise BudgetExceeded(f"{prepared.path}: private: {ahead.lines()[-1]}. Nothing was trained or spent.")
        for other in self.folder.glob("*.part"):
            if other.name != f"{directory.name}.part":
                self.progress.say(f"  {other} is an attempt with other settings, data or code; what it paid stays paid")
        with self.root.building(directory) as working:
            kept = self.store.root / f"fitted-{directory.name}.json"
            fitted, paid = self._fit(rows, public, ahead.plan, working, kept)
            outcome = Outcome(
                prepared=prepared, rows=rows, public=public, fitted=fitted, paid=paid, seconds=self.progress.seconds
            )
            finish(outcome, working, directory.name, language)
            claim = load_training(working).claim
            claims = {} if claim is None else {config.train: claim}
            act.end(record=digest_at(working / RECORD), epsilon=spending(claims))
        kept.unlink()  # not before: what is paid for can't be trained again

    def outlook(self) -> Outlook:
        """What the run would cost."""
        with self.progress.stage("clean rows"):
            cleaned = cleansed(self.prepared.source)
        return self._outlook(cleaned.read, *cleaned.sizes(self.prepared.source.cap))

    def _outlook(self, read: int, rows: int, users: int | None, *, own: str | None = None) -> Outlook:
        source = self.prepared.source
        check_budget_delta(self.prepared, rows)
        if self.prepared.config.private is None:
            return Outlook(rows, users)
        with self.progress.stage("plan"):
            return outlook(self.prepared, rows, users, sampled(read, source.rows, source.seed), self.store, own=own)

    def _sealed(self, source: Source, name: str) -> Rows:
        prepared, workers = self.prepared, self.prepared.config.scrub.workers
        return within(  # type: ignore[no-any-return]
            str(prepared.path),
            lambda: sealed(
                source,
                prepared.scrub,
                workers=workers,
                store=self.store,
                progress=self.progress,
                name=name.replace(" ", "-"),
            ),
        )

    # -- train --------------------------------------------------------------------------------

    def _fit(
        self, rows: Rows, public: Rows | None, plan: Plan | None, working: Path, kept: Path
    ) -> tuple[Mapping[str, Any], Account | None]:
        """Train, or go on, or read in `kept` what an earlier attempt finished; and the account that paid for it."""
        source = self.prepared.source
        finished = kept.exists() and (working / MODEL).is_dir()
        if plan is not None and not finished:
            _start_over_if_lost(self, rows, plan, working)
        paid = None
        if plan is not None:
            index = sampled(rows.read, source.rows, source.seed)
            paid = within(str(self.prepared.path), lambda: account(self.prepared, plan, index, working))
        if not finished:
            if plan is not None:
                name = self.prepared.config.train
                note_spending(self.folder / working.name.removesuffix(".part"), name, name, plan)
            kept.unlink(missing_ok=True)  # of another attempt, whose weights are gone
            setting = self._setting(rows, public, plan, paid)
            steps = plan.steps if plan else setting.settings.epochs * -(-len(rows.table) // setting.settings.batch)
            with self.progress.stage("train", steps):
                fitted = within(str(self.prepared.path), lambda: self._fitted(rows, working, setting, paid))
            if plan is not None and self.prepared.config.training.processes > 1:  # they paid: the book as it is now
                paid = within(str(self.prepared.path), lambda: account(self.prepared, plan, index, working))
            write_atomic(kept, json.dumps(_packed(fitted), ensure_ascii=False).encode())
        from governance.training import checkpoint

        checkpoint.forget(working)
        return json.loads(kept.read_bytes()), paid

    def _fitted(self, rows: Rows, working: Path, setting: Setting, paid: Account | None) -> Fitted:
        training, recipe = self.prepared.config.training, self.prepared.recipe
        if training.processes == 1:
            return recipe.fit(rows.table, working, setting)
        from governance.training import distributed

        book, run = paid.place if paid else (None, None)
        return distributed.fit(
            training.recipe,
            dataclasses.asdict(recipe),  # type: ignore[call-overload]  # a recipe is a dataclass
            rows.table,
            working,
            setting,
            processes=training.processes,
            launcher=training.launcher,
            book=book,
            run=run,
        )

    def _setting(self, rows: Rows, public: Rows | None, plan: Plan | None, paid: Account | None) -> Setting:
        from governance.training.dp.draws import Owners
        from governance.training.loop import Settings, Tick
        from governance.training.recipes.base import Setting

        config, progress = self.prepared.config, self.progress
        owners = None
        if plan is not None and plan.drawn == "user" and rows.table.units is not None:
            owners = Owners(rows.table.units, plan.cap)

        def tick(tick: Tick) -> None:
            progress.reach(tick.step, told(tick, plan))

        return Setting(
            base=self.prepared.base,
            settings=Settings(
                **config.training.of_loop() | {"learning_rate": config.training.learning_rate or 1.0},
                on_budget=config.private.on_budget if config.private else "refuse",
                seed=config.seed,
            ),
            plan=plan,
            charges=paid,
            owners=owners,
            tick=tick,
            public=None if public is None else public.table,
            language=config.language,
        )


def _start_over_if_lost(training: _Training, rows: Rows, plan: Plan, working: Path) -> None:
    """All steps are paid for, but neither a checkpoint nor a result is there: the weights are lost.

    Going on would give out an untrained model with a claim. What was paid stays paid; the next attempt is another run.
    """
    from governance.budget.account import NAME

    if not (working / NAME).exists() or _weights_kept(working):
        return
    source = training.prepared.source
    known = account(training.prepared, plan, sampled(rows.read, source.rows, source.seed), working)
    if known.charged >= plan.steps:
        training.progress.say("  the steps of an earlier attempt are paid for, but its weights are lost: paying again")
        (working / NAME).unlink()


def _weights_kept(working: Path) -> bool:
    """Whether anything that steps paid for is here: a whole checkpoint, or what a recipe keeps in place of one."""
    from governance.training import checkpoint

    if any(checkpoint.there(folder) for folder in (working, *working.glob("round-*"))):
        return True
    return any(True for pattern in PARTIAL for _ in working.glob(pattern))


def _packed(fitted: Fitted) -> dict[str, Any]:
    """What training left, as JSON."""
    curve = [dict(point) for point in fitted.ran.curve if math.isfinite(point["loss"])]
    claim = None if fitted.claim is None else dataclasses.asdict(fitted.claim)
    ran = {"steps": fitted.ran.steps, "stopped": fitted.ran.stopped, "curve": curve}
    return {**ran, "claim": claim, "trained": fitted.trained, "facts": dict(fitted.facts)}


def _book_name(directory: Path) -> str | None:
    """The name in the budget book of a run that an earlier attempt began."""
    from governance.budget.account import NAME

    name = directory.with_name(f"{directory.name}.part") / NAME
    return name.read_text() if name.exists() else None
