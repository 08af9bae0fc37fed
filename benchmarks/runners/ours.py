"""Steelyard's side of `benchmarks.runner`: SAMPLES FOLDER -> one JSON line.

What an audit does for a model behind an API, from sealed texts to figures: fill the shipped prompt, ask (a script),
keep every reply in the answer cache on disk, pass it through the gate, read it, write the answers, and measure quality
with intervals. The gate lets everything pass, since the others don't scrub.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from evaluators.base import HELD_OUT, Setting, Subject
from evaluators.tasks.classification import Quality
from governance.answers import load_answers, save_answers
from governance.backends.cache import AnswerCache
from governance.backends.prompts import Prompt
from governance.backends.scripted import Script, ScriptedBackend
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.files import write_atomic
from governance.measure import Outcome

LABELS = Labels(("no", "yes"), positive="yes")
PROMPT = "recommend.en.v1"
CONCURRENCY = 32
WARM = 50


def dataset(samples: Sequence[Any]) -> ScrubbedDataset:
    """Sealed rows, each its own cluster."""
    rows = np.arange(len(samples))
    return ScrubbedDataset(
        rows=rows,
        texts=tuple(ScrubbedText(sample["text"]) for sample in samples),
        labels=tuple(sample["target"].lower() for sample in samples),
        groups={},
        clusters=rows,
        units=None,
    )


def run(samples: Sequence[Any], folder: Path) -> tuple[float, dict[str, float]]:
    """CPU seconds of one run, all threads, and what it found."""
    test = dataset(samples)
    began = time.process_time()
    prompt = Prompt.load(PROMPT).bind(LABELS)
    with AnswerCache(folder / "answers.sqlite") as cache:
        asked = ScriptedBackend(
            Script(("Yes", "No")),
            prompt=prompt,
            gate=lambda text, _: (text, {}),
            cache=cache,
            concurrency=CONCURRENCY,
        )
        answers = asked.classify(test.texts)
    path = save_answers(folder / "answers.parquet", {HELD_OUT: (test.rows, answers)}, LABELS, test)
    subject = Subject("scripted", asked.capabilities, load_answers(path, LABELS), trained=False)
    setting = Setting(LABELS, test.take(np.arange(0)), test, find_personal=lambda texts: [[] for _ in texts])
    outcomes = Quality().measure([subject], setting)
    write_atomic(folder / "figures.json", TypeAdapter(list[Outcome]).dump_json(list(outcomes)))
    seconds = time.process_time() - began
    return seconds, {str(outcome.metric): getattr(outcome, "value", np.nan) for outcome in outcomes}


def main() -> None:
    samples = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    folder = Path(sys.argv[2])
    run(samples[:WARM], folder / "warm")
    seconds, found = run(samples, folder / "run")
    print(json.dumps({"seconds": seconds, "samples": len(samples), "accuracy": found["quality.accuracy"]}))


if __name__ == "__main__":
    main()
