"""Windows: primitives as machine code against their meaning, pooling against plain loops and its derivatives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest

import graphc as gr
from graphc import nn, ops
from graphc.errors import ArgumentError, ShapeError
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.node import Array, Node
from graphc.ir.types import f32, f64, i32
from graphc.passes.fuse import fuse
from graphc.passes.pipeline import optimise
from tests.test_compiled_structure import CPUS, Case, check

Ints: TypeAlias = tuple[int, ...]
Pairs: TypeAlias = Sequence[tuple[int, int]]

#: name, geometry over three axes
GEOMETRIES: dict[str, tuple[Sequence[Size], ...]] = {
    "tiles": ((1, 2, 1), (1, 2, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)),
    "overlapping": ((1, 3, 1), (1, 2, 1), (1, 1, 1), (0, 1, 0), (0, 1, 0)),
    "dense": ((2, 3, 1), (1, 1, 1), (1, 1, 1), (1, 1, 0), (0, 1, 0)),
    "apart": ((2, 2, 1), (1, 3, 1), (1, 1, 1), (0, 0, 0), (0, 0, 0)),
    "dilated": ((1, 3, 1), (1, 2, 1), (1, 2, 1), (0, 2, 0), (0, 3, 0)),
    "mostly_padding": ((1, 2, 1), (1, 2, 1), (1, 3, 1), (0, 3, 0), (0, 3, 0)),
    "along_lanes": ((1, 1, 3), (1, 1, 2), (1, 1, 1), (0, 0, 1), (0, 0, 1)),
    "many_taps": ((1, 7, 5), (1, 4, 3), (1, 1, 1), (0, 3, 2), (0, 3, 2)),
    "far_apart": ((1, 2, 1), (1, 11, 1), (1, 1, 1), (0, 1, 0), (0, 0, 0)),
}


def geometry(name: str) -> tuple[tuple[Size, ...], ...]:
    return tuple(tuple(values) for values in GEOMETRIES[name])


def pooled(op: type[ops.Windowed], name: str) -> Callable[..., Node]:
    return lambda *xs: build.apply(op(*geometry(name)), *xs)


def picked(name: str) -> Callable[..., Node]:
    """The sum of the taps that hold the maxima, and the gradient's way back, of an operand that is not the maxima's."""
    return lambda x, y: build.apply(
        ops.WindowSum(*geometry(name)), y, build.apply(ops.WindowArgMax(*geometry(name)), x)
    )


def returned(name: str, places: bool) -> Callable[..., Node]:
    def spread(x: Node, y: Node) -> Node:
        ct = build.apply(ops.WindowSum(*geometry(name)), y)
        place = [build.apply(ops.WindowArgMax(*geometry(name)), x)] if places else []
        return build.apply(ops.WindowSpread(*geometry(name), shape=x.type.shape), ct, *place)

    return spread


CASES = tuple(
    case
    for name in GEOMETRIES
    for case in (
        Case(f"max_{name}", lambda a, b: [(a, 9, b + 1)], pooled(ops.WindowMax, name), True),
        Case(f"argmax_{name}", lambda a, b: [(b, 8, a + 1)], pooled(ops.WindowArgMax, name), True),
        Case(f"sum_{name}", lambda a, b: [(a, 9, b + 1)], pooled(ops.WindowSum, name), True, True),
        Case(f"picked_{name}", lambda a, b: [(a, 8, b + 1)] * 2, picked(name), True, True),
        Case(f"spread_{name}", lambda a, b: [(a, 8, b + 1)] * 2, returned(name, False), True, True),
        Case(f"returned_{name}", lambda a, b: [(2, a + 1, b + 1)] * 2, returned(name, True), True, True),
    )
)


@pytest.mark.parametrize(
    ("case", "cpu"), list(zip(CASES, itertools.cycle(CPUS), strict=False)), ids=[c.name for c in CASES]
)
def test_windows_as_machine_code(case: Case, cpu: str) -> None:
    check(case, f32, cpu, 17)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_windows_of_every_kind_of_number(case: Case) -> None:
    for dtype in (f64, i32):
        for size in (3, 16, 33):
            check(case, dtype, "native", size)


# Pooling


def plain(x: Array, reduce: Callable[[Array], Any], window: Ints, strides: Ints, pads: Pairs, dilation: Ints) -> Array:
    """Each window by itself, in Python."""
    sizes = zip(x.shape[1:-1], window, strides, pads, dilation, strict=True)
    counts = [(size + sum(pad) - (w - 1) * d - 1) // s + 1 for size, w, s, pad, d in sizes]
    y = np.zeros((x.shape[0], *counts, x.shape[-1]))
    for at in np.ndindex(*y.shape):
        n, *o, c = at
        taps = (tuple(p * s + t * d - a for p, s, t, d, (a, _) in zip(o, strides, tap, dilation, pads, strict=True))
                for tap in np.ndindex(*window))  # fmt: skip
        inside = [t for t in taps if all(0 <= i < size for i, size in zip(t, x.shape[1:-1], strict=True))]
        y[at] = reduce(np.array([x[(n, *t, c)] for t in inside]))
    return y


def same(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 6, 8, 6), {"window": 2}),
    ((2, 7, 5, 3), {"window": (3, 2), "strides": (2, 1)}),
    ((2, 7, 5, 17), {"window": 3, "strides": 2, "padding": "SAME"}),
    ((1, 4, 6, 2), {"window": 2, "strides": 3, "padding": ((0, 1), (1, 0)), "dilation": 2}),
    ((3, 9, 4), {"window": 3, "strides": 1, "padding": "same"}),
    ((1, 4, 5, 3, 2), {"window": (2, 3, 2), "strides": 2, "padding": 1}),
    ((2, 12, 12, 3), {"window": 6, "strides": 6}),
]


@pytest.mark.parametrize(("shape", "options"), POOLS, ids=lambda v: str(v))
def test_pooling_is_a_plain_loop_over_windows(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    rank = len(shape) - 2

    def each(value: Any) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * rank

    window, dilation = each(options["window"]), each(options.get("dilation", 1))
    strides, padding = each(options.get("strides", window)), options.get("padding", 0)
    if isinstance(padding, str):
        pads = [same(*sizes) for sizes in zip(shape[1:-1], window, strides, dilation, strict=True)]
    else:
        pads = [p if isinstance(p, tuple) else (p, p) for p in each(padding)]
    reducers = {nn.max_pool: np.max, nn.min_pool: np.min, nn.sum_pool: np.sum, nn.avg_pool: np.mean}
    for pool, reduce in reducers.items():
        got = gr.jit(lambda x, pool=pool: pool(x, **options))(x)
        np.testing.assert_allclose(got, plain(x, reduce, window, strides, pads, dilation), rtol=1e-5, atol=1e-6)
        assert gr.check_grads(lambda x, pool=pool: pool(x, **options), x).worst < 1e-6
    product = gr.jit(lambda x: nn.reduce_window(x, "prod", **options))(x)
    np.testing.assert_allclose(product, plain(x, np.prod, window, strides, pads, dilation), rtol=1e-5, atol=1e-6)


def test_padding_counts_as_zeros_where_asked() -> None:
    x = np.ones((1, 3, 3, 1), np.float32)
    y = gr.jit(lambda x: nn.avg_pool(x, 3, 1, "SAME", count_include_pad=True))(x)
    np.testing.assert_allclose(y[0, :, :, 0] * 9, [[4, 6, 4], [6, 9, 6], [4, 6, 4]], rtol=1e-6)
    assert (gr.jit(lambda x: nn.avg_pool(x, 3, 1, "SAME"))(x) == 1).all()


def test_the_first_of_equals_gets_the_gradient_and_nan_wins() -> None:
    x = np.array([1, 1, -np.inf, -np.inf, np.nan, 5, 0.0, -0.0], np.float32).reshape(1, 8, 1)
    y, gradient = gr.jit(lambda x: (nn.max_pool(x, 2), gr.grad(lambda x: gr.sum(nn.max_pool(x, 2)))(x)))(x)
    np.testing.assert_array_equal(y.ravel(), np.array([1, -np.inf, np.nan, 0], np.float32))
    np.testing.assert_array_equal(gradient.ravel(), [1, 0, 1, 0, 1, 0, 1, 0])
    least = np.array([-(2**31), 7], np.int32).reshape(1, 2, 1)
    assert gr.jit(lambda x: nn.min_pool(x, 2))(least).item() == -(2**31)


def test_symbolic_images() -> None:
    program = gr.Program("pools")

    @program.entry
    def pools(x: gr.f32["N", "H", 6, 3]):  # type: ignore[no-untyped-def, name-defined]
        wide = nn.max_pool(x, 3, 2, "SAME")
        return wide, nn.avg_pool(x, (3, 1), (1, 2), "SAME"), gr.gradients(gr.sum(wide * wide), [x])[0]

    compiled = program.compile()
    for height in (1, 2, 3, 8, 17):
        x = np.random.default_rng(6).normal(size=(2, height, 6, 3)).astype(np.float32)
        pads = [same(height, 3, 2, 1), same(6, 3, 2, 1)]
        wide, mean, gradient = compiled.pools(x)
        expected = plain(x, np.max, (3, 3), (2, 2), pads, (1, 1))
        np.testing.assert_array_equal(wide, expected.astype(np.float32))
        pads = [same(height, 3, 1, 1), same(6, 1, 2, 1)]
        np.testing.assert_allclose(mean, plain(x, np.mean, (3, 1), (1, 2), pads, (1, 1)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient.sum(), 2 * wide.sum(), rtol=1e-5)


def test_a_maximum_and_its_places_are_one_kernel() -> None:
    """relu joins the pool where nothing else wants it; the place is found with the maximum."""
    assert kernels(lambda x: nn.max_pool(nn.relu(x), 2)) == 1
    assert kernels(lambda x: (nn.max_pool(x, 2), gr.grad(lambda x: gr.sum(nn.max_pool(x, 2)))(x))) == 2


def kernels(function: Callable[..., Any]) -> int:
    """How many kernels a function of images takes."""
    program = gr.Program("counted")

    @program.entry
    def entry(x: gr.f32["N", 8, 8, 5]):  # type: ignore[no-untyped-def, name-defined]
        return function(x)

    return len(fuse(optimise(program.trace().entries[0].graph)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ArgumentError, "window=0"),
        (((2, 2, 2),), ArgumentError, r"window=\(2, 2, 2\) for 2 spatial axes"),
        ((2, True), ArgumentError, "strides=True"),
        ((2, 2, "FULL"), ArgumentError, "padding='FULL'"),
        ((2, 2, ((1, 1),)), ArgumentError, "padding"),
        ((2, 2, -1), ArgumentError, "padding=-1"),
    ],
)
def test_windows_that_do_not_fit_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gr.jit(lambda x: nn.max_pool(x, *arguments))(np.zeros((1, 4, 4, 1), np.float32))
    with pytest.raises(ShapeError, match="no spatial axis"):
        gr.jit(lambda x: nn.max_pool(x, 2))(np.zeros((4, 4), np.float32))
