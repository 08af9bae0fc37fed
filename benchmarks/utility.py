"""What privacy costs in quality: make bench NAME=utility

The quickstart's clothing reviews, its split and its scrubbed texts; recipes without privacy and at epsilon 8 and 3.
Three seeds each (a private run draws from the operating system, so its "seeds" are three runs). An interval is a
bootstrap over held-out rows, products as clusters, of the mean over seeds: the spread over seeds stands beside it. Then
SmolLM2-135M with LoRA on 1,000 made-up product records, one run each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.products import product_copy
from governance.audit import scrubbed
from governance.dataset import Labels, ScrubbedDataset
from governance.modelconfig import TfidfModel
from governance.statistics.bootstrap import ClusterBootstrap, Ranking
from governance.store import versions
from governance.training.classifier import Features, Recipe, probabilities, train
from governance.training.dp.plan import plan
from governance.training.encoder import Cut, LowerLayers
from governance.training.loop import Settings
from governance.training.model import load

SEEDS = 3
DELTA = 1e-5
HEAD = Settings(
    learning_rate=20,
    optimizer="sgd",
    momentum=0,
    schedule="constant",
    warm_up=0,
    average=0.5,
    physical=8192,
    epochs=200,
)
LAYERS = Settings(learning_rate=1e-4, new_rate=10, epochs=2, batch=32, physical=256)


class Free:
    """A benchmark's runs are charged to nobody: the reviews are public."""

    charged = 0

    def charge(self, steps: int) -> None:
        """Count."""
        self.charged += steps


@dataclass(frozen=True)
class Task:
    """Both sides of the split, and where encoders' lower layers keep what they computed."""

    train: ScrubbedDataset
    test: ScrubbedDataset
    labels: Labels
    base: Path
    cache: Path

    def features(self, max_tokens: int) -> Features:
        return Features(LowerLayers(Cut(self.base, 4, max_tokens), self.cache / f"lower-{max_tokens}"))


Arm = Callable[[Task, int], np.ndarray]
"""Scores of the positive class on held-out rows."""


def tfidf(task: Task, seed: int) -> np.ndarray:
    from governance.backends.sklearn import SklearnBackend
    from governance.training import tfidf as recipe

    with tempfile.TemporaryDirectory() as folder:
        settings = TfidfModel(kind="tfidf-logistic")
        recipe.train(
            task.train, task.labels, Path(folder), max_features=settings.max_features,
            regularisation=settings.regularisation, language="en", seed=seed,
        )  # fmt: skip
        answers = SklearnBackend(Path(folder) / recipe.WEIGHTS, task.labels).classify(task.test.texts)
    return np.array([answer.scores[1] for answer in answers])


def classifier(recipe: Recipe, *, epsilon: float | None = None, private: Mapping[str, Any] | None = None) -> Arm:
    def run(task: Task, seed: int) -> np.ndarray:
        n, made = len(task.train), recipe
        if epsilon is not None:
            given = private or {}
            batch = n * given.get("sample_rate", 1.0)
            made = replace(made, plan=plan(n=n, epsilon=epsilon, delta=DELTA, **{"batch": batch, **given}))
        made = replace(made, settings=replace(made.settings, seed=seed, batch=min(made.settings.batch, n)))
        seen = task.features(64)
        with tempfile.TemporaryDirectory() as folder:
            train(made, task.train, task.labels, seen, Path(folder), charges=Free() if made.plan else None)
            return probabilities(load(Path(folder), seen.lower.cut), seen, task.test.texts)[:, 1]

    return run


WORDS = Recipe(trained_layers=0, word_buckets=65536, class_weights={"0": 1.0, "1": 0.25}, settings=HEAD)
EVERY_ROW = {"sample_rate": 1.0, "steps": 200, "clipping": 0.7071}
LORA = replace(WORDS, trained_layers=1, rank=8, settings=replace(HEAD, learning_rate=2, new_rate=10, physical=256))
SOME_ROWS = {"sample_rate": 0.1, "steps": 80, "clipping": 0.7071}
ARMS: Mapping[str, Arm] = {
    "TF-IDF + logistic regression": tfidf,
    "head on words + 4th layer, no privacy": classifier(replace(WORDS, settings=replace(HEAD, batch=10**9))),
    "head on words + 4th layer, epsilon 8": classifier(WORDS, epsilon=8, private=EVERY_ROW),
    "head on words + 4th layer, epsilon 3": classifier(
        replace(WORDS, settings=replace(HEAD, learning_rate=10)), epsilon=3, private=EVERY_ROW
    ),
    "LoRA on the 5th layer + head on words, epsilon 8": classifier(LORA, epsilon=8, private=SOME_ROWS),
    "top two layers, no privacy": classifier(
        Recipe(trained_layers=2, class_weights={"0": 2.8, "1": 0.6}, settings=LAYERS)
    ),
}


def figures(task: Task, scores: list[np.ndarray]) -> dict[str, Any]:
    """AUC and balanced accuracy: mean over seeds, its interval over held-out rows, least and most over seeds."""
    truth = np.array([label == task.labels.positive for label in task.test.labels])
    draws = ClusterBootstrap(task.test.clusters, draws=1000)
    rankings = [Ranking(one, truth) for one in scores]
    aucs = [float(ranking.auc()[0]) for ranking in rankings]
    auc_draws = np.mean([draws.rows(ranking.auc) for ranking in rankings], axis=0)

    def balanced(weights: np.ndarray, said: np.ndarray) -> np.ndarray:
        right = weights * (said == truth)
        rates = [right[:, side].sum(1) / weights[:, side].sum(1) for side in (truth, ~truth)]
        return np.mean(rates, axis=0)

    one = np.ones((1, len(truth)))
    accuracies = [float(balanced(one, score > 0.5)[0]) for score in scores]
    accuracy_draws = np.mean([draws.rows(lambda w, s=score: balanced(w, s > 0.5)) for score in scores], axis=0)
    found: dict[str, Any] = {}
    for name, values, drawn in (("auc", aucs, auc_draws), ("balanced_accuracy", accuracies, accuracy_draws)):
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = {
            "mean": np.mean(values), "low": low, "high": high, "least": min(values), "most": max(values)
        }  # fmt: skip
    return found


def told(figure: Mapping[str, float]) -> str:
    return (
        f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] ({figure['least']:.3f}-{figure['most']:.3f})"
    )


def main() -> None:
    """Print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", choices=["6000", "all"], default="6000", help="training rows")
    parser.add_argument("--only", help="arms whose name holds this, or 'products'")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        plan_of, rows = scrubbed("quickstart" if given.rows == "6000" else "clothing-full", Path(kept))
        task = Task(rows.train, rows.test, plan_of.labels, plan_of.bases["open"], Path(kept))
        found: dict[str, Any] = {}
        print(f"{len(task.train)} training rows, {len(task.test)} held out, {given.seeds} seeds, delta {DELTA:g}\n")
        print("| recipe | AUC [95 %] (least-most) | balanced accuracy | seconds a run |\n|---|---|---|---|")
        for name, arm in ARMS.items():
            if given.only and given.only not in name:
                continue
            began = time.perf_counter()
            found[name] = figures(task, [arm(task, seed) for seed in range(given.seeds)])
            spent = (time.perf_counter() - began) / given.seeds
            row = [name, told(found[name]["auc"]), told(found[name]["balanced_accuracy"]), f"{spent:.0f}"]
            print(f"| {' | '.join(row)} |", flush=True)
        if given.only in {None, "products"}:
            found["products"] = product_copy(Path(kept))
    found["versions"] = dict(versions("torch", "opacus", "transformers", "peft"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
