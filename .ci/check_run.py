"""Check what a quickstart audit wrote: complete, whole, and saying the same as its exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from governance.record import load_record


def main(runs: Path, code: int) -> None:
    """Exit with a complaint, or print what was found."""
    [path] = runs.glob("quickstart/*/record.json")
    run = path.parent
    record = load_record(run)  # checks every file's digest
    models = {entry.name for entry in record.models}
    if models != {"baseline", "open", "open-private", "closed"}:
        sys.exit(f"expected four models, found {sorted(models)}")
    metrics = {outcome.metric.partition(".")[0] for outcome in record.outcomes}
    missing = {"quality", "fairness", "privacy", "membership", "scrubber", "leakage", "explanation", "data"} - metrics
    if missing:
        sys.exit(f"no outcome of {sorted(missing)}")
    out = run / "latest"
    cards = [f"card/{model}.{ending}" for model in models for ending in ("md", "cdx.json")]
    cards += ["card/data.md", "card/data.croissant.json"]
    for name in ("report.html", "junit.xml", "summary.md", "verdict.json", *cards):
        if not (out / name).stat().st_size:
            sys.exit(f"{name} is empty")
    verdict = json.loads((runs / "verdict.json").read_bytes())
    if verdict["exit_code"] != code or {model["model"] for model in verdict["models"]} != models:
        sys.exit("the verdict on stdout does not match the exit code or the models")
    print(f"quickstart: {len(record.outcomes)} outcomes, {len(models)} models, all files there and whole")  # noqa: T201 - what CI reads


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
