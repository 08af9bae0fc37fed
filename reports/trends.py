"""A figure over time: a line through the runs, and a band of their intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reports.charts import axis_style, convert, short, style_of
from reports.svg import tidy
from reports.text import clean

WIDTH, HEIGHT, LEFT = 264, 130, 46
DAY = 86_400_000  # milliseconds
FEW_DAYS = 4  # within these the clock tells runs apart, not the date


@dataclass(frozen=True, slots=True)
class Moment:
    """One run's figure.

    Attributes:
        at: milliseconds since 1970, UTC.
        value: None where that run has no figure: the line breaks.
        low: None: unbounded.
        high: None: unbounded.
    """

    at: float
    value: float | None
    low: float | None = None
    high: float | None = None


def trend(moments: Sequence[Moment], *, mark: int, name: str, title: str, axis: str) -> str:
    """One model's figure over time as inline SVG.

    Args:
        moments: in order of time; at least one has a value.
        mark: the model's place, for colour and shape.
        name: the chart's id in the page.
        title: what a screen reader says.
        axis: caption of the vertical axis.
    """
    low, high = _span([end for one in moments for end in (one.value, one.low, one.high) if end is not None])
    first, last = moments[0].at, moments[-1].at
    pad = (last - first) * 0.04 or DAY / 2
    colour, shape = style_of(mark)
    rows = []
    for one in moments:
        known = one.value is not None
        ends = {"lo": low if one.low is None else one.low, "hi": high if one.high is None else one.high}
        rows.append({"x": one.at, "v": one.value, **(ends if known else {"lo": None, "hi": None})})
    spec = json.loads(_frame())
    x, y = spec["layer"][0]["encoding"]["x"], spec["layer"][0]["encoding"]["y"]
    x["scale"]["domain"], y["scale"]["domain"] = [first - pad, last + pad], [low, high]
    x["axis"]["format"] = "%m-%d %H:%M" if last - first < FEW_DAYS * DAY else "%Y-%m-%d"
    for layer, setting in zip(spec["layer"], ("fill", "stroke", "stroke", "fill", ""), strict=True):
        if setting:
            layer["mark"][setting] = colour
    spec["layer"][3]["mark"]["shape"] = shape
    spec["datasets"] = {"rows": rows, "caption": [{"t": short(axis, 44)}]}
    return tidy(convert(json.dumps(spec)), name=name, title=clean(title, 200))


def _span(ends: Sequence[float]) -> tuple[float, float]:
    low, high = min(ends), max(ends)
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 0.1
    return low - pad, high + pad


@lru_cache(maxsize=1)
def _frame() -> str:
    """The chart without data, as Vega-Lite JSON."""
    import altair as alt

    def named(name: str) -> Any:
        return alt.Chart(alt.NamedData(name))

    x = alt.X(
        "x:T",
        scale=alt.Scale(domain=[0, 1], nice=False, type="utc"),
        axis=alt.Axis(title=None, tickCount=3, format="%Y-%m-%d", **axis_style()),
    )
    scale = alt.Scale(domain=[0, 1], zero=False, nice=False)
    y = alt.Y("lo:Q", scale=scale, axis=alt.Axis(title=None, tickCount=4, format="~r", **axis_style()))
    rows = named("rows")
    layers = [
        rows.mark_area(opacity=0.16).encode(x=x, y=y, y2="hi"),
        rows.mark_rule(strokeWidth=1, opacity=0.45).encode(x="x:T", y="lo:Q", y2="hi"),
        rows.mark_line(strokeWidth=2).encode(x="x:T", y="v:Q"),
        rows.mark_point(filled=True, size=45, opacity=1).encode(x="x:T", y="v:Q"),
        named("caption")
        .mark_text(align="left", baseline="middle", fontSize=11, color="#59636e", clip=False)
        .encode(x=alt.value(-36), y=alt.value(-14), text="t:N"),
    ]
    chart = (
        alt.layer(*layers)
        .properties(
            width=WIDTH,
            height=HEIGHT,
            padding={"left": LEFT, "right": 38, "top": 26, "bottom": 24},
            autosize=alt.AutoSizeParams(type="none"),
        )
        .configure_view(stroke=None)
        .configure(background="transparent", font="sans-serif")
    )
    return str(chart.to_json(indent=None))
