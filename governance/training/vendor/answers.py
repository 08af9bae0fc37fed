"""A vendor's answers, by the few fields that matter here, each checked: too long, too strange or missing is refused.

After the published API; the names of fields are its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ENDED = ("succeeded", "failed", "cancelled")

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")]
ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,199}$")]
Moment = Annotated[int, Field(ge=0, lt=2**37)]  # seconds since 1970
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Answer(BaseModel):
    """What every answer is: frozen, strict, and whatever else it says left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class StoredFile(Answer):
    """A file at the vendor."""

    id: Id
    bytes: Count
    filename: str
    status: str | None = None
    status_details: str | None = None


class Deleted(Answer):
    """What the vendor says about a deletion."""

    deleted: bool


class JobError(Answer):
    """Why a job failed, in the vendor's words: not to be shown as they are."""

    code: str | None = None
    message: str | None = None


class Hyperparameters(Answer):
    """As the vendor reports them; "auto" until it has chosen."""

    n_epochs: Annotated[int, Field(ge=0)] | Literal["auto"] | None = None
    batch_size: Annotated[int, Field(ge=0)] | Literal["auto"] | None = None
    learning_rate_multiplier: float | Literal["auto"] | None = None


class Job(Answer):
    """A fine-tuning job."""

    id: Id
    status: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    model: ModelId
    created_at: Moment
    training_file: Id
    validation_file: Id | None = None
    finished_at: Moment | None = None
    fine_tuned_model: ModelId | None = None
    trained_tokens: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    error: JobError | None = None
    hyperparameters: Hyperparameters | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def files(self) -> dict[str, str]:
        """Its uploaded files: "training", "validation" -> id."""
        return {"training": self.training_file} | ({"validation": self.validation_file} if self.validation_file else {})

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it."""
        return self.status in ENDED


class Event(Answer):
    """Something that the vendor tells about a job."""

    id: Id
    created_at: Moment
    message: str


class Metrics(Answer):
    """Of a checkpoint."""

    train_loss: float | None = None
    full_valid_loss: float | None = None


class Checkpoint(Answer):
    """A model of an earlier step that may be asked as well."""

    id: Id
    step_number: Count
    fine_tuned_model_checkpoint: ModelId
    metrics: Metrics = Metrics()


class Page(Answer):
    """One page of a list; its entries are not checked yet."""

    data: list[Any]
    has_more: bool | None = None
