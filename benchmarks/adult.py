"""Errors of a logistic regression on the test rows of the census income data, and nine features to slice them by."""

from __future__ import annotations

import numpy as np

from benchmarks.published import ADULT, adult

NUMBERS = ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]


def adult_errors() -> tuple[dict[str, list[str]], np.ndarray]:
    """(feature -> values, whether each test row is answered wrongly)."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train, test = (
        pd.DataFrame(adult(file)).astype(dict.fromkeys(NUMBERS, float)) for file in ("adult.data", "adult.test")
    )
    kinds = [name for name in ADULT[:-1] if name not in NUMBERS]
    model = make_pipeline(
        make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(handle_unknown="ignore"), kinds)),
        LogisticRegression(max_iter=1_000),
    ).fit(train.drop(columns="income"), train["income"])
    wrong = model.predict(test.drop(columns="income")) != test["income"]
    bands = pd.cut(
        test["age"], [0, 25, 35, 45, 55, 65, 200], labels=["<=25", "26-35", "36-45", "46-55", "56-65", ">65"]
    )
    features = {name: test[name].tolist() for name in kinds}
    return features | {"age": bands.astype(str).tolist()}, wrong.to_numpy()
