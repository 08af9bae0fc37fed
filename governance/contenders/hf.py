"""A Hugging Face model of this machine, used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.contenders.base import Contender, Ring, public_name
from governance.modelconfig import HFModel
from governance.record import ModelEntry
from governance.store import code_digest, versions

_PROTOCOLS = {"classification": "head", "qa": "extracted", "embedding": "embedding", "cross-encoder": "scored"}
_HELD = ("gguf", "peft")  # what else may decide how weights are read


class HF(Contender):
    """A local model: a folder, a GGUF file or a pinned commit of a hub's repository."""

    trained = False

    def __init__(self, name: str, config: HFModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

    @property
    @override
    def protocol(self) -> str:
        return _PROTOCOLS.get(self.config.head, self.config.protocol)

    @override
    def prepare(self) -> None:
        """Nothing is trained here; a GGUF file is unpacked when it is opened."""

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return self.config.computing

    @override
    def identity(self) -> Mapping[str, object]:
        prompt = self.ring.prompts.get(self.name)
        # Its batches and threads do not change what it answers, beyond rounding.
        shaping = {key: value for key, value in self._settings.items() if key not in {"batch_tokens", "threads"}}
        return {
            "weights": self.ring.base[self.name][1],
            "settings": shaping,
            "prompt": None if prompt is None else prompt.digest(),
            "code": code_digest(
                *("governance.backends.hf", "governance.backends.gguf", "governance.training.recipes.tokens"),
                *("governance.backends.prompts", "governance.backends.taskprompts", "governance.privacy"),
            ),
            "versions": dict(versions("torch", "transformers", "tokenizers", "safetensors", *_HELD)),
        }

    @override
    def open(self) -> Backend:
        from governance.backends.hf import Settings, open_model

        with self.ring.progress.stage(f"load {self.name}"):
            return open_model(
                self._folder(),
                Settings(**self._settings),
                gate=self.ring.gate,
                labels=self.ring.labels,
                prompt=self.ring.prompts.get(self.name),
            )

    def _folder(self) -> Path:
        """Where plain weights are; a GGUF file's are unpacked the first time, and kept."""
        base, digest = self.ring.base[self.name]
        if not base.is_file():
            return base
        from governance.backends.gguf import convert

        dtype = "bfloat16" if self.config.dtype == "bfloat16" else "float32"
        folder = self.ring.store.root / f"model-{digest[-16:]}-{dtype}" / base.stem
        return convert(base, folder, dtype=dtype, chat=False)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config = self.config
        shown = {key: value for key, value in self._settings.items() if key in config.model_fields_set}
        labels = shown.pop("labels", None)
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or "local model",
            source="/".join(filter(None, (public_name(config.base), config.file))),
            licence=config.licence,
            note=config.note,
            settings={
                **shown,
                "head": config.head,
                "dtype": config.dtype,
                "device": config.device,
                **({"labels": ", ".join(f"{name}: {label}" for name, label in labels.items())} if labels else {}),
                **({"revision": config.revision} if config.revision else {}),
                **({"prompt": config.prompt} if config.prompt else {}),
                **({"other_prompts": ", ".join(one.prompt.name for one in self.wordings)} if self.wordings else {}),
            },
            digest=self.ring.base[self.name][1],
        )
