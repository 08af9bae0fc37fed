"""What stands beside a trained model: its claim, its record, its card, and nothing that shouldn't."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from governance.budget.ledger import Ledger
from governance.claims import PrivacyClaim
from governance.cleaning import uncovered
from governance.contenders import public_name
from governance.describe import code_version, hardware
from governance.files import digest_file, write_atomic
from governance.formats import read_whole
from governance.tables import rows_digest
from governance.traindata import Rows, Source
from governance.trainplan import book_of
from governance.trainprepare import FILES, Prepared
from governance.trainrecord import CARD, RECORD, Curve, Spending, TrainedRows, TrainingRecord, save_training

if TYPE_CHECKING:
    from governance.budget.account import Account

CLAIM, MODEL = "claim.json", "model"
SETTINGS = "recipe.json"  # beside the model, where a recipe reads both
POINTS = 20  # of the curve of epsilon


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    Attributes:
        prepared: the run.
        rows: trained on.
        public: rows that are nobody's secret.
        fitted: what training left, as JSON.
        paid: the account of a private run.
        seconds: stage -> wall-clock time.
    """

    prepared: Prepared
    rows: Rows
    public: Rows | None
    fitted: Mapping[str, Any]
    paid: Account | None
    seconds: Mapping[str, float]


def finish(outcome: Outcome, working: Path, run: str, language: str) -> None:
    """Clear a training's folder of all but the model, and write claim, card and record into it.

    Args:
        outcome: what there is to say.
        working: folder with `model/` in it.
        run: name that the folder will have.
        language: of the card.
    """
    from reports.training import render

    for entry in working.iterdir():  # caches of what rows look like to a base, unpacked bases, checkpoints
        if entry.is_dir() and entry.name != MODEL:
            shutil.rmtree(entry)
    claim = _claim(outcome)
    if claim is not None:
        write_atomic(working / CLAIM, json.dumps(dataclasses.asdict(claim), indent=1, ensure_ascii=False).encode())
    record = _record(outcome, claim, working, run)
    write_atomic(working / CARD, render(record, language=language))
    kept = (file for file in sorted(working.rglob("*")) if file.is_file())
    files = {file.relative_to(working).as_posix(): digest_file(file) for file in kept}
    files.pop(RECORD, None)  # of an attempt that was cut short here
    save_training(record.model_copy(update={"files": files}), working)


def _claim(outcome: Outcome) -> PrivacyClaim | None:
    """The recipe's claim, with what the run around it adds: what else is not covered, and what the book holds."""
    made, paid, config = outcome.fitted["claim"], outcome.paid, outcome.prepared.config
    if made is None or paid is None:
        return None
    extra = list(uncovered(config.cleaning.made()))
    if config.private is not None and config.private.publish_loss:
        extra.append("the curve of the training loss, which is published with this model")
    tuning = None
    if config.tuning is not None:
        drawn = f", {config.tuning.mean_runs:g} runs on average" if config.tuning.mean_runs else ""
        one = "one run" if config.tuning.tries is None else "the best by the loss on public rows"
        tuning = f"{one} of the search '{config.tuning.group}'{drawn}; the budget book has all of them"
    claim: PrivacyClaim = TypeAdapter(PrivacyClaim).validate_python(made)
    return dataclasses.replace(
        paid.noted(claim),
        not_covered=(*claim.not_covered, *extra),
        tuning=tuning,
    )


def _record(outcome: Outcome, claim: PrivacyClaim | None, working: Path, run: str) -> TrainingRecord:
    prepared, fitted = outcome.prepared, outcome.fitted
    config, training, installed = prepared.config, prepared.config.training, prepared.digests["versions"]
    public = None
    if outcome.public is not None and prepared.public is not None and config.public is not None:
        public = _rows(prepared, outcome.public, prepared.public, config.public.path, prepared.digests["public"])
    private = {} if config.private is None else config.private.model_dump()
    code, dirty = code_version(installed)
    settings = json.loads(json.dumps(dataclasses.asdict(prepared.recipe), default=str))  # type: ignore[call-overload]
    return TrainingRecord(
        name=config.train,
        run=run,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        title=config.title or config.train,
        language=config.language,
        recipe=training.recipe,
        recipe_class=prepared.recipe_class,
        load_from="." if (working / SETTINGS).is_file() else MODEL,
        load_needs_base=prepared.base is not None and "base" in inspect.signature(_load(prepared)).parameters,
        settings=settings | {name: _public(name, value) for name, value in training.of_recipe.items()},
        loop=training.of_loop() | private,
        base=None if training.base is None else public_name(training.base),
        base_digest=prepared.digests["base"],
        trained=fitted["trained"],
        data=_rows(prepared, outcome.rows, prepared.source, config.data.path, prepared.digests["data"]),
        public=public,
        steps=fitted["steps"],
        stopped=fitted["stopped"],
        facts=fitted["facts"],
        curve=_curve(outcome, claim),
        claim=claim,
        spending=_spending(outcome),
        seed=config.seed,
        scrub_policy=prepared.digests["scrub"],
        identity=prepared.identity,
        code=code,
        dirty=dirty,
        code_digest=prepared.digests["code"],
        versions={"python": platform.python_version(), **installed},
        hardware=hardware(),
        seconds=dict(outcome.seconds),
    )


def _load(prepared: Prepared) -> Any:
    return type(prepared.recipe).load  # type: ignore[attr-defined]  # every recipe of ours has one


def _public(name: str, value: Any) -> Any:
    """A setting as a record may hold it: a file by its name, never by a path of this machine."""
    return public_name(value) if name in FILES and isinstance(value, str) else value


def _rows(prepared: Prepared, rows: Rows, source: Source, path: str, digest: str) -> TrainedRows:
    data = prepared.config.data
    own = source is prepared.source
    return TrainedRows(
        name=(data.name if own and data.name else None) or Path(path).name,
        source=public_name(path),
        digest=digest,
        rows_digest=rows_digest(read_whole(source.path).to_batches(), rows.read),
        licence=data.licence if own else None,
        rows_read=rows.read,
        rows_sampled=rows.sampled,
        rows=len(rows.table),
        users=rows.users,
        columns={name: one.column for name, one in source.wanted.items()},
        cleaning=rows.found,
        scrubbed=rows.replaced,
        not_scrubbed=prepared.scrub.not_covered[source.language],
        left_out=rows.left_out,
        hidden=rows.hidden,
    )


def _curve(outcome: Outcome, claim: PrivacyClaim | None) -> Curve:
    loss = tuple((int(point["step"]), point["loss"]) for point in outcome.fitted["curve"])
    private = outcome.prepared.config.private
    if private is None or claim is None:
        return Curve(loss=loss)
    shown = private.publish_loss
    return Curve(
        epsilon=_epsilons(claim),
        loss=loss if shown else (),
        loss_is_private=shown,
        loss_kept_back=bool(loss) and not shown,
    )


def _epsilons(claim: PrivacyClaim) -> tuple[tuple[int, float], ...]:
    """Epsilon after some of the steps, at the claim's delta; the last point is the claim."""
    from governance.budget.accounting import Spent, epsilon_pld

    contributions = (claim.cap or 1) if claim.unit == "user" and claim.drawn == "record" else 1
    steps = sorted({max(1, claim.steps * k // POINTS) for k in range(1, POINTS)} - {claim.steps})
    blocks = [(k, Spent(claim.sigma, claim.sample_rate, k, cap=contributions)) for k in steps]
    early = [(k, min(claim.epsilon, epsilon_pld([block], claim.delta))) for k, block in blocks]
    return (*early, (claim.steps, claim.epsilon))


def _spending(outcome: Outcome) -> Spending | None:
    if outcome.paid is None:
        return None
    ledger = Ledger(book_of(outcome.prepared), create=False)
    budget = ledger.state.budget
    told = None if budget is None else str(budget)
    return Spending(epsilon=outcome.paid.cumulative, runs=outcome.paid.together, budget=told, head=ledger.head)
