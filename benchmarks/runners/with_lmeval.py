"""lm-eval's side of `benchmarks.runner`: SAMPLES FOLDER SETTING -> one JSON line. Run by a Python that has lm-eval.

Its dummy model answers at once, a task of one request per sample compares by exact match, and results and samples are
written by its own tracker. The data set is in memory before the clock starts. Settings:

    default: the task's prompt is a template, as of most tasks that come with it; all else is left alone
    tuned: the same without progress bars, log lines and bootstrap
    functions: tuned, and Python functions make prompt and target, so that no template is compiled for each sample
    kept: functions, and its cache keeps the answers on disk, as ours does
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WARM = 50


def config(samples: Sequence[Any], functions: bool) -> dict[str, Any]:
    """A task of these samples."""
    import datasets

    rows = datasets.Dataset.from_list(list(samples))
    shown: Any = "{{system}}\n\n{{message}}"
    wanted: Any = "{{target}}"
    if functions:
        shown, wanted = (lambda row: f"{row['system']}\n\n{row['message']}"), (lambda row: row["target"])
    return {
        "task": "recommend",
        "custom_dataset": lambda **_: {"test": rows},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": shown,
        "doc_to_target": wanted,
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
        "metric_list": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
    }


def run(samples: Sequence[Any], folder: Path, setting: str) -> tuple[float, float]:
    """CPU seconds of one run, all threads, and the accuracy that it found."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False)
    [task] = manager.load([config(samples, setting in ("functions", "kept"))])["tasks"].values()
    more: dict[str, Any] = {} if setting == "default" else {"bootstrap_iters": 0}
    if setting == "kept":
        more["use_cache"] = str(folder / "answers")
    began = time.process_time()
    tracker = EvaluationTracker(output_path=str(folder))
    found = simple_evaluate("dummy", tasks=[task], task_manager=manager, evaluation_tracker=tracker, **more)
    said = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=said)
    tracker.save_results_samples(task_name="recommend", samples=said["recommend"])
    seconds = time.process_time() - began
    assert len(said["recommend"]) == len(samples)
    return seconds, float(found["results"]["recommend"]["exact_match,none"])


def main() -> None:
    samples = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    folder, setting = Path(sys.argv[2]), sys.argv[3]
    if setting != "default":
        os.environ["TQDM_DISABLE"] = "1"
        logging.disable(logging.WARNING)
    run(samples[:WARM], folder / "warm", setting)
    seconds, accuracy = run(samples, folder / "run", setting)
    print(json.dumps({"seconds": seconds, "samples": len(samples), "accuracy": accuracy}))


if __name__ == "__main__":
    main()
