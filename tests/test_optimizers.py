"""Every optimizer in every style takes the steps that PyTorch, Keras and Optax take; schedules give their rates."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
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
        "momentum_decay": lambda: optim.Momentum(0.1, weight_decay=0.05),
        "sgd_clip_norm": lambda: optim.SGD(0.1, clip_global_norm=0.5),
        "sgd_clip_value": lambda: optim.SGD(0.1, clip_value=0.5),
        "momentum_damped": lambda: optim.Momentum(0.1, 0.9, dampening=0.3),
        "adagrad_decay": lambda: optim.Adagrad(0.1, 0.2, decay=0.1),
        "adagrad_weight_decay": lambda: optim.Adagrad(weight_decay=0.1),
        "adadelta_decay": lambda: optim.Adadelta(weight_decay=0.1),
        "rmsprop_decay": lambda: optim.RMSprop(weight_decay=0.1),
        "rmsprop_centered_plain": lambda: optim.RMSprop(centered=True),
        "rmsprop_momentum": lambda: optim.RMSprop(momentum=0.9),
        "rmsprop_centered": lambda: optim.RMSprop(centered=True, momentum=0.5, rho=0.9),
        "adam_decay": lambda: optim.Adam(weight_decay=0.1),
        "amsgrad": lambda: optim.AMSGrad(0.1, 0.5, 0.6),
        "adamw_amsgrad": lambda: optim.AdamW(0.05, weight_decay=0.2, amsgrad=True),
        "adamax_decay": lambda: optim.AdaMax(weight_decay=0.1),
        "nadam_decay": lambda: optim.Nadam(weight_decay=0.1),
        "nadam_decoupled": lambda: optim.Nadam(weight_decay=0.1, decoupled=True),
    },
    "keras": {
        "momentum": lambda: optim.Momentum(0.1, style="keras"),
        "nesterov": lambda: optim.Nesterov(0.1, 0.8, style="keras"),
        "sgd_decay": lambda: optim.SGD(0.1, weight_decay=0.05, style="keras"),
        "adagrad_decay": lambda: optim.Adagrad(style="keras", weight_decay=0.1),
        "adadelta_decay": lambda: optim.Adadelta(style="keras", weight_decay=0.1),
        "rmsprop_decay": lambda: optim.RMSprop(style="keras", weight_decay=0.1),
        "rmsprop_centered_plain": lambda: optim.RMSprop(centered=True, style="keras"),
        "rmsprop_momentum": lambda: optim.RMSprop(momentum=0.9, style="keras"),
        "rmsprop_centered": lambda: optim.RMSprop(centered=True, momentum=0.5, style="keras"),
        "adam_decay": lambda: optim.Adam(style="keras", weight_decay=0.1),
        "amsgrad": lambda: optim.Adam(0.1, 0.5, 0.6, amsgrad=True, style="keras"),
        "adamax_decay": lambda: optim.AdaMax(style="keras", weight_decay=0.1),
        "nadam_decay": lambda: optim.Nadam(style="keras", weight_decay=0.1),
        "lion_decay": lambda: optim.Lion(style="keras", weight_decay=0.1),
        "adam_global_clipnorm": lambda: optim.Adam(0.1, style="keras", clip_global_norm=0.5),
        "adam_clipnorm": lambda: optim.Adam(0.1, style="keras", clip_norm=0.5),
        "sgd_clipvalue": lambda: optim.SGD(0.1, style="keras", clip_value=0.5),
        "sgd_accumulate": lambda: optim.Momentum(0.1, style="keras", accumulate=3),
    },
    "optax": {
        "sgd": lambda: optim.SGD(0.1, style="optax"),
        "momentum": lambda: optim.Momentum(0.1, style="optax"),
        "nesterov": lambda: optim.Nesterov(0.1, 0.8, style="optax"),
        "rmsprop_centered_plain": lambda: optim.RMSprop(1e-3, centered=True, style="optax"),
        "rmsprop_momentum": lambda: optim.RMSprop(1e-3, momentum=0.9, style="optax"),
        "rmsprop_centered": lambda: optim.RMSprop(1e-3, centered=True, momentum=0.5, style="optax"),
        "adam_decay": lambda: optim.Adam(1e-3, style="optax", weight_decay=0.1),
        "adamw_decay": lambda: optim.AdamW(0.05, style="optax", weight_decay=0.2),
        "nadamw": lambda: optim.Nadam(0.05, style="optax", weight_decay=0.2, decoupled=True),
        "amsgrad": lambda: optim.AMSGrad(0.1, 0.5, 0.6, style="optax"),
        "lion": lambda: optim.Lion(1e-4, style="optax", weight_decay=0.1),
        "sgd_clip_value": lambda: optim.SGD(0.1, style="optax", clip_value=0.5),
        "sgd_clip_norm": lambda: optim.SGD(0.1, style="optax", clip_norm=0.5),
        "sgd_global_norm": lambda: optim.SGD(0.1, style="optax", clip_global_norm=1.5),
        "sgd_accumulate": lambda: optim.Momentum(0.1, style="optax", accumulate=3),
    },
}

#: Every optimizer with all its defaults, in every style that a library has it in; Optax has no default rates.
KINDS = (
    optim.SGD, optim.Momentum, optim.Nesterov, optim.Adagrad, optim.Adadelta, optim.RMSprop, optim.Adam, optim.AMSGrad,
    optim.AdamW, optim.AdaMax, optim.Nadam, optim.Lion,
)  # fmt: skip
for style_, rules_ in RULES.items():
    rules_ |= {
        f"default_{kind.__name__}": partial(kind, style=style_)
        for kind in KINDS
        if (style_, kind) != ("torch", optim.Lion)
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
    "piecewise_torch": optim.PiecewiseConstant((10, 25), (0.1, 0.05, 0.025)),
    "cosine_optax": optim.CosineDecay(0.1, 15, 0.1),
    "polynomial_optax": optim.PolynomialDecay(0.1, 15, 0.01, power=2.0),
    "polynomial_torch": optim.PolynomialDecay(0.1, 15, 0.0, power=2.0),
    "exponential_optax": optim.ExponentialDecay(0.1, 7, 0.5),
    "exponential_torch": optim.ExponentialDecay(0.1, 1, 0.9),
    "restarts_torch": optim.CosineRestarts(0.1, 5, 2.0, 1.0, 0.1),
    "restarts_equal_torch": optim.CosineRestarts(0.1, 5, 1.0),
    "warmup": optim.Warmup(optim.ExponentialDecay(0.1, 7, 0.5), 6, 0.01),
    "warmup_constant": optim.Warmup(0.1, 6, 0.01),
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
    assert recorded - followed == {"schedule/plateau", "schedule/plateau_max"}
    made = {type(make()) for rules in RULES.values() for make in rules.values()}
    assert classes_of(optim.Optimizer) - made == {optim.Optimizer}
    assert classes_of(optim.Optimizer) - set(KINDS) == {optim.Optimizer}
    assert classes_of(optim.Schedule) - {type(s) for s in SCHEDULES.values()} == {optim.Schedule}


def classes_of(base: type) -> set[type]:
    """The public classes of optim that are of a kind."""
    return {v for v in vars(optim).values() if inspect.isclass(v) and issubclass(v, base)}


def test_every_optimizer_has_a_record_in_every_style() -> None:
    for style, rules in RULES.items():
        made = {type(make()) for make in rules.values()}
        assert set(KINDS) - made == ({optim.Lion} if style == "torch" else set())


@pytest.mark.parametrize("name", ["default_AdamW", "default_Nadam", "rmsprop_centered", "adagrad_decay", "amsgrad"])
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
    rising = optim.Plateau(0.1, 0.5, 1, 0.1, 0.002, mode="max", cooldown=2)
    np.testing.assert_allclose([rising.update(-x) for x in VECTORS["losses"]], VECTORS["schedule/plateau_max"])


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


@pytest.mark.parametrize("style", ["torch", "optax"])
@pytest.mark.parametrize("limit", [1.0, 1e5, np.inf])
def test_clipping_makes_no_bad_number_of_gradients_that_are_zero(style: Any, limit: float) -> None:
    def clipped(x: Any) -> Any:
        return optim.clip_by_norm([x], limit, style)[0]

    for dtype in (np.float16, np.float32):
        x = np.full(4, 0.25, dtype)
        assert (gr.jit(clipped, check="finite")(x * 0) == 0).all()
        assert gr.jit(clipped, check="finite")(x).tobytes() == x.tobytes()


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
        (lambda: optim.CosineDecay(1e-3), "CosineDecay(initial, decay_steps, alpha=0.0, warmup_steps=0,"),
        (lambda: optim.CosineDecay("a", 3), "initial='a' is not a number"),
        (lambda: optim.CosineDecay(0.1, 3, warmup_steps=-1), "warmup_steps=-1 is not a number of steps"),
        (lambda: optim.Warmup(float("nan"), 3), "after=nan is not a number"),
        (lambda: optim.PiecewiseConstant((3,), (1.0, "b")), "values='b' is not a number"),
        (lambda: optim.Plateau(0.1, 1.5), "factor=1.5 does not lie between"),
        (lambda: optim.Plateau(0.1, patience=-1), "patience=-1 is not a number of steps"),
        (lambda: optim.Plateau(0.1, mode="least"), "mode='least' is not known"),
        (lambda: optim.schedule(3), "3 is not a function of the step"),
        (lambda: optim.PiecewiseConstant((3, 2), (1.0, 2.0, 3.0)), "2 boundaries with 3 values"),
        (lambda: optim.Cyclical(0.1, 1.0, 5, "square"), "mode='square' is not known"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError) as raised:
        make()
    assert message in str(raised.value) and "test_optimizers.py" in str(raised.value)
