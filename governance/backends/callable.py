"""A Python function as a model: code that the config's author vouches for, run in this process.

What it raises and returns is untrusted: an error is told by its type alone, since its message may quote a text.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
import math
import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from governance.backends.base import Answer, Capability
from governance.dataset import Labels, ModelText
from governance.errors import ConfigError

Function = Callable[[list[str]], Iterable[Any]]
SUM_WITHIN = 1e-6  # of a row's probabilities, to 1


def source_of(function: str) -> Path:
    """The source file of a function's module, found without running that module (the packages around it are).

    Args:
        function: "module:function"; the module is installed, or on the path that Python searches.

    Raises:
        ConfigError: there is no such module, or it has no source file.
    """
    module = function.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    except Exception as error:  # noqa: BLE001 - the packages around it may raise anything
        raise ConfigError(f"looking for module '{module}' raised {type_name(error)}") from None
    if spec is None:
        raise ConfigError(f"no module '{module}'; install it, or name its folder in PYTHONPATH")
    file = Path(spec.origin) if spec.origin is not None else None
    if file is None or file.suffix != ".py" or not file.is_file():
        raise ConfigError(f"module '{module}': expected a source file, whose digest says which code it was; found none")
    return file


def load_function(function: str) -> Function:
    """Import a function. This runs its module.

    Raises:
        ConfigError: the module can't be imported, or has no such plain function.
    """
    module, _, name = function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
        raise ConfigError(f"importing module '{module}' raised {type_name(error)}") from None
    if not callable(found):
        raise ConfigError(f"module '{module}' has no function '{name}'")
    if inspect.iscoroutinefunction(found):
        raise ConfigError(f"expected a plain function, '{name}' is async")
    return cast("Function", found)


def type_name(error: BaseException) -> str:
    """An error's type in words; a type can be made with any name, so only one that reads like code is repeated."""
    name = type(error).__name__
    return name if name.isascii() and name.isidentifier() and len(name) <= 40 else "an error"


class CallableBackend:
    """Classifies by a function: a list of texts in, one label or {label: probability} per text out.

    An error, a wrong number of answers or answers that can't be iterated over fail the batch; an answer of another
    form fails its row.

    Args:
        function: called with a new list each time.
        labels: the task's classes.
        batch: texts at a time, at most.
        scores: whether it answers with {label: probability}, where a class that is left out has probability 0.
    """

    def __init__(self, function: Function, labels: Labels, *, batch: int, scores: bool) -> None:
        self._function = function
        self._labels = labels
        self._batch = batch
        self._scores = scores

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        return frozenset({Capability.CLASSIFY, Capability.SCORES} if self._scores else {Capability.CLASSIFY})

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        return [
            answer
            for start in range(0, len(texts), self._batch)
            for answer in self._one_batch([text.text for text in texts[start : start + self._batch]])
        ]

    def close(self) -> None:
        """See `Backend`: nothing to free."""

    def _one_batch(self, texts: list[str]) -> list[Answer]:
        n, began = len(texts), time.perf_counter()
        failure, found = None, list[Any]()
        try:
            said = self._function(texts)
            if isinstance(said, str | bytes | Mapping) or not isinstance(said, Iterable):
                failure = "the function returned no list"
            else:
                found = list(itertools.islice(said, n + 1))  # a generator may have no end
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code may raise anything
            failure = f"the function raised {type_name(error)}"
        seconds = (time.perf_counter() - began) / n
        if failure is None and len(found) != n:
            failure = f"the function returned {'more' if len(found) > n else 'fewer'} answers than texts"
        if failure is not None:
            return [Answer(failure=failure, seconds=seconds)] * n
        read = self._from_scores if self._scores else self._from_label
        return [read(one, seconds) for one in found]

    def _from_label(self, said: object, seconds: float) -> Answer:
        label = _name(said)
        if label is None:
            return Answer(failure="the function's answer is no label", seconds=seconds)
        if label not in self._labels.classes:
            return Answer(failure="the function's answer is none of the classes", seconds=seconds)
        return Answer(label=label, seconds=seconds)

    def _from_scores(self, said: object, seconds: float) -> Answer:
        """The likeliest class; of equally likely ones, the first."""
        if type(said) is not dict:
            return Answer(failure="the function's answer is no {label: probability}", seconds=seconds)
        given = {_name(label): _number(value) for label, value in said.items()}
        if len(given) < len(said) or not set(given) <= set(self._labels.classes):
            return Answer(failure="the function's probabilities are not of the classes", seconds=seconds)
        scores = tuple(given.get(name, 0.0) for name in self._labels.classes)
        if not all(0 <= score <= 1 for score in scores) or abs(math.fsum(scores) - 1) > SUM_WITHIN:
            return Answer(failure="the function's probabilities don't sum to 1", seconds=seconds)
        label = self._labels.classes[scores.index(max(scores))]
        return Answer(label=label, scores=scores, seconds=seconds)


def _name(label: object) -> str | None:
    """A class as the data has it: 1 and "1" are one class, True is none."""
    if isinstance(label, bool) or not isinstance(label, str | numbers.Integral):
        return None
    return label.strip() if isinstance(label, str) else str(int(label))


def _number(value: object) -> float:
    """A finite number, or NaN, which no comparison lets pass."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
