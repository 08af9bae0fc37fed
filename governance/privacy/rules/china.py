"""Patterns for China's identity documents, company codes, plates, accounts and couriers."""

from __future__ import annotations

import re
from collections.abc import Callable

from governance.privacy import checks
from governance.privacy.rules.lexicon import spelt
from governance.privacy.rules.rule import Rule
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import EDGE, END, words

_IS = r"\s{0,2}(?:is|was|是|为|叫|[:=])"
_ID = words(
    "身份证", "证件号", "证件", "居民证", "实名",
    "id card", "identity card", "resident id", "national id", "identity number", "id no", "id number", "id",
)  # fmt: skip
_RESIDENT = r"[1-9]\d{5}[ -]?(?:18|19|20)\d{2}[ -]?\d{4}[ -]?\d{3}[0-9Xx]"
_GADGET = r"(?:iphone|ipad|airpods?|macbook|galaxy|android|windows|redmi|xiaomi|huawei|kindle|xbox)[-_\d]"
_ACCOUNT = (
    rf"(?!{_GADGET})"
    r"(?=[A-Za-z0-9-]{0,19}[0-9_])(?=[A-Za-z0-9_-]{0,17}[a-z]{3})[A-Za-z][A-Za-z0-9_-]{5,19}(?![@.])"
)
"""A name with a digit or an underscore, and letters enough to be no article's."""
_FAR, _NEAR = (120, 60), (40, 40)
_OTHERS = ("wechat", "weixin", "alipay", "payment", "please", "iphone", "android")
_NUMBERED = (
    "订单", "订单号", "订单号码", "订单编号", "货号", "条码", "条形码", "编码", "流水号", "商品ID",
    "款号", "型号", "序列号",
)  # fmt: skip
_NOT_ORDER = "".join(rf"(?<!{word}{gap})" for word in _NUMBERED for gap in ("", "[:#是为 ]", "[:是为] "))
_PERMIT = words(
    "通行证", "回乡证", "台胞证", "还乡证", "港澳证", "回乡卡", "返乡证", "往来港澳", "travel permit",
    "home return permit",
)  # fmt: skip
_WECHAT_NEAR = words(
    "微信(?!支付)", "薇", "威信", "朋友圈", "好友", "绿泡泡", "卫星", "微我", "微聊", "v信", "v❤", "[我你他她]v",
    "we ?chat", "weixin", "wx", "vx",
)  # fmt: skip
_QQ_NEAR = words(r"(?<!@)QQ(?!\.)", "扣扣", "抠抠", "企鹅", "🐧", "[我你他她个]q", "q[群号币上我你]", "绿钻")
_ALIPAY_NEAR = words("支付宝(?!付款)", "之付宝", "支付bao", "花呗", "打钱", "转账", "alipay", "zfb")
_PARCEL = words(
    "快递", "快件", "拦截", "签收底单", "[这那]个?件(?=[到在怎还没])", "tracking", "派送", "派件", "揽收", "驿站",
    "代收", "查件", "邮寄", "寄的", "寄了", "发的", "物流号", "跨越", "安能", "宅急送", "运单", "物流",
    "(?<![订工])单号", "包裹", "顺丰", "圆通", "中通", "申通", "韵达", "百世", "京东物流", "德邦", "极兔", "邮政",
    "EMS", "菜鸟", "丹鸟", "取件", "寄件", "面单", "退货单", "异常件", "签收", "拒收", "改派", "转运", "中转",
    "给[你您亲]发", "在途", "滞留", "丢件", "补发", "到哪",
)  # fmt: skip
_PROVINCE = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


def _wechat(signs: Signs) -> bool:
    return signs.han or any(word in signs.lower for word in ("wechat", "we chat", "weixin", "wx", "vx"))


def account_name(value: str) -> int:
    """A user name, and not the next word of the sentence: letters alone count if no dictionary has them."""
    plain = value.lower()
    word = plain.isalpha() and (plain.startswith(_OTHERS) or spelt(plain))
    return 0 if word or re.match(_GADGET, plain) else len(value)


def _qq(signs: Signs) -> bool:
    return signs.digits > 4 and any(word in signs.lower for word in ("q", "扣", "抠", "企鹅", "🐧", "绿钻"))


def _near(
    entity: str,
    value: str,
    needs: Callable[[Signs], object],
    context: re.Pattern[str],
    reach: tuple[int, int],
    supported: float,
) -> Rule:
    """An account that no word right before it introduces, somewhere near a word for what it is an account of."""
    return Rule(
        entity=entity,
        pattern=re.compile(rf"{EDGE}{value}{END}"),
        needs=needs,
        context=context,
        reach=reach,
        supported=supported,
        shops_own=True,
    )


RULES: tuple[Rule, ...] = (
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{EDGE}{_RESIDENT}{END}"),
        needs=lambda signs: signs.digits > 16,
        # A mistyped digit must not save the rest: a real date in the middle is rare enough by chance.
        check=checks.resident_date,
        checked=0.8,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{EDGE}{_RESIDENT}{END}"),
        needs=lambda signs: signs.digits > 16,
        check=checks.resident_id,
        checked=1.0,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{EDGE}(?:[1-9]\d{{16}}[0-9Xx]|[1-9]\d{{5}} \d{{8}} \d{{3}}[0-9Xx]){END}"),
        needs=lambda signs: signs.digits > 16,
        context=_ID,
        supported=0.7,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{EDGE}[1-9]\d{{14}}{END}"),
        needs=lambda signs: signs.digits > 14,
        context=_ID,
        loose=checks.legacy_resident_id,
        supported=0.75,
    ),
    Rule(
        entity="CN_RESIDENT_ID",
        pattern=re.compile(rf"{EDGE}[1-9]\d{{14}}{END}"),
        needs=lambda signs: signs.digits > 14,
        context=words("身份证", "证件号"),
        supported=0.6,
    ),
    Rule(
        entity="CN_COMPANY_ID",
        pattern=re.compile(rf"{EDGE}[0-9A-HJ-NPQRTUWXY]{{2}}\d{{6}}[0-9A-HJ-NPQRTUWXY]{{10}}{END}", re.IGNORECASE),
        needs=lambda signs: signs.digits > 7,
        check=checks.company_id,
        checked=1.0,
        context=words("信用代码", "信用码", "税号", "纳税人识别号", "credit code", "tax id", "开票", "抬头"),
        supported=0.7,
        shops_own=True,
    ),
    Rule(
        entity="CN_PASSPORT",
        pattern=re.compile(
            rf"{EDGE}(?:[EGDSPHM]\d{{8}}|[EG][A-Z]\d{{7}}|1[45]\d{{7}}|[KH]J?\d{{8}}|[A-Z]{{1,2}}\d{{7}}){END}",
            re.IGNORECASE,
        ),
        needs=lambda signs: signs.digits > 6,
        context=words("护照", "passport"),
        supported=0.85,
    ),
    Rule(
        entity="CN_TRAVEL_PERMIT",
        pattern=re.compile(
            rf"{EDGE}(?:[CWHMLT][A-Z]?\d{{7,8}}(?:\d{{2}})?|\d{{8}}(?:\d{{2}})?(?:\([A-Z0-9]\))?){END}", re.IGNORECASE
        ),
        needs=lambda signs: signs.digits > 6,
        context=_PERMIT,
        supported=0.85,
    ),
    Rule(
        entity="CN_LICENSE_PLATE",
        pattern=re.compile(
            rf"(?:[{_PROVINCE}][A-HJ-NP-Z][·.• -]?(?:[A-HJ-NP-Z0-9]{{4}}[A-HJ-NP-Z0-9挂学警港澳]"
            rf"|[DFABCEGHJK][A-HJ-NP-Z0-9]\d{{4}}|\d{{5}}[DFABCEGHJK])"
            rf"|使\d{{6}}|\d{{6}}使|W[Jj][{_PROVINCE}]?\d{{4,5}}){END}",
            re.IGNORECASE,
        ),
        needs=lambda signs: signs.han and signs.digits > 1,
        check=checks.plate,
        checked=0.7,
    ),
    Rule(
        entity="WECHAT_ID",
        pattern=re.compile(
            rf"(?:(?:微信|薇信|威信|wei信|绿泡泡|v信|维信|薇|(?<![A-Za-z])(?:we\s?chat|wx|vx|weixin|v))(?:号码?|id"
            rf"|账号|帐号"
            rf"|同号)?{_IS}\s{{0,3}}"
            rf"|(?:微信|薇信|威信|v信|(?<![A-Za-z])(?:we\s?chat|wx|vx))\s?(?:号码?|id|账号|帐号)\s{{0,3}}"
            rf"|(?:微信|薇信|威信|(?<![A-Za-z])(?:wx|vx)(?!id))\s{{0,2}}|微信[^A-Za-z0-9\n]{{0,12}}?"
            rf"|加(?:我|下|一下|个)?(?:微信|薇信?|威信|v信?|vx|wx)\s{{0,3}}[:]?\s{{0,2}})"
            rf"(?P<value>[A-Za-z][A-Za-z0-9_-]{{5,19}}|\d{{5,12}}){END}",
            re.IGNORECASE,
        ),
        needs=_wechat,
        check=account_name,
        checked=0.7,
        shops_own=True,
    ),
    Rule(
        entity="WECHAT_ID",
        pattern=re.compile(rf"{EDGE}wxid_[a-z0-9]{{8,20}}{END}"),
        needs=lambda signs: "wxid_" in signs.text,
        score=0.8,
    ),
    _near("WECHAT_ID", _ACCOUNT, _wechat, _WECHAT_NEAR, _FAR, 0.5),
    _near("QQ_ID", r"[1-9]\d{5,10}", _qq, _QQ_NEAR, _NEAR, 0.45),
    Rule(
        entity="QQ_ID",
        pattern=re.compile(
            rf"(?:(?<![A-Za-z])QQ|扣扣|企鹅|球球|加(?:我|下|一下|个)?(?:Q|扣)"
            rf"|(?<![A-Za-z])Q(?=[:号我\d ])|扣(?:我|一下))[^\dA-Za-z.\n。;!?]{{0,10}}?(?P<value>[1-9]\d{{4,10}}){END}",
            re.IGNORECASE,
        ),
        needs=_qq,
        score=0.7,
        shops_own=True,
    ),
    Rule(
        entity="ALIPAY_ID",
        pattern=re.compile(
            rf"(?:支付宝[^A-Za-z0-9\n]{{0,10}}?|(?<![A-Za-z])(?:alipay|zfb)\s?)(?:账号|帐号|账户|号码?|id|uid"
            rf"|account)?{_IS}?\s{{0,3}}"
            rf"(?P<value>2088\d{{12}}|[A-Za-z][A-Za-z0-9_.-]{{4,29}}){END}",
            re.IGNORECASE,
        ),
        needs=lambda signs: "支付宝" in signs.text or "alipay" in signs.lower or "zfb" in signs.lower,
        check=account_name,
        checked=0.75,
    ),
    _near("ALIPAY_ID", _ACCOUNT, lambda signs: signs.han, _ALIPAY_NEAR, _FAR, 0.5),
    Rule(
        entity="ALIPAY_ID",
        pattern=re.compile(rf"{EDGE}2088\d{{12}}{END}"),
        needs=lambda signs: "2088" in signs.text,
        context=words("支付宝", "alipay", "zfb", "收款", "打款"),
        supported=0.7,
    ),
    Rule(
        entity="TRACKING_NUMBER",
        pattern=re.compile(
            rf"{EDGE}(?<![A-Z]-){_NOT_ORDER}(?:[A-Z]{{0,4}}\d{{10,18}}|[A-Z]{{2}}\d{{9}}[A-Z]{{2}}"
            rf"|JD[A-Z0-9]{{8,16}}(?:-\d-\d-?)?){END}",
            re.IGNORECASE,
        ),
        needs=lambda signs: signs.han and signs.digits > 7,
        context=_PARCEL,
        supported=0.6,
    ),
    Rule(  # by a courier's own prefix
        entity="TRACKING_NUMBER",
        pattern=re.compile(
            rf"{EDGE}(?:SF\d{{12,13}}|(?:YT|JT|ZT)\d{{13}}|DPK\d{{12}}|JD(?:V[A-Z]|00)\d{{11}}){END}"
            rf"|(?:{EDGE}|(?<=EMS))E[A-Z]\d{{9}}CN{END}",
            re.IGNORECASE,
        ),
        needs=lambda signs: signs.han and signs.digits > 8,
        score=0.5,
    ),
    Rule(  # by the first digits and the length of ZTO's, STO's and Yunda's numbers
        entity="TRACKING_NUMBER",
        pattern=re.compile(rf"{EDGE}{_NOT_ORDER}(?:7[3568]\d{{12}}|77\d{{13}}|4[36]\d{{13}}){END}"),
        needs=lambda signs: signs.han and signs.digits > 13,
        score=0.45,
        shops_own=True,
    ),
    Rule(
        entity="TRACKING_NUMBER",
        pattern=re.compile(rf"{EDGE}JD[A-Z0-9]{{9,16}}(?:-\d-\d-?)?{END}", re.IGNORECASE),
        needs=lambda signs: signs.han and "jd" in signs.lower and signs.digits > 7,
        context=words("京东"),
        supported=0.6,
    ),
)
"""Documents, company codes, plates, accounts and courier numbers."""
