"""The audit's classifier: features computed once, a head or upper layers trained on them, privately or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from governance.claims import PrivacyClaim
from governance.dataset import Labels, ModelText, ScrubbedDataset
from governance.files import write_atomic
from governance.training import checkpoint, loop
from governance.training.dp import selftest
from governance.training.dp.draws import Owners
from governance.training.dp.plan import Plan, claim, epsilon_after
from governance.training.encoder import LowerLayers
from governance.training.model import SETTINGS, WEIGHTS, Classifier, Shape, build, save
from governance.training.words import HashedWords

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.budget.account import Account

CLAIM = "claim.json"
CURVE = "curve.json"
POINTS = 8  # of the curve of epsilon by step
LOSS_IS_PRIVATE = "the training loss by step, which is published beside this claim and is private information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        trained_layers: encoder layers above the cut that are trained; 0: the head alone, on pooled states.
        word_buckets: hashed words beside the pooled states; 0: none.
        rank: of LoRA on the trained layers; 0: they are trained in full.
        class_weights: class -> weight; public constants, absent means 1.
        settings: of the loop.
        plan: set for private training.
        publish_loss: keep a private run's training loss in its curve.
    """

    trained_layers: int
    class_weights: Mapping[str, float]
    settings: loop.Settings
    word_buckets: int = 0
    rank: int = 0
    plan: Plan | None = None
    publish_loss: bool = False


@dataclass(frozen=True)
class Features:
    """What a head sees of texts: cached states, and hashed words if it takes them.

    Args:
        lower: the encoder's lower layers.
        language: of the texts.
    """

    lower: LowerLayers
    language: str = "en"

    def inputs(self, texts: Sequence[ModelText], shape: Shape) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
        """A function from positions in `texts` to what the model takes."""
        hidden = self.lower.outputs(texts)
        words: tuple[torch.Tensor, ...] = ()
        if shape.buckets:
            words = _hashed(shape.buckets, self.language, self.lower.cut.base)(texts)
        if shape.trained_layers:
            return lambda rows: (*hidden.batch(rows.numpy()), *(part[rows] for part in words))
        pooled = hidden.pooled()
        return lambda rows: (pooled[rows], *(part[rows] for part in words))


@cache
def _hashed(buckets: int, language: str, base: Path) -> HashedWords:
    """One for all batches: it reads the base's vocabulary."""
    return HashedWords(buckets, language, base)


@dataclass
class Rows:
    """The task: labelled texts behind their features. See `governance.training.task.Task`."""

    model: Classifier
    inputs: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    targets: torch.Tensor
    weights: torch.Tensor
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.targets)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """See `Task`."""
        logits = self.model(*self.inputs(rows))
        return functional.cross_entropy(logits, self.targets[rows], reduction="none") * self.weights[rows]

    def save(self, directory: Path) -> None:
        """See `Task`."""
        save(self.model, directory, self.settings)

    def restore(self, directory: Path) -> None:
        """See `Task`."""
        from safetensors.torch import load_file

        self.model.load_state_dict(load_file(directory / WEIGHTS))


def parts(cached: int, trained: int, layers: int, buckets: int = 0, rank: int = 0) -> str:
    """Which parts are trained, in words.

    >>> parts(4, 0, 6)
    'the head (of 6 layers; layers 1-4 frozen, their outputs computed once; layers 5-6 left out)'
    >>> parts(4, 2, 6, rank=8)
    'LoRA of rank 8 on layers 5-6 and the head (of 6 layers; layers 1-4 frozen, their outputs computed once)'
    """
    what = f"the head, on pooled states and {buckets:,} buckets of hashed words" if buckets else "the head"
    if trained:
        what = f"{f'LoRA of rank {rank} on ' if rank else ''}layers {cached + 1}-{cached + trained} and {what}"
    left_out = f"; layers {cached + trained + 1}-{layers} left out" if cached + trained < layers else ""
    return f"{what} (of {layers} layers; layers 1-{cached} frozen, their outputs computed once{left_out})"


def train(
    recipe: Recipe,
    rows: ScrubbedDataset,
    labels: Labels,
    features: Features,
    directory: Path,
    *,
    charges: loop.Charges | None = None,
    owners: Owners | None = None,
    tick: Callable[[loop.Tick], None] | None = None,
    row_weights: NDArray[np.float64] | None = None,
) -> None:
    """Train on scrubbed rows; leaves weights, settings, learning curve and claim in `directory`.

    Picks up what an interrupted attempt left there: its last checkpoint, with every charged step paid for.

    Args:
        recipe: how.
        rows: what on.
        labels: the task's classes.
        features: what the head sees.
        directory: where; may hold what an interrupted attempt left.
        charges: where a private run's steps are paid for.
        owners: users and their rows, where the plan draws users.
        tick: told of every block of steps.
        row_weights: how much each row counts, shape (n,); for openly trained models alone.

    Raises:
        ValueError: row weights for a private run, whose claim would not cover them.
    """
    if recipe.plan is not None and row_weights is not None:
        raise ValueError("a private run takes no row weights: its claim does not cover what they were made from")
    if (directory / SETTINGS).exists():  # written last: an earlier attempt got as far as its weights
        checkpoint.forget(directory)  # a kill may have left it; it holds a private run's losses
        return
    lower = features.lower
    weights = torch.tensor([recipe.class_weights.get(name, 1.0) for name in labels.classes])
    targets = torch.from_numpy(labels.codes(rows.labels))
    counted = weights[targets] if row_weights is None else weights[targets] * torch.from_numpy(row_weights).float()
    cached = lower.cut.cached_layers
    shape = Shape(len(labels.classes), lower.width, cached, recipe.trained_layers, recipe.word_buckets, recipe.rank)
    torch.manual_seed(recipe.settings.seed)
    model = build(shape, lower.cut.base)
    told = {"max_tokens": lower.cut.max_tokens, "language": features.language, "classes": list(labels.classes)}
    task = Rows(model, features.inputs(rows.texts, shape), targets, counted, told)
    if recipe.plan is not None:
        selftest.check(task)
    ran = loop.run(task, recipe.settings, directory, plan=recipe.plan, charges=charges, owners=owners, tick=tick)
    if recipe.plan is not None:
        extra = (selftest.NOT_COVERED, *((LOSS_IS_PRIVATE,) if recipe.publish_loss else ()))
        trained = parts(cached, recipe.trained_layers, lower.layers, recipe.word_buckets, recipe.rank)
        made = claim(recipe.plan, ran.steps, trained=trained, extra=extra)
        write_atomic(directory / CLAIM, json.dumps(asdict(made), indent=1).encode())
    write_atomic(directory / CURVE, json.dumps(_curve(recipe, ran)).encode())
    task.save(directory)
    checkpoint.forget(directory)


def _curve(recipe: Recipe, ran: loop.Ran) -> list[Mapping[str, float]]:
    if recipe.plan is None:
        return list(ran.curve)
    marks = sorted({max(1, round(ran.steps * k / POINTS)) for k in range(1, POINTS + 1)})
    spent = [{"step": float(mark), "epsilon": epsilon_after(recipe.plan, mark)} for mark in marks]
    # A private run's training loss is itself private information: it stays out unless the config asks for it.
    return [*spent, *ran.curve] if recipe.publish_loss else list(spent)


def note_ledger(directory: Path, account: Account) -> None:
    """Set beside a private run's own epsilon that of all runs on these rows."""
    made = read_claim(directory)
    if made is not None:
        noted = account.noted(made)
        write_atomic(directory / CLAIM, json.dumps(asdict(noted), indent=1).encode())


def read_claim(directory: Path) -> PrivacyClaim | None:
    """The claim that a training run left, if it was private."""
    path = directory / CLAIM
    if not path.exists():
        return None
    fields = json.loads(path.read_bytes())
    points = tuple((float(epsilon), float(delta)) for epsilon, delta in fields["curve"])
    return PrivacyClaim(**{**fields, "not_covered": tuple(fields["not_covered"]), "curve": points})


def read_curve(directory: Path) -> tuple[Mapping[str, float], ...]:
    """The learning curve: loss by step, or epsilon by step for a private run."""
    path = directory / CURVE
    return tuple(json.loads(path.read_bytes())) if path.exists() else ()


def probabilities(
    model: Classifier, features: Features, texts: Sequence[ModelText], *, batch: int = 256
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Class probabilities, shape (n, classes)."""
    model.eval()
    found = []
    inputs = features.inputs(texts, model.shape)
    with torch.inference_mode():
        for rows in torch.arange(len(texts)).split(batch):
            found.append(functional.softmax(model(*inputs(rows)).double(), dim=1).numpy())
    return np.concatenate(found) if found else np.zeros((0, model.shape.classes))
