"""Mistakes with optimizers, schedules, losses, metrics, initialisers: errors of graphc's own at the user's line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import init, losses, metrics, nn, optim
from tests.mistakes import answer_to


def weight(**options: Any) -> gr.Variable:
    """A parameter, f32[4, 3]."""
    return gr.Variable(np.ones((4, 3), np.float32), **options)


def entry_of(body: Callable[[Any, Any], Any]) -> gr.Program:
    """A program of one entry, which is traced."""
    program = gr.Program("mistakes")

    @program.entry
    def entry(x: gr.f32["N", 4], y: gr.i32["N"]) -> Any:
        return body(x, y)

    program.trace()
    return program


def step(optimizer: optim.Optimizer, **options: Any) -> gr.Program:
    """A program of a step down the sum of a product."""
    w = weight()
    return entry_of(lambda x, y: optimizer.minimize(gr.sum(x @ w), **options))


def applied(pairs: Callable[[gr.Variable], Any]) -> gr.Program:
    """A program of a step along gradients of one's own."""
    w = weight()
    return entry_of(lambda x, y: optim.SGD(0.1).apply_gradients(pairs(w)))


MISTAKES: dict[str, tuple[str, Callable[[], Any]]] = {
    "rate NaN": ("nan is not a number", lambda: optim.Adam(math.nan)),
    "rate vector": ("not a scalar", lambda: step(optim.SGD(gr.Variable(np.ones(3, np.float32))))),
    "rate vector in a step": ("not a scalar", lambda: step(optim.SGD(), learning_rate=np.ones(3))),
    "rate vector of a schedule": ("not a scalar", lambda: step(optim.SGD(optim.schedule(lambda t: gr.ones(3))))),
    "lr": ("learning_rate=", lambda: optim.Adam(lr=0.1)),
    "betas": ("beta1= and beta2=", lambda: optim.Adam(betas=(0.9, 0.99))),
    "clipnorm": ("clip_norm=", lambda: optim.SGD(clipnorm=1.0)),
    "style list": ("is not known", lambda: optim.Adam(style=["torch"])),
    "limit NaN": ("not a positive number", lambda: optim.Adam(clip_norm=math.nan)),
    "accumulate": ("accumulate=1.5", lambda: optim.Adam(accumulate=1.5)),
    "name number": ("name=3 is no name", lambda: step(optim.Adam(name=3))),
    "params layer": ("net.parameters()", lambda: step(optim.SGD(), params=nn.Dense(3))),
    "params number": ("params=3 is no list", lambda: step(optim.SGD(), params=3)),
    "pairs number": ("no list of pairs", lambda: applied(lambda w: 3)),
    "gradient of a row": ("nothing broadcasts", lambda: applied(lambda w: [(gr.ones(3), w)])),
    "gradient number": ("nothing broadcasts", lambda: applied(lambda w: [(1.0, w)])),
    "gradient integers": (".astype(gr.f32)", lambda: applied(lambda w: [(gr.ones((4, 3), gr.i32), w)])),
    "clip a tensor": ("give [gradient]", lambda: entry_of(lambda x, y: optim.clip_by_value(x, 1.0))),
    "norm of None": ("no list of gradients", lambda: entry_of(lambda x, y: optim.global_norm(None))),
    "clip style": ("is not known", lambda: entry_of(lambda x, y: optim.clip_by_norm([x], 1.0, "jax"))),
    "constraint that returns nothing": (
        "NoneType is not a tensor", lambda: constrained(lambda w: None),
    ),
    "L-BFGS max_iter": ("max_iter='x'", lambda: optim.LBFGS(max_iter="x")),
    "boundaries": ("give sequences", lambda: optim.PiecewiseConstant(3, 0.1)),
    "one cycle pct": ("pct=30.0", lambda: optim.OneCycle(0.1, 10, pct=30.0)),
    "one cycle div": ("div=0", lambda: optim.OneCycle(0.1, 10, div=0)),
    "periods that shrink": ("t_mul=0.5", lambda: optim.CosineRestarts(0.1, 10, 0.5)),
    "cyclical mode": ("is not known", lambda: optim.Cyclical(0.1, 1.0, 10, ["triangular"])),
    "power below zero": ("power=-1.0", lambda: optim.PolynomialDecay(0.1, 10, power=-1.0)),
    "plateau of text": ("is not a number", lambda: optim.Plateau(0.1).update("low")),
    "smoothing of text": (
        "is not a share",
        lambda: entry_of(lambda x, y: losses.sparse_softmax_cross_entropy(x, y, label_smoothing="0.1")),
    ),
    "no classes": (
        "want labels of shape",
        lambda: entry_of(lambda x, y: losses.sparse_softmax_cross_entropy(gr.sum(x), gr.sum(y))),
    ),
    "huber delta": ("not a positive number", lambda: entry_of(lambda x, y: losses.huber(x, x, delta=-1.0))),
    "top 0": ("not a positive integer", lambda: entry_of(lambda x, y: metrics.top_k_accuracy(x, y, 0))),
    "TopK": ("not a positive integer", lambda: metrics.TopK("3")),
    "Confusion": ("classes=-1", lambda: metrics.F1(-1)),
    "average": ("average='weighted'", lambda: metrics.F1(3, "weighted")),
    "AUC range": ("low < high", lambda: metrics.AUC(low="a")),
    "auc of a matrix": ("not a vector", lambda: entry_of(lambda x, y: metrics.auc(x, x))),
    "initialiser number": ("no initialiser 3", lambda: nn.Dense(3, kernel_initializer=3)),
    "initialiser of another shape": (
        "for a parameter of shape (4, 3)",
        lambda: nn.Dense(3, kernel_initializer=lambda shape, dtype: np.zeros(2)).build(gr.f32["N", 4]),
    ),
    "negative size": ("is no size", lambda: init.zeros((-1, 3))),
    "half a size": ("is no size", lambda: init.he_normal((2.5, 3))),
    "shape number": ("3 is no shape", lambda: init.normal(3)),
    "dtype text": ("no dtype", lambda: init.normal((3, 3), "f32")),
    "stddev text": ("for a number", lambda: init.normal((3, 3), stddev="a")),
    "scale below zero": ("scale=-1", lambda: init.variance_scaling((3, 3), scale=-1)),
}  # fmt: skip


def constrained(constraint: Callable[[Any], Any]) -> gr.Program:
    """A program of a step of a parameter with a constraint."""
    w = weight(constraint=constraint)
    return entry_of(lambda x, y: optim.SGD(0.1).minimize(gr.sum(x @ w)))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered(name: str) -> None:
    words, make = MISTAKES[name]
    assert words in str(answer_to(make))


def test_numbers_of_numpy_are_numbers() -> None:
    of_numpy = optim.AdamW(
        np.float32(0.5), np.float32(0.25), weight_decay=np.float64(0.5), clip_norm=np.float32(2), accumulate=np.int64(2)
    )
    of_python = optim.AdamW(0.5, 0.25, weight_decay=0.5, clip_norm=2.0, accumulate=2)
    start = [after(optimizer) for optimizer in (of_numpy, of_python)]
    np.testing.assert_array_equal(*start)
    assert nn.MaxNorm(np.float32(2)).limit == nn.L2(np.float64(2)).l2 == optim.Plateau(np.float32(2)).rate


def after(optimizer: optim.Optimizer) -> Any:
    """A parameter after four steps."""
    compiled = step(optimizer).compile()
    for _ in range(4):
        compiled.entry(np.ones((2, 4), np.float32), np.zeros(2, np.int32))
    return compiled.state["variable"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("growth", [1.5, 2.0, 3.0, 10.0])
def test_cosine_restarts_at_the_very_step(dtype: Any, steps: int, growth: float) -> None:
    starts = np.cumsum([0.0, *(steps * growth**i for i in range(12))])
    whole = starts[(starts == np.round(starts)) & (starts < 1e6)].astype(dtype)
    schedule = optim.CosineRestarts(0.5, steps, growth, alpha=0.1)
    np.testing.assert_allclose(rates(schedule, whole), 0.5, rtol=1e-6)
    before = rates(schedule, whole[1:] - 1)
    assert (before < (0.5 if steps > 1 else 0.51)).all()


@pytest.mark.parametrize("pct, steps", [(0.1, 10), (0.5, 2), (0.2, 5), (0.0, 10), (1.0, 10), (0.3, 1)])
def test_one_cycle_has_a_rate_where_the_rise_is_a_step_or_all(pct: float, steps: int) -> None:
    found = rates(optim.OneCycle(0.1, steps, pct), np.arange(steps + 3.0))
    assert np.isfinite(found).all() and found.max() <= 0.1 + 1e-12
    assert found[-1] == pytest.approx(0.1 / 25 / 1e4)
    if pct * steps == 1:
        assert found[0] == 0.1


def rates(schedule: optim.Schedule, steps: Any) -> Any:
    """The rates at some steps."""
    return gr.jit(gr.vmap(schedule))(steps)
