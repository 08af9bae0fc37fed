"""Recipes on pretrained transformers: which parameters are trained, bases from this disk, saving, the whole fit."""

from __future__ import annotations

import dataclasses
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, ConfigError
from governance.files import write_atomic
from governance.training.encoder import quiet
from governance.training.methods import Method, choose, in_words, new_modules
from governance.training.recipes.base import Column, Fitted, Setting, fit_by_steps, mean_loss
from governance.training.recipes.tokens import Rows

BATCH = 32  # rows at once, where a trained model is used
SETTINGS = "recipe.json"
ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Tuning(ABC):
    """A recipe on a pretrained model: which of its parameters are trained, and how a fit goes.

    Attributes:
        method: see `methods.choose`.
        layers: trained from the top, for "last-layers".
        rank: of LoRA's matrices.
        alpha: LoRA's scale is alpha / rank.
        targets: linear layers that get LoRA, by name. [default: peft's for the type of model]
    """

    method: Method = "lora"
    layers: int = 2
    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] = ()

    columns: ClassVar[Mapping[str, Column]]
    needs_base: ClassVar[bool] = True
    uncovered: ClassVar[tuple[str, ...]] = ()  # what of this recipe no privacy claim covers

    def completed(self, table: ScrubbedTable, setting: Setting) -> Self:  # noqa: ARG002 - for recipes that need them
        """The same recipe with every default filled in, as `recall` will give it back."""
        return self

    @abstractmethod
    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """The model to train, seen through whichever rows; of a recipe that is `completed`."""

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """See `Recipe`. What remains is `model/`, for plain transformers, and the recipe's settings beside it."""
        recipe = self.completed(table, setting)
        task_of = recipe.tasks(setting)
        task = task_of(table)
        public = task_of(setting.public) if setting.public is not None and len(setting.public) else None
        recipe.remember(directory)
        fitted = fit_by_steps(
            task,
            directory,
            setting,
            trained=in_words(task.model, recipe.method),
            public=public,
            facts=task.facts,
            uncovered=recipe.uncovered,
            save=task.finish,
        )
        if public is None:
            return fitted
        public.model = task.model  # merged by now, where LoRA was trained
        loss = mean_loss(public)
        known = {"loss on public rows": loss} if math.isfinite(loss) else {}
        return dataclasses.replace(fitted, facts={**fitted.facts, **known})

    def opened(self, auto: Any, setting: Setting, **options: Any) -> tuple[Any, Any]:
        """The base with exactly what is to be trained requiring a gradient, and its tokenizer.

        Args:
            auto: one of transformers' AutoModelFor classes: which head the base gets.
            setting: names the base, and the seed of what starts from nothing.
            options: for the model's config.

        Raises:
            BackendError: not a folder with such a model.
            ConfigError: no base is named, or the method does not fit the model.
        """
        if setting.base is None:
            raise ConfigError("training.base: expected a folder of pretrained weights, found none")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.settings.seed)
            model, loading = _from_disk(auto, setting.base, ignore_mismatched_sizes=True, **options)
            missing = {*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])}
            model.starts_new = new_modules(model, missing)
            model = choose(
                model, self.method, layers=self.layers, rank=self.rank, alpha=self.alpha, targets=tuple(self.targets)
            )
        return model, tokenizer_of(setting.base)

    def remember(self, directory: Path) -> None:
        """Write the settings beside the model, for `recall`."""
        told = {"recipe": type(self).__name__, "settings": dataclasses.asdict(self)}
        write_atomic(directory / SETTINGS, json.dumps(told, ensure_ascii=False, indent=1).encode())

    @classmethod
    def recall(cls, directory: Path) -> Self:
        """The settings that a model in this folder was trained with.

        Raises:
            BackendError: the folder holds no model of this recipe.
        """
        try:
            told = json.loads((directory / SETTINGS).read_bytes())
            if told["recipe"] != cls.__name__:
                raise BackendError(
                    f"{directory.name}: expected a model of {cls.__name__}, found one of {told['recipe']}"
                )
            settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told["settings"].items()}
            return cls(**settings)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(
                f"{directory.name}: expected a folder that a recipe left, with {SETTINGS} ({type(error).__name__})"
            ) from None


class TextTask(ABC):
    """A `Task` on a transformers model and its tokenizer.

    Args:
        model: what `Tuning.opened` returned.
        tokenizer: saved with it.
        data: rows of tokens; what `losses` reads.
        facts: for the training record.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, data: Rows, facts: Mapping[str, int | float | str] | None = None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.data = data
        self.rows = len(data)
        self.facts = dict(facts or {})

    @abstractmethod
    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """See `Task`."""

    def save(self, directory: Path) -> None:
        """In transformers' format, or peft's where LoRA is trained: then the adapter and new heads alone."""
        if _is_peft(self.model):
            self._any.save_pretrained(str(directory), save_embedding_layers=False)  # else it asks a hub
        else:
            self._any.save_pretrained(str(directory))
        self.tokenizer.save_pretrained(str(directory))

    def restore(self, directory: Path) -> None:
        """See `Task`."""
        if _is_peft(self.model):
            from peft import set_peft_model_state_dict
            from safetensors.torch import load_file

            set_peft_model_state_dict(self.model, load_file(directory / ADAPTER))
        else:
            saved = type(self._any).from_pretrained(
                str(directory),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
            self.model.load_state_dict(saved.state_dict())

    def finish(self, directory: Path) -> None:
        """Write the model for its users, LoRA merged into the base's weights, so that plain transformers reads it."""
        if _is_peft(self.model):
            self.model = self._any.merge_and_unload()
        self.save(directory)

    @property
    def _any(self) -> Any:
        return self.model


def tokenizer_of(folder: Path) -> Any:
    """A folder's tokenizer; one that knows where in the text its tokens are.

    Raises:
        BackendError: there is none.
    """
    from transformers import AutoTokenizer

    quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"{folder.name}: expected a folder with a tokenizer: {error}") from None
    if not tokenizer.is_fast:
        raise BackendError(f"{folder.name}: expected a fast tokenizer (tokenizer.json), found a slow one")
    return tokenizer


def named_classes(classes: Sequence[str]) -> dict[str, Any]:
    """Options of `Tuning.opened` for a head over named classes; plain transformers then answers by their names."""
    named = dict(enumerate(classes))
    return {"num_labels": len(named), "id2label": named, "label2id": {name: code for code, name in named.items()}}


def trained(auto: Any, directory: Path) -> tuple[Any, Any]:
    """Model, in evaluation mode, and tokenizer, as a fit left them.

    Raises:
        BackendError: the folder holds none.
    """
    model, _ = _from_disk(auto, directory / "model")
    return model.eval(), tokenizer_of(directory / "model")


def _from_disk(auto: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    quiet()
    try:
        return auto.from_pretrained(  # type: ignore[no-any-return]
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(
            f"{folder.name}: expected a model folder with safetensors for {auto.__name__}: {error}"
        ) from None


def each_row(task: TextTask) -> torch.Tensor:
    """Losses of all rows by a trained model, shape (n,)."""
    with torch.inference_mode():
        parts = [task.losses(rows) for rows in torch.arange(task.rows).split(BATCH) if len(rows)]
    return torch.cat([torch.zeros(0), *parts])


def _is_peft(model: Any) -> bool:
    return hasattr(model, "merge_and_unload")
