"""Every optimizer in every style takes the steps that PyTorch, Keras and Optax take; schedules give their rates."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, optim

VECTORS = np.load(Path(__file__).parent / "vectors" / "optimizers.npz")

#: Style -> record -> the optimizer that takes the same steps.
RULES: dict[str, dict[str, Callable[[], optim.Optimizer]]] = {
    "torch": {
        "sgd_decay": lambda: optim.SGD(0.1, weight_decay=0.05),
        "momentum_damped": lambda: optim.Momentum(0.1, 0.9, dampening=0.3),
        "adagrad": lambda: optim.Adagrad(),
        "adagrad_decay": lambda: optim.Adagrad(0.1, 0.2, decay=0.1),
        "adadelta": lambda: optim.Adadelta(),
        "rmsprop": lambda: optim.RMSprop(),
        "rmsprop_momentum": lambda: optim.RMSprop(momentum=0.9),
        "rmsprop_centered": lambda: optim.RMSprop(centered=True, momentum=0.5, rho=0.9),
        "adam": lambda: optim.Adam(),
        "adam_decay": lambda: optim.Adam(weight_decay=0.1),
        "amsgrad": lambda: optim.AMSGrad(0.1, 0.5, 0.6),
        "adamw": lambda: optim.AdamW(),
        "adamax": lambda: optim.AdaMax(),
        "nadam": lambda: optim.Nadam(),
    },
    "keras": {
        "sgd": lambda: optim.SGD(style="keras"),
        "momentum": lambda: optim.Momentum(0.1, style="keras"),
        "nesterov": lambda: optim.Nesterov(0.1, 0.8, style="keras"),
        "sgd_decay": lambda: optim.SGD(0.1, weight_decay=0.05, style="keras"),
        "adagrad": lambda: optim.Adagrad(style="keras"),
        "adadelta": lambda: optim.Adadelta(style="keras"),
        "rmsprop": lambda: optim.RMSprop(style="keras"),
        "rmsprop_momentum": lambda: optim.RMSprop(momentum=0.9, style="keras"),
        "rmsprop_centered": lambda: optim.RMSprop(centered=True, momentum=0.5, style="keras"),
        "adam": lambda: optim.Adam(style="keras"),
        "amsgrad": lambda: optim.Adam(0.1, 0.5, 0.6, amsgrad=True, style="keras"),
        "adamw": lambda: optim.AdamW(style="keras"),
        "adamax": lambda: optim.AdaMax(style="keras"),
        "nadam": lambda: optim.Nadam(style="keras"),
        "lion": lambda: optim.Lion(style="keras"),
        "adam_clipnorm": lambda: optim.Adam(0.1, style="keras", clip_norm=0.5),
        "sgd_clipvalue": lambda: optim.SGD(0.1, style="keras", clip_value=0.5),
        "sgd_accumulate": lambda: optim.Momentum(0.1, style="keras", accumulate=3),
    },
    "optax": {
        "sgd": lambda: optim.SGD(0.1, style="optax"),
        "momentum": lambda: optim.Momentum(0.1, style="optax"),
        "nesterov": lambda: optim.Nesterov(0.1, 0.8, style="optax"),
        "adagrad": lambda: optim.Adagrad(1e-3, style="optax"),
        "adadelta": lambda: optim.Adadelta(1.0, style="optax"),
        "rmsprop": lambda: optim.RMSprop(1e-3, style="optax"),
        "rmsprop_momentum": lambda: optim.RMSprop(1e-3, momentum=0.9, style="optax"),
        "rmsprop_centered": lambda: optim.RMSprop(1e-3, centered=True, momentum=0.5, style="optax"),
        "adam": lambda: optim.Adam(1e-3, style="optax"),
        "amsgrad": lambda: optim.AMSGrad(0.1, 0.5, 0.6, style="optax"),
        "adamw": lambda: optim.AdamW(1e-3, style="optax"),
        "adamax": lambda: optim.AdaMax(2e-3, style="optax"),
        "nadam": lambda: optim.Nadam(1e-3, style="optax"),
        "lion": lambda: optim.Lion(1e-4, style="optax", weight_decay=0.1),
        "sgd_global_norm": lambda: optim.SGD(0.1, style="optax", clip_global_norm=1.5),
        "sgd_accumulate": lambda: optim.Momentum(0.1, style="optax", accumulate=3),
    },
}

SCHEDULES: dict[str, optim.Schedule] = {
    "exponential": optim.ExponentialDecay(0.1, 7, 0.5),
    "exponential_staircase": optim.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    "inverse_time": optim.InverseTimeDecay(0.1, 7, 0.5),
    "inverse_time_staircase": optim.InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    "natural_exp": optim.NaturalExpDecay(0.1, 7, 0.5),
    "polynomial": optim.PolynomialDecay(0.1, 15, 0.01, power=2.0),
    "polynomial_cycle": optim.PolynomialDecay(0.1, 15, 0.01, power=0.5, cycle=True),
    "cosine": optim.CosineDecay(0.1, 15, 0.1),
    "cosine_warmup": optim.CosineDecay(0.1, 15, 0.1, warmup_steps=6, warmup_start=0.01),
    "cosine_restarts": optim.CosineRestarts(0.1, 5, 2.0, 0.8, 0.05),
    "cosine_restarts_equal": optim.CosineRestarts(0.1, 5, 1.0, 0.8),
    "piecewise": optim.PiecewiseConstant((10, 25), (0.1, 0.05, 0.005)),
    "one_cycle": optim.OneCycle(0.1, 40),
    "triangular": optim.Cyclical(0.01, 0.1, 6),
    "triangular2": optim.Cyclical(0.01, 0.1, 6, "triangular2"),
    "exp_range": optim.Cyclical(0.01, 0.1, 6, "exp_range", 0.95),
    "step": optim.StepDecay(0.1, 7, 0.5),
}

#: Records that their library computes in single precision, whatever it is given.
SINGLE = {
    "optax/sgd_accumulate",
    *(f"schedule/cosine{kind}" for kind in ("", "_warmup", "_restarts", "_restarts_equal")),
}


def tolerance(record: str) -> float:
    """How near to a record graphc's float64 must be, relatively."""
    return 1e-6 if record in SINGLE else 1e-12


def stepper(make: Callable[[], optim.Optimizer], start: Any) -> gr.Entry:
    """An entry that takes one step along a given gradient and returns the parameter."""
    program = gr.Program("steps")
    w, optimizer = gr.Variable(start, name="w"), make()

    @program.entry(gradient=gr.TensorType(w.dtype, w.type.shape))
    def step(gradient: Any) -> Any:
        optimizer.apply_gradients([(gradient, w)])
        return w

    return step


@pytest.mark.parametrize("style, name", [(s, n) for s, rules in RULES.items() for n in rules])
def test_ten_steps_follow_the_library(style: str, name: str) -> None:
    step = gr.interpret(stepper(RULES[style][name], VECTORS["start"]))
    for gradient, expected in zip(VECTORS["gradients"], VECTORS[f"{style}/{name}"], strict=True):
        near = tolerance(f"{style}/{name}")
        np.testing.assert_allclose(step(gradient), expected, rtol=near, atol=near)


def test_every_record_is_followed_and_every_optimizer_tested() -> None:
    followed = {f"{style}/{name}" for style, rules in RULES.items() for name in rules}
    followed |= {f"schedule/{name}" for name in SCHEDULES}
    recorded = {n for n in VECTORS.files if "/" in n}
    assert recorded - followed == {"schedule/plateau"}
    made = {type(make()) for rules in RULES.values() for make in rules.values()}
    rules = {v for v in vars(optim).values() if inspect.isclass(v) and issubclass(v, optim.Optimizer)}
    assert rules - made == {optim.Optimizer}


@pytest.mark.parametrize("name", ["adamw", "nadam", "rmsprop_centered", "adagrad_decay", "amsgrad"])
def test_compiled_steps_are_the_interpreted_ones(name: str) -> None:
    entry = stepper(RULES["torch"][name], VECTORS["start"].astype(np.float32))
    compiled, interpreted = entry.program.compile(), gr.interpret(entry)
    for gradient in VECTORS["gradients"].astype(np.float32):
        np.testing.assert_allclose(compiled.step(gradient), interpreted(gradient), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_give_the_rates_of_the_libraries(name: str) -> None:
    expected = VECTORS[f"schedule/{name}"]
    found = gr.interpret(lambda t: SCHEDULES[name](t))
    rates = [found(np.array(t, np.float64)) for t in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=tolerance(f"schedule/{name}"), atol=1e-15)


def test_plateau_follows_pytorch() -> None:
    plateau = optim.Plateau(0.1, factor=0.5, patience=3)
    np.testing.assert_allclose([plateau.update(loss) for loss in VECTORS["losses"]], VECTORS["schedule/plateau"])


def test_a_schedule_is_computed_in_the_compiled_step() -> None:
    entry = stepper(lambda: optim.SGD(optim.ExponentialDecay(0.1, 1, 0.5)), np.zeros(2, np.float32))
    compiled = entry.program.compile()
    assert [v for v in compiled.state if "rate" in v] == []
    np.testing.assert_allclose(compiled.step.repeat(3, np.ones(2, np.float32)), -0.1 * (1 + 0.5 + 0.25), rtol=1e-6)
    assert compiled.state["sgd/step"] == 3


def test_warmup_rises_to_the_schedule_that_follows() -> None:
    rates = gr.interpret(lambda t: optim.Warmup(optim.ExponentialDecay(1.0, 1, 0.5), 4)(t))
    np.testing.assert_allclose([rates(np.array(t, np.float64)) for t in range(7)], [0, 0.25, 0.5, 0.75, 1, 0.5, 0.25])
    np.testing.assert_allclose(gr.interpret(lambda t: optim.Warmup(2.0, 4)(t))(np.array(9.0)), 2.0)


def test_accumulated_gradients_change_nothing_until_they_are_due() -> None:
    entry = stepper(lambda: optim.Adam(0.1, accumulate=3), np.zeros(2, np.float32))
    compiled = entry.program.compile()
    ones = np.ones(2, np.float32)
    assert [compiled.step(ones * g)[0] for g in (1, 2)] == [0, 0]
    assert compiled.state["adam/step"] == 0 and compiled.state["w/adam/m"][0] == 0
    assert compiled.step(ones * 3)[0] < 0
    assert compiled.state["adam/step"] == 1 and compiled.state["w/adam/accumulated"][0] == 0
    np.testing.assert_allclose(compiled.state["w/adam/m"], 0.1 * 2.0, rtol=1e-6)


def test_the_joint_norm_of_several_gradients_is_clipped() -> None:
    def clipped(a: Any, b: Any) -> Any:
        return optim.clip_by_global_norm([a, b], 1.0)

    a, b = np.full(4, 3.0), np.full((2, 2), 4.0)
    first, second = gr.interpret(clipped)(a, b)
    np.testing.assert_allclose(first, a / 10)
    np.testing.assert_allclose(second, b / 10)
    small = np.full(4, 1e-3)
    np.testing.assert_array_equal(gr.interpret(clipped)(small, small)[0], small)
    np.testing.assert_array_equal(gr.interpret(clipped)(small * 0, small * 0)[0], small * 0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optim.Adam(style="jax"), "style='jax' is not known"),
        (lambda: optim.Adam(beta1=1.0), "beta1=1.0 does not lie between 0 and 1"),
        (lambda: optim.SGD(0.1, clip_norm=-1.0), "the limit -1.0 is not a positive number"),
        (lambda: optim.SGD(0.1, accumulate=0), "accumulate=0 does not lie"),
        (lambda: optim.SGD(0.1, decay=0.1), "takes no 'decay'"),
        (lambda: optim.ExponentialDecay(0.1, 0, 0.5), "decay_steps=0 is not a number of steps"),
        (lambda: optim.ExponentialDecay(0.1), "no value for decay_steps"),
        (lambda: optim.PiecewiseConstant((3, 2), (1.0, 2.0, 3.0)), "2 boundaries with 3 values"),
        (lambda: optim.Cyclical(0.1, 1.0, 5, "square"), "mode='square' is not one of"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError) as raised:
        make()
    assert message in str(raised.value) and "test_optimizers.py" in str(raised.value)
