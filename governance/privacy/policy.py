"""What is looked for, how sure the scrubber must be, and what it does not look for.

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
from governance.registry import nearest

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_LIBRARIES = ("presidio-analyzer", "phonenumbers", "spacy")

ENTITIES: Mapping[str, str] = {
    "PERSON": "names of people",
    "EMAIL_ADDRESS": "e-mail addresses",
    "PHONE_NUMBER": "telephone numbers",
    "CREDIT_CARD": "payment card numbers",
    "IBAN_CODE": "bank accounts (IBAN)",
    "IP_ADDRESS": "IP addresses",
    "URL": "web addresses that start with a scheme or www.",
    "US_SSN": "US social security numbers",
    "STREET_ADDRESS": "street addresses, in English",
    "CN_RESIDENT_ID": "Chinese resident ID numbers",
    "WECHAT_ID": "WeChat IDs next to a word that says so",
    "QQ_ID": "QQ numbers next to a word that says so",
}
"""Every entity that a policy may name, in words."""

STRUCTURED = frozenset(ENTITIES) - {"PERSON", "STREET_ADDRESS"}
"""Entities with a format of their own; the rest are found by language, and less reliably."""

GAPS: Mapping[Language, tuple[str, ...]] = {
    "en": (
        "dates of birth, ages, nationalities and other facts that identify only together",
        "passport, driving licence and bank account numbers other than IBAN",
        "web addresses without a scheme or www., and handles on social networks",
        "spellings such as 'john [at] example (dot) com', HTML entities and percent-encoding",
    ),
    "zh": (
        "addresses in Chinese",
        "passports, travel permits, vehicle plates and company codes",
        "courier tracking numbers",
        "facts that identify only together, such as a job and a town",
    ),
}
"""What no policy covers yet, by language of the text."""


class EntityRule(BaseModel):
    """How one kind of personal data is treated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Least score of a find that is acted on."""
    action: Literal["placeholder"] = "placeholder"
    """`placeholder`: the value becomes its kind in brackets, as `[PERSON]`."""


class ScrubPolicy(BaseModel):
    """A scrub policy, as YAML states it; digests of it key what was scrubbed under it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    language: Literal["en", "zh", "auto"] = "auto"
    """Language of the texts; `auto` decides for each by its share of Han characters."""
    ner: Mapping[Language, str | None] = Field(default_factory=dict)
    """Language -> installed spaCy package that finds names; null: names are not looked for."""
    entities: Mapping[str, EntityRule]

    @field_validator("entities")
    @classmethod
    def _known(cls, entities: Mapping[str, EntityRule]) -> Mapping[str, EntityRule]:
        # Presidio only warns about an entity that it doesn't know, and then looks for nothing.
        for name in entities:
            if name not in ENTITIES:
                raise ValueError(f"no entity '{name}'. {nearest(name, ENTITIES)}")
        if not entities:
            raise ValueError("expected at least one entity; a policy that looks for nothing scrubs nothing")
        return entities

    @model_validator(mode="after")
    def _names_need_ner(self) -> ScrubPolicy:
        has_ner = any(self.ner.values())
        if has_ner and "PERSON" not in self.entities:
            raise ValueError("ner: names a model, but entities has no PERSON, which is all that it would be used for")
        if not has_ner and "PERSON" in self.entities:
            raise ValueError("entities: PERSON needs a model under `ner`; without one, drop it: names stay in")
        return self

    @property
    def not_covered(self) -> Mapping[Language, tuple[str, ...]]:
        """Language -> what this policy leaves in texts of that language, in words for reports."""
        return {language: self._gaps(language) for language in LANGUAGES}

    def fingerprint(self) -> str:
        """Digest of all that decides what is taken out: policy, recognisers' source, library and model versions."""
        digest = hashlib.sha256(self.model_dump_json().encode())
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        models = [package for package in self.ner.values() if package is not None]
        for library in (*_LIBRARIES, *sorted(models)):
            digest.update(f"{library}=={_version(library)}".encode())
        return digest.hexdigest()

    def _gaps(self, language: Language) -> tuple[str, ...]:
        unnamed = () if self.ner.get(language) else (ENTITIES["PERSON"],)
        dropped = tuple(words for name, words in ENTITIES.items() if name not in self.entities and name != "PERSON")
        return (*unnamed, *dropped, *GAPS[language])

    def require_models(self) -> None:
        """Check that the packages under `ner` are installed; nothing is ever downloaded.

        Raises:
            ConfigError: one is not.
        """
        for language, package in self.ner.items():
            if package is not None and not _installed(package):
                raise ConfigError(
                    f"scrub policy: ner.{language}: the spaCy package '{package}' is not installed. "
                    f"Install it (pip install {package.replace('_', '-')}), or use the policy 'patterns', "
                    "which needs no model and leaves names in"
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
