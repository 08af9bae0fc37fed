"""Street addresses in Chinese: from a province, a town or a road down to a room."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from governance.privacy.overlaps import Find
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import word_list
from governance.privacy.scripts import HAN

_NUMBER = r"(?:\d{1,5}(?:[-—~之]\d{1,4})?|[一二三四五六七八九十百零〇两]{1,5}|[甲乙丙丁]\d{0,4})"
_ROAD = (
    rf"{HAN}{{1,7}}?(?:大道|大街|路|街|巷|弄|胡同|道|里|条|公路|环线|高速)(?:[东南西北中]{{1,2}}(?:段|路|街|侧)?"
    rf"|{_NUMBER}(?:段|巷|弄|条)|[东南西北]段)?"
)
_ESTATE = (
    rf"(?:{HAN}|[A-Za-z0-9·]){{1,12}}?(?:小区|花园|家园|公寓|大厦|广场|新村|国际|中心|庄园|雅苑|华庭|名苑|名都|佳园"
    rf"|嘉园|苑|庭|城|府|湾|郡|院|园|里|村|厦|校区|宿舍|大学|学院|中学|小学|医院|园区|工业园|产业园|科技园|商城"
    rf"|市场|酒店|大楼|楼|馆|厂|社区|公馆|墅|邸|居|坊|屯|庄|组|队)"
)
_DETAIL = (
    rf"(?:(?:第)?{_NUMBER}\s?(?:号院|号楼|号|栋|幢|座|单元|层|楼|室|房|户|弄|门|组|队|巷|街坊|期|区)"
    rf"|[A-Za-z]\s?(?:座|栋|区|幢|单元)"
    rf"|(?!(?:19|20)\d\d-)[A-Za-z]?\d{{1,4}}(?:-\d{{1,4}}){{1,3}}(?![\d天日个件小周元])(?:室|房|号)?"
    rf"|[A-Za-z]?\d{{3,4}}(?![\d年月日元.:/-])(?:室|房)?)"
)
_BUILDING = (
    rf"(?:(?:第)?{_NUMBER}\s?(?:号院|号楼|栋|幢|座|单元|室)|[A-Za-z]\s?(?:座|栋|幢)|(?!(?:19"
    rf"|20)\d\d-)\d{{1,4}}(?:-\d{{1,4}}){{1,3}})"
)
_TOWN = rf"{HAN}{{1,6}}?(?:街道|镇|乡|开发区|新区|高新区|工业区|苏木)"
_SHORT_CITIES = (
    "北京|上海|天津|重庆|广州|深圳|杭州|南京|苏州|成都|武汉|西安|郑州|长沙|青岛|宁波|无锡|佛山|东莞|合肥|大连|福州"
    "|厦门|哈尔滨|济南|温州|南宁|长春|泉州|石家庄|贵阳|南昌|金华|常州|南通|嘉兴|太原|徐州|惠州|珠海|中山|台州|烟台"
    "|兰州|绍兴|海口|扬州|汕头|洛阳|乌鲁木齐|昆明|沈阳"
)
_PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川"
    "|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)


_STARTED = r"(?<![\u3400-\u9fff])|(?<=[在到送往至寄发址是住去从为给位于])"
_VERB = re.compile(
    r"(?:我们?|他们?|她|就|直接|帮忙|麻烦|请|快递|货|都|应该|收货|地址|现在|已经|重新|改|换|要)*(?:住在|放在|送到"
    r"|寄到|发到|送往|寄往|发往|送|寄|发|在|到|是|住|去|从|为|至"
    r"|位于)(?=..)"
)
_ROUGH = re.compile(r"[路街巷弄道号栋幢座室楼村镇乡区县苑园城府院厦组里]")


@functools.cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Addresses that begin with a region, from the official list, so that no word before them is taken along; and those
    that begin with a road or an estate."""
    region = "|".join(sorted(word_list("places.zh"), key=lambda name: (-len(name), name)))
    suffix = "省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区"
    known = rf"(?:(?:{_PROVINCES})(?:{suffix})?|{region}|(?:{_SHORT_CITIES})市?)"
    gap = r"[\s,，·]{0,2}"
    regions = rf"(?:{known}{gap}){{1,4}}(?:{HAN}{{1,5}}?[市县区旗]{gap}){{0,2}}"
    estate = rf"(?:{_ESTATE}|{HAN}{{2,8}}?(?={gap}{_BUILDING}))"
    rest = rf"(?:{gap}{estate}(?={gap}{_DETAIL})|{gap}{_DETAIL}){{0,8}}"
    town = rf"(?:{_TOWN}{gap})?"
    return (
        re.compile(
            rf"{regions}{town}(?:{_ROAD}{gap}(?:{_DETAIL}|{estate}{gap}{_DETAIL})|{estate}{gap}{_DETAIL}){rest}"
            rf"|(?:{known}{gap}){{2,4}}{town}(?:{_ROAD}|{_ESTATE})(?!店)"
        ),
        re.compile(
            rf"(?:{_STARTED})(?:{town}{_ROAD}{gap}{_DETAIL}{rest}|{_ESTATE}{gap}{_DETAIL}(?:{gap}{_DETAIL}){{1,5}})"
        ),
    )


@dataclass(frozen=True, slots=True)
class ChineseAddresses:
    """Finds Chinese addresses."""

    entity: str = "STREET_ADDRESS"

    def needs(self, signs: Signs) -> bool:
        """Whether there is a character that ends the name of a place."""
        return signs.han and _ROUGH.search(signs.text) is not None

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text."""
        with_region, without = _patterns()
        taken = [match.span() for match in with_region.finditer(signs.text)]
        regions, following = [*taken, (len(signs.text), len(signs.text))], 0
        for match in without.finditer(signs.text):
            while regions[following][1] <= match.start() < len(signs.text):
                following += 1
            if match.end() <= regions[following][0]:
                verb = _VERB.match(match[0])
                taken.append((match.start() + (verb.end() if verb else 0), match.end()))
        for start, end in taken:
            yield Find(self.entity, start, start + len(signs.text[start:end].rstrip(" ,，·\n")), 0.7)
