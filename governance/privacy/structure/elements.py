"""What is a tag: `<p class=x>` is one, and `<John Smith>` is somebody's name in angle brackets.

Names are few and known, so whatever has another name is text and is read as such.
"""

from __future__ import annotations

import re

_HTML = frozenset(
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote "
    "body br button canvas caption center cite code col colgroup content data datalist dd del details dfn dialog "
    "dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head "
    "header hgroup hr html i iframe image img input ins isindex kbd keygen label legend li link listing main map "
    "mark marquee math menu menuitem meta meter multicol nav nextid nobr noembed noframes noscript object ol "
    "optgroup option output p param picture plaintext portal pre progress q rb rbc rp rt rtc ruby s samp script "
    "search section select shadow slot small source spacer span strike strong style sub summary sup svg table tbody "
    "td template textarea tfoot th thead time title tr track tt u ul var video wbr xmp".split()
)
"""Source: HTML living standard, with the elements that it calls obsolete."""
_SVG = frozenset(
    "animate animatemotion animatetransform circle clippath defs desc ellipse feblend fecolormatrix "
    "fecomponenttransfer fecomposite feconvolvematrix fediffuselighting fedisplacementmap fedistantlight fedropshadow "
    "feflood fefunca fefuncb fefuncg fefuncr fegaussianblur feimage femerge femergenode femorphology feoffset "
    "fepointlight fespecularlighting fespotlight fetile feturbulence filter foreignobject g glyph line lineargradient "
    "marker mask metadata mpath path pattern polygon polyline radialgradient rect set stop switch symbol text textpath "
    "tref tspan use view".split()
)
_MATHML = frozenset(
    "annotation maction menclose merror mfenced mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot "
    "mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics".split()
)
_KNOWN = _HTML | _SVG | _MATHML
_OTHER = re.compile(r"[a-z]+(?:-[a-z]+)+|(?:fb|m|o|svg|v|w|x):[A-Za-z]+")
"""Custom elements, which the standard wants in small letters, and what office programs write into mail."""

_FLAGS = frozenset(
    "allowfullscreen async autofocus autoplay checked compact controls default defer disabled download formnovalidate "
    "hidden inert ismap itemscope loop multiple muted nomodule nohref noresize noshade novalidate nowrap open "
    "playsinline readonly required reversed selected".split()
)
"""Attributes that stand without a value."""
_PREFIXES = (
    "accept|alignment|aria|baseline|clip|color|data|dominant|fill|flood|font|http|hx|image|letter|lighting|marker|ng|"
    "paint|pointer|shape|stop|stroke|text|v|vector|word|writing|x"
)
"""What attributes with a hyphen start with, in HTML, SVG and templates; other pairs of words may be a name."""
_PLAIN = re.compile(rf"(?!(?:[^0-9]*[0-9]){{5}})(?:[A-Za-z]+|(?:{_PREFIXES})-[A-Za-z0-9_.:-]+)")


def is_element(name: str) -> bool:
    """Whether pages have tags of this name.

    >>> [is_element(name) for name in ("H1", "clipPath", "my-card", "o:p", "John", "Mary-Jane", "tel-212")]
    [True, True, True, True, False, False, False]
    """
    return name.lower() in _KNOWN or _OTHER.fullmatch(name) is not None


def is_plain_attribute(name: str, *, valued: bool) -> bool:
    """Whether this is what pages call an attribute; without a value only few are, for it may be a word of a text.

    >>> is_plain_attribute("title", valued=True), is_plain_attribute("data-212-555-0143", valued=True)
    (True, False)
    >>> is_plain_attribute("CHECKED", valued=False), is_plain_attribute("Smith", valued=False)
    (True, False)
    """
    return name.lower() in _FLAGS or (_PLAIN.fullmatch(name) is not None and (valued or "-" in name))
