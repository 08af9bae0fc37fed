"""HTML: text, attribute values and comments are its leaves; tags and the usual names of attributes stay.

The standard parser takes minutes for 80 KB of unclosed tags, and has no positions of attributes: this is a scan of
one pass. What is no proper tag is text, so nothing escapes reading.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import groupby

from governance.privacy.structure.disguise import is_inline
from governance.privacy.structure.elements import is_element, is_plain_attribute
from governance.privacy.structure.flow import Flow, Flows, words

_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,60})(?=[\s/>])")
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s/>=<"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s<>"'=`]+)|(?=[\s>])))?""")
_CLOSE = re.compile(r"[\s/]*(>)?")
_RAW = {name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}
"""Tags whose content holds no tags."""
_NAMED_BY = ("name", "property", "itemprop", "placeholder", "aria-label", "id")
_SPEAKING = re.compile(r"(?:data|aria)-.*")


@dataclass(frozen=True, slots=True, repr=False)
class _Attribute:
    name: str
    start: int  # of the name
    low: int  # of the value, quotes not included; where there is none, low == high
    high: int
    bare: bool

    @property
    def end(self) -> int:
        """Where the name ends."""
        return self.start + len(self.name)

    @property
    def valued(self) -> bool:
        """Whether it has a value, be it an empty one."""
        return self.low > self.end


def parse_html(raw: str) -> Flows:
    """The leaves of an HTML text: one for all its text, one for each attribute value, comment and script.

    >>> [leaf.context + leaf.text for leaf in parse_html('<b>john</b>&#64;a.com<br data-phone=123>').leaves]
    ['john@a.com\\n', 'data phone: 123']
    """
    return Flows(raw, html_flows(raw, 0, len(raw)))


def html_flows(raw: str, start: int, end: int) -> list[Flow]:
    """The leaves of a stretch of HTML within another text."""
    return _Scan(raw, end).flows(start)


class _Scan:
    """One pass over a stretch of HTML that ends at `end`."""

    def __init__(self, raw: str, end: int) -> None:
        self._raw = raw
        self._end = end
        self._body = Flow(raw, _in_text)
        self._others: list[Flow] = []

    def flows(self, start: int) -> list[Flow]:
        raw, position = self._raw, start
        while (mark := raw.find("<", position, self._end)) >= 0:
            self._body.references(position, mark)
            position = self._markup(mark)
        self._body.references(position, self._end)
        return [self._body, *self._others]

    def _markup(self, mark: int) -> int:
        """Reads what starts with `<`; returns where it ends."""
        raw = self._raw
        for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<!", ">"), ("<?", ">")):
            if raw.startswith(opening, mark):
                return self._enclosed(mark + len(opening), closing)
        tag = _TAG.match(raw, mark, self._end)
        if not tag or not is_element(tag[1]):
            self._body.copy(mark, mark + 1)
            return mark + 1
        attributes, end, closed = _attributes(raw, tag.end(), self._end)
        if not closed:
            # All of it is text, what stands in quotes too: to look for tags in there again would take for ever.
            self._body.references(mark, end)
            return end
        self._gap(tag[1], mark)
        self._names(attributes, tag[1])
        self._values(attributes)
        if raw[mark + 1] != "/" and (ending := _RAW.get(tag[1].lower())):
            return self._content(tag[1].lower(), ending, end)
        return end

    def _gap(self, tag: str, place: int) -> None:
        if not is_inline(tag):
            self._body.code(place, place, "\t" if tag.lower() in ("td", "th") else "\n")

    def _enclosed(self, start: int, closing: str) -> int:
        end = self._raw.find(closing, start, self._end)
        if end < 0:
            end, closing = self._end, ""
        flow = Flow(self._raw, _in_comment)
        flow.references(start, end)
        self._others.append(flow)
        return end + len(closing)

    def _content(self, tag: str, ending: re.Pattern[str], start: int) -> int:
        match = ending.search(self._raw, start, self._end)
        end = match.start() if match else self._end
        if tag in ("script", "style"):
            flow = Flow(self._raw, _in_script)
            flow.copy(start, end)
            self._others.append(flow)
        else:
            self._body.references(start, end)
        return end

    def _names(self, attributes: list[_Attribute], tag: str) -> None:
        """Reads what is no usual name. Words without values may be a sentence, and are one leaf."""
        for valued, group in groupby(attributes, lambda attribute: attribute.valued):
            run = list(group)
            for names in [[attribute] for attribute in run] if valued else [run]:
                if not all(is_plain_attribute(attribute.name, valued=valued) for attribute in names):
                    # `<Mark Smith>` is no marked text.
                    flow = Flow(self._raw, _as_name, context="" if valued else f"{tag} ")
                    flow.copy(names[0].start, names[-1].end)
                    self._others.append(flow)

    def _values(self, attributes: list[_Attribute]) -> None:
        named = {attribute.name.lower(): self._raw[attribute.low : attribute.high] for attribute in attributes}
        label = next((named[name] for name in _NAMED_BY if named.get(name)), "")
        for attribute in attributes:
            if attribute.low < attribute.high:
                context = words(_speaks_for(attribute.name.lower(), label))
                flow = Flow(self._raw, _in_value, context=context, wrap='"' if attribute.bare else "")
                flow.references(attribute.low, attribute.high)
                self._others.append(flow)


def tag_flows(raw: str, start: int, end: int) -> list[Flow] | None:
    """The leaves of one tag or comment within another text; None: it is neither, so its text must be read."""
    body, *others = html_flows(raw, start, end)
    return None if body.leaf.text.strip() else others


def _speaks_for(name: str, label: str) -> str:
    if name in ("value", "content"):
        return label
    return name if _SPEAKING.fullmatch(name) else ""


def _attributes(raw: str, position: int, limit: int) -> tuple[list[_Attribute], int, bool]:
    """What stands in a tag from `position`, where it ends, and whether it ends as a tag."""
    found: list[_Attribute] = []
    while match := _ATTRIBUTE.match(raw, position, limit):
        group = next((group for group in (2, 3, 4) if match[group] is not None), None)
        low, high = match.span(group) if group else (match.end(), match.end())
        found.append(_Attribute(match[1], match.start(1), low, high, group == 4))
        position = match.end()
    close = _CLOSE.match(raw, position, limit)
    end = close.end() if close else position
    return found, end, bool(close and close[1])


def _in_text(new: str) -> str:
    return html.escape(new, quote=False)


def _in_value(new: str) -> str:
    return html.escape(new)


def _in_comment(new: str) -> str:
    return html.escape(new, quote=False).replace("--", "-&#45;")


def _in_script(new: str) -> str:
    # Spelt so that it ends neither a string nor the script.
    return re.sub(r"[<>\"'`\\\n\r]", lambda match: f"\\u{ord(match[0]):04x}", new)


def _as_name(new: str) -> str:
    return re.sub(r"[\s/>=<\"']", "", new) or "_"
