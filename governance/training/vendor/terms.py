"""What a vendor is asked to do, what that costs, and how patiently it is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from governance.errors import ConfigError
from governance.record import SentRows, VendorPrice

# "auto", as the vendor's guide to preparing data estimates it; the vendor may choose otherwise, so the job is watched.
_TARGET, _LEAST, _MOST = 3, 1, 25
_FEWEST_EXAMPLES, _MOST_EXAMPLES = 100, 25_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a vendor is asked to do, and for how much money.

    Attributes:
        base: the model to start from, by the vendor's name.
        epochs: passes over the examples; the vendor chooses what is "auto".
        batch_size: examples in a batch.
        learning_rate_multiplier: scales the vendor's own learning rate.
        suffix: a part of the new model's name.
        seed: of the job.
        per_million_tokens: the vendor's price of trained tokens.
        currency: of price and budget.
        budget: the most that the job may cost.
        delete_file: ask the vendor to delete what was uploaded once the job has ended, however it ended.
    """

    base: str
    epochs: int | Literal["auto"] = "auto"
    batch_size: int | Literal["auto"] = "auto"
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    suffix: str | None = None
    seed: int | None = None
    per_million_tokens: float
    currency: str = "USD"
    budget: float
    delete_file: bool = False

    def shape(self) -> dict[str, Any]:
        """What decides the model: of the body of the request, all but the files."""
        chosen = {
            "n_epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate_multiplier": self.learning_rate_multiplier,
        }
        method = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
        optional = {"suffix": self.suffix, "seed": self.seed}
        return {"model": self.base, "method": method, **{k: v for k, v in optional.items() if v is not None}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patiently a job is followed.

    Attributes:
        first: seconds between two looks while there is news.
        longest: seconds between two looks when nothing happens.
        limit: seconds after which we stop looking; the job goes on.
        patience: looks in a row that may fail.
        tries: of making a file or a job.
        ready: seconds to wait for an uploaded file to be processed.
    """

    first: float = 2.0
    longest: float = 60.0
    limit: float = 86_400.0
    patience: int = 10
    tries: int = 6
    ready: float = 120.0


PACE = Pace()


def likely_epochs(rows: int) -> int:
    """Epochs that a vendor chooses by itself for so many examples, as OpenAI's guide to data preparation says.

    >>> likely_epochs(10), likely_epochs(500), likely_epochs(20_000)
    (10, 3, 1)
    """
    if rows * _TARGET < _FEWEST_EXAMPLES:
        return min(_MOST, _FEWEST_EXAMPLES // rows)
    if rows * _TARGET > _MOST_EXAMPLES:
        return max(_LEAST, _MOST_EXAMPLES // rows)
    return _TARGET


def cost(tokens: int, epochs: int, per_million_tokens: float) -> float:
    """Price of training on so many tokens, so many times."""
    return tokens * epochs * per_million_tokens / 1e6


def quote(terms: Terms, training: SentRows, learnt: int | None = None) -> VendorPrice:
    """What a job will cost.

    Args:
        terms: what is asked for.
        training: the training file.
        learnt: epochs that the vendor chose the last time for "auto"; None: not known.

    Raises:
        ConfigError: more than the budget.
    """
    assumed = (learnt or likely_epochs(training.rows)) if terms.epochs == "auto" else terms.epochs
    estimate = cost(training.tokens, assumed, terms.per_million_tokens)
    if estimate > terms.budget:
        raise ConfigError(
            f"budget: about {training.tokens} tokens x {assumed} epochs at {terms.per_million_tokens:g} per million "
            f"come to {estimate:.2f} {terms.currency}, the budget is {terms.budget:g}; nothing was sent. Raise it, set "
            "fewer epochs, or train on fewer rows"
        )
    return VendorPrice(
        per_million_tokens=terms.per_million_tokens,
        currency=terms.currency,
        epochs=assumed,
        estimate=estimate,
        budget=terms.budget,
    )
