"""Recipes on pretrained transformers, on tiny real models: bounded row by row, learning, saved for others to read."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.dataset import ScrubbedTable
from governance.errors import BackendError, BudgetExceeded, ConfigError, DataError
from governance.registry import load
from governance.training import loop
from governance.training.dp import selftest
from governance.training.dp.plan import Plan
from governance.training.recipes import RECIPES
from governance.training.recipes.base import Setting
from governance.training.recipes.causal_lm import CausalLM
from governance.training.recipes.encoder_classifier import EncoderClassifier
from governance.training.recipes.mlm import MaskedLM
from governance.training.recipes.pretrained import TextTask, Tuning
from governance.training.recipes.qa import LEFT_OUT, ExtractiveQA, span_of
from governance.training.recipes.seq2seq import Seq2Seq
from governance.training.recipes.tagger import Tagger, first_tokens
from governance.training.recipes.tokens import NO_TARGET, token_means
from governance.training.recipes.writing import Template, standard
from tests.tiny import FILLER, GOOD, review
from tests.tinymodels import ENCODERS, PAIRS, WRITERS, sealed, write_model

ROWS = 48
METHODS = ("full", "frozen-embeddings", "last-layers", "lora", "bitfit", "head")


def table(texts: Mapping[str, list[str]], labels: Mapping[str, list[str]] | None = None) -> ScrubbedTable:
    n = len(next(iter(texts.values())))
    return ScrubbedTable(
        rows=np.arange(n),
        texts={name: sealed(column) for name, column in texts.items()},
        labels={name: tuple(column) for name, column in (labels or {}).items()},
        numbers={},
    )


def shop(n: int = ROWS, seed: int = 0) -> ScrubbedTable:
    """One table with every recipe's columns, each with a rule to learn; rows of different lengths."""
    rng = random.Random(seed)
    colours = [rng.choice(("red", "blue")) for _ in range(n)]
    ends = [" ".join(rng.choices(FILLER, k=rng.randint(0, 6))) for _ in range(n)]
    contexts = [f"the {colour} dress is so soft {end}".strip() for colour, end in zip(colours, ends, strict=True)]
    good = [i % 2 == 0 for i in range(n)]
    answered = [i % 4 > 0 for i in range(n)]
    return table(
        {
            "text": [review(rng, yes) for yes in good],
            "title": [f"{colour} dress" for colour in colours],
            "category": ["shirt " * rng.randint(1, 3) for _ in colours],
            "attributes": ["soft"] * n,
            "source": contexts,
            "target": [f"so {colour} and soft" for colour in colours],
            "question": ["what colour ?" if yes else "what fabric is it ?" for yes in answered],
            "context": contexts,
            "answer": [colour if yes else "" for colour, yes in zip(colours, answered, strict=True)],
            "tokens": contexts,
        },
        {
            "label": ["yes" if yes else "no" for yes in good],
            "tags": [" ".join("C" if word in ("red", "blue") else "O" for word in text.split()) for text in contexts],
        },
    )


CASES: dict[str, tuple[Tuning, tuple[str, ...], str]] = {
    "encoder-classifier": (EncoderClassifier(classes=("no", "yes"), max_tokens=32), ENCODERS, ""),
    "causal-lm": (CausalLM(max_source=40, max_target=12), WRITERS, ""),
    "seq2seq": (Seq2Seq(max_source=40, max_target=12), PAIRS, ""),
    "qa": (ExtractiveQA(max_tokens=48, max_question=12), ENCODERS, ""),
    "tagger": (Tagger(classes=("C", "O"), max_tokens=32), ENCODERS, ""),
    "mlm": (MaskedLM(max_tokens=32, share=0.2), ENCODERS, "mlm"),
}
AUTO = {
    "encoder-classifier": transformers.AutoModelForSequenceClassification,
    "causal-lm": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "qa": transformers.AutoModelForQuestionAnswering,
    "tagger": transformers.AutoModelForTokenClassification,
    "mlm": transformers.AutoModelForMaskedLM,
}
EACH = [(name, kind) for name, (_, kinds, _) in CASES.items() for kind in kinds]
PLAN = Plan(n=ROWS, units=ROWS, sample_rate=0.25, steps=6, batch=12, clipping=1.0, sigma=0.5, epsilon=30.0, delta=1e-3)


class Charges:
    """A purse without end, or with one."""

    def __init__(self, most: int = 1_000) -> None:
        self.charged, self._most = 0, most

    def charge(self, steps: int) -> None:
        if self.charged + steps > self._most:
            raise BudgetExceeded("spent")
        self.charged += steps


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of tiny models, each written once."""
    transformers.utils.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("bases")

    def of(kind: str, head: str = "") -> Path:
        path = folder / f"{kind}{head}"
        return path if path.exists() else write_model(path, kind, head=head)

    return of


def setting(base: Path, **changes: Any) -> Setting:
    made = loop.Settings(learning_rate=5e-3, batch=12, epochs=12, warm_up=0.0)
    return Setting(base=base, settings=dataclasses.replace(made, **changes.pop("loop", {})), **changes)


def task(recipe: Tuning, rows: ScrubbedTable, given: Setting) -> TextTask:
    return recipe.completed(rows, given).tasks(given)(rows)


def used(name: str, directory: Path, rows: ScrubbedTable) -> np.ndarray:
    """One figure or more for each row, by what `load` gives."""
    model: Any = type(CASES[name][0]).load(directory)  # type: ignore[attr-defined]
    if name == "encoder-classifier":
        return model.predict(rows.texts["text"])
    if name == "mlm":
        return model.losses(rows.texts["text"])
    if name in ("causal-lm", "seq2seq"):
        return model.losses(rows.texts)
    given = [rows.texts["tokens"]] if name == "tagger" else [rows.texts["question"], rows.texts["context"]]
    return np.array(["|".join(map(str, found)) for found in model.predict(*given)])


def test_registry_names_these_recipes() -> None:
    for name, (recipe, _, _) in CASES.items():
        assert load("recipe", name, RECIPES) is type(recipe)


# Row by row


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "kind"), EACH)
def test_each_row_is_bounded_alone(name: str, kind: str, method: Any, base: Callable[..., Path]) -> None:
    """The self-test of private training, on every kind of model and method; or a refusal that says why."""
    recipe, _, head = CASES[name]
    recipe, given = dataclasses.replace(recipe, method=method), setting(base(kind, head), plan=PLAN)
    nothing = method == "head" and name in ("causal-lm", "seq2seq", "mlm")
    if nothing or (method == "bitfit" and kind in ("llama", "t5")):
        with pytest.raises(ConfigError, match=f"'{method}' trains nothing of this model"):
            recipe.tasks(given)
        return
    selftest.check(task(recipe, shop(), given), rows=3)


@pytest.mark.parametrize(("kind", "layer"), [("t5", "relative_attention_bias"), ("bart", "embed_positions")])
def test_tables_that_rows_share_are_refused_by_name(kind: str, layer: str, base: Callable[..., Path]) -> None:
    """What a private run freezes: were it not, the self-test would say which layer and what to do."""
    made = task(dataclasses.replace(CASES["seq2seq"][0], method="full"), shop(), setting(base(kind)))
    with pytest.raises(ConfigError, match=rf"(?s)({layer}|Embedding).*freeze it"):
        selftest.check(made, rows=3)


@pytest.mark.parametrize(("name", "kind"), [(name, kinds[0]) for name, (_, kinds, _) in CASES.items()])
@settings(max_examples=12, deadline=None)
@given(rows=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=6))
def test_a_rows_loss_is_its_own(name: str, kind: str, base: Callable[..., Path], rows: list[int]) -> None:
    recipe, _, head = CASES[name]
    made = _TASKS.setdefault((name, kind), task(recipe, shop(), setting(base(kind, head))))
    made.model.eval()
    with torch.no_grad():
        together = made.losses(torch.tensor(rows))
        alone = torch.cat([made.losses(torch.tensor([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


_TASKS: dict[tuple[str, str], TextTask] = {}


def test_token_means_against_a_loop() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 4, 5), torch.tensor([[0, 1, NO_TARGET, 4], [NO_TARGET] * 4, [2, 2, 2, 2]])
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    for row, found in enumerate(token_means(logits, targets, weights)):
        each = [
            weights[target] * -logits[row, at].log_softmax(0)[target]
            for at, target in enumerate(targets[row].tolist())
            if target != NO_TARGET
        ]
        wanted = torch.stack(each).mean() if each else torch.tensor(0.0)
        torch.testing.assert_close(found, wanted)


# Learning, saving, using


@pytest.mark.parametrize(("name", "kind"), EACH)
def test_learns_and_is_saved_for_plain_transformers(
    name: str, kind: str, base: Callable[..., Path], tmp_path: Path
) -> None:
    recipe, _, head = CASES[name]
    method = "lora" if kind in ("distilbert", "llama", "bart") else "full"
    # LoRA on random weights can't learn much: it turns what a pretrained model knows.
    least = 0.98 if method == "lora" else 0.8
    given = setting(base(kind, head), loop={"epochs": 24 if name == "encoder-classifier" else 10})
    rows = shop()
    before = task(dataclasses.replace(recipe, method=method), rows, given)
    before.model.eval()
    with torch.no_grad():
        start = float(before.losses(torch.arange(ROWS)).mean())
    fitted = dataclasses.replace(recipe, method=method).fit(rows, tmp_path, dataclasses.replace(given, public=rows))
    assert float(fitted.facts["loss on public rows"]) < least * start
    assert fitted.claim is None
    # Plain transformers reads it, tied weights included, and computes what the recipe's own way of use does.
    model, loading = AUTO[name].from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert not list((tmp_path / "model").glob("*adapter*"))
    assert not list(tmp_path.rglob("*.bin"))
    made = task(dataclasses.replace(recipe, method="full"), rows, dataclasses.replace(given, base=tmp_path / "model"))
    made.model.load_state_dict(model.state_dict())
    made.model.eval()
    with torch.no_grad():
        again = float(made.losses(torch.arange(ROWS)).mean())
    assert again == pytest.approx(float(fitted.facts["loss on public rows"]), rel=1e-4)
    assert len(used(name, tmp_path, rows)) == ROWS
    model = AUTO[name].from_pretrained(tmp_path / "model")
    ends = model.get_output_embeddings() if name in ("causal-lm", "seq2seq", "mlm") else None
    if ends is not None:
        assert ends.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize("name", CASES)
def test_private_run_has_a_claim_and_is_used_alike(name: str, base: Callable[..., Path], tmp_path: Path) -> None:
    recipe, kinds, head = CASES[name]
    charges = Charges()
    fitted = recipe.fit(shop(), tmp_path, setting(base(kinds[0], head), plan=PLAN, charges=charges))
    assert fitted.claim is not None
    assert fitted.claim.steps == charges.charged == PLAN.steps
    assert fitted.claim.trained == fitted.trained
    assert fitted.trained.startswith("lora: ")
    assert any(LEFT_OUT in text for text in fitted.claim.not_covered) is (name in ("qa", "tagger"))
    assert len(used(name, tmp_path, shop())) == ROWS


@pytest.mark.parametrize(("name", "kind", "method"), [
    ("encoder-classifier", "bert", "lora"),
    ("causal-lm", "gpt2", "full"),
    ("seq2seq", "t5", "lora"),
    ("qa", "roberta", "last-layers"),
    ("tagger", "distilbert", "bitfit"),
    ("mlm", "bert", "lora"),
])  # fmt: skip
def test_killed_run_ends_where_an_unbroken_one_does(
    name: str, kind: str, method: Any, base: Callable[..., Path], tmp_path: Path
) -> None:
    recipe, _, head = CASES[name]
    recipe, rows = dataclasses.replace(recipe, method=method), shop()
    given = setting(base(kind, head), loop={"epochs": 7, "average": 0.5})  # 28 steps: blocks of 20 and 8

    def die(tick: loop.Tick) -> None:
        if tick.step < tick.steps:
            raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    recipe.fit(rows, whole, given)
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(rows, broken, dataclasses.replace(given, tick=die))
    kept = sorted(path.name for path in next(broken.glob("step-*")).iterdir())
    assert ("adapter_model.safetensors" in kept) is (method == "lora")
    assert ("model.safetensors" in kept) is (method != "lora")
    recipe.fit(rows, broken, given)
    one, other = (AUTO[name].from_pretrained(folder / "model").state_dict() for folder in (whole, broken))
    for key, value in one.items():
        torch.testing.assert_close(other[key], value, rtol=1e-5, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


def test_stops_early_on_public_rows(base: Callable[..., Path], tmp_path: Path) -> None:
    public = shop(12, seed=1)
    wrong = dataclasses.replace(public, labels={**public.labels, "label": (*public.labels["label"][1:], "yes")})
    given = setting(base("bert"), public=wrong, loop={"patience": 1, "epochs": 40})
    fitted = CASES["encoder-classifier"][0].fit(shop(), tmp_path, given)
    assert fitted.ran.stopped is not None
    assert fitted.ran.steps < 160


def test_what_starts_from_nothing_is_trained_by_every_method(base: Callable[..., Path]) -> None:
    """A base without a language model's head: LoRA trains the head whole, and it learns at its own rate."""
    given = setting(base("bert"), loop={"new_rate": 10.0})
    made = task(dataclasses.replace(CASES["mlm"][0], method="lora"), shop(), given)
    names = {name for name, parameter in made.model.named_parameters() if parameter.requires_grad}
    assert any("cls.predictions.transform.dense.modules_to_save" in name for name in names)
    groups = loop.make_optimizer(made.model, given.settings).param_groups
    assert {group["highest"] for group in groups} == {5e-3, 5e-2}
    selftest.check(made, rows=3)


def test_other_number_of_classes_than_the_base_has(base: Callable[..., Path], tmp_path: Path) -> None:
    """A fine-tuned classifier as a base: its head is made anew where the classes differ."""
    rows, given = shop(), setting(base("bert"), loop={"epochs": 1})
    EncoderClassifier(max_tokens=32).fit(rows, tmp_path, given)
    three = EncoderClassifier(max_tokens=32, classes=("no", "yes", "unsure"))
    again = tmp_path / "again"
    again.mkdir()
    three.fit(rows, again, dataclasses.replace(given, base=tmp_path / "model"))
    assert EncoderClassifier.load(again).predict(rows.texts["text"][:3]).shape == (3, 3)


def test_settings_are_not_those_of_another_recipe(base: Callable[..., Path], tmp_path: Path) -> None:
    EncoderClassifier(max_tokens=32).fit(shop(), tmp_path, setting(base("bert"), loop={"epochs": 1}))
    with pytest.raises(BackendError, match="expected a model of Tagger, found one of EncoderClassifier"):
        Tagger.load(tmp_path)
    with pytest.raises(BackendError, match="expected a folder that a recipe left"):
        Tagger.load(tmp_path / "model")


@pytest.mark.parametrize(("recipe", "words"), [
    (EncoderClassifier(), "a private run must not take them from its rows"),
    (Tagger(), "a private run must not take them from its rows"),
    (EncoderClassifier(classes=("no", "yes"), max_tokens=500), "positions for 96 tokens, got 500"),
    (EncoderClassifier(classes=("no", "yes"), class_weights={"maybe": 2.0}, max_tokens=9), "'maybe' is not one"),
    (ExtractiveQA(max_tokens=32, max_question=30), "room for a context"),
])  # fmt: skip
def test_settings_that_can_not_be(recipe: Tuning, words: str, base: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=words):
        task(recipe, shop(), setting(base("bert"), plan=PLAN))


def test_strange_labels_are_counted_not_quoted(base: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="24 of 48 rows") as told:
        task(EncoderClassifier(classes=("no", "maybe"), max_tokens=32), shop(), setting(base("bert")))
    assert "'yes'" not in str(told.value)


def test_class_weights_scale_a_rows_loss_alone(base: Callable[..., Path]) -> None:
    plain, heavy = (
        task(EncoderClassifier(max_tokens=32, class_weights=weights), shop(), setting(base("bert")))
        for weights in ({}, {"yes": 3.0})
    )
    with torch.no_grad():
        first, second = (made.model.eval() and made.losses(torch.arange(4)) for made in (plain, heavy))
    torch.testing.assert_close(second, first * torch.tensor([3.0, 1.0, 3.0, 1.0]))


def test_missing_base_and_columns_are_named(base: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.base"):
        task(MaskedLM(), shop(), dataclasses.replace(setting(base("bert")), base=None))
    with pytest.raises(BackendError, match="expected a model folder"):
        task(MaskedLM(), shop(), setting(tmp_path))
    with pytest.raises(ConfigError, match="expected a text column 'colour'"):
        task(CausalLM(fields=("title", "colour"), max_source=40, max_target=12), shop(), setting(base("gpt2")))


# Writing


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_writes_what_it_learnt_alone_and_among_others(kind: str, base: Callable[..., Path], tmp_path: Path) -> None:
    recipe, rows = dataclasses.replace(CASES["causal-lm"][0], method="full"), shop()
    recipe.fit(rows, tmp_path, setting(base(kind), loop={"epochs": 60}))
    writer = CausalLM.load(tmp_path)
    few = rows.take(np.arange(6))
    together = writer.generate(few.texts)
    assert together == [writer.generate(few.take(np.array([i])).texts)[0] for i in range(6)]
    assert together == [text.text for text in few.texts["target"]]
    np.testing.assert_allclose(writer.perplexity(few.texts), np.exp(writer.losses(few.texts)))
    assert writer.perplexity(few.texts).max() < 1.5
    assert writer.generate(few.texts, temperature=5.0, seed=1) == writer.generate(few.texts, temperature=5.0, seed=1)
    assert writer.generate(few.texts, temperature=5.0, seed=1) != writer.generate(few.texts, temperature=5.0, seed=2)


def test_learns_the_targets_tokens_or_all(base: Callable[..., Path]) -> None:
    recipe, rows = CASES["causal-lm"][0], shop(4)
    some, every = (
        task(dataclasses.replace(recipe, learn=learn), rows, setting(base("gpt2"))).data.batch(torch.arange(1))
        for learn in ("target", "all")
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(base("gpt2"))
    learnt = some["labels"][some["labels"] != NO_TARGET]
    assert tokenizer.decode(learnt).split() == [*rows.texts["target"][0].text.split(), "</s>"]
    assert (every["labels"] != NO_TARGET).all()
    assert torch.equal(some["input_ids"], every["input_ids"])


def test_long_fields_are_cut_before_the_cue(base: Callable[..., Path]) -> None:
    recipe = CausalLM(fields=("title",), template="Title : {title} Description :", max_source=8, max_target=4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base("gpt2"))
    (ids,) = recipe.given(tokenizer, {"title": sealed([" ".join(["red"] * 50)])})
    assert tokenizer.decode(ids).split() == ["Title", ":", *["red"] * 4, "Description", ":"]
    (short,) = recipe.wanted(tokenizer, sealed(["soft " * 9]))
    assert tokenizer.decode(short).split() == ["soft"] * 4  # without an end: that is not where the text ends
    (whole,) = recipe.wanted(tokenizer, sealed(["soft"]))
    assert whole[-1] == tokenizer.eos_token_id
    with pytest.raises(ConfigError, match=r"max_source: expected above the template's end, 2 tokens, got 2"):
        dataclasses.replace(recipe, max_source=2).given(tokenizer, {"title": sealed(["red"])})


def test_templates_in_both_languages_and_of_ones_own() -> None:
    assert standard(("title", "colour"), "zh") == "标题：{title}\ncolour：{colour}\n描述：".replace(
        "colour：", "Colour："
    )
    filled = Template("{title}, {category}!", ("title", "category"))
    assert filled.fill({"title": "{category}", "category": "coat"}) + filled.cue == "{category}, coat!"
    with pytest.raises(ConfigError, match=r"'\{price\}' is no field; fields: title"):
        Template("{price}", ("title",))
    with pytest.raises(ConfigError, match="expected a slot"):
        Template("Title", ("title",))


@pytest.mark.slow
def test_chinese_descriptions(base: Callable[..., Path], tmp_path: Path) -> None:
    """Characters are tokens; the template is the Chinese one, and nothing puts a space before the first character."""
    colours = ["红色", "蓝色"] * 24
    rows = table({
        "title": [f"{colour}裙子" for colour in colours], "category": ["上衣"] * 48, "attributes": ["棉"] * 48,
        "target": [f"{colour}裙子很好。" for colour in colours],
    })  # fmt: skip
    given = setting(base("llama"), language="zh", loop={"epochs": 50})
    dataclasses.replace(CASES["causal-lm"][0], method="full").fit(rows, tmp_path, given)
    writer = CausalLM.load(tmp_path)
    assert writer.recipe.template == "标题：{title}\n类别：{category}\n属性：{attributes}\n描述："
    found = writer.generate(rows.take(np.arange(2)).texts)
    assert [text.replace(" ", "") for text in found] == ["红色裙子很好。", "蓝色裙子很好。"]


# Spans, tags, masks


@pytest.mark.slow
def test_answers_are_spans_or_nothing(base: Callable[..., Path], tmp_path: Path) -> None:
    rows = shop()
    recipe = dataclasses.replace(CASES["qa"][0], method="full")
    recipe.fit(rows, tmp_path, setting(base("bert"), loop={"epochs": 60}))
    found = ExtractiveQA.load(tmp_path).predict(rows.texts["question"], rows.texts["context"])
    assert found == [text.text for text in rows.texts["answer"]]


def test_answers_that_can_not_be_found_stay_rows_without_loss(base: Callable[..., Path]) -> None:
    """Scrubbed away, cut off, and there: the number of rows is the plan's whatever they hold."""
    rows = table({
        "question": ["what colour ?"] * 4,
        "context": ["the dress is red", "the dress is [X]", "so " * 90 + "red", "这件红色裙子很好"],
        "answer": ["red", "red", "red", "红色"],
    })  # fmt: skip
    made = task(CASES["qa"][0], rows, setting(base("bert")))
    assert made.rows == 4
    assert made.facts == {LEFT_OUT: 2}
    made.model.eval()
    losses = made.losses(torch.arange(4)).detach()
    assert (losses == 0).tolist() == [False, True, True, False]
    tokenizer = made.tokenizer
    batch = made.data.batch(torch.tensor([3]))
    first, last = made._spans[3].tolist()  # type: ignore[attr-defined]
    assert tokenizer.decode(batch["input_ids"][0, first : last + 1]).replace(" ", "") == "红色"


@given(words=st.lists(st.sampled_from(("a", "bb", "红", "ccc")), min_size=1, max_size=8), data=st.data())
def test_a_span_covers_its_answer(words: list[str], data: st.DataObject) -> None:
    context = " ".join(words)
    start = data.draw(st.integers(0, len(words) - 1))
    answer = " ".join(words[start : data.draw(st.integers(start, len(words) - 1)) + 1])
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    offsets: list[tuple[int, int] | None] = [
        None,
        *((int(e) - len(w), int(e)) for w, e in zip(words, ends, strict=True)),
    ]
    found = span_of(context, answer, offsets)
    assert found is not None
    first, last = offsets[found[0]], offsets[found[1]]
    assert first is not None
    assert last is not None
    at = context.find(answer)
    assert first[0] <= at < first[1]
    assert last[0] < at + len(answer) <= last[1]


def test_tags_words_and_leaves_out_what_no_longer_fits(base: Callable[..., Path], tmp_path: Path) -> None:
    rows = shop()
    torn = dataclasses.replace(rows, labels={**rows.labels, "tags": ("O", *rows.labels["tags"][1:])})
    made = task(CASES["tagger"][0], torn, setting(base("bert")))
    assert made.facts == {LEFT_OUT: 1}
    assert made.rows == ROWS
    assert made.losses(torch.tensor([0])).tolist() == [0.0]
    dataclasses.replace(CASES["tagger"][0], method="full").fit(rows, tmp_path, setting(base("bert")))
    tagger = Tagger.load(tmp_path)
    found = tagger.predict(rows.texts["tokens"])
    assert [" ".join(map(str, tags)) for tags in found] == list(rows.labels["tags"])
    assert tagger.predict(sealed(["red " * 40]))[0][30:] == [None] * 10  # 30 and two of the tokenizer's own


def test_first_tokens_of_words_in_subwords_and_characters() -> None:
    assert first_tokens("ab c", [(0, 0), (0, 1), (1, 2), (3, 4), (0, 0)]) == [1, 3]
    assert first_tokens("红 色", [(0, 0), (0, 1), (2, 3)]) == [1, 2]
    assert first_tokens("ab  cd", [(0, 2)]) == [0, None]
    assert first_tokens("a b", [(0, 1), (1, 2), (2, 3)]) == [0, 2]  # a token of a space alone


def test_masks_are_fresh_in_training_and_fixed_else(base: Callable[..., Path]) -> None:
    rows = table({"text": [" ".join(GOOD * 4)] * 64 + ["soft"]})
    made: Any = task(MaskedLM(max_tokens=40, share=0.25), rows, setting(base("bert", "mlm")))
    batch = made.data.batch(torch.arange(65))
    ids, special = batch["input_ids"], batch["special"].bool()
    made.model.train()
    seen, targets = made._masked(ids, special)
    counts = (targets != NO_TARGET).sum(1)
    assert counts.tolist() == [6] * 64 + [1]  # a share of 24, and one at least
    assert not (targets != NO_TARGET)[special].any()
    assert len({tuple(row.tolist()) for row in targets[:64]}) > 60  # the rows are alike; their masks are not
    masked = (seen == made.tokenizer.mask_token_id) & (targets != NO_TARGET)
    assert 0.7 < float(masked.sum() / counts.sum()) < 0.9
    assert torch.equal(seen[targets == NO_TARGET], ids[targets == NO_TARGET])
    assert not torch.equal(targets, made._masked(ids, special)[1])
    made.model.eval()
    fixed = made._masked(ids, special)
    assert torch.equal(fixed[1], made._masked(ids, special)[1])
    assert torch.equal(fixed[1][64:, :3], made._masked(ids[64:, :3], special[64:, :3])[1])  # alone, without padding
