"""The YAML of a table audit: decisions that somebody else's system took, and whom they concern."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.config import Audit, Bands, Name, read_if

KINDS: Mapping[str, str] = {
    "classification": "evaluators.decisions:DecisionGaps",
    "generation": "evaluators.generation:OutputGaps",
    "prices": "evaluators.prices:PriceGaps",
    "ranking": "evaluators.ranking:RankingFairness",
    "regression": "evaluators.regression:RegressionGaps",
    "selection": "evaluators.ll144:SelectionTables",
}


class TableConfig(BaseModel):
    """Where the rows are, what kind of decision they hold, and which column is what."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str  # a file, or package:module/path
    kind: Literal["classification", "generation", "prices", "ranking", "regression", "selection"]
    columns: dict[str, str]  # role -> column; which roles there are depends on the kind
    positive: str | None = None  # classification: the class that rates speak of
    groups: tuple[str, ...] = ()
    bands: dict[str, Bands] = Field(default_factory=dict)
    cluster: str | None = None
    name: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _some_group(self) -> TableConfig:
        if not self.groups and not self.bands:
            raise ValueError("expected at least one sensitive column under groups or bands")
        return self

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Sensitive columns; every band is one."""
        return tuple(dict.fromkeys((*self.groups, *self.bands)))


class TableAuditConfig(Audit):
    """One audit of one table of decisions."""

    model: Name = "decisions"  # what the report calls the system that took them
    table: TableConfig
    settings: dict[str, Any] = Field(default_factory=dict)  # of the evaluator of this kind
    policy: str | None = None  # None: the one that ships for this kind

    @property
    def policy_name(self) -> str:
        """The policy that judges the record."""
        return self.policy or f"table-{self.table.kind}"


def load_table_config(source: str) -> tuple[TableAuditConfig, Path] | None:
    """Read a config if it is one of a table audit; None: it is one of another audit, or there is none of that name.

    Raises:
        ConfigError: the message names file and key.
    """
    return read_if(TableAuditConfig, "table", source)
