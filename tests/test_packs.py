"""Packs of controls that read laws and standards: honest numbers, both languages, and what the reports tell of them.

To accept changed golden files: `STEELYARD_GOLDEN=write pytest tests/test_packs.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from governance import run_audit
from governance.errors import ConfigError
from governance.measure import Fact, Unit
from governance.policy import Policy, Status, judge, load_policy
from governance.record import RunRecord
from governance.vocabulary import vocabulary
from reports import annex, render
from reports.text import Texts
from reports.view import View
from tests.sample_record import golden, record

CLAUSES = {
    "eu-ai-act": r"AI Act (Art\. \d|Annex IV\()",
    "gdpr": r"GDPR (Art\. \d|Recital \d)",
    "pipl": r"PIPL Art\. \d",
    "nist-ai-rmf": r"AI RMF (GOVERN|MAP|MEASURE|MANAGE) \d|AI 600-1 2\.\d",
    "iso-42001": r"ISO/IEC 42001 (A\.\d|\d)",
    "china-genai": r"Interim Measures Art\. \d|TC260-003 \d|Images, audio, video",
    "nyc-ll144": r"6 RCNY 5-30\d|NYC Admin\. Code 20-87\d|Other protected traits",
}
"""Pack -> how its clauses are cited: by law, so that clauses of several packs stay apart in one policy."""
PACKS = sorted(CLAUSES)
OURS = ("launch", "table-prices", "table-generation")
"""Policies whose bounds a pack may take where its law names none."""


def extending(folder: Path, *parents: str, **more: Any) -> Path:
    """A policy of a shop that builds on others."""
    path = folder / "ours.yaml"
    own = {"name": "ours", "version": "1", "title": {"en": "Ours"}, "extends": list(parents), **more}
    path.write_text(yaml.safe_dump(own), "utf-8")
    return path


def confirmed(pack: str, **values: float) -> dict[str, Any]:
    """All parameters of a pack, confirmed; some at another value."""
    given = load_policy(pack).parameters
    return {
        name: {
            "value": values.get(name.partition(".")[2], parameter.value),
            "says": dict(parameter.says),
            "confirmed_by": "B. Jansen, compliance",
            "confirmed_on": "2026-11-20",
        }
        for name, parameter in given.items()
    }


def rendered(judged: RunRecord, policy: Policy, language: str = "en") -> dict[str, str]:
    files = render(judged, judge(judged, policy), policy, language=language)
    return {name: content.decode() for name, content in files.items()}


def told(policy: Policy) -> Iterator[tuple[str, Any]]:
    """Everything that a policy tells people: where it stands, and the sentence per language."""
    yield from (("title", policy.title), ("reading", policy.reading))
    for name, parameter in policy.parameters.items():
        yield name, parameter.says
    for entry in policy.not_covered:
        yield f"not_covered {entry.clause}", entry.why
    for control in policy.controls:
        yield from ((f"{control.id} says", control.says), (f"{control.id} why", control.why))
        yield from ((f"{control.id} {one.clause}", one.reading) for one in control.references)


@pytest.mark.parametrize("name", PACKS)
def test_everything_is_told_in_both_languages(name: str) -> None:
    for where, sentence in told(load_policy(name)):
        assert set(sentence) == {"en", "zh"}, where
        assert re.search(r"[\u4e00-\u9fff]", sentence["zh"]), where
        assert not re.search(r"[\u4e00-\u9fff]", sentence["en"]), where
        assert sentence["en"][-1] == "." or where == "title", where
        assert sentence["zh"][-1] in "。；" or where == "title", where


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_says_what_it_reads_when_and_that_it_is_no_advice(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name and policy.version == "2026.11" and str(policy.dated) == "2026-11-24"
    assert policy.source and "not legal advice" in policy.reading["en"] and "不构成法律意见" in policy.reading["zh"]
    assert len(policy.not_covered) >= 6


@pytest.mark.parametrize("name", PACKS)
def test_controls_name_their_pack_and_their_clauses(name: str) -> None:
    policy = load_policy(name)
    for control in policy.controls:
        assert control.id.startswith(f"{name}."), control.id
        assert control.references, control.id
    assert all(key.startswith(f"{name}.") for key in policy.parameters)
    assert {control.parameter for control in policy.controls} - {None} == set(policy.parameters)
    cited = [one.clause for control in policy.controls for one in control.references]
    for clause in (*cited, *(entry.clause for entry in policy.not_covered)):
        assert re.match(CLAUSES[name], clause), clause


@pytest.mark.parametrize("name", PACKS)
def test_every_metric_is_one_that_something_measures_and_every_bound_can_fail(name: str) -> None:
    policy = load_policy(name)
    for control in policy.controls:
        entries = vocabulary().of(control.metric)
        assert entries, f"{control.id}: nothing measures {control.metric}"
        bound = policy.bound(control)
        low, high = min(entry.ends[0] for entry in entries), max(entry.ends[1] for entry in entries)
        assert low <= bound < high if control.at_most is not None else low < bound <= high, control.id


@pytest.mark.parametrize("name", PACKS)
def test_no_number_is_invented(name: str) -> None:
    """A bound is a parameter to confirm, or none at all (0), or one of ours for that very figure, and then says so."""
    ours = {(c.metric, c.at_least, c.at_most) for policy in map(load_policy, OURS) for c in policy.controls}
    for control in load_policy(name).controls:
        if control.parameter is None and 0 not in (control.at_least, control.at_most):
            assert (control.metric, control.at_least, control.at_most) in ours, control.id
            assert "ours" in control.why["en"] and "由我们设定" in control.why["zh"], control.id


def test_packs_compose(tmp_path: Path) -> None:
    policy = load_policy(extending(tmp_path, "launch", *PACKS))
    parents = [load_policy(name) for name in ("launch", *PACKS)]
    assert [c.id for c in policy.controls] == [c.id for parent in parents for c in parent.controls]
    assert policy.not_covered == tuple(entry for parent in parents for entry in parent.not_covered)
    assert policy.parameters == {key: p for parent in parents for key, p in parent.parameters.items()}
    assert policy.built_on == tuple(f"{parent.name} {parent.version}" for parent in parents)
    clauses = {name: {one.clause for c in load_policy(name).controls for one in c.references} for name in PACKS}
    assert sum(map(len, clauses.values())) == len(set().union(*clauses.values()))  # cited by law
    assert {model.model for model in judge(record(), policy).models} == {"baseline", "open", "open-private", "closed"}


@pytest.mark.parametrize(("declared", "expected"), [(0.7, Status.PASS), (0.77, Status.UNPROVEN), (0.9, Status.FAIL)])
def test_a_number_decides_once_somebody_stands_by_it(tmp_path: Path, declared: float, expected: Status) -> None:
    control = "eu-ai-act.accuracy"
    alone = judge(record(), load_policy("eu-ai-act"))
    assert alone.status is Status.UNPROVEN
    assert "nobody has confirmed the parameter 'eu-ai-act.accuracy'" in alone.finds(control)[0].reason
    ours = load_policy(extending(tmp_path, "eu-ai-act", parameters=confirmed("eu-ai-act", accuracy=declared)))
    assert [found.status for found in judge(record(), ours).finds(control)] == [expected]


def test_half_a_confirmation_is_refused(tmp_path: Path) -> None:
    given = confirmed("eu-ai-act")
    del given["eu-ai-act.accuracy"]["confirmed_on"]
    with pytest.raises(ConfigError, match="expected confirmed_by and confirmed_on together"):
        load_policy(extending(tmp_path, "eu-ai-act", parameters=given))


# -- packs that judge a table ------------------------------------------------------------------


def table_audit(folder: Path, rows: list[dict[str, Any]], policy: Path | str, **table: Any) -> Any:
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    settings = table.pop("settings", {})
    config = {"audit": "table", "question": "Is it as it should be?", "policy": str(policy), "settings": settings}
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump({**config, "table": {"path": "rows.csv", **table}}), "utf-8")
    return run_audit(path, out=folder / "runs")


def banks(**right: int) -> list[dict[str, Any]]:
    """A table of judged samples, 100 of each bank; how many were found as expected."""
    banks = {"corpus": "acceptable", "content": "acceptable", "must-refuse": "refuse", "must-answer": "answer"}
    other = {"acceptable": "not", "refuse": "answer", "answer": "refuse"}
    return [
        {"bank": bank, "expected": wanted, "found": wanted if row < right[bank.replace("-", "_")] else other[wanted]}
        for bank, wanted in banks.items()
        for row in range(100)
    ]


def test_sampled_answers_are_held_against_the_numbers_that_somebody_confirmed(tmp_path: Path) -> None:
    table = {"kind": "classification", "columns": {"truth": "expected", "prediction": "found"}, "groups": ["bank"]}
    first = table_audit(tmp_path, banks(corpus=96, content=90, must_refuse=95, must_answer=94), "china-genai", **table)
    assert first.verdict.status is Status.UNPROVEN
    path = extending(tmp_path, "china-genai", parameters=confirmed("china-genai"))
    ours = load_policy(path)
    verdict = judge(first.record, ours)
    found = {finding.control: finding.status for finding in verdict.of("decisions").findings}
    assert found == {
        "china-genai.corpus": Status.PASS,  # the number itself is kept
        "china-genai.content": Status.PASS,
        "china-genai.refusal": Status.PASS,
        "china-genai.answering": Status.FAIL,  # 6 of 100 were refused
        "china-genai.scrubbing": Status.UNPROVEN,  # a table holds no texts: shown, not blocking
        "china-genai.outputs": Status.UNPROVEN,
        "china-genai.refusals-by-group": Status.UNPROVEN,
    }
    assert verdict.status is Status.FAIL
    corpus = tuple(one for one in first.record.outcomes if "must-answer" not in one.slice.label())
    assert judge(first.record.model_copy(update={"outcomes": corpus}), ours).status is Status.UNPROVEN  # not drawn from
    perfect = table_audit(tmp_path, banks(corpus=100, content=100, must_refuse=100, must_answer=95), path, **table)
    assert perfect.verdict.status is Status.PASS


@pytest.mark.parametrize("role", ["selected", "score"])
def test_impact_ratios_of_a_tool_that_selects_or_scores(tmp_path: Path, role: str) -> None:
    def candidates(women: int) -> list[dict[str, Any]]:
        """40 people of each category; of men 20 are selected, or score high."""
        return [
            {"sex": sex, "race": race, role: int(number < (women if sex == "f" else 20))}
            for sex in "fm"
            for race in ("a", "b")
            for number in range(40)
        ]

    table = {"kind": "selection", "columns": {role: role}, "groups": ["sex", "race"]}
    settings = {"sex": "sex", "race": "race"}
    ours = load_policy(extending(tmp_path, "nyc-ll144", parameters=confirmed("nyc-ll144")))
    for women, expected in ((16, Status.PASS), (15, Status.FAIL)):
        result = table_audit(tmp_path, candidates(women), "nyc-ll144", settings=settings, **table)
        assert result.verdict.status is Status.UNPROVEN  # nobody has confirmed four fifths
        assert judge(result.record, ours).status is expected, women


# -- what the reports tell ---------------------------------------------------------------------


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}"')
    return page[start : page.index("</section>", start)]


def test_the_default_policy_has_no_chapter_on_laws() -> None:
    page = rendered(record(), load_policy("launch"))["report.html"]
    assert '<section id="policy"' not in page and 'href="#policy"' not in page


def test_the_chapter_holds_clauses_numbers_gaps_and_what_was_left_out(tmp_path: Path) -> None:
    without = {"eu-ai-act.explanation": "We explain our model elsewhere."}
    warned = {
        "id": "warned", "says": {"en": "It ranks nearly perfectly."}, "metric": "quality.auc", "at_least": 0.99,
        "severity": "warn", "references": [{"clause": "House rule 1"}],
    }  # fmt: skip
    given = {"without": without, "parameters": confirmed("eu-ai-act", accuracy=0.7), "controls": [warned]}
    path = extending(tmp_path, "launch", "eu-ai-act", **given)
    page = section(rendered(record(), load_policy(path))["report.html"], "policy")
    assert "This is our reading of the AI Act, and not legal advice." in page
    assert "Built on: launch 2026.11, eu-ai-act 2026.11." in page
    assert "Left out: eu-ai-act.explanation. Reason: We explain our model elsewhere." in page
    assert "confirmed by B. Jansen, compliance on 2026-11-20" in page
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    accuracy = [row for row in rows if "AI Act Art. 15(1)" in row]
    assert len(accuracy) == 1 and "eu-ai-act.accuracy" in accuracy[0] and "#i-pass" in accuracy[0]
    bias = [row for row in rows if "AI Act Art. 10(2)(f)" in row]
    assert [re.search(r"eu-ai-act\.[a-z-]+", row)[0] for row in bias] == [  # type: ignore[index]
        "eu-ai-act.selection", "eu-ai-act.true-positives", "eu-ai-act.false-positives",
    ]  # fmt: skip
    assert "#i-unproven" in bias[1]
    (house,) = (row for row in rows if "House rule 1" in row)
    assert "#i-fail" in house and ">fail</span>" in house.replace("\n", "") and "warning only" in house
    for entry in load_policy("eu-ai-act").not_covered:
        assert any(entry.clause in row and entry.why["en"][:40] in row for row in rows), entry.clause
    unconfirmed = section(rendered(record(), load_policy("eu-ai-act"))["report.html"], "policy")
    assert "nobody has confirmed it" in unconfirmed


def test_hostile_text_of_a_policy_stays_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>\n# x |`"
    control = {
        "id": "c", "says": {"en": bad}, "metric": "quality.auc", "at_least": "p", "why": {"en": bad},
        "references": [{"clause": bad, "reading": {"en": bad}}],
    }  # fmt: skip
    more = {
        "controls": [control], "parameters": {"p": {"value": 1, "says": {"en": bad}}}, "reading": {"en": bad},
        "source": bad, "not_covered": [{"clause": bad, "why": {"en": bad}}],
        "without": {"eu-ai-act.coverage": bad},
    }  # fmt: skip
    files = rendered(record(), load_policy(extending(tmp_path, "eu-ai-act", **more)))
    assert "<script" not in files["report.html"] and "<script" not in files["annex-iv.md"]
    assert "&lt;script&gt;" in section(files["report.html"], "policy")
    assert headings(files["annex-iv.md"]) == headings(draft(record(), load_policy("eu-ai-act")))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_report_says_what_is_not_weighed(language: str) -> None:
    words = {
        "en": ("speech", "computation|Computation", "misleading|mislead"),
        "zh": ("语音合成", "多方", "误导"),
    }[language]
    files = rendered(record(), load_policy("launch"), language)
    for name in ("report.html", "summary.md", "card/open.md"):
        assert all(re.search(word, files[name]) for word in words), name


# -- Annex IV ----------------------------------------------------------------------------------


def draft(judged: RunRecord, policy: Policy) -> str:
    return annex.render(View(judged, judge(judged, policy), policy, Texts("en"))).decode()


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_draft_is_as_expected(language: str) -> None:
    golden(f"annex-iv-{language}.md", rendered(record(), load_policy("eu-ai-act"), language)["annex-iv.md"])


def test_a_draft_is_written_where_the_policy_builds_on_the_pack_and_nowhere_else(tmp_path: Path) -> None:
    for parents, drafted in ((("launch", "eu-ai-act"), True), (("launch", "gdpr"), False)):
        assert ("annex-iv.md" in rendered(record(), load_policy(extending(tmp_path, *parents)))) is drafted
    assert "annex-iv.md" not in rendered(record(), load_policy("launch"))


def test_the_draft_follows_the_annex_and_counts_its_gaps() -> None:
    text = draft(record(), load_policy("eu-ai-act"))
    sections = re.split(r"^## (\d)\. .*$", text, flags=re.M)
    assert sections[1::2] == [str(number) for number in range(1, 10)]
    bodies = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert re.findall(r"^### \((.)\)", bodies["1"], re.M) == list("abcdefgh")
    assert re.findall(r"^### \((.)\)", bodies["2"], re.M) == list("abcdefgh")
    gaps = text.count("> **GAP: to be written by the provider:**")
    assert f"{gaps} gaps are marked." in text
    assert all("**GAP:" in body for body in bodies.values())  # none is complete without its provider
    judged = record()
    assert judged.data.digest in bodies["2"] and judged.digest() in bodies["2"]
    assert "0.780<br><sub>0.761 to 0.798</sub>" in bodies["2"]  # a figure with its interval
    assert "age\\_band: 60+" in bodies["3"]
    assert "eu-ai-act" in bodies["5"] and "Nobody has confirmed the parameter" in bodies["5"]


@pytest.mark.parametrize(
    "hostile",
    [
        "a|b\n| c |",
        "`rm`",
        "<img src=x onerror=1>",
        "[x](javascript:1)",
        "---\nx: y\n---",
        "# h",
        "## 3. x",
        "> **GAP:",
    ],
)
def test_hostile_text_of_a_record_stays_in_its_place(hostile: str) -> None:
    good, policy = record(), load_policy("eu-ai-act")
    outcome = Fact(metric="quality.odd", model="open-private", value=1, unit=Unit.COUNT, method=hostile)
    changes = {"title": hostile, "licence": hostile, "source": hostile, "trained_parts": hostile, "kind": hostile}
    entry = good.models[2].model_copy(update=changes)
    bad = good.model_copy(
        update={
            "outcomes": (*good.outcomes, outcome),
            "models": (*good.models[:2], entry, *good.models[3:]),
            "question": hostile,
            "run": hostile,
            "data": good.data.model_copy(update={"name": hostile, "source": hostile, "labels": {hostile: 1}}),
            "lineage": good.lineage.model_copy(update={"hardware": hostile, "versions": {hostile: hostile}}),
            "seconds": {hostile: 1.0},
        }
    )
    before, text = (draft(judged, policy) for judged in (good, bad))
    assert headings(text) == headings(before)
    assert "<img" not in text and not re.search(r"(?<!\\)\]\(", text)
    assert text.count("> **GAP:") == before.count("> **GAP:")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
