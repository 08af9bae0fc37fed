"""A scikit-learn pipeline that somebody else fitted: classes by name, nothing run that isn't trusted, no pickles."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC

from governance import run_audit
from governance.backends.base import Capability
from governance.backends.sklearn import PipelineBackend, check_file
from governance.dataset import Labels
from governance.errors import BackendError, ConfigError
from governance.measure import EVERYONE, Measurement, NotMeasured
from governance.prepare import prepare
from tests.tiny import BAD, GOOD, write_config, write_reviews
from tests.tinymodels import sealed

LABELS = Labels(("0", "1"), "1")
TEXTS = ["love great", "poor torn", "perfect soft shirt", "awful cheap", "质量很好", "太差了"]
CODES = [1, 0, 1, 0, 1, 0]


def fitted(*steps: Any, codes: Any = CODES) -> Pipeline:
    return make_pipeline(*steps).fit(TEXTS, codes)


def saved(path: Path, pipeline: Any) -> Path:
    skops.io.dump(pipeline, path, compression=zipfile.ZIP_DEFLATED)
    return path


def words() -> TfidfVectorizer:
    return TfidfVectorizer(token_pattern=r"(?u)\w")


@pytest.mark.parametrize("codes", [CODES, [float(c) for c in CODES], [str(c) for c in CODES]])
def test_classes_are_matched_by_name_in_the_task_s_order(tmp_path: Path, codes: Any) -> None:
    pipeline = fitted(words(), MultinomialNB(), codes=codes)
    backend = PipelineBackend(saved(tmp_path / "m.skops", pipeline), Labels(("1", "0"), "1"))
    answers = backend.classify(sealed(TEXTS))
    np.testing.assert_allclose([answer.scores for answer in answers], pipeline.predict_proba(TEXTS)[:, ::-1])
    assert [answer.label for answer in answers] == [str(int(float(c))) for c in pipeline.predict(TEXTS)]
    assert backend.capabilities == {Capability.CLASSIFY, Capability.SCORES}
    backend.close()
    assert backend.classify(sealed(TEXTS[:1]))[0].label == "1"


def test_a_pipeline_without_probabilities_gives_labels(tmp_path: Path) -> None:
    backend = PipelineBackend(saved(tmp_path / "m.skops", fitted(words(), LinearSVC())), LABELS)
    answers = backend.classify(sealed(TEXTS))
    assert [answer.label for answer in answers] == [str(c) for c in CODES]
    assert {answer.scores for answer in answers} == {None}
    assert backend.capabilities == {Capability.CLASSIFY}


@pytest.mark.parametrize("codes", [["no", "yes"] * 3, [0, 1, 2] * 2, [1, 2] * 3])
def test_other_classes_are_refused(tmp_path: Path, codes: Any) -> None:
    backend = PipelineBackend(saved(tmp_path / "m.skops", fitted(words(), MultinomialNB(), codes=codes)), LABELS)
    with pytest.raises(BackendError, match="expected a classifier of 0, 1, found"):
        backend.classify(sealed(TEXTS))


def test_rows_that_a_step_fails_at_fail_alone(tmp_path: Path) -> None:
    pipeline = fitted(words(), LogisticRegression())
    pipeline.steps[-1][1].coef_[0, pipeline[0].vocabulary_["差"]] = np.nan
    backend = PipelineBackend(saved(tmp_path / "m.skops", pipeline), LABELS)
    answers = backend.classify(sealed(TEXTS))
    assert [answer.failure for answer in answers] == [None] * 5 + ["the pipeline's probabilities are not finite"]

    class Odd:
        classes_ = np.array([0, 1])

        def predict_proba(self, texts: list[str]) -> Any:
            if "poor torn" in texts:
                raise RuntimeError(texts[0])
            return np.full((len(texts), 2), 0.5)

    backend.__dict__["_pipeline"] = Odd()
    assert [answer.failure for answer in backend.classify(sealed(TEXTS[:3]))] == [
        None, "the pipeline raised RuntimeError", None,
    ]  # fmt: skip


class Touches:
    """What a pickle can do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "m.skops"
    file.write_bytes(pickle.dumps(Touches(tmp_path / "ran")))
    with pytest.raises(ConfigError, match="not a skops file; a pickle"):
        check_file(file)
    with pytest.raises(BackendError, match="not a scikit-learn pipeline that is safe to load"):
        PipelineBackend(file, LABELS).classify(sealed(TEXTS))
    assert not (tmp_path / "ran").exists()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", "{}")
    with pytest.raises(ConfigError, match="not a skops file that can be read"):
        check_file(file)


def test_types_must_be_trusted_by_name(tmp_path: Path) -> None:
    pipeline = fitted(FunctionTransformer(np.char.lower), words(), MultinomialNB())
    file = saved(tmp_path / "m.skops", pipeline)
    with pytest.raises(ConfigError, match=r"it holds numpy\..*lower.*name them in `trusted`") as refused:
        check_file(file)
    with pytest.raises(BackendError, match="not a scikit-learn pipeline that is safe to load"):
        PipelineBackend(file, LABELS).classify(sealed(TEXTS))
    unknown = str(refused.value).partition("it holds ")[2].partition(". Only")[0].split(", ")
    check_file(file, unknown)
    with pytest.raises(ConfigError):
        check_file(file, [f"{name}x" for name in unknown])
    answers = PipelineBackend(file, LABELS, trusted=unknown).classify(sealed(TEXTS))
    assert [answer.label for answer in answers] == [str(c) for c in CODES]


@pytest.mark.parametrize("scores", [True, False])
def test_an_audit_weighs_it(tmp_path: Path, scores: bool) -> None:
    write_reviews(tmp_path / "reviews.csv")
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression() if scores else LinearSVC())
    saved(tmp_path / "m.skops", pipeline.fit([*GOOD, *BAD], ["yes"] * len(GOOD) + ["no"] * len(BAD)))
    models = {"theirs": {"kind": "sklearn", "path": "m.skops"}}
    path = write_config(tmp_path / "c.yaml", models=models, candidate="theirs", evaluators=["quality"])
    record = run_audit(path, out=tmp_path / "runs").record
    [entry] = [entry for entry in record.models if entry.name == "theirs"]
    assert (entry.source, entry.trained, entry.protocol) == ("m.skops", False, "head")
    assert entry.digest is not None
    found = {o.metric: o for o in record.outcomes if o.model == "theirs" and o.slice == EVERYONE}
    accuracy = found["quality.balanced_accuracy"]
    assert isinstance(accuracy, Measurement)
    assert accuracy.value > 0.85
    assert isinstance(found["quality.auc"], Measurement if scores else NotMeasured)


def test_a_pickle_in_a_config_is_told_before_anything_runs(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(fitted(words(), MultinomialNB())))
    path = write_config(
        tmp_path / "c.yaml", models={"theirs": {"kind": "sklearn", "path": "m.pkl"}}, candidate="theirs"
    )
    with pytest.raises(ConfigError, match=r"models\.theirs\.path: m\.pkl: not a skops file"):
        prepare(str(path))
