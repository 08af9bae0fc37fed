"""What the run of a config can measure, read off the config: nothing is opened but the file itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path

from governance.config import AuditConfig, load_config
from governance.modelconfig import (
    CallableModel,
    ClassifierModel,
    ClosedModel,
    MitigatedModel,
    PredictionsModel,
    TfidfModel,
)
from governance.policy.scope import Scope
from governance.prepare import evaluator_of
from governance.tableconfig import KINDS, TableAuditConfig, load_table_config


def scope_of(source: str) -> Scope:
    """What the run of a config can measure.

    Raises:
        ConfigError: the message names file and key.
    """
    of_table = load_table_config(source)
    return _of_table(*of_table) if of_table is not None else _of_models(*load_config(source))


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
        models={name: frozenset(_traits(model)) for name, model in config.models.items()},
        bases={name: model.of for name, model in config.models.items() if isinstance(model, MitigatedModel)},
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


def _traits(model: object) -> Iterable[str]:
    """What can be asked of a model, as `governance.vocabulary` names what a metric needs."""
    if isinstance(model, TfidfModel | ClassifierModel | MitigatedModel):
        yield from ("trained", "scores")
    if isinstance(model, PredictionsModel | CallableModel) and model.scores:
        yield "scores"
    if isinstance(model, TfidfModel):
        yield "weights"
    if isinstance(model, ClassifierModel) and model.private is not None:
        yield "private"
    if isinstance(model, MitigatedModel):
        yield "mitigated"
    timed = not isinstance(model, PredictionsModel) or model.seconds is not None
    if timed:
        yield "seconds"
    if (timed and getattr(model, "price_per_hour", None)) or (
        isinstance(model, ClosedModel) and model.price_per_million_tokens
    ):
        yield "price"
