"""The classifier recipe: the same figures from a cut encoder as from a whole one, and a run that survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from governance.dataset import Labels, ScrubbedDataset, SyntheticText
from governance.errors import BackendError, ConfigError
from tests.tiny import BAD, GOOD, write_encoder

LABELS = Labels(("no", "yes"), "yes")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "bert")


def rows(n: int = 120) -> ScrubbedDataset:
    from tests.test_leakage import _rows

    rng = np.random.default_rng(0)
    labels = tuple("yes" if x else "no" for x in rng.random(n) < 0.6)
    words = [" ".join(rng.choice(GOOD if y == "yes" else BAD, 3)) + f" the dress {i % 7}" for i, y in enumerate(labels)]
    made = _rows(n)
    for text, word in zip(made.texts, words, strict=True):
        text.text = word
    return ScrubbedDataset(made.rows, made.texts, labels, {}, made.clusters)


def recipe(**changes: object):  # type: ignore[no-untyped-def]
    from governance.training.classifier import Recipe

    settings = {
        "trained_layers": 1, "epochs": 3, "batch": 16, "learning_rate": 1e-3, "class_weights": {}, "plan": None,
        "seed": 0,
    }  # fmt: skip
    return Recipe(**{**settings, **changes})  # type: ignore[arg-type]


def plan(n: int, **changes: object):  # type: ignore[no-untyped-def]
    from governance.training import private

    settings = {
        "epsilon": 8.0, "delta": 1e-4, "sample_rate": 0.3, "steps": 60, "batch": 36, "clipping": 1.0,
    }  # fmt: skip
    return private.plan(n=n, **{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_cut_encoder_gives_the_same_states_as_a_whole_one(tmp_path: Path, kind: str) -> None:
    """Lower layers cached, upper layers on top of the cache: must equal the encoder in one piece."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from governance.training.encoder import Cut, LowerLayers
    from governance.training.model import Classifier, Shape

    folder = write_encoder(tmp_path / kind, kind=kind)
    lower = LowerLayers(Cut(folder, 1, 16), tmp_path / "cache")
    texts = [SyntheticText(text) for text in ("love the dress", "poor", "so soft and great " * 9)]
    hidden = lower.outputs(texts)
    upper = Classifier(Shape(2, 32, 1, 2), folder).eval()
    whole, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        for i, text in enumerate(texts):
            states, mask = hidden.batch(np.array([i]))
            ours = upper.encoder(inputs_embeds=states, attention_mask=mask.long()).last_hidden_state
            batch = tokenizer(
                text.text, truncation=True, max_length=16, return_tensors="pt", return_token_type_ids=False
            )
            torch.testing.assert_close(ours, whole(**batch).last_hidden_state, atol=4e-3, rtol=0)  # float16 cache
    pooled = hidden.pooled()
    states, mask = hidden.batch(np.arange(3))
    mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(pooled, mean, atol=1e-5, rtol=1e-4)


def test_the_cache_answers_for_what_it_has_seen_and_survives_a_torn_write(tmp_path: Path, base: Path) -> None:
    from governance.training.encoder import Cut, LowerLayers

    cut, folder = Cut(base, 1, 8), tmp_path / "cache"
    seen: list[int] = []
    first = LowerLayers(cut, folder, seen.append)
    texts = [SyntheticText(f"love {i}") for i in range(5)]
    before = first.outputs(texts).pooled()
    assert sum(seen) == 5
    assert first.missing([*texts, SyntheticText("new")]) == 1
    with (folder / "hidden").open("ab") as file:
        file.write(b"torn")  # a chunk whose keys were never written
    with (folder / "keys").open("ab") as file:
        file.write(b"half a key")
    again = LowerLayers(cut, folder, seen.append)
    assert (again.outputs(texts[::-1]).pooled().numpy()[::-1] == before.numpy()).all()
    assert sum(seen) == 5
    again.outputs([*texts, SyntheticText("new")])
    assert sum(seen) == 6
    assert not any(b"love" in file.read_bytes() for file in folder.iterdir())


def test_a_model_that_cannot_be_cut_is_refused(tmp_path: Path, base: Path) -> None:
    from governance.training.encoder import Cut, LowerLayers

    with pytest.raises(BackendError, match="has 3 layers; can't keep the lower 4"):
        LowerLayers(Cut(base, 4, 8), tmp_path / "c")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackendError, match="expected a Hugging Face encoder folder"):
        LowerLayers(Cut(tmp_path, 1, 8), tmp_path / "c")


@pytest.mark.slow
def test_training_learns_and_the_same_seed_gives_the_same_weights(tmp_path: Path, base: Path) -> None:
    from governance.backends.hf import ClassifierBackend
    from governance.files import digest_file
    from governance.training.classifier import read_curve, train
    from governance.training.encoder import Cut, LowerLayers
    from governance.training.model import WEIGHTS

    data = rows()
    lower = LowerLayers(Cut(base, 1, 16), tmp_path / "cache")
    for name in ("a", "b"):
        train(recipe(epochs=6, learning_rate=3e-3), data, LABELS, lower, tmp_path / name)
    assert digest_file(tmp_path / "a" / WEIGHTS) == digest_file(tmp_path / "b" / WEIGHTS)
    train(recipe(epochs=6, learning_rate=3e-3, seed=1), data, LABELS, lower, tmp_path / "c")
    assert digest_file(tmp_path / "c" / WEIGHTS) != digest_file(tmp_path / "a" / WEIGHTS)
    losses = [point["loss"] for point in read_curve(tmp_path / "a")]
    assert losses[-1] < 0.8 * losses[0]
    answers = ClassifierBackend(tmp_path / "a", lower, LABELS).classify(data.texts)
    right = np.mean([answer.label == label for answer, label in zip(answers, data.labels, strict=True)])
    assert right > 0.9
    assert all(answer.scores and abs(sum(answer.scores) - 1) < 1e-9 and answer.seconds > 0 for answer in answers)


@pytest.mark.slow
def test_an_interrupted_epoch_changes_nothing(tmp_path: Path, base: Path) -> None:
    from governance.files import digest_file
    from governance.training.classifier import train
    from governance.training.encoder import Cut, LowerLayers
    from governance.training.model import WEIGHTS

    data = rows()
    lower = LowerLayers(Cut(base, 1, 16), tmp_path / "cache")
    train(recipe(), data, LABELS, lower, tmp_path / "whole")
    seen = 0

    def stop_in_the_second_epoch(units: int) -> None:
        nonlocal seen
        seen += units
        if seen > 1.5 * len(data):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(), data, LABELS, lower, tmp_path / "cut", stop_in_the_second_epoch)
    assert (tmp_path / "cut/epoch.safetensors").exists()
    train(recipe(), data, LABELS, lower, tmp_path / "cut")
    assert digest_file(tmp_path / "cut" / WEIGHTS) == digest_file(tmp_path / "whole" / WEIGHTS)
    assert not (tmp_path / "cut/epoch.safetensors").exists()


# -- private training --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "delta", "epsilon"),
    [(1.0, 0.01, 1000, 1e-5, 1.838), (0.7, 0.05, 500, 1e-5, 16.49), (1.0, 0.001, 10_000, 1e-6, 0.565)],
)
def test_epsilon_is_the_published_one(sigma: float, rate: float, steps: int, delta: float, epsilon: float) -> None:
    from governance.training.private import Plan, epsilon_after

    made = Plan(
        n=1000, sample_rate=rate, steps=steps, batch=10, clipping=1.0, sigma=sigma, epsilon=epsilon, delta=delta
    )
    assert epsilon_after(made, steps) == pytest.approx(epsilon, abs=0.012)  # the accountant's own error is 0.01


def test_a_plan_reaches_its_target_and_no_more() -> None:
    from governance.training.private import epsilon_after

    made = plan(1000, epsilon=3.0, delta=1e-4, sample_rate=0.1, steps=50)
    spent = epsilon_after(made, 50)
    assert 2.9 < spent <= 3.0
    assert epsilon_after(made, 25) < spent


def test_a_delta_that_one_record_could_eat_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"private\.delta: expected below 1/n = 0\.001 for 1000 training rows"):
        plan(1000, delta=1e-3)


def trained(tmp_path: Path, base: Path, name: str = "p", **changes: object):  # type: ignore[no-untyped-def]
    from governance.training.classifier import read_claim, train
    from governance.training.encoder import Cut, LowerLayers

    data = rows()
    lower = LowerLayers(Cut(base, 1, 16), tmp_path / "cache")
    settings = {"trained_layers": 0, "learning_rate": 0.5, "plan": plan(len(data)), **changes}
    train(recipe(**settings), data, LABELS, lower, tmp_path / name)
    return data, lower, read_claim(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, 1])
def test_private_training_learns_and_claims_what_it_did(tmp_path: Path, base: Path, layers: int) -> None:
    from governance.backends.hf import ClassifierBackend
    from governance.training.classifier import read_curve

    data, lower, claim = trained(tmp_path, base, trained_layers=layers, plan=plan(120, epsilon=50.0))
    assert claim is not None
    assert (claim.steps, claim.sampling, claim.normaliser) == (60, "poisson", 36.0)
    assert 45 < claim.epsilon <= 50.0
    answers = ClassifierBackend(tmp_path / "p", lower, LABELS).classify(data.texts)
    assert np.mean([a.label == label for a, label in zip(answers, data.labels, strict=True)]) > 0.75
    assert all("loss" not in point for point in read_curve(tmp_path / "p"))  # a training loss is private


@pytest.mark.slow
def test_two_private_runs_differ_and_no_seed_is_kept(tmp_path: Path, base: Path) -> None:
    from governance.files import digest_file
    from governance.training.model import WEIGHTS

    for name in ("a", "b"):
        trained(tmp_path, base, name)
    assert digest_file(tmp_path / "a" / WEIGHTS) != digest_file(tmp_path / "b" / WEIGHTS)
    kept = b"".join(f.read_bytes() for f in (tmp_path / "a").iterdir() if f.suffix in (".json", ".jsonl"))
    assert b'"seed"' not in kept


@pytest.mark.slow
def test_one_record_moves_a_noiseless_step_by_no_more_than_its_bound(tmp_path: Path, base: Path) -> None:
    """With next to no noise and every row drawn, adding a row moves the sum of gradients by at most the clipping."""
    import torch

    from governance.training import private
    from governance.training.model import Classifier, Shape

    torch.manual_seed(0)
    states, targets = 50 * torch.randn(9, 32), torch.tensor([0, 1] * 4 + [1])
    moved = []
    for n in (8, 9):
        model = Classifier(Shape(2, 32, 1, 0))
        quiet = private.Plan(
            n=n, sample_rate=1 - 1e-9, steps=1, batch=4, clipping=0.5, sigma=1e-9, epsilon=1, delta=1e-3
        )
        private.train(
            model, quiet, inputs=lambda rows: (states[rows], None), targets=targets[:n],
            class_weights=torch.tensor([9.0, 9.0]), learning_rate=1.0, directory=tmp_path / str(n),
        )  # fmt: skip
        moved.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (moved[1] - moved[0]).norm() * 4 == pytest.approx(0.5, rel=1e-3)  # the clipped row itself, over the divisor


@pytest.mark.slow
def test_a_broken_row_contributes_nothing(tmp_path: Path) -> None:
    import torch

    from governance.training import private
    from governance.training.model import Classifier, Shape

    states, targets = torch.randn(40, 8), torch.randint(0, 2, (40,))
    states[3] = float("nan")
    model = Classifier(Shape(2, 8, 1, 0))
    private.train(
        model, plan(40, delta=1e-3, steps=20), inputs=lambda rows: (states[rows], None), targets=targets,
        class_weights=torch.ones(2), learning_rate=0.1, directory=tmp_path,
    )  # fmt: skip
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


@pytest.mark.slow
def test_an_empty_draw_still_takes_a_noised_step(tmp_path: Path) -> None:
    import torch

    from governance.training import private
    from governance.training.model import Classifier, Shape

    model = Classifier(Shape(2, 8, 1, 0))
    empty = private.Plan(n=5, sample_rate=1e-9, steps=3, batch=1, clipping=1.0, sigma=1.0, epsilon=1, delta=1e-3)
    charged = private.train(
        model, empty, inputs=lambda rows: (torch.zeros(len(rows), 8), None), targets=torch.zeros(5, dtype=torch.long),
        class_weights=torch.ones(2), learning_rate=1.0, directory=tmp_path,
    )  # fmt: skip
    assert charged == 3
    assert float(model.head.weight.detach().abs().sum()) > 0


@pytest.mark.slow
def test_a_run_killed_after_its_weights_keeps_them(tmp_path: Path, base: Path) -> None:
    """Between the last checkpoint's removal and the stage's renaming, a second attempt must not train anew."""
    from governance.files import digest_file
    from governance.training.model import WEIGHTS

    trained(tmp_path, base)
    before = digest_file(tmp_path / "p" / WEIGHTS)
    _, _, claim = trained(tmp_path, base)
    assert digest_file(tmp_path / "p" / WEIGHTS) == before
    assert claim.steps == 60


KILLED = """
import sys, time
from pathlib import Path
from tests.test_training import trained
from governance.training import private
step = private._step
def slow(*arguments):
    time.sleep(0.05)
    step(*arguments)
private._step = slow
trained(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_private_run_resumes_with_every_step_charged(tmp_path: Path, base: Path) -> None:
    from governance.journal import Journal
    from governance.training.private import epsilon_after

    charged = [0]
    for delay in (0.1, 0.4, 1.2):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(base)]
        child = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
        journal = tmp_path / "p/charged.jsonl"
        deadline = time.monotonic() + 60
        while not journal.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        charged.append(int(str(Journal(journal).entries[-1]["charged"])))
    assert charged == sorted(charged)
    assert 0 < charged[1] < 60
    _, _, claim = trained(tmp_path, base)
    entries = [int(str(entry["charged"])) for entry in Journal(tmp_path / "p/charged.jsonl").entries]
    assert entries[-1] == claim.steps == 60
    assert all(later - earlier <= 20 for earlier, later in pairwise(entries))
    assert claim.epsilon == pytest.approx(epsilon_after(plan(120), 60))
    assert not list((tmp_path / "p").glob("*.safetensors.tmp"))
    assert json.loads((tmp_path / "p/claim.json").read_text())["steps"] == 60
