"""The YAML of `steelyard train`: one model, one recipe, as frozen models. Seen by `cli` and `trainrun` alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from governance.cleanconfig import CleaningConfig
from governance.config import BudgetConfig, Language, Name, ScrubConfig
from governance.configfile import find, read
from governance.modelconfig import Private


class Frozen(BaseModel):
    """A section of the config."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Frozen):
    """Where the rows are, and which column plays which part in the recipe."""

    path: str  # a file, a Hugging Face dataset folder, or package:module/path
    # The recipe's name for it -> column; several: a list, or the names that the recipe shall know them by -> columns.
    columns: dict[str, str | tuple[str, ...] | dict[str, str]] = Field(default_factory=dict)
    unit: str | None = None  # column of a user's id; only its codes are kept
    rows: PositiveInt | None = None  # None: all
    name: str | None = None
    licence: str | None = None
    budget: BudgetConfig | None = None


class PublicConfig(Frozen):
    """Rows that are nobody's secret, with the same columns: for early stopping, and figures that cost no privacy."""

    path: str
    rows: PositiveInt | None = None


class TrainingConfig(BaseModel):
    """A recipe and how it is trained; every key that isn't here is a setting of the recipe's own."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    recipe: str
    base: str | None = None  # a folder of pretrained weights, a GGUF file, or package:module/path
    learning_rate: PositiveFloat | None = None  # of recipes that train by gradient steps
    new_rate: PositiveFloat = 1.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    epochs: PositiveInt = 1  # without privacy; a private run counts steps
    batch: PositiveInt = 32
    physical: PositiveInt = 64
    average: Annotated[float, Field(ge=0, le=1)] = 0.0
    bf16: bool = False
    processes: PositiveInt = 1  # that share each step
    launcher: Literal["torchrun", "ray"] = "torchrun"  # who starts them
    patience: PositiveInt | None = None  # looks at the public rows without a lower loss, one every 20 steps

    @property
    def of_recipe(self) -> Mapping[str, Any]:
        """The recipe's own settings, as given."""
        return dict(self.model_extra or {})

    def of_loop(self) -> dict[str, Any]:
        """The loop's."""
        return self.model_dump(include=set(TrainingConfig.model_fields) - {"recipe", "base", "processes", "launcher"})


class TuningConfig(Frozen):
    """The search that this run is part of; with `mean_runs`, its number of runs was drawn at random beforehand."""

    group: Name
    mean_runs: Annotated[float, Field(ge=1)] | None = None
    distribution: Literal["poisson", "geometric", "logarithmic"] = "poisson"
    tries: dict[str, tuple[str | bool | int | float, ...]] | None = None  # setting of training -> values to choose from

    @model_validator(mode="after")
    def _drawn(self) -> TuningConfig:
        if self.tries is None:
            return self
        if self.mean_runs is None or self.distribution == "poisson":
            raise ValueError(
                "tries: expected mean_runs and distribution geometric or logarithmic beside it, from which the number "
                "of runs is drawn (Poisson's may be none)"
            )
        for name, values in self.tries.items():
            if not values:
                raise ValueError(f"tries.{name}: expected values to choose from")
        return self


class TrainConfig(Frozen):
    """One model to train: on what, by which recipe, how privately, and on whose budget."""

    train: Name
    title: str | None = None
    language: Language = "en"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataConfig
    public: PublicConfig | None = None
    cleaning: CleaningConfig = CleaningConfig()
    scrub: ScrubConfig = ScrubConfig()
    training: TrainingConfig
    private: Private | None = None
    tuning: TuningConfig | None = None
    ledger: str | None = None  # folder of the budget book. [default: beside the data]

    @model_validator(mode="after")
    def _together(self) -> TrainConfig:
        if self.private is None:
            given = {"data.budget": self.data.budget, "tuning": self.tuning, "ledger": self.ledger}
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"{name}: expected none without private; an open run keeps to no privacy budget")
        elif self.private.unit == "user" and self.data.unit is None:
            raise ValueError("data.unit: expected the column of the user's id, with private.unit user")
        if self.tuning is not None and self.tuning.tries is not None and self.public is None:
            raise ValueError("public: expected rows to choose the best run by, with tuning.tries")
        if self.training.patience is not None and self.public is None:
            raise ValueError("public: expected rows to stop by, with training.patience")
        return self


def load_train_config(source: str) -> tuple[TrainConfig, Path]:
    """Read a training config: a path, or the name of one that ships.

    Returns:
        The config and the file it came from; relative paths in it start from that file's folder.

    Raises:
        ConfigError: the message names file and key.
    """
    path = find("training", source)
    return read(TrainConfig, path), path
