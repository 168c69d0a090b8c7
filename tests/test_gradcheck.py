"""The gradient check: it passes what is right, fails what is wrong, and knows a kink from a mistake."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, ops, optim
from graphc.frontend.promotion import apply
from graphc.ir.node import Node

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3)).astype(np.float32)
W = RNG.standard_normal((3, 2)).astype(np.float32)


class WrongTanh(ops.Tanh):
    """tanh with a derivative that is one part in ten thousand too large."""

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        return (ct * (1.0001 - y * y),)


class WrongSecond(ops.Tanh):
    """tanh whose first derivative is right, but is not differentiable further."""

    def vjp(self, ct: Node, y: Node, *xs: Node) -> tuple[Node | None, ...]:
        from graphc.ir import build

        return (ct * (1.0 - build.stop_gradient(y * y)),)


def test_right_gradients_pass_with_a_table() -> None:
    report = gr.check_grads(lambda x, w: gr.tanh(x @ w), X, W)
    assert report.worst < 1e-6
    assert str(report).splitlines()[0].split() == ["parameter", "shape", "order", "compared", "worst", "error", "kinks"]
    assert [(p.name, p.compared, p.kinks) for p in report.parameters] == [("x", 12, 0), ("w", 6, 0)]


def test_a_wrong_derivative_is_caught_and_named() -> None:
    def f(params: Any) -> Any:
        return apply(WrongTanh(), gr.asarray(params["a"])) + gr.tanh(params["b"])

    with pytest.raises(errors.GradientMismatch) as raised:
        gr.check_grads(f, {"a": X, "b": X})
    text = str(raised.value)
    assert text.startswith("12 derivatives differ from centred differences\n  parameter ")
    assert "params_a" in text and "params_b" not in text and "and 7 more" in text
    assert "test_gradcheck.py:" in text


def test_order_two_catches_what_order_one_cannot() -> None:
    f = lambda x: apply(WrongSecond(), gr.asarray(x))  # noqa: E731
    gr.check_grads(f, X)
    with pytest.raises(errors.GradientMismatch):
        gr.check_grads(f, X, order=2)
    report = gr.check_grads(lambda x, w: gr.sum(gr.tanh(x @ w) ** 3), X, W, order=2)
    assert [p.order for p in report.parameters] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "function, at, kinks",
    [
        (lambda x: nn.relu(x), [0.0, 1.0, -1.0], 1),
        (lambda x: gr.abs(x), [1e-7, 0.5, -1e-6], 2),
        (lambda x: gr.max(x), [2.0, 2.0, 1.0], 0),  # the even share of a tie is what a centred difference gives
        (lambda x: gr.maximum(x, 0.3) * 100, [0.3 + 4e-6, 0.0, 1.0], 1),
    ],
)
def test_kinks_are_counted_not_failed(function: Any, at: list[float], kinks: int) -> None:
    (report,) = gr.check_grads(function, np.array(at)).parameters
    assert report.kinks == kinks


def test_a_wrong_value_beside_a_kink_still_fails() -> None:
    with pytest.raises(errors.GradientMismatch):
        gr.check_grads(lambda x: nn.relu(x) + apply(WrongTanh(), gr.asarray(x)), np.array([0.5, -0.5, 2.0]))


def test_steep_and_flat_functions_pass() -> None:
    x = np.array([0.1, -0.3, 0.7])
    gr.check_grads(lambda x: gr.exp(8 * x), x)
    gr.check_grads(lambda x: gr.sin(30 * x), x)
    gr.check_grads(lambda x: 1e-6 * gr.tanh(x) + 5.0, x)
    gr.check_grads(lambda x: 1e8 * x * x, 1e4 * x)
    rounded = gr.check_grads(lambda x: gr.sin((x + 1e6) - 1e6), x)  # the first step is lost in rounding
    assert rounded.parameters[0].kinks == 0


def digits() -> tuple[Any, Any]:
    """The digits network and its training step."""
    program = gr.Program("digits")
    net = nn.Sequential(nn.Dense(128, activation="relu"), nn.Dropout(0.1), nn.Dense(10))
    adam = optim.Adam()

    @program.entry
    def train_step(x: gr.f32["N", 64], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        adam.minimize(loss)
        return {"loss": loss}

    return program, train_step


def test_every_parameter_of_the_digits_network_in_a_moment() -> None:
    program, train_step = digits()
    program.trace()
    x, y = RNG.uniform(0, 1, (8, 64)).astype(np.float32), RNG.integers(0, 10, 8).astype(np.int32)
    start = time.perf_counter()
    report = gr.check_grads(train_step, x, y)
    assert time.perf_counter() - start < 10  # 0.7 s on an idle machine
    assert [p.name for p in report.parameters] == [
        "x", "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"
    ]  # fmt: skip
    assert report.parameters[1].directions and report.parameters[1].compared == 16
    assert report.parameters[3].compared == 1280
    assert report.worst < 1e-6


def test_large_parameters_are_checked_along_directions() -> None:
    big = RNG.standard_normal((60, 50)) * 0.1
    (report,) = gr.check_grads(lambda x: gr.tanh(x), big).parameters
    assert report.directions and report.compared == 16
    with pytest.raises(errors.GradientMismatch, match="direction 0"):
        gr.check_grads(lambda x: apply(WrongTanh(), gr.asarray(x)), big)


def test_state_is_left_alone_and_may_be_given() -> None:
    program = gr.Program("p")
    w = gr.Variable(2.0, name="w")
    sgd = optim.SGD(0.1)

    @program.entry
    def f() -> Any:
        loss = nn.relu(w) * w
        sgd.minimize(loss)
        return loss

    state = {"w": np.float32(0.0), "sgd/learning_rate": np.float32(0.1)}
    assert gr.check_grads(f).parameters[0].kinks == 0
    assert gr.check_grads(f, state=state).parameters[0].compared == 1
    assert state["w"] == 0.0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: gr.check_grads(lambda x: x > 0, X), "has no float outputs"),
        (lambda: gr.check_grads(lambda x: x * 1.5, np.arange(3)), "has no trainable Variables or float arguments"),
        (lambda: gr.check_grads(lambda x: x, X, order=3), "order=3"),
    ],
)
def test_what_can_not_be_checked(call: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        call()
