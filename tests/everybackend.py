"""Every kind of backend, small and real: what the contract suite is run over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from governance.backends.base import Answer, Request
from governance.backends.callable import CallableBackend
from governance.backends.givenreplies import FunctionBackend, Replies, RepliesBackend
from governance.backends.lexical import LexicalBackend
from governance.backends.mitigated import MixtureBackend, ThresholdBackend
from governance.backends.predictions import Given, PredictionsBackend
from governance.backends.prompts import Prompt
from governance.backends.scripted import Script, ScriptedBackend
from governance.backends.taskprompts import TaskPrompt
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.training.decisions import Cut, Mixture, Rule, Thresholds
from tests.asked import gate, settings
from tests.fakeanthropic import Said, fake_anthropic
from tests.fakeserver import Play, fake_server
from tests.tiny import BAD, FILLER, GOOD, write_encoder
from tests.tinymodels import write_model

LABELS = Labels(("no", "yes"), "yes")
LABEL = Prompt.load("recommend.en.v1").bind(LABELS)
WRITE = TaskPrompt.load("qa.en.v1").bind(("context", "question"), ranks=False)
RANK = TaskPrompt.load("ranking.en.v1").bind(("query",), ranks=True)
SHORT = Prompt(
    task="t", language="en", version=1, system="", user="{text} ?", answers={"no": ["poor"], "yes": ["love"]}
).bind(LABELS)


@dataclass
class Spy:
    """What passed the gate, and what got to whoever is asked."""

    passed: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def gate(self, text: str, direction: Any) -> tuple[str, dict[str, int]]:
        self.passed.append((text, direction))
        return gate(text, direction)


Opens = Callable[[Path, ExitStack, Spy], Any]
"""A folder, what is to be ended later, who watches -> a backend."""


def rows() -> ScrubbedDataset:
    """A rule to learn: good words or bad ones, in two languages."""
    texts = [
        f"{FILLER[i % 12]} {(GOOD if i % 2 else BAD)[i % 6]} {'质量很好' if i % 2 else '太差了'}" for i in range(60)
    ]
    index = np.arange(len(texts))
    labels = tuple(LABELS.classes[i % 2] for i in index)
    return ScrubbedDataset(index, tuple(map(ScrubbedText, texts)), labels, {}, index)


def tfidf(folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    from governance.backends.sklearn import SklearnBackend
    from governance.training.tfidf import WEIGHTS, train

    (folder / "tfidf").mkdir(exist_ok=True)
    train(rows(), LABELS, folder / "tfidf", max_features=200, regularisation=1.0, language="en", seed=0)
    return SklearnBackend(folder / "tfidf" / WEIGHTS, LABELS)


def pipeline(folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    """Somebody else's, without probabilities."""
    import skops.io
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    from governance.backends.sklearn import PipelineBackend

    data = rows()
    made = make_pipeline(TfidfVectorizer(analyzer="char"), LinearSVC())
    made.fit([text.text for text in data.texts], list(data.labels))
    skops.io.dump(made, folder / "theirs.skops")
    return PipelineBackend(folder / "theirs.skops", LABELS)


def trained(folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    from governance.backends.trained import ClassifierBackend
    from governance.training.classifier import Features, Recipe, train
    from governance.training.encoder import Cut as Layers
    from governance.training.encoder import LowerLayers
    from governance.training.loop import Settings

    base, weights = folder / "encoder", folder / "trained"
    if not base.exists():
        write_encoder(base)
    seen = Features(LowerLayers(Layers(base, 1, 16), folder / "cached"))
    if not weights.exists():
        loop = Settings(epochs=1, batch=16, learning_rate=1e-3, new_rate=10.0)
        train(Recipe(trained_layers=0, class_weights={}, settings=loop), rows(), LABELS, seen, weights)
    return ClassifierBackend(weights, seen, LABELS)


def thresholds(folder: Path, stack: ExitStack, spy: Spy) -> Any:
    rule = Rule(Cut(">", 0.4), Cut(">", 0.6), 0.5)
    return ThresholdBackend(tfidf(folder, stack, spy), Thresholds({"a": rule}), LABELS, seed=0)


def mixture(folder: Path, stack: ExitStack, spy: Spy) -> Any:
    base = tfidf(folder, stack, spy)
    width = base.features([ScrubbedText("love")])[0].shape[1]
    weights = np.random.default_rng(0).normal(size=(2, width)) * 9
    return MixtureBackend(base, Mixture(np.array([0.5, 0.5]), weights, np.zeros(2)), LABELS, seed=0)


def predictions(_folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    said = [Answer(label="yes", scores=(0.25, 0.75)), Answer(label="no", scores=(1.0, 0.0)), Answer(failure="lost")]
    return PredictionsBackend(Given(dict(enumerate(said)), True, {}, ""))


def replies(_folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    return RepliesBackend(
        Replies({0: Answer(output="silk"), 1: Answer(output=""), 2: Answer(failure="lost")}, {}, paired="any")
    )


def _is_good(text: str) -> bool:
    return len(text) % 2 == 0


def labels(_folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    return CallableBackend(lambda texts: ["yes" if _is_good(t) else "no" for t in texts], LABELS, batch=4, scores=False)


def chances(_folder: Path, _stack: ExitStack, _spy: Spy) -> Any:
    return CallableBackend(
        lambda texts: [{"yes": 0.75, "no": 0.25} if _is_good(t) else {"no": 1.0} for t in texts],
        LABELS,
        batch=4,
        scores=True,
    )


def function(ranks: bool) -> Opens:
    def answer(given: list[dict[str, Any]]) -> list[Any]:
        if ranks:
            return [[float(len(row["query"]) + i) for i, _ in enumerate(row["candidates"])] for row in given]
        return [str(len(row["context"])) for row in given]

    return lambda _folder, _stack, spy: FunctionBackend(answer, ranks=ranks, batch=4, gate=spy.gate)


def lexical(ranks: bool) -> Opens:
    return lambda _folder, _stack, _spy: LexicalBackend(ranks=ranks)


SAYS = {id(LABEL): ("Yes", "No"), id(WRITE): ("silk", "ann@example.com"), id(RANK): ("2, 1", "3, 1, 2")}


def _said(prompt: Any, message: str) -> str:
    return SAYS[id(prompt)][len(message) % 2]


def openai(prompt: Any) -> Opens:
    from governance.backends.api import OpenAIBackend

    def opens(_folder: Path, stack: ExitStack, spy: Spy) -> Any:
        server = stack.enter_context(fake_server(lambda message, _: Play(_said(prompt, message))))
        spy.asked = server.messages
        return OpenAIBackend(**settings(server.url, prompt=prompt, gate=spy.gate))

    return opens


def anthropic(prompt: Any) -> Opens:
    from governance.backends.anthropic import AnthropicBackend

    def opens(_folder: Path, stack: ExitStack, spy: Spy) -> Any:
        server = stack.enter_context(fake_anthropic(lambda message, _: Said(_said(prompt, message))))
        spy.asked = server.messages
        return AnthropicBackend(**settings(server.url, prompt=prompt, gate=spy.gate))

    return opens


def scripted(prompt: Any) -> Opens:
    def opens(_folder: Path, _stack: ExitStack, spy: Spy) -> Any:
        class Watched(Script):
            def play(self, message: str) -> Any:
                spy.asked.append(message)
                return super().play(message)

        return ScriptedBackend(Watched(SAYS[id(prompt)]), prompt=prompt, gate=spy.gate)

    return opens


def local(kind: str, head: Any, prompt: Any = None, auto: str = "", **how: Any) -> Opens:
    """A Hugging Face model with random weights; `auto`: of a head that is drawn and saved."""

    def opens(folder: Path, _stack: ExitStack, spy: Spy) -> Any:
        from governance.backends.hf import Settings, open_model

        where = folder / f"{head}-{kind}"
        if not where.exists():
            _draw(where, kind, auto)
        return open_model(where, Settings(head=head, **how), gate=spy.gate, labels=LABELS, prompt=prompt)

    return opens


def _draw(where: Path, kind: str, auto: str) -> None:
    wide = {"initializer_range": 0.5}
    if not auto:
        write_model(where, kind, **(wide if kind in ("gpt2", "llama") else {}))
        return
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(write_model(where, kind, **wide))
    if auto == "AutoModelForSequenceClassification":
        config.id2label, config.label2id = dict(enumerate(LABELS.classes)), {"no": 0, "yes": 1}
    if head_of_one := auto.endswith("/1"):
        config.id2label, config.label2id = {0: "score"}, {"score": 0}
    torch.manual_seed(1)
    getattr(transformers, auto.removesuffix("/1") if head_of_one else auto).from_config(config).save_pretrained(where)


LIGHT: Mapping[str, Opens] = {
    "tfidf": tfidf,
    "pipeline": pipeline,
    "thresholds": thresholds,
    "mixture": mixture,
    "predictions": predictions,
    "replies": replies,
    "callable": labels,
    "callable with scores": chances,
    "function that writes": function(ranks=False),
    "function that ranks": function(ranks=True),
    "rules that write": lexical(ranks=False),
    "rules that rank": lexical(ranks=True),
    **{
        f"{kind.__name__} {name}": kind(prompt)
        for kind in (openai, anthropic, scripted)
        for name, prompt in (("classifies", LABEL), ("writes", WRITE), ("ranks", RANK))
    },
}
HEAVY: Mapping[str, Opens] = {  # those on torch
    "trained": trained,
    "hf classification": local("bert", "classification", auto="AutoModelForSequenceClassification"),
    "hf cross-encoder": local("bert", "cross-encoder", auto="AutoModelForSequenceClassification/1"),
    "hf embedding": local("bert", "embedding"),
    "hf extraction": local("bert", "qa", auto="AutoModelForQuestionAnswering", stride=8),
    "hf causal classifies": local("gpt2", "causal", SHORT, max_tokens=4),
    "hf causal by likelihood": local("llama", "causal", SHORT, protocol="log-likelihood"),
    "hf causal writes": local("llama", "causal", WRITE, max_tokens=4),
    "hf pairs rank by likelihood": local("t5", "seq2seq", RANK, protocol="log-likelihood", max_length=96),
}
ASKING = tuple(name for name in LIGHT if name.split()[0] in ("openai", "anthropic", "scripted"))
"""Those that send a message to somebody."""


def request(text: ScrubbedText, *, ranks: bool) -> Request:
    """A request about one text."""
    if ranks:
        return Request({"query": text}, tuple(map(ScrubbedText, ("silk", "the red dress", "不好 poor"))))
    return Request({"context": text, "question": ScrubbedText("what fabric ?")})
