"""The interpretable system: TF-IDF and balanced logistic regression, saved by skops, never by pickle."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.dataset import Labels, ScrubbedDataset
from governance.errors import BackendError, DataError
from governance.files import canonical, write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.feature_extraction.text import TfidfVectorizer

WEIGHTS = "model.skops"
DIGEST = "digest.txt"
# A placeholder such as [PERSON] is one token, brackets and all, so that it can't pass for the word "person".
WORDS = r"(?u)\[[a-z_]+\]|\b\w\w+\b"
CHARACTERS = r"(?u)\[[a-z_]+\]|[a-z0-9]+|[^\W_a-z0-9]"


def train(
    rows: ScrubbedDataset,
    labels: Labels,
    directory: Path,
    *,
    max_features: int,
    regularisation: float,
    language: str,
    seed: int,
    row_weights: NDArray[np.float64] | None = None,
    chances: NDArray[np.float64] | None = None,
) -> None:
    """Fit on scrubbed rows and save.

    Args:
        rows: what to fit.
        labels: the task's classes; probabilities come in their order.
        directory: where `model.skops` goes.
        max_features: most frequent n-grams kept.
        regularisation: scikit-learn's C; smaller is stronger.
        language: "zh" counts runs of one to three characters, since words have no spaces; else one or two words.
        seed: of the solver.
        row_weights: how much each row counts, shape (n,); None: all alike.
        chances: a teacher's probability of each class, shape (n, classes), learnt in place of the labels: each row
            counts for every class, as much as the teacher believes it. Classes then aren't balanced.

    Raises:
        DataError: there are no words to count.
    """
    import numpy as np
    import scipy.sparse
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from threadpoolctl import threadpool_limits

    features = counted_words(language, max_features)
    model = LogisticRegression(C=regularisation, max_iter=1000, random_state=seed)
    if chances is None:
        model.class_weight = "balanced"
    pipeline = Pipeline([("features", features), ("model", model)])
    with threadpool_limits(1):  # threads cost twenty times more than they bring on vectors this small
        try:
            texts, codes = [text.text for text in rows.texts], labels.codes(rows.labels)
            if chances is None:
                pipeline.fit(texts, codes, model__sample_weight=row_weights)
            else:
                taught = scipy.sparse.vstack([features.fit_transform(texts)] * chances.shape[1])
                classes = np.repeat(np.arange(chances.shape[1]), len(texts))
                model.fit(taught, classes, sample_weight=chances.T.ravel())
        except ValueError as error:
            if "empty vocabulary" not in str(error):
                raise
            raise DataError("tfidf-logistic: no training text holds a word of two letters or more") from None
    # Plain integers: skops writes one file per numpy scalar, which takes minutes for a vocabulary.
    features.vocabulary_ = {word: int(index) for word, index in features.vocabulary_.items()}
    write_atomic(directory / DIGEST, _digest(pipeline).encode())
    write_atomic(directory / WEIGHTS, skops.io.dumps(pipeline, compression=zipfile.ZIP_DEFLATED))


def counted_words(language: str, max_features: int) -> TfidfVectorizer:
    """What the model sees of a text, not fitted yet; the arguments are `train`'s."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        token_pattern=CHARACTERS if language == "zh" else WORDS,
        ngram_range=(1, 3) if language == "zh" else (1, 2),
        max_features=max_features,
        sublinear_tf=True,
    )


def weights_digest(file: Path) -> str:
    """The digest of saved weights, from the numbers in them.

    Raises:
        BackendError: not a pipeline that is safe to load.
    """
    import skops.io

    try:
        return _digest(skops.io.load(file, trusted=[]))
    except Exception as error:  # noqa: BLE001 - a hostile file can fail in any way; it must stop here
        raise BackendError(f"{file.name}: not a pipeline that Steelyard saved ({type(error).__name__})") from None


def _digest(pipeline: Any) -> str:
    """SHA-256 over what the model computes with. The archive itself holds memory addresses and clock times."""
    features, model = pipeline
    hashed = hashlib.sha256(canonical({word: int(index) for word, index in features.vocabulary_.items()}))
    for numbers in (features.idf_, model.coef_, model.intercept_, model.classes_):
        hashed.update(numbers.tobytes())
    return f"sha256:{hashed.hexdigest()}"
