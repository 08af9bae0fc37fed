"""Write configs/data/: made-up policies with customers' questions, and made-up products, in English and Chinese.

    python -m benchmarks.synthetic [--check]

With `--check`, nothing is written, and it says whether the files are what this program makes. What the texts are made
of stands in benchmarks/shopwords/. Each shop's policy and each product has a random stream of its own, so a new topic
leaves the other rows as they are.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

WORDS = Path(__file__).parent / "shopwords"
DATA = Path(__file__).parents[1] / "configs" / "data"
LANGUAGES = ("en", "zh")
VERSIONS = 4  # shops per topic
PRODUCTS = 200
NOTE = {"en": "synthetic", "zh": "合成数据"}
MARK = re.compile(r"\[\[(.+?)\]\]")


def stream(*names: object) -> random.Random:
    """A random stream named by what it is for; the same on every machine."""
    return random.Random("/".join(map(str, names)))  # noqa: S311 - made-up texts, not secrets


def policies(language: str) -> Iterator[dict[str, Any]]:
    """Questions about shops' policies, some of which the policy doesn't answer and some of which nobody should."""
    source = yaml.safe_load((WORDS / f"policies.{language}.yaml").read_text("utf-8"))
    for topic, about in source["topics"].items():
        shops = stream(language, topic).sample(source["shops"], VERSIONS)
        for version, shop in enumerate(shops, start=1):
            rng, policy = stream(language, topic, version), f"{topic}-{version}"
            made = _policy(language, source, about, shop, rng)
            for number, row in enumerate(made, start=1):
                yield {"id": f"{policy}-{number}", "policy": policy, **row, "note": NOTE[language]}


def _policy(
    language: str, source: Mapping[str, Any], about: Mapping[str, Any], shop: str, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Rows of one shop's policy: three of its four facts are told, and asked for twice; the fourth is asked for too."""
    values = {name: rng.choice(among) for name, among in about["values"].items()}
    facts = list(about["facts"])
    untold = facts.pop(rng.randrange(len(facts)))
    told = [rng.choice(fact["say"]).format(**values) for fact in facts]
    sentences = told + list(about["fillers"]) + rng.sample(source["fillers"], 3)
    rng.shuffle(sentences)
    gap = " " if language == "en" else ""
    context = gap.join([about["opening"].format(shop=shop), *sentences])
    asked: list[tuple[str, str, list[str], list[str]]] = []
    for fact, sentence in zip(facts, told, strict=True):
        answer, reference = MARK.findall(sentence), [fact["ref"].format(**values)]
        asked += [("told", ask, answer, reference) for ask in rng.sample(fact["ask"], 2)]
    asked.append(("untold", rng.choice(untold["ask"]), [], []))
    kind, among = rng.choice([("untold", untold), ("private", rng.choice(source["refuse"]))])
    asked.append((kind, rng.choice(among["ask"]), [], []))
    for kind, ask, answers, references in asked:
        yield {
            "question": _dressed(ask, source, language, rng),
            "context": MARK.sub(r"\1", context),
            "answers": answers,
            "references": references,
            "segment": rng.choice(["new", "returning"]),
            "refuse": "no" if answers else "yes",
            "kind": kind,
        }


def _dressed(ask: str, source: Mapping[str, Any], language: str, rng: random.Random) -> str:
    """A question as customers write it: polite, in haste, at length, with slips of the fingers."""
    question = rng.choice(source["manners"]).format(ask=ask, Ask=ask[0].upper() + ask[1:])
    if rng.random() >= 0.25:
        return question
    if language == "zh":
        slips = [place for place, character in enumerate(question) if character in source["typos"]]
        if not slips:
            return question.rstrip("？")
        place = rng.choice(slips)
        return question[:place] + source["typos"][question[place]] + question[place + 1 :]
    # Two letters change places inside a word, where fingers slip most.
    place = rng.choice([match.start() for match in re.finditer(r"(?<=[a-z])[a-z]{2}(?=[a-z])", question)])
    return question[:place] + question[place + 1] + question[place] + question[place + 2 :]


def catalogue(language: str) -> Iterator[dict[str, Any]]:
    """Products with attributes, and a description that states some of them."""
    source = yaml.safe_load((WORDS / f"catalogue.{language}.yaml").read_text("utf-8"))
    categories = list(source["categories"])
    for number in range(PRODUCTS):
        rng = stream(language, "product", number)
        category = categories[number % len(categories)]
        kinds = {**source["shared"], **source["categories"][category]["attributes"]}
        attributes = {name: rng.choice(kind["values"]) for name, kind in kinds.items()}
        thing = rng.choice(source["categories"][category]["things"])
        told = rng.sample(list(attributes), rng.randint(3, len(attributes)))
        said = [_said(rng.choice(kinds[name]["say"]), attributes[name]) for name in told]
        sentences = [rng.choice(source["opening"]).format(thing=thing), *said, rng.choice(source["closing"])]
        title = source["title"].format(colour=attributes[next(iter(source["shared"]))], thing=thing)
        yield {
            "id": f"product-{number + 1:03}",
            "title": title[0].upper() + title[1:],
            "category": category,
            "attributes": attributes,
            "description": (" " if language == "en" else "").join(sentences),
            "seller": rng.choice(source["sellers"]),
            "market": rng.choice(source["markets"]),
            "note": NOTE[language],
        }


def _said(sentence: str, value: str) -> str:
    return sentence.format(value=value, Value=value[0].upper() + value[1:])


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON Lines, UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def files() -> dict[str, bytes]:
    """Name -> content of every file."""
    makers = {"policies": policies, "catalogue": catalogue}
    return {f"{name}.{tag}.jsonl": lines(list(make(tag))) for name, make in makers.items() for tag in LANGUAGES}


def differing(folder: Path = DATA) -> list[str]:
    """Names of files that are missing or not what this program makes."""
    return [
        name for name, made in files().items() if not (folder / name).is_file() or (folder / name).read_bytes() != made
    ]


def main(arguments: Sequence[str]) -> None:
    """Write the files, or check them."""
    if list(arguments) not in ([], ["--check"]):
        raise SystemExit("usage: python -m benchmarks.synthetic [--check]")
    if arguments:
        if found := differing():
            raise SystemExit(f"not what benchmarks.synthetic makes: {', '.join(found)}; run it without --check")
        print(f"{len(files())} files are what benchmarks.synthetic makes")
        return
    DATA.mkdir(exist_ok=True)
    for name, made in files().items():
        (DATA / name).write_bytes(made)
        print(f"{name}: {len(made.splitlines())} rows, {len(made):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
