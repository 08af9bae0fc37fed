"""Semi-supervised: a classifier teaches itself the classes of rows that have none, where it is sure of them.

Round 0 trains on labelled rows; each later round also on unlabelled ones, as the model before it would label them.

A private run is one run of noisy steps over all rows, shared out among the rounds. Any row may be drawn in each of
them; one without a class, or whose class the last round is not sure of, has loss 0. A row's loss depends on itself and
on weights that earlier, paid steps released, so the steps compose as those of any run, and how many rows are sure stays
private. Where the unlabelled rows are declared public, only round 0 sees private rows: later rounds start from its
released weights, train openly on the public rows alone, and cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, BudgetExceeded, ConfigError
from governance.files import write_atomic
from governance.training import checkpoint, loop
from governance.training.dp import selftest
from governance.training.dp.plan import claim
from governance.training.recipes.base import Column, Fitted, Setting, check_alone
from governance.training.recipes.classes import SETTINGS, ClassTask
from governance.training.recipes.features import TARGET
from governance.training.recipes.logistic import Logistic, VectorClassifier
from governance.training.recipes.lstm_classifier import LSTMClassifier
from governance.training.recipes.mlp import MLP
from governance.training.recipes.texts import TextClassifier
from governance.training.recipes.transformer_classifier import TransformerClassifier

NAME = "self-training"
BASES: Mapping[str, type[Any]] = {made.name: made for made in (Logistic, LSTMClassifier, MLP, TransformerClassifier)}
DONE = "round.json"
PUBLIC = "the unlabelled rows, which are declared public"


@dataclass(frozen=True, kw_only=True)
class SelfTraining:
    """Self-training of one of the small classifiers.

    Attributes:
        classifier: which: "logistic", "mlp", "lstm-classifier" or "transformer-classifier".
        options: its settings.
        unlabelled: what the label column says of a row without a class.
        threshold: probability from which on a class is believed.
        rounds: after the first.
        unlabelled_public: the rows without a class are nobody's secret.
    """

    classifier: str = "logistic"
    options: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: str = ""
    threshold: float = 0.9
    rounds: int = 2
    unlabelled_public: bool = False

    columns: ClassVar[Mapping[str, Column]] = Logistic.columns
    needs_base: ClassVar[bool] = False
    reads_base: ClassVar[bool] = True
    blank: ClassVar[tuple[str, ...]] = (TARGET,)  # a row without a class is what this is about

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Train in rounds; private if the setting has a plan. `model/` is the base recipe's, and its `load` reads it.

        Raises:
            ConfigError: a setting out of range, a plan that does not fit the rows, or a base recipe that there isn't.
            BudgetExceeded: the data set's budget refuses a block of steps.
        """
        check_alone(setting, NAME)
        base, has_class = self._base(), np.array([label != self.unlabelled for label in table.labels[TARGET]])
        if not has_class.any() or has_class.all():
            raise ConfigError(f"{NAME}.unlabelled: expected rows with a class and rows without one")
        task: ClassTask = base.task(table, directory, setting, unlabelled=self.unlabelled)
        private = setting.plan is not None
        rows = _Rows(task, torch.from_numpy(has_class), everyone=private and not self.unlabelled_public)
        parts = self._parts(setting, rows)
        if private:
            selftest.check(rows)
        ran: list[loop.Ran] = []
        for number, (own, charges) in enumerate(parts):
            rows.begin(number, self.threshold, public_only=private and self.unlabelled_public)
            try:
                ran.append(_round(rows, directory / f"round-{number}", own, charges))
            except BudgetExceeded:
                if number == 0 or setting.settings.on_budget == "refuse":
                    raise
                ran.append(loop.Ran(0, (), "the data set's privacy budget"))
            if ran[-1].stopped:
                break
        model = directory / "model"
        model.mkdir(exist_ok=True)
        task.save(model)
        for number in range(len(parts)):
            checkpoint.forget(directory / f"round-{number}")
        facts: dict[str, int | float | str] = {"rounds": len(parts) - 1}
        if not private:
            facts |= {"labelled": int(has_class.sum()), "unlabelled_and_sure": rows.sure}
        return self._told(ran, setting, rows.labelled, facts)

    @staticmethod
    def load(directory: Path, base: Path | None = None) -> TextClassifier | VectorClassifier:
        """The classifier that `fit` left in a folder, as its own recipe loads it.

        Raises:
            BackendError: the folder holds something else.
        """
        try:
            kind = BASES[json.loads((directory / SETTINGS).read_bytes())["recipe"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(
                f"{directory.name}: no classifier that Steelyard trained ({type(error).__name__})"
            ) from None
        found: TextClassifier | VectorClassifier = (
            kind.load(directory, base) if issubclass(kind, Logistic) else kind.load(directory)
        )
        return found

    def _base(self) -> Any:
        if self.classifier not in BASES:
            raise ConfigError(f"{NAME}.classifier: expected one of {', '.join(BASES)}, got '{self.classifier}'")
        if not 0 < self.threshold <= 1 or self.rounds < 1:
            raise ConfigError(f"{NAME}: expected a threshold in (0, 1] and at least 1 round")
        try:
            return BASES[self.classifier](**self.options)
        except TypeError as error:
            raise ConfigError(f"{NAME}.options: {error}") from None

    def _parts(self, setting: Setting, rows: _Rows) -> list[tuple[Setting, loop.Charges | None]]:
        """Each round's setting, and where it pays."""
        plan, charges = setting.plan, setting.charges
        if plan is None:
            return [(setting, None)] * (1 + self.rounds)
        assert charges is not None  # noqa: S101 - narrows the type; who makes a plan makes a place for charges
        if plan.steps < 1 + self.rounds and not self.unlabelled_public:
            raise ConfigError(f"{NAME}: {plan.steps} steps can't be shared out among {1 + self.rounds} rounds")
        if self.unlabelled_public:
            if plan.unit != "record":
                raise ConfigError(f"{NAME}.unlabelled_public: a user may have rows of both kinds; protect records")
            # Fewer rows than planned for, each drawn and hidden as planned.
            private = replace(setting, plan=replace(plan, n=rows.labelled, units=rows.labelled))
            opened = replace(setting, plan=None, charges=None)
            return [(private, charges), *[(opened, None)] * self.rounds]
        ends = [round(plan.steps * i / (1 + self.rounds)) for i in range(2 + self.rounds)]
        shares = pairwise(ends)
        return [(replace(setting, plan=replace(plan, steps=b - a)), _Share(charges, a, b)) for a, b in shares]

    def _told(
        self, ran: list[loop.Ran], setting: Setting, labelled: int, facts: Mapping[str, int | float | str]
    ) -> Fitted:
        curve, before = [], 0
        for part in ran:
            curve += [{**point, "step": point["step"] + before} for point in part.curve]
            before += part.steps
        words, made = f"all parameters of a {self.classifier}, in {len(ran)} rounds", None
        if setting.plan is not None:
            public = self.unlabelled_public
            plan = replace(setting.plan, n=labelled, units=labelled) if public else setting.plan
            extra = (selftest.NOT_COVERED, *([PUBLIC] if public else []))
            made = claim(plan, ran[0].steps if public else before, trained=words, extra=extra)
        return Fitted(loop.Ran(before, tuple(curve), ran[-1].stopped), made, words, facts)


class _Rows:
    """A classifier's task as a round sees it.

    Args:
        task: all rows; class -1 where a row has none.
        has_class: which rows have one, shape (n,).
        everyone: every row takes part in every round, at loss 0 if there is nothing to learn from it.

    Attributes:
        sure: unlabelled rows that this round learns from.
    """

    def __init__(self, task: ClassTask, has_class: torch.Tensor, *, everyone: bool) -> None:
        self._task, self._has_class, self._everyone = task, has_class, everyone
        self.model: nn.Module = task.model
        self.labelled = int(has_class.sum())
        self.sure = 0
        # Before the first round, every row has some class: the self-test could see nothing in losses that are always 0.
        self._codes, self._counts = task.codes.clamp(min=0), torch.ones(task.rows)
        self._index = torch.arange(task.rows)

    @property
    def rows(self) -> int:
        return len(self._index)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Of rows with a class, or believed to have one; else 0."""
        at = self._index[rows]
        return self._task.losses_as(at, self._codes[at]) * self._counts[at]

    def begin(self, number: int, threshold: float, *, public_only: bool) -> None:
        """Choose this round's rows and classes, by the model as it is."""
        counts = self._has_class.clone()
        if number:
            probability, likeliest = self._task.probabilities().max(1)
            believed = ~self._has_class & (probability >= threshold)
            self._codes = torch.where(self._has_class, self._task.codes, likeliest)
            counts = believed if public_only else counts | believed
            self.sure = int(believed.sum())
        self._counts = counts.float()
        self._index = torch.arange(len(counts)) if self._everyone else counts.nonzero().flatten()

    def save(self, directory: Path) -> None:
        self._task.save(directory)

    def restore(self, directory: Path) -> None:
        self._task.restore(directory)


class _Share:
    """One round's part of a run's steps: those from `start` to `stop`.

    A round that a kill cut short pays its lost steps out of its own part.
    """

    def __init__(self, charges: loop.Charges, start: int, stop: int) -> None:
        self._charges, self._start, self._stop = charges, start, stop

    @property
    def charged(self) -> int:
        return min(max(self._charges.charged - self._start, 0), self._stop - self._start)

    def charge(self, steps: int) -> None:
        self._charges.charge(steps)


def _round(rows: _Rows, directory: Path, setting: Setting, charges: loop.Charges | None) -> loop.Ran:
    """Train a round, or read what it left if it was done before a kill."""
    done = directory / DONE
    if done.is_file():
        told = json.loads(done.read_bytes())
        rows.restore(directory)
        return loop.Ran(int(told["steps"]), tuple(told["curve"]), told["stopped"])
    directory.mkdir(parents=True, exist_ok=True)
    if not rows.rows:  # nothing that this round could learn from
        ran = loop.Ran(0, ())
    else:
        ran = loop.run(
            rows,
            setting.settings,
            directory,
            plan=setting.plan,
            charges=charges,
            owners=setting.owners,
            tick=setting.tick,
        )
    rows.save(directory)
    told = {"steps": ran.steps, "curve": [dict(point) for point in ran.curve], "stopped": ran.stopped}
    write_atomic(done, json.dumps(told).encode())
    return ran
