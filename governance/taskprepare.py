"""Everything of a task audit that can be known before its first stage: a bad config costs a second, not a night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.tasks.own import Own, load_own
from governance.backends.taskprompts import CANDIDATES, BoundTaskPrompt, TaskPrompt
from governance.building import evaluator_of, within
from governance.errors import ConfigError
from governance.files import digest_of
from governance.items import Items, Wanted, read_items
from governance.modelchecks import base_of, check_endpoint, check_reading_of, digest_base, vendors_of
from governance.modelconfig import (
    CallableModel,
    ClassifierModel,
    ClosedModel,
    HFModel,
    MitigatedModel,
    OpenAIModel,
    PredictionsModel,
    TfidfModel,
    VariantModel,
)
from governance.policy import Terms
from governance.prepare import LIBRARIES
from governance.privacy.policy import ScrubPolicy
from governance.privacy.policy import load_policy as load_scrub_policy
from governance.registry import nearest
from governance.sources import digest_source, locate
from governance.store import code_digest, versions
from governance.taskconfig import TASKS, TaskAuditConfig
from governance.vendorfacts import VendorFacts
from governance.waiverkeys import waiver_keys

if TYPE_CHECKING:
    from evaluators.tasks.base import Task

TASK_LIBRARIES = ("sacrebleu", "rouge-score", "ir-measures", "textstat")


@dataclass(frozen=True)
class TaskPlan:
    """A checked task audit.

    Attributes:
        config: as read.
        path: of the config.
        task: how answers are scored.
        own: the user's own metrics.
        file: of the data.
        items: raw rows.
        shown: parts of a row that models may see and that the data has, candidates aside.
        bases: model name -> folder or file of weights, of answers or of code.
        prompts: model name -> its prompt, fitted to the task.
        scrub: the scrub policy.
        terms: what judges the record.
        digests: what the run's identity is made of.
        vendors: model name -> what its vendor's file says.
    """

    config: TaskAuditConfig
    path: Path
    task: Task
    own: tuple[Own, ...]
    file: Path
    items: Items
    shown: tuple[str, ...]
    bases: Mapping[str, Path]
    prompts: Mapping[str, BoundTaskPrompt]
    scrub: ScrubPolicy
    terms: Terms
    digests: Mapping[str, Any]
    vendors: Mapping[str, VendorFacts] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """Digest of everything that decides the record."""
        return digest_of(self.digests)


def prepare_task(config: TaskAuditConfig, path: Path, *, keyless: bool = False) -> TaskPlan:
    """Check all that can be checked at once.

    Args:
        config: as read.
        path: of it.
        keyless: keys and SDKs of endpoints need not be there: nothing will be asked.

    Raises:
        ConfigError: the message names file, key, what was expected and the nearest valid name.
        DataError: likewise for the data.
    """
    task: Task = evaluator_of(f"{path}: task", config.task.name, config.task.settings, kind="task", known=TASKS)
    own = tuple(
        within(f"{path}: metrics.{i}", partial(load_own, entry.name, entry.settings))
        for i, entry in enumerate(config.metrics)
    )
    names = [one.metric.name for one in own]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"{path}: metrics.{i}: a metric named '{name}' stands twice; make `name` a setting")
    scrub = within(f"{path}: scrub.policy", lambda: load_scrub_policy(config.scrub.policy, base=path.parent))
    terms = within(f"{path}: policy", lambda: Terms.load(config.policy_name, config.waivers, base=path.parent))
    terms = within(f"{path}: waivers", lambda: terms.trusting(waiver_keys()))
    _check_roles(path, config, task)
    shown = tuple(
        role for role in config.data.columns if role not in task.hidden and not (task.ranks and role == CANDIDATES)
    )
    bases, prompts = {}, {}
    for name, model in config.models.items():
        _check_kind(f"{path}: models.{name}.kind", config, model)
        if (base := base_of(path, name, model)) is not None:
            bases[name] = base
        if isinstance(model, ClosedModel) and not keyless:
            check_endpoint(path, name, model)
        if (asked := getattr(model, "prompt", None)) is not None:
            where = f"{path}: models.{name}.prompt"
            # A model that says how likely it finds a candidate is shown one at a time, not a list of all.
            likely = isinstance(model, HFModel) and model.protocol == "log-likelihood"
            prompts[name] = within(where, partial(_prompt, asked, path.parent, shown, ranks=task.ranks and not likely))
            within(f"{path}: models.{name}", partial(check_reading_of, model, prompts[name]))
    vendors = vendors_of(path, config.models)
    file = within(f"{path}: data.path", lambda: locate(config.data.path, path.parent))
    items = within(str(path), lambda: read_items(file, _wanted(config, task), dialogues=config.data.dialogues))
    digests = {
        "config": config.model_dump(mode="json", exclude={"policy", "waivers"}),
        "data": digest_source(file),
        "bases": {name: digest_base(base) for name, base in sorted(bases.items())},
        "scrub": scrub.fingerprint(),
        "prompts": {name: prompt.digest() for name, prompt in sorted(prompts.items())},
        "code": code_digest("governance", "evaluators"),
        "evaluators": {
            config.task.name: code_digest(type(task).__module__),
            **{one.metric.name: code_digest(type(one.metric).__module__) for one in own},
        },
        "versions": dict(versions(*LIBRARIES, *TASK_LIBRARIES)),
        **({"vendors": {name: facts.digest for name, facts in vendors.items()}} if vendors else {}),
    }
    return TaskPlan(config, path, task, own, file, items, shown, bases, prompts, scrub, terms, digests, vendors)


def _prompt(source: str, base: Path, shown: tuple[str, ...], *, ranks: bool) -> BoundTaskPrompt:
    return TaskPrompt.load(source, base).bind(shown, ranks=ranks)


def _check_roles(path: Path, config: TaskAuditConfig, task: Task) -> None:
    roles, columns = {**task.texts, **task.lists}, config.data.columns
    for role in columns:
        if role not in roles:
            raise ConfigError(f"{path}: data.columns.{role}: no such role of this task. {nearest(role, roles)}")
    gathered = {"relevant"} if config.data.right is not None else set()
    for role, needed in roles.items():
        if needed and role not in columns and role not in gathered:
            raise ConfigError(f"{path}: data.columns.{role}: this role is required; name the column that holds it")
    if config.data.gather is not None and config.data.gather not in task.texts:
        raise ConfigError(
            f"{path}: data.gather: expected a role of one text. {nearest(config.data.gather, task.texts)}"
        )
    if config.data.right is not None and "relevant" in columns:
        raise ConfigError(f"{path}: data.columns.relevant: expected none beside data.right, which says the same")
    if config.data.right is not None and "relevant" not in task.lists:
        raise ConfigError(f"{path}: data.right: expected none; the task '{task.name}' ranks nothing")
    private = (*config.data.groups, *(band.column for band in config.data.bands.values()))
    taken = [column for column in private if column in columns.values()]
    if taken:
        raise ConfigError(f"{path}: data.groups: column '{taken[0]}' can't be a group too; models may see it")


def _check_kind(where: str, config: TaskAuditConfig, model: Any) -> None:
    if isinstance(model, TfidfModel | ClassifierModel | MitigatedModel | VariantModel):
        raise ConfigError(
            f"{where}: '{model.kind}' tells classes apart; '{config.task.name}' wants openai, anthropic, "
            "hf, lexical, predictions, callable or scripted"
        )
    for key in sorted({"twin", "placeholders", "other_prompts"} & model.model_fields_set):
        raise ConfigError(f"{where}.{key}: expected none; audits of classes alone hold such models side by side")
    if isinstance(model, OpenAIModel) and model.fine_tune is not None:
        raise ConfigError(f"{where}: fine_tune: expected none; examples for a vendor are made of classes alone")
    if isinstance(model, PredictionsModel) and model.scores:
        raise ConfigError(f"{where}: scores: expected none; `label` names the column of words or of lists of scores")
    if isinstance(model, CallableModel) and model.scores:
        raise ConfigError(f"{where}: scores: expected none; the task says what the function answers with")


def _wanted(config: TaskAuditConfig, task: Task) -> Wanted:
    data = config.data
    columns = data.columns
    return Wanted(
        texts={role: column for role, column in columns.items() if role in task.texts},
        lists={role: column for role, column in columns.items() if role in task.lists},
        needed=frozenset(
            role
            for role, needed in {**task.texts, **task.lists}.items()
            if needed and role not in task.hidden and role in columns
        ),
        groups=data.group_columns,
        bands={name: (band.column, band.edges) for name, band in data.bands.items()},
        cluster=data.cluster,
        gather=data.gather,
        right=None if data.right is None else ("relevant", data.right),
    )
