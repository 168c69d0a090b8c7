"""Optimizers take the steps that PyTorch takes, and keep their state where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim
from graphc.optim.means import running_mean

VECTORS = np.load(Path(__file__).parent / "vectors" / "torch.npz")

RULES: dict[str, Callable[[], optim.Optimizer]] = {
    "sgd": lambda: optim.SGD(0.1),
    "momentum": lambda: optim.Momentum(0.1, 0.9),
    "nesterov": lambda: optim.Momentum(0.1, 0.8, nesterov=True),
    "adam": lambda: optim.Adam(1e-3),
    "adam_large": lambda: optim.Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-3),
}


def stepper(optimizer: optim.Optimizer, start: Any, dtype: Any) -> gr.Entry:
    """An entry that takes one step along a given gradient and returns the parameter."""
    program = gr.Program("steps")
    w = gr.Variable(start, name="w")

    @program.entry(gradient=dtype[3, 4])
    def step(gradient: Any) -> Any:
        optimizer.apply_gradients([(gradient, w)])
        return w

    return step


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("label, dtype, tolerance", [("", gr.f64, 1e-12), ("_f32", gr.f32, 3e-6)])
def test_ten_steps_follow_pytorch(rule: str, label: str, dtype: Any, tolerance: float) -> None:
    start = VECTORS["optim/start"].astype(dtype.numpy)
    step = gr.interpret(stepper(RULES[rule](), start, dtype))
    for gradient, expected in zip(VECTORS["optim/gradients"], VECTORS[f"optim/{rule}{label}"], strict=True):
        found = step(gradient.astype(dtype.numpy))
        assert found.dtype == dtype.numpy
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.5, 0.9, 0.999, 1.0])
def test_a_running_mean_lies_between_its_values_and_is_exact_where_it_can_be(decay: float) -> None:
    program = gr.Program("means")

    @program.entry(mean=gr.f32["N"], value=gr.f32["N"])
    def moved(mean: Any, value: Any) -> Any:
        return running_mean(mean, value, decay)

    step = program.compile().moved
    mean, value = np.float32(np.random.default_rng(0).lognormal(0, 10, (2, 500)))
    found = step(mean, value)
    assert (np.minimum(mean, value) <= found).all() and (found <= np.maximum(mean, value)).all()
    assert (step(mean, mean) == mean).all()
    assert decay not in (0.0, 1.0) or (found == (mean if decay else value)).all()


def network() -> tuple[gr.Program, gr.Entry, gr.Entry]:
    """A small network with an optimizer of each kind's state."""
    program = gr.Program("net")
    net = nn.Sequential(nn.Dense(3, activation="tanh"), nn.Dense(1))
    adam = optim.Adam(1e-2)

    @program.entry
    def predict(x: gr.f32["N", 2]) -> Any:
        return net(x)

    @program.entry
    def train(x: gr.f32["N", 2], y: gr.f32["N", 1]) -> Any:
        loss = losses.mean_squared_error(net(x), y)
        adam.minimize(loss)
        return loss

    return program, predict, train


def test_state_stands_below_the_optimizer_and_the_parameter() -> None:
    variables = {v.name: v for v in network()[0].trace().variables}
    assert list(variables) == [
        "dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias", "adam/learning_rate", "adam/step",
        "dense/kernel/adam/m", "dense/kernel/adam/v", "dense/bias/adam/m", "dense/bias/adam/v",
        "dense_1/kernel/adam/m", "dense_1/kernel/adam/v", "dense_1/bias/adam/m", "dense_1/bias/adam/v",
    ]  # fmt: skip
    assert [n for n, v in variables.items() if v.trainable] == list(variables)[:4]
    assert variables["dense/kernel/adam/m"].like == "dense/kernel"
    assert variables["adam/step"].type == gr.TensorType(gr.i64)


def test_minimising_decreases_the_loss() -> None:
    _, _, train = network()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 2)).astype(np.float32)
    y = (x[:, :1] * x[:, 1:]).astype(np.float32)
    step = gr.interpret(train)
    path = [step(x, y) for _ in range(200)]
    assert path[-1] < 0.3 * path[0]
    assert step.state["adam/step"] == 200


def test_the_learning_rate_is_state() -> None:
    step = gr.interpret(stepper(optim.SGD(0.5), np.zeros((3, 4), np.float32), gr.f32))
    ones = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(step(ones), -0.5 * ones)
    step.state["sgd/learning_rate"] = np.float32(0.25)
    np.testing.assert_array_equal(step(ones), -0.75 * ones)


def test_the_learning_rate_may_be_a_tensor() -> None:
    program = gr.Program("rates")
    w = gr.Variable(1.0, name="w")
    sgd = optim.SGD(1.0)

    @program.entry
    def step(rate: gr.f32[()]) -> Any:
        sgd.minimize(w * w, learning_rate=rate)
        return w

    run = gr.interpret(step)
    assert run(0.25) == 0.5
    assert run(0.5) == 0.0


def test_adam_costs_an_element_one_root_and_one_division() -> None:
    entry = stepper(optim.Adam(), np.zeros((3, 4), np.float32), gr.f32).program.trace().entries[0]
    names = [n.op.mnemonic() for n in entry.graph.nodes() if n.type.shape == (3, 4)]
    assert (names.count("sqrt"), names.count("div"), names.count("rsqrt")) == (1, 1, 0)


def test_an_optimizer_written_out_gives_the_same_graph() -> None:
    def build(own: bool) -> Any:
        program = gr.Program("p")
        w = gr.Variable(np.ones(3, np.float32), name="w")
        sgd = optim.SGD(gr.Variable(0.1, name="rate", trainable=False))

        @program.entry
        def step(x: gr.f32[3]) -> Any:
            loss = gr.sum(gr.square(w * x))
            if own:
                w.assign(w - sgd._given_rate * gr.gradients(loss, w))
            else:
                sgd.minimize(loss)
            return loss

        from graphc.ir.text import print_graph

        return print_graph(program.trace().entries[0].graph, sites=False)

    assert build(own=True) == build(own=False)


def test_a_variable_takes_one_optimizer_an_entry() -> None:
    program = gr.Program("twice")
    w = gr.Variable(1.0, name="w")
    first, second = optim.SGD(0.1), optim.Adam()

    @program.entry
    def step() -> None:
        loss = w * w
        first.minimize(loss)
        second.minimize(loss)  # here

    with pytest.raises(errors.TraceError, match="w is updated twice") as raised:
        program.trace()
    assert "second.minimize(loss)  # here" in str(raised.value)
    assert "first.minimize(loss)" in str(raised.value)


def test_chosen_parameters_only() -> None:
    program = gr.Program("chosen")
    a, b = gr.Variable(1.0, name="a"), gr.Variable(1.0, name="b")
    sgd = optim.SGD(0.5)

    @program.entry
    def step() -> Any:
        sgd.minimize(a * b, params=[a])
        return a, b

    assert gr.interpret(step)() == (0.5, 1.0)


def test_a_function_is_no_loss() -> None:
    program = gr.Program("function")
    w = gr.Variable(1.0, name="w")

    @program.entry
    def step() -> None:
        optim.SGD(0.5).minimize(lambda: w * w)  # type: ignore[arg-type]

    with pytest.raises(errors.ArgumentError, match="sgd: the loss is a function"):
        program.trace()


def test_nothing_to_minimise_is_an_error() -> None:
    program = gr.Program("nothing")

    @program.entry
    def step(x: gr.f32[()]) -> None:
        optim.SGD(0.5).minimize(x * x)

    with pytest.raises(errors.ArgumentError, match="no trainable Variable"):
        program.trace()
