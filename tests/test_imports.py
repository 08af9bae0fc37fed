"""Result files of other tools: real ones (tests/data/README.md), counted again naively, and hostile ones."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import shlex
import shutil
import struct
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.cli import main
from governance.errors import ConfigError, MissingExtra, RecordError, SteelyardError
from governance.imports import Log, differences, figures, measure, read_import, select
from governance.imports.hostile import parse_json
from governance.imports.inspectlog import check_archive
from governance.imports.logs import RESERVED, row_key, short_name, slug
from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.prepare import prepare
from governance.record import load_record
from governance.statistics.intervals import wilson
from reports.text import MADE
from tests.tiny import write_config, write_reviews

DATA = Path(__file__).parent / "data"
ONE, TWO = (next((DATA / "lm-eval" / name).glob("results_*.json")) for name in ("one", "two"))
V2, V3 = DATA / "promptfoo/v2.json", DATA / "promptfoo/v3.json"
CAREFUL, HASTY = DATA / "inspect/careful.eval", DATA / "inspect/hasty.eval"
inspect_ai = pytest.mark.skipif(find_spec("inspect_ai") is None, reason="needs steelyard[inspect]")


def outcomes(path: Path, model: str | None = None, task: str | None = None) -> dict[str, Outcome]:
    logs = select(read_import(path).logs, of=model, task=task)
    return {outcome.metric: outcome for log in logs for outcome in measure(log, model="m", level=0.95)}


def measured(outcome: Outcome) -> Measurement:
    assert isinstance(outcome, Measurement), outcome
    return outcome


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(results: Path, task: str) -> list[dict[str, Any]]:
    file = next(results.parent.glob(f"samples_{task}_*.jsonl"))
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def without_samples(folder: Path, change: Any = lambda raw: None) -> Path:
    """lm-eval's results alone, changed."""
    raw = json.loads(ONE.read_bytes())
    change(raw)
    (folder / "results_x.json").write_text(json.dumps(raw))
    return folder / "results_x.json"


# -- lm-eval ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "metric"), [("shop_intent", "acc"), ("shop_intent", "acc_norm"), ("shop_words", "exact_match")]
)
def test_lmeval_scores_have_wilsons_interval(task: str, metric: str) -> None:
    scores = [line[metric] for line in lines(ONE, task)]
    found = measured(outcomes(ONE)[f"imported.{task}.{metric}"])
    assert found.value == sum(scores) / len(scores) == json.loads(ONE.read_bytes())["results"][task][f"{metric},none"]
    assert (found.low, found.high) == pytest.approx(wilson(sum(scores), len(scores)))
    assert (found.n, found.unit, found.counts) == (len(scores), Unit.RATE, {"clusters": len(scores)})
    assert found.method == "imported from lm-eval 0.4.13: Wilson interval"


def test_what_is_only_reported_rests_on_its_standard_error(tmp_path: Path) -> None:
    """1.96 standard errors either side, as the file states them, and the method says so."""
    found = outcomes(without_samples(tmp_path))
    raw = json.loads(ONE.read_bytes())["results"]["shop_intent"]
    accuracy = measured(found["imported.shop_intent.acc"])
    half = 1.959964 * raw["acc_stderr,none"]
    assert (accuracy.low, accuracy.high) == pytest.approx((raw["acc,none"] - half, raw["acc,none"] + half), abs=1e-6)
    assert accuracy.method == "imported from lm-eval 0.4.13: normal interval from the standard error that it reports"
    assert accuracy.n == 24
    assert isinstance(found["imported.shop_intent.coverage"], NotMeasured)


def test_a_group_counts_the_samples_that_have_its_figure() -> None:
    group = measured(outcomes(ONE, task="shop")["imported.shop.acc"])
    assert group.n == 24  # of 32: the other task of the group has no accuracy


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"acc_stderr,none": "N/A"}, "reported as 0.3333, without a standard error"),
        ({"acc_stderr,none": 0.0}, "which would claim certainty"),
    ],
)
def test_a_report_that_proves_nothing_is_not_measured(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = without_samples(tmp_path, lambda raw: raw["results"]["shop_intent"].update(change))
    found = outcomes(path, task="shop_intent")["imported.shop_intent.acc"]
    assert isinstance(found, NotMeasured) and reason in found.reason


def test_without_a_number_of_samples_nothing_is_measured(tmp_path: Path) -> None:
    path = without_samples(tmp_path, lambda raw: raw.pop("n-samples"))
    found = outcomes(path, task="shop_intent")["imported.shop_intent.acc"]
    assert isinstance(found, NotMeasured) and "without the number of samples" in found.reason


def test_a_corpus_metric_is_not_made_from_its_samples() -> None:
    """BLEU's lines hold texts, and its standard error of 0 would be certainty."""
    found = outcomes(ONE)["imported.shop_words.bleu"]
    assert isinstance(found, NotMeasured) and "would claim certainty" in found.reason


def test_samples_that_do_not_average_to_the_figure_are_not_used(tmp_path: Path) -> None:
    """Samples of another run stand beside these results."""
    shutil.copy(ONE, tmp_path / ONE.name)
    other = next(TWO.parent.glob("samples_shop_intent_*"))
    shutil.copy(other, tmp_path / next(ONE.parent.glob("samples_shop_intent_*")).name)
    found = measured(outcomes(tmp_path / ONE.name)["imported.shop_intent.acc"])
    assert found.value == pytest.approx(1 / 3) and "standard error that it reports" in found.method


def test_missing_samples_lower_coverage(tmp_path: Path) -> None:
    shutil.copytree(ONE.parent, tmp_path / "run")
    file = next((tmp_path / "run").glob("samples_shop_words_*"))
    kept = file.read_text("utf-8").splitlines()[:6]
    file.write_text("\n".join(kept))
    raw = json.loads((tmp_path / "run" / ONE.name).read_bytes())
    raw["results"]["shop_words"]["exact_match,none"] = sum(json.loads(line)["exact_match"] for line in kept) / 6
    (tmp_path / "run" / ONE.name).write_text(json.dumps(raw))
    found = outcomes(tmp_path / "run" / ONE.name, task="shop_words")
    assert measured(found["imported.shop_words.coverage"]).value == 6 / 8
    assert measured(found["imported.shop_words.exact_match"]).n == 6


def test_less_is_better_where_the_file_says_so(tmp_path: Path) -> None:
    path = without_samples(tmp_path, lambda raw: raw["higher_is_better"]["shop_intent"].update({"acc": False}))
    (log,) = select(read_import(path).logs, task="shop_intent")
    assert log.lower_is_better == {"acc"}


def test_a_task_name_is_never_a_path(tmp_path: Path) -> None:
    """A task called ../secret must not make the reader open samples outside the folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "samples_x_1.jsonl").write_text("not to be read")
    raw = {"results": {"/../../samples_x": {"acc,none": 0.5}, "a/../b": {"acc,none": 0.5}}, "versions": {}}
    (tmp_path / "in" / "results_1.json").write_text(json.dumps(raw))
    read = read_import(tmp_path / "in" / "results_1.json")
    assert read.beside == {} and {slug(log.task) for log in read.logs} == {"samples_x", "a-b"}


# -- promptfoo ----------------------------------------------------------------------------------------


def naive(path: Path, label: str) -> list[dict[str, Any]]:
    return [row for row in json.loads(path.read_bytes())["results"]["results"] if row["provider"]["label"] == label]


@pytest.mark.parametrize("path", [V2, V3], ids=["version 2", "version 3"])
def test_promptfoo_figures_and_coverage(path: Path) -> None:
    for label in ("echo", "careless"):
        rows = naive(path, label)
        answered = [row for row in rows if row.get("error") != "made to fail"]
        found = outcomes(path, label)
        passed, coverage = (measured(found[f"imported.shop-answers.{name}"]) for name in ("pass", "coverage"))
        assert passed.value == sum(row["success"] for row in answered) / len(answered)
        assert coverage.value == len(answered) / len(rows)
        assert measured(found["imported.shop-answers.score"]).value == pytest.approx(
            np.mean([row["score"] for row in answered])
        )
        assert measured(found["imported.shop-answers.hours"]).n == sum("hours" in row["namedScores"] for row in rows)


def test_both_versions_of_promptfoo_say_the_same() -> None:
    """The same suite, run by 0.80 and by 0.121."""
    for label in ("echo", "careless"):
        old, new = outcomes(V2, label), outcomes(V3, label)
        assert {name: (o.value, o.low, o.high) for name, o in old.items() if isinstance(o, Measurement)} == {
            name: (o.value, o.low, o.high) for name, o in new.items() if isinstance(o, Measurement)
        }


def test_repeats_of_one_test_are_one_cluster() -> None:
    passed = measured(outcomes(V3, "echo")["imported.shop-answers.pass"])
    assert (passed.n, passed.counts) == (10, {"clusters": 5})
    assert (passed.low, passed.high) != pytest.approx(wilson(6, 10))
    assert passed.low < wilson(6, 10).low and passed.high > wilson(6, 10).high


def test_prompts_are_systems_of_their_own_and_never_named_by_their_text(tmp_path: Path) -> None:
    raw = json.loads(V3.read_bytes())
    for row in raw["results"]["results"][::2]:
        row["promptId"] = "f" * 64
        row["prompt"]["label"] = "Be rude to {{customer}}"
    (tmp_path / "two.json").write_text(json.dumps(raw))
    models = {log.model for log in read_import(tmp_path / "two.json").logs}
    assert len(models) > 2 and all(" prompt " in model for model in models) and "rude" not in str(models)


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    raw = json.loads(V3.read_bytes())
    raw["results"]["version"] = 9
    (tmp_path / "x.json").write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=r"results.version: expected one of 2, 3, 4, found 9"):
        read_import(tmp_path / "x.json")


# -- Inspect ------------------------------------------------------------------------------------------


@inspect_ai
def test_inspect_epochs_are_clusters_and_errors_lower_coverage() -> None:
    from inspect_ai.log import read_eval_log

    samples = read_eval_log(CAREFUL).samples or []
    right = [sample.scores["match"].value == "C" for sample in samples if sample.scores]
    found = outcomes(CAREFUL)
    match = measured(found["imported.shop_answers.match"])
    assert (match.value, match.n, match.counts) == (np.mean(right), 35, {"clusters": 12})
    assert match.high - match.low > np.ptp(wilson(sum(right), 35))
    assert measured(found["imported.shop_answers.coverage"]).value == 35 / 36
    brevity = [sample.scores["brevity"].value for sample in samples if sample.scores]
    assert measured(found["imported.shop_answers.brevity"]).value == pytest.approx(np.mean(brevity))
    assert measured(found["imported.shop_answers.brevity"]).unit is Unit.UNITS
    polite = [sample.scores["manners"].value["polite"] for sample in samples if sample.scores]
    assert measured(found["imported.shop_answers.manners-polite"]).value == np.mean(polite)


@inspect_ai
def test_inspect_models_are_paired_by_sample_and_epoch() -> None:
    (mine,), (theirs,) = read_import(CAREFUL).logs, read_import(HASTY).logs
    found = {o.metric: o for o in differences(mine, theirs, model="careful", reference="hasty", level=0.95)}
    gap = measured(found["imported.shop_answers.match.difference"])
    apart = [measured(outcomes(path)["imported.shop_answers.match"]).value for path in (CAREFUL, HASTY)]
    assert gap.value == pytest.approx(apart[0] - apart[1])
    assert (gap.n, gap.counts["clusters"], gap.reference) == (35, 12, "hasty")


@inspect_ai
def test_a_log_without_samples_gives_what_it_reports(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log, write_eval_log

    log = read_eval_log(CAREFUL)
    log.samples = None
    write_eval_log(log, tmp_path / "bare.json", format="json")
    found = outcomes(tmp_path / "bare.json")
    match = measured(found["imported.shop_answers.match"])
    stated = {metric.name: metric.value for metric in log.results.scores[0].metrics.values()}
    assert match.value == stated["accuracy"]
    assert match.high - match.value == pytest.approx(1.959964 * stated["stderr"], abs=1e-6)
    polite = found["imported.shop_answers.manners-polite"]
    assert isinstance(polite, NotMeasured) and "without a standard error" in polite.reason
    assert isinstance(found["imported.shop_answers.coverage"], NotMeasured)


@inspect_ai
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: setattr(log.samples[0].scores["brevity"], "value", math.inf), "one that is infinite"),
        (lambda log: setattr(log.samples[0].scores["match"], "value", "rather good"), "scores are words"),
    ],
)
def test_a_log_that_can_not_be_scored_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    from inspect_ai.log import read_eval_log, write_eval_log

    log = read_eval_log(CAREFUL)
    change(log)
    write_eval_log(log, tmp_path / "bad.eval")
    with pytest.raises(RecordError, match=message) as caught:
        read_import(tmp_path / "bad.eval")
    assert "rather good" not in str(caught.value)


@inspect_ai
def test_a_sample_that_stands_twice_is_refused(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log, write_eval_log

    log = read_eval_log(CAREFUL)
    log.samples.append(log.samples[0])
    write_eval_log(log, tmp_path / "bad.json", format="json")
    with pytest.raises(RecordError, match="a sample stands twice"):
        read_import(tmp_path / "bad.json")


@inspect_ai
def test_a_score_that_inspect_calls_unscored_lowers_coverage(tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log, write_eval_log

    log = read_eval_log(CAREFUL)
    log.samples[0].scores["match"].value = math.nan
    write_eval_log(log, tmp_path / "x.eval")
    found = outcomes(tmp_path / "x.eval")
    assert measured(found["imported.shop_answers.match"]).n == 34
    assert measured(found["imported.shop_answers.coverage"]).value == 34 / 36


@inspect_ai
def test_a_damaged_log_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", '{"eval": "SECRET"}')
    with pytest.raises(RecordError, match=r"not a log that inspect-ai reads") as caught:
        read_import(path)
    assert "SECRET" not in str(caught.value)


def test_a_missing_reader_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(MissingExtra, match=r"pip install 'steelyard\[inspect\]'"):
        read_import(CAREFUL)


# -- hostile files ------------------------------------------------------------------------------------


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.imports.inspectlog.MOST_INSIDE", 1_000_000)
    with zipfile.ZipFile(tmp_path / "x.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1.json", b"0" * 2_000_000)
    with pytest.raises(RecordError, match=r"unpacks beyond 1,000,000 bytes"):
        check_archive(tmp_path / "x.eval")


def test_one_entry_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.imports.inspectlog.MOST_ENTRY", 1_000_000)
    with zipfile.ZipFile(tmp_path / "x.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1.json", b"0" * 2_000_000)
    with pytest.raises(RecordError, match=r"more than it says or a log holds"):
        check_archive(tmp_path / "x.eval")


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    """The sizes in its directory say 10 bytes; unpacked it would be a hundred million."""
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/1.json", b"0" * 100_000_000)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(signature) + offset, 10)
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"damaged archive"):
        check_archive(path)


def test_a_cut_or_doubled_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "1" * 1000)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.json", "2")
    with pytest.raises(RecordError, match=r"stands twice"):
        check_archive(path)
    data = bytearray(path.read_bytes())
    data[60:80] = b"x" * 20
    path.write_bytes(data)
    with pytest.raises(RecordError):
        check_archive(path)


BAD = [
    (b'{"results": NaN}', "holds NaN or Infinity"),
    (b'{"results": {"a": {"acc,none": -Infinity}}}', "holds NaN or Infinity"),
    (b'{"results": {"a": {"acc,none": 1e999}}}', "too large for a figure"),
    (b'{"results": {"a": {"acc,none": 1e200}}}', "numbers of a sane size"),
    (b'{"results": {"a": {"acc,none": ' + b"9" * 5000 + b"}}}", "not JSON that can be read"),
    (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
    (b'{"results": {"a": 1, "a": 2}}', "a key stands twice"),
    (b'{"results": {"a": {"acc,none": "SECRET"}}}', "expected numbers of a sane size, found a str"),
    (b'{"results": {"a": {"acc,none": true}}}', "found a bool"),
    (b'{"results": {"a": {"acc,none": 1, "acc_stderr,none": -1}}}', "standard errors of 0 or more"),
    (b'{"results": {"a": "SECRET"}}', "results.a: Input should be a valid dictionary"),
    (b'{"results": {}}', "results: Dictionary should have at least 1 item"),
    (b'{"results": [], "version": 3}', "results.results: List should have at least 1 item"),
    (b'{"results": {"results": [{"success": "yes"}], "version": 3}}', "results.results.0.success"),
    (b'{"results": {"results": "SECRET"}}', "expected numbers|expected Inspect|results"),
    (b'{"results"', "not JSON"),
    (b"\xff\xfe", "expected UTF-8"),
    (b"", "not JSON"),
    (b'{"else": 1}', "expected Inspect's log"),
    (b"[]", "expected Inspect's log"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_hostile_file_gets_one_clear_message(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "results_1.json").write_bytes(content)
    with pytest.raises((RecordError, ConfigError), match=message) as caught:
        read_import(tmp_path / "results_1.json")
    assert "SECRET" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_too_large_missing_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.imports.hostile.MAX_BYTES", 1000)
    with pytest.raises(RecordError, match=r"at most 1,000 bytes"):
        read_import(ONE)
    with pytest.raises(ConfigError, match=r"no such file"):
        read_import(tmp_path / "none.json")
    with pytest.raises(ConfigError, match=r"found a folder"):
        read_import(tmp_path)
    with pytest.raises(ConfigError, match=r"give the results file beside it"):
        monkeypatch.setattr("governance.imports.hostile.MAX_BYTES", 10**6)
        read_import(next(ONE.parent.glob("samples_*")))


def test_more_samples_than_can_be_are_refused(tmp_path: Path) -> None:
    """A file that claims 10**12 samples must not make us count to it."""
    shutil.copytree(ONE.parent, tmp_path / "run")
    raw = json.loads(ONE.read_bytes())
    raw["n-samples"]["shop_words"]["effective"] = 10**12
    (tmp_path / "run" / ONE.name).write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=r"at most 1,000,000 samples"):
        read_import(tmp_path / "run" / ONE.name)


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_fail(data: bytes) -> None:
    try:
        parse_json(data, "x")
    except RecordError as error:
        assert str(error).startswith("x: ")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def place_in(raw: Any, rng: random.Random) -> tuple[Any, Any]:
    """A container somewhere in JSON, and one of its keys."""
    while True:
        keys = list(raw) if isinstance(raw, dict) else list(range(len(raw)))
        key = rng.choice(keys)
        if not isinstance(raw[key], dict | list) or not raw[key] or rng.random() < 0.25:
            return raw, key
        raw = raw[key]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=values, seed=st.integers(0, 10**6), source=st.sampled_from([ONE, V2, V3]))
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, value: Any, seed: int, source: Path) -> None:
    """One value of a real file becomes anything: figures with finite intervals come of it, or one of our errors."""
    raw = copy.deepcopy(json.loads(source.read_bytes()))
    container, key = place_in(raw, random.Random(seed))
    container[key] = value
    (tmp_path / "results_0.json").write_text(json.dumps(raw), "utf-8")
    try:
        read = read_import(tmp_path / "results_0.json")
        found = figures([(slug(log.model), log) for log in read.logs], level=0.95)
    except SteelyardError:
        return
    assert found and all(o.metric == o.metric.encode().decode() for o in found)


# -- names and pairs ----------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_a_name_becomes_part_of_a_metric(name: str) -> None:
    made = slug(name)
    assert made and len(made) <= 60 and "." not in made and "/" not in made and made == made.casefold()
    assert all(char.isalnum() or char in "_-" or char.isidentifier() or char.isprintable() for char in made)
    made.encode()


def test_long_names_stay_apart() -> None:
    assert slug("x" * 300 + "a") != slug("x" * 300 + "b")
    assert slug("") == slug("") != slug("///")


@given(st.text(max_size=80))
def test_a_models_name_holds_no_path(model: str) -> None:
    short_name(model).encode()
    assert "ann" not in short_name(f"/home/ann/{model}/ft")


def test_reserved_endings_are_those_of_the_reports() -> None:
    assert MADE <= RESERVED


def log(scores: dict[str, list[float]], *, task: str = "t", model: str = "m", rows: str = "r") -> Log:
    from governance.imports.logs import column, coverage

    n = len(next(iter(scores.values())))
    keys = [row_key(rows, i) for i in range(n)]
    columns = {name: column("x", list(zip(keys, keys, values, strict=True))) for name, values in scores.items()}
    whole = coverage("x", [(key, key, True) for key in keys], n)
    return Log("tool", "1", task, model, n, whole, columns)


def test_a_scorer_called_coverage_does_not_replace_it() -> None:
    found = {o.metric: o for o in measure(log({"coverage": [0.0, 1.0], "Ratio": [1.0, 1.0]}), model="m", level=0.95)}
    assert measured(found["imported.t.coverage"]).value == 1
    assert measured(found["imported.t.coverage-score"]).value == 0.5 and "imported.t.ratio-score" in found


def test_scorers_of_one_name_are_refused() -> None:
    with pytest.raises(RecordError, match="both be called alike"):
        measure(log({"a b": [0.0, 1.0], "a-b": [0.0, 1.0]}), model="m", level=0.95)


def test_scores_that_are_all_alike_prove_nothing() -> None:
    (_, found) = measure(log({"s": [0.3] * 9}), model="m", level=0.95)
    assert isinstance(found, NotMeasured) and "all 9 scores are alike" in found.reason
    (_, sure) = measure(log({"s": [1.0] * 9}), model="m", level=0.95)
    assert measured(sure).low == pytest.approx(wilson(9, 9).low)  # of 0 and 1 it is known what else they could be


def test_other_data_with_the_same_ids_is_not_paired() -> None:
    (found,) = differences(
        log({"s": [0.0, 1.0]}), log({"s": [1.0, 1.0]}, rows="other"), model="a", reference="b", level=0.95
    )
    assert isinstance(found, NotMeasured) and "share no sample" in found.reason


def test_a_pairs_interval_is_narrower_than_two_models_apart() -> None:
    """Two models that err on the same samples: what the pairing is for."""
    rng = np.random.default_rng(0)
    base = (rng.random(300) < 0.6).astype(float)
    other = np.where(rng.random(300) < 0.05, 1 - base, base)
    pair = differences(log({"s": [*base]}), log({"s": [*other]}), model="a", reference="b", level=0.95)
    gap, apart = measured(pair[0]), measured(measure(log({"s": [*base]}), model="a", level=0.95)[1])
    assert gap.value == pytest.approx(base.mean() - other.mean())
    assert gap.high - gap.low < 0.6 * (apart.high - apart.low)


def test_repeats_buy_a_pair_no_precision() -> None:
    """Every sample answered three times, always alike: as much as once."""
    from governance.imports.logs import Column

    rng = np.random.default_rng(1)

    def repeated(scores: np.ndarray, times: int) -> Log:
        made = log({"s": [*scores]})
        (column,) = made.scores.values()
        assert isinstance(column, Column)
        keys = tuple(f"{key} {turn}" for key in column.keys for turn in range(times))
        clusters = tuple(key for key in column.keys for _ in range(times))
        return replace(made, scores={"s": Column(keys, clusters, np.repeat(column.values, times))})

    sides = [(rng.random(60) < rate).astype(float) for rate in (0.7, 0.5)]
    (once,), (thrice,) = (
        differences(*(repeated(side, times) for side in sides), model="a", reference="b", level=0.95)
        for times in (1, 3)
    )
    assert (measured(thrice).n, thrice.counts["clusters"]) == (180, 60)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))


# -- the command --------------------------------------------------------------------------------------


def policy(folder: Path, **bounds: dict[str, Any]) -> Path:
    controls = [{"id": name, "says": {"en": name}, **control} for name, control in bounds.items()]
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump({"name": "p", "version": "1", "title": {"en": "p"}, "controls": controls}))
    return path


@pytest.mark.parametrize(
    ("bound", "code"),
    [({"at_least": 0.1}, 0), ({"at_least": 0.9}, 1), ({"at_least": 0.4}, 3), ({"at_most": 0.6}, 0)],
)
def test_an_imported_figure_is_gated(tmp_path: Path, bound: dict[str, float], code: int) -> None:
    """shop_intent's accuracy is 0.33, its interval 0.18 to 0.53."""
    rules = policy(tmp_path, acc={"metric": "imported.shop_intent.acc", **bound})
    done = run("import", f"base={ONE}", "--policy", rules, "--out", tmp_path / "runs", "--name", "shop", "--json")
    assert done.exit_code == code, done.output
    (folder,) = (path for path in (tmp_path / "runs/shop").iterdir() if path.is_dir())
    assert run("gate", folder, "--json").exit_code == code
    assert run("verify", folder).exit_code in (0, 3), run("verify", folder).output
    for language in ("en", "zh"):
        page = Path(run("report", folder, "--lang", language).output.strip()).read_text("utf-8")
        assert "imported.shop_intent.acc" in page and "lm-eval 0.4.13" in page


def test_the_record_says_what_it_rests_on_and_holds_no_text(tmp_path: Path) -> None:
    done = run("import", f"old={ONE}", f"new={TWO}", "--candidate", "new", "--incumbent", "old", "--out", tmp_path)
    assert done.exit_code == 3, done.output  # the default policy asks for what no log holds
    (folder,) = (path for path in (tmp_path / "imported").iterdir() if path.is_dir())
    record = load_record(folder)
    assert [model.name for model in record.models] == ["old", "new"]
    assert {model.kind for model in record.models} == {"imported"} and record.incumbent == "old"
    assert record.data.rows_read == record.model("new").weighed_on == 24 + 8  # the group's samples are its tasks' own
    assert record.lineage.versions["imported from lm-eval"] == "0.4.13"
    assert len([part for part in record.lineage.parts if part.startswith("import ")]) == 6
    pairs = [o for o in record.outcomes if isinstance(o, Measurement) and o.reference == "old"]
    assert {o.metric for o in pairs} == {
        "imported.shop_intent.acc.difference", "imported.shop_intent.acc_norm.difference",
        "imported.shop_words.exact_match.difference",
    }  # fmt: skip
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("utf-8", "replace")
    for line in lines(ONE, "shop_intent"):
        assert line["doc"]["question"] not in written and line["doc_hash"] not in written
    assert str(DATA) not in written


def test_unchanged_files_make_no_new_run_and_changed_ones_do(tmp_path: Path) -> None:
    shutil.copytree(ONE.parent, tmp_path / "one")
    arguments = ("import", tmp_path / "one" / ONE.name, "--out", tmp_path / "runs")

    def runs() -> set[str]:
        run(*arguments)
        return {path.name for path in (tmp_path / "runs/imported").iterdir() if path.is_dir()}

    first = runs()
    assert len(first) == 1 and runs() == first
    samples = next((tmp_path / "one").glob("samples_shop_intent*"))
    samples.write_bytes(samples.read_bytes() + b"\n")
    assert len(runs()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([V3], "--candidate: which of the models is the verdict about? Known: careless, echo."),
        ([V3, "--candidate", "ecko"], "--candidate: no model 'ecko'. Did you mean 'echo'?"),
        ([V3, "--candidate", "echo", "--incumbent", "x"], "--incumbent: no model 'x'"),
        ([f"a={ONE}", f"a={ONE}"], "two files hold model a on task shop_intent"),
        ([f"a={V3}"], "holds several models, so 'a=' can't name them"),
        ([ONE, "--name", "../x"], "--name: expected small letters"),
        ([ONE, "--level", "1"], "--level: expected a number in (0, 1)"),
        ([ONE, "--policy", "lunch"], "no 'lunch' in configs/policies. Did you mean 'launch'?"),
        (["nothing.json"], "nothing.json: no such file"),
    ],
)
def test_a_mistake_gets_one_message(tmp_path: Path, arguments: list[object], message: str) -> None:
    done = run("import", *arguments, "--out", tmp_path / "runs")
    assert done.exit_code == 2 and message in done.output, done.output
    assert not (tmp_path / "runs").exists()


def test_two_models_of_one_short_name_must_be_told_apart(tmp_path: Path) -> None:
    for name, model in (("a", "org/ft.7"), ("b", "org-ft-7")):
        (tmp_path / name).mkdir()
        without_samples(tmp_path / name, lambda raw, model=model: raw.update(model_name=model))
    paths = [tmp_path / name / "results_x.json" for name in "ab"]
    done = run("import", *paths, "--candidate", "org-ft-7", "--out", tmp_path / "runs")
    assert done.exit_code == 2 and "would both be called 'org-ft-7'" in done.output


def test_the_pages_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/imports.md: its policy and its commands, in its order."""
    page = (DATA.parent.parent / "docs/imports.md").read_text("utf-8")
    (tmp_path / "tests").symlink_to(DATA.parent)
    (tmp_path / "shop.yaml").write_text(re.findall(r"```yaml\n(# shop.yaml.*?)```", page, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    codes = []
    for command in re.findall(r"^steelyard (.*(?:\n    .*)*)", page, re.MULTILINE):
        made = [path.name for path in Path("runs/shop").glob("*/") if not path.name.startswith(".")]
        words = shlex.split(command.replace("\\\n", " ").replace("/RUN", f"/{''.join(made)}"))
        codes.append(run(*words).exit_code)
    assert codes == [0, 3, 0]
    assert Path("exported/echo.json").is_file()


@inspect_ai
def test_inspect_logs_side_by_side(tmp_path: Path) -> None:
    control = {"metric": "imported.shop_answers.match.difference", "reference": "incumbent", "at_least": 0.2}
    rules = policy(tmp_path, better=control | {"models": "candidate"})
    done = run(
        "import", CAREFUL, HASTY, "--candidate", "mockllm-careful", "--incumbent", "mockllm-hasty", "--policy", rules,
        "--out", tmp_path / "runs",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "imported.shop_answers.manners-polite" in done.output


# -- beside an audit of our own -----------------------------------------------------------------------


@pytest.mark.slow
def test_an_audit_takes_what_another_tool_measured(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 120)
    shutil.copytree(DATA / "promptfoo", tmp_path / "pf")
    rules = policy(
        tmp_path,
        own={"metric": "quality.coverage", "at_least": 0.5},
        theirs={"metric": "imported.shop-answers.pass", "at_least": 0.1},
        paired={"metric": "imported.shop-answers.pass.difference", "reference": "incumbent", "at_least": -1,
                "models": "candidate"},
    )  # fmt: skip
    config = write_config(
        tmp_path / "a.yaml",
        models={"m": {"kind": "tfidf-logistic"}, "old": {"kind": "tfidf-logistic", "max_features": 5}},
        candidate="m",
        incumbent="old",
        evaluators=["quality"],
        imports=[
            {"path": "pf/v3.json", "model": "m", "of": "echo"},
            {"path": "pf/v3.json", "model": "old", "of": "careless"},
        ],
        policy=str(rules),
    )
    done = run("audit", config, "--out", tmp_path / "runs", "--quiet", "--json")
    assert done.exit_code == 0, done.output
    folder = next(path for path in (tmp_path / "runs").glob("*/*") if (path / "record.json").exists())
    record = load_record(folder)
    assert {o.model for o in record.outcomes if o.metric.startswith("imported.")} == {"m", "old"}
    assert any(part.startswith("import 0 ") for part in record.lineage.parts)
    before = prepare(str(config)).identity
    assert before == record.lineage.plan
    (tmp_path / "pf/v3.json").write_bytes((tmp_path / "pf/v3.json").read_bytes() + b"\n")
    assert prepare(str(config)).identity != before  # a changed file makes a new run


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "x.json", "model": "nobody"}, "imports.0.model: no model 'nobody'"),
        ({"path": "x.json", "model": "m"}, "imports.0.path: x.json: no such file"),
        ({"path": str(V3), "model": "m"}, "imports.0: of: the file holds several models; name one of them: "),
        ({"path": str(V3), "model": "m", "of": "ecko"}, "of: no model 'ecko' in the file. Did you mean 'echo'?"),
        ({"path": str(ONE), "model": "m", "task": "shop_intend"}, "task: no task 'shop_intend' in the file. Did you"),
        ({"path": str(ONE), "model": "m", "tsk": "x"}, "unknown key 'tsk' in imports.0. Did you mean 'task'?"),
    ],
)
def test_a_mistaken_import_in_a_config_is_named(tmp_path: Path, entry: dict[str, str], message: str) -> None:
    write_reviews(tmp_path / "reviews.csv", 60)
    config = write_config(tmp_path / "a.yaml", models={"m": {"kind": "tfidf-logistic"}}, candidate="m", imports=[entry])
    done = run("audit", config, "--out", tmp_path / "runs", "--quiet")
    assert done.exit_code == 2 and message in done.output, done.output
