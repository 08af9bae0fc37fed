"""What a terminal shows: the candidate first, in the reader's language, in columns that line up."""

import pytest
from rich.cells import cell_len

from governance.policy import judge
from governance.record import RunRecord
from reports import terminal
from tests.judged import TODAY, waiver
from tests.sample_record import POLICY, record


def shown(language: str = "en", of: RunRecord | None = None) -> str:
    of = of or record()
    return terminal.render(of, judge(of, POLICY), POLICY, language=language)


def test_the_candidate_stands_first_with_its_figures_and_its_controls() -> None:
    lines = shown().splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["open-private", "baseline", "open", "closed"]
    assert lines[2].startswith("open-private (candidate)")
    assert "0.913 (0.900 to 0.925)" in lines[2]
    assert "10 pass · 1 fail · 2 unproven" in lines[2]
    assert lines[2].endswith("FAIL")
    assert lines[3].startswith("baseline (in use)")


def test_what_keeps_it_from_passing_is_told_failures_first() -> None:
    reasons = [line for line in shown().splitlines() if "[" in line]
    assert [reason.split()[0] for reason in reasons] == ["FAIL", "UNPROVEN", "UNPROVEN"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_columns_line_up_in_both_languages(language: str) -> None:
    head, rule, *rows = shown(language).splitlines()[:6]
    assert set(rule) == {"-"}
    last = {"en": "Verdict", "zh": "结论"}[language]
    start = cell_len(head[: head.index(last)])
    for row in rows:
        width = 0
        for i, character in enumerate(row):
            if width == start:
                assert row[i - 1] == " " and character != " "
                break
            width += cell_len(character)
        else:
            pytest.fail(f"nothing starts at column {start} of: {row}")


def test_a_hostile_name_cannot_move_the_cursor() -> None:
    bad = "x\x1b[2J\u202eevil"
    sample = record()
    models = tuple(m.model_copy(update={"name": bad}) if m.name == "open" else m for m in sample.models)
    text = shown(of=sample.model_copy(update={"models": models}))
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_waived_is_told_with_who_answers_and_where(language: str) -> None:
    given = [waiver("w-1", "fairness.age.opportunity"), waiver("w-2", "quality.no-loss", owner="x\x1b[2J")]
    verdict = judge(record(), POLICY, waivers=given, today=TODAY)
    text = terminal.render(record(), verdict, POLICY, language=language)
    (line,) = [line for line in text.splitlines() if "w-1" in line]
    assert line.startswith({"en": "WAIVED", "zh": "已豁免"}[language])
    for part in ("[fairness.age.opportunity]", "Ann", "Bo", "2026-11-10", "age_band"):
        assert part in line
    assert {"en": "· 2 waived", "zh": "· 2 项已豁免"}[language] in text
    assert "\x1b" not in text
