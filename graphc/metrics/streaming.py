"""Metrics over many batches: `update` adds to sums in the state, `result` reads them, `reset` forgets."""

from __future__ import annotations

import numpy as np

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.cumulative import cumsum
from graphc.frontend.numbers import is_count, is_number
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.ir.types import f32, f64, i32
from graphc.metrics.functions import (
    Average,
    alike,
    confusion_matrix,
    expect_average,
    f1_score,
    hits,
    hits_in_top,
    precision,
    recall,
    weights_like,
)
from graphc.nn.module import Module
from graphc.nn.weights import expect_count
from graphc.suggest import answering_methods


@answering_methods
class Averaged(Module):
    """The base of weighted means over many batches; NaN before the first. State: `total` and `weight`, f64 scalars.

    In f32 a weight would stop at 2²⁴ rows of one at a time. The result is f32.
    """

    def __init__(self, name: str | None = None):
        super().__init__(name)
        self.total = Variable(np.zeros((), np.float64), trainable=False)
        self.weight = Variable(np.zeros((), np.float64), trainable=False)

    def add(self, values: TensorLike, weights: TensorLike | None = None) -> None:
        """Take more values, each of weight 1 or of its own. Raises `ShapeError` where shapes differ."""
        found = cast(as_float(values), f32)
        shares = weights_like(found, weights)
        self.total.assign(self.total + cast(api.sum(found * shares), f64))
        self.weight.assign(self.weight + cast(api.sum(shares), f64))

    def result(self) -> Tensor:
        """The mean so far."""
        return cast(self.total / self.weight, f32)

    def reset(self) -> None:
        """Forget what was seen."""
        self.total.assign(0.0)
        self.weight.assign(0.0)


@answering_methods
class Mean(Averaged):
    """The weighted mean of all values seen."""

    def update(self, values: TensorLike, weights: TensorLike | None = None) -> None:
        """Take more values, each of weight 1 or of its own, in `weights` of the same shape."""
        self.add(values, weights)


@answering_methods
class Accuracy(Averaged):
    """`accuracy` over many batches."""

    def update(self, prediction: TensorLike, labels: TensorLike, weights: TensorLike | None = None) -> None:
        """Count more rows, predictions [..., classes] and labels [...]."""
        self.add(hits(prediction, labels), weights)


@answering_methods
class TopK(Averaged):
    """`top_k_accuracy` over many batches. Raises `ArgumentError` where k is no positive integer."""

    def __init__(self, k: int = 5, name: str | None = None):
        super().__init__(name)
        expect_count(self, k=k)
        self.k = int(k)

    def update(self, prediction: TensorLike, labels: TensorLike, weights: TensorLike | None = None) -> None:
        """Count more rows, predictions [..., classes] and labels [...]."""
        self.add(hits_in_top(prediction, labels, self.k), weights)


@answering_methods
class Perplexity(Mean):
    """`perplexity` over many batches: update it with unreduced cross-entropies, in nats."""

    def result(self) -> Tensor:
        """e to the mean so far."""
        return api.exp(super().result())


@answering_methods
class Confusion(Module):
    """A confusion matrix over many batches, in the state as `matrix`, i32[classes, classes].

        confusion = metrics.Confusion(10)
        confusion.update(y, gr.argmax(net(x), axis=-1))
        metrics.f1_score(confusion.matrix)

    Raises `ArgumentError` where `classes` is no positive integer.
    """

    def __init__(self, classes: int, name: str | None = None):
        super().__init__(name)
        expect_count(self, classes=classes)
        self.classes = int(classes)
        self.matrix = Variable(np.zeros((self.classes, self.classes), np.int32), trainable=False)

    def update(self, labels: TensorLike, predicted: TensorLike) -> None:
        """Count more examples, integers [...] both."""
        self.matrix.assign(self.matrix + confusion_matrix(labels, predicted, self.classes))

    def result(self) -> Tensor:
        """What was counted so far, i32[classes, classes]."""
        return as_tensor(self.matrix)

    def reset(self) -> None:
        """Forget what was seen."""
        self.matrix.assign(0)


class OfConfusion(Confusion):
    """The base of figures of a confusion matrix, averaged over classes as `precision` says."""

    def __init__(self, classes: int, average: Average = "macro", name: str | None = None):
        super().__init__(classes, name)
        expect_average(average)
        self.average = average


@answering_methods
class Precision(OfConfusion):
    """`precision` over many batches."""

    def result(self) -> Tensor:
        """That of all examples so far."""
        return precision(self.matrix, self.average)


@answering_methods
class Recall(OfConfusion):
    """`recall` over many batches."""

    def result(self) -> Tensor:
        """That of all examples so far."""
        return recall(self.matrix, self.average)


@answering_methods
class F1(OfConfusion):
    """`f1_score` over many batches."""

    def result(self) -> Tensor:
        """That of all examples so far."""
        return f1_score(self.matrix, self.average)


@answering_methods
class AUC(Module):
    """The area under the ROC curve over many batches, from counts of scores in `bins` equal parts of [low, high].

    Scores of one bin count as equal, and those outside as at its ends, so it is `auc` of scores rounded to bins: what
    it may be off by is half the share of (positive, negative) pairs that fall into one bin. State: `counts`,
    f32[2, bins], of negatives and positives. The result is NaN where one of the two has no example.

        curve = metrics.AUC()
        curve.update(nn.sigmoid(logits), y)
    """

    def __init__(self, bins: int = 1000, low: float = 0.0, high: float = 1.0, name: str | None = None):
        super().__init__(name)
        if not is_count(bins, 2) or not is_number(low) or not is_number(high) or not low < high:
            raise ArgumentError(
                f"AUC: {bins!r} bins from {low} to {high}", site=self.site, help="give two bins or more, and low < high"
            )
        self.bins, self.low, self.high = bins, low, high
        self.counts = Variable(np.zeros((2, bins), np.float32), trainable=False)

    def update(self, scores: TensorLike, labels: TensorLike, weights: TensorLike | None = None) -> None:
        """Count more examples: scores [...] and labels of the same shape, 0 or 1, each of weight 1 or of its own."""
        values, wanted = alike("AUC", scores, labels)
        place = api.floor((cast(values, f32) - self.low) * (self.bins / (self.high - self.low)))
        bin_of = api.reshape(api.clip(place, 0, self.bins - 1).astype(i32), (-1,))
        kind = api.reshape((wanted > 0.5).astype(i32), (-1,))
        shares = weights_like(values, weights)
        self.counts.assign(as_tensor(self.counts).at[kind, bin_of].add(api.reshape(shares, (-1,))))

    def result(self) -> Tensor:
        """The area so far."""
        negatives, positives = self.counts[0], self.counts[1]
        below = cumsum(negatives) - 0.5 * negatives
        return api.sum(positives * below) / (api.sum(positives) * api.sum(negatives))

    def reset(self) -> None:
        """Forget what was seen."""
        self.counts.assign(0.0)


@answering_methods
class R2(Module):
    """`r2_score` over many batches. State, f32: `count`, `mean` and `spread` (Σ(t − mean)²) of targets, `residual`.

    Means and spreads of batches are put together without cancellation (Chan, Golub and LeVeque, 1979).
    """

    def __init__(self, name: str | None = None):
        super().__init__(name)
        self.count = Variable(np.float32(0), trainable=False)
        self.mean = Variable(np.float32(0), trainable=False)
        self.spread = Variable(np.float32(0), trainable=False)
        self.residual = Variable(np.float32(0), trainable=False)

    def update(self, prediction: TensorLike, target: TensorLike) -> None:
        """Take more values, floats of one shape."""
        found, wanted = (cast(t, f32) for t in alike("R2", prediction, target))
        count = api.sum(api.ones_like(wanted))
        mean = api.sum(wanted) / api.maximum(count, 1.0)
        total = self.count + count
        apart = mean - self.mean
        part = count / api.maximum(total, 1.0)
        spread = api.sum(api.square(wanted - mean)) + api.square(apart) * self.count * part
        self.spread.assign(self.spread + spread)
        self.mean.assign(self.mean + apart * part)
        self.residual.assign(self.residual + api.sum(api.square(wanted - found)))
        self.count.assign(total)

    def result(self) -> Tensor:
        """1 − residual / spread so far; NaN before the first value."""
        return 1.0 - self.residual / self.spread

    def reset(self) -> None:
        """Forget what was seen."""
        for variable in (self.count, self.mean, self.spread, self.residual):
            variable.assign(0.0)
