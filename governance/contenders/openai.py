"""A model behind an API, and the local server that may stand in for a vendor's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.backends.prompts import BoundPrompt
from governance.contenders.base import Ring, public_name
from governance.contenders.closed import Closed, host_of, noted
from governance.errors import ConfigError, SteelyardError
from governance.files import digest_of
from governance.modelconfig import FineTune, OpenAIModel
from governance.record import ModelEntry, VendorTraining
from governance.store import code_digest, versions

if TYPE_CHECKING:
    from governance.backends.launch import Server


_STAND_IN = "on loopback; stands in for a vendor's model"
_TUNED = "fine-tuned by the vendor, which saw the scrubbed rows; no privacy claim covers it"


class OpenAI(Closed):
    """A model behind an OpenAI-compatible API: a vendor's, or one on loopback that stands in for it.

    Where the config asks for it, the vendor first fine-tunes it on the scrubbed training rows.
    """

    def __init__(self, name: str, config: OpenAIModel, ring: Ring) -> None:
        super().__init__(name, config, ring)
        self.config = config
        self.trained = config.fine_tune is not None

    @property
    @override
    def protocol(self) -> str:
        return "log-likelihood" if self.config.logprobs else super().protocol

    @override
    def prepare(self) -> None:
        if self.config.fine_tune is not None and not self._directory.exists():
            with self.ring.store.building(self._directory) as working:
                self._fine_tune(self.config.fine_tune, working)

    @cached_property
    def _directory(self) -> Path:
        """Where what is known of the vendor's training is kept."""
        tuned = self.config.fine_tune
        inputs = {
            "rows": self.ring.rows_digest,
            "prompt": self.ring.prompts[self.name].digest(),
            "scrub": self.ring.scrub,
            "endpoint": self.config.base_url,
            # A bigger budget or more patience makes no other model, and must not pay for one.
            "settings": tuned.model_dump(mode="json", exclude={"budget", "hours"}) if tuned else None,
            "currency": self.config.currency,
            "seed": self.ring.seed,
            "code": code_digest("governance.training.vendor", "governance.privacy"),
        }
        return self.ring.store.path("vendor", inputs)

    def _fine_tune(self, settings: FineTune, directory: Path) -> None:
        from governance.training.vendor.desk import Vendor
        from governance.training.vendor.examples import Limits
        from governance.training.vendor.finetune import fine_tuned
        from governance.training.vendor.terms import PACE, Terms

        config, ring, progress = self.config, self.ring, self.ring.progress
        prompt = ring.prompts[self.name]
        if not isinstance(prompt, BoundPrompt):
            raise ConfigError(f"models.{self.name}.fine_tune: expected a task of labels; others can't be trained for")
        own = {"budget", "price_per_million_tokens", "validation_share", "hours", "limits"}
        terms = Terms(
            **settings.model_dump(exclude=own),
            per_million_tokens=settings.price_per_million_tokens,
            currency=config.currency,
            budget=settings.budget,
            seed=ring.seed,
        )
        vendor = Vendor(config.base_url or "", self._api_key(), timeout=config.timeout, max_retries=config.max_retries)
        with progress.stage(f"fine-tune {self.name} at {vendor.host}", len(ring.train)):
            try:
                fine_tuned(
                    ring.train.texts,
                    ring.train.labels,
                    prompt,
                    ring.gate,
                    vendor=vendor,
                    terms=terms,
                    directory=directory,
                    limits=Limits(**settings.limits.model_dump()),
                    validation_share=settings.validation_share,
                    tell=lambda line: progress.say(f"  {line}"),
                    advance=progress.advance,
                    pace=dataclasses.replace(PACE, limit=settings.hours * 3600),
                )
            except SteelyardError as error:
                raise type(error)(f"models.{self.name}.fine_tune: {error}") from None

    @cached_property
    def _training(self) -> VendorTraining | None:
        """What is known of the vendor's training; asked after `prepare`."""
        if self.config.fine_tune is None:
            return None
        from governance.training.vendor.job import RECORD

        return VendorTraining.model_validate_json((self._directory / RECORD).read_bytes())

    @property
    def _model(self) -> str | None:
        return self._training.model if self._training else self.config.model

    @override
    def identity(self) -> Mapping[str, object]:
        launch = self.config.launch
        return {
            **self._asked_alike(),
            # A vendor never gives the name of one fine-tuned model to another.
            "model": self._model,
            "launched": [launch.server, self.ring.base[self.name][1]] if launch else None,
            "code": code_digest("governance.backends", "governance.privacy"),
            "versions": dict(versions("openai", "transformers") if launch else versions("openai")),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.api import OpenAIBackend

        config, server, cache = self.config, self._launch(), self._cache()
        return OpenAIBackend(
            base_url=server.base_url if server else config.base_url or "",
            identity=f"launched:{digest_of(self.identity()['launched'])}" if server else None,
            model=server.served_model if server else self._model or "",
            cache=cache,
            seed=self.ring.seed,
            structured=config.structured,
            top_logprobs=config.top_logprobs if config.logprobs else None,
            owned=(cache, server) if server else (cache,),
            **self._asking(),
        )

    def _launch(self) -> Server | None:
        """Start the server that stands in for a vendor, converting its weights the first time."""
        from governance.backends.gguf import convert
        from governance.backends.launch import Server, transformers_serve

        launch = self.config.launch
        if launch is None:
            return None
        base, digest = self.ring.base[self.name]
        progress = self.ring.progress
        if base.is_file():
            folder = self.ring.store.root / f"model-{digest[-16:]}" / base.stem
            with progress.stage(f"convert {base.name} for {launch.server}"):
                base = convert(base, folder)
        with progress.stage(f"start {launch.server} for {self.name}"):
            return Server(transformers_serve(base), timeout=launch.timeout)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config, launch, training = self.config, self.config.launch, self._training
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or ("model fine-tuned by a vendor" if training else "model behind an API"),
            source=f"{public_name(launch.model)} through {launch.server}" if launch else host_of(config.base_url or ""),
            licence=config.licence,
            note=noted(config.note or (_TUNED if training else _STAND_IN if launch else None), facts),
            trained=self.trained,
            trained_on=training.training.rows if training else None,
            trained_parts="known to the vendor alone" if training else None,
            settings={
                "model": facts.get("reported_model") or self._model,
                "prompt": config.prompt,
                "temperature": 0.0,
                "max_tokens": config.max_tokens,
                "concurrency": config.concurrency,
                **self._shown(facts),
                **(_told(training) if training else {}),
            },
            digest=self.ring.base[self.name][1] if launch else None,
            remote=True,
            sent=facts.get("sent", {}),
            vendor=training,
        )


def _told(training: VendorTraining) -> dict[str, str | int | float | None]:
    """What a table of settings shows of a vendor's training; the rest is in the chapter on privacy."""
    return {
        "base": training.base_reported,
        "fine-tuned": training.model,
        "job": training.job,
        **training.hyperparameters,
        "trained_tokens": training.trained_tokens,
    }
