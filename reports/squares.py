"""Charts of one share against another: a line per model, and the diagonal where the two are equal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from reports.charts import MUTED, PAPER, axis_style, convert, short, style_of
from reports.svg import tidy
from reports.text import clean

SIDE = 250


def square(lines: Sequence[tuple[int, Sequence[tuple[float, float]]]], *, name: str, title: str, x: str, y: str) -> str:
    """Lines in the unit square, told in percent.

    Args:
        lines: `(mark, points)` of each model, points from left to right.
        name: the chart's id in the page.
        title: what a screen reader says.
        x: caption of the horizontal axis.
        y: caption of the vertical axis.
    """
    rows = []
    for mark, points in lines:
        colour, shape = style_of(mark)
        rows += [{"x": 100 * a, "v": 100 * b, "m": str(mark), "c": colour, "s": shape} for a, b in points]
    spec = json.loads(_frame())
    spec["layer"][0]["encoding"]["x"]["axis"]["title"] = short(x, 60)
    spec["datasets"] = {
        "equal": [{"x": 0, "v": 0}, {"x": 100, "v": 100}],
        "rows": rows,
        "caption": [{"t": short(y, 44)}],
    }
    return tidy(convert(json.dumps(spec)), name=name, title=clean(title, 200))


@lru_cache(maxsize=1)
def _frame() -> str:
    """The chart without its data, as Vega-Lite JSON; Altair builds and checks it once."""
    import altair as alt

    scale = alt.Scale(domain=[0, 100], nice=False, zero=False)
    axis = {"tickCount": 5, "format": "~r", **axis_style()}
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title="", **axis))
    y = alt.Y("v:Q", scale=scale, axis=alt.Axis(title=None, **axis))
    rows = _named("rows").encode(x="x:Q", y="v:Q", color=alt.Color("c:N", scale=None))
    layers: list[Any] = [
        _named("equal").mark_line(color=MUTED, strokeWidth=1, strokeDash=[4, 3]).encode(x=x, y=y),
        rows.mark_line(strokeWidth=2, strokeJoin="round").encode(detail="m:N"),
        rows.mark_point(filled=True, size=60, opacity=1, stroke=PAPER, strokeWidth=1, clip=False).encode(
            shape=alt.Shape("s:N", scale=None)
        ),
        _named("caption")
        .mark_text(align="left", baseline="middle", fontSize=11, color=MUTED, clip=False)
        .encode(x=alt.value(-36), y=alt.value(-14), text="t:N"),
    ]
    chart = (
        alt.layer(*layers)
        .properties(
            width=SIDE,
            height=SIDE * 0.8,
            padding={"left": 46, "right": 18, "top": 26, "bottom": 38},
            autosize=alt.AutoSizeParams(type="none"),
        )
        .configure_view(stroke=None)
        .configure(background="transparent", font="sans-serif")
    )
    return str(chart.to_json(indent=None))


def _named(name: str) -> Any:
    import altair as alt

    return alt.Chart(alt.NamedData(name))
