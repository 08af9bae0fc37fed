from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from reports.charts import COLOURS, SHAPES, Point, bars, curve, forest, short, style_of
from reports.svg import tidy


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own output


POINTS = [Point("a", 0, 0.8, 0.7, 0.9), Point("a", 1, 0.85, None, 0.95), Point("b", 0, None, gone="none here")]


def draw(points: list[Point] = POINTS, title: str = "T") -> str:
    return forest(points, name="x", title=title, axis="percent", bounds=[0.75], zero=0.5)


def test_same_points_same_bytes() -> None:
    from reports.charts import convert

    first = draw()
    convert.cache_clear()
    bars([("w", 1.0, 0)], name="between", title="t", axis="a")  # moves the converter's own counters
    convert.cache_clear()
    assert draw() == first


def test_forest_holds_intervals_marks_bound_and_what_is_missing() -> None:
    root = parsed(draw())
    lines = [line for line in root.iter("line") if line.get("stroke") in COLOURS[:2]]
    assert len(lines) == 2
    assert [line.get("stroke-dasharray") for line in root.iter("line")].count("4,3") == 1
    assert "none here" in {text.text for text in root.iter("text")}
    marks = {path.get("fill") for path in root.iter("path")}
    assert set(COLOURS[:2]) <= marks


def test_a_longer_interval_is_drawn_longer() -> None:
    points = [Point("a", 0, 0.5, 0.4, 0.6), Point("b", 0, 0.5, 0.2, 0.8)]
    root = parsed(forest(points, name="x", title="t", axis="a"))
    lengths = [float(line.get("x2", "0")) for line in root.iter("line") if line.get("stroke") == COLOURS[0]]
    assert round(abs(lengths[1] / lengths[0]), 2) == 3


def test_text_can_not_become_markup() -> None:
    hostile = '</text><script>alert(1)</script><a href="x" onload="y">'
    svg = draw([Point(hostile, 0, 0.5, 0.4, 0.6)], title=hostile)
    root = parsed(svg)
    assert {element.tag for element in root.iter()} <= {"svg", "title", "g", "path", "line", "text"}
    assert not {name for element in root.iter() for name in element.attrib} & {"href", "onload", "style"}
    assert short(hostile) in {text.text for text in root.iter("text")}


def test_tidy_drops_what_is_not_on_its_list_and_renames_ids() -> None:
    raw = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="5" onload="x" viewBox="0 0 1 1"><script>1</script>'
        '<clipPath id="c7"><rect width="1"/></clipPath><g clip-path="url(#c7)"><rect style="x" fill="red"/></g></svg>'
    )
    assert tidy(raw, name="n", title="<t>") == (
        '<svg viewBox="0 0 1 1" role="img" aria-labelledby="n-t"><title id="n-t">&lt;t&gt;</title>'
        '<clipPath id="n-0"><rect width="1" /></clipPath><g clip-path="url(#n-0)"><rect fill="red" /></g></svg>'
    )


def test_charts_name_themselves_to_screen_readers() -> None:
    svg = curve([(1, 0.5), (2, 0.3)], mark=1, name="c", title="loss of a", axis="epoch")
    assert 'role="img" aria-labelledby="c-t"' in svg
    assert '<title id="c-t">loss of a</title>' in svg
    assert len(re.findall(r"font-family", svg)) == 0


def test_one_point_and_equal_ends_still_draw() -> None:
    assert "<svg" in forest([Point("a", 0, 0.0, 0.0, 0.0)], name="x", title="t", axis="a")
    assert "<svg" in curve([(1, 0.5)], mark=0, name="x", title="t", axis="a")


def test_models_differ_by_shape_and_not_by_colour_alone() -> None:
    styles = [style_of(mark) for mark in range(len(COLOURS) * len(SHAPES))]
    assert len(set(styles)) == len(styles)
    assert len({shape for _, shape in styles[:7]}) == 7


def test_labels_are_cut_by_their_width() -> None:
    assert short("abc") == "abc"
    assert short("a" * 40) == "a" * 19 + "…"
    assert short("评" * 40) == "评" * 9 + "…"
