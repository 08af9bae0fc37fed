"""Inspect's side of `benchmarks.runner`: SAMPLES FOLDER default|tuned -> one JSON line.

Its mock model answers at once (with `usage`, or Inspect would count tokens with a tokenizer that it downloads), its
own scorer compares, and its log is written in its own fast format.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import exact
from inspect_ai.solver import generate

WARM = 50
ALWAYS: dict[str, Any] = {"display": "none", "log_level": "error"}
TUNED: dict[str, Any] = {
    "log_realtime": False,
    "log_model_api": False,
    "log_level_transcript": "error",
    "log_header_only": True,
    "score_display": False,
    "ctl_server": False,
    "max_connections": 32,
    "log_buffer": 1_000,
}
SETTINGS = {"default": ALWAYS, "tuned": ALWAYS | TUNED}


def cpu() -> float:
    """Seconds of this process, all threads, and of what it started and waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run(samples: Sequence[Any], folder: Path, settings: dict[str, Any]) -> tuple[float, float]:
    """CPU seconds of one run, and the accuracy that it found."""
    turns = itertools.cycle(("Yes", "No"))

    def answer(*_: object) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", next(turns))
        output.usage = ModelUsage(input_tokens=60, output_tokens=1, total_tokens=61)
        return output

    rows = [
        Sample(
            input=[ChatMessageSystem(content=s["system"]), ChatMessageUser(content=s["message"])], target=s["target"]
        )
        for s in samples
    ]
    task = Task(dataset=MemoryDataset(rows), solver=generate(), scorer=exact())
    model = get_model("mockllm/model", custom_outputs=answer)
    began = cpu()
    [log] = eval(task, model=model, log_dir=str(folder), **settings)
    seconds = cpu() - began
    assert log.status == "success" and log.results is not None, log.error
    assert log.results.completed_samples == len(samples)
    return seconds, float(log.results.scores[0].metrics["mean"].value)


def main() -> None:
    samples = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    folder, settings = Path(sys.argv[2]), SETTINGS[sys.argv[3]]
    run(samples[:WARM], folder / "warm", settings)
    seconds, accuracy = run(samples, folder / "run", settings)
    print(json.dumps({"seconds": seconds, "samples": len(samples), "accuracy": accuracy}))


if __name__ == "__main__":
    main()
