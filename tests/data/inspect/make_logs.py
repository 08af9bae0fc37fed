"""Makes the two `.eval` logs beside it, with inspect-ai's mock model: see ../README.md.

`python make_logs.py` in an environment with inspect-ai, and without a network.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

ANSWERS = ["blue", "free", "three", "yes", "no", "Monday", "red", "large", "card", "cash", "week", "month"]
MODELS = {"careful": (0.8, 1), "hasty": (0.4, 2)}  # share of right answers, seed


def task(name: str) -> Any:
    """Twelve questions, each asked three times; one of them fails in its second epoch."""
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Score, match, mean, scorer, stderr
    from inspect_ai.solver import generate, solver

    @scorer(metrics=[mean(), stderr()])
    def brevity() -> Any:
        async def score(state: Any, target: Any) -> Score:
            return Score(value=round(10 / (10 + len(state.output.completion)), 4))

        return score

    @scorer(metrics={"polite": [mean()], "short": [mean(), stderr()]})
    def manners() -> Any:
        async def score(state: Any, target: Any) -> Score:
            said = state.output.completion
            return Score(value={"polite": "please" in said, "short": len(said) < 6})

        return score

    @solver
    def breaks_once() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            if "Question 7" in state.input_text and state.epoch == 2:
                raise RuntimeError("made to fail")
            return state

        return solve

    samples = [Sample(id=f"q{i}", input=f"Question {i} of a customer", target=a) for i, a in enumerate(ANSWERS)]
    return Task(
        name=name,
        dataset=samples,
        solver=[breaks_once(), generate()],
        scorer=[match(), brevity(), manners()],
        epochs=3,
        fail_on_error=False,
    )


def run(model: str, folder: str) -> Path:
    """One model's log."""
    from inspect_ai import eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    share, seed = MODELS[model]
    rng = random.Random(seed)

    def answer(messages: Any, *_: Any) -> ModelOutput:
        right = ANSWERS[int(messages[-1].text.split()[1])]
        output = ModelOutput.from_content(model, right if rng.random() < share else "please ask a colleague")
        # Given, so that the mock model needn't fetch a tokenizer to count.
        output.usage = ModelUsage(input_tokens=6, output_tokens=3, total_tokens=9)
        return output

    mock = get_model(f"mockllm/{model}", custom_outputs=answer)
    (log,) = eval(task("shop_answers"), model=mock, log_dir=folder, display="none", max_samples=1)
    return Path(log.location)


def scrubbed(source: Path, target: Path) -> None:
    """Write a log again without what tells where it was made: tracebacks with paths, a commit."""
    from inspect_ai.log import read_eval_log, write_eval_log

    log = read_eval_log(source)
    log.eval.revision = None  # of the repository that it happened to be made in
    for sample in log.samples or []:
        for failed in (sample, *sample.events):
            error = getattr(failed, "error", None)
            if error is not None and not isinstance(error, str):
                error.traceback = error.traceback_ansi = ""
    write_eval_log(log, target)


if __name__ == "__main__":
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            scrubbed(run(name, folder), Path(__file__).parent / f"{name}.eval")
