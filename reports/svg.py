"""A converter's SVG made fit to stand inside a page: safe, small, themed by the page's CSS.

Elements and attributes outside a short list are dropped, so no text in a chart can become markup
that does something; ids are renumbered, since the converter's own counter would differ from one
call to the next and clash between charts.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

_SVG = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset({"svg", "g", "path", "rect", "line", "text", "tspan", "circle", "clipPath", "defs"})
_ATTRIBUTES = frozenset(
    {"width", "height", "viewBox", "transform", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "dx", "dy"}
    | {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "fill-opacity", "opacity"}
    | {"stroke-linecap", "stroke-miterlimit", "text-anchor", "font-size", "font-weight", "id", "clip-path"}
)
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def tidy(svg: str, *, name: str, title: str) -> str:
    """An inline SVG from a standalone one.

    Args:
        svg: what the converter made.
        name: prefix of its ids, unique in the page, [a-z0-9-].
        title: what a screen reader says.
    """
    root = ET.fromstring(svg)  # noqa: S314 - our own converter's output, which has no entities
    ids: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            ids[element.attrib["id"]] = f"{name}-{len(ids)}"
    _prune(root, ids)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-t"}
    label = ET.Element("title", {"id": f"{name}-t"})
    label.text = title
    root.insert(0, label)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _prune(element: ET.Element, ids: dict[str, str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    kept = {key: _value(key, value, ids) for key, value in element.attrib.items() if key in _ATTRIBUTES}
    element.attrib.clear()
    element.attrib.update(kept)
    for child in list(element):
        if child.tag.removeprefix(_SVG) not in _ELEMENTS or _invisible(child):
            element.remove(child)
        else:
            _prune(child, ids)
            if child.tag == "g" and len(child) == 0:
                element.remove(child)


def _invisible(element: ET.Element) -> bool:
    """The converter's empty background shapes, half of its output."""
    return element.tag.removeprefix(_SVG) == "path" and element.get("class") in {"background", "foreground"}


def _value(key: str, value: str, ids: dict[str, str]) -> str:
    if key == "id":
        return ids[value]
    if key == "clip-path":
        return re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{ids.get(match[1], '')})", value)
    return _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
