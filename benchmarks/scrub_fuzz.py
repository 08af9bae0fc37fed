"""Feed the scrubber hostile text for minutes: values of every kind, noise of every kind, in any order.

    make bench NAME=scrub_fuzz            (ten minutes; --seconds 60 for one)

Whatever comes: no crash, no value left whole, the same result alone and in a batch, streamed and whole, scrubbed once
and scrubbed twice. A counterexample is shrunk and printed as code points.
"""

from __future__ import annotations

import argparse
import json
import random
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from governance.privacy.windows import Windows, windows

VALUES = (
    "zhang.wei@qq.com", "o'neil+x@mail.example.co.uk", "4111 1111 1111 1111", "6222021234567890128", "13812345678",
    "+86 138-1234-5678", "(212) 555-0123", "07700 900123", "192.168.1.20", "2001:db8::8a2e:370:7334",
    "11010519491231002X", "GB29NWBK60161331926819", "https://a.example/u/zhang", "078-05-1120", "京A12345",
    "上海市浦东新区张杨路500号3栋201室", "123 Main Street Apt 4B, Springfield, IL 62704", "91110108551385082Q",
)  # fmt: skip
GLUE = (
    "谢谢", " and ", "", "[PERSON]", "[EMAIL_ADDRESS_3]", "[", "]", "_", "\u200b", "，", "\n", "@", "1", "💌", "\u202e",
    "订单号", "a.b", "<b>", "</b>", "&#64;", "%40", "{\"a\": \"", "\"}", "**", "`",
    "\ud800", "\x00", "\u0301", "ﬁ", "㎏", "card ", "my name is ",
    "我叫", "微信", "۱۲۳", "\r\n", "\u2028", "مرحبا", "\u2066", " " * 40, "é" * 20, "-" * 9, "0" * 30,
)  # fmt: skip
texts = st.lists(
    st.one_of(st.sampled_from(VALUES), st.sampled_from(GLUE), st.text(max_size=6)), min_size=1, max_size=12
).map("".join)
scrubber = Scrubber(load_policy("patterns"))


def holds(batch: list[str], seed: int) -> None:
    """The promises that every text must keep."""
    scrubbed = [one.text.text for one in scrubber.scrub_many(batch, "train")]
    for text, once in zip(batch, scrubbed, strict=True):
        assert scrubber.scrub_one(text, "train")[0] == once, "alone and in a batch"
        assert scrubber.scrub_one(once, "train")[0] == once, "once and twice"
        once.encode("utf-8")
    for text in batch:
        cut, rng, pieces = Windows(), random.Random(seed), []  # noqa: S311 - a test
        place = 0
        while place < len(text):
            step = rng.randint(1, 9)
            pieces += cut.feed(text[place : place + step])
            place += step
        assert [*pieces, *cut.finish()] == windows(text), "streamed and whole"
    for value in VALUES:
        [(alone, _)] = [scrubber.scrub_one(f"{batch[0]} ; {value} ; {batch[-1]}", "prompt")]
        assert value not in alone or value in batch[0] + batch[-1], "a value between two noises"


def main() -> None:
    """Fuzz until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    chosen = parser.parse_args()
    start, examples = time.monotonic(), 0

    @settings(
        max_examples=500, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(texts, min_size=1, max_size=3), st.integers(0, 10**6))
    def fuzz(batch: list[str], seed: int) -> None:
        nonlocal examples
        examples += len(batch)
        holds(batch, seed)

    while time.monotonic() - start < chosen.seconds:
        fuzz()
    seconds = time.monotonic() - start
    print(f"{examples} texts in {seconds:.0f} s, no counterexample")
    print(json.dumps({"texts": examples, "seconds": round(seconds), "counterexamples": 0}))


if __name__ == "__main__":
    main()
