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
        ((4, 3), np.zeros(4, np.float32), errors.DTypeError, "indices are f32"),
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
