"""Who the people of a corpus are, and what they are called elsewhere: in e-mail, on a page, in a chat app."""

from __future__ import annotations

import functools
import pathlib
import unicodedata
from dataclasses import dataclass
from random import Random

VALUES = pathlib.Path(__file__).parent / "values"
# A realistic mix for a shop in the United States and Britain; the rest of the weight is "other".
GROUPS = {"anglo": 42, "hispanic": 13, "south-asian": 12, "arabic": 9, "nigerian": 7, "east-asian": 8, "slavic": 5,
          "other": 4}  # fmt: skip
MAIL_DOMAINS = {
    ("validation", "en"): ("gmail.com gmail.com gmail.com outlook.com hotmail.co.uk yahoo.com comcast.net sky.com "
                           "proton.me live.com ucl.ac.uk ashgrove-interiors.co.uk thelarkspress.org gmx.de"),
    ("final", "en"): ("gmail.com gmail.com icloud.com hotmail.com yahoo.co.uk aol.com btinternet.com fastmail.com "
                      "msn.com verizon.net umich.edu pm.me brightwellpottery.com cartmel-legal.co.uk orange.fr"),
    ("validation", "zh"): "qq.com qq.com 163.com 126.com sina.com foxmail.com gmail.com 139.com hengtai-trade.com.cn",
    ("final", "zh"): ("qq.com qq.com 163.com 163.com vip.163.com aliyun.com outlook.com sohu.com 189.cn zju.edu.cn "
                      "lanting.cn"),
}  # fmt: skip
# What follows a word in a user name: a syllable of Pinyin, or in English another word.
ENGLISH_ENDS = "girl fan reads knits bakes home life made co studio hikes paints art craft walks gram writes and_me"
SYLLABLES = ("xiao yu ming jing wei lin hao xin yan chen mei ting jun bo fei rui kai jia yi zi han qing shu tao lan "
             "peng cheng dan hong feng")  # fmt: skip
WORDS = {
    "validation": "sunny moon coffee panda lemon river maple pixel cloud bunny tiger ocean velvet cactus",
    "final": "star peach daisy kiwi otter snow honey indigo meadow comet fox pepper willow mango",
}
PAGES = {
    "en": ("https://www.instagram.com/{}", "https://{}.wordpress.com/about", "www.{}.com", "https://linkedin.com/in/{}",
           "http://www.{}.co.uk/portfolio", "https://www.facebook.com/{}", "https://www.tiktok.com/@{}",
           "https://{}.github.io", "https://{}.substack.com/p/hello?utm_source=bio", "www.etsy.com/people/{}"),
    "zh": ("https://weibo.com/{}", "https://www.zhihu.com/people/{}", "https://{}.github.io", "www.{}.cn",
           "https://www.douban.com/people/{}/", "http://{}.lofter.com", "https://www.jianshu.com/u/{}",
           "https://www.instagram.com/{}", "http://www.{}.com.cn/about.html", "https://space.bilibili.com/{n}",
           "https://weibo.com/u/{n}"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """A name in two parts, as written, and both in plain Latin letters."""

    given: str
    family: str
    latin: tuple[str, str]


@functools.cache
def rows(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of `values/<name>.txt` under its first line, which says where they come from."""
    lines = (VALUES / f"{name}.txt").read_text("utf-8").splitlines()[1:]
    return tuple(tuple(line.split("\t")) for line in lines)


@functools.cache
def _english(corpus: str, part: str, group: str) -> tuple[str, ...]:
    return tuple(name for kind, of, name in rows(f"{corpus}.en.names") if (kind, of) == (part, group))


def latin(name: str) -> str:
    """The name in lower-case ASCII letters alone."""
    plain = unicodedata.normalize("NFKD", name.replace("ł", "l").replace("ø", "o").replace("ð", "d").replace("þ", "th"))
    return "".join(char for char in plain.lower() if char.isascii() and char.isalpha())


def person(rng: Random, corpus: str, language: str) -> Person:
    """Somebody new: a given name and a family name that are drawn apart, mostly from one group."""
    if language == "zh":
        families = rows("zh.surnames")
        family, pinyin, _ = rng.choices(families, [float(row[2]) for row in families])[0]
        return Person(
            rng.choice(rows(f"{corpus}.zh.given"))[0], family, ("".join(rng.choices(SYLLABLES.split(), k=2)), pinyin)
        )
    first, second = rng.choices(list(GROUPS), list(GROUPS.values()), k=2)
    second = first if rng.random() < 0.88 else second
    given = rng.choice(_english(corpus, "given", first))
    family = rng.choice(_english(corpus, "surname", second))
    return Person(given, family, (latin(given), latin(family)))


def handle(rng: Random, corpus: str, language: str, who: Person | None) -> str:
    """A user name of 6 to 20 lower-case letters and digits, after the person if there is one."""
    if who is None or rng.random() < 0.3:
        ends = SYLLABLES if language == "zh" else ENGLISH_ENDS
        name = rng.choice(WORDS[corpus].split()) + rng.choice(("", "_")) + rng.choice(ends.split())
    else:
        given, family = who.latin
        name = rng.choice((given + family, family + given, given + family[:1], given[:1] + family, given))
    number = rng.choice(("", "", str(rng.randint(1, 99)), str(rng.randint(1975, 2009))))
    number = number or (str(rng.randint(100, 999)) if len(name) < 6 else "")
    return name[: 20 - len(number)] + number


def mail(rng: Random, corpus: str, language: str, who: Person | None) -> str:
    """An e-mail address, mostly after the person."""
    domain = rng.choice(MAIL_DOMAINS[corpus, language].split())
    if domain == "qq.com" and rng.random() < 0.6:
        return f"{rng.randint(10**8, 4 * 10**9)}@{domain}"
    if who is None or rng.random() < 0.35:
        return f"{handle(rng, corpus, language, who)}@{domain}"
    given, family = who.latin
    name = rng.choice((f"{given}.{family}", f"{given}_{family}", f"{family}.{given}", f"{given[:1]}.{family}",
                       f"{given}-{family}"))  # fmt: skip
    tag = rng.choices(("", str(rng.randint(2, 99)), "+shop"), (75, 20, 5))[0]
    return f"{name}{tag}@{domain}"


def page(rng: Random, corpus: str, language: str, who: Person | None) -> str:
    """The address of somebody's own page, with a scheme or `www.`."""
    form = rng.choice(PAGES[language])
    if "{n}" in form:
        return form.format(n=rng.randint(10**6, 7 * 10**9))
    return form.format(handle(rng, corpus, language, who).replace("_", ""))


def wechat(rng: Random, corpus: str, who: Person | None) -> str:
    """A WeChat ID: 6 to 20 letters, digits, `_` and `-`, a letter first."""
    if rng.random() < 0.15:
        return "wxid_" + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=14))
    name = handle(rng, corpus, "zh", who)
    return (
        name
        if rng.random() < 0.8 or len(name) > 14
        else f"{name[:3].capitalize()}{name[3:]}{rng.choice('_-')}{rng.randint(0, 99)}"
    )


def full_name(rng: Random, who: Person, language: str) -> str:
    """The whole name as a form holds it; a few English ones have a middle initial."""
    if language == "zh":
        return who.family + who.given
    middle = f" {rng.choice('ABCDEGHJKLMNPRSTW')}." if rng.random() < 0.04 else ""
    return f"{who.given}{middle} {who.family}"
