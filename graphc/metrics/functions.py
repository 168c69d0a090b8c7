"""Metrics as functions of tensors.

Labels are integers [...], predictions are logits or probabilities [..., classes] where a function says so. Every result
is an f32 scalar unless its function says else.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import f32, i32
from graphc.sites import user_site
from graphc.suggest import answering

Average: TypeAlias = Literal["macro", "micro", "none"]


@composite
def accuracy(prediction: TensorLike, labels: TensorLike, *, weights: TensorLike | None = None) -> Tensor:
    """The share of rows whose largest prediction, the first of equals, is at the label.

    `weights` [...], numbers or booleans (a mask), say how much each row counts; NaN where all are 0.
    """
    return share(hits(prediction, labels), weights)


@composite
def binary_accuracy(
    prediction: TensorLike, target: TensorLike, threshold: float = 0.5, *, weights: TensorLike | None = None
) -> Tensor:
    """The share of predictions on the target's side of a threshold; for logits it is 0. Targets are 0 or 1.

    `weights` as in `accuracy`.
    """
    scores, wanted = alike("binary_accuracy", prediction, target)
    return share(api.equal(scores > threshold, wanted > 0.5), weights)


@composite
def top_k_accuracy(
    prediction: TensorLike, labels: TensorLike, k: int = 5, *, weights: TensorLike | None = None
) -> Tensor:
    """The share of rows in which fewer than k predictions are greater than the label's; `weights` as in `accuracy`.

    A row with a NaN as its label's prediction is no hit. Raises `ArgumentError` where k is no positive integer.
    """
    return share(hits_in_top(prediction, labels, k), weights)


@composite
def confusion_matrix(labels: TensorLike, predicted: TensorLike, classes: int) -> Tensor:
    """How often class j was predicted for class i, i32[classes, classes]; both arguments are integers [...].

    Exact below 2²⁴ examples. Labels outside 0 … classes − 1 count nowhere.
    """
    wanted, found = alike("confusion_matrix", labels, predicted, floats=False)
    rows, columns = (api.one_hot(api.reshape(t, (-1,)), classes, f32) for t in (wanted, found))
    return api.matmul(api.matrix_transpose(rows), columns).astype(i32)


@answering()
def precision(matrix: TensorLike, average: Average = "macro") -> Tensor:
    """Of what was predicted as a class, the share that is it, from a confusion matrix; 0 where nothing was.

    `average`: "macro" is the mean over classes, "micro" counts all together, "none" gives f32[classes].
    """
    hits, _, predicted = tallies(matrix)
    return averaged(hits, predicted, average)


@answering()
def recall(matrix: TensorLike, average: Average = "macro") -> Tensor:
    """Of a class's examples, the share that was found, from a confusion matrix; as `precision` otherwise."""
    hits, actual, _ = tallies(matrix)
    return averaged(hits, actual, average)


@answering()
def f1_score(matrix: TensorLike, average: Average = "macro") -> Tensor:
    """The harmonic mean of precision and recall, 2·hits / (actual + predicted); as `precision` otherwise."""
    hits, actual, predicted = tallies(matrix)
    return averaged(2.0 * hits, actual + predicted, average)


@composite
def auc(scores: TensorLike, labels: TensorLike) -> Tensor:
    """The area under the ROC curve: the chance that a positive's score is above a negative's, ties counting half.

    Both f32[N] (labels 0 or 1, of any dtype), by ranks (Mann and Whitney, 1947), in O(N log N). NaN where one of the
    two classes has no example.
    """
    values, wanted = alike("auc", scores, labels)
    if values.ndim != 1:
        raise ShapeError(
            f"auc: scores are {values.type}, not a vector",
            operands=[describe("scores", values.node)],
            site=user_site(),
            help="take one class's, scores[:, 1], or one class against the rest after the other",
        )
    order = api.sort(values)
    below = api.searchsorted(order, values, side="left")
    upto = api.searchsorted(order, values, side="right")
    rank = (below + upto).astype(values.dtype) * 0.5  # of the middle of equal scores, from 0
    positive = (wanted > 0.5).astype(values.dtype)
    positives = api.sum(positive)
    negatives = api.sum(1.0 - positive)
    return (api.sum(rank * positive) - 0.5 * positives * positives) / (positives * negatives)


@composite
def r2_score(prediction: TensorLike, target: TensorLike) -> Tensor:
    """1 − Σ(t − p)² / Σ(t − mean t)², over all elements: 1 is perfect, 0 is as good as the mean."""
    found, wanted = alike("r2_score", prediction, target)
    return 1.0 - api.sum(api.square(wanted - found)) / api.sum(api.square(wanted - api.mean(wanted)))


@composite
def perplexity(cross_entropy: TensorLike) -> Tensor:
    """e to a mean cross-entropy in nats: how many equally likely choices it amounts to."""
    return api.exp(api.mean(as_float(cross_entropy)))


def hits(prediction: TensorLike, labels: TensorLike) -> Tensor:
    """Whether each row's largest prediction, the first of equals, is at the label, bool[...]."""
    scores, wanted = classified("accuracy", prediction, labels)
    return api.equal(api.argmax(scores, axis=-1), wanted)


def hits_in_top(prediction: TensorLike, labels: TensorLike, k: int) -> Tensor:
    """Whether fewer than k of each row's predictions are greater than the label's, bool[...]; NaN is no hit."""
    if not is_count(k, 1):
        message = f"top_k_accuracy: k={k!r} is not a positive integer"
        raise ArgumentError(message, site=user_site(), help="give how many of the largest predictions count")
    scores, wanted = classified("top_k_accuracy", prediction, labels)
    own = api.take_along_axis(scores, api.expand_dims(wanted, -1), axis=-1)
    return api.sum((~(scores <= own)).astype(i32), axis=-1) < k


def classified(name: str, prediction: TensorLike, labels: TensorLike) -> tuple[Tensor, Tensor]:
    """Predictions [..., classes] with labels [...]. Raises `ShapeError` where they do not fit."""
    scores, wanted = as_float(prediction), as_tensor(labels)
    if not scores.ndim or scores.type.shape[:-1] != wanted.type.shape:
        raise unlike(name, scores, wanted, "predictions have one axis more than labels: their classes")
    return scores, wanted


def alike(name: str, first: TensorLike, second: TensorLike, floats: bool = True) -> tuple[Tensor, Tensor]:
    """Two tensors of one shape, as floats of the first one's dtype. Raises `ShapeError` where shapes differ."""
    a, b = as_float(first) if floats else as_tensor(first), as_tensor(second)
    if a.type.shape != b.type.shape:
        raise unlike(name, a, b, "reshape one of them: metrics do not broadcast")
    return a, cast(b, a.dtype) if floats else b


def unlike(name: str, first: Tensor, second: Tensor, help: str) -> ShapeError:
    """The error of shapes that do not fit."""
    return ShapeError(
        f"{name}: shapes do not fit ({first.type} and {second.type})",
        operands=[describe("first", first.node), describe("second", second.node)],
        site=user_site(),
        help=help,
    )


def share(hits: Tensor, weights: TensorLike | None = None) -> Tensor:
    """The mean of booleans, weighted, f32."""
    counts = hits.astype(f32)
    if weights is None:
        return api.mean(counts)
    shares = weights_like(counts, weights)
    return api.sum(counts * shares) / api.sum(shares)


def weights_like(values: Tensor, weights: TensorLike | None) -> Tensor:
    """Weights for values, f32: those given, or ones. Raises `ShapeError` where shapes differ."""
    if weights is None:
        return api.ones_like(values.astype(f32))
    given = as_tensor(weights)
    if given.type.shape != values.type.shape:
        raise unlike("weights", values, given, "give one weight for each row")
    return given.astype(f32)


def tallies(matrix: TensorLike) -> tuple[Tensor, Tensor, Tensor]:
    """By class: hits, examples, predictions, as f32[classes]. Raises `ShapeError` for what is no square matrix."""
    counts = cast(as_tensor(matrix), f32)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(
            f"{counts.type} is not a confusion matrix",
            site=user_site(),
            help="metrics.confusion_matrix(labels, predicted, classes) makes one",
        )
    hits = api.sum(api.where(api.eye(counts.shape[0]) > 0, counts, 0.0), axis=1)
    return hits, api.sum(counts, axis=1), api.sum(counts, axis=0)


def averaged(part: Tensor, whole: Tensor, average: Average) -> Tensor:
    """part / whole by class, 0 where the whole is, averaged as asked."""
    expect_average(average)
    if average == "micro":
        part, whole = api.sum(part), api.sum(whole)
    ratio = api.where(whole > 0, part / api.maximum(whole, 1.0), 0.0)
    return api.mean(ratio) if average == "macro" else ratio


def expect_average(average: object) -> None:
    """Raise `ArgumentError` for another way to average over classes than there are."""
    if average not in ("macro", "micro", "none"):
        raise ArgumentError(f"average={average!r}", site=user_site(), help='use "macro", "micro" or "none"')
