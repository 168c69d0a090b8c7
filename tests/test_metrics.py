"""Metrics against their definitions, computed in NumPy one example at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, metrics

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((40, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, 40).astype(np.int32)
FOUND = LOGITS.argmax(1).astype(np.int32)


def run(function: Any, *arrays: Any) -> Any:
    """A metric of some arrays."""
    return gr.interpret(lambda *tensors: function(*tensors))(*arrays)


def counted() -> Any:
    """The confusion matrix, by counting."""
    matrix = np.zeros((5, 5), np.int32)
    for wanted, found in zip(LABELS, FOUND, strict=True):
        matrix[wanted, found] += 1
    return matrix


def test_accuracy_counts_rows() -> None:
    assert run(metrics.accuracy, LOGITS, LABELS) == np.float32((FOUND == LABELS).mean())
    for k in (1, 2, 3, 5):
        best = np.argsort(-LOGITS, axis=1)[:, :k]
        expected = np.float32(np.mean([label in row for label, row in zip(LABELS, best, strict=True)]))
        assert run(lambda x, y, k=k: metrics.top_k_accuracy(x, y, k), LOGITS, LABELS) == expected
    target = np.array([0, 1, 1, 0], np.float32)
    assert run(metrics.binary_accuracy, np.float32([0.2, 0.7, 0.4, 0.5]), target) == np.float32(0.75)


def test_confusion_and_what_follows_from_it() -> None:
    matrix = run(lambda y, p: metrics.confusion_matrix(y, p, 5), LABELS, FOUND)
    np.testing.assert_array_equal(matrix, counted())
    hits, actual, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    np.testing.assert_allclose(run(lambda m: metrics.precision(m, "none"), matrix), hits / predicted, rtol=1e-6)
    np.testing.assert_allclose(run(metrics.recall, matrix), (hits / actual).mean(), rtol=1e-6)
    np.testing.assert_allclose(run(lambda m: metrics.recall(m, "micro"), matrix), hits.sum() / 40, rtol=1e-6)
    both = 2 / (predicted / hits + actual / hits)
    np.testing.assert_allclose(run(metrics.f1_score, matrix), both.mean(), rtol=1e-6)


def test_a_class_never_predicted_has_precision_zero() -> None:
    matrix = np.array([[3, 0], [2, 0]], np.int32)
    np.testing.assert_allclose(run(lambda m: metrics.precision(m, "none"), matrix), [0.6, 0])


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_the_chance_of_the_right_order(ties: bool) -> None:
    scores = LOGITS[:, 0].round(1) if ties else LOGITS[:, 0]
    positive = LABELS < 2
    pairs = scores[positive][:, None] - scores[~positive][None]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    np.testing.assert_allclose(run(metrics.auc, scores, positive), expected, rtol=1e-5)
    assert np.isnan(run(metrics.auc, scores, np.zeros(40, bool)))


def test_r2_and_perplexity() -> None:
    target = LOGITS[:, 1]
    assert run(metrics.r2_score, target, target) == 1
    np.testing.assert_allclose(run(metrics.r2_score, np.full(40, target.mean()), target), 0, atol=1e-6)
    np.testing.assert_allclose(run(metrics.perplexity, np.full(7, np.log(np.float32(5)))), 5, rtol=1e-6)


def test_streaming_metrics_add_up_over_batches() -> None:
    program = gr.Program("streaming")
    seen, confusion = metrics.Mean(name="seen"), metrics.Confusion(5)

    @program.entry
    def update(x: gr.f32["N", 5], y: gr.i32["N"]) -> None:
        seen.update(gr.max(x, axis=1))
        confusion.update(y, gr.argmax(x, axis=1))

    @program.entry
    def result() -> Any:
        return seen.result(), confusion.matrix

    @program.entry
    def reset() -> None:
        seen.reset()
        confusion.reset()

    compiled = program.compile()
    for start in (0, 16, 32):
        compiled.update(LOGITS[start : start + 16], LABELS[start : start + 16])
    mean, matrix = compiled.result()
    np.testing.assert_allclose(mean, LOGITS.max(1).mean(), rtol=1e-6)
    np.testing.assert_array_equal(matrix, counted())
    assert list(compiled.state)[:2] == ["seen/total", "seen/weight"]
    compiled.reset()
    assert np.isnan(compiled.result()[0])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(errors.ShapeError, match="accuracy: shapes do not fit"):
        run(metrics.accuracy, LOGITS, LABELS[:-1])
    with pytest.raises(errors.ShapeError, match="is not a confusion matrix"):
        run(metrics.precision, LOGITS)
    with pytest.raises(errors.ArgumentError, match="average='weighted'"):
        run(lambda m: metrics.recall(m, "weighted"), counted())


def test_a_mean_goes_on_beyond_what_f32_counts() -> None:
    program, seen = gr.Program("many"), metrics.Mean(name="seen")

    @program.entry
    def update(x: gr.f32["N"]):
        seen.update(x)

    @program.entry
    def result():
        return seen.result()

    compiled = program.compile()
    compiled.state["seen/total"], compiled.state["seen/weight"] = np.float64(2.0**24), np.float64(2.0**24)
    for _ in range(3):
        compiled.update(np.zeros(1, np.float32))
    assert compiled.state["seen/weight"] == 2**24 + 3
    assert compiled.result().dtype == np.float32
