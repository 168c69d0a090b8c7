"""Rows, columns and totals with what leads to them and follows them, fused: short rows, long ones, symbolic ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import graphc as gr
from graphc import ops
from graphc.ir import build
from graphc.ir.dim import Size, symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Input, Node, Scope
from graphc.ir.types import DType, TensorType, f32, f64, i32
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import target
from graphc.schedule.kernel import Loop
from tests.compiled import CompiledGraph
from tests.guards import GuardedMemory
from tests.random_graphs import Case, disagreement

N = symbol("N")
CPUS = ("native", "x86-64-v3", "x86-64-v2")

#: Shapes: a row of each length that a path has, under no, one and two leading axes.
LENGTHS: tuple[Size, ...] = (1, 2, 3, 10, 15, 16, 17, 33, 64, 65, 100, N)
SHAPES: tuple[tuple[Size, ...], ...] = (*((N, k) for k in LENGTHS), (17,), (5, 17), (2, N, 33), (2, N, 100), (N,))


def last(x: Node) -> tuple[int, ...]:
    return (x.type.rank - 1,)


def leading(x: Node) -> tuple[int, ...]:
    return tuple(range(x.type.rank - 1))


def every(x: Node) -> tuple[int, ...]:
    return tuple(range(x.type.rank))


def softmax(x: Node, i: Node) -> list[Node]:
    e = build.exp(x - build.spread(build.reduce_max(x, last(x)), x, last(x)))
    return [e / build.spread(build.sum_(e, last(x)), x, last(x))]


def statistics(x: Node, i: Node) -> list[Node]:
    """Several reductions in one pass, and one over what another one gave."""
    total, squares = build.sum_(x, last(x)), build.sum_(x * x, last(x))
    most, least = build.reduce_max(x, last(x)), build.reduce_min(x * 2.0, last(x))
    centred = x - build.spread(total * 0.1, x, last(x))
    variance = build.sum_(centred * centred, last(x))
    scaled = centred * build.spread(build.rsqrt(variance + 1.0), x, last(x))
    return [total, squares, most, least, scaled, variance, build.tanh(total) + most]


def cross_entropy(x: Node, i: Node) -> list[Node]:
    most = build.reduce_max(x, last(x))
    e = build.exp(x - build.spread(most, x, last(x)))
    size = build.log(build.sum_(e, last(x))) + most
    losses = size - build.gather(x, i, last(x)[0], last(x)[0])
    return [losses, build.sum_(losses, every(losses)), x - build.spread(size, x, last(x))]


def totals(x: Node, i: Node) -> list[Node]:
    length = build.sqrt(build.sum_(x * x, every(x)) + 1.0) * 2.0
    return [length, build.sum_(build.tanh(x) * x, every(x)), build.reduce_max(x, every(x))]


def columns(x: Node, i: Node) -> list[Node]:
    sums = build.sum_(build.tanh(x) * x, leading(x))
    return [sums * 2.0 + 1.0, x - build.broadcast(sums, x.type.shape, last(x)), build.reduce_min(x, leading(x))]


def extremes(x: Node, i: Node) -> list[Node]:
    """With ties: halves, of which there are few."""
    rounded = x.scope.node(ops.Round(), x)
    kinds = itertools.product((ops.ArgMax, ops.ArgMin), (x, rounded), range(x.type.rank))
    return [x.scope.node(kind(axis), operand) for kind, operand, axis in kinds]


COMPOSITES = (softmax, statistics, cross_entropy, totals, columns, extremes)
Composite = Callable[[Node, Node], list[Node]]


def graph_of(composite: Composite, dtype: DType, shape: tuple[Size, ...]) -> Graph:
    scope = Scope()
    x = scope.typed(Input("x"), TensorType(dtype, shape))
    i = scope.typed(Input("i"), TensorType(i32, shape[:-1]))
    return Graph(composite.__name__, scope, (x, i), tuple(composite(x, i)))


def values(rng: np.random.Generator, type_: TensorType, special: float) -> Array:
    """Floats, a share of them infinite or NaN or zero; small indices."""
    shape = tuple(int(s) for s in type_.shape)  # type: ignore[arg-type]
    if not type_.dtype.is_float:
        return rng.integers(-1, 6, shape).astype(type_.dtype.numpy)
    drawn = rng.normal(0, 1.5, shape)
    chosen = rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0], shape)
    return np.asarray(np.where(rng.random(shape) < special, chosen, drawn)).astype(type_.dtype.numpy)


def check(composite: Composite, dtype: DType, shape: tuple[Size, ...], cpu: str) -> None:
    graph = optimise(graph_of(composite, dtype, shape))
    compiled = CompiledGraph(graph, {}, target(cpu))
    for n, special in itertools.product((0, 1, 2, 16, 17, 33, 100), (0.0, 0.05)):
        rng = np.random.default_rng(2)
        inputs = tuple(values(rng, x.type.bind({"N": n}), special) for x in graph.inputs)
        if 0 in inputs[0].shape[-1:]:
            continue  # entries ask for at least one element where there is an index into a row, or an extreme
        fault = disagreement(Case(graph, inputs, {}, {"N": n}, ()), compiled(inputs, {}, GuardedMemory()))
        assert fault is None, f"{composite.__name__} {dtype}{list(shape)} {cpu} N = {n}: {fault}"


PAIRS = list(itertools.product(COMPOSITES, SHAPES))


@pytest.mark.parametrize(("number", "composite", "shape"), [(i, *p) for i, p in enumerate(PAIRS)])
def test_rows_columns_and_totals(number: int, composite: Composite, shape: tuple[Size, ...]) -> None:
    check(composite, f32, shape, CPUS[number % 3])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize(("composite", "shape"), PAIRS)
def test_rows_columns_and_totals_everywhere(
    composite: Composite, shape: tuple[Size, ...], dtype: DType, cpu: str
) -> None:
    check(composite, dtype, shape, cpu)


@pytest.mark.parametrize(("length", "kind"), [(10, "block"), (64, "block"), (65, "lanes"), (N, "lanes")])
def test_short_rows_stay_in_registers_and_softmax_is_one_kernel(length: Size, kind: str) -> None:
    compiled = CompiledGraph(optimise(graph_of(softmax, f32, (N, length))), {}, target("x86-64-v4"))
    (kernel,) = compiled.entry.kernels
    kinds = {s.kind for s in kernel.statements() if isinstance(s, Loop)}
    assert kinds == {"serial", kind}


LONG: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    "a vector": ((1_000_003,), None),
    "rows": ((3, 300_001), (1,)),
    "columns": ((300_001, 3), (0,)),
    "short rows": ((100_001, 7), None),
    "a batch of images": ((500, 16, 16, 5), (0, 1, 2)),
}


@pytest.mark.parametrize("symbolic", [True, False])
@pytest.mark.parametrize("name", LONG)
def test_long_sums_are_nearly_as_exact_as_short_ones(name: str, symbolic: bool) -> None:
    shape, axes = LONG[name]
    program = gr.Program("p")
    x = 1000.0 + np.random.default_rng(0).random(shape, np.float32)

    @program.entry(x=gr.f32[("N", *shape[1:]) if symbolic else shape])
    def total(x: gr.Tensor) -> tuple[gr.Tensor, gr.Tensor]:
        return gr.sum(x, axis=axes), gr.var(x, axis=axes)

    exact = x.astype(np.float64)
    sums, variances = program.compile().total(x)
    np.testing.assert_allclose(sums, exact.sum(axes), rtol=2e-6)
    np.testing.assert_allclose(variances, exact.var(axes), rtol=5e-5)
