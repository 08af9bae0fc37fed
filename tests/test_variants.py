"""Smaller models made from others: close to them, smaller, and with no privacy claim that isn't theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from governance import run_audit
from governance.backends.int8 import Int8Backend, Int8Layers, digest_tensors, plain, size_of, tensors_of
from governance.backends.sklearn import SklearnBackend
from governance.backends.trained import ClassifierBackend
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError
from governance.measure import Measurement
from governance.prepare import prepare
from governance.training import tfidf
from governance.training.classifier import Features
from governance.training.encoder import Cut, LowerLayers
from governance.training.model import Shape, build, save
from tests.tiny import BAD, FILLER, GOOD, write_config, write_encoder, write_reviews

LABELS = Labels(("no", "yes"), "yes")
TEXTS = [ScrubbedText(f"{a} {b} {c}") for a in GOOD for b in FILLER[:6] for c in BAD]


def shaken(model: Any) -> Any:
    """With weights that are no longer zero at the start, or both models would answer alike for nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "head" in name or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter))
    return model


def trained(folder: Path, base: Path, **shape: int) -> Path:
    made = shaken(build(Shape(**{"classes": 2, "width": 32, "first_layer": 2, "trained_layers": 0, **shape}), base))
    folder.mkdir(exist_ok=True)
    save(made, folder, {})
    return folder


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("shape", [{}, {"trained_layers": 1}, {"trained_layers": 1, "rank": 4, "buckets": 64}])
def test_answers_in_8_bits_are_close_to_the_originals(tmp_path: Path, kind: str, shape: dict[str, int]) -> None:
    base = write_encoder(tmp_path / "enc", kind=kind)
    folder, cut = trained(tmp_path / "model", base, **shape), Cut(base, 2, 16)
    full = ClassifierBackend(folder, Features(LowerLayers(cut, tmp_path / "lower")), LABELS)
    small = Int8Backend(folder, Features(Int8Layers(cut, tmp_path / "lower8")), LABELS)
    scores = [np.array([answer.scores for answer in backend.classify(TEXTS)]) for backend in (full, small)]
    one, other = (np.log(side[:, 1] / side[:, 0]) for side in scores)
    assert np.ptp(one) > 0.3  # or closeness would mean nothing
    assert np.abs(one - other).max() < 0.25 * np.ptp(one)
    assert not np.array_equal(one, other)
    quantised = [m for m in small._model.modules() if "quantized" in type(m).__module__]
    assert quantised
    assert not [m for m in small._model.modules() if isinstance(m, torch.nn.Linear)]
    states = [np.fromfile(tmp_path / name / "hidden", dtype=np.float16) for name in ("lower", "lower8")]
    assert len(states[0]) == len(states[1])
    assert not np.array_equal(*states)  # the layers below the cut are in 8 bits too
    weights = small.weights()
    before = size_of(tensors_of(LowerLayers(cut, tmp_path / "l").model, "lower")) + size_of(
        tensors_of(full._model, "trained")
    )
    assert size_of(weights) < 0.6 * before
    assert digest_tensors(weights) == digest_tensors(Int8Backend(folder, small._features, LABELS).weights())


def test_merged_layers_compute_what_their_adapters_did(tmp_path: Path) -> None:
    base = write_encoder(tmp_path / "enc")
    model = shaken(build(Shape(2, 32, 1, 1, rank=4), base)).eval()
    states, mask = torch.randn(5, 7, 32), torch.ones(5, 7, dtype=torch.bool)
    with torch.inference_mode():
        wanted = model(states, mask)
        found = plain(model)(states, mask)
    assert torch.allclose(wanted, found, atol=1e-5)
    assert not [name for name, _ in model.named_modules() if "lora" in name]
    assert {type(m) for m in model.modules() if isinstance(m, torch.nn.Linear)} == {torch.nn.Linear}


def dataset(texts: list[str], labels: list[str]) -> ScrubbedDataset:
    n = len(texts)
    return ScrubbedDataset(np.arange(n), tuple(map(ScrubbedText, texts)), tuple(labels), {}, np.arange(n))


@pytest.mark.parametrize(("language", "words"), [("en", ("good", "poor")), ("zh", ("好", "差"))])
def test_a_student_learns_what_its_teacher_believes_and_not_the_labels(
    tmp_path: Path, language: str, words: tuple[str, str]
) -> None:
    """The teacher turns every label round and is only 80% sure; so does and is its student."""
    rows = dataset([f"{words[i % 2]} {words[i % 2]}" for i in range(400)], ["yes", "no"] * 200)
    believed = np.array([[0.8, 0.2] if label == "yes" else [0.2, 0.8] for label in rows.labels])
    shared: dict[str, Any] = {"max_features": 10, "regularisation": 1e4, "language": language, "seed": 0}
    tfidf.train(rows, LABELS, tmp_path, chances=believed, **shared)
    answers = SklearnBackend(tmp_path / tfidf.WEIGHTS, LABELS).classify(rows.texts[:2])
    assert [answer.label for answer in answers] == ["no", "yes"]
    assert np.array([answer.scores for answer in answers]) == pytest.approx(believed[:2], abs=0.02)


def test_a_student_of_many_classes_is_as_unsure_as_its_teacher(tmp_path: Path) -> None:
    three = Labels(("a", "b", "c"), None)
    rows = dataset([("left", "right", "middle")[i % 3] for i in range(300)], ["a"] * 100 + ["b"] * 100 + ["c"] * 100)
    believed = np.array([[(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.3, 0.3, 0.4)][i % 3] for i in range(300)])
    tfidf.train(
        rows, three, tmp_path, chances=believed, max_features=9, regularisation=1e4, language="en", seed=0
    )  # fmt: skip
    answers = SklearnBackend(tmp_path / tfidf.WEIGHTS, three).classify(rows.texts[:3])
    assert np.array([answer.scores for answer in answers]) == pytest.approx(believed[:3], abs=0.03)


HEAD = {"kind": "classifier", "base": "enc", "cached_layers": 1, "learning_rate": 0.1, "max_tokens": 8}
PRIVATE = {"epsilon": 8, "delta": 1e-3, "sample_rate": 0.5, "steps": 3, "batch": 50}


def variant(of: str, by: str, **more: Any) -> dict[str, Any]:
    return {"kind": "variant", "of": of, "by": by, **more}


@pytest.mark.slow
def test_variants_are_weighed_like_any_model(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv", 200)
    write_encoder(tmp_path / "enc", layers=1)
    models = {
        "private": {**HEAD, "private": PRIVATE},
        "open": dict(HEAD),
        "small": variant("private", "int8"),
        "student": variant("private", "distilled", max_features=500),
        "other": variant("open", "distilled"),
    }
    evaluators = ["claim", {"name": "membership", "draws": 200}, {"name": "twins", "draws": 200}]
    source = write_config(tmp_path / "c.yaml", models=models, candidate="private", evaluators=evaluators)
    done = run_audit(source, out=tmp_path / "runs")
    entries = {entry.name: entry for entry in done.record.models}
    assert entries["small"].claim == entries["private"].claim is not None
    assert "its privacy claim covers this model too" in str(entries["small"].note)
    assert entries["student"].claim is None
    assert "the privacy claim of private does not cover it" in str(entries["student"].note)
    assert entries["other"].note is None
    assert {name: entry.twin and (entry.twin.of, entry.twin.by) for name, entry in entries.items()} == {
        "private": None, "open": None, "small": ("private", "quantised"), "student": ("private", "distilled"),
        "other": ("open", "distilled"),
    }  # fmt: skip
    for name in ("small", "student", "other"):
        entry = entries[name]
        assert entry.trained
        assert str(entry.digest).startswith("sha256:")
        assert int(str(entry.settings["bytes"])) > 0
        assert entry.settings["bytes_original"] == entries["small"].settings["bytes_original"]
    assert int(str(entries["small"].settings["bytes"])) < int(str(entries["small"].settings["bytes_original"]))
    measured = {(o.model, o.metric) for o in done.record.outcomes if isinstance(o, Measurement)}
    for name in ("small", "student", "other"):
        assert {
            (name, "twin.agreement"),
            (name, "twin.membership_auc.difference"),
            (name, "membership.auc"),
        } <= measured
    agreement = next(o for o in done.record.outcomes if (o.model, o.metric) == ("small", "twin.agreement"))
    assert isinstance(agreement, Measurement)
    assert agreement.value > 0.9
    page = next(done.directory.glob("out/*/report.html")).read_text("utf-8")
    assert "Variants" in page
    assert "What privacy costs" not in page
    # Run again with another claim to a title: nothing is trained, taught or quantised anew.
    stages = {path.name for path in (tmp_path / "runs/small/.stages").iterdir()}
    models["small"]["title"] = "smaller"
    write_config(tmp_path / "c.yaml", models=json.loads(json.dumps(models)), candidate="private", evaluators=evaluators)
    run_audit(source, out=tmp_path / "runs")
    assert {path.name for path in (tmp_path / "runs/small/.stages").iterdir()} == stages


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (variant("bb", "int8"), r"models\.a\.of: no model 'bb'\. Did you mean 'b'"),
        (variant("b", "int8"), r"models\.a\.of: by int8: expected a model of kind classifier, found 'b' of kind tfidf"),
        (variant("c", "distilled"), r"a\.of: expected a model that this audit trains, found 'c' of kind scripted"),
        (variant("b", "pruned"), r"by: no 'pruned'. Known: distilled, int8"),
        (variant("b", "int8", max_features=5), r"max_features: expected none with by int8"),
        (variant("b", "distilled", twin={"of": "c", "by": "distilled"}), r"twin: expected none: a variant .*'b'"),
        (variant("b", "distilled", twin={"of": "b", "by": "quantised"}), r"twin: expected none: a variant .*'b'"),
        (variant("b", "distilled", placeholders="filled"), r"placeholders"),
    ],
)  # fmt: skip
def test_what_no_variant_can_be_made_of_is_refused(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    write_reviews(tmp_path / "reviews.csv", 40)
    script = {"kind": "scripted", "prompt": "recommend.en.v1", "answers": ["Yes"]}
    models = {"a": model, "b": {"kind": "tfidf-logistic"}, "c": script}
    with pytest.raises(ConfigError, match=message):
        prepare(str(write_config(tmp_path / "c.yaml", models=models, candidate="b")))
