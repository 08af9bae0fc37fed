"""Hide, a model that takes every liberty, restore: `make bench NAME=vault`.

Random conversations in English and Chinese. The model is a script: it echoes tokens, respells, reorders, repeats and
drops them, mistypes digits, mixes in tokens of other sessions and of none, and makes up personal data of its own. What
must come back is worked out beside it, from the texts alone. `wrong`: answers that differ from that by a single
character, whole or streamed. `sent_raw`: values that the model was sent.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from governance.privacy.checks import luhn
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from governance.privacy.vault.vault import Session, Vault

CONVERSATIONS = 10_000
TOKEN = re.compile(r"\[([A-Z_]+)_(\d{6})\]")
MARKERS = {
    "en": ["First,", "Second,", "Third,", "Fourth,", "Fifth,", "Sixth,", "Seventh,", "Eighth,"],
    "zh": ["其一，", "其二，", "其三，", "其四，", "其五，", "其六，", "其七，", "其八，"],
}
ENDS = {
    "en": [" thanks.", " please check\n", " ok? ", " and so on; "],
    "zh": [" 谢谢。", " 请核对\n", " 可以吗？", " 等等；"],
}
SAYS = {
    "en": ["I have noted ", "Then there is ", "We wrote to ", "Sorry about "],
    "zh": ["我记下了 ", "还有 ", "已联系 ", "请看一下 "],
}
SPELLINGS: list[Callable[[str, str], str]] = [
    lambda label, number: f"[{label}_{number}]",
    lambda label, number: f"[{label.lower()}_{number}]",
    lambda label, number: f"[ {label.title()} {number} ]",
    lambda label, number: f"［{label}＿{number}］".translate(
        {ord(a): chr(ord(a) + 0xFEE0) for a in "0123456789ABCDEF"}
    ),
    lambda label, number: f"【{label}_{number}】",
    lambda label, number: f"（{label}_{number}）",
    lambda label, number: f"({label}-{number})",
    lambda label, number: "\\[" + label.replace("_", "\\_") + f"\\_{number}\\]",
    lambda label, number: label.replace("_", " ").capitalize() + f" {number}",
    lambda label, number: f"{label}-{number}",
    lambda label, number: f"{label}#{number}",
    lambda label, number: f"<{label}_{number}>",
    lambda label, number: f"{{{label}_{number[:3]}\u200b{number[3:]}}}",
]
BEYOND: list[Callable[[str, str], str]] = [  # what could mean something else: it stays
    lambda label, number: f"[{label[:2]}_{number}]",
    lambda label, number: f"[{label}_{number[:3]} {number[3:]}]",
    lambda label, number: f"{label} no. {number}",
]
AROUND = ["{}", "**{}**", "{}'s", "“{}”", "(re {} )", "`{}`", "{}, ", "{}。", "[see {}]", "<b>{}</b>", "{}先生"]
INVENTED = [("made.up@else.org", "[EMAIL_ADDRESS]"), ("13500000000", "[PHONE_NUMBER]"), ("10.9.8.7", "[IP_ADDRESS]")]


@dataclass
class Tally:
    """Sums over conversations."""

    conversations: int = 0
    turns: int = 0
    hidden: int = 0
    mentions: int = 0  # of issued tokens, in some spelling
    restored: int = 0  # of those, the ones whose value came back
    strangers: int = 0  # tokens mistyped, relabelled, of other sessions or of none
    invented: int = 0
    wrong: int = 0
    sent_raw: int = 0


@dataclass
class Customer:
    """Makes what people write."""

    draw: random.Random
    said: list[str] = field(default_factory=list)  # values so far, to be said again

    def _digits(self, count: int) -> str:
        return "".join(self.draw.choices("0123456789", k=count))

    def card(self) -> str:
        body = "4" + self._digits(14)
        return body + next(check for check in "0123456789" if luhn(body + check))

    def value(self) -> str:
        """A value of a kind that patterns find wherever it stands."""
        pick, word = self.draw.choice, "".join(self.draw.choices("abcdefghij", k=5))
        mobile = "1" + pick("3589") + self._digits(9)
        mail = f"{word}{pick(['.', '_', ''])}{self._digits(2)}@{word[:3]}.{pick(['com', 'org', 'com.cn'])}"
        return pick(
            [
                mail,
                f"x{mail}",  # one value within another
                f"person{self.number()}@{word}.com",  # a look-alike within a value
                mobile,
                f"{mobile[:3]} {mobile[3:7]} {mobile[7:]}",
                mobile.translate({ord(digit): chr(ord(digit) + 0xFEE0) for digit in "0123456789"}),
                f"+86 {mobile}",
                self.card(),
                f"https://{word}.com/{word}?u={self._digits(3)}",
                f"10.{self.draw.randrange(256)}.{self.draw.randrange(256)}.{self.draw.randrange(1, 256)}",
                f"110105{pick(['1986', '2003'])}{pick(['0112', '1109'])}{self._digits(3)}X",
            ]
        )

    def number(self) -> str:
        """A number that could be a token's."""
        while True:
            number = str(self.draw.randrange(100_000, 1_000_000))
            if luhn(number) and number[:2] not in ("19", "20"):
                return number

    def lookalike(self, issued: dict[str, str]) -> str:
        """What reads like a token: of nobody, or typed from one that was issued."""
        label, number = self.draw.choice(["PERSON", "EMAIL_ADDRESS", "LITERAL", "PHONE_NUMBER"]), self.number()
        if issued and self.draw.random() < 0.5:
            label, number = split(self.draw.choice(list(issued)))
        return self.draw.choice(SPELLINGS)(label, number)

    def spelt_again(self, value: str) -> str:
        return value.upper() if "@" in value and self.draw.random() < 0.5 else value

    def message(self, language: str, issued: dict[str, str]) -> tuple[str, list[str]]:
        """A message, and the values in it."""
        out, values = [], []
        for marker in MARKERS[language][: self.draw.randrange(1, 8)]:
            roll = self.draw.random()
            if roll < 0.5 or (roll < 0.7 and not self.said):
                values.append(self.value())
            elif roll < 0.7:
                values.append(self.spelt_again(self.draw.choice(self.said)))
            piece = values[-1] if roll < 0.7 else self.lookalike(issued) if roll < 0.9 else "🙂 e\u0301 한 \u200fx"
            out.append(f"{marker} {piece}{self.draw.choice(ENDS[language])}")
        self.said += values
        return "".join(out), values


def split(token: str) -> tuple[str, str]:
    """Label and number of a token."""
    label, _, number = token.strip("[]").rpartition("_")
    return label, number


def learn(raw: str, sent: str, issued: dict[str, str]) -> bool:
    """Which value each token in `sent` stands for, told from what stands between them; False: they contradict."""
    pattern, position, tokens = "", 0, []
    for match in TOKEN.finditer(sent):
        if luhn(match[2]):  # else nobody issued it
            pattern += re.escape(sent[position : match.start()]) + "(.+?)"
            tokens.append(match[0])
            position = match.end()
    found = re.fullmatch(pattern + re.escape(sent[position:]), raw, re.DOTALL)
    values = found.groups() if found else ()
    same = [
        _plain(issued.setdefault(token, value)) == _plain(value) for token, value in zip(tokens, values, strict=False)
    ]
    return found is not None and all(same)


def _plain(value: str) -> str:
    return re.sub(r"[\s()-]", "", unicodedata.normalize("NFKC", value).casefold())


class Model:
    """Answers with every liberty, and says beside it what must become of each piece."""

    def __init__(self, draw: random.Random, customer: Customer, strangers: list[str]) -> None:
        self.draw, self.customer, self.strangers = draw, customer, strangers

    def answer(self, language: str, issued: dict[str, str], tally: Tally) -> tuple[str, str, int]:
        """(answer, what the person must read, how many values are in that)."""
        said, due, values = [], [], 0
        for _ in range(self.draw.randrange(2, 9)):
            lead, end = self.draw.choice(SAYS[language]), self.draw.choice(ENDS[language])
            piece, back, around = self._piece(issued, tally)
            values += piece != back and back in issued.values()
            said.append(lead + around.format(piece) + end)
            due.append(lead + around.format(back) + end)
        return "".join(said), "".join(due), values

    def _piece(self, issued: dict[str, str], tally: Tally) -> tuple[str, str, str]:
        """(what is said, what must be read, what stands around both)."""
        roll = self.draw.random()
        if issued and roll < 0.6:
            tally.mentions += 1
            token = self.draw.choice(list(issued))
            label, number = split(token)
            if roll < 0.03:
                spelling = self.draw.choice(BEYOND)(label, number)
                return spelling, spelling, "{}"
            return self.draw.choice(SPELLINGS)(label, number), issued[token], self.draw.choice(AROUND)
        if roll < 0.75:
            tally.invented += 1
            return *self.draw.choice(INVENTED), "{}"
        tally.strangers += 1
        stranger = self._stranger(issued)
        return stranger, issued.get(stranger, stranger), self.draw.choice(AROUND)

    def _stranger(self, issued: dict[str, str]) -> str:
        kind = self.draw.randrange(4)
        if kind == 0 and self.strangers:
            return self.draw.choice(self.strangers)
        if kind == 1 and issued:
            label, number = split(self.draw.choice(list(issued)))
            place = self.draw.randrange(6)
            digit = self.draw.choice([d for d in "123456789" if d != number[place]])
            return f"[{label}_{number[:place]}{digit}{number[place + 1 :]}]"
        if kind == 2 and issued:
            label, number = split(self.draw.choice(list(issued)))
            return f"[{'PASSPORT' if label != 'PASSPORT' else 'URL'}_{number}]"
        return f"[PERSON_{self.customer.number()}]"


def streamed(session: Session, answer: str, draw: random.Random) -> str:
    """The answer restored as it arrives, in chunks of random length."""
    stream, out, position = session.stream(), [], 0
    while position < len(answer):
        size = draw.choice([1, 2, 5, 20, 100])
        out.append(stream.feed(answer[position : position + size]))
        position += size
    return "".join([*out, stream.finish()])


def converse(vault: Vault, draw: random.Random, strangers: list[str], tally: Tally) -> None:
    """One conversation. Each turn sends the last answer, as the person saw it, and a new message."""
    session, customer, issued = vault.session(), Customer(draw), {}
    model, history = Model(draw, customer, strangers), ""
    for _ in range(draw.randrange(2, 7)):
        language = draw.choice(["en", "zh"])
        message, values = customer.message(language, issued)
        sent = [hidden.text for hidden in session.hide([history, message])]
        joined = "\n".join(sent)
        tally.sent_raw += sum(value in joined or _plain(value) in _plain(joined) for value in values)
        tally.hidden += len(TOKEN.findall(joined))
        for raw, text in zip([history, message], sent, strict=True):
            tally.wrong += not learn(raw, text, issued)
        answer, due, back = model.answer(language, issued, tally)
        history = session.restore(answer)
        right = history == due == streamed(session, answer, draw)
        tally.wrong += not right
        tally.restored += back if right else 0
        tally.turns += 1
    tally.conversations += 1
    strangers[:] = [*strangers, *issued][-50:]
    session.close()


def round_trip(scrubber: Scrubber, *, conversations: int, seed: int) -> Tally:
    """Hold so many conversations over one vault in memory.

    Tokens are random, whatever the seed. That one of another session also stands for something in this one happens once
    in about 85,000 times per token issued here; the script then expects the value of this one.
    """
    draw, tally, strangers = random.Random(seed), Tally(), []  # noqa: S311 - made-up data, no secret
    vault = Vault(scrubber)
    for _ in range(conversations):
        converse(vault, draw, strangers, tally)
    return tally


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CONVERSATIONS
    start = time.process_time()
    total = round_trip(Scrubber(load_policy("patterns")), conversations=count, seed=7)
    for name, figure in vars(total).items():
        print(f"{name:>15} {figure:>12,}")
    print(
        json.dumps(
            {
                "conversations": total.conversations,
                "wrong": total.wrong,
                "sent_raw": total.sent_raw,
                "restored_share": round(total.restored / total.mentions, 4),
                "cpu_seconds": round(time.process_time() - start, 1),
            }
        )
    )
