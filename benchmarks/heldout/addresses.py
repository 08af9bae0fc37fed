"""Street addresses as customers write them: American, British and Chinese."""

from __future__ import annotations

from random import Random

from .people import rows

US_SUFFIXES = ("Street", "St", "Avenue", "Ave", "Road", "Rd", "Drive", "Dr", "Lane", "Ln", "Court", "Blvd", "Way",
               "Place", "Circle", "Terrace", "Parkway", "Trail")  # fmt: skip
UK_SUFFIXES = ("Road", "Street", "Avenue", "Close", "Lane", "Drive", "Terrace", "Crescent", "Gardens", "Grove", "Way",
               "Court", "Mews", "Rise")  # fmt: skip
UK_HOUSES = {
    "validation": ("The Old Bakery", "Rose Cottage", "Wharf House", "Ivy Lodge", "Hilltop Barn"),
    "final": ("The Coach House", "Bluebell Cottage", "Quayside Court", "Orchard Lea", "Pump House"),
}
SHANGHAI = "上海市"


def american(rng: Random, corpus: str) -> str:
    """A US address: the street with or without a unit, city, state and ZIP code."""
    if corpus == "final":
        street, city, state, code = rng.choice(rows("final.us.addresses"))
    else:
        city, state, area = rng.choice(rows("validation.us.cities"))
        code = f"{area}{rng.randint(1, 79):02d}"
        side = rng.choices(("", "N ", "S ", "W ", "East "), (80, 5, 5, 5, 5))[0]
        name = rng.choice(rows("validation.en.streets"))[0]
        street = f"{rng.randint(2, 9899)} {side}{name} {rng.choice(US_SUFFIXES)}"
    unit = rng.choice((f"Apt {rng.randint(1, 40)}{rng.choice(('', 'A', 'B', 'C'))}", f"#{rng.randint(2, 900)}",
                       f"Unit {rng.randint(1, 60)}", f"Apartment {rng.randint(1, 30)}"))  # fmt: skip
    street += rng.choice((" ", ", ")) + unit if rng.random() < 0.3 else ""
    form = rng.choices(("{}, {}, {} {}", "{}, {} {} {}", "{}, {}, {}", "{}", "{}, {}"), (45, 15, 15, 15, 10))[0]
    return form.format(street, city, state, code)


def postcode(rng: Random, area: str, highest: int) -> str:
    """A British postcode in this area."""
    return f"{area}{rng.randint(1, highest)} {rng.randint(1, 9)}{''.join(rng.choices('ABDEFGHJLNPQRSTUWXYZ', k=2))}"


def british(rng: Random, corpus: str) -> str:
    """A UK address: sometimes a flat or a house's name, the street, mostly town and postcode."""
    town, area, highest = rng.choice(rows(f"{corpus}.uk.towns"))
    street = f"{rng.randint(1, 214)} {rng.choice(rows(f'{corpus}.uk.streets'))[0]} {rng.choice(UK_SUFFIXES)}"
    if rng.random() < 0.3:
        flat = (
            f"Flat {rng.randint(1, 48)}",
            f"Flat {rng.randint(1, 9)}{rng.choice('AB')}",
            rng.choice(UK_HOUSES[corpus]),
        )
        street = f"{rng.choice(flat)}, {street}"
    code = postcode(rng, area, int(highest))
    form = rng.choices(("{}, {}, {}", "{}, {} {}", "{0}, {2}", "{0}, {1}", "{0}"), (40, 25, 15, 10, 10))[0]
    return form.format(street, town, code)


def english(rng: Random, corpus: str) -> str:
    """An American or a British address."""
    return american(rng, corpus) if rng.random() < 0.58 else british(rng, corpus)


def _room(rng: Random) -> str:
    floor, door = rng.randint(1, 32), rng.randint(1, 6)
    room = f"{floor}{door:02d}"
    block, entry = rng.randint(1, 28), rng.randint(1, 4)
    form = rng.choice(("{0}栋{1}单元{2}室", "{0}号楼{2}", "{0}幢{1}单元{2}", "{0}栋{2}", "{3}座{2}室",
                       "{0}号楼{1}单元{2}室", "{0}-{1}-{2}", "{0}栋{2}房"))  # fmt: skip
    return form.format(block, entry, room, rng.choice("ABC"))


def _inside(rng: Random, corpus: str, province: str, towns: str) -> str:
    road = rng.choice(rows(f"{corpus}.zh.roads"))[0]
    road += "路" if road[-1] in "东南西北中环" else rng.choice(("路", "路", "路", "街", "大道", "北路", "东街"))
    estate, number = rng.choice(rows(f"{corpus}.zh.estates"))[0], rng.randint(1, 699)
    town = rng.choice(towns.split())
    if province == SHANGHAI and rng.random() < 0.6:
        return f"{road}{number}弄{rng.randint(1, 90)}号{rng.randint(1, 18)}0{rng.randint(1, 4)}室"
    if town.endswith(("镇", "乡")) and rng.random() < 0.25:
        village = rng.choice("王李张陈刘杨赵黄周吴") + rng.choice(("家村", "庄村", "家湾村", "店村"))
        return f"{town}{village}{rng.randint(1, 12)}组{rng.choice(('', f'{rng.randint(1, 160)}号'))}"
    prefix = town if town.endswith("街道") and rng.random() < 0.3 else ""
    form = rng.choice(("{road}{number}号{estate}{room}", "{road}{number}号{room}", "{road}{estate}{room}",
                       "{estate}{room}", "{road}{number}号{office}室"))  # fmt: skip
    office = f"{rng.randint(1, 30)}0{rng.randint(1, 9)}"
    return prefix + form.format(road=road, number=number, estate=estate, room=_room(rng), office=office)


def chinese(rng: Random, corpus: str) -> str:
    """A mainland address from the province, the city, the district or the road down to the door."""
    _, province, city, county, towns = rng.choice(rows(f"{corpus}.zh.places"))
    inside = _inside(rng, corpus, province, towns)
    if inside.startswith(tuple(towns.split())):
        return rng.choice((f"{province}{city}{county}", f"{city or province}{county}")) + inside
    short = province.removesuffix("省") if rng.random() < 0.3 and province.endswith("省") else province
    heads = (f"{short}{city}{county}", f"{city or province}{county}", county, "")
    space = " " if rng.random() < 0.1 else ""
    head = rng.choices(heads, (48, 30, 10, 12))[0]
    return f"{head}{space}{inside}" if head else inside
