"""The rows of an audit of labels: sampled, split by content, scrubbed, kept as one stage; and whose budget they are.

Shard by shard, so that a killed run keeps what it has.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance import atrest
from governance.dataset import ScrubbedDataset
from governance.files import write_atomic
from governance.formats import ClassFiles
from governance.modelconfig import ClassifierModel
from governance.prepare import Plan, source_of
from governance.privacy.shards import scrub_kept
from governance.progress import Progress
from governance.sources import PACKAGE
from governance.store import Store, code_digest, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.budget.account import Account
    from governance.training.dp import plan as dp


@dataclass(frozen=True)
class Rows:
    """Scrubbed rows on both sides of the split, and what was done to get them."""

    train: ScrubbedDataset
    test: ScrubbedDataset
    replaced: Mapping[str, int]  # entity -> pieces
    duplicates: int


def scrubbed_rows(plan: Plan, store: Store, progress: Progress) -> Rows:
    """Sample, split by content, scrub. Shard by shard, so that a killed run keeps what it has."""
    data = plan.config.data
    inputs = {
        "data": plan.digests["data"],
        "roles": dataclasses.asdict(plan.roles),
        "bands": {name: band.model_dump(mode="json") for name, band in data.bands.items()},
        "cleaning": None if data.cleaning is None else data.cleaning.model_dump(mode="json"),
        "language": plan.config.language,
        "rows": data.rows,
        "test_share": data.test_share,
        "seed": plan.config.seed,
        "policy": plan.digests["scrub"],
        "code": code_digest(
            "governance.privacy",
            "governance.sources",
            "governance.dataset",
            "governance.cleaning",
            "governance.encoding",
            "governance.similar",
        ),
        "versions": dict(versions("presidio-analyzer", "spacy", "phonenumbers", "pyarrow")),
    }
    finished = store.path("scrub", inputs)
    split = plan.dataset.split(rows=data.rows, test_share=data.test_share, seed=plan.config.seed)
    if not finished.exists():
        index = np.concatenate([split.train, split.test])
        with progress.stage("scrub", len(index)), store.building(finished) as working:
            texts, replaced = scrub_kept(
                plan.dataset.raw_texts(index),
                plan.scrub,
                workers=plan.config.scrub.workers,
                keep=working / "shards",
                advance=progress.advance,
            )
            sealed = _sealed(plan, index, texts)
            train, test = _one_side(sealed, len(split.train))
            atrest.keep(working / "train.parquet", sealed.take(train).save)
            atrest.keep(working / "test.parquet", sealed.take(test).save)
            write_atomic(working / "replaced.json", json.dumps(replaced, sort_keys=True).encode())
            shutil.rmtree(working / "shards")
    return Rows(
        train=ScrubbedDataset.load(atrest.plain(finished / "train.parquet")),
        test=ScrubbedDataset.load(atrest.plain(finished / "test.parquet")),
        replaced=json.loads((finished / "replaced.json").read_bytes()),
        duplicates=split.duplicates,
    )


def _sealed(plan: Plan, index: NDArray[np.int64], texts: Sequence[Any]) -> ScrubbedDataset:
    dataset = plan.dataset
    return ScrubbedDataset(
        rows=dataset.rows[index],
        texts=tuple(texts),
        labels=tuple(dataset.labels[i] for i in index),
        groups={name: tuple(values[i] for i in index) for name, values in dataset.groups.items()},
        clusters=dataset.clusters[index],
        units=None if dataset.units is None else dataset.units[index],
    )


def _one_side(rows: ScrubbedDataset, train: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of training and held-out rows, the first `train` rows being the former.

    Scrubbing can make texts equal that were split apart ("call [PHONE_NUMBER]"): these all join the training rows.
    """
    folded = [" ".join(text.text.casefold().split()) for text in rows.texts]
    seen = set(folded[:train])
    moved = np.array([position >= train and folded[position] in seen for position in range(len(rows))], dtype=bool)
    first = np.arange(len(rows)) < train
    return np.flatnonzero(first | moved), np.flatnonzero(~first & ~moved)


def run_account(audit: Plan, rows: NDArray[np.int64], name: str, working: Path, plan: dp.Plan) -> Account:
    """A private run's account in the budget book of the data, keyed by the raw rows that it trains on."""
    from governance.budget.account import open_account
    from governance.budget.place import place_for, state_book
    from governance.budget.runs import Budget
    from governance.tables import marks

    config, budget = audit.config, audit.config.data.budget
    model = config.models[name]
    private = model.private if isinstance(model, ClassifierModel) else None
    source = source_of(config.data, audit.path)
    data = source.place if isinstance(source, ClassFiles) else source
    packaged = config.data.named[0].startswith(PACKAGE)  # such a folder is the installer's, not the user's
    book = state_book(data) if packaged else place_for(data, fallback=state_book(data))
    return open_account(
        book,
        working,
        fingerprint=lambda ledger: dataclasses.replace(ledger.fingerprint(marks(source, rows)), rows=len(rows)),
        spent=dataclasses.replace(plan.spent(plan.steps), cap=1),
        delta=plan.delta,
        label=f"{config.audit}/{name}",
        drawn=plan.drawn,
        cap=plan.cap if plan.unit == "user" else None,
        budget=None if budget is None else Budget(budget.epsilon, budget.delta, budget.unit),
        partial=private is not None and private.on_budget == "stop",
    )
