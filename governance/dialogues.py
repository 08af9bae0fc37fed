"""Files of customer-service dialogues with one candidate answer a line, as the field's corpora have them.

A line is `label<TAB>turn<TAB>…<TAB>answer`, 1 where the answer is the one that was given; lines of one dialogue
follow each other. So are the Ubuntu, Douban and E-commerce corpora written, and the Taobao one in `dialogbot`.

Source:
    Zhang et al. (2018), Modeling multi-turn conversation with deep utterance aggregation, COLING (the E-commerce
    Dialogue Corpus and its format).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from governance.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("label", "dialogue", "answer")
MAX_BYTES = 1 << 30
_HAN = "\u3400-\u9fff\u3000-\u303f\uff00-\uffef"
_SPLIT = re.compile(rf"(?<=[{_HAN}])\s+(?=[{_HAN}\w])|(?<=[\w])\s+(?=[{_HAN}])")


def read_dialogues(path: Path) -> pa.Table:
    """The lines as a table with the columns of `COLUMNS`; turns of a dialogue stand on lines of their own in it.

    White space that a word segmenter put between Chinese characters is taken out.

    Raises:
        DataError: not UTF-8, too large, or a line of another form. No message quotes one.
    """
    import pyarrow as pa

    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES >> 30} GiB")
    columns: dict[str, list[str]] = {name: [] for name in COLUMNS}
    try:
        # Not `splitlines`: a turn may hold what Unicode calls the end of a line.
        lines = [line.removesuffix("\r") for line in path.read_text("utf-8-sig").removesuffix("\n").split("\n")]
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected UTF-8 text, found another encoding") from None
    for number, line in enumerate(lines, start=1):
        label, *turns = line.split("\t")
        if label not in ("0", "1") or len(turns) < 2:
            raise DataError(f"{path}: line {number}: expected 0 or 1, at least one turn, and an answer, between tabs")
        said = [_closed(turn) for turn in turns]
        for name, value in zip(COLUMNS, (label, "\n".join(said[:-1]), said[-1]), strict=True):
            columns[name].append(value)
    return pa.table(columns)


def _closed(turn: str) -> str:
    """A turn without a segmenter's spaces.

    >>> _closed("什么 时候 发货 啊"), _closed("free shipping"), _closed("拍 下 3 件")
    ('什么时候发货啊', 'free shipping', '拍下3件')
    """
    return _SPLIT.sub("", turn.strip())
