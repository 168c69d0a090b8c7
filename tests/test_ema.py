"""Moving averages of parameters are those of PyTorch and Optax; networks are evaluated with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, nn, optim

FOLDER = Path(__file__).parent / "vectors"
STEPS, AVERAGES = np.load(FOLDER / "optimizers.npz"), np.load(FOLDER / "averages.npz")


@pytest.mark.parametrize("library, debias", [("torch", False), ("optax", True)])
def test_averages_follow_the_library(library: str, debias: bool) -> None:
    program = gr.Program("p")
    w = gr.Variable(STEPS["start"], name="w")
    sgd, ema = optim.SGD(0.1), optim.EMA(w, 0.9, debias=debias)

    @program.entry
    def step(g: gr.f64[3, 4]) -> Any:
        with ema.averaged():
            before = as_output(w)
        sgd.apply_gradients([(g, w)])
        ema.update()
        with ema.averaged():
            return before, as_output(w)

    run, last = gr.interpret(step), STEPS["start"]
    for gradient, expected in zip(STEPS["gradients"], AVERAGES[library], strict=True):
        before, after = run(gradient)
        np.testing.assert_array_equal(before, last)
        np.testing.assert_allclose(after, expected, rtol=1e-12, atol=1e-14)
        last = after
    assert set(run.state) == {"w", "w/ema", "ema/step", "sgd/learning_rate"}


def as_output(w: Any) -> Any:
    return w * 1.0


def averaging(first: str) -> gr.Program:
    """A Program that trains and evaluates a network; `first` is the entry that is traced first."""
    program = gr.Program("net")
    net = nn.Sequential(nn.Dense(4, activation="tanh"), nn.Dropout(0.5), nn.Dense(1))
    adam, ema = optim.Adam(0.1), optim.EMA(net, 0.5)

    def predict(x: gr.f32["N", 2]) -> Any:
        return ema(x), net(x)

    def train(x: gr.f32["N", 2]) -> None:
        adam.minimize(gr.mean(gr.square(net(x, training=True) - 1.0)))
        ema.update()

    for function in (predict, train) if first == "predict" else (train, predict):
        program.entry(function)
    return program


@pytest.mark.parametrize("first", ["train", "predict"])
def test_a_network_is_evaluated_with_averaged_parameters(first: str) -> None:
    compiled = averaging(first).compile()
    x = np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32)
    np.testing.assert_array_equal(*compiled.predict(x))
    compiled.train.repeat(3, x)
    averaged, current = compiled.predict(x)
    assert np.abs(averaged - current).max() > 1e-3
    names = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")
    compiled.state.update({n: compiled.state[f"{n}/ema"] for n in names})
    np.testing.assert_array_equal(compiled.predict(x)[1], averaged)
    assert compiled.state["ema/step"] == 3


def test_two_averages_of_one_network() -> None:
    program = gr.Program("p")
    w = gr.Variable(np.zeros(2, np.float16), name="w")
    emas = [optim.EMA([w], 0.0), optim.EMA(w, 0.5, name="slow")]

    @program.entry
    def step(x: gr.f16[2]) -> None:
        w.assign(x)
        for ema in emas:
            ema.update()

    run = gr.interpret(step)
    run(np.ones(2, np.float16))
    run(np.zeros(2, np.float16))
    assert {n: v.tolist() for n, v in run.state.items()} == {
        "w": [0, 0], "w/ema": [0, 0], "ema/step": 2, "w/slow": [0.5, 0.5], "slow/step": 2
    }  # fmt: skip
    assert run.state["w/slow"].dtype == np.float32


def test_what_cannot_be_averaged_is_refused() -> None:
    program = gr.Program("p")
    net = nn.Dense(2)

    @program.entry
    def step(x: gr.f32["N", 2]) -> Any:
        with optim.EMA(net).averaged():
            return net(x)

    with pytest.raises(errors.TraceError, match="the layers have no parameters yet"):
        program.trace()
    with pytest.raises(errors.ArgumentError, match=r"decay=1.0 does not lie between 0 and 1"):
        optim.EMA(net, 1.0)
    with pytest.raises(errors.ArgumentError, match=r"0.9 has no parameters"):
        optim.EMA(0.9)  # type: ignore[arg-type]
    with pytest.raises(errors.TraceError, match="outside an entry"):
        optim.EMA(net).update()
