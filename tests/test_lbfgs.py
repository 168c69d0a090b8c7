"""L-BFGS goes the way of PyTorch's, in compiled code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim

VECTORS = np.load(Path(__file__).parent / "vectors" / "lbfgs.npz")


def rosenbrock(w: Any) -> Any:
    return gr.sum(100.0 * gr.square(w[1:] - gr.square(w[:-1])) + gr.square(1.0 - w[:-1]))


def logistic(w: Any) -> Any:
    return gr.mean(nn.softplus(-VECTORS["y"] * (VECTORS["x"] @ w))) + 1e-3 * gr.sum(w * w)


def wavy(w: Any) -> Any:
    return gr.sum(0.05 * w * w + gr.sin(3.0 * w) * gr.cos(gr.roll(w, 1)))


LOSSES = {"rosenbrock": rosenbrock, "logistic": logistic, "wavy": wavy}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "wolfe": {"max_iter": 3, "history_size": 4},
    "fixed": {"learning_rate": 0.1, "max_iter": 3, "history_size": 4, "line_search": None},
}


def stepper(loss: Any, start: Any, **options: Any) -> gr.Entry:
    """An entry that makes one call of L-BFGS; it gives the parameters, the loss before and after it."""
    program = gr.Program("p")
    w, lbfgs = gr.Variable(start, name="w"), optim.LBFGS(**options)

    @program.entry
    def step() -> Any:
        before = lbfgs.minimize(lambda: loss(w))
        return w, before, loss(w)

    return step


@pytest.mark.parametrize("record", [n for n in VECTORS.files if n.split("/")[-1] in OPTIONS])
def test_ten_calls_follow_pytorch(record: str) -> None:
    name, kind = record.split("/")
    compiled = stepper(LOSSES[name], VECTORS[f"{name}/start"], **OPTIONS[kind]).program.compile()
    last = None
    for expected in VECTORS[record]:
        w, before, after = compiled.step()
        np.testing.assert_allclose(np.append(w, after), expected, rtol=1e-10, atol=1e-10)
        assert last is None or before == last
        last = after


def test_line_searches_from_anywhere_follow_pytorch() -> None:
    compiled = stepper(wavy, np.zeros(3), max_iter=4, max_eval=12).program.compile()
    for start, rate, expected in zip(VECTORS["starts"], VECTORS["rates"], VECTORS["ends"], strict=True):
        compiled.init()
        compiled.state.update({"w": start, "lbfgs/learning_rate": rate})
        w, _, after = compiled.step()
        np.testing.assert_allclose(np.append(w, after), expected, rtol=1e-8, atol=1e-8)


def test_a_network_is_fitted_to_a_whole_data_set() -> None:
    program = gr.Program("net")
    net = nn.Sequential(nn.Dense(6, activation="tanh"), nn.Dense(1))
    lbfgs = optim.LBFGS(max_iter=50)

    @program.entry
    def fit(x: gr.f32["N", 2], y: gr.f32["N", 1]) -> Any:
        return lbfgs.minimize(lambda: losses.mean_squared_error(net(x), y))

    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 2)).astype(np.float32)
    y = np.sin(x[:, :1]) * x[:, 1:]
    compiled = program.compile()
    first, *_, last = (compiled.fit(x, y) for _ in range(5))
    assert last < 1e-3 * first
    assert compiled.state["lbfgs/steps"].shape == (100, 25)
    interpreted = gr.interpret(fit)
    assert interpreted(x, y) == pytest.approx(first, rel=1e-5)


def test_the_minimum_is_left_alone() -> None:
    compiled = stepper(lambda w: gr.sum(gr.square(w - 1.0)), np.ones(3)).program.compile()
    w, before, after = compiled.step()
    np.testing.assert_array_equal(w, 1.0)
    assert before == after == 0 and compiled.state["lbfgs/step"] == 0


def test_chosen_parameters_constraints_and_names() -> None:
    program = gr.Program("p")
    a, b = (gr.Variable(np.full(2, 3.0), name=n, constraint=nn.NonNegative()) for n in "ab")
    lbfgs = optim.LBFGS(name="newton")

    @program.entry
    def step() -> Any:
        lbfgs.minimize(lambda: gr.sum(gr.square(a + 1.0)) + gr.sum(gr.square(b + 1.0)), [a])
        return a, b

    found = gr.interpret(step)()
    np.testing.assert_array_equal(found[0], 0.0)
    np.testing.assert_array_equal(found[1], 3.0)
    assert "newton/learning_rate" in {v.name for v in program.trace().variables}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_iter": 0}, "max_iter=0 is no count"),
        ({"line_search": "armijo"}, "line_search='armijo'"),
        ({"learning_rate": optim.StepDecay(0.1, 3)}, "is a schedule"),
        ({"tolerance_grad": -1.0}, "tolerance_grad=-1.0 does not lie"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError) as raised:
        optim.LBFGS(**options)
    assert message in str(raised.value) and "test_lbfgs.py" in str(raised.value)


def refused(body: Any) -> str:
    """The error of an entry."""
    program = gr.Program("p")
    w, count = gr.Variable(1.0, name="w"), gr.Variable(0.0, name="count", trainable=False)

    @program.entry
    def step() -> None:
        body(optim.LBFGS(), w, count)

    with pytest.raises(errors.GraphcError) as raised:
        program.trace()
    return str(raised.value)


def test_losses_that_cannot_be_are_refused() -> None:
    def counted(w: Any, count: Any) -> Any:
        count.assign(count + 1)
        return w * w

    assert "it takes a function" in refused(lambda opt, w, count: opt.minimize(w * w))
    assert "nothing to minimise over" in refused(lambda opt, w, count: opt.minimize(lambda: count * 1))
    assert "y is not a scalar" in refused(lambda opt, w, count: opt.minimize(lambda: w * gr.ones(2)))
    assert "a Variable is assigned in a body" in refused(lambda opt, w, c: opt.minimize(lambda: counted(w, c)))

    def twice(opt: Any, w: Any, count: Any) -> None:
        optim.SGD(0.1).minimize(w * w)
        opt.minimize(lambda: w * w)

    assert "w is updated twice" in refused(twice)
