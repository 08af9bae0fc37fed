from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import pytest
from huggingface_hub import DatasetCard

from governance.datafacts import Axis, CrossTable, DataStatistics, Overlap, Side, Suspects
from governance.policy import judge
from governance.record import RunRecord
from reports import croissant, datacard, datatables, render
from reports.text import Texts
from reports.view import View
from tests.sample_record import POLICY, record
from tests.test_html import HOSTILE, page

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib's own

LANGUAGES = ("en", "zh")
MARKDOWN = ("a|b\n| c |", "`rm`", "<img src=x onerror=1>", "[x](javascript:1)", "---\nlicense: mit\n---", "# h", "$x$")


def side(rows: int) -> Side:
    shares = {"0.05": 82, "0.25": 183, "0.5": 295, "0.75": 454, "0.95": 500}
    return Side(rows=rows, characters=shares, words={share: n // 5 for share, n in shares.items()},
                scripts={"latin": rows - 8, "han": 6}, scripts_few=2, repeated=3)  # fmt: skip


def statistics(column: str = "Department Name", names: tuple[str, str] = ("Tops", "Trend")) -> DataStatistics:
    labels = Axis(column=None, names=("recommends", "does not"))
    groups = Axis(column=column, names=(*names, None), merged=4)
    ages = Axis(column="age_band", names=tuple(f"{i}-{i + 4}" for i in range(15, 90, 5)))
    return DataStatistics(
        tables=(
            CrossTable(labels=labels, groups=groups, counts=((2911, None, 41, 33), (677, None, 9, None))),
            CrossTable(labels=labels, groups=ages, counts=((410,) * 15, (96,) * 15)),
        ),
        train=side(6000),
        test=side(2000),
        conflicting=4,
        overlap=Overlap(share=0.8, rows=2000, near=37, known=6000),
        suspects=Suspects(
            examined={"recommends": 4863, "does not": 1137}, suspected={"recommends": 201, "does not": 14}, folds=5
        ),
    )  # fmt: skip


def told(found: DataStatistics | None = None, **changes: Any) -> RunRecord:
    """The sample record with statistics and what else of its data is named."""
    good = record()
    update = {"statistics": found or statistics(), "not_scrubbed": ("faces",), **changes}
    return good.model_copy(update={"data": good.data.model_copy(update=update)})


def view(judged: RunRecord, language: str = "en") -> View:
    return View(judged, judge(judged, POLICY), POLICY, Texts(language))


def card(judged: RunRecord, language: str = "en") -> str:
    return datacard.render(view(judged, language)).decode()


def croissant_of(judged: RunRecord, language: str = "en") -> str:
    return croissant.render(view(judged, language)).decode()


def read(text: str, folder: Path) -> mlc.Dataset:
    """By mlcroissant, which raises on what isn't valid."""
    path = folder / "data.croissant.json"
    path.write_text(text, "utf-8")
    return mlc.Dataset(jsonld=path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_hubs_own_loader_reads_the_card(language: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(card(told(), language), "utf-8")
    data = DatasetCard.load(path).data
    assert data.language == ["en"] and data.license == "cc0-1.0" and data.size_categories == "1K<n<10K"
    assert data.task_categories == ["text-classification"]
    assert data.pretty_name == "Women's E-Commerce Clothing Reviews"


def test_every_statistic_stands_in_the_card() -> None:
    text = card(told())
    for line in (
        "| Tops | 2,911 | 677 |",
        "| Trend | hidden | hidden |",
        "| No value | 41 | 9 |",
        "| 4 rare or further | 33 | hidden |",
        "| recommends | 4,863 | 201 |",
        "| Latin | 5,992 | 1,992 |",
        "| All others | 2 | 2 |",
        "| Rows whose exact text stands elsewhere under another label | 4 |",
        "| Training rows<br><sub>characters</sub> | 82 | 183 | 295 | 454 | 500 |",
        "- faces",
        "- Counted without noise. No privacy claim covers these figures.",
    ):
        assert f"{line}\n" in text, line
    assert re.search(r"near-double among the training rows<br><sub>Of 2,000 .* 6,000 .* 80%.*</sub> \| 37 \|", text)
    assert "not covered by the privacy claim of open-private" in text


def test_the_card_is_chinese_too() -> None:
    text = card(told(), "zh")
    assert "| 汉字 | 6 | 6 |" in text and "| 无值 | 41 | 9 |" in text and "计数时未加噪声" in text
    assert "不在 open-private 的隐私声明范围之内" in text


def test_without_private_models_no_claim_is_named() -> None:
    judged = told()
    models = tuple(model.model_copy(update={"claim": None}) for model in judged.models)
    assert "privacy claim of" not in card(judged.model_copy(update={"models": models}))


def test_labels_that_were_not_judged_are_said_to_be() -> None:
    found = statistics().model_copy(update={"suspects": None, "no_suspects": "no training text holds a word"})
    text = card(told(found))
    assert "Labels were not judged: no training text holds a word." in text and "Labels in doubt" not in text
    assert "训练文本中没有词" in card(told(found), "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_records_without_statistics_still_render(language: str, tmp_path: Path) -> None:
    text = card(record(), language)
    assert {"en": "The record holds no statistics", "zh": "该记录不含文本统计"}[language] in text
    assert not {"lengths", "repeats"} & {
        one.id for one in read(croissant_of(record(), language), tmp_path).metadata.record_sets
    }
    assert datatables.blocks(view(record(), language)) == []


def test_what_this_audit_did_not_do_is_not_claimed() -> None:
    judged = told()
    models = tuple(model.model_copy(update={"kind": "imported"}) for model in judged.models)
    other = judged.model_copy(update={"models": models})
    for text in (card(other), croissant_of(other)):
        assert "Personal data was scrubbed before" not in text and "scrubbed none" in text
    assert "Personal data was scrubbed before" in card(judged)


@pytest.mark.parametrize("language", LANGUAGES)
def test_mlcroissant_validates_it_and_reads_the_counts(language: str, tmp_path: Path) -> None:
    found = read(croissant_of(told(), language), tmp_path)
    assert not found.metadata.ctx.issues.errors
    assert found.metadata.name == "Women's E-Commerce Clothing Reviews" and found.metadata.in_language == ["en"]
    assert list(found.records("splits")) == [
        {"splits/split": "train", "splits/rows": 6000}, {"splits/split": "test", "splits/rows": 2000}
    ]  # fmt: skip
    cells = {
        (row["groups-0/label"], str(row["groups-0/group"])): row["groups-0/rows"] for row in found.records("groups-0")
    }
    assert cells["recommends", "Tops"] == 2911 and len(cells) == 4  # neither hidden nor merged cells
    repeats = {row["repeats/kind"]: row["repeats/rows"] for row in found.records("repeats")}
    assert repeats["near, test in train"] == 37
    assert len(list(found.records("lengths"))) == 20
    personal = " ".join(found.metadata.personal_sensitive_information or ())
    assert "PERSON 412" in personal and "Department Name" in personal
    assert "201 / 4,863" in " ".join(found.metadata.data_annotation_analysis or ())
    assert found.metadata.data_collection is None  # the record doesn't know


def test_mlcroissant_refuses_what_is_not_valid(tmp_path: Path) -> None:
    raw = json.loads(croissant_of(told()))
    raw["recordSet"][0]["data"][0]["other"] = 1
    with pytest.raises(mlc.ValidationError, match="expected columns"):
        read(json.dumps(raw), tmp_path)


@pytest.mark.parametrize("hostile", [*HOSTILE, *MARKDOWN])
def test_hostile_names_stay_text(hostile: str, tmp_path: Path) -> None:
    bad = told(
        statistics(hostile, (hostile, hostile + "2")),
        name=hostile, source=hostile, licence=hostile, labels={hostile: 9}, scrubbed={hostile: 1},
        groups={hostile: {hostile: 9}}, not_scrubbed=(hostile,), cleaning={hostile: 1},
    )  # fmt: skip
    path = tmp_path / "README.md"
    path.write_text(card(bad), "utf-8")
    loaded = DatasetCard.load(path)
    assert loaded.data.license == "other" and loaded.data.tags == ["steelyard"]
    body = loaded.text
    assert "<script" not in body and "<img" not in body and "<svg" not in body and "\u202e" not in body
    assert not re.search(r"(?<!\\)\]\(", body)
    titles = [line for line in body.splitlines() if re.match("##? ", line)]
    assert titles[1:] == [line for line in card(told()).splitlines() if re.match("##? ", line)][1:]
    for block in re.findall(r"(?:^\|.*\n)+", body, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    text = croissant_of(bad)
    assert "<" not in text and text.isascii()
    assert not read(text, tmp_path).metadata.ctx.issues.errors


def test_hostile_names_stay_text_on_the_page() -> None:
    hostile = " ".join(HOSTILE)
    names = (hostile[:200], hostile[-200:])
    shown, parsed = page(told(statistics(hostile, names), name=hostile, labels={hostile: 9}))
    _, good = page(told())
    assert set(parsed.tags) <= {*good.tags, "bdi"} and "\u202e" not in shown
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert "onmouseover" in parsed.text


def test_a_megabyte_is_cut() -> None:
    bad = told(statistics("x" * 1_000_000, ("y" * 1_000_000, "z")), name="n" * 1_000_000)
    assert len(card(bad)) < 50_000 and len(croissant_of(bad)) < 50_000


def test_a_model_called_data_has_a_card_of_its_own() -> None:
    good = told()
    models = (good.models[0].model_copy(update={"name": "data"}), *good.models[1:])
    judged = good.model_copy(update={"models": models, "incumbent": None})
    files = render(judged, judge(judged, POLICY), POLICY)
    assert b"Data card" in files["card/data.md"] and b"Data card" not in files["card/data-2.md"]


def test_the_page_shows_the_statistics_and_folds_long_tables() -> None:
    text, parsed = page(told())
    assert "Rows by label and Department Name" in parsed.text and "Labels in doubt" in parsed.text
    assert "Rows by label and age_band" in parsed.text
    data = text[text.index('<section id="data"') :]
    place = data.index("Tops")
    assert data.rfind("<details", 0, place) <= data.rfind("</details>", 0, place)  # short: open
    place = data.index("15-19")
    assert data.rfind("<details", 0, place) > data.rfind("</details>", 0, place)  # long: folded


def test_same_inputs_same_bytes() -> None:
    assert card(told()) == card(told()) and croissant_of(told()) == croissant_of(told())
