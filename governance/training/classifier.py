"""The classifier recipe: an encoder's upper layers and a head, trained privately or not by one setting."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from governance.claims import PrivacyClaim
from governance.dataset import Labels, ScrubbedDataset
from governance.files import write_atomic
from governance.training import private
from governance.training.encoder import Hidden, LowerLayers
from governance.training.model import SETTINGS, Classifier, Shape, save

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLAIM = "claim.json"
CURVE = "curve.json"
HEAD_RATE = 10.0  # the new head learns so many times faster than pretrained layers
WARM_UP = 0.1  # share of steps
STATE = "epoch.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        trained_layers: encoder layers above the cut that are trained; 0: the head alone, on pooled states.
        epochs: non-private passes; a private run counts steps.
        batch: rows a step, non-private.
        learning_rate: of AdamW (non-private) or SGD (private).
        class_weights: class -> weight; public constants, absent means 1.
        plan: set for private training.
        seed: of order and dropout; a private run's draws don't use it.
    """

    trained_layers: int
    epochs: int
    batch: int
    learning_rate: float
    class_weights: Mapping[str, float]
    plan: private.Plan | None
    seed: int


def parts(cached: int, trained: int, layers: int) -> str:
    """Which parts are trained, in words.

    >>> parts(4, 0, 6)
    'the head (of 6 layers; layers 1-4 frozen, their outputs computed once; layers 5-6 left out)'
    """
    what = f"layers {cached + 1}-{cached + trained} and the head" if trained else "the head"
    left_out = f"; layers {cached + trained + 1}-{layers} left out" if cached + trained < layers else ""
    return f"{what} (of {layers} layers; layers 1-{cached} frozen, their outputs computed once{left_out})"


def train(
    recipe: Recipe,
    rows: ScrubbedDataset,
    labels: Labels,
    lower: LowerLayers,
    directory: Path,
    progress: Callable[[int], None] | None = None,
    row_weights: NDArray[np.float64] | None = None,
) -> None:
    """Train on scrubbed rows; leaves weights, settings, learning curve and claim in `directory`.

    Picks up what an interrupted attempt left there: the last finished epoch, or, for a private
    run, the last checkpoint with every charged step paid for. `row_weights`, shape (n,), make rows count more or less;
    for openly trained models alone.

    Raises:
        ValueError: row weights for a private run, whose claim would not cover them.
    """
    if recipe.plan is not None and row_weights is not None:
        raise ValueError("a private run takes no row weights: its claim does not cover what they were made from")
    if (directory / SETTINGS).exists():  # written last: an earlier attempt got as far as its weights
        return
    hidden = lower.outputs(rows.texts)
    targets = torch.from_numpy(labels.codes(rows.labels))
    weights = torch.tensor([recipe.class_weights.get(name, 1.0) for name in labels.classes])
    shape = Shape(len(labels.classes), lower.width, lower.cut.cached_layers, recipe.trained_layers)
    torch.manual_seed(recipe.seed)
    model = Classifier(shape, lower.cut.base)
    inputs = _inputs(hidden, pooled=not recipe.trained_layers)
    if recipe.plan is None:
        counted = weights[targets] if row_weights is None else weights[targets] * torch.from_numpy(row_weights).float()
        curve = _train_openly(model, recipe, inputs, targets, counted, directory, progress)
    else:
        steps = private.train(
            model,
            recipe.plan,
            inputs=inputs,
            targets=targets,
            class_weights=weights,
            learning_rate=recipe.learning_rate,
            directory=directory,
            progress=progress,
        )
        claim = private.claim(recipe.plan, steps)
        write_atomic(directory / CLAIM, json.dumps(asdict(claim), indent=1).encode())
        marks = sorted({max(1, round(steps * k / 8)) for k in range(1, 9)})
        # No losses here: a private run's training loss is itself private information.
        curve = [{"step": mark, "epsilon": private.epsilon_after(recipe.plan, mark)} for mark in marks]
    write_atomic(directory / CURVE, json.dumps(curve).encode())
    save(model, lower.cut, directory, {"classes": list(labels.classes)})
    for left_over in (STATE, private.CHECKPOINT):  # after the weights: charged steps can't be had again
        (directory / left_over).unlink(missing_ok=True)


def read_claim(directory: Path) -> PrivacyClaim | None:
    """The claim that a training run left, if it was private."""
    path = directory / CLAIM
    if not path.exists():
        return None
    fields = json.loads(path.read_bytes())
    return PrivacyClaim(**{**fields, "not_covered": tuple(fields["not_covered"])})


def read_curve(directory: Path) -> tuple[Mapping[str, float], ...]:
    """The learning curve: loss by epoch, or epsilon by step for a private run."""
    path = directory / CURVE
    return tuple(json.loads(path.read_bytes())) if path.exists() else ()


def probabilities(
    model: Classifier, hidden: Hidden, *, batch: int = 256
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Class probabilities, shape (n, classes)."""
    model.eval()
    found = []
    inputs = _inputs(hidden, pooled=not model.shape.trained_layers)
    with torch.inference_mode():
        for rows in torch.arange(len(hidden)).split(batch):
            logits = model(*(value for value in inputs(rows) if value is not None))
            found.append(functional.softmax(logits.double(), dim=1).numpy())
    return np.concatenate(found) if found else np.zeros((0, model.shape.classes))


def _inputs(hidden: Hidden, *, pooled: bool) -> private.Batch:
    if pooled:
        vectors = hidden.pooled()
        return lambda rows: (vectors[rows], None)
    return lambda rows: hidden.batch(rows.numpy())


def _train_openly(
    model: Classifier,
    recipe: Recipe,
    inputs: private.Batch,
    targets: torch.Tensor,
    weights: torch.Tensor,
    directory: Path,
    progress: Callable[[int], None] | None,
) -> list[dict[str, float]]:
    """AdamW with warm-up and linear decay; one checkpoint an epoch, so that a killed run repeats one at most."""
    n = len(targets)
    per_epoch = -(-n // recipe.batch)
    total = per_epoch * recipe.epochs
    head = list(model.head.parameters())
    layers = [p for name, p in model.named_parameters() if not name.startswith("head.")]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.learning_rate * HEAD_RATE}],
        weight_decay=0.01,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (WARM_UP * total + 1), max(0.0, (total - step) / total))
    )
    state = directory / STATE
    curve: list[dict[str, float]] = _resume(model, optimizer, schedule, state, per_epoch)
    for epoch in range(len(curve), recipe.epochs):
        torch.manual_seed(recipe.seed * 1_000 + epoch)  # order and dropout of an epoch don't depend on earlier ones
        model.train()
        loss_sum = 0.0
        for rows in torch.randperm(n).split(recipe.batch):
            optimizer.zero_grad()
            labels = targets[rows]
            logits = model(*(value for value in inputs(rows) if value is not None))
            losses = functional.cross_entropy(logits, labels, reduction="none") * weights[rows]
            losses.mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            loss_sum += float(losses.detach().sum())
            if progress:
                progress(len(rows))
        curve.append({"epoch": float(epoch + 1), "loss": loss_sum / n})
        _keep(model, optimizer, curve, state)
    return curve


def _keep(model: Classifier, optimizer: torch.optim.Optimizer, curve: list[dict[str, float]], path: Path) -> None:
    from safetensors.torch import save as to_bytes

    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{key}": value.contiguous() for key, value in values.items()}
    write_atomic(path, to_bytes(tensors, metadata={"curve": json.dumps(curve)}))


def _resume(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    path: Path,
    per_epoch: int,
) -> list[dict[str, float]]:
    """Load the last finished epoch, if there is one; returns its curve."""
    from safetensors import safe_open

    if not path.exists():
        return []
    states: dict[int, dict[str, torch.Tensor]] = {}
    weights: dict[str, torch.Tensor] = {}
    with safe_open(path, framework="pt") as file:
        curve: list[dict[str, float]] = json.loads(file.metadata()["curve"])
        for name in file.keys():  # noqa: SIM118 - not a mapping
            kind, _, rest = name.partition(".")
            if kind == "model":
                weights[rest] = file.get_tensor(name)
            else:
                number, _, key = rest.partition(".")
                states.setdefault(int(number), {})[key] = file.get_tensor(name)
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    done = len(curve) * per_epoch
    schedule.last_epoch = done
    for group, base, rate in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = float(base) * rate(done)
    return curve
