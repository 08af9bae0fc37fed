from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.curves import MOST_POINTS, Curve
from governance.policy import judge
from governance.record import RunRecord
from governance.statistics.curves import BINS, RATES, reliability, roc
from reports import html
from reports.squares import square
from reports.text import Texts
from reports.view import View
from tests.sample_record import POLICY, curves, drawn, record


def page(judged: RunRecord, language: str = "en") -> str:
    return html.render(View(judged, judge(judged, POLICY), POLICY, Texts(language))).decode()


def test_a_model_that_says_what_it_knows_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0.5, 1, 40_000)
    points = reliability(said, rng.random(40_000) < said)
    assert len(points) == BINS / 2
    assert max(abs(x - y) for x, y, _ in points) < 0.03
    boastful = reliability(said, rng.random(40_000) < said - 0.2)
    assert all(x - y > 0.15 for x, y, _ in boastful)


def test_small_bins_speak_of_nobody() -> None:
    said = [0.52] * 10 + [0.97] * 9
    assert reliability(said, [1] * 19) == [(pytest.approx(0.52), 1.0, 10)]
    assert [n for _, _, n in reliability(said, [1] * 19, least=9)] == [10, 9]
    assert reliability([1.0] * 12, [1] * 12) == [(1.0, 1.0, 12)]
    assert reliability([float("nan")] * 30, [1] * 30) == []


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=60))
def test_roc_holds_its_rate_and_never_falls(rows: list[tuple[float, bool]]) -> None:
    scores, positive = np.array([score for score, _ in rows]), np.array([truth for _, truth in rows])
    if positive.all() or not positive.any():
        with pytest.raises(ValueError, match="both classes"):
            roc(scores, positive)
        return
    points = roc(scores, positive)
    assert len(points) == len(RATES) <= MOST_POINTS
    for rate, found in points:
        reached = [
            (scores[positive] >= threshold).mean()
            for threshold in {*scores.tolist(), np.inf}
            if (scores[~positive] >= threshold).mean() <= rate + 1e-9
        ]
        assert found == pytest.approx(max(reached))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"points": ()}, "1 to 20 points, got 0"),
        ({"points": ((0.1, 0.2),) * 21}, "1 to 20 points, got 21"),
        ({"points": ((0.1, 1.2),)}, "points in \\[0, 1\\]"),
        ({"points": ((0.1, float("nan")),)}, "points in \\[0, 1\\]"),
        ({"points": ((0.5, 0.2), (0.1, 0.2))}, "from left to right"),
        ({"points": ((0.5, 0.2),), "rows": (1, 2)}, "rows of 1 points, got 2"),
    ],
)
def test_a_curve_is_checked(bad: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curve(**{"kind": "reliability", "model": "m", "n": 1, "method": "x", "points": ((0.1, 0.2),), **bad})  # type: ignore[arg-type]


def test_records_without_curves_keep_their_digests() -> None:
    assert "curves" not in record().model_dump(mode="json")
    again = RunRecord.model_validate_json(drawn().model_dump_json())
    assert again.curves == curves() and again.digest() == drawn().digest() != record().digest()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_draws_curves_with_their_table(language: str) -> None:
    text = page(drawn(), language)
    for key in ("reliability", "roc"):
        assert f'id="course-{key}-t"' in text
        assert Texts(language)(f"curve.{key}.title") in text
    assert text.count("52.5%") >= 3
    assert "course-" not in page(record(), language)


def test_square_draws_a_line_and_marks_for_each_model() -> None:
    lines = [(0, [(0.0, 0.0), (0.5, 0.8), (1.0, 1.0)]), (1, [(0.0, 0.1), (1.0, 0.9)])]
    svg = square(lines, name="x", title="t", x="across", y="up")
    assert "across" in svg and "up" in svg
    paths = re.findall(r'<path[^>]*d="[^"]*"[^>]*stroke="(#[0-9a-f]{6})"', svg)
    assert {"#0072b2", "#d55e00"} <= set(re.findall(r'stroke="(#[0-9a-f]{6})"', svg)), paths
    assert len(re.findall(r'fill="#0072b2"', svg)) == 3 and len(re.findall(r'fill="#d55e00"', svg)) == 2
