"""What the run of a config can measure, read off the config: nothing is opened but the file itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path

from governance.building import evaluator_of
from governance.config import AuditConfig, load_config
from governance.modelconfig import (
    CallableModel,
    ClassifierModel,
    ClosedModel,
    HFModel,
    MitigatedModel,
    OpenAIModel,
    PredictionsModel,
    SklearnModel,
    TfidfModel,
    VariantModel,
)
from governance.policy.scope import Scope
from governance.tableconfig import KINDS, TableAuditConfig, load_table_config
from governance.taskconfig import TASKS, TaskAuditConfig, load_task_config


def scope_of(source: str) -> Scope:
    """What the run of a config can measure.

    Raises:
        ConfigError: the message names file and key.
    """
    if (of_table := load_table_config(source)) is not None:
        return _of_table(*of_table)
    if (of_task := load_task_config(source)) is not None:
        return _of_task(*of_task)
    return _of_models(*load_config(source))


def _of_table(config: TableAuditConfig, path: Path) -> Scope:
    table = config.table
    evaluator = evaluator_of(f"{path}: settings", table.kind, config.settings, kind="table kind", known=KINDS)
    return Scope(
        audit=config.audit,
        candidate=config.model,
        models={config.model: frozenset()},
        makers={f"table:{table.kind}": _settings(evaluator)},
        groups=table.group_columns,
        roles=frozenset(table.columns),
        positive=table.positive is not None,
        level=config.level,
        language=config.language,
    )


def _of_task(config: TaskAuditConfig, path: Path) -> Scope:
    task = evaluator_of(f"{path}: task", config.task.name, config.task.settings, kind="task", known=TASKS)
    gathered = ("relevant",) if config.data.right is not None else ()
    return Scope(
        audit=config.audit,
        candidate=config.candidate,
        incumbent=config.incumbent,
        models={name: frozenset(_traits(model)) for name, model in config.models.items()},
        makers={f"task:{config.task.name}": _settings(task)} | ({"own": {}} if config.metrics else {}),
        groups=config.data.group_columns,
        roles=frozenset((*config.data.columns, *gathered)),
        level=config.level,
        language=config.language,
    )


def _of_models(config: AuditConfig, path: Path) -> Scope:
    makers = {
        entry.name: _settings(evaluator_of(f"{path}: evaluators.{i}", entry.name, entry.settings))
        for i, entry in enumerate(config.evaluators)
    }
    if config.imports:
        makers["import"] = {}
    return Scope(
        audit=config.audit,
        candidate=config.candidate,
        incumbent=config.incumbent,
        models={name: frozenset(_traits(model)) | _handed_on(model, config) for name, model in config.models.items()},
        bases={name: model.of for name, model in config.models.items() if isinstance(model, MitigatedModel)},
        twins={name: model.twin.of for name, model in config.models.items() if model.twin is not None},
        makers=makers,
        groups=tuple(dict.fromkeys((*config.data.groups, *config.data.bands))),
        positive=config.data.positive is not None,
        level=config.level,
        language=config.language,
    )


def _settings(evaluator: object) -> dict[str, object]:
    """An evaluator's settings, defaults included; those of other packages need not be dataclasses."""
    if not is_dataclass(evaluator):
        return {}
    return {field.name: getattr(evaluator, field.name) for field in fields(evaluator)}


def _handed_on(model: object, config: AuditConfig) -> frozenset[str]:
    """What a model has from the one that it was made from: in 8-bit integers, a private model still is one."""
    if isinstance(model, VariantModel) and model.by == "int8":
        return frozenset(_traits(config.models[model.of])) & {"private"} if model.of in config.models else frozenset()
    return frozenset({"weights"} if isinstance(model, VariantModel) else ())


def _traits(model: object) -> Iterable[str]:
    """What can be asked of a model, as `governance.vocabulary` names what a metric needs."""
    if isinstance(model, TfidfModel | ClassifierModel | MitigatedModel | VariantModel):
        yield "trained"
    if _scored(model):
        yield "scores"
    if isinstance(model, ClosedModel):
        yield "endpoint"
    if isinstance(model, TfidfModel):
        yield "weights"
    if isinstance(model, ClassifierModel) and model.private is not None:
        yield "private"
    if isinstance(model, MitigatedModel):
        yield "mitigated"
    yield from (trait for trait, key in (("twin", "twin"), ("prompts", "other_prompts")) if getattr(model, key, None))
    if isinstance(model, HFModel) and model.head == "causal":
        yield "likelihood"
    timed = not isinstance(model, PredictionsModel) or model.seconds is not None
    if timed:
        yield "seconds"
    if (timed and getattr(model, "price_per_hour", None)) or (
        isinstance(model, ClosedModel) and model.price_per_million_tokens
    ):
        yield "price"


def _scored(model: object) -> bool:
    """Whether a model gives probabilities; of a pipeline that is known once it is loaded."""
    if isinstance(model, PredictionsModel | CallableModel):
        return bool(model.scores)
    if isinstance(model, HFModel):
        return model.head == "classification" or model.protocol == "log-likelihood"
    if isinstance(model, OpenAIModel):
        return model.logprobs
    return isinstance(model, TfidfModel | ClassifierModel | MitigatedModel | VariantModel | SklearnModel)
