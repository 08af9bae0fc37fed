"""Recipes that start from nothing: what they learn, openly and privately, what they refuse, and what a kill leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from governance.dataset import SyntheticText
from governance.errors import BackendError, BudgetExceeded, ConfigError, DataError
from governance.registry import load
from governance.training.dp import selftest
from governance.training.dp.gradients import UnitGradients
from governance.training.recipes import RECIPES, vocabulary
from governance.training.recipes.features import Inputs, TableSettings, reader
from governance.training.recipes.logistic import Logistic
from governance.training.recipes.lstm_classifier import LSTMClassifier, recurrent
from governance.training.recipes.lstm_recommender import LSTMRecommender, histories, split
from governance.training.recipes.mlp import MLP
from governance.training.recipes.self_training import SelfTraining
from governance.training.recipes.transformer_classifier import TransformerClassifier, sines
from tests.smallrecipes import BOUNDS, Killed, Purse, customers, plan, reviews, setting, table
from tests.tiny import write_encoder

YES_NO = ("no", "yes")
SMALL: dict[str, Any] = {
    "lstm-classifier": LSTMClassifier(classes=YES_NO, buckets=64, max_tokens=16, width=16, hidden=16),
    "transformer-classifier": TransformerClassifier(
        classes=YES_NO, buckets=64, max_tokens=16, width=16, layers=1, heads=2
    ),
    "logistic": Logistic(classes=YES_NO, text_buckets=64),
    "mlp": MLP(classes=YES_NO, text_buckets=64, hidden=(16,)),
}
RATES = {"logistic": 0.3}
TEXT_MODELS = ("lstm-classifier", "transformer-classifier")


def rate(name: str) -> float:
    return RATES.get(name, 0.02)


def predicted(name: str, folder: Path, texts: list[str]) -> np.ndarray:
    model = SMALL[name].load(folder / "model")
    sealed = [SyntheticText(text) for text in texts]
    found: np.ndarray = model.predict(sealed if name in TEXT_MODELS else Inputs(texts={"text": sealed}))
    return found


def accuracy(name: str, folder: Path, rows: Any) -> float:
    found = predicted(name, folder, [text.text for text in rows.texts["text"]])
    return float(np.mean(np.array(YES_NO)[found.argmax(1)] == np.array(rows.labels["label"])))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("chinese", [False, True])
def test_learns_openly_and_what_is_saved_predicts(tmp_path: Path, name: str, chinese: bool) -> None:
    how = setting(learning_rate=rate(name), language="zh" if chinese else "en")
    told = SMALL[name].fit(reviews(chinese=chinese), tmp_path, how)
    assert told.claim is None
    assert accuracy(name, tmp_path, reviews(200, seed=1, chinese=chinese)) > 0.8
    assert list(tmp_path.glob("step-*"))  # until the caller has written the result down
    assert not list(tmp_path.rglob("*.pkl")) + list(tmp_path.rglob("*.bin"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_learns_privately_and_claims_every_step(tmp_path: Path, name: str) -> None:
    private, purse = plan(160, steps=60, sample_rate=0.25, batch=40, clipping=0.5, sigma=0.2), Purse()
    found = SMALL[name].fit(reviews(), tmp_path, setting(private, purse=purse, learning_rate=2 * rate(name)))
    assert found.claim is not None
    assert (found.claim.steps, purse.charged, found.claim.sigma) == (60, 60, 0.2)
    assert selftest.NOT_COVERED in found.claim.not_covered
    assert accuracy(name, tmp_path, reviews(300, seed=1)) > 0.62  # chance: 0.5 +- 0.03


@pytest.mark.parametrize("name", SMALL)
def test_a_padded_row_predicts_the_same_beside_longer_ones(tmp_path: Path, name: str) -> None:
    SMALL[name].fit(reviews(40), tmp_path, setting(epochs=1, learning_rate=rate(name)))
    texts = ["love", "the dress was torn and awful and I returned it to the shop", "", "[PERSON] 很 好 \ud800 \x00"]
    together = predicted(name, tmp_path, texts)
    alone = np.concatenate([predicted(name, tmp_path, [text]) for text in texts])
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert predicted(name, tmp_path, []).shape == (0, 2)


@pytest.mark.parametrize("name", SMALL)
def test_open_run_that_was_killed_ends_where_it_would_have(tmp_path: Path, name: str) -> None:
    def dies(tick: Any) -> None:
        if tick.step >= 40:
            raise Killed

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    settings = {"learning_rate": rate(name), "epochs": 6}
    SMALL[name].fit(reviews(), whole, setting(**settings))
    with pytest.raises(Killed):
        SMALL[name].fit(reviews(), cut, setting(**settings, tick=dies))
    assert list(cut.glob("step-*"))
    SMALL[name].fit(reviews(), cut, setting(**settings))
    texts = ["love this dress", "poor and torn"]
    np.testing.assert_allclose(predicted(name, whole, texts), predicted(name, cut, texts), atol=1e-6)


def test_private_run_that_was_killed_pays_for_lost_steps(tmp_path: Path) -> None:
    private = plan(160, steps=60, sample_rate=0.25, batch=40)
    with pytest.raises(Killed):
        SMALL["logistic"].fit(reviews(), tmp_path, setting(private, purse=Purse(dies_after=40)))
    again = Purse(charged=40)
    found = SMALL["logistic"].fit(reviews(), tmp_path, setting(private, purse=again))
    assert again.charged == 60
    assert found.claim is not None
    assert found.claim.steps == 60


@pytest.mark.parametrize("name", SMALL)
def test_classes_of_a_private_run_are_public(tmp_path: Path, name: str) -> None:
    private = plan(160, steps=2, sample_rate=0.25, batch=40)
    with pytest.raises(ConfigError, match=rf"{name}\.classes: a private run"):
        type(SMALL[name])().fit(reviews(), tmp_path, setting(private))


def test_a_class_that_is_not_listed_is_counted_never_named(tmp_path: Path) -> None:
    rows = table(["yes", "secret", "no"], texts=["a", "b", "c"])
    with pytest.raises(DataError, match="1 of 3 rows") as caught:
        SMALL["logistic"].fit(rows, tmp_path, setting())
    assert "secret" not in str(caught.value)


def test_class_weights_move_the_line(tmp_path: Path) -> None:
    rows = table(["yes"] * 30 + ["no"] * 90, texts=["same"] * 120)
    found = []
    for weight in (1.0, 3.0):
        folder = tmp_path / str(weight)
        folder.mkdir()
        recipe = Logistic(classes=YES_NO, class_weights={"yes": weight}, text_buckets=8)
        recipe.fit(rows, folder, setting(epochs=30, batch=120, learning_rate=0.1))
        found.append(Logistic.load(folder / "model").predict(Inputs(texts={"text": [SyntheticText("same")]}))[0, 1])
    assert found[0] == pytest.approx(0.25, abs=0.03)
    assert found[1] == pytest.approx(0.5, abs=0.03)
    for bad in ({"perhaps": 1.0}, {"yes": float("nan")}, {"yes": 0.0}):
        with pytest.raises(ConfigError, match="class_weights"):
            Logistic(classes=YES_NO, class_weights=bad).fit(rows, tmp_path, setting())


def test_every_name_in_the_registry_that_is_ours_loads() -> None:
    ours = {*SMALL, "lstm-recommender", "tree", "clusters", "self-training"}
    assert {load("recipe", name, RECIPES).__name__ for name in ours} == {
        *("LSTMClassifier", "TransformerClassifier", "LSTMRecommender"),
        *("Logistic", "MLP", "Forest", "Clusters", "SelfTraining"),
    }


def test_a_model_of_another_recipe_is_refused(tmp_path: Path) -> None:
    SMALL["logistic"].fit(reviews(20), tmp_path, setting(epochs=1))
    with pytest.raises(BackendError, match="not a mlp"):
        MLP.load(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(BackendError, match="not a logistic"):
        Logistic.load(tmp_path / "model")


# Vocabularies.


@given(st.text(max_size=60), st.integers(1, 12))
def test_hashed_numbers_are_in_range_and_never_too_many(text: str, most: int) -> None:
    found = vocabulary.Hashed(16).numbers(text, most)
    assert 1 <= len(found) <= most
    assert all(vocabulary.NOTHING <= number < vocabulary.Hashed(16).size for number in found)


def test_hashed_tokens_stay_where_they_are() -> None:
    """Models on disk depend on it."""
    assert [vocabulary.bucket(token, 1000) for token in ("coat", "好", "[person]")] == [11, 85, 856]
    assert vocabulary.Hashed(1000).numbers("Coat COAT", 9)[0] == vocabulary.Hashed(1000).numbers("ｃoat", 9)[0]


def test_counted_vocabulary_is_for_open_runs(tmp_path: Path) -> None:
    recipe = LSTMClassifier(classes=YES_NO, vocabulary="counted", buckets=10, width=8, hidden=8)
    with pytest.raises(ConfigError, match="counted from private rows"):
        recipe.fit(reviews(), tmp_path, setting(plan(160, steps=2, sample_rate=0.5, batch=80)))
    recipe.fit(reviews(), tmp_path, setting(epochs=1))
    words = json.loads((tmp_path / "model" / "model.json").read_bytes())["vocabulary"]["words"]
    assert len(words) == 10
    assert "dress" in words


@pytest.mark.slow
def test_a_tokenizer_file_is_a_public_vocabulary(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "encoder", layers=1) / "tokenizer.json"
    private = plan(160, steps=60, sample_rate=0.25, batch=40)
    recipe = LSTMClassifier(classes=YES_NO, vocabulary=str(path), width=8, hidden=8)
    recipe.fit(reviews(), tmp_path, setting(private))
    assert LSTMClassifier.load(tmp_path / "model").predict([SyntheticText("lovely \udfff")]).shape == (1, 2)
    with pytest.raises(ConfigError, match=r"expected 'hashed', 'counted' or a tokenizer\.json"):
        LSTMClassifier(vocabulary=str(tmp_path / "nothing.json")).fit(reviews(), tmp_path, setting())


# Features.


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8))
def test_any_number_becomes_one_within_bounds(values: list[float]) -> None:
    rows = table(["yes"] * len(values), numbers={"x": values})
    read = reader(TableSettings(bounds={"x": (-2.0, 6.0)}, fills={"x": 0.0}), rows, base=None, private=True)
    found = read.vectors(Inputs.of(rows)).toarray()
    assert np.abs(found).max() <= 1
    for value, (scaled, missing) in zip(values, found, strict=True):
        assert missing == (not np.isfinite(value))
        assert scaled == pytest.approx(-0.5 if missing else (min(max(value, -2), 6) - 2) / 4, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=12, unique=True))
def test_a_row_has_the_same_vector_among_any_others(kept: list[int]) -> None:
    full = customers(60)
    rows = table(
        full.labels["label"],
        texts=[f"customer {i} 很好" * (i % 3) for i in range(60)],
        numbers=dict(full.numbers),
        categories={"kind": full.labels["kind"]},
    )
    read = reader(TableSettings(bounds=BOUNDS, text_buckets=16), rows, base=None, private=True)
    part = read.vectors(Inputs.of(rows.take(np.array(kept)))).toarray()
    np.testing.assert_allclose(part, read.vectors(Inputs.of(rows)).toarray()[kept], atol=1e-6)


def test_bounds_are_public_in_a_private_run_and_may_be_found_openly() -> None:
    with pytest.raises(ConfigError, match=r"bounds: 'age' has none"):
        reader(Logistic(), customers(), base=None, private=True)
    found = reader(Logistic(), customers(), base=None, private=False)
    assert found.numbers["age"][0] == min(customers().numbers["age"])
    with pytest.raises(ConfigError, match=r"bounds: 'wage' is not one"):
        reader(Logistic(bounds={"wage": (0, 1)}), customers(), base=None, private=False)
    for low, high in ((1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(ConfigError, match=r"bounds\.age"):
            reader(Logistic(bounds={**BOUNDS, "age": (low, high)}), customers(), base=None, private=True)


def test_an_unseen_category_has_a_slot_of_its_own() -> None:
    read = reader(Logistic(bounds=BOUNDS, categories={"kind": ("shop", "web")}), customers(), base=None, private=True)
    one = Inputs(categories={"kind": ["??"]}, numbers={"age": np.array([np.inf]), "spent": np.array([np.nan])})
    assert read.vectors(one).toarray().tolist() == [[0, 1, 0, 1, 0, 0, 1]]
    with pytest.raises(DataError, match="number column 'spent' is missing"):
        read.vectors(Inputs(categories={"kind": ["web"]}, numbers={"age": np.zeros(1)}))


def test_an_mlp_learns_an_interaction_of_columns_privately(tmp_path: Path) -> None:
    recipe = MLP(classes=YES_NO, bounds=BOUNDS, categories={"kind": ("shop", "web")}, hidden=(16,))
    private = plan(600, steps=60, sample_rate=0.25, batch=150)
    recipe.fit(customers(600), tmp_path, setting(private, learning_rate=0.1))
    test = customers(300, seed=1)
    found = MLP.load(tmp_path / "model").predict(Inputs.of(test)).argmax(1)
    assert np.mean(np.array(YES_NO)[found] == np.array(test.labels["label"])) > 0.85  # a linear model has 0.5


def test_reads_texts_through_a_frozen_encoder(tmp_path: Path) -> None:
    base = write_encoder(tmp_path / "base", layers=2)
    recipe = Logistic(classes=YES_NO, text_buckets=0, encoder_layers=1, max_tokens=16)
    recipe.fit(reviews(), tmp_path, setting(base=base, learning_rate=0.3, epochs=20))
    rows = reviews(100, seed=1)
    found = Logistic.load(tmp_path / "model", base).predict(Inputs.of(rows)).argmax(1)
    assert np.mean(np.array(YES_NO)[found] == np.array(rows.labels["label"])) > 0.7
    with pytest.raises(ConfigError, match="say where that is"):
        Logistic.load(tmp_path / "model").predict(Inputs.of(rows))


# Networks.


def test_both_lstms_are_one(tmp_path: Path) -> None:
    """A model that Opacus's cells trained is read and used by torch's."""
    torch.manual_seed(0)
    private, plain = recurrent(5, 7, 2, private=True), recurrent(5, 7, 2, private=False)
    named = dict(private.named_parameters())
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(named[name])
    given = torch.randn(3, 6, 5)
    torch.testing.assert_close(private(given)[0], plain(given)[0])


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8, padding_idx=0)
        self.lstm = recurrent(8, 8, 1, private=True)
        self.head = nn.Linear(8, 20)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.lstm(self.embedding(ids))[0])
        return out


def test_gradients_of_opacus_lstm_are_seen_position_by_position() -> None:
    """With tied weights and padding: norms and sums are those of batches of one."""
    torch.manual_seed(0)
    model = _Tied()
    ids = torch.randint(1, 20, (5, 9))
    ids[::2, 4:] = 0

    def losses(rows: torch.Tensor) -> torch.Tensor:
        wanted = ids[rows][:, 1:]
        there = (wanted != 0).float()
        each = nn.functional.cross_entropy(model(ids[rows][:, :-1]).transpose(1, 2), wanted, reduction="none")
        return (each * there).sum(1) / there.sum(1)

    found = UnitGradients(model)(5, lambda: losses(torch.arange(5)))
    for row in range(5):
        model.zero_grad()
        losses(torch.tensor([row])).sum().backward()
        own = dict(found.weighted_sums(torch.eye(5)[row]))
        for parameter in model.parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(own[parameter], parameter.grad, atol=1e-6, rtol=1e-4)
        norm = torch.stack([p.grad.square().sum() for p in model.parameters() if p.grad is not None]).sum().sqrt()
        torch.testing.assert_close(found.norms[row], norm)


def test_positions_differ_and_widths_may_be_odd() -> None:
    assert sines(30, 7).shape == (30, 7)
    assert torch.pdist(sines(30, 16)).min() > 0.1
    with pytest.raises(ConfigError, match="multiple of heads"):
        TransformerClassifier(width=10, heads=4)


# The recommender.


def shopping(n: int = 80, *, items: int = 12, length: int = 8, seed: int = 0) -> Any:
    """Customers who always buy the next item of a circle."""
    rng = np.random.default_rng(seed)
    users, bought, times = [], [], []
    for user in range(n):
        start = int(rng.integers(items))
        for step in range(int(rng.integers(2, length + 1))):
            users.append(user)
            bought.append(f"item{(start + step) % items:02}")
            times.append(float(step))
    order = rng.permutation(len(users))
    return table(
        units=[users[i] for i in order],
        numbers={"time": [times[i] for i in order]},
        categories={"user": [f"u{users[i]}" for i in order], "item": [bought[i] for i in order]},
    )


CATALOGUE = tuple(f"item{i:02}" for i in range(12))


def test_recommender_learns_what_comes_next(tmp_path: Path) -> None:
    found = LSTMRecommender(width=16, cap=6).fit(shopping(), tmp_path, setting(epochs=20))
    assert found.facts["ranked_customers"] == 80
    assert found.facts["mean_reciprocal_rank"] > 0.9
    assert found.facts["popularity_mean_reciprocal_rank"] < 0.5
    model = LSTMRecommender.load(tmp_path / "model")
    assert model.rank(["item03", "item04"], 1) == ("item05",)
    assert model.predict([[], ["unheard of"]]).shape == (2, 12)
    assert model.predict([["item03"]]).sum() == pytest.approx(1)


def test_recommender_protects_customers_and_nothing_less(tmp_path: Path) -> None:
    rows = shopping()
    recipe = LSTMRecommender(items=CATALOGUE, width=12, cap=6)
    whole = {"unit": "user", "drawn": "user", "units": 80, "cap": 8, "sample_rate": 0.25, "batch": 20}
    purse = Purse()
    private = plan(len(rows), steps=60, **whole)
    found = recipe.fit(rows, tmp_path, setting(private, purse=purse, learning_rate=0.05))
    assert found.claim is not None
    assert (found.claim.unit, found.claim.units, found.claim.cap, purse.charged) == ("user", 80, 6, 60)
    assert "mean_reciprocal_rank" not in found.facts  # of private customers
    assert "ranking_not_measured" in found.facts
    model = LSTMRecommender.load(tmp_path / "model")
    hits = [model.rank([CATALOGUE[i]], 1)[0] == CATALOGUE[(i + 1) % 12] for i in range(12)]
    assert sum(hits) >= 4  # chance: one
    with pytest.raises(ConfigError, match="set the privacy unit to user"):
        recipe.fit(rows, tmp_path, setting(plan(len(rows), steps=2)))
    with pytest.raises(ConfigError, match="draws 81 users, and the rows have 80"):
        recipe.fit(rows, tmp_path, setting(plan(len(rows), steps=2, **{**whole, "units": 81})))
    with pytest.raises(ConfigError, match=r"items: a private run"):
        LSTMRecommender().fit(rows, tmp_path, setting(private))


@pytest.mark.slow
def test_public_customers_are_ranked_in_a_private_run(tmp_path: Path) -> None:
    private = plan(80, steps=60, unit="user", drawn="user", units=80, cap=8, sample_rate=0.25, batch=20)
    recipe = LSTMRecommender(items=CATALOGUE, width=8)
    found = recipe.fit(shopping(), tmp_path, setting(private, public=shopping(20, seed=5)))
    assert found.facts["ranking_among"] == "public customers"
    assert found.facts["ranked_customers"] == 20


def test_histories_are_in_the_order_of_time_and_capped() -> None:
    rows = table(
        units=[7, 7, 3, 7, -1],
        numbers={"time": [2.0, 1.0, 0.0, np.nan, 5.0]},
        categories={"user": ["a", "a", "b", "a", ""], "item": ["x", "y", "x", "z", "x"]},
    )
    found = histories(rows, ("x", "y", "z"), 2)
    assert found.tolist() == [[2, 0], [3, 2]]  # unit 3: x; unit 7: (z, whose time is unknown,) y, x
    shown, last = split(found)
    assert shown.tolist() == [[2, 0], [3, 0]]
    assert last.tolist() == [0, 2]
    with pytest.raises(DataError, match="no customer has two items"):
        LSTMRecommender().fit(rows.take(np.array([2])), Path(), setting())


def test_catalogue_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "items.txt").write_text("\n".join(CATALOGUE))
    recipe = LSTMRecommender(catalogue=str(tmp_path / "items.txt"), width=8)
    recipe.fit(shopping(20), tmp_path, setting(epochs=1))
    assert LSTMRecommender.load(tmp_path / "model").items == CATALOGUE
    with pytest.raises(ConfigError, match="catalogue: can't be read"):
        LSTMRecommender(catalogue=str(tmp_path / "none")).fit(shopping(20), tmp_path, setting())


# Self-training.


def half_labelled(labelled: int, n: int) -> Any:
    rows = reviews(n)
    labels = [label if i < labelled else "" for i, label in enumerate(rows.labels["label"])]
    return table(labels, texts=[text.text for text in rows.texts["text"]])


OPTIONS = {"classes": YES_NO, "text_buckets": 64}


def test_unlabelled_rows_help(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    how = setting(learning_rate=0.3, epochs=10)
    Logistic(**OPTIONS).fit(half_labelled(12, 12), few, how)
    found = SelfTraining(options=OPTIONS, threshold=0.8).fit(half_labelled(12, 400), many, how)
    assert found.facts["labelled"] == 12
    assert found.facts["unlabelled_and_sure"] > 50
    model = SelfTraining.load(many / "model")
    assert model.classes == YES_NO
    test = reviews(400, seed=1)
    assert accuracy("logistic", many, test) > accuracy("logistic", few, test) + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["logistic", "lstm-classifier"])
def test_private_rounds_share_one_plan(tmp_path: Path, classifier: str) -> None:
    options = {"classes": YES_NO} | ({"buckets": 64, "width": 8, "hidden": 8} if "lstm" in classifier else {})
    rows, purse = half_labelled(100, 160), Purse()
    private = plan(160, steps=60, sample_rate=0.25, batch=40)
    recipe = SelfTraining(classifier=classifier, options=options, threshold=0.6)
    found = recipe.fit(rows, tmp_path, setting(private, purse=purse))
    assert found.claim is not None
    assert (found.ran.steps, found.claim.steps, purse.charged, found.claim.n) == (60, 60, 60, 160)
    assert set(found.facts) == {"rounds"}  # how many rows are sure is private


def test_a_kill_between_rounds_loses_no_round(tmp_path: Path) -> None:
    rows, private = half_labelled(100, 160), plan(160, steps=60, sample_rate=0.25, batch=40)
    recipe = SelfTraining(options=OPTIONS, threshold=0.6)
    with pytest.raises(Killed):
        recipe.fit(rows, tmp_path, setting(private, purse=Purse(dies_after=40)))
    assert (tmp_path / "round-0" / "round.json").is_file()
    again = Purse(charged=40)
    found = recipe.fit(rows, tmp_path, setting(private, purse=again))
    assert (again.charged, found.ran.steps) == (60, 60)


@pytest.mark.slow
def test_public_unlabelled_rows_cost_nothing(tmp_path: Path) -> None:
    rows, purse = half_labelled(100, 300), Purse()
    private = plan(300, steps=60, sample_rate=0.25, batch=25)
    recipe = SelfTraining(options=OPTIONS, threshold=0.6, unlabelled_public=True)
    found = recipe.fit(rows, tmp_path, setting(private, purse=purse, learning_rate=0.3, epochs=1))
    assert found.claim is not None
    assert (purse.charged, found.claim.steps, found.claim.n) == (60, 60, 100)
    assert any("declared public" in line for line in found.claim.not_covered)
    assert found.ran.steps > 60


@pytest.mark.slow
def test_budget_that_ends_between_rounds_keeps_what_there_is(tmp_path: Path) -> None:
    rows, private = half_labelled(100, 160), plan(160, steps=60, sample_rate=0.25, batch=40)
    recipe = SelfTraining(options=OPTIONS, threshold=0.6)
    found = recipe.fit(rows, tmp_path, setting(private, purse=Purse(limit=20), on_budget="stop"))
    assert found.ran.stopped == "the data set's privacy budget"
    assert found.claim is not None
    assert found.claim.steps == 20
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(BudgetExceeded):
        recipe.fit(rows, other, setting(private, purse=Purse(limit=20)))


def test_self_training_needs_both_kinds_of_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows with a class and rows without"):
        SelfTraining(options=OPTIONS).fit(reviews(), tmp_path, setting())
    with pytest.raises(ConfigError, match="expected one of logistic"):
        SelfTraining(classifier="tree").fit(half_labelled(10, 20), tmp_path, setting())
    with pytest.raises(ConfigError, match=r"options: .*unexpected keyword"):
        SelfTraining(options={"depth": 1}).fit(half_labelled(10, 20), tmp_path, setting())
