"""From scrubbed rows to a model at a vendor: what an audit calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from governance import atrest
from governance.backends.asking import Gate
from governance.backends.prompts import BoundPrompt
from governance.dataset import ModelText
from governance.files import digest_bytes, write_atomic
from governance.record import SentRows, VendorTraining
from governance.training.vendor.desk import Vendor
from governance.training.vendor.examples import LIMITS, Limits, held_back, write_examples
from governance.training.vendor.job import FineTuningJob
from governance.training.vendor.terms import Pace, Terms

_WRITTEN = "examples.json"


class _Written(BaseModel):
    """The files that are ready to leave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: SentRows
    validation: SentRows | None = None


def fine_tuned(
    rows: Sequence[ModelText],
    labels: Sequence[str],
    prompt: BoundPrompt,
    gate: Gate,
    *,
    vendor: Vendor,
    terms: Terms,
    directory: Path,
    limits: Limits = LIMITS,
    validation_share: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
    pace: Pace | None = None,
) -> VendorTraining:
    """Have a vendor fine-tune a model on scrubbed rows; its name is `.model` of what is returned.

    Called again with the same arguments after any interruption, it goes on: nothing is uploaded or started twice.

    Args:
        rows: scrubbed training texts, length n.
        labels: the class of each, length n.
        prompt: how the task will be put to the model.
        gate: the scrubber that each prompt passes.
        vendor: where.
        terms: what is asked for, and for how much money.
        directory: of this training alone: examples, state, and in the end `vendor.json`.
        limits: what the vendor takes.
        validation_share: of the rows, for the vendor's own validation figures; they leave as well. None: none.
        tell: told what happens, a line at a time, without any text of a row.
        advance: told how many more rows are ready to leave.
        pace: how patiently to follow.

    Raises:
        ConfigError: too expensive, or a prompt whose answers the scrubber would change.
        DataError: too few examples, or too many.
        VendorError: the vendor refused, failed or was lost.
    """
    written = _kept(directory)
    if written is None:
        written = _write(rows, labels, prompt, gate, directory, limits, validation_share, advance)
    texts = (row.text for row in rows)
    job = FineTuningJob(
        vendor, terms, directory, written.training, written.validation, texts=texts, tell=tell, pace=pace
    )
    return job.run()


def _write(
    rows: Sequence[ModelText],
    labels: Sequence[str],
    prompt: BoundPrompt,
    gate: Gate,
    directory: Path,
    limits: Limits,
    share: float | None,
    advance: Callable[[int], None],
) -> _Written:
    aside = held_back(rows, share or 0.0)
    train = [not one for one in aside]
    training = write_examples(
        list(compress(rows, train)), list(compress(labels, train)), prompt, directory / "training.jsonl", gate,
        limits=limits, advance=advance,
    )  # fmt: skip
    validation = None
    if share is not None:
        validation = write_examples(
            list(compress(rows, aside)), list(compress(labels, aside)), prompt, directory / "validation.jsonl", gate,
            limits=limits, least=1, advance=advance,
        )  # fmt: skip
    written = _Written(training=training, validation=validation)
    write_atomic(directory / _WRITTEN, written.model_dump_json().encode())
    return written


def _kept(directory: Path) -> _Written | None:
    """What an interrupted run wrote, if its files are whole."""
    try:
        written = _Written.model_validate_json((directory / _WRITTEN).read_bytes())
        files = {"training": written.training, "validation": written.validation}
        whole = all(
            one is None or digest_bytes(atrest.read(directory / f"{name}.jsonl")) == one.digest
            for name, one in files.items()
        )
    except (FileNotFoundError, ValidationError):
        return None
    return written if whole else None
