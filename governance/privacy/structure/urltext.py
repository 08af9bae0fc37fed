"""URLs: user, path, query and fragment are read decoded and written encoded; scheme and host name stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from governance.privacy.structure.codes import PERCENT, percent
from governance.privacy.structure.flow import Flow, Flows, words

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}:)?(?P<net>//(?:(?P<user>[^/?#]*)@)?(?P<host>[^/?#@]*))?"
    r"(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
"""Source: RFC 3986, appendix B, with the authority taken apart."""
_ADDRESS = re.compile(r"\[[0-9A-Fa-f:.]+\]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_PART = re.compile(r"[^/]+")
_PAIR = re.compile(r"([^&;=]*)(=?)([^&;]*)[&;]?")
_SPELT = re.compile(rf"{PERCENT.pattern}|(?<!=)\+")
"""In a query, + stands for a space, but not where a telephone number starts."""


def parse_url(raw: str) -> Flows | None:
    """The leaves of a URL; None: it isn't one, such as a sentence with spaces.

    A host that is an IP address is a leaf as well, for it names a machine and not a shop.

    >>> flows = parse_url("https://a.com/phone/5550123?e=x%40b.com")
    >>> [leaf.context + leaf.text for leaf in flows.leaves]
    ['phone', 'phone: 5550123', 'e', 'e: x@b.com']
    """
    match = _URL.fullmatch(raw)
    if match is None or re.search(r"[\s\x00-\x20\x7f]", raw):
        return None
    if not match["scheme"] and not match["net"] and not raw.startswith(("/", "?", "#", "./", "../")):
        return None
    return Flows(raw, list(_flows(match)))


def _flows(match: re.Match[str]) -> Iterator[Flow]:
    raw = match.string
    if match["user"]:
        yield _flow(raw, *match.span("user"))
    if match["host"] and (address := _ADDRESS.match(raw, match.start("host"))):
        yield _flow(raw, *address.span())
    before = ""
    for part in _PART.finditer(raw, *match.span("path")):
        yield _flow(raw, *part.span(), before)
        before = part[0]
    if match["query"]:
        yield from _pairs(raw, *match.span("query"))
    if match["fragment"]:
        yield from _pairs(raw, *match.span("fragment"))


def _pairs(raw: str, start: int, end: int) -> Iterator[Flow]:
    for pair in _PAIR.finditer(raw, start, end):
        if pair[1]:
            yield _flow(raw, *pair.span(1))
        if pair[3]:
            # An address such as a+b@example.com, typed as it is.
            yield _flow(raw, *pair.span(3), pair[1], plus="@" not in pair[3])


def _flow(raw: str, start: int, end: int, name: str = "", *, plus: bool = False) -> Flow:
    flow = Flow(raw, lambda new: quote(new, safe=""), context=words(name))
    flow.decoded(start, end, _SPELT if plus else PERCENT, _character)
    return flow


def _character(code: str) -> str | None:
    return " " if code == "+" else percent(code)
