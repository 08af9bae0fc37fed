"""The audit's YAML, as frozen models. Seen by `cli` and `audit` alone: everything below takes plain arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from governance.cleanconfig import TextCleaning
from governance.configfile import find, read, read_yaml, validate
from governance.errors import ConfigError
from governance.formats import LABEL, TEXT
from governance.modelconfig import Frozen, ModelConfig, Share
from governance.registry import nearest

Kind = TypeVar("Kind", bound=BaseModel)
EVALUATORS: Mapping[str, str] = {
    "anonymity": "evaluators.anonymity:Anonymity",
    "claim": "evaluators.claim:Claim",
    "drivers": "evaluators.drivers:Drivers",
    "explanation": "evaluators.explanation:WordWeights",
    "fairness": "evaluators.fairness:GroupGaps",
    "membership": "evaluators.membership:LossThreshold",
    "mitigation": "evaluators.mitigation:MitigationPrice",
    "own": "evaluators.own:OwnMetrics",
    "personal-data": "evaluators.leakage:PersonalData",
    "quality": "evaluators.tasks.classification:Quality",
    "slices": "evaluators.slices:WorstSlices",
    "twins": "evaluators.twins:TwinPrice",
    "wording": "evaluators.wording:WordingSpread",
}
ON_REQUEST = frozenset({"drivers", "own"})
"""Evaluators that only a config which names them runs: what they look for differs from shop to shop."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Language = Literal["en", "zh"]


class Bands(Frozen):
    """A group made from a number: age -> age band. `edges` [30, 40] gives "under 30", "30-39", "40 and over"."""

    column: str
    edges: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> Bands:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("expected edges in ascending order, each once")
        return self


_OF_COLUMNS = frozenset({"text", "label", "groups", "bands", "cluster", "unit", "id"})


class DataConfig(Frozen):
    """Where the rows are and what each column means. Only `text` ever reaches a model."""

    path: str | None = None  # a file, a Hugging Face dataset folder, or package:module/path
    files: dict[str, str] = Field(default_factory=dict)  # instead: class -> plain text file, one text a line
    text: str = TEXT
    label: str = LABEL
    positive: str | None = None
    groups: tuple[str, ...] = ()
    bands: dict[str, Bands] = Field(default_factory=dict)
    cluster: str | None = None
    unit: str | None = None  # column of a user's id, for privacy by user; only its codes are kept
    id: str | None = None  # column of a row's key, by which files of predictions name it; kept nowhere
    rows: PositiveInt | None = None  # None: all
    test_share: Share = 0.25
    name: str | None = None
    licence: str | None = None
    cleaning: TextCleaning | None = None  # None: texts are taken as they are
    statistics: bool = True  # whether the record describes the scrubbed texts; no privacy claim covers those figures
    budget: BudgetConfig | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """The files as the config names them."""
        return (self.path,) if self.path is not None else tuple(self.files[name] for name in sorted(self.files))

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.path is None) is not bool(self.files):
            raise ValueError("expected either path, a file of rows, or files, a text file for each class")
        if self.files:
            if len(self.files) < 2:
                raise ValueError("files: expected a file for each of two classes or more")
            taken = {key for key in self.model_fields_set if key in _OF_COLUMNS and getattr(self, key)}
            if taken:
                raise ValueError(f"{min(taken)}: expected none beside files: plain texts have no columns")
        return self

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Sensitive columns; every band is one, whether or not `groups` repeats it."""
        return tuple(dict.fromkeys((*self.groups, *self.bands)))

    @model_validator(mode="after")
    def _roles_once(self) -> DataConfig:
        if self.text == self.label:
            raise ValueError("expected text and label to be different columns")
        taken = [name for name in (self.text, self.label) if name in self.groups]
        if taken:
            raise ValueError(f"column '{taken[0]}' can't be a group too")
        return self


class BudgetConfig(Frozen):
    """The most that may be spent on the data set's rows, by all private runs that read them, for good."""

    epsilon: PositiveFloat
    delta: Annotated[float, Field(gt=0, lt=1)]
    unit: Literal["record", "user"] = "record"


class ScrubConfig(Frozen):
    """Which scrub policy, on how many processes."""

    policy: str = "default"
    workers: Annotated[int, Field(ge=1, le=64)] = 2


class EvaluatorConfig(BaseModel):
    """An evaluator's name; every other key is a setting of it, checked when it is built."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings, as given."""
        return dict(self.model_extra or {})


class Audit(Frozen):
    """What every audit has, of models or of a table: a name, a question, a language, a seed, a confidence level."""

    audit: Name
    title: str | None = None
    question: str = ""
    language: Language = "en"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    level: Share = 0.95
    waivers: str | None = None  # a file of waivers, beside this one


class ImportConfig(Frozen):
    """What another tool measured of one of the models: its figures join the record under that model's name."""

    path: str  # Inspect's log, lm-eval's results, or promptfoo's output
    model: Name  # one of the audit's models
    of: str | None = None  # the model in the file, where it holds several
    task: str | None = None  # the only task to take, as the file calls it; None: all


class AuditConfig(Audit):
    """One audit: a question, data, the models weighed, what is measured, and the policy that judges."""

    data: DataConfig
    scrub: ScrubConfig = ScrubConfig()
    models: dict[Name, ModelConfig] = Field(min_length=1)
    candidate: str
    incumbent: str | None = None
    requests_per_month: PositiveInt | None = None  # expected in use, for what a switch would cost
    evaluators: tuple[EvaluatorConfig, ...] = tuple(
        EvaluatorConfig(name=name) for name in sorted(EVALUATORS.keys() - ON_REQUEST)
    )
    imports: tuple[ImportConfig, ...] = ()
    policy: str = "launch"

    @property
    def policy_name(self) -> str:
        """The policy that judges the record."""
        return self.policy

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, raw: Any) -> Any:
        """`evaluators: [quality]` is short for `[{name: quality}]`."""
        if isinstance(raw, dict) and isinstance(raw.get("evaluators"), list):
            entries = [{"name": entry} if isinstance(entry, str) else entry for entry in raw["evaluators"]]
            return {**raw, "evaluators": entries}
        return raw

    @model_validator(mode="after")
    def _named_models(self) -> AuditConfig:
        check_models(self.models, candidate=self.candidate, incumbent=self.incumbent)
        for index, one in enumerate(self.imports):
            if one.model not in self.models:
                raise ValueError(f"imports.{index}.model: no model '{one.model}'. {nearest(one.model, self.models)}")
        for index, entry in enumerate(self.evaluators):
            if [other.name for other in self.evaluators].index(entry.name) != index:
                raise ValueError(f"evaluators.{index}.name: '{entry.name}' stands twice")
        return self


def check_models(models: Mapping[str, Any], **named: str | None) -> None:
    """That what a config names are models of it.

    Args:
        models: the config's.
        named: key -> the model that it names; None: none.

    Raises:
        ValueError: one isn't; the message has the nearest name.
    """
    for key, name in named.items():
        if name is not None and name not in models:
            raise ValueError(f"{key}: no model '{name}'. {nearest(name, models)}")


def read_if(kind: type[Kind], key: str, source: str) -> tuple[Kind, Path] | None:
    """Read a config if it has the key that makes it one of this kind.

    Args:
        kind: of audit.
        key: that only such a config has.
        source: a path, or the name of one that ships.

    Returns:
        None: it is one of another kind, or can't be read at all, which `load_config` tells.

    Raises:
        ConfigError: the message names file and key.
    """
    try:
        path = find("audits", source)
        raw = read_yaml(path)
    except ConfigError:
        return None
    return (validate(kind, raw, path), path) if key in raw else None


def load_config(source: str) -> tuple[AuditConfig, Path]:
    """Read an audit config: a path, or the name of one that ships ("quickstart").

    Returns:
        The config and the file it came from; relative paths in it start from that file's folder.

    Raises:
        ConfigError: the message names file and key.
    """
    path = find("audits", source)
    config = read(AuditConfig, path)
    if any(column in config.data.bands for column in (config.data.text, config.data.label)):
        raise ConfigError(f"{path}: data.bands: a band can't have the name of the text or label column")
    return config, path
