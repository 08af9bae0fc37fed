"""The YAML of a task audit: a shop's task whose answers are words or rankings, and the models weighed on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from governance.config import Audit, Bands, EvaluatorConfig, Name, ScrubConfig, check_models, read_if
from governance.modelconfig import Frozen, ModelConfig

TASKS: Mapping[str, str] = {
    "description": "evaluators.tasks.description:Description",
    "generation": "evaluators.tasks.generation:Generation",
    "qa": "evaluators.tasks.qa:Answers",
    "ranking": "evaluators.tasks.ranking:Ranking",
}


class TaskData(Frozen):
    """Where the rows are and what each column means. Group columns never reach a model."""

    path: str  # a file, a Hugging Face dataset folder, or package:module/path
    columns: dict[str, str]  # role of the task -> column
    dialogues: bool = False  # lines of "label, turns, answer" between tabs: columns label, dialogue, answer
    gather: str | None = None  # a role: rows that agree in it are one row with several candidates
    right: str | None = None  # with gather: the column that marks a right candidate with 1
    groups: tuple[str, ...] = ()
    bands: dict[str, Bands] = Field(default_factory=dict)
    cluster: str | None = None
    id: str | None = None  # column of a row's key, by which files of predictions name it
    rows: PositiveInt | None = None  # None: all
    name: str | None = None
    licence: str | None = None
    statistics: bool = True  # whether the record describes the scrubbed texts

    @model_validator(mode="after")
    def _together(self) -> TaskData:
        if self.right is not None and self.gather is None:
            raise ValueError("right: expected gather beside it, the role in which rows of one query agree")
        return self

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Sensitive columns; every band is one."""
        return tuple(dict.fromkeys((*self.groups, *self.bands)))


class MetricConfig(EvaluatorConfig):
    """A metric of the user's own: `name` is "module:Class"; every other key is a setting of the class."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    name: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    code: Annotated[bool, Field(strict=True)] = False  # nothing of the module is run unless this is true

    @model_validator(mode="after")
    def _vouched_for(self) -> MetricConfig:
        if not self.code:
            raise ValueError(
                f"code: expected true, since '{self.name}' is run in this process and may do whatever you may"
            )
        return self


class TaskAuditConfig(Audit):
    """One audit of models that write or rank."""

    task: EvaluatorConfig  # its name; every other key is a setting of the task
    data: TaskData
    scrub: ScrubConfig = ScrubConfig()
    models: dict[Name, ModelConfig] = Field(min_length=1)
    candidate: str
    incumbent: str | None = None
    requests_per_month: PositiveInt | None = None  # expected in use, for what a switch would cost
    metrics: tuple[MetricConfig, ...] = ()
    draws: Annotated[int, Field(ge=200, le=100_000)] = 2000  # resamples behind the intervals
    policy: str | None = None  # None: the one that ships for the task

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, raw: Any) -> Any:
        """`task: qa` is short for `task: {name: qa}`."""
        return (
            {**raw, "task": {"name": raw["task"]}}
            if isinstance(raw, dict) and isinstance(raw.get("task"), str)
            else raw
        )

    @model_validator(mode="after")
    def _named_models(self) -> TaskAuditConfig:
        check_models(self.models, candidate=self.candidate, incumbent=self.incumbent)
        return self

    @property
    def policy_name(self) -> str:
        """The policy that judges the record."""
        return self.policy or f"task-{self.task.name}"


def load_task_config(source: str) -> tuple[TaskAuditConfig, Path] | None:
    """Read a config if it is one of a task audit; None: it is one of another audit, or there is none of that name.

    Raises:
        ConfigError: the message names file and key.
    """
    return read_if(TaskAuditConfig, "task", source)
