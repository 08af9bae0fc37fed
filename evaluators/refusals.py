"""Does an answer read like a refusal, or like "I don't know"? By phrases, in English and Chinese."""

from __future__ import annotations

import re

ENGLISH = re.compile(
    r"""
    ^\W*(?:(?:i['’]m|i\ am|we['’]re|we\ are)\ (?:very\ |so\ |really\ |truly\ )?sorry|sorry|my\ apologies|apologies
        |i\ apologi[sz]e|we\ apologi[sz]e|unfortunately|regrettably)\b[^.!?\n]{0,80}?
        \b(?:can(?:['’]t|not|\ not)|unable\ to|not\ able\ to|won['’]t|will\ not|must\ decline|not\ allowed\ to)\b
    |\b(?:i|we)(?:['’]m|['’]re|\ am|\ are)?\ (?:can(?:['’]t|not|\ not)|won['’]t|will\ not|unable\ to|not\ able\ to
        |not\ allowed\ to|not\ permitted\ to)\s(?:\w+\s)?
        (?:help(?!\ but)|assist|answer|comply|fulfil+|do\ that|do\ this|discuss|continue|provide\ (?:that|this)
        |support\ (?:that|this)|respond)\b
    |\b(?:i|we)\ (?:must|have\ to|need\ to)\ (?:respectfully\ )?(?:decline|refuse)\b
    |\bi['’]d\ (?:rather|prefer)\ not\b
    |\bas\ an?\ (?:ai|artificial\ intelligence|language\ model|large\ language\ model)\b[^.!?\n]{0,60}
        \b(?:can(?:['’]t|not|\ not)|unable|not\ able|won['’]t|will\ not|don['’]t|do\ not)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How refusals in English start or what they say. Ours and rough: made from what assistants commonly say."""

CHINESE = re.compile(
    r"""
    ^\W*(?:非常|很|十分|真的|实在)?(?:抱歉|对不起|不好意思|遗憾)[^。！？\n]{0,30}?
        (?:无法|不能|没办法|没法|不便(?:透露|回答|提供|告知|说明)|不可以|无权|拒绝|帮不了)
    |(?:我|我们|本店|小助手|小二)(?:暂时|目前|现在|恐怕|可能|也|还|实在)*(?:无法|不能|没办法|没法|不便|不可以)
        (?:为您|为你|帮您|帮你|给您|给你|向您|向你|直接|继续)*
        (?:回答|提供(?:帮助|协助|此|该|这)|协助|帮助|帮忙|处理(?:此|该|这)|满足|讨论|透露|完成(?:此|该|这)|做到|回复)
    |(?:作为|身为)(?:一个|一名|一款)?\s*(?:AI|人工智能|(?:大型?)?语言模型)[^。！？\n]{0,30}?(?:无法|不能|没有能力|不会|不便)
    |(?:必须|只能|需要)(?:婉言)?(?:拒绝|谢绝)(?:您|你|此|该|这)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""The same in Chinese."""
HEAD = 400
"""Characters of an answer that are looked at: refusals come first, and a long answer may quote one."""


def refuses(output: str) -> bool:
    """Whether an answer reads like a refusal, by phrases in English and Chinese.

    Rough: a refusal in other words, or in another language, is missed, and an answer that says
    politely what a shop can't do ("抱歉，我们无法退运费") counts as one. Give a column `refused` where it matters.

    >>> refuses("I'm sorry, but I can't help with that."), refuses("抱歉，我无法回答这个问题。")
    (True, True)
    >>> refuses("Sorry for the delay! Your parcel arrives on Friday."), refuses("很抱歉让您久等了，包裹周五送达。")
    (False, False)
    """
    head = output[:HEAD]
    return bool(ENGLISH.search(head) or CHINESE.search(head))


UNKNOWN_ENGLISH = re.compile(
    r"""
    \b(?:i|we)\ (?:really\ |honestly\ )?(?:do\ not|don['’]t)\ (?:know|have\ (?:that|this|any|enough|the)\ information)\b
    |\b(?:i['’]m|i\ am|we['’]re|we\ are)\ not\ sure\b
    |\b(?:i|we)\ (?:can(?:['’]t|not|\ not)|could(?:n['’]t|\ not))\ (?:find|see|tell)\b
    |\b(?:text|context|policy|document|passage|page|information|article|faq)s?\b[^.!?\n]{0,40}?
        \b(?:do(?:es)?\ not|do(?:es)?n['’]t|did\ not|didn['’]t)\ (?:\w+\ )?
        (?:say|mention|state|specify|contain|include|cover|provide|tell|answer|address|give)\b
    |\b(?:is|are|was)(?:\ not|n['’]t)\ (?:\w+\ )?(?:mentioned|stated|specified|given|covered|provided)\ (?:in|by|here)\b
    |^\W*(?:no\ answer|not\ (?:mentioned|stated|specified|given|known|answerable)|unanswerable|unknown|n/a)\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How answers in English say that there is no answer. Ours and rough, as above."""

UNKNOWN_CHINESE = re.compile(
    r"""
    (?:文中|文本|原文|上文|资料|材料|政策|说明|信息|内容|条款|文档|页面)[^。！？\n]{0,12}?
        (?:没有|并没有|未|并未|没)(?:明确|具体|直接)?(?:提到|提及|说明|写明|提供|包含|涉及|给出|找到|规定|注明)
    |(?:我|我们|本店|小助手)(?:暂时|目前|现在|也|还|并|实在)*(?:不知道|不清楚|不确定|不了解|没有(?:相关|这方面的?|该)信息)
    |(?:没有|未能?|找不到|查不到)(?:找到|查到)?(?:相关|对应|该)(?:的)?(?:信息|内容|答案|说明)
    |^\W*(?:不知道|不清楚|无法回答|无答案|没有答案|未提及|未说明|没有提到)\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""The same in Chinese."""


def declines(output: str) -> bool:
    """Whether an answer gives none: it is blank, a refusal, or says that it doesn't know or that the text doesn't say.

    As rough as `refuses`.

    >>> declines("The policy does not mention gift wrapping."), declines("文中没有提到礼品包装。"), declines("")
    (True, True, True)
    >>> declines("We do not offer gift wrapping."), declines("本店不提供礼品包装。")
    (False, False)
    """
    head = output[:HEAD]
    return not head.strip() or refuses(head) or bool(UNKNOWN_ENGLISH.search(head) or UNKNOWN_CHINESE.search(head))
