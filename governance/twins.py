"""What a config says of models that are one another but for one thing: checked before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from governance.errors import ConfigError
from governance.modelconfig import ClassifierModel, ClosedModel, OpenAIModel, TfidfModel, VariantModel
from governance.privacy.filling import check_policy
from governance.privacy.policy import ScrubPolicy
from governance.registry import nearest


def check_twins(path: Path, models: Mapping[str, Any], scrub: ScrubPolicy) -> None:
    """Whether every twin is what it says, every variant can be made, and every placeholder can be filled.

    Args:
        path: of the config.
        models: its models.
        scrub: the scrub policy of the audit.

    Raises:
        ConfigError: the message names file and key.
    """
    for name, model in models.items():
        where = f"{path}: models.{name}"
        if isinstance(model, VariantModel):
            _check_variant(where, model, models)
        if model.twin is not None:
            _check_twin(where, name, model, models)
        if getattr(model, "placeholders", "kept") == "filled":
            _check_filled(where, model, scrub)


def _check_twin(where: str, name: str, model: Any, models: Mapping[str, Any]) -> None:
    other, by = model.twin.of, model.twin.by
    if other not in models:
        raise ConfigError(f"{where}.twin.of: no model '{other}'. {nearest(other, models)}")
    if other == name:
        raise ConfigError(f"{where}.twin.of: expected another model, found this one")
    if by == "differential-privacy" and (_private(model), _private(models[other])) != (True, False):
        raise ConfigError(
            f"{where}.twin.by: differential-privacy: expected this model trained with `private` and '{other}' without"
        )
    if by == "scrubbing" and (_filled(model), _filled(models[other])) != (False, True):
        raise ConfigError(
            f"{where}.twin.by: scrubbing: expected '{other}' with `placeholders: filled` and this model without"
        )


def _private(model: Any) -> bool:
    return isinstance(model, ClassifierModel) and model.private is not None


def _filled(model: Any) -> bool:
    return getattr(model, "placeholders", "kept") == "filled"


def _check_filled(where: str, model: Any, scrub: ScrubPolicy) -> None:
    if isinstance(model, OpenAIModel) and model.fine_tune is not None:
        raise ConfigError(
            f"{where}.placeholders: expected kept beside fine_tune; rows that leave for training pass the scrubber"
        )
    try:
        check_policy(scrub, asked=isinstance(model, ClosedModel))
    except ConfigError as error:
        raise ConfigError(f"{where}.placeholders: filled: {error}") from None


def _check_variant(where: str, model: VariantModel, models: Mapping[str, Any]) -> None:
    base = models.get(model.of)
    if base is None:
        raise ConfigError(f"{where}.of: no model '{model.of}'. {nearest(model.of, models)}")
    if model.by == "int8" and not isinstance(base, ClassifierModel):
        raise ConfigError(
            f"{where}.of: by int8: expected a model of kind classifier, found '{model.of}' of kind {base.kind}; of a "
            "local model, name a second `hf` with `quantise: int8` and `twin: {of: …, by: quantised}`"
        )
    if not isinstance(base, ClassifierModel | TfidfModel):
        kind = f"'{model.of}' of kind {base.kind}"
        raise ConfigError(f"{where}.of: expected a model that this audit trains, found {kind}")
