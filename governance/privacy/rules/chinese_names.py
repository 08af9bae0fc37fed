"""Names of people in Chinese: a family name behind a word that introduces one, or before a title."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from governance.privacy.overlaps import MODEL, Find
from governance.privacy.rules.goods import Sells
from governance.privacy.rules.names import known
from governance.privacy.rules.signs import Signs
from governance.privacy.rules.vocabulary import word_list
from governance.privacy.rules.weighing import CERTAIN, UNSURE
from governance.privacy.scripts import HAN

_COMPOUND = (
    "欧阳|上官|司马|诸葛|东方|皇甫|尉迟|公孙|慕容|司徒|令狐|夏侯|轩辕|端木|百里|呼延|东郭|南宫|西门|长孙|宇文|公羊"
    "|澹台|公冶|宗政|濮阳|淳于|单于|太叔|申屠|仲孙|钟离|鲜于|闾丘|独孤|拓跋|完颜|赫连"
)
_SINGLE = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏"
    "钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
    "庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐沿梅莫庄辛管祝左涂谷祁时舒耿牟卜詹关苗凌费"
    "纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包司柏宁柯阮桂闵解强柴华车冉房边辜吉饶刁瞿戚丘古米池滕晋"
    "苑邬臧畅宫来嵺苟全褚廉简娄盖符奚木穆党燕郎邸冀谈姬屠连郜晏栾郁商蒙计喻揭窦迟宇敖糜鄢冷卓花仇艾蓝都巩稽井练仲乐"
    "虞卞封竺冼原官衣楚佟栗匡宗应台巫鞠僧桑荆谌银扬明沙薄伏岑习胥保和蔺"
    "肖闫付佘邝阚亓仝闻宣逯邰尚麦帅"
)
_SURNAME = rf"(?:{_COMPOUND}|[{_SINGLE}])"
_NOT_GIVEN = (
    "的了是在有和就不也都很到说要去会着没看好吗呢吧啊哦呀嘛么这那我你他她它们给跟把被让向从对为与或及但而且如果因所"
    "以请谢麻您已还再又才只最更太非常真件款双条个号码日月年元块钱次天"
)
_GIVEN = rf"(?:(?![{_NOT_GIVEN}]){HAN})"
_FULL = rf"{_SURNAME}{_GIVEN}{{1,2}}"
_PARTICLE = "[的了吗呢吧啊哦呀嘛么在是收送签说打接拿取领买家等]"
_TITLE = (
    r"(?:女士|先生|小姐|太太|老师|师傅|阿姨|大姐|大哥|叔叔|医生|经理|总|主任|同学|同志|店长|教授|律师|老板|主管"
    r"|客服|快递员|女生|姐|哥)"
)
_CUE = (
    r"(?:我叫|名叫|叫做|本人|姓名|名字|真名|实名|收件人|收货人|收件|收货|寄件人|发件人|联系人|经办人|户名|开户名"
    r"|开户人|持卡人|账户名|机主|车主|业主|抬头|签收人|签收|代收|客户|买家|顾客|会员"
    r"|购买人|申请人|投诉人|负责人|经手人|"
    r"客服|专员|快递员|小哥|骑手|司机|店员|导购|老师|师傅|同事|朋友|闺蜜|室友|邻居|妈妈|妈|爸爸|爸|老婆|老公|女儿"
    r"|儿子|姐姐|妹妹|哥哥|弟弟|奶奶|爷爷|外婆|外公|姥姥|媳妇|对象|侄女|外甥|表姐"
    r"|表妹|堂哥|"
    r"尊敬的|亲爱的|(?:售后|仓库|客服|前台|财务|门店|店里|隔壁|楼下|公司|物业|导购)的|我是|这是|就是我|找|联系|转给"
    r"|寄给|发给|送给|交给|给|叫|姓)"
)
_AFTER = (
    rf"(?=$|[^\u3400-\u9fff]|收|的|来|在|已|代|签|买|说|打|接|去|帮|取|领|也|她|他|我|电话|手机|联系|地址|身份证"
    rf"|{_TITLE}|谢|吧|呢|啊|哈|呀|先)"
)
_STRICT_CUE = re.compile(
    rf"(?:{_CUE})(?:是|为|叫|名|姓名|名字|：|:|\s|，|,|一下|名是|改成|改为|换成|写|填){{0,3}}(?P<value>{_FULL}){_AFTER}"
)
_FIELD = re.compile(
    rf"(?:户名|收件人|收货人|姓名|我叫|联系人|持卡人|实名)[是为::\s]{{0,3}}(?P<value>{_SURNAME}{HAN}{{1,2}})(?=$"
    rf"|[^\u3400-\u9fff])"
)
_BEFORE_TITLE = re.compile(
    rf"(?<![\u3400-\u9fff])(?P<value>{_SURNAME}{_GIVEN}{{0,2}}){_TITLE}"
    rf"|(?<!谢)(?P<second>{_SURNAME}){_TITLE}(?![\u3400-\u9fff])"
)
_THIRD = re.compile(rf"(?!{_PARTICLE}){HAN}(?=$|[^\u3400-\u9fff]|{_TITLE})")
_WORDS = re.compile(
    r"唐宋|苏械|米白|米杏|成犬|毛重|孔深|季焕新|于[明今次本后]|王青提|李子|金重|乌克丽丽|黄皮|白皮|黄[一二]白|顾客|顾虑|夏凉|都[问说在能会有要想来去买用穿喜]|关机|关于|查收|方便|常用|明天|安全|金额|支付|车牌|任何|全部|单号|单子|单价|程序|包裹|高峰|高级|温馨|和平|时间"
    r"|成功|解决|通知|封掉|于是|向上|向下|金色|白色|黄色|蓝色|红包|党员|荣誉|都是"
    r"|都行|"
    r"应该|应急|万一|万能|段时间|段位|白天|黑色|平时|平台|高兴|高端|马上|马桶|毛衣|毛巾|毛绒|皮衣|皮鞋|盛夏|夏天"
    r"|夏季|冬装|秋季|花色|花园|云端|水洗|水果|江景|湖边|石材|金属|钟表|年货|年前|"
    r"左右|左边|右边|计划|经常|经理|利用|沙发|管理|商品|商家|商场|强烈|景点|束腰|井盖|居然|解释|越来|边上|乐意|明显"
    r"|明细|扬声|阳台|官方|官网|原价|包邮|包装|包包|都没|那个|那位|那么|宝贝|宝宝|贝贝|方式|花呗|付宝|付(?=[款费钱了过完邮运差定全尾])|尚[未且可]|谢谢|帅气|帅哥|麦片|麦克|丛林|宣传"
)
"""Words that begin like a name."""
_JOBS = re.compile(
    r"司机|安装|文员|包装|管理|高级|商务|部门|程序|保洁|保安|门店|成年|安检|明星|游客|单位|车间|平台|家长|店长|前台"
    r"|房东|时尚|空姐|小(?=姐)|大(?=[姐哥])"
)
"""What stands before a title and is no name, though it begins like one."""
_SURNAME_ONLY = re.compile(rf"(?:免贵姓|我姓|姓)(?:是|：|:|\s){{0,2}}(?P<value>{_SURNAME})(?=$|[^\u3400-\u9fff]|，|。)")
_COMPOUND_NAME = re.compile(rf"(?P<value>(?!东方|南宫|西门|单于|百里|长孙)(?:{_COMPOUND}){_GIVEN}{{1,2}})")
_LIST = re.compile(
    rf"(?P<value>{_SURNAME}{HAN}?(?!{_PARTICLE}){HAN})(?=[\s,，、]{{0,3}}(?:(?:\+?86[- ]?)?1[3-9]\d{{9}}"
    rf"|1[3-9]\d[ -]\d{{4}}))"
)
_PRODUCT = re.compile(
    r"系列|款|牌|同款|联名|跑鞋|球鞋|运动鞋|鞋|凉茶|辣酱|酱|风格|家的|旗舰店|专卖店|官方|官网|护手霜|香水|口红|包包"
    r"|牌子|的(?:面膜|口红|鞋|包|茶|酱)|面膜|产品|手机|电器|刀|奶粉|零食|图案"
    r"|之道|首发|玩偶|盲盒|贴纸|铺"
)

_THINGS = re.compile(r"小(?:雨|雪|爱|度|艺|苍兰|雏菊|白鞋|黑裙|龙虾|家电|票|程序|样|熊|红书|分子|番茄)")
_EVENT = re.compile(r".[节款]\Z")
_ROBOT = re.compile(
    r"(?:品牌[::：]\s?|机器人|智能客服|智能助[手理]|虚拟(?:客服|助手|主播)|(?<![A-Za-z])AI ?(?:客服|助手|小)?)\Z"
)

_GOODS = re.compile(
    r"款|尺码|码数|规格|材质|面料|包邮|颜色|色号|色系|库存|现货|限量|限时|满减|立减|直降|优惠|券|品牌|型号|产地|适用|功率|容量"
    r"|含量|保质期|口味|套装|礼盒|正品|旗舰|上新|首发|到手价|秒杀|补贴|加赠|盆栽|花苗|毛重|净重|箱规|入仓|上架|下架|批次|SKU"
    r"|\d ?(?:cm|mm|kg|g|ml|l|w|斤|寸|英寸|片|支|瓶|袋|盒|箱|双|条|件|只|包|米|升|度|元)|[¥￥%％㎡]",
    re.IGNORECASE,
)
_SOMEBODY = re.compile(
    r"我|你|您|他(?!们家)|她|咱|先生|女士|小姐|客户|买家|卖家|收件|收货|寄件|电话|手机号|联系|地址|签收|师傅|快递员|骑手|老师"
    r"|退款|审批|定金|拒付|扣款|拉黑|面谈|备注|委托|装车|质检|顶班|发错|寄|仓库|顾问|柜台|同事|朋友|闺蜜|妈|爸|老婆|老公|姐|哥|叫|姓|名|证件|身份证|护照|账号|账户|微信|投诉|反馈|转账|付款|汇款|户名|请|帮|麻烦|找|转给"
    r"|@|1[3-9]\d{9}|、\w{2,3}、"
)
"""In a text about goods and nobody, what a model takes for a name is rather a brand, a variety or a word."""
_BY = frozenset("由与和跟受给")
"""What says that a person follows, whatever the text is about."""


def sells(text: str) -> bool:
    """Whether a Chinese text is about goods and nobody.

    >>> sells("四件套低至¥169，限量300套"), sells("我买的四件套限量款还没到")
    (True, False)
    """
    return _GOODS.search(text) is not None and _SOMEBODY.search(text) is None


def branded(text: str, start: int, end: int) -> bool:
    """Whether a brand or a line of products is meant."""
    brands = word_list("brands.zh")
    named = text[start:end] in brands or any(text[start:last] in brands for last in range(start + 3, end + 4))
    return named or _PRODUCT.match(text, end) is not None or _ROBOT.search(text, max(0, start - 8), start) is not None


@dataclass(frozen=True, slots=True)
class ChineseNames:
    """Finds names by what introduces them."""

    entity: str = "PERSON"

    def needs(self, signs: Signs) -> bool:
        """Whether there is a Chinese character."""
        return signs.han

    def finds(self, signs: Signs) -> Iterator[Find]:
        """All finds in a folded text."""
        text = signs.text
        for pattern, groups in _PATTERNS:
            for match in pattern.finditer(text):
                for start, end in (match.span(group) for group in groups if match[group]):
                    if not (branded(text, start, end) or _JOBS.match(text, start) or _WORDS.match(text, start)):
                        yield Find("PERSON", start, end, 0.6)


_PATTERNS = (
    (_STRICT_CUE, ("value",)),
    (_FIELD, ("value",)),
    (_BEFORE_TITLE, ("value", "second")),
    (_SURNAME_ONLY, ("value",)),
    (_LIST, ("value",)),
    (_COMPOUND_NAME, ("value",)),
)


def weighed(text: str, start: int, end: int, sold: Sells) -> Find | None:
    """What a model's find is worth, a third character that goes with it included; None: it is no name."""
    value = text[start:end]
    if len(value) == 2 and value[0] in _SINGLE and _THIRD.match(text, end):
        end += 1
    latin = value.isascii()  # one word of Latin letters among Han: a name only if a list has it, and no model or brand
    if (latin and value.isupper()) or _EVENT.search(value) or _THINGS.match(value):
        return None
    too_short = len(value) < 2 and not re.match(_TITLE, text[end : end + 2]) and not text[:start].endswith("姓")
    # A Chinese name begins with a family name, or is one that people call each other by: 小李, 阿梅.
    stranger = not latin and not re.match(rf"{_SURNAME}|[小老阿]", value) and not re.match(_TITLE, text[end : end + 2])
    unlikely = (
        stranger or branded(text, start, end) or _WORDS.fullmatch(value) or (latin and not known(value)) or too_short
    )
    if unlikely:
        return None
    goods = text[max(0, start - 1) : start] not in _BY and sold()
    return Find("PERSON", start, end, UNSURE if goods else CERTAIN, MODEL)
