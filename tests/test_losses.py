"""Losses and activations: values and gradients against PyTorch's, also where they could overflow."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn

VECTORS = np.load(Path(__file__).parent / "vectors" / "torch.npz")

TARGETS = {
    "mean_squared_error": "target",
    "mean_absolute_error": "target",
    "huber": "target",
    "sigmoid_cross_entropy": "zero_one",
    "softmax_cross_entropy": "distribution",
    "sparse_softmax_cross_entropy": "labels",
}


def loss_function(name: str) -> Any:
    return partial(losses.huber, delta=0.7) if name == "huber" else getattr(losses, name)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_are_pytorchs(name: str, reduction: Any) -> None:
    run = gr.interpret(lambda x, y: loss_function(name)(x, y, reduction=reduction))
    found = run(VECTORS["loss/prediction"], VECTORS[f"loss/{TARGETS[name]}"])
    np.testing.assert_allclose(found, VECTORS[f"loss/{name}/{reduction}"], rtol=1e-12)


@pytest.mark.parametrize("name", TARGETS)
def test_gradients_of_losses_are_pytorchs(name: str) -> None:
    run = gr.interpret(gr.grad(loss_function(name)))
    found = run(VECTORS["loss/prediction"], VECTORS[f"loss/{TARGETS[name]}"])
    np.testing.assert_allclose(found, VECTORS[f"loss/{name}/gradient"], rtol=1e-10, atol=1e-15)


def smoothed_cross_entropy(x: Any, target: Any, smoothing: float) -> Any:
    """Cross-entropies of rows against smoothed distributions, in NumPy."""
    classes = x.shape[-1]
    if target.ndim < x.ndim:
        target = np.eye(classes)[target]
    shifted = x - x.max(-1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(((1 - smoothing) * target + smoothing / classes) * log_softmax).sum(-1)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "sparse_softmax_cross_entropy"])
def test_label_smoothing_mixes_the_target_with_all_classes(name: str) -> None:
    x, target = VECTORS["loss/prediction"], VECTORS[f"loss/{TARGETS[name]}"]
    run = gr.interpret(lambda x, y: loss_function(name)(x, y, "none", label_smoothing=0.1))
    np.testing.assert_allclose(run(x, target), smoothed_cross_entropy(x, target, 0.1), rtol=1e-12)


def test_smoothed_labels_of_a_sigmoid_lie_between_zero_and_one() -> None:
    x, y = VECTORS["loss/prediction"], VECTORS["loss/zero_one"]
    smoothed = gr.interpret(lambda x, y: losses.sigmoid_cross_entropy(x, y, "none", label_smoothing=0.2))(x, y)
    plain = gr.interpret(lambda x, y: losses.sigmoid_cross_entropy(x, y, "none"))(x, 0.8 * y + 0.1)
    np.testing.assert_allclose(smoothed, plain, rtol=1e-12)


@pytest.mark.parametrize("name", TARGETS)
def test_weights_multiply_and_masks_leave_out(name: str) -> None:
    x, y = VECTORS["loss/prediction"], VECTORS[f"loss/{TARGETS[name]}"]
    elements = VECTORS[f"loss/{name}/none"]
    weights, mask = np.linspace(0.5, 2.0, 6), np.array([True, False, True, True, False, True])
    rows = weights.reshape(6, *[1] * (elements.ndim - 1)) * elements
    weighted = gr.interpret(lambda x, y, w: loss_function(name)(x, y, weights=w))(x, y, weights)
    np.testing.assert_allclose(weighted, rows.mean(), rtol=1e-12)
    both = gr.interpret(lambda x, y, w, m: loss_function(name)(x, y, weights=w, mask=m))(x, y, weights, mask)
    np.testing.assert_allclose(both, rows[mask].mean(), rtol=1e-12)
    none = gr.interpret(lambda x, y, m: loss_function(name)(x, y, "none", mask=m))(x, y, mask)
    np.testing.assert_allclose(none, np.where(mask.reshape(6, *[1] * (elements.ndim - 1)), elements, 0), rtol=1e-12)


def test_a_masked_row_may_hold_anything() -> None:
    x = np.array([[1.0, 2.0], [np.inf, np.nan]])
    loss = gr.grad(lambda x, y, m: losses.sparse_softmax_cross_entropy(x, y, mask=m))
    slope = gr.interpret(loss)(x, np.array([0, 1]), np.array([True, False]))
    assert np.isfinite(slope[0]).all()


def test_the_sum_of_squared_errors_is_a_sum() -> None:
    x, y = VECTORS["loss/prediction"], VECTORS["loss/target"]
    total = gr.interpret(lambda x, y: losses.sum_squared_error(x, y))(x, y)
    np.testing.assert_allclose(total, ((x - y) ** 2).sum(), rtol=1e-12)


def test_weights_that_do_not_fit_and_smoothing_that_is_no_share_are_refused() -> None:
    x, y = VECTORS["loss/prediction"], VECTORS["loss/target"]
    with pytest.raises(errors.ShapeError, match="weights f64\\[5\\] do not fit the unreduced loss f64\\[6,5\\]"):
        gr.interpret(lambda x, y: losses.mean_squared_error(x, y, weights=np.ones(5)))(x, y)
    with pytest.raises(errors.ArgumentError, match="label_smoothing=2 is not a share"):
        gr.interpret(lambda x, y: losses.sigmoid_cross_entropy(x, y, label_smoothing=2))(x, y)


ACTIVATIONS = [n.split("/")[1] for n in VECTORS.files if n.startswith("activation/") and n.endswith("/gradient")]


def activation(name: str) -> Any:
    if name == "gelu_tanh":
        return partial(nn.gelu, approximate=True)
    return partial(nn.logsumexp, axis=-1) if name == "logsumexp" else getattr(nn, name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_pytorchs(name: str) -> None:
    x = VECTORS["activation/x"]
    np.testing.assert_allclose(
        gr.interpret(lambda x: activation(name)(x))(x), VECTORS[f"activation/{name}"], rtol=1e-11, atol=1e-15
    )
    gradient = gr.interpret(gr.grad(lambda x, w: gr.sum(activation(name)(x) * w)))
    found = gradient(x, VECTORS[f"activation/{name}/weights"])
    tolerance = 1e-7 if name == "hard_sigmoid" else 1e-9  # PyTorch's 1/6 there is a float32
    np.testing.assert_allclose(found, VECTORS[f"activation/{name}/gradient"], rtol=tolerance, atol=1e-14)


def test_softmax_family_survives_extremes() -> None:
    x = np.array([[1e4, -1e4, 0.0], [-1e30, -1e30, -1e30]], np.float32)
    np.testing.assert_array_equal(gr.interpret(lambda x: nn.softmax(x))(x), [[1, 0, 0], [1 / np.float32(3)] * 3])
    minus = np.full((2, 3), -np.inf, np.float32)
    assert np.all(gr.interpret(lambda x: nn.logsumexp(x, axis=1))(minus) == -np.inf)
    assert gr.interpret(lambda x: nn.logsumexp(x))(np.array([np.inf, 0], np.float32)) == np.inf
    assert gr.interpret(lambda x, y: losses.sparse_softmax_cross_entropy(x, y))(x[:1], np.array([1])) == 2e4


def test_relu_has_no_slope_at_zero_and_keeps_nan() -> None:
    x = np.array([-1.0, 0.0, 2.0, np.nan], np.float32)
    np.testing.assert_array_equal(gr.interpret(lambda x: nn.relu(x))(x), [0, 0, 2, np.nan])
    slope = gr.interpret(gr.grad(lambda x: gr.sum(nn.relu(x))))(x)
    np.testing.assert_array_equal(slope[:3], [0, 0, 1])


def test_the_mean_over_a_symbolic_batch_divides_by_its_size() -> None:
    program = gr.Program("mean")

    @program.entry
    def loss(x: gr.f32["N", 3], y: gr.f32["N", 3]) -> Any:
        return losses.mean_squared_error(x, y)

    run = gr.interpret(loss)
    for n in (1, 2, 7):
        x = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
        assert run(x, np.zeros_like(x)) == pytest.approx(np.mean(x**2))


def test_labels_that_are_arguments_get_a_range() -> None:
    program = gr.Program("labels")

    @program.entry
    def loss(x: gr.f32["N", 10], y: gr.i32["N"], z: gr.i32["N"]) -> Any:
        return losses.sparse_softmax_cross_entropy(x, y), losses.sparse_softmax_cross_entropy(x, z % 10)

    _, y, z = program.trace().entries[0].inputs
    assert ((y.low, y.high), (z.low, z.high)) == ((0, 9), (None, None))


@pytest.mark.parametrize(
    "x, y, kind, message",
    [
        ((4, 3), np.zeros((4, 1), np.int32), errors.ShapeError, r"want labels of shape \(4\)"),
        ((4, 3), np.zeros(4, np.float32), errors.DTypeError, "labels are integers"),
    ],
)
def test_bad_labels_are_refused(x: tuple[int, ...], y: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        gr.interpret(lambda x, y: losses.sparse_softmax_cross_entropy(x, y))(np.zeros(x, np.float32), y)


def test_losses_do_not_broadcast() -> None:
    x = np.zeros((4, 1), np.float32)
    with pytest.raises(errors.ShapeError, match="differ in shape"):
        gr.interpret(lambda x, y: losses.mean_squared_error(x, y))(x, x[:, 0])


def test_an_unknown_reduction_is_an_error() -> None:
    with pytest.raises(errors.ArgumentError, match='use "mean", "sum" or "none"'):
        gr.interpret(lambda x: losses.huber(x, x, reduction="average"))(np.zeros(3, np.float32))  # type: ignore[arg-type]
