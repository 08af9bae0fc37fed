"""What `steelyard preflight` does: counts what a config's data hold, plans every control, prices every model's answers.

No model is asked, nothing is trained and no text is scrubbed; texts are read to be split and counted, and stay here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from governance.asked import sample
from governance.backends.base import Request
from governance.backends.limits import Limits
from governance.backends.prompts import BoundPrompt, Prompt
from governance.backends.taskprompts import CANDIDATES
from governance.building import within
from governance.config import load_config
from governance.dataset import Labels, SyntheticText
from governance.errors import ConfigError
from governance.modelconfig import ClosedModel, FineTune, OpenAIModel
from governance.policy import load_policy
from governance.policyscope import scope_of
from governance.preflight import (
    Assumed,
    Bill,
    HeldOut,
    Preflight,
    Size,
    Training,
    api_bill,
    needs,
    result,
    sizes_of,
    told,
)
from governance.prepare import rows_of, source_of
from governance.sources import Dataset, Split
from governance.tableconfig import load_table_config
from governance.taskconfig import TaskAuditConfig, load_task_config
from governance.taskprepare import prepare_task
from governance.training.vendor.examples import estimate_tokens
from governance.training.vendor.terms import cost, likely_epochs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXAMPLE = 15  # tokens around the three messages of a training example, as `write_examples` counts them


def preflight(source: str, assumed: Assumed | None = None) -> Preflight:
    """Plan an audit of models: of classifiers, or of a task whose answers are words or rankings.

    Raises:
        ConfigError: the config, its policy or a prompt can't be used.
        DataError: its data can't be.
    """
    if load_table_config(source) is not None:
        raise ConfigError(f"{source}: an audit of a table asks no models, so there is nothing to spend; just run it")
    if (of_task := load_task_config(source)) is not None:
        return _of_task(*of_task, source, assumed or Assumed())
    config, path = load_config(source)
    policy = within(f"{path}: policy", lambda: load_policy(config.policy, base=path.parent))
    roles, dataset, labels = rows_of(path, config, source_of(config.data, path))
    split = within(
        str(path),
        lambda: dataset.split(rows=config.data.rows, test_share=config.data.test_share, seed=config.seed),
    )
    asked = {
        name: split.test[sample(model.rows, len(split.test), config.seed)] for name, model in config.models.items()
    }
    whole = HeldOut(
        clusters=dataset.clusters[split.test],
        labels=tuple(dataset.labels[i] for i in split.test),
        positive=labels.positive if labels.binary else None,
        groups={name: tuple(dataset.groups[name][i] for i in split.test) for name in roles.groups},
    )
    held = {name: whole.take(np.searchsorted(split.test, index)) for name, index in asked.items()}
    closed = {name: model for name, model in config.models.items() if isinstance(model, ClosedModel)}
    prompts = {name: _prompt(path, f"{name}.prompt", model.prompt, labels) for name, model in closed.items()}
    others = {
        name: [_prompt(path, f"{name}.other_prompts.{i}", one, labels) for i, one in enumerate(model.other_prompts)]
        for name, model in closed.items()
    }
    return Preflight(
        audit=config.audit,
        candidate=config.candidate,
        policy=policy,
        rows={
            "trained_on": len(split.train),
            "held_out": len(split.test),
            "clusters": len(np.unique(whole.clusters)),
        },
        needs=needs(policy, scope_of(source), held, assumed),
        bills=[
            _bill(name, model, (prompts[name], *others[name]), dataset, asked[name]) for name, model in closed.items()
        ],
        trainings=[
            _training(name, model, model.fine_tune, prompts[name], dataset, split)
            for name, model in closed.items()
            if isinstance(model, OpenAIModel) and model.fine_tune is not None
        ],
        assumed=assumed or Assumed(),
    )


def _of_task(config: TaskAuditConfig, path: Path, source: str, assumed: Assumed) -> Preflight:
    """Plan an audit of a task: all of its rows are held out."""
    plan = prepare_task(config, path, keyless=True)
    chosen = plan.items.sample(config.data.rows, config.seed)
    asked = {name: chosen[sample(model.rows, len(chosen), config.seed)] for name, model in config.models.items()}
    held = {
        name: HeldOut(
            clusters=plan.items.clusters[index],
            groups={column: tuple(values[i] for i in index) for column, values in plan.items.groups.items()},
        )
        for name, index in asked.items()
    }
    bills = []
    for name, model in config.models.items():
        if isinstance(model, ClosedModel):
            prompt = plan.prompts[name]
            nothing = Request(dict.fromkeys(plan.shown, SyntheticText("")))
            roles = (*plan.shown, *((CANDIDATES,) if plan.task.ranks else ()))
            texts = plan.items.raw_parts(asked[name], roles)
            sizes = sizes_of(prompt.system, prompt.fill(nothing).text, texts)
            bills.append(_priced(name, model, sizes, len(asked[name])))
    return Preflight(
        audit=config.audit,
        candidate=config.candidate,
        policy=plan.terms.policy,
        rows={
            "trained_on": 0,
            "held_out": len(chosen),
            "clusters": len(np.unique(plan.items.clusters[chosen])),
        },
        needs=needs(plan.terms.policy, scope_of(source), held, assumed),
        bills=bills,
        trainings=[],
        assumed=assumed,
    )


def preflight_command(source: str, *, echo: Callable[[str], None], as_json: bool, every: bool, **assumed: float) -> int:
    """Plan an audit and say what comes of it.

    Args:
        source: path of a config, or the name of one that ships.
        echo: where to print.
        as_json: print one JSON value.
        every: show all controls of all models, not only what the candidate needs and where others lack rows.
        assumed: fields of `Assumed`.

    Returns:
        The exit code.

    Raises:
        ConfigError: something is wrong with the config, or an assumption is out of range.
    """
    try:
        taken = Assumed(**assumed)
    except ValueError as error:
        raise ConfigError(f"--{error}") from None
    found = preflight(source, taken)
    if as_json:
        echo(json.dumps(result.as_json(found), ensure_ascii=False, indent=1))
    else:
        for piece in told(found, every=every):
            echo(piece)
    return found.exit_code


def _prompt(path: Path, key: str, source: str, labels: Labels) -> BoundPrompt:
    where = f"{path}: models.{key}"
    prompt: Prompt = within(where, partial(Prompt.load, source, path.parent))
    bound: BoundPrompt = within(where, partial(prompt.bind, labels))
    return bound


def _bill(
    name: str, model: ClosedModel, prompts: Sequence[BoundPrompt], dataset: Dataset, asked: NDArray[np.int64]
) -> Bill:
    # An empty text of our own shows what stands around every row's: raw texts are counted, never sealed.
    sizes = [
        size
        for prompt in prompts
        for size in sizes_of(prompt.system, prompt.fill(SyntheticText("")).text, dataset.raw_texts(asked))
    ]
    return _priced(name, model, sizes, len(asked))


def _priced(name: str, model: ClosedModel, sizes: Sequence[Size], rows: int) -> Bill:
    price = model.price_per_million_tokens
    return api_bill(
        name,
        rows,
        sizes,
        max_tokens=model.max_tokens,
        limits=Limits(
            price=None if price is None else (price.read, price.written),
            budget=model.budget,
            requests_per_minute=model.requests_per_minute,
            tokens_per_minute=model.tokens_per_minute,
        ),
        concurrency=model.concurrency,
        currency=model.currency,
    )


def _training(
    name: str, model: OpenAIModel, settings: FineTune, prompt: BoundPrompt, dataset: Dataset, split: Split
) -> Training:
    rows = round(len(split.train) * (1 - (settings.validation_share or 0.0)))
    around = estimate_tokens(prompt.system) + estimate_tokens(prompt.fill(SyntheticText("")).text) + _EXAMPLE
    answers = {label: estimate_tokens(words[0]) for label, words in prompt.answers.items()}
    texts = zip(dataset.raw_texts(split.train), split.train, strict=True)
    tokens = sum(around + estimate_tokens(text) + answers[dataset.labels[i]] for text, i in texts)
    tokens = round(tokens * rows / max(1, len(split.train)))
    epochs = likely_epochs(max(1, rows)) if settings.epochs == "auto" else settings.epochs
    money = cost(tokens, epochs, settings.price_per_million_tokens)
    return Training(name, rows, tokens, epochs, money, model.currency, settings.budget)
