"""Rows of known classes seen through a torch model: the task of all small classifiers, and how they are kept."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, ConfigError
from governance.files import write_atomic
from governance.training.recipes.base import Fitted, Setting, fit_by_steps

WEIGHTS = "model.safetensors"
SETTINGS = "model.json"


class ClassTask(ABC):
    """Training rows of known classes.

    Args:
        model: inputs of b rows to logits of shape (b, classes); each row's from its own inputs.
        inputs: row numbers to what the model takes.
        codes: class of each row, shape (n,).
        class_weights: public factor of each class's losses, shape (classes,).
        told: JSON that builds the model again.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Callable[[torch.Tensor], torch.Tensor],
        codes: NDArray[np.int64],
        class_weights: torch.Tensor,
        told: Mapping[str, Any],
    ) -> None:
        self.model, self.rows, self.codes = model, len(codes), torch.from_numpy(codes)
        self._inputs, self.class_weights, self.told = inputs, class_weights, told

    @abstractmethod
    def beside(self, table: ScrubbedTable, directory: Path, setting: Setting) -> ClassTask:
        """Other rows through the same model; `directory` may hold what the first ones left."""

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy of each row, shape (len(rows),)."""
        return self.losses_as(rows, self.codes[rows])

    def losses_as(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The same, were these their classes."""
        logits = self.model(self._inputs(rows))
        return functional.cross_entropy(logits, codes, weight=self.class_weights, reduction="none")

    @torch.no_grad()
    def probabilities(self, batch: int = 256) -> torch.Tensor:
        """Of all rows by the model as it is, without dropout, shape (n, classes)."""
        training = self.model.training
        self.model.eval()
        try:
            parts = [self.model(self._inputs(rows)).softmax(1) for rows in torch.arange(self.rows).split(batch)]
        finally:
            self.model.train(training)
        return torch.cat(parts)

    def save(self, directory: Path) -> None:
        """Weights (safetensors) and settings (JSON)."""
        save(self.model, self.told, directory)

    def restore(self, directory: Path) -> None:
        """Weights as saved."""
        put(self.model, directory)


def save(model: nn.Module, told: Mapping[str, Any], directory: Path) -> None:
    """Write a model's parameters, each once however many layers share it, and what builds the model again."""
    from safetensors.torch import save as to_bytes

    found = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    write_atomic(directory / WEIGHTS, to_bytes(found))
    write_atomic(directory / SETTINGS, json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace"))


@torch.no_grad()
def put(model: nn.Module, directory: Path) -> None:
    """Set a model's parameters to what `save` wrote. Raises KeyError or RuntimeError where they don't fit."""
    from safetensors.torch import load_file

    found = load_file(directory / WEIGHTS)
    for name, parameter in model.named_parameters():
        parameter.copy_(found[name])


def told_by(directory: Path, recipe: str) -> Any:
    """What was told beside a model. Raises OSError, ValueError or KeyError where it is not that recipe's."""
    told = json.loads((directory / SETTINGS).read_bytes())
    if told["recipe"] != recipe:
        raise ValueError(f"made by {told['recipe']}")
    return told


def read(directory: Path, recipe: str, build: Callable[[Mapping[str, Any]], nn.Module]) -> tuple[Any, Any]:
    """A saved model, ready to predict, and what was told with it.

    Args:
        directory: that `save` wrote to.
        recipe: that made it.
        build: from what was told to a model.

    Raises:
        BackendError: the folder holds no such model.
    """
    from safetensors import SafetensorError

    try:
        told = told_by(directory, recipe)
        model = build(told)
        put(model, directory)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BackendError(
            f"{directory.name}: not a {recipe} that Steelyard trained ({type(error).__name__})"
        ) from None
    return model.eval(), told


class ClassRecipe(Protocol):
    """A recipe whose task is a `ClassTask`."""

    @property
    def name(self) -> str:
        """As in a config."""

    def task(self, table: ScrubbedTable, directory: Path, setting: Setting) -> ClassTask:
        """Its task on these rows."""


def fit(recipe: ClassRecipe, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
    """Train such a recipe's task on scrubbed rows, private if the setting has a plan.

    Raises:
        ConfigError: there are no rows, or a setting that a private run can't have.
        DataError: a row of a class that is not listed.
    """
    if not len(table):
        raise ConfigError(f"{recipe.name}: expected training rows, found none")
    task = recipe.task(table, directory, setting)
    public = None if setting.public is None else task.beside(setting.public, directory, setting)
    facts = {name: size for name, size in task.told["shape"].items() if name in ("inputs", "tokens", "classes")}
    return fit_by_steps(task, directory, setting, trained="all parameters", public=public, facts=facts)


def weights_of(classes: Sequence[str], weights: Mapping[str, float], *, recipe: str) -> torch.Tensor:
    """Class weights in the order of classes, 1 where the config gives none, shape (classes,).

    Raises:
        ConfigError: a class that isn't one, or a weight that is not positive and finite.
    """
    unknown = sorted(set(weights) - set(classes))
    if unknown:
        raise ConfigError(f"{recipe}.class_weights: '{unknown[0]}' is not one of its classes: {', '.join(classes)}")
    found = torch.tensor([float(weights.get(name, 1.0)) for name in classes])
    if not bool(torch.isfinite(found).all()) or not bool((found > 0).all()):
        raise ConfigError(f"{recipe}.class_weights: expected positive finite numbers")
    return found
