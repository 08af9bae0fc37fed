"""Charts as inline SVG: intervals, bars of words, training curves.

Colours are Okabe and Ito's, each with a shape of its own, so neither colour vision nor a
grey printer loses a model. The page's CSS finds the few sentinel colours below and swaps them
in the dark. Layout never depends on measured text, so fonts don't change the bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from reports.svg import tidy
from reports.text import clean

INK, MUTED, GRID, PAPER = "#24292f", "#59636e", "#d9dee3", "#fffffe"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#24292f", "#e69f00", "#56b4e9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
WIDTH, LABELS, EDGE = 216, 118, 10
_TOLD = 0.2  # the least share of a bar that has room for its percent
_MARKED = 0.06  # the least share that has room for its model's shape
_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One figure with its interval.

    Attributes:
        label: of its row.
        mark: the model's place in the record.
        value: None where there is no figure; `gone` then says so in its place.
        low: None: unbounded.
        high: None: unbounded.
        bound: what a policy demands of this row alone, as a dashed line across it.
    """

    label: str
    mark: int
    value: float | None
    low: float | None = None
    high: float | None = None
    gone: str = ""
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """One model in two figures at once.

    Attributes:
        mark: the model's place in the record.
        x: figure, low and high end, on the horizontal axis; None: unbounded.
        y: the same on the vertical axis.
    """

    mark: int
    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]


def style_of(mark: int) -> tuple[str, str]:
    """Colour and shape of a model: unique for the first 49.

    >>> style_of(0), style_of(7)
    (('#0072b2', 'circle'), ('#0072b2', 'square'))
    """
    turn = mark // len(COLOURS)
    return COLOURS[mark % len(COLOURS)], SHAPES[(mark + turn) % len(SHAPES)]


def short(label: str, width: int = 19) -> str:
    """A label that fits beside an axis; a Han character is two wide.

    >>> short("一二三四五六七八九十一")
    '一二三四五六七八九…'
    """
    shown, used = "", 0
    for char in clean(label, 80):
        used += 2 if ord(char) > 0x2E80 else 1
        if used > width:
            return shown + "…"
        shown += char
    return shown


def forest(
    points: Sequence[Point],
    *,
    name: str,
    title: str,
    axis: str,
    bounds: Sequence[float] = (),
    zero: float | None = None,
) -> str:
    """Intervals, one line per label and model: a dot for the figure, a bar for its interval.

    Args:
        points: what to draw; labels keep their order.
        name: the chart's id in the page.
        title: what a screen reader says.
        axis: caption of the horizontal axis.
        bounds: what policies demand, as dashed lines.
        zero: where "no difference" lies, as a solid line.
    """
    labels = list(dict.fromkeys(point.label for point in points))
    alone = len(labels) == len(points)  # one model a row: nothing to set apart
    marks = [0] if alone else sorted({point.mark for point in points})
    gap = 15 if len(marks) <= 2 else 11
    step = max(26, gap * len(marks) + 10)
    zeros = [] if zero is None else [zero]
    own = {point.label: point.bound for point in points if point.bound is not None}
    low, high = _domain(points, [*bounds, *own.values(), *zeros])
    rows, missing = list[_Row](), list[_Row]()
    for point in points:
        middle = labels.index(point.label) * step + step / 2
        if point.value is None:
            missing.append({"y": middle, "t": short(point.gone)})
            continue
        slot = 0.0 if alone else (marks.index(point.mark) - (len(marks) - 1) / 2) * gap
        ends = {"lo": low if point.low is None else point.low, "hi": high if point.high is None else point.high}
        colour, shape = style_of(point.mark)
        rows.append({"y": middle + slot, "v": point.value, **ends, "c": colour, "s": shape})
    data = {
        "labels": _labels(labels, step),
        "zero": [{"v": value} for value in zeros],
        "bounds": [{"v": bound} for bound in bounds],
        "ticks": [
            {"v": v, "y": labels.index(t) * step + 2, "y2": (labels.index(t) + 1) * step - 2} for t, v in own.items()
        ],
        "rows": rows,
        "missing": missing,
    }
    return _draw("forest", data, height=step * len(labels), domain=(low, high), axis=axis, name=name, title=title)


def bars(words: Sequence[tuple[str, float, int]], *, name: str, title: str, axis: str) -> str:
    """Signed bars, one per word: `(word, weight, mark)`."""
    step = 22
    high = (max(abs(weight) for _, weight, _ in words) or 1.0) * 1.06
    rows: list[_Row] = [
        {"y": place * step + step / 2, "v": weight, "z": 0.0, "c": style_of(mark)[0]}
        for place, (_, weight, mark) in enumerate(words)
    ]
    data = {"labels": _labels([word for word, _, _ in words], step), "zero": [{"v": 0.0}], "rows": rows}
    low = -high if any(weight < 0 for _, weight, _ in words) else 0.0
    return _draw("bars", data, height=step * len(words), domain=(low, high), axis=axis, name=name, title=title)


def curve(points: Sequence[tuple[float, float]], *, mark: int, name: str, title: str, axis: str) -> str:
    """A line over epochs."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    pad = (max(ys) - min(ys)) * 0.08 or abs(max(ys)) * 0.1 or 1.0
    domain = (min(xs), max(xs) if len(set(xs)) > 1 else max(xs) + 1)
    rows: list[_Row] = [{"x": x, "v": y, "c": style_of(mark)[0]} for x, y in points]
    # Two points without a mark stretch the vertical scale.
    rows += [{"x": xs[0], "v": end, "c": "transparent"} for end in (min(ys) - pad, max(ys) + pad)]
    return _draw("curve", {"rows": rows}, height=120, domain=domain, axis=axis, name=name, title=title)


def scatter(spots: Sequence[Spot], *, name: str, title: str, x: str, y: str) -> str:
    """Figures in two dimensions: a mark per model, and a cross of both its intervals.

    Args:
        spots: what to draw.
        name: the chart's id in the page.
        title: what a screen reader says.
        x: caption of the horizontal axis, whose 0 is drawn: gaps end there.
        y: caption of the vertical axis.
    """
    across = _domain([Point("", spot.mark, *spot.x) for spot in spots], [0.0])
    up = _domain([Point("", spot.mark, *spot.y) for spot in spots], [])
    rows: list[_Row] = []
    for spot in spots:
        colour, shape = style_of(spot.mark)
        ends = [
            end if found is None else found
            for end, found in zip((*across, *up), (*spot.x[1:], *spot.y[1:]), strict=True)
        ]
        rows.append(
            {
                "x": spot.x[0],
                "xlo": ends[0],
                "xhi": ends[1],
                "v": spot.y[0],
                "ylo": ends[2],
                "yhi": ends[3],
                "c": colour,
                "s": shape,
            }
        )
    data: dict[str, list[_Row]] = {"rows": rows, "zero": [{"x": 0.0}], "caption": [{"t": short(y, 44)}]}
    return _draw("scatter", data, height=210, domain=across, axis=x, name=name, title=title, up=up)


def stacked(bars: Sequence[tuple[str, Sequence[tuple[int, float]]]], *, name: str, title: str, axis: str) -> str:
    """Shares of a whole as parts of a bar; a part that has room shows its model's shape and tells its percent.

    Args:
        bars: label -> `(mark, share)` in the order of the parts; shares of a bar add up to 1.
        name: the chart's id in the page.
        title: what a screen reader says.
        axis: caption of the horizontal axis, in percent.
    """
    step, rows, told, marks = 28, list[_Row](), list[_Row](), list[_Row]()
    for place, (_, parts) in enumerate(bars):
        middle, start = place * step + step / 2, 0.0
        for mark, share in parts:
            end = start + share * 100
            colour, shape = style_of(mark)
            rows.append({"y": middle, "v": start, "z": end, "c": colour})
            if share >= _MARKED:
                marks.append({"y": middle, "v": start + 100 * _MARKED / 2, "s": shape})
            if share >= _TOLD:
                told.append({"y": middle, "v": (start + end) / 2, "t": f"{share * 100:.0f}%"})
            start = end
    data = {"labels": _labels([label for label, _ in bars], step), "rows": rows, "told": told, "marks": marks}
    return _draw("stacked", data, height=step * len(bars), domain=(0.0, 100.0), axis=axis, name=name, title=title)


def _labels(labels: Sequence[str], step: float) -> list[_Row]:
    return [{"y": place * step + step / 2, "t": short(label)} for place, label in enumerate(labels)]


def _domain(points: Sequence[Point], extra: Sequence[float]) -> tuple[float, float]:
    ends = [x for p in points for x in (p.value, p.low, p.high) if x is not None and math.isfinite(x)]
    low, high = min([*ends, *extra]), max([*ends, *extra])
    pad = (high - low) * 0.07 or abs(high) * 0.1 or 0.1
    return low - pad, high + pad


def _draw(
    kind: str,
    data: Mapping[str, list[_Row]],
    *,
    height: float,
    domain: tuple[float, float],
    axis: str,
    name: str,
    title: str,
    up: tuple[float, float] | None = None,
) -> str:
    """Fill a chart's frame with its data; `up` is the vertical domain of a chart that has one.

    Altair builds and checks each kind of chart once; building it anew for every
    panel would take longer than drawing it.
    """
    spec = json.loads(_frame(kind))
    x = spec["layer"][0]["encoding"]["x"]
    x["scale"]["domain"], x["axis"]["title"] = list(domain), short(axis, 60)
    if up is not None:
        spec["layer"][0]["encoding"]["y"]["scale"]["domain"] = list(up)
    spec |= {"height": height, "datasets": dict(data)}
    return tidy(convert(json.dumps(spec)), name=name, title=clean(title, 200))


@lru_cache(maxsize=256)
def convert(spec: str) -> str:
    """SVG of a chart; cached, since both languages and every card draw many of the same."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


@lru_cache(maxsize=5)
def _frame(kind: str) -> str:
    """One kind of chart without its data, as Vega-Lite JSON. `y` is in pixels, so rows are never measured."""
    import altair as alt

    kinds = {"forest": _forest_layers, "bars": _bars_layers, "curve": _curve_layers, "scatter": _scatter_layers}
    kinds |= {"stacked": _stacked_layers}
    layers, left, top = kinds[kind](), LABELS, 6
    if kind == "scatter":  # numbers beside the axis, not labels; its caption on top
        left, top = 46, 26
    chart = (
        alt.layer(*layers)
        .properties(
            width=LABELS + WIDTH - left,
            height=1,
            padding={"left": left, "right": 14, "top": top, "bottom": 38},
            autosize=alt.AutoSizeParams(type="none"),
        )
        .configure_view(stroke=None)
        .configure(background="transparent", font="sans-serif")
    )
    return str(chart.to_json(indent=None))


def _named(name: str) -> Any:
    import altair as alt

    return alt.Chart(alt.NamedData(name))


def _forest_layers() -> list[Any]:
    import altair as alt

    row, dash = _pixels(), [4, 3]
    rows = _named("rows").encode(y=row, color=alt.Color("c:N", scale=None))
    missing = _named("missing").encode(x=alt.value(6), y=row, text="t:N")
    words = {"align": "left", "baseline": "middle", "fontSize": 11}
    return [
        _named("zero").mark_rule(color=MUTED, strokeWidth=1).encode(x=_x(alt, "v")),
        _named("labels").mark_text(**_label_style()).encode(x=alt.value(-EDGE), y=row, text="t:N"),
        _named("bounds").mark_rule(color=INK, strokeWidth=1.5, strokeDash=dash).encode(x="v:Q"),
        _named("ticks").mark_rule(color=INK, strokeWidth=1.5, strokeDash=dash).encode(x="v:Q", y=row, y2="y2"),
        rows.mark_rule(strokeWidth=2, strokeCap="round").encode(x="lo:Q", x2="hi"),
        rows.mark_point(filled=True, size=90, opacity=1).encode(x="v:Q", shape=alt.Shape("s:N", scale=None)),
        # First a halo in the page's colour: a dashed bound must not strike the words through.
        missing.mark_text(stroke=PAPER, strokeWidth=4, fill=PAPER, **words),
        missing.mark_text(color=MUTED, **words),
    ]


def _bars_layers() -> list[Any]:
    import altair as alt

    rows = _named("rows").encode(y=_pixels(), color=alt.Color("c:N", scale=None))
    return [
        _named("zero").mark_rule(color=MUTED, strokeWidth=1).encode(x=_x(alt, "v")),
        _named("labels").mark_text(**_label_style()).encode(x=alt.value(-EDGE), y=_pixels(), text="t:N"),
        rows.mark_bar(size=11, opacity=1, orient="horizontal").encode(x="v:Q", x2="z"),
    ]


def _stacked_layers() -> list[Any]:
    import altair as alt

    rows = _named("rows").encode(y=_pixels(), color=alt.Color("c:N", scale=None))
    told = _named("told").encode(x="v:Q", y=_pixels(), text="t:N")
    words = {"align": "center", "baseline": "middle", "fontSize": 11}
    marks = _named("marks").mark_point(filled=True, size=55, opacity=1, color=PAPER)
    return [
        rows.mark_bar(size=18, opacity=1, orient="horizontal", stroke=PAPER, strokeWidth=1).encode(
            x=_x(alt, "v"), x2="z"
        ),
        _named("labels").mark_text(**_label_style()).encode(x=alt.value(-EDGE), y=_pixels(), text="t:N"),
        marks.encode(x="v:Q", y=_pixels(), shape=alt.Shape("s:N", scale=None)),
        # First a halo in the page's colour: the words stand on every colour there is.
        told.mark_text(stroke=PAPER, strokeWidth=3, fill=PAPER, **words),
        told.mark_text(color=INK, **words),
    ]


def _curve_layers() -> list[Any]:
    import altair as alt

    scale = alt.Scale(zero=False, nice=False)
    y = alt.Y("v:Q", scale=scale, axis=alt.Axis(title=None, tickCount=4, format="~r", **axis_style()))
    rows = _named("rows").encode(y=y, color=alt.Color("c:N", scale=None))
    return [
        rows.mark_point(filled=True, size=40, opacity=1).encode(x=_x(alt, "x", tickMinStep=1)),
        rows.mark_line(strokeWidth=2).encode(x="x:Q"),
    ]


def _scatter_layers() -> list[Any]:
    import altair as alt

    scale = alt.Scale(domain=[0, 1], zero=False, nice=False)
    axis = alt.Axis(title=None, tickCount=5, format="~r", **axis_style())
    rows = _named("rows").encode(color=alt.Color("c:N", scale=None))
    return [
        rows.mark_rule(strokeWidth=2, strokeCap="round").encode(
            x=_x(alt, "xlo"), x2="xhi", y=alt.Y("v:Q", scale=scale, axis=axis)
        ),
        rows.mark_rule(strokeWidth=2, strokeCap="round").encode(x="x:Q", y="ylo:Q", y2="yhi"),
        _named("zero").mark_rule(color=MUTED, strokeWidth=1).encode(x="x:Q"),
        # A halo in the page's colour keeps marks apart that lie close together.
        rows.mark_point(filled=True, size=150, opacity=1, stroke=PAPER, strokeWidth=2).encode(
            x="x:Q", y="v:Q", shape=alt.Shape("s:N", scale=None)
        ),
        _named("caption")
        .mark_text(align="left", baseline="middle", fontSize=11, color=MUTED, clip=False)
        .encode(x=alt.value(-36), y=alt.value(-14), text="t:N"),
    ]


def _x(alt: Any, field: str, **more: Any) -> Any:
    """The horizontal scale of a chart; its first layer carries it, with domain and caption filled in later."""
    axis = alt.Axis(title="", tickCount=4, format="~r", **more, **axis_style())
    return alt.X(f"{field}:Q", scale=alt.Scale(domain=[0, 1], nice=False, zero=False), axis=axis)


def _pixels() -> Any:
    import altair as alt

    return alt.Y("y:Q", scale=None, axis=None)


def _label_style() -> dict[str, Any]:
    """Row labels are text at the left edge, so that they are placed without being measured."""
    return {"align": "right", "baseline": "middle", "fontSize": 12, "color": INK, "limit": 0, "clip": False}


def axis_style() -> dict[str, Any]:
    """How axes look: quiet, with text that is never measured."""
    return {
        "labelColor": MUTED,
        "labelFontSize": 11,
        "titleColor": MUTED,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domain": False,
        "ticks": False,
        "labelLimit": 0,
        "titleLimit": 0,
        "labelFlush": False,
        "labelBound": False,
        "labelOverlap": False,
        "labelPadding": 6,
    }
