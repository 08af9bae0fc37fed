"""How much hangs on the wording: figures by prompt, a spread whose interval holds, one budget for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.wording import SPREAD, WordingSpread
from governance import run_audit
from governance.backends.api import OpenAIBackend
from governance.backends.base import Rewords
from governance.backends.limits import Limits
from governance.backends.prompts import BoundPrompt, Prompt
from governance.backends.scripted import Script, ScriptedBackend
from governance.configfile import shipped
from governance.contenders.scripted import Scripted
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText, SyntheticText
from governance.errors import ConfigError
from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome, Slice
from governance.policyscope import scope_of
from governance.prepare import prepare
from tests.asked import gate
from tests.tiny import write_config, write_reviews

LABELS = Labels(("no", "yes"), "yes")


def setting(n: int, **more: Any) -> Setting:
    rows = ScrubbedDataset(
        np.arange(n), tuple(ScrubbedText(f"t{i}") for i in range(n)),
        tuple("yes" if i % 2 else "no" for i in range(n)), {}, np.arange(n) // 2,
    )  # fmt: skip
    return Setting(labels=LABELS, train=rows.take(np.arange(0)), test=rows, find_personal=lambda _: [], **more)


def said(right: np.ndarray, index: np.ndarray | None = None, silent: Sequence[int] = ()) -> Predictions:
    """Answers to the rows of `setting`, right where it says so."""
    index = np.arange(len(right)) if index is None else index
    labels = [LABELS.classes[i % 2 if good else 1 - i % 2] for i, good in zip(index.tolist(), right, strict=True)]
    given = tuple(None if place in silent else label for place, label in enumerate(labels))
    n = len(index)
    return Predictions(
        index=index, labels=given, scores=None, failures=tuple("f" if one is None else None for one in given),
        seconds=np.ones(n), tokens_in=None, tokens_out=None, outputs=None, personal=np.zeros(n, int),
    )  # fmt: skip


def measure(where: Setting, *sides: Predictions, **settings: Any) -> dict[tuple[str, str], Outcome]:
    names = [HELD_OUT, *(f"{HELD_OUT} by p{i}" for i in range(1, len(sides)))]
    wordings = {f"p{i}": name for i, name in enumerate(names)}
    one = Subject("m", frozenset(), dict(zip(names, sides, strict=True)), trained=False, wordings=wordings)
    outcomes = WordingSpread(**{"draws": 300, **settings}).measure([one], where)
    assert {outcome.model for outcome in outcomes} == {"m"}
    return {(outcome.metric, dict(outcome.slice).get("prompt", "")): outcome for outcome in outcomes}


def test_prompts_that_are_answered_alike_are_not_apart() -> None:
    where, right = setting(200), np.arange(200) % 5 > 0
    found = measure(where, said(right), said(right), said(right))
    spread = found[SPREAD, ""]
    assert isinstance(spread, Measurement)
    assert spread.value == 0 == spread.low < spread.high
    assert spread.counts["prompts"] == 3


def test_figures_are_those_of_each_prompt_and_the_spread_is_between_the_farthest() -> None:
    from sklearn.metrics import balanced_accuracy_score

    where, rng = setting(400), np.random.default_rng(0)
    rights = [rng.random(400) < share for share in (0.9, 0.6, 0.75)]
    sides = [said(right) for right in rights]
    found = measure(where, *sides)
    truth = list(where.test.labels)
    scores = [balanced_accuracy_score(truth, list(side.labels)) for side in sides]
    for place, (score, right) in enumerate(zip(scores, rights, strict=True)):
        assert found["wording.balanced_accuracy", f"p{place}"].value == pytest.approx(score)  # type: ignore[union-attr]
        assert found["wording.accuracy", f"p{place}"].value == pytest.approx(right.mean())  # type: ignore[union-attr]
        assert found["wording.coverage", f"p{place}"].value == 1  # type: ignore[union-attr]
    spread = found[SPREAD, ""]
    assert isinstance(spread, Measurement)
    assert spread.value == pytest.approx(max(scores) - min(scores))
    assert spread.low is not None
    assert 0.15 < spread.low < spread.value < (spread.high or 0) < 0.45


def test_the_spread_speaks_of_rows_that_were_answered_to_all_prompts() -> None:
    where = setting(100)
    one = said(np.ones(100, bool), silent=range(10))
    other = said(np.arange(20, 100) % 4 > 0, index=np.arange(20, 100), silent=range(70, 80))
    found = measure(where, one, other)
    assert found["wording.coverage", "p0"].value == 0.9  # type: ignore[union-attr]
    assert found["wording.coverage", "p1"].value == pytest.approx(70 / 80)  # type: ignore[union-attr]
    spread = found[SPREAD, ""]
    assert isinstance(spread, Measurement)
    assert spread.n == 70
    silent = said(np.ones(100, bool), silent=range(100))
    gone = measure(where, one, silent)
    assert isinstance(gone[SPREAD, ""], NotMeasured)
    assert gone["wording.accuracy", "p1"].reason == "none of the 100 rows asked was answered"  # type: ignore[union-attr]
    evens = said(np.ones(50, bool), index=np.arange(0, 100, 2))
    assert "of one class only" in measure(where, evens, evens)[SPREAD, ""].reason  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.8, 0.8, 0.8, 0.8), (0.85, 0.8, 0.75, 0.7)])
def test_the_spreads_interval_holds_the_truth_as_often_as_it_promises(shares: tuple[float, ...]) -> None:
    """Four prompts; where all are equally good, the spread that is observed is nearly always above the truth."""
    runs, held, above, truth = 150, 0, 0, max(shares) - min(shares)
    for run in range(runs):
        rng = np.random.default_rng((3, run))
        shared = rng.random(300)
        rights = [np.where(rng.random(300) < 0.5, shared, rng.random(300)) < share for share in shares]
        spread = measure(setting(300, seed=run), *(said(right) for right in rights), draws=200)[SPREAD, ""]
        assert isinstance(spread, Measurement)
        held += (spread.low or 0) <= truth <= (spread.high or 1)
        above += spread.value > truth
    assert held >= binom.ppf(0.005, runs, 0.95)
    assert truth > 0 or above > 0.9 * runs


def test_models_of_one_prompt_have_no_spread() -> None:
    alone = Subject("m", frozenset(), {HELD_OUT: said(np.ones(4, bool))}, trained=False)
    assert WordingSpread().measure([alone], setting(4)) == []
    with pytest.raises(ValueError, match="draws: expected at least"):
        WordingSpread(draws=10)


# -- prompts that ship, and backends that change them ------------------------------------------------


@pytest.mark.parametrize("name", ["recommend.en", "recommend.zh", "classify.en", "classify.zh"])
def test_a_second_wording_ships_that_reads_the_same_answers(name: str) -> None:
    assert f"{name}.v2" in shipped("prompts")
    first, second = Prompt.load(f"{name}.v1"), Prompt.load(f"{name}.v2")
    assert (first.answers, first.positive, first.language) == (second.answers, second.positive, second.language)
    assert (first.system, first.user) != (second.system, second.user)
    assert second.name == f"{name}.v2"


def bound(name: str) -> BoundPrompt:
    return Prompt.load(name).bind(LABELS)


def test_what_was_spent_on_one_prompt_counts_for_the_next() -> None:
    texts = [SyntheticText(f"text {i}") for i in range(20)]

    def opened(budget: float | None) -> ScriptedBackend:
        limits = Limits(price=(1e4, 1e4), budget=budget)
        return ScriptedBackend(Script(["Yes", "No"]), prompt=bound("recommend.en.v1"), gate=gate, limits=limits)

    free = opened(None)
    free.classify(texts)
    once = free.spent or 0.0
    assert once > 0
    backend = opened(1.5 * once)
    assert isinstance(backend, Rewords)
    assert all(answer.label for answer in backend.classify(texts))
    backend.reword(bound("recommend.en.v2"))
    second = backend.classify(texts)
    answered = sum(answer.label is not None for answer in second)
    assert 0 < answered < 20
    assert once < (backend.spent or 0) <= 1.5 * once
    assert all("budget" in str(answer.failure) for answer in second if answer.label is None)
    assert backend.sent["rows"] == 20 + answered


def test_the_form_of_answers_follows_the_prompt() -> None:
    prompts = [bound("recommend.en.v1"), bound("classify.en.v1")]
    backend = OpenAIBackend(base_url="http://127.0.0.1:9/v1", model="m", prompt=prompts[0], gate=gate, structured=True)
    before = backend._options["response_format"]
    backend.reword(prompts[1])
    after = backend._options["response_format"]
    assert "Yes" in str(before)
    assert "Yes" not in str(after)
    backend.reword(prompts[0])
    assert backend._options["response_format"] == before
    plain = OpenAIBackend(base_url="http://127.0.0.1:9/v1", model="m", prompt=prompts[0], gate=gate)
    plain.reword(prompts[1])
    assert "response_format" not in plain._options


# -- in an audit ---------------------------------------------------------------------------------------


def scripted(*others: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "scripted", "prompt": "recommend.en.v1", "other_prompts": list(others), "answers": ["Yes", "No"], **more
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_audit_asks_by_every_prompt_and_pays_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    write_reviews(tmp_path / "reviews.csv", 200)
    prompt, answers = f"recommend.{language}.v1", {"en": ["Yes", "No"], "zh": ["是", "否"]}[language]
    model = scripted(f"recommend.{language}.v2", prompt=prompt, answers=answers, rows=30)
    source = write_config(
        tmp_path / "c.yaml", models={"asked": model}, candidate="asked", language=language,
        evaluators=["quality", {"name": "wording", "draws": 200}],
    )  # fmt: skip
    opened, played = list[str](), list[str]()
    real_open, real_play = Scripted.open, Script.play
    monkeypatch.setattr(Scripted, "open", lambda self: (opened.append(self.name), real_open(self))[1])
    monkeypatch.setattr(Script, "play", lambda self, message: (played.append(message), real_play(self, message))[1])
    done = run_audit(source, out=tmp_path / "runs", language=language)
    assert opened == ["asked"]  # one backend, so one server, for all prompts
    assert len(played) == len(set(played)) == 60
    [spread] = [o for o in done.record.outcomes if o.metric == SPREAD]
    assert isinstance(spread, Measurement)
    assert spread.slice == EVERYONE
    by_prompt = {o.slice for o in done.record.outcomes if o.metric == "wording.accuracy"}
    assert by_prompt == {Slice.of(prompt=f"recommend.{language}.v{n}") for n in (1, 2)}
    [first] = [o for o in done.record.outcomes if o.metric == "quality.accuracy"]
    [own] = [o for o in done.record.outcomes if o.metric == "wording.accuracy" and o.slice == Slice.of(prompt=prompt)]
    assert isinstance(first, Measurement)
    assert isinstance(own, Measurement)
    assert (first.value, first.low, first.high) == (own.value, own.low, own.high)  # the first stands for the model
    entry = done.record.model("asked")
    assert entry.settings["other_prompts"] == f"recommend.{language}.v2"
    assert len(done.record.lineage.prompts) == 2
    page = next(done.directory.glob("out/*/report.html")).read_text("utf-8")
    card = next(done.directory.glob("out/*/card/asked.md")).read_text("utf-8")
    title = {"en": "How much hangs on the wording", "zh": "措辞的影响"}[language]
    assert title in page
    assert title in card
    assert f"recommend.{language}.v2" in page
    run_audit(source, out=tmp_path / "runs", again=True)
    assert len(played) == 60
    assert scope_of(str(source)).models["asked"] >= {"prompts"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (scripted("recommend.en.v1"), r"models\.a\.other_prompts\.0: 'recommend\.en\.v1' stands twice"),
        (scripted("recommend.en.v2", "recommend.en.v2"), r"a\.other_prompts\.1: 'recommend\.en\.v2' stands twice"),
        (scripted("recomend.en.v2"), r"models\.a\.other_prompts\.0: .*Did you mean 'recommend\.en\.v2'"),
        ({"kind": "hf", "base": "x", "head": "classification", "other_prompts": ["recommend.en.v2"]},
         r"other_prompts: expected prompt beside them"),
    ],
)  # fmt: skip
def test_prompts_that_cant_be_told_apart_are_refused(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    with pytest.raises(ConfigError, match=message):
        prepare(str(write_config(tmp_path / "c.yaml", models={"a": model}, candidate="a")))
