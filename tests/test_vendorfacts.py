from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from governance.audit import run_audit
from governance.configfile import shipped
from governance.errors import ConfigError
from governance.modelchecks import vendors_of
from governance.modelconfig import OpenAIModel
from governance.policy import judge
from governance.prepare import prepare
from governance.record import RunRecord
from governance.vendorfacts import FOLDER, Facts, VendorFile, load_vendor
from reports import render
from tests.sample_record import POLICY, record
from tests.tiny import write_config, write_reviews

FILE = """\
vendor: Acme
as_of: 2026-11-20
stale_after_days: 10
facts:
  licence: {value: terms, source: "https://acme.example/terms", read_on: 2026-11-01}
  retention_days: {value: 30, source: contract, read_on: 2026-11-15}
products:
  small:
    retention_days: {value: 0, source: annex, read_on: 2026-11-16}
    price_read: {value: 0.5, source: "https://acme.example/price", read_on: 2026-11-20}
  big: {}
"""


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "acme.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("name", shipped(FOLDER))
def test_every_shipped_file_loads(name: str) -> None:
    products = {"example": "example-small-latest"}
    facts = load_vendor(name, Path(), product=products.get(name))
    assert facts.digest.startswith("sha256:")
    assert facts.facts.known()


def test_the_template_names_every_fact_and_is_labelled_as_made_up() -> None:
    facts = load_vendor("example#example-small-2026-10-01", Path())
    assert set(facts.facts.known()) == set(Facts.model_fields)
    assert "made up" in facts.vendor


def test_what_a_product_states_wins_over_the_vendor(tmp_path: Path) -> None:
    written(tmp_path)
    small, big = (load_vendor("acme.yaml", tmp_path, product=name) for name in ("small", "big"))
    assert (small.product, small.facts.retention_days.value, small.facts.licence.value) == ("small", 0, "terms")  # type: ignore[union-attr]
    assert (big.facts.retention_days.value, big.facts.price_read) == (30, None)  # type: ignore[union-attr]
    assert load_vendor("acme.yaml#big", tmp_path, product="small").product == "big"


def test_facts_grow_stale_by_the_day_they_were_read(tmp_path: Path) -> None:
    written(tmp_path)
    facts = load_vendor("acme.yaml#small", tmp_path)
    assert facts.stale(date(2026, 11, 11)) == {}
    assert facts.stale(date(2026, 11, 12)) == {"licence": 11}
    assert facts.stale(date(2026, 12, 1)) == {"licence": 30, "retention_days": 15, "price_read": 11}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source: contract, ", "", r"facts\.retention_days\.source: this key is required"),
        (", read_on: 2026-11-15", "", r"facts\.retention_days\.read_on: this key is required"),
        ("read_on: 2026-11-15", "read_on: 2026-11-21", r"retention_days\.read_on: expected no day after as_of"),
        ("retention_days: {value: 30", "retention_dys: {value: 30", r"unknown key 'retention_dys'.*retention_days"),
        ("value: 0.5", "value: .inf", r"price_read\.value"),
        ("value: 0.5", "value: -1", r"price_read\.value"),
        ("as_of: 2026-11-20", "as_of: soon", r"as_of"),
        ("small:", "small: &a", "aliases|anchor|products"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = FILE.replace(old, new, 1) + ("  more: *a\n" if "&a" in new else "")
    assert text != FILE
    written(tmp_path, text)
    with pytest.raises(ConfigError, match=message):
        load_vendor("acme.yaml#small", tmp_path)


def test_products_are_named_or_the_nearest_is(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ConfigError, match=r"no product 'smal'. Did you mean 'small'\?"):
        load_vendor("acme.yaml", tmp_path, product="smal")
    with pytest.raises(ConfigError, match=r"expected a product \(vendor: FILE#PRODUCT\). Known: big, small."):
        load_vendor("acme.yaml", tmp_path)
    with pytest.raises(ConfigError, match="no 'exampl' in configs/vendors"):
        load_vendor("exampl", tmp_path)
    with pytest.raises(ConfigError, match="the file lists none"):
        load_vendor("local#x", tmp_path)


def model(**more: object) -> OpenAIModel:
    about = {"kind": "openai", "base_url": "https://acme.example/v1", "model": "small", "prompt": "recommend.en.v1"}
    return OpenAIModel.model_validate({**about, "vendor": "acme.yaml", **more})


def test_a_config_and_a_file_must_agree_on_the_price(tmp_path: Path) -> None:
    written(tmp_path)
    config = tmp_path / "audit.yaml"
    agreed = vendors_of(config, {"m": model(price_per_million_tokens={"read": 0.5, "written": 9.0})})
    assert agreed["m"].product == "small"
    assert vendors_of(config, {"m": model(vendor=None)}) == {}
    for other in ({"price_per_million_tokens": {"read": 0.4, "written": 9.0}},
                  {"price_per_million_tokens": {"read": 0.5, "written": 9.0}, "currency": "CNY"}):  # fmt: skip
        with pytest.raises(ConfigError, match=r"models\.m\.price_per_million_tokens\.read: expected 0.5 USD, as the"):
            vendors_of(config, {"m": model(**other)})
    with pytest.raises(ConfigError, match=r"models\.m\.vendor: .*no product 'tiny'"):
        vendors_of(config, {"m": model(model="tiny")})


def test_what_a_vendor_fine_tunes_goes_by_the_base(tmp_path: Path) -> None:
    written(tmp_path)
    tuned = {"base": "big", "budget": 1, "price_per_million_tokens": 1}
    price = {"read": 0.4, "written": 9.0}  # of the fine-tuned model, which costs more than its base
    found = vendors_of(tmp_path / "a.yaml", {"m": model(model=None, fine_tune=tuned, price_per_million_tokens=price)})
    assert found["m"].product == "big"


def with_facts(folder: Path) -> RunRecord:
    written(folder)
    judged = record()
    facts = load_vendor("acme.yaml#small", folder)
    entries = [e.model_copy(update={"vendor_facts": facts} if e.name == "closed" else {}) for e in judged.models]
    return judged.model_copy(update={"models": tuple(entries)})


def test_a_record_keeps_them_and_one_without_keeps_its_digest(tmp_path: Path) -> None:
    judged = with_facts(tmp_path)
    assert RunRecord.model_validate_json(judged.model_dump_json()) == judged
    plain = record().model_dump(mode="json")
    for entry in plain["models"]:
        assert not {"protocol", "versions", "vendor_facts"} & set(entry)
    assert "requests_per_month" not in plain
    kept = judged.model_dump(mode="json")["models"][-1]["vendor_facts"]["facts"]
    assert set(kept) == {"licence", "retention_days", "price_read"}  # facts that nobody read leave no trace


@pytest.mark.parametrize(
    ("language", "stale"), [("en", "stale: read 21 days before this audit"), ("zh", "21 天前查阅")]
)
def test_page_shows_each_fact_with_its_source_and_age(tmp_path: Path, language: str, stale: str) -> None:
    judged = with_facts(tmp_path)
    files = render(judged, judge(judged, POLICY), POLICY, language=language)
    page, card = files["report.html"].decode(), files["card/closed.md"].decode()
    assert page.count(stale) == 1  # of three facts, one is older than ten days on the day of the audit
    assert "https://acme.example/terms" in page and "2026-11-16" in page and "0.5 USD" in page
    named = {"en": "Some facts about its vendor are stale: Licence or terms.", "zh": "部分情况已过时：许可或条款。"}
    assert named[language] in card
    assert named[language] not in files["card/open.md"].decode()


def test_hostile_facts_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|[x](javascript:1)"
    text = FILE.replace("value: terms", f"value: '{hostile}'").replace("vendor: Acme", f"vendor: '{hostile}'")
    written(tmp_path, text)
    facts = load_vendor("acme.yaml#small", tmp_path)
    entries = [e.model_copy(update={"vendor_facts": facts, "licence": None}) for e in record().models]
    judged = record().model_copy(update={"models": tuple(entries), "created": hostile})
    files = render(judged, judge(judged, POLICY), POLICY)
    assert b"<script" not in files["report.html"]
    assert b"<script" not in files["card/closed.md"]


def test_file_refuses_unknown_keys() -> None:
    with pytest.raises(ValueError, match="extra"):
        VendorFile.model_validate({"vendor": "a", "as_of": "2026-01-01", "rumour": 1})


@pytest.mark.slow
def test_an_audit_records_the_facts_and_how_each_model_answers(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    path = write_config(tmp_path / "c.yaml")
    raw = yaml.safe_load(path.read_text("utf-8"))
    [(name, about)] = list(raw["models"].items())[:1]
    before = prepare(str(path)).identity
    written(tmp_path)
    about["vendor"] = "acme.yaml#big"
    raw["requests_per_month"] = 1000
    path.write_text(yaml.safe_dump(raw), "utf-8")
    audited = run_audit(path, out=tmp_path / "runs").record
    entry = audited.model(name)
    assert (entry.protocol, audited.requests_per_month) == ("head", 1000)
    assert entry.vendor_facts == load_vendor("acme.yaml#big", tmp_path)
    first = prepare(str(path)).identity
    written(tmp_path, FILE.replace("value: 30", "value: 90"))
    assert len({before, first, prepare(str(path)).identity}) == 3  # other facts are another record
