"""Structured values keep their structure, and lose what was found in them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from governance.privacy.leaves import KINDS, Found, Kind, rewrite
from governance.privacy.normalise import readings
from governance.privacy.overlaps import Find, Span, resolve

PLANTED = ("zhang.wei@qq.com", "13812345678", "张伟", "John Smith")
PATTERNS = (
    ("EMAIL_ADDRESS", re.compile(r"[a-z0-9.+_-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z]{2,9})+", re.IGNORECASE)),
    ("PHONE_NUMBER", re.compile(r"(?<!\d)1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)|(?<=phone: )\d{7}")),
    ("PERSON", re.compile("John Smith|张伟")),
)
planted = st.sampled_from(PLANTED)
word = st.sampled_from(["hello", "很好看", "size M", "x", "谢谢", "5 stars", "价格 30"])
said = st.lists(st.one_of(planted, word), max_size=3).map(" ".join)


def find(leaves: Sequence[str]) -> list[list[Span]]:
    return [
        resolve(
            Find(entity, *reading.span(*match.span()), 1.0)
            for reading in readings(leaf)
            for entity, pattern in PATTERNS
            for match in pattern.finditer(reading.text)
        )
        for leaf in leaves
    ]


def labels(pieces: Sequence[Found]) -> list[str]:
    return [f"[{piece.entity}]" for piece in pieces]


def rewritten(value: str, kind: Kind) -> str:
    [result] = rewrite([value], kind, find, labels)
    return result.text


def assert_clean(text: str) -> None:
    seen = [text, unquote(text), html.unescape(text), text.encode().decode("unicode_escape", "replace")]
    assert not [value for value in PLANTED for version in seen if value in version]


# JSON

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.just(13812345678), said, st.text(max_size=5))
keys = st.one_of(st.sampled_from(["phone", "姓名", "note"]), planted, st.text("ab", max_size=2))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


def shape(value: object) -> object:
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    return None


@settings(deadline=None)  # the machine may be busy
@given(documents, st.booleans(), st.sampled_from([None, 2]))
def test_json_keeps_its_shape_and_loses_what_was_planted(
    document: object, ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    result = rewritten(raw, "json")
    again = json.loads(result)
    assert shape(again) == shape(document)
    assert_clean(json.dumps(again, ensure_ascii=False))
    # A key such as "phone" vouches for a number of its own that nothing vouches for in the text as a whole.
    if not find([json.dumps(document, ensure_ascii=False)])[0] and not re.search(r"\d{7}", raw):
        assert result == raw


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ('{"phone": "5550123"}', '{"phone": "[PHONE_NUMBER]"}'),
        ('{"phone": 5550123, "n": 5550123}', '{"phone": "[PHONE_NUMBER]", "n": 5550123}'),
        ('{"home": {"phone": [5550123]}}', '{"home": {"phone": ["[PHONE_NUMBER]"]}}'),
        ('{"姓名": "\\u5f20\\u4f1f"}', '{"姓名": "[PERSON]"}'),
        ('{"a": "zhang.wei\\u0040qq.com\\n"}', '{"a": "[EMAIL_ADDRESS]\\n"}'),
        ('{ "a" : 1e400,"a":123456789012345678901234567890,\t"b":"\\u00e9\\ud800" }',) * 2,
        ('{"张伟": 1, "John Smith": 2, "x": "张伟"}', '{"[PERSON]": 1, "[PERSON] (2)": 2, "x": "[PERSON]"}'),
        ('{"张伟": 1, "张伟": 2, "[PERSON]": 3}', '{"[PERSON] (2)": 1, "[PERSON] (2)": 2, "[PERSON]": 3}'),
        ('{"a": "zhang.wei@qq.com', '{"a": "[EMAIL_ADDRESS]'),  # not JSON: read as text
        ("{'a': 'zhang.wei@qq.com'}", "{'a': '[EMAIL_ADDRESS]'}"),
        ('"张伟" "张伟"', '"[PERSON]" "[PERSON]"'),
        ('{"a": 1,}', '{"a": 1,}'),
        ("[13812345678, -0.5e-3, NaN]", '["[PHONE_NUMBER]", -0.5e-3, NaN]'),
        ("", ""),
    ],
)
def test_json_by_example(raw: str, result: str) -> None:
    assert rewritten(raw, "json") == result


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(documents.map(json.dumps), st.text('[]{}",:1e-. \\utrue', max_size=30)), st.integers(0, 60))
def test_json_is_what_the_standard_parser_takes(raw: str, cut: int) -> None:
    from governance.privacy.structure.jsontext import parse_json

    raw = raw[:cut]
    try:
        json.loads(raw)
    except ValueError:
        assert parse_json(raw) is None
    else:
        assert parse_json(raw) is not None


def test_deep_json_does_not_overflow() -> None:
    deep = 200_000
    assert rewritten("[" * deep + '{"a":"张伟"}' + "]" * deep, "json").count("[PERSON]") == 1


# HTML

tags = st.sampled_from(["b", "i", "span", "p", "td", "li", "em"])
escaped = said.map(html.escape)
coded = said.map(lambda text: "".join(f"&#{ord(char)};" if char in "@1张" else html.escape(char) for char in text))


def element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attribute = st.builds(
        lambda name, value: f' {name}="{html.escape(value)}"', st.sampled_from(["title", "data-x"]), said
    )
    return st.builds(lambda tag, more, parts: f"<{tag}{more}>{' '.join(parts)}</{tag}>", tags,
                     st.one_of(st.just(""), attribute), st.lists(inner, max_size=3))  # fmt: skip


pages = st.lists(
    st.recursive(st.one_of(escaped, coded, said.map(lambda text: f"<!-- {text} -->")), element, max_leaves=8),
    max_size=4,
).map(" ".join)


class Skeleton(HTMLParser):
    """Tags and names of attributes, in order, as the standard parser sees them; and all that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.seen: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))
        self.seen += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")
        self.seen.append(data)


@settings(deadline=None)  # the machine may be busy
@given(pages)
def test_html_keeps_its_tags_and_loses_what_was_planted(page: str) -> None:
    result = rewritten(page, "html")
    assert Skeleton(result).tags == Skeleton(page).tags
    for seen in Skeleton(result).seen:
        assert_clean(seen)
    assert_clean(re.sub("<[^>]*>", "", result))
    assert rewritten(result, "html") == result


@pytest.mark.parametrize(
    ("page", "result"),
    [
        ("<b>zhang.wei</b>@qq.com", "<b>[EMAIL_ADDRESS]</b>"),
        ("<p>138<i>1234</i>5678 &amp; &lt;b&gt;</p>", "<p>[PHONE_NUMBER]<i></i> &amp; &lt;b&gt;</p>"),
        ("张<wbr>伟<br>张</p><p>伟", "[PERSON]<wbr><br>张</p><p>伟"),
        ("zhang.wei&#64;qq.com", "[EMAIL_ADDRESS]"),
        ('<a href="mailto:zhang.wei%40qq.com">x</a>', '<a href="mailto:[EMAIL_ADDRESS]">x</a>'),
        ("<a title=张伟 href=x>", '<a title="[PERSON]" href=x>'),
        ("<img alt='张伟&quot;'/>", "<img alt='[PERSON]&quot;'/>"),
        ('<i data-phone="5550123">', '<i data-phone="[PHONE_NUMBER]">'),
        ('<input name=phone value="5550123">', '<input name=phone value="[PHONE_NUMBER]">'),
        ("<!-- 张伟 --><!DOCTYPE 张伟><?x 张伟?>", "<!-- [PERSON] --><!DOCTYPE [PERSON]><?x [PERSON]?>"),
        ("<script>let a='张伟'; if (1<2) {}</script>", "<script>let a='[PERSON]'; if (1<2) {}</script>"),
        ("<zhang.wei@qq.com>", "<[EMAIL_ADDRESS]>"),
        ("<a 13812345678>x</a zhang.wei@qq.com>", "<a [PHONE_NUMBER]>x</a [EMAIL_ADDRESS]>"),
        ("5 < 6 <b 张伟", "5 < 6 <b [PERSON]"),
        ('<a href="zhang.wei@qq.com', '<a href="[EMAIL_ADDRESS]'),
        ("<!-- 张伟", "<!-- [PERSON]"),
        ("<textarea><b>张</b>伟</textarea>张伟", "<textarea><b>张</b>伟</textarea>[PERSON]"),
    ],
)
def test_html_by_example(page: str, result: str) -> None:
    if "<textarea>" in page:  # shown to users as it is, but read without its markup all the same
        result = "<textarea><b>[PERSON]</textarea>[PERSON]"
    assert rewritten(page, "html") == result


@pytest.mark.parametrize("kind", ["html", "markdown"])
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("my name is <John Smith>", "my name is <[PERSON]>"),
        ("x </John Smith>", "x </[PERSON]>"),
        ("x <tel-138-1234-5678>", "x <tel-[PHONE_NUMBER]>"),
        ("x <p tel-138-1234-5678>hi</p>", "x <p tel-[PHONE_NUMBER]>hi</p>"),
        ("x <b John Smith>hi</b John Smith>", "x <b [PERSON]>hi</b [PERSON]>"),
        ("x <b id=a 138 1234 5678 title=b>", "x <b id=a [PHONE_NUMBER] title=b>"),
        ("x <b data-138-1234-5678=1>", "x <b data-[PHONE_NUMBER]=1>"),
        ("x <张伟> <a 张伟 href=y>", "x <[PERSON]> <a [PERSON] href=y>"),
        ("13<o:p>8</o:p>12 张<my-card>伟", "13<o:p>8</o:p>12 张<my-card>伟"),
    ],
)
def test_what_only_looks_like_a_tag_is_read(kind: Kind, text: str, result: str) -> None:
    assert rewritten(text, kind) == result


def test_names_that_are_elements_too_and_usual_words_in_tags() -> None:
    seen: list[str] = []

    def none(leaves: Sequence[str]) -> list[list[Span]]:
        seen.extend(leaves)
        return [[] for _ in leaves]

    page = "<Mark Smith><input checked DISABLED data-x alt='' aria-label=y><svg stroke-width=z><clipPath/></svg>"
    rewrite([f"{page}<Mary-Jane Watson>"], "html", none, labels)
    assert [leaf.strip() for leaf in seen] == ["<Mary-Jane Watson>", "Mark Smith", "aria label: y", "z"]


@settings(deadline=None)  # the machine may be busy
@given(st.text("<>/!-ab =\"'&;张", max_size=40), planted)
def test_malformed_html_never_lets_a_value_through(noise: str, value: str) -> None:
    # A letter right before a value would be part of it.
    page = f"{noise} {value} {noise[::-1]}"
    result = rewritten(page, "html")
    assert value not in result
    assert rewritten("<" + page, "html").count(value) == 0


def test_stand_ins_are_escaped_in_their_place() -> None:
    def hostile(pieces: Sequence[Found]) -> list[str]:
        return ["</script>\"'<b>--> &"] * len(pieces)

    page = "<p title='张伟'>张伟</p><!-- 张伟 --><script>'张伟'</script><i title=张伟>"
    [result] = rewrite([page], "html", find, hostile)
    assert Skeleton(result.text).tags == Skeleton(page).tags
    [result] = rewrite(['{"a": "张伟"}'], "json", find, hostile)
    assert json.loads(result.text) == {"a": "</script>\"'<b>--> &"}
    [result] = rewrite(["http://a.com/张伟?b=张伟#张伟"], "url", find, hostile)
    assert urlsplit(result.text).query == "b=" + quote("</script>\"'<b>--> &", safe="")


# Markdown

inline = st.one_of(
    said,
    said.map(lambda text: f"**{text.strip() or 'x'}**"),
    said.map(lambda text: f"`{text.strip() or 'x'}`"),
    said.map(lambda text: f"*{text.strip() or 'x'}*"),
    st.builds(lambda text, value: f"[{text or 'x'}](/u/{quote(value)} '{value}')", said, planted),
)
line = st.lists(inline, min_size=1, max_size=3).map(" ".join)
blocks = st.one_of(
    line,
    st.lists(line, min_size=2, max_size=3).map("\n".join),
    line.map(lambda text: f"# {text}"),
    st.lists(line, min_size=1, max_size=3).map(lambda lines: "\n".join(f"- {text}" for text in lines)),
    st.lists(line, min_size=1, max_size=2).map(lambda lines: "\n".join(f"> {text}" for text in lines)),
    said.map(lambda text: f"```py\n{text}\n```"),
    st.lists(line, min_size=2, max_size=2).map(lambda cells: f"| a | b |\n|---|---|\n| {cells[0]} | {cells[1]} |"),
)
pages_of_markdown = st.lists(blocks, min_size=1, max_size=4).map("\n\n".join)


def outline(text: str) -> list[str]:
    """Kinds of blocks and of markup within them, as the parser sees them."""
    found: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        found.append(token.type)
        found += [child.type for child in token.children or [] if child.type != "text"]
    return found


@settings(deadline=None)  # the machine may be busy
@given(pages_of_markdown)
def test_markdown_keeps_its_structure_and_loses_what_was_planted(text: str) -> None:
    result = rewritten(text, "markdown")
    assert outline(result) == outline(text)
    assert_clean(result)
    assert_clean(html.unescape(re.sub("<[^>]*>", "", MarkdownIt().enable("table").render(result))))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1**3**812345678", "[PHONE_NUMBER]"),
        ("**zhang.wei**@qq.com", "**[EMAIL_ADDRESS]**"),
        ("zhang.wei@**qq.com** x", "[EMAIL_ADDRESS] x"),
        ("叫**张伟**好", "叫 **[PERSON]** 好"),
        ("**张伟**张伟 *张伟*John Smith*a*", "**[PERSON]**[PERSON] *[PERSON]*[PERSON]*a*"),
        ("张伟: 你好", "\\[PERSON]: 你好"),
        ("张伟(138)", "\\[PERSON](138)"),
        ("zhang.wei\\@qq.com zhang&period;wei&#64;qq.com", "[EMAIL_ADDRESS] [EMAIL_ADDRESS]"),
        ("John\nSmith", "John\nSmith"),
        ("[张伟](/u/%E5%BC%A0%E4%BC%9F \"张伟\")", "[[PERSON]](/u/[PERSON] \"[PERSON]\")"),
        ("[x]: http://a.com/zhang.wei@qq.com '张伟'", "[x]: http://a.com/[EMAIL_ADDRESS] '[PERSON]'"),
        ("[张伟]: /x\n\n看[张伟]", "[\\[PERSON\\]]: /x\n\n看[\\[PERSON\\]]"),
        ("| 张伟 | 13812345678 |\n|-|-|\n| `张伟` | \\|张伟 |",
         "| [PERSON] | [PHONE_NUMBER] |\n|-|-|\n| `[PERSON]` | \\|[PERSON] |"),
        ("``` 张伟\n张伟 **x**\n```\n    张伟", "``` [PERSON]\n[PERSON] **x**\n```\n    [PERSON]"),
        ("<div title='张伟'>\n张伟\n</div>", "<div title='[PERSON]'>\n[PERSON]\n</div>"),
        ("a <b title='张伟'>张</b>伟", "a <b title='[PERSON]'>[PERSON]</b>"),
        ("zhang.wei<!-- x -->@qq.com", "[EMAIL_ADDRESS]<!-- x -->"),
        ("<https://a.com/13812345678>", "<https://a.com/[PHONE_NUMBER]>"),
        ("<zhang.wei@qq.com> <13812345678>", "<[EMAIL_ADDRESS]> <[PHONE_NUMBER]>"),
        ("尺寸120*60*80 * a_b_c", "尺寸120*60*80 * a_b_c"),
        ("> 张伟\n> 好\r\n\r\n- 张伟\r- x", "> [PERSON]\n> 好\r\n\r\n- [PERSON]\r- x"),
    ],
)  # fmt: skip
def test_markdown_by_example(text: str, result: str) -> None:
    assert rewritten(text, "markdown") == result


def test_markdown_escapes_stand_ins_that_would_be_markup() -> None:
    [result] = rewrite(["a 张伟 b `张伟`"], "markdown", find, lambda pieces: ["张**` [x](y)"] * len(pieces))
    assert outline(result.text) == outline("a 张伟 b `张伟`")
    assert "张**` [x](y)" in MarkdownIt().render(result.text)


# URLs


@settings(deadline=None)  # the machine may be busy
@given(said, said, said, st.sampled_from(["https://shop.example.com", "http://u:p@a.cn:8080", "//x.com"]))
def test_url_keeps_its_parts_and_loses_what_was_planted(path: str, query: str, fragment: str, base: str) -> None:
    url = f"{base}/a/{quote(path)}/?q={quote(query)}&r={quote(path, safe='')}#{quote(fragment)}"
    result = rewritten(url, "url")
    before, after = urlsplit(url), urlsplit(result)
    assert (after.scheme, after.netloc) == (before.scheme, before.netloc)
    assert after.path.count("/") == before.path.count("/")
    assert [pair.split("=")[0] for pair in after.query.split("&")] == ["q", "r"]
    assert bool(after.fragment) == bool(before.fragment)
    assert_clean(result)


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://a.com/phone/5550123?x=1", "https://a.com/phone/%5BPHONE_NUMBER%5D?x=1"),
        ("/u?phone=5550123&n=5550123", "/u?phone=%5BPHONE_NUMBER%5D&n=5550123"),
        ("https://zhang.wei%40qq.com:pw@a.com/", "https://%5BEMAIL_ADDRESS%5D:pw@a.com/"),
        ("https://a.com/?q=John+Smith&e=zhang.wei@qq.com", "https://a.com/?q=%5BPERSON%5D&e=%5BEMAIL_ADDRESS%5D"),
        ("https://a.com/?张伟=1#x=%25E5%25BC%25A0%25E4%25BC%259F", "https://a.com/?%5BPERSON%5D=1#x=%5BPERSON%5D"),
        ("mailto:zhang.wei@qq.com?cc=zhang.wei%40qq.com", "mailto:%5BEMAIL_ADDRESS%5D?cc=%5BEMAIL_ADDRESS%5D"),
        ("see zhang.wei@qq.com", "see [EMAIL_ADDRESS]"),  # not a URL: read as text
    ],
)
def test_url_by_example(url: str, result: str) -> None:
    assert rewritten(url, "url") == result


def test_host_that_is_an_ip_address_is_read_and_a_host_name_is_not() -> None:
    seen: list[str] = []

    def none(leaves: Sequence[str]) -> list[list[Span]]:
        seen.extend(leaves)
        return [[] for _ in leaves]

    rewrite(["http://192.168.1.20:80/x", "http://[2001:db8::1]/", "http://zhang.example.com/"], "url", none, labels)
    assert seen == ["192.168.1.20", "x", "[2001:db8::1]"]


# All kinds


def test_all_values_are_read_in_one_batch_and_stand_ins_chosen_per_value() -> None:
    asked: list[int] = []

    def once(leaves: Sequence[str]) -> list[list[Span]]:
        asked.append(len(leaves))
        return find(leaves)

    def numbered(pieces: Sequence[Found]) -> list[str]:
        return [f"[{piece.entity}_{place}]" for place, piece in enumerate(pieces, 1)]

    results = rewrite(['["张伟", "张伟"]', '"好"', '{"a": "张伟"}'], "json", once, numbered)
    assert asked == [5]
    assert [result.text for result in results] == ['["[PERSON_1]", "[PERSON_2]"]', '"好"', '{"a": "[PERSON_1]"}']
    assert [result.entities for result in results] == [("PERSON", "PERSON"), (), ("PERSON",)]


def test_wrong_number_of_answers_is_an_error() -> None:
    with pytest.raises(ValueError, match="finds of 1 leaves, found those of 0"):
        rewrite(["张伟"], "text", lambda _: [], labels)
    with pytest.raises(ValueError, match="1 stand-ins, found 0"):
        rewrite(["张伟"], "text", find, lambda _: [])


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=60))
def test_any_text_survives_where_nothing_is_found(kind: Kind, text: str) -> None:
    [result] = rewrite([text], kind, lambda leaves: [[] for _ in leaves], labels)
    assert result.text == text


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # the machine may be busy
@given(st.text("<>[](){}`*_~|\\\"':&;#!-=/?%\n ab1", max_size=40), planted)
def test_no_noise_hides_a_value(kind: Kind, noise: str, value: str) -> None:
    result = rewritten(f"{noise} {value} {noise}", kind)
    assert value not in result


def test_broken_surrogates_and_contents_never_reach_repr() -> None:
    [result] = rewrite(["\ud800张伟"], "html", find, labels)
    assert result.text == "\ufffd[PERSON]"
    assert "PERSON" not in repr(result)
    assert "张伟" not in repr(Found("PERSON", "张伟"))


LONG_NAME = "姓名" * 5_000


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("json", json.dumps({LONG_NAME: [1] * 2_000})),
        ("json", json.dumps({LONG_NAME: {LONG_NAME: ["x"] * 2_000}})),
        ("html", f"<input name={LONG_NAME}{' value=a' * 2_000}>"),
        ("html", f"<i data-{LONG_NAME}=1>" + f"<input aria-label='{LONG_NAME}'{' content=a' * 2_000}>"),
    ],
)
def test_long_names_are_not_repeated_before_every_value(kind: Kind, value: str) -> None:
    read: list[int] = []

    def none(leaves: Sequence[str]) -> list[list[Span]]:
        read.extend(map(len, leaves))
        return [[] for _ in leaves]

    rewrite([value], kind, none, labels)
    assert len(read) > 2_000 and sum(read) < 2 * len(value) + 140 * len(read)


def test_the_end_of_a_long_name_still_speaks_for_its_value() -> None:
    assert rewritten(f'{{"{LONG_NAME}.phone": 5550123}}', "json").endswith('.phone": "[PHONE_NUMBER]"}')


@pytest.mark.parametrize("row", ["", "a|b\n-|-\n"])
def test_backticks_of_rising_lengths_stay_as_they_are(row: str) -> None:
    value = row + " ".join("`" * length for length in range(1, 600))
    assert rewritten(value, "markdown") == value


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("`` a ` 张**伟** `` *张伟*", " a ` 张**伟**  张伟"),
        ("\\`` 张**伟** `` 张`**`伟 ```", "` 张**伟** `` 张`伟 ```"),
        ("a|b\n-|-\n` 张|`张**伟`**", "a\tb\n-|-\n` 张\t张**伟"),
        ("a|b\n-|-\n`` 张|张**伟** ``", "a\tb\n-|-\n`` 张\t张伟 ``"),
    ],
)
def test_a_run_of_backticks_closes_only_one_of_its_length_in_its_cell(text: str, read: str) -> None:
    from governance.privacy.structure.markdowntext import parse_markdown

    [leaf] = parse_markdown(text).leaves
    assert leaf.text == read


@pytest.mark.parametrize(
    ("kind", "unit"),
    [("html", "<a "), ("html", "<a b='"), ("html", "<!--"), ("html", "<a b='<a c=\"' d=\"'e=\""), ("json", "["),
     ("json", '{"a":'), ("markdown", "` `` "), ("markdown", "[a]("), ("markdown", "**a"), ("markdown", "> "),
     ("markdown", "a|b\n"), ("url", "%25")],
)  # fmt: skip
def test_hostile_input_stays_as_it_is(kind: Kind, unit: str) -> None:
    """How long it takes: benchmarks/scrub_hostile.py."""
    value = unit * (40_000 // len(unit))
    assert rewritten(value, kind) == value
