"""promptfoo's output (`promptfoo eval -o out.json`): every provider and prompt is a system of its own.

Source:
    `OutputFile`, `EvaluateSummaryV2`, `EvaluateSummaryV3` and `EvaluateResult` in promptfoo's src/types/index.ts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from governance.errors import RecordError
from governance.imports.hostile import checked
from governance.imports.logs import Log, column, coverage, plain, row_key, short_name

VERSIONS = (2, 3, 4)
FAILED = 2  # promptfoo's ResultFailureReason.ERROR; 1 is an assertion that wasn't met
Name = Annotated[str, Field(max_length=500)]


class _Lax(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Provider(_Lax):
    id: Name | None = None
    label: Name | None = None


class _Prompt(_Lax):
    id: Name | None = None
    label: str | None = None  # the template itself, where it has no name
    display: str | None = None  # what older versions call it


class _Result(_Lax):
    success: bool
    score: float
    vars: dict[str, Any] = Field(default_factory=dict)
    provider: _Provider | Name
    prompt: _Prompt = _Prompt()
    place: int = Field(default=0, alias="testIdx")  # repeated tests stand in the order of their answers
    prompt_id: Name | None = Field(default=None, alias="promptId")
    error: str | None = None
    failure: int | None = Field(default=None, alias="failureReason")
    grading: dict[str, Any] | None = Field(default=None, alias="gradingResult")
    named: dict[Name, float] = Field(default_factory=dict, alias="namedScores")

    @property
    def failed(self) -> bool:
        """Whether there is no answer to grade. Older versions don't say; then nothing was graded."""
        return self.failure == FAILED if self.failure is not None else bool(self.error) and not self.grading

    @property
    def system(self) -> tuple[str, str]:
        """Provider, and a digest of the prompt's template."""
        given = self.provider if isinstance(self.provider, _Provider) else _Provider(id=self.provider)
        prompt = self.prompt_id or self.prompt.id or self.prompt.label or self.prompt.display or ""
        return short_name(given.label or given.id or "unnamed"), row_key(prompt)


class _Summary(_Lax):
    version: int
    results: list[_Result] = Field(min_length=1, max_length=1_000_000)


class _Metadata(_Lax):
    version: Name | None = Field(default=None, alias="promptfooVersion")


class _Config(_Lax):
    description: str | None = None


class _Output(_Lax):
    results: _Summary
    config: _Config = _Config()
    metadata: _Metadata | None = None


def is_promptfoo(raw: Any) -> bool:
    """Whether JSON looks like promptfoo's, with or without what its command puts around a summary."""
    inner = raw.get("results") if isinstance(raw, dict) else None
    return isinstance(inner, list) or (isinstance(inner, dict) and isinstance(inner.get("results"), list))


def read_promptfoo(path: Path, raw: Any) -> tuple[Log, ...]:
    """One log per provider and prompt, all on the one suite.

    Raises:
        RecordError: not promptfoo's format, or a version of it that this one doesn't know.
    """
    output = checked(_Output, raw if isinstance(raw["results"], dict) else {"results": raw}, str(path))
    summary = output.results
    if summary.version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        raise RecordError(f"{path}: results.version: expected one of {known}, found {summary.version}")
    systems: dict[tuple[str, str], list[_Result]] = {}
    for result in sorted(summary.results, key=lambda result: result.place):
        systems.setdefault(result.system, []).append(result)
    prompts = {provider: [prompt for own, prompt in systems if own == provider] for provider, _ in systems}
    return tuple(
        _log(str(path), output, _called(provider, prompt, prompts[provider]), results)
        for (provider, prompt), results in systems.items()
    )


def _called(provider: str, prompt: str, prompts: Sequence[str]) -> str:
    """A system's name; prompts by their number, for their labels are mostly their texts."""
    return provider if len(prompts) == 1 else f"{provider} prompt {prompts.index(prompt) + 1}"


def _log(where: str, output: _Output, model: str, results: Sequence[_Result]) -> Log:
    # The same variables twice (`--repeat`) are one test: a cluster.
    tests = [row_key(result.vars) for result in results]
    turns: Mapping[str, int] = dict.fromkeys(tests, 0)
    turns, keys = dict(turns), []
    for test in tests:
        keys.append(row_key(test, turns[test]))
        turns[test] += 1
    rows = list(zip(keys, tests, results, strict=True))
    graded = [(key, test, result) for key, test, result in rows if not result.failed]
    scores = {"pass": column(where, [(key, test, float(result.success)) for key, test, result in graded])}
    if any(result.score != float(result.success) for _, _, result in graded):
        scores["score"] = column(where, [(key, test, result.score) for key, test, result in graded])
    for name in dict.fromkeys(name for _, _, result in graded for name in result.named):
        label = f"{name} score" if name in ("pass", "score") else name
        if label in scores:
            raise RecordError(f"{where}: two of its scores would both be called alike")
        found = [(key, test, result.named[name]) for key, test, result in graded if name in result.named]
        scores[label] = column(where, found)
    return Log(
        tool="promptfoo",
        version=plain((output.metadata.version if output.metadata else None) or "unknown"),
        task=(output.config.description or "promptfoo")[:80],
        model=model,
        asked=len(rows),
        coverage=coverage(where, [(key, test, not result.failed) for key, test, result in rows], len(rows)),
        scores=dict(scores),
        settings={"format": output.results.version},
    )
