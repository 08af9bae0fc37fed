"""The classifier recipe: the same figures from a cut encoder as from a whole one, and a run that survives a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


class Paid:
    """A budget book that agrees to everything."""

    def __init__(self) -> None:
        self.charged = 0

    def charge(self, steps: int) -> None:
        self.charged += steps


def recipe(**changes: object):  # type: ignore[no-untyped-def]
    """What is not a recipe's own goes to the loop's settings."""
    from governance.training.classifier import Recipe
    from governance.training.loop import Settings

    own = {"trained_layers": 1, "class_weights": {}}
    own |= {key: changes.pop(key) for key in tuple(changes) if key in Recipe.__dataclass_fields__}
    loop = {"epochs": 3, "batch": 16, "learning_rate": 1e-3, "new_rate": 10.0, **changes}
    return Recipe(**own, settings=Settings(**loop))  # type: ignore[arg-type]


def plan(n: int, **changes: object):  # type: ignore[no-untyped-def]
    from governance.training.dp.plan import plan as planned

    settings = {
        "epsilon": 8.0, "delta": 1e-4, "sample_rate": 0.3, "steps": 60, "batch": 36, "clipping": 1.0,
    }  # fmt: skip
    return planned(n=n, **{**settings, **changes})  # type: ignore[arg-type]


def features(tmp_path: Path, base: Path):  # type: ignore[no-untyped-def]
    from governance.training.classifier import Features
    from governance.training.encoder import Cut, LowerLayers

    return Features(LowerLayers(Cut(base, 1, 16), tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_cut_encoder_gives_the_same_states_as_a_whole_one(tmp_path: Path, kind: str) -> None:
    """Lower layers cached, upper layers on top of the cache: must equal the encoder in one piece."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from governance.training.encoder import Cut, LowerLayers
    from governance.training.model import Shape, build

    folder = write_encoder(tmp_path / kind, kind=kind)
    lower = LowerLayers(Cut(folder, 1, 16), tmp_path / "cache")
    texts = [SyntheticText(text) for text in ("love the dress", "poor", "so soft and great " * 9)]
    hidden = lower.outputs(texts)
    upper: Any = build(Shape(2, 32, 1, 2), folder).eval()
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
@pytest.mark.parametrize(("layers", "buckets", "rank"), [(1, 0, 0), (0, 0, 0), (0, 512, 0), (1, 512, 4)])
def test_training_learns_and_the_same_seed_gives_the_same_weights(
    tmp_path: Path, base: Path, layers: int, buckets: int, rank: int
) -> None:
    from governance.backends.trained import ClassifierBackend
    from governance.files import digest_file
    from governance.training.classifier import read_curve, train
    from governance.training.model import WEIGHTS

    data, seen = rows(), features(tmp_path, base)
    changes = {"trained_layers": layers, "word_buckets": buckets, "rank": rank, "learning_rate": 3e-3}
    changes["epochs"] = 6 if layers else 20
    for name in ("a", "b"):
        train(recipe(**changes), data, LABELS, seen, tmp_path / name)
    assert digest_file(tmp_path / "a" / WEIGHTS) == digest_file(tmp_path / "b" / WEIGHTS)
    train(recipe(**changes, seed=1), data, LABELS, seen, tmp_path / "c")
    assert digest_file(tmp_path / "c" / WEIGHTS) != digest_file(tmp_path / "a" / WEIGHTS)
    losses = [point["loss"] for point in read_curve(tmp_path / "a")]
    assert losses[-1] < 0.8 * losses[0]
    answers = ClassifierBackend(tmp_path / "a", seen, LABELS).classify(data.texts)
    right = np.mean([answer.label == label for answer, label in zip(answers, data.labels, strict=True)])
    assert right > 0.9
    assert all(answer.scores and abs(sum(answer.scores) - 1) < 1e-9 and answer.seconds > 0 for answer in answers)


def test_lora_trains_its_second_half_and_the_head_alone(base: Path) -> None:
    import torch

    from governance.training.model import Shape, build

    model: Any = build(Shape(2, 32, 1, 1, 64, rank=4), base)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "lora_B" not in name} == {"head.words.weight", "head.states.weight"}
    assert sum("lora_B" in name for name in trained) == 6  # query, key, value, and three dense layers
    plain: Any = build(Shape(2, 32, 1, 1), base)
    states, mask = torch.randn(3, 5, 32), torch.ones(3, 5, dtype=torch.bool)
    given = {"inputs_embeds": states, "attention_mask": mask.long()}
    before = plain.eval().encoder(**given).last_hidden_state
    torch.testing.assert_close(model.eval().encoder(**given).last_hidden_state, before)  # it starts from the base


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, base: Path) -> None:
    from governance.files import digest_file
    from governance.training.classifier import train
    from governance.training.loop import Tick
    from governance.training.model import WEIGHTS

    data, seen = rows(), features(tmp_path, base)
    settings = recipe(epochs=6, average=0.5)
    train(settings, data, LABELS, seen, tmp_path / "whole")

    def stop(tick: Tick) -> None:
        if tick.step > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, data, LABELS, seen, tmp_path / "cut", tick=stop)
    assert list((tmp_path / "cut").glob("step-*/state.json"))
    train(settings, data, LABELS, seen, tmp_path / "cut")
    assert digest_file(tmp_path / "cut" / WEIGHTS) == digest_file(tmp_path / "whole" / WEIGHTS)
    assert not list((tmp_path / "cut").glob("step-*"))


def test_words_are_hashed_without_a_look_at_other_rows_and_weighed_by_a_public_vocabulary(base: Path) -> None:
    from governance.training.words import HashedWords

    texts = [
        SyntheticText(text) for text in ("love the dress", "the dress", "非常好的衣服", "", "\ud800 ok \x00 [PERSON]")
    ]
    for language in ("en", "zh"):
        hashed = HashedWords(4096, language, base)
        together = hashed(texts)
        for i, text in enumerate(texts):
            alone = hashed([text])
            found = together[1][i][together[1][i] != 0], together[0][i][together[1][i] != 0]
            assert (
                sorted(zip(*map(list, found), strict=True))
                == sorted(zip(alone[1][0].tolist(), alone[0][0].tolist(), strict=True))
                or not text.text
            )
            assert float(together[1][i].norm()) == pytest.approx(1.0 if found[0].numel() else 0.0, abs=1e-6)
    assert len(HashedWords(4096, "zh", base)([texts[2]])[0][0]) == 11  # six characters, five pairs


def test_the_more_frequent_a_word_the_less_it_weighs(tmp_path: Path) -> None:
    from governance.training.words import LEAST, HashedWords

    vocabulary = ["[PAD]", "[UNK]", "a", "##x", "the", "and", "dress", "sateen"]
    model = {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(vocabulary)}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    weigh = HashedWords(64, "en", tmp_path)._weight
    assert weigh("the") == LEAST
    assert LEAST <= weigh("and") < weigh("dress") < weigh("sateen") <= weigh("never-seen") == 1.0
    model["type"] = "BPE"  # its order says nothing of frequency
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
    assert HashedWords(64, "en", tmp_path)._weight("the") == 1.0


# -- private training --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "delta", "epsilon"),
    [(1.0, 0.01, 1000, 1e-5, 1.838), (0.7, 0.05, 500, 1e-5, 16.49), (1.0, 0.001, 10_000, 1e-6, 0.565)],
)
def test_epsilon_is_the_published_one(sigma: float, rate: float, steps: int, delta: float, epsilon: float) -> None:
    from governance.training.dp.plan import Plan, epsilon_after

    made = Plan(
        n=1000,
        units=1000,
        sample_rate=rate,
        steps=steps,
        batch=10,
        clipping=1.0,
        sigma=sigma,
        epsilon=epsilon,
        delta=delta,
    )
    assert epsilon_after(made, steps) == pytest.approx(epsilon, abs=0.012)  # the accountant's own error is 0.01


def test_a_plan_reaches_its_target_and_no_more() -> None:
    from governance.training.dp.plan import epsilon_after

    made = plan(1000, epsilon=3.0, delta=1e-4, sample_rate=0.1, steps=50)
    spent = epsilon_after(made, 50)
    assert 2.9 < spent <= 3.0
    assert epsilon_after(made, 25) < spent


def test_a_delta_that_one_record_could_eat_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"private\.delta: expected below 1/n = 0\.001 for 1000 training rows"):
        plan(1000, delta=1e-3)
    with pytest.raises(ConfigError, match=r"private\.delta: expected below 1/n = 0\.01 for 100 users"):
        plan(1000, delta=1e-2, users=100, cap=10, drawn="user")


def test_users_cost_more_where_their_records_are_drawn_one_by_one() -> None:
    settings = {"epsilon": 8.0, "delta": 1e-4, "sample_rate": 0.1, "steps": 50}
    record = plan(1000, **settings)
    whole = plan(1000, **settings, users=300, cap=4, drawn="user")
    single = plan(1000, **settings, users=300, cap=4, drawn="record")
    assert whole.sigma == record.sigma
    assert single.sigma > 1.5 * record.sigma
    assert (whole.drawable, single.drawable) == (300, 1000)


def trained(tmp_path: Path, base: Path, name: str = "p", **changes: object):  # type: ignore[no-untyped-def]
    from governance.training.classifier import read_claim, train

    data, seen = rows(), features(tmp_path, base)
    private = {"optimizer": "sgd", "schedule": "constant", "warm_up": 0.0, "new_rate": 1.0}
    settings = {"trained_layers": 0, "learning_rate": 0.5, "plan": plan(len(data)), **private, **changes}
    train(recipe(**settings), data, LABELS, seen, tmp_path / name, charges=Paid())
    return data, seen, read_claim(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "buckets", "rank"), [(0, 0, 0), (1, 0, 0), (0, 512, 0), (1, 512, 4)])
def test_private_training_learns_and_claims_what_it_did(
    tmp_path: Path, base: Path, layers: int, buckets: int, rank: int
) -> None:
    from governance.backends.trained import ClassifierBackend
    from governance.training.classifier import read_curve

    wide = plan(120, epsilon=50.0)
    data, seen, claim = trained(
        tmp_path, base, trained_layers=layers, word_buckets=buckets, rank=rank, plan=wide,
        learning_rate=2.0 if buckets else 0.5,
    )  # fmt: skip
    assert claim is not None
    assert (claim.steps, claim.sampling, claim.normaliser, claim.units) == (60, "poisson", 36.0, 120)
    assert 45 < claim.epsilon <= 50.0
    assert claim.epsilon_pld == pytest.approx(claim.epsilon, rel=0.02)
    epsilons = [epsilon for epsilon, _ in claim.curve or ()]
    assert len(epsilons) == 5 and epsilons == sorted(epsilons, reverse=True)
    answers = ClassifierBackend(tmp_path / "p", seen, LABELS).classify(data.texts)
    assert np.mean([a.label == label for a, label in zip(answers, data.labels, strict=True)]) > 0.75
    assert all("loss" not in point for point in read_curve(tmp_path / "p"))  # a training loss is private


@pytest.mark.slow
def test_a_private_loss_is_kept_only_if_asked_for_and_then_the_claim_says_so(tmp_path: Path, base: Path) -> None:
    from governance.training.classifier import read_curve

    _, _, claim = trained(tmp_path, base, publish_loss=True)
    assert any("loss" in point for point in read_curve(tmp_path / "p"))
    assert any("training loss by step" in line for line in claim.not_covered)
    _, _, claim = trained(tmp_path, base, "q")
    assert not any("training loss by step" in line for line in claim.not_covered)


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
def test_a_run_killed_after_its_weights_keeps_them(tmp_path: Path, base: Path) -> None:
    """Between the last checkpoint's removal and the stage's renaming, a second attempt must not train anew."""
    from governance.files import digest_file
    from governance.training.model import WEIGHTS

    trained(tmp_path, base)
    before = digest_file(tmp_path / "p" / WEIGHTS)
    _, _, claim = trained(tmp_path, base)
    assert digest_file(tmp_path / "p" / WEIGHTS) == before
    assert claim.steps == 60
