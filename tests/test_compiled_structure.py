"""Ops that move, reduce, contract and index, as machine code against their meaning, at awkward sizes of each axis."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import Size, symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate, shadow
from graphc.ir.node import Array, Input, Node, Op, Scope
from graphc.ir.types import DType, TensorType, bool_, f32, f64, i32, i64, u8, u64
from graphc.ops.base import ANY
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native, target
from tests.compiled import CompiledGraph, run_compiled
from tests.guards import GuardedMemory

N = symbol("N")
CPUS = ("native", "x86-64-v3", "x86-64-v2")
SIZES = (0, 1, 2, 3, 15, 16, 17, 31, 33, 100)

Shape = tuple[Size, ...]
Axes = tuple[int, ...]
SPECIAL = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40])


@dataclass(frozen=True)
class Case:
    """An expression over operands; a shape stands for an operand of the tested dtype, a type for one of its own.

    `numeric` keeps bool away; `sums` says that rounding depends on the order, so that the result has a bound only.
    """

    name: str
    operands: Callable[[Size, Size], Sequence[Shape | TensorType]]
    build: Callable[..., Node]
    numeric: bool = False
    sums: bool = False

    def graph(self, dtype: DType, a: Size, b: Size) -> Graph:
        scope = Scope()
        types = [o if isinstance(o, TensorType) else TensorType(dtype, o) for o in self.operands(a, b)]
        inputs = tuple(scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types))
        return Graph(self.name, scope, inputs, (self.build(*inputs),))


def applied(op: Op) -> Callable[..., Node]:
    """The node of an op."""
    return lambda *xs: xs[0].scope.node(op, *xs)


def indices(*shape: Size) -> TensorType:
    """Index operands; the values drawn for them reach outside of short axes."""
    return TensorType(i32, shape)


def scatter(axis: int, batch: int = 0) -> Callable[..., Node]:
    return lambda x, i, u: build.scatter_add(x, i, u, axis, batch)


def gather(axis: int, batch: int = 0, dtype: DType = i32) -> Callable[..., Node]:
    return lambda x, i: build.gather(x, build.cast(i, dtype), axis, batch)


MOVEMENT = (
    Case("broadcast_rows", lambda a, b: [(a, 2), (a,)], lambda x, y: build.broadcast(y, (*y.type.shape, 5), (0,))),
    Case("broadcast_columns", lambda a, b: [(b,)], lambda x: build.broadcast(x, (4, *x.type.shape), (1,))),
    Case("transpose", lambda a, b: [(a, b)], lambda x: build.transpose(x, (1, 0))),
    *(
        Case(f"transpose{p}", lambda a, b: [(2, a, b)], lambda x, p=p: build.transpose(x, p))
        for p in itertools.permutations(range(3))
    ),
    Case("reshape", lambda a, b: [(a, b)], lambda x: build.transpose(build.reshape(x, (x.type.size, 1)), (1, 0))),
    Case("slice", lambda a, b: [(a, b)], lambda x: build.slice_(x, (0, 0), x.type.shape, (2, 3))),
    Case("pad", lambda a, b: [(a, b), ()], lambda x, v: build.pad(x, v, (1, 0), (0, 2))),
    Case("pad_interior", lambda a, b: [(a, b), ()], lambda x, v: build.pad(x, v, (1, 2), (0, 3), (2, 1))),
    Case("concat_rows", lambda a, b: [(a, b), (2, b), (a, b)], lambda *xs: build.concat(xs, 0)),
    Case("concat_columns", lambda a, b: [(a, b), (a, 2), (a, b)], lambda *xs: build.concat(xs, 1)),
)  # fmt: skip

REDUCTIONS = (
    *(
        Case(
            f"{op.__name__}{axes}", lambda a, b: [(2, a, b)], applied(op(axes)), numeric=True,
            sums=op in (ops.ReduceSum, ops.ReduceProd),
        )
        for op in (ops.ReduceSum, ops.ReduceProd, ops.ReduceMax, ops.ReduceMin)
        for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    ),
    *(
        Case(f"{op.__name__}{axis}", lambda a, b: [(2, a, b)], applied(op(axis)), numeric=True)
        for op in (ops.ArgMax, ops.ArgMin) for axis in range(3)
    ),
)  # fmt: skip

INDEXING = (
    Case("gather_rows", lambda a, b: [(a, b), indices(4)], gather(0)),
    Case("gather_columns", lambda a, b: [(a, b), indices(5, 2)], gather(1, dtype=i64)),
    Case("gather_in_rows", lambda a, b: [(a, b), indices(a, 17)], gather(1, 1, dtype=u8)),
    Case("gather_one_of_each_row", lambda a, b: [(a, b), indices(a)], gather(1, 1)),
    Case("gather_a_row", lambda a, b: [(a, b), indices()], gather(0, dtype=u64)),
    Case("gather_many", lambda a, b: [(a, b), indices(b)], gather(0)),
    Case("gather_then_sum", lambda a, b: [(a, b), indices(7)], lambda x, i: build.sum_(build.gather(x, i, 0), (0,)),
         numeric=True, sums=True),
    Case("gather_of_gather", lambda a, b: [(a, b), indices(a), indices(9)],
         lambda x, i, j: build.gather(x, build.gather(i, j, 0), 0)),
    Case("scatter_rows", lambda a, b: [(a, b), indices(4), (4, b)], scatter(0), numeric=True, sums=True),
    Case("scatter_columns", lambda a, b: [(a, b), indices(5, 2), (a, 5, 2)], scatter(1), numeric=True, sums=True),
    Case("scatter_in_rows", lambda a, b: [(a, b), indices(a, 17), (a, 17)], scatter(1, 1), numeric=True, sums=True),
    Case("scatter_one_a_row", lambda a, b: [(a, b), indices(a), (a,)], scatter(1, 1), numeric=True, sums=True),
    Case("scatter_one", lambda a, b: [(b,), indices(), ()], scatter(0), numeric=True, sums=True),
)  # fmt: skip


def product(name: str, operands: Callable[[Size, Size], Sequence[Shape]], build: Callable[..., Node]) -> Case:
    """A contraction."""
    return Case(name, operands, build, numeric=True, sums=True)


def dot(left: Axes, right: Axes, left_batch: Axes = (), right_batch: Axes = ()) -> Callable[..., Node]:
    return lambda x, y: build.dot_general(x, y, left, right, left_batch, right_batch)


CONTRACTIONS = (
    product("rows_by_columns", lambda a, b: [(a, b), (b, 5)], dot((1,), (0,))),
    product("columns_by_columns", lambda a, b: [(a, b), (a, 7)], dot((0,), (0,))),
    product("rows_by_rows", lambda a, b: [(a, b), (18, b)], dot((1,), (1,))),
    product("columns_by_rows", lambda a, b: [(a, b), (4, a)], dot((0,), (1,))),
    product("by_vector", lambda a, b: [(a, b), (b,)], dot((1,), (0,))),
    product("outer", lambda a, b: [(a,), (3, b)], dot((), ())),
    product("batch", lambda a, b: [(2, a, b), (2, b, 6)], dot((2,), (1,), (0,), (0,))),
    product("batch_of_columns", lambda a, b: [(2, a, b), (2, 5, a)], dot((1,), (2,), (0,), (0,))),
    product("batch_last", lambda a, b: [(a, b, 3), (b, 3, 4)], dot((1,), (0,), (2,), (1,))),
    product("batch_of_vectors", lambda a, b: [(2, a, b), (b, 2)], dot((2,), (0,), (0,), (1,))),
    product("batch_of_outer", lambda a, b: [(a, b), (3, a)], dot((), (), (0,), (1,))),
    product("two_axes", lambda a, b: [(2, a, b), (b, 5, 2)], dot((0, 2), (2, 0))),
    product("free_axes", lambda a, b: [(a, 3, b), (3, 2, 4)], dot((1,), (0,))),
)

CUMULATIVE = (
    *(
        Case(f"{op.__name__}{axis}{'_reverse' * back}", lambda a, b: [(2, a, b)], applied(op(axis, back)), numeric=True)
        for op in (ops.CumSum, ops.CumMax) for axis in range(3) for back in (False, True)
    ),
    *(
        Case(f"Recurrence{axis}{'_reverse' * back}", lambda a, b: [(2, a, b)] * 2, applied(ops.Recurrence(axis, back)),
             numeric=True)
        for axis in range(3) for back in (False, True)
    ),
    Case("cumsum_of_a_view", lambda a, b: [(a, b)],
         lambda x: build.apply(ops.CumSum(0, True), build.transpose(x + x, (1, 0))), numeric=True),
    Case("Argsort", lambda a, b: [(a, b)], applied(ops.Argsort())),
    Case("Argsort_descending", lambda a, b: [(2, a, b)], applied(ops.Argsort(True))),
    Case("Argsort_of_a_view", lambda a, b: [(a, b)],
         lambda x: build.apply(ops.Argsort(), build.transpose(x, (1, 0)))),
)  # fmt: skip

ALL = MOVEMENT + REDUCTIONS + INDEXING + CONTRACTIONS + CUMULATIVE


def forms(size: int) -> Iterator[tuple[Size, Size, list[dict[str, int]]]]:
    """(a, b, values of N): constant sizes, and each of the two symbolic."""
    bindings = [{"N": n} for n in SIZES]
    yield 3, size, [{}]
    yield N, size, bindings
    yield 3, N, bindings


def values(rng: np.random.Generator, type_: TensorType, special: bool) -> Array:
    """Floats, some of them special; small integers of both signs."""
    shape = tuple(int(s) for s in type_.shape)  # type: ignore[arg-type]
    drawn: Array
    if type_.dtype.is_float:
        drawn = rng.normal(0, 1.5, shape)
        drawn = np.where((rng.random(shape) < 0.15) & special, rng.choice(SPECIAL, shape), drawn)
    else:
        drawn = rng.integers(0 if type_.dtype.kind == "uint" else -2, 6, shape)
    return np.asarray(drawn).astype(type_.dtype.numpy)


def check(case: Case, dtype: DType, cpu: str, size: int) -> None:
    """Bit for bit, or under the shadow's bound where a sum's order is not given."""
    for a, b, bindings in forms(size):
        graph = optimise(case.graph(dtype, a, b))
        compiled = CompiledGraph(graph, {}, target(cpu))
        for binding in bindings:
            rng = np.random.default_rng(4)
            arguments = [values(rng, n.type.bind(binding), not case.sums) for n in graph.inputs]
            got = compiled(arguments, {}, GuardedMemory()).outputs[0]
            compare(case, graph, arguments, got, f"{dtype}[{a}, {b}], {cpu}, {binding}")


def compare(case: Case, graph: Graph, arguments: Sequence[Array], got: Array, where: str) -> None:
    state: Mapping[str, Array] = {}
    if case.sums and got.dtype.kind == "f":
        ((exact, bound),) = shadow(graph, arguments, state)
        tiny = 1e6 * float(np.finfo(got.dtype).smallest_subnormal)  # a product may underflow on the way
        assert got.shape == exact.shape and (np.abs(got.astype(np.float64) - exact) <= 4 * bound + tiny).all(), where
    else:
        expected = evaluate(graph, arguments, state).outputs[0]
        np.testing.assert_array_equal(got, expected, err_msg=where)
        if got.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(got) & ~np.isnan(got), np.signbit(expected) & ~np.isnan(expected))


@pytest.mark.parametrize(
    ("case", "cpu"), list(zip(ALL, itertools.cycle(CPUS), strict=False)), ids=[c.name for c in ALL]
)
def test_structural_ops(case: Case, cpu: str) -> None:
    check(case, f32, cpu, 17)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 16, 33, 100])
@pytest.mark.parametrize("case", ALL, ids=[c.name for c in ALL])
def test_structural_ops_on_every_dtype_and_cpu(case: Case, size: int) -> None:
    for dtype in ANY:
        if not (case.numeric and dtype == bool_):
            for cpu in CPUS:
                check(case, dtype, cpu, size)


def test_a_padding_is_not_read_from_a_result_that_is_the_same_everywhere() -> None:
    """The filler, repeated, is also a result: the pad's kernel has its own."""
    scope = Scope()
    x = scope.typed(Input("x"), f64[2])
    padded = build.pad(x, 0.0, (1,), (2,))
    graph = Graph("pads", scope, (x,), (padded, build.constant(scope, 0.0, f64, (5,))))
    got = run_compiled(graph, [np.ones(2)], {}, native())
    np.testing.assert_array_equal(got.outputs[0], [0, 1, 1, 0, 0])
