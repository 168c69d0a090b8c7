"""Metrics beside scikit-learn's, and streaming ones beside those of all rows at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

import graphc as gr
from graphc import errors, losses, metrics

RNG = np.random.default_rng(3)
ROWS, CLASSES = 500, 6
LABELS = RNG.integers(0, CLASSES, ROWS).astype(np.int32)
LOGITS = (RNG.standard_normal((ROWS, CLASSES)) + 1.5 * np.eye(CLASSES)[LABELS]).astype(np.float32)
PREDICTED = LOGITS.argmax(1).astype(np.int32)
WEIGHTS = RNG.random(ROWS).astype(np.float32)
BINARY = (LABELS > 2).astype(np.int32)
SCORES = (1 / (1 + np.exp(-LOGITS[:, 4]))).astype(np.float32)
TIED = SCORES.round(2)
TARGET = LOGITS[:, 0] + 100
GUESS = TARGET + RNG.standard_normal(ROWS).astype(np.float32)
RANK = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)

#: ours, its arguments, what scikit-learn says.
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any]] = {
    "accuracy": (metrics.accuracy, (LOGITS, LABELS), reference.accuracy_score(LABELS, PREDICTED)),
    "weighted accuracy": (
        lambda x, y, w: metrics.accuracy(x, y, weights=w),
        (LOGITS, LABELS, WEIGHTS),
        reference.accuracy_score(LABELS, PREDICTED, sample_weight=WEIGHTS),
    ),
    "masked accuracy": (
        lambda x, y, w: metrics.accuracy(x, y, weights=w),
        (LOGITS, LABELS, WEIGHTS > 0.5),
        reference.accuracy_score(LABELS[WEIGHTS > 0.5], PREDICTED[WEIGHTS > 0.5]),
    ),
    "weighted binary": (
        lambda x, y, w: metrics.binary_accuracy(x, y, weights=w),
        (SCORES, BINARY, WEIGHTS),
        reference.accuracy_score(BINARY, SCORES > 0.5, sample_weight=WEIGHTS),
    ),
    "top 3": (
        lambda x, y, w: metrics.top_k_accuracy(x, y, 3, weights=w),
        (LOGITS, LABELS, WEIGHTS),
        reference.top_k_accuracy_score(LABELS, LOGITS, k=3, sample_weight=WEIGHTS),
    ),
    "confusion": (
        lambda y, p: metrics.confusion_matrix(y, p, CLASSES),
        (LABELS, PREDICTED),
        reference.confusion_matrix(LABELS, PREDICTED),
    ),
    "auc": (metrics.auc, (SCORES, BINARY), reference.roc_auc_score(BINARY, SCORES)),
    "auc with ties": (metrics.auc, (TIED, BINARY), reference.roc_auc_score(BINARY, TIED)),
    "r2": (metrics.r2_score, (GUESS, TARGET), reference.r2_score(TARGET, GUESS)),
    "perplexity": (
        lambda x, y: metrics.perplexity(losses.sparse_softmax_cross_entropy(x, y)),
        (LOGITS, LABELS),
        np.exp(reference.log_loss(LABELS, RANK)),
    ),
}
for average in ("macro", "micro", None):
    for name, theirs in (
        ("precision", reference.precision_score), ("recall", reference.recall_score), ("f1_score", reference.f1_score),
    ):  # fmt: skip
        ours = getattr(metrics, name)
        CASES[f"{name} {average}"] = (
            lambda y, p, ours=ours, average=average or "none": ours(metrics.confusion_matrix(y, p, CLASSES), average),
            (LABELS, PREDICTED),
            theirs(LABELS, PREDICTED, average=average),
        )


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_scikit_learns(case: str) -> None:
    ours, arguments, expected = CASES[case]
    np.testing.assert_allclose(gr.jit(lambda *args: ours(*args))(*arguments), expected, rtol=2e-5)


#: A streaming metric, how it is updated, and what it says of all rows.
STREAMING: dict[str, tuple[Any, Callable[..., None], Any]] = {
    "accuracy": (
        metrics.Accuracy(), lambda m, x, y, w, s, b, g, t: m.update(x, y, w), CASES["weighted accuracy"][2],
    ),
    "top": (metrics.TopK(3), lambda m, x, y, w, s, b, g, t: m.update(x, y, w), CASES["top 3"][2]),
    "perplexity": (
        metrics.Perplexity(),
        lambda m, x, y, w, s, b, g, t: m.update(losses.sparse_softmax_cross_entropy(x, y, "none")),
        CASES["perplexity"][2],
    ),
    "confusion": (
        metrics.Confusion(CLASSES), lambda m, x, y, w, s, b, g, t: m.update(y, gr.argmax(x, axis=-1)),
        CASES["confusion"][2],
    ),
    "precision": (
        metrics.Precision(CLASSES), lambda m, x, y, w, s, b, g, t: m.update(y, gr.argmax(x, axis=-1)),
        CASES["precision macro"][2],
    ),
    "recall": (
        metrics.Recall(CLASSES, "none"), lambda m, x, y, w, s, b, g, t: m.update(y, gr.argmax(x, axis=-1)),
        CASES["recall None"][2],
    ),
    "f1": (
        metrics.F1(CLASSES, "micro"), lambda m, x, y, w, s, b, g, t: m.update(y, gr.argmax(x, axis=-1)),
        CASES["f1_score micro"][2],
    ),
    "auc": (
        metrics.AUC(64), lambda m, x, y, w, s, b, g, t: m.update(s, b, w),
        reference.roc_auc_score(BINARY, np.floor(SCORES * 64), sample_weight=WEIGHTS),
    ),
    "r2": (metrics.R2(), lambda m, x, y, w, s, b, g, t: m.update(g, t), CASES["r2"][2]),
}  # fmt: skip


@pytest.fixture(scope="module")
def streaming() -> Any:
    """A program that keeps every streaming metric."""
    program = gr.Program("streaming")

    @program.entry
    def update(
        x: gr.f32["N", CLASSES], y: gr.i32["N"], w: gr.f32["N"], s: gr.f32["N"], b: gr.i32["N"], g: gr.f32["N"],
        t: gr.f32["N"],
    ) -> None:  # fmt: skip
        for metric, take, _ in STREAMING.values():
            take(metric, x, y, w, s, b, g, t)

    @program.entry
    def result() -> Any:
        return {name: metric.result() for name, (metric, _, _) in STREAMING.items()}

    @program.entry
    def reset() -> None:
        for metric, _, _ in STREAMING.values():
            metric.reset()

    return program.compile()


@pytest.mark.parametrize("batch", [1, 64, 500])
def test_streaming_metrics_say_what_all_rows_say(streaming: Any, batch: int) -> None:
    streaming.reset()
    columns = (LOGITS, LABELS, WEIGHTS, SCORES, BINARY, GUESS, TARGET)
    for start in range(0, ROWS, batch):
        streaming.update(*(c[start : start + batch] for c in columns))
    streaming.update(*(c[:0] for c in columns))  # a batch without rows adds nothing
    found = streaming.result()
    for name, (_, _, expected) in STREAMING.items():
        np.testing.assert_allclose(found[name], expected, rtol=3e-5, err_msg=name)
    streaming.reset()
    assert np.isnan(streaming.result()["r2"]) and not streaming.result()["confusion"].any()


def binned_area(bins: int) -> float:
    """The area that a streaming metric gives."""
    curve, program = metrics.AUC(bins), gr.Program("curve")

    @program.entry
    def area(s: gr.f32["N"], b: gr.i32["N"]) -> Any:
        curve.update(s, b)
        return curve.result()

    return float(program.compile().area(SCORES, BINARY))


def test_bins_of_the_area_are_off_by_no_more_than_they_say() -> None:
    exact, positive = reference.roc_auc_score(BINARY, SCORES), BINARY.astype(bool)
    for bins in (10, 100, 1000):
        place = np.clip(np.floor(SCORES * bins), 0, bins - 1).astype(int)
        positives, negatives = (np.bincount(place[rows], minlength=bins) for rows in (positive, ~positive))
        bound = 0.5 * (positives * negatives).sum() / positives.sum() / negatives.sum()
        assert abs(binned_area(bins) - exact) <= bound + 1e-6


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="AUC: 1 bins"):
        metrics.AUC(1)
    with pytest.raises(errors.ShapeError, match="weights: shapes do not fit"):
        gr.jit(lambda x, y, w: metrics.accuracy(x, y, weights=w))(LOGITS, LABELS, WEIGHTS[1:])


@pytest.mark.parametrize("name", ["mean_squared_error", "huber", "sigmoid_cross_entropy", "softmax_cross_entropy"])
def test_a_batch_that_is_masked_whole_changes_nothing(name: str) -> None:
    def loss(x: Any, y: Any, mask: Any) -> Any:
        return getattr(losses, name)(x, y, mask=mask)

    value, slope = gr.value_and_grad(loss)(LOGITS, RANK, np.zeros(ROWS, bool))
    assert value == 0 and not slope.any()
