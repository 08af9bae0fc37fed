"""The next item of a customer's history, by an LSTM over the items before it.

A row of the task is a customer: the last `cap` items, with one loss, the mean over positions. So a step draws, bounds
and protects whole customers, whatever they bought, and a private run's unit can be nothing less.

Source: Hidasi et al. (2016), arXiv:1511.06939 (recurrent networks over sessions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from governance.dataset import ScrubbedTable
from governance.errors import ConfigError, DataError
from governance.training.dp.draws import Owners
from governance.training.recipes import classes, vocabulary
from governance.training.recipes.base import Column, Fitted, Setting, fit_by_steps
from governance.training.recipes.lstm_classifier import recurrent
from governance.training.recipes.texts import trimmed
from governance.training.recipes.vocabulary import FIRST, NOTHING, PADDING

NAME = "lstm-recommender"
AT = 10  # hit rate among so many
NOT_COVERED = "how far histories reach back and the catalogue of items, which are taken to be public"


class Net(nn.Module):
    """Item vectors, LSTM, and scores by the same item vectors."""

    starts_new = ()  # everything does: one learning rate

    def __init__(self, shape: Mapping[str, Any], *, private: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape["items"], shape["width"], padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=shape["width"] ** -0.5)  # scores near 0 at first
        self.lstm = recurrent(shape["width"], shape["width"], shape["layers"], private=private)
        self.dropout = nn.Dropout(shape["dropout"])
        self.scores = nn.Linear(shape["width"], shape["items"])
        nn.init.zeros_(self.scores.bias)
        self.scores.weight = self.embedding.weight

    def forward(self, histories: torch.Tensor) -> torch.Tensor:
        """(b, t) items to (b, t, items) scores of what follows each."""
        states, _ = self.lstm(self.dropout(self.embedding(histories)))
        scores: torch.Tensor = self.scores(self.dropout(states))
        return scores


@dataclass(frozen=True, kw_only=True)
class LSTMRecommender:
    """A next-item recommender.

    Attributes:
        items: the catalogue; may be left to the rows in an open run.
        catalogue: a file with one item a line, instead.
        cap: items of one customer at most, the latest.
        hold_out: keep each customer's last item out of training, for hit rate and reciprocal rank.
        width: of an item's vector and of the LSTM's state.
        layers: of the LSTM.
        dropout: of activations.
    """

    items: tuple[str, ...] = ()
    catalogue: str | None = None
    cap: int = 50
    hold_out: bool = True
    width: int = 64
    layers: int = 1
    dropout: float = 0.1

    columns: ClassVar[Mapping[str, Column]] = {"user": Column("id"), "item": Column("id"), "time": Column("number")}
    needs_base: ClassVar[bool] = False

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Train on scrubbed rows, private if the setting has a plan.

        Raises:
            ConfigError: a private run whose plan does not draw customers, or without a catalogue.
            DataError: no customer has two items, or an item is not in the catalogue.
        """
        if self.cap < 2:
            raise ConfigError(f"{NAME}.cap: expected at least 2 items, got {self.cap}")
        names = self._names(table, private=setting.plan is not None)
        found = histories(table, names, self.cap)
        own = setting if setting.plan is None else _by_customer(setting, len(found))
        shape = {"items": FIRST + len(names), "width": self.width, "layers": self.layers, "dropout": self.dropout}
        torch.manual_seed(setting.settings.seed)
        net = Net(shape, private=setting.plan is not None)
        told = {"recipe": NAME, "items": names, "shape": shape, "cap": self.cap}
        shown, last = split(found) if self.hold_out else (found, None)
        task = NextItems(net, shown, told)
        public_rows = None if setting.public is None else histories(setting.public, names, self.cap)
        public = None if public_rows is None else NextItems(net, public_rows, told)
        facts: dict[str, int | float | str] = {"items": len(names)}
        made = fit_by_steps(
            task, directory, own, trained="all parameters", public=public, facts=facts, uncovered=(NOT_COVERED,)
        )
        if setting.plan is not None and made.claim is not None:
            claim = replace(made.claim, n=setting.plan.n, cap=min(self.cap, setting.plan.cap))
            made = replace(made, claim=claim)
        if public_rows is not None:
            return replace(made, facts=facts | ranked(net, *split(public_rows), among="public customers"))
        if setting.plan is None and last is not None:
            return replace(made, facts=facts | ranked(net, shown, last, among="each customer's last item"))
        why = "a private run's own customers would tell of themselves" if setting.plan else "no item was held out"
        return replace(made, facts=facts | {"ranking_not_measured": why})

    def _names(self, table: ScrubbedTable, *, private: bool) -> tuple[str, ...]:
        listed = self.items
        if self.catalogue is not None:
            try:
                listed = tuple(line for line in Path(self.catalogue).read_text("utf-8").splitlines() if line)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{NAME}.catalogue: can't be read ({type(error).__name__})") from None
        return vocabulary.declared(listed, table.labels["item"], private=private, where=f"{NAME}.items")

    @staticmethod
    def load(directory: Path) -> Recommender:
        """The recommender that `fit` left in a folder. Raises `BackendError` where that holds something else."""
        return Recommender(directory)


def histories(table: ScrubbedTable, names: Sequence[str], cap: int) -> NDArray[np.int64]:
    """Each customer's last items in the order of time, padded at the end, shape (customers, cap).

    Customers come in ascending order of their unit, or of their name where the table has no units; rows whose customer
    nobody knows are left out. Rows at the same time keep the order of the table, and rows without a time come first.
    """
    if table.units is not None:
        table = table.take(np.flatnonzero(table.units >= 0))
    items = FIRST + vocabulary.codes(names, table.labels["item"], where=f"{NAME}.items")
    owner = np.unique(table.labels["user"] if table.units is None else table.units, return_inverse=True)[1]
    time = np.where(np.isnan(table.numbers["time"]), -np.inf, table.numbers["time"])
    order = np.lexsort((np.arange(len(items)), time, owner))
    starts = np.searchsorted(owner[order], np.arange(int(owner.max(initial=-1)) + 1))
    found = np.full((len(starts), cap), PADDING, dtype=np.int64)
    for customer, own in enumerate(np.split(items[order], starts[1:]) if len(starts) else []):
        latest = own[-cap:]
        found[customer, : len(latest)] = latest
    return found


def split(found: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Histories without their last item, and that item, which is padding where a history has only one."""
    lengths = (found != PADDING).sum(axis=1)
    rows, at = np.arange(len(found)), np.maximum(lengths - 1, 0)
    last = np.where(lengths > 1, found[rows, at], PADDING)
    shown = found.copy()
    shown[rows, at] = np.where(lengths > 1, PADDING, found[rows, at])
    return shown, last


class NextItems:
    """Customers and their histories, shape (customers, cap)."""

    def __init__(self, model: Net, found: NDArray[np.int64], told: Mapping[str, Any]) -> None:
        if not ((found != PADDING).sum(axis=1) > 1).any():
            raise DataError(f"{NAME}: no customer has two items to learn an order from")
        self.model: nn.Module = model
        self.rows, self._found, self._told = len(found), torch.from_numpy(found), told

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over each customer's own positions, 0 for one with a single item; shape (len(rows),)."""
        found = trimmed(self._found[rows])
        if found.shape[1] < 2:  # nobody has a next item; a position of padding keeps the loss a function of the weights
            found = functional.pad(found, (0, 1), value=PADDING)
        wanted = found[:, 1:]
        scores = masked(self.model(found[:, :-1]))
        there = (wanted != PADDING).float()
        each = functional.cross_entropy(scores.transpose(1, 2), wanted.clamp(min=FIRST), reduction="none")
        return (each * there).sum(1) / there.sum(1).clamp(min=1)

    def save(self, directory: Path) -> None:
        """Weights (safetensors) and settings (JSON)."""
        classes.save(self.model, self._told, directory)

    def restore(self, directory: Path) -> None:
        """Weights as saved."""
        classes.put(self.model, directory)


def masked(scores: torch.Tensor) -> torch.Tensor:
    """Scores that never recommend padding or an unknown item."""
    never = torch.zeros(scores.shape[-1])
    never[[PADDING, NOTHING]] = -1e9
    return scores + never


@torch.no_grad()
def ranked(
    net: nn.Module, shown: NDArray[np.int64], last: NDArray[np.int64], *, among: str
) -> dict[str, int | float | str]:
    """Hit rate at 10 and mean reciprocal rank of the last items among all items, and of popularity's order, as facts.

    Ties count against the model. Customers with a single item are left out.
    """
    kept = np.flatnonzero(last != PADDING)
    if not len(kept):
        return {"ranking_not_measured": "no customer has an item to hold out"}
    net.eval()
    ranks = []
    for part in np.array_split(kept, -(-len(kept) // 64)):
        scores = following(net, torch.from_numpy(shown[part]))
        own = scores.gather(1, torch.from_numpy(last[part])[:, None])
        ranks.append((scores >= own).sum(1).numpy())
    counts = np.bincount(shown[shown != PADDING], minlength=int(max(shown.max(), last.max())) + 1)
    popular = np.array([(counts[FIRST:] >= counts[item]).sum() for item in last[kept]])
    rank = np.concatenate(ranks)
    return {
        "ranking_among": among,
        "ranked_customers": len(kept),
        f"hit_rate_at_{AT}": float((rank <= AT).mean()),
        "mean_reciprocal_rank": float((1 / rank).mean()),
        f"popularity_hit_rate_at_{AT}": float((popular <= AT).mean()),
        "popularity_mean_reciprocal_rank": float((1 / popular).mean()),
    }


def following(net: nn.Module, found: torch.Tensor) -> torch.Tensor:
    """Scores of what follows each history, shape (b, items)."""
    found = trimmed(found)
    scores: torch.Tensor = masked(net(found))
    return scores[torch.arange(len(found)), (found != PADDING).sum(1) - 1]


def _by_customer(setting: Setting, customers: int) -> Setting:
    """The setting for a task whose rows are customers: each is a user with one row, whatever is in it."""
    plan = setting.plan
    assert plan is not None  # noqa: S101 - narrows the type; the caller looked
    if (plan.unit, plan.drawn) != ("user", "user"):
        raise ConfigError(
            f"{NAME}: a history can't be drawn purchase by purchase: set the privacy unit to user, drawn as users; "
            f"got unit {plan.unit}, drawn as {plan.drawn}s"
        )
    if plan.units != customers:
        raise ConfigError(f"{NAME}: the plan draws {plan.units} users, and the rows have {customers}")
    return replace(setting, plan=replace(plan, n=customers, cap=1), owners=Owners(np.arange(customers), 1))


class Recommender:
    """A trained recommender.

    Attributes:
        items: the catalogue, in the order of scores.
    """

    def __init__(self, directory: Path) -> None:
        self._net, told = classes.read(directory, NAME, lambda told: Net(told["shape"], private=False))
        self.items: tuple[str, ...] = tuple(told["items"])
        self._index = {item: FIRST + i for i, item in enumerate(self.items)}
        self._cap = int(told["cap"])

    @torch.no_grad()
    def predict(self, histories: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Probabilities of each item coming next, shape (n, items); items that are not in the catalogue say nothing."""
        rows = np.full((len(histories), self._cap), PADDING, dtype=np.int64)
        for row, history in zip(rows, histories, strict=True):
            latest = [self._index.get(item, NOTHING) for item in history][-self._cap :] or [NOTHING]
            row[: len(latest)] = latest
        parts = [following(self._net, part) for part in torch.from_numpy(rows).split(64) if len(part)]
        scores = torch.cat([torch.zeros(0, FIRST + len(self.items)), *parts])
        return scores[:, FIRST:].softmax(1).double().numpy()

    def rank(self, history: Sequence[str], most: int) -> tuple[str, ...]:
        """The likeliest next items, best first."""
        scores = self.predict([history])[0]
        return tuple(self.items[i] for i in np.argsort(-scores, kind="stable")[:most])
