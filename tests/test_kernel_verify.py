"""The verifiers accept what is scheduled and name the statement, kernel or buffer of every planted corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graphc import ops
from graphc.errors import InternalError, Site
from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Read, Scope
from graphc.ir.types import f32, f64, i32, u8
from graphc.schedule.access import Access, Axis, Buffer, Index, Row
from graphc.schedule.kernel import (
    Compute,
    Contract,
    Convolve,
    Fold,
    Guard,
    Kernel,
    Literal,
    Load,
    Loop,
    Matrix,
    Position,
    Range,
    Reduce,
    Stmt,
    Store,
)
from graphc.schedule.program import EntrySchedule
from graphc.schedule.tiles import TilePlan
from graphc.schedule.verify import verify_kernel
from graphc.schedule.verify_entry import verify_schedule
from tests.compiled import CompiledGraph
from tests.kernel_programs import GRAPHS, schedules

N = symbol("N")
R, C = Axis("i0", N), Axis("i1", 10)
X, OUT, SUMS = Buffer("in.x", f32[N, 10], "input"), Buffer("out.0", f32[N, 10], "output"), Buffer("t", f32[N], "arena")
W = Buffer("w", f32[10, 20], "state", 16)
ZERO, INT = Literal(1, f32, bytes(4)), Literal(1, i32, bytes(4))
TANH, ADD = ops.Tanh(), ops.Add()


def at(buffer: Buffer, *index: Axis | Index) -> Access:
    """An element."""
    return Access(buffer, buffer.type.shape, tuple(i if isinstance(i, Index) else Index.of(i) for i in index))


LOAD = Load(1, at(X, R, C))
TANH_OF_IT = Compute(2, f32, TANH, (1,))
STORE = Store(at(OUT, R, C), 2)


def nest(*body: Stmt, kind: str = "lanes") -> tuple[Stmt, ...]:
    """A body in two loops."""
    return (Loop(R, "serial", (Loop(C, kind, body),)),)  # type: ignore[arg-type]


def total(*folds: Fold, axes: tuple[Axis, ...] = (C,), lanes: bool = True) -> Reduce:
    """A sum of what was loaded as %1."""
    return Reduce(axes, lanes, folds or (Fold(3, ops.ReduceSum((1,)), f32, 1),), (LOAD,))


def product(*body: Stmt, **changes: object) -> tuple[Stmt, ...]:
    """A matmul of x by w."""
    contract = Contract(
        1, f32, R, Axis("i1", 20), 10, Matrix(X, Index(), N, 10, False), Matrix(W, Index(), 10, 20, False),
        TilePlan(4, 8, 4, 2), None, body,
    )  # fmt: skip
    return (replace(contract, **changes),)  # type: ignore[arg-type]


#: A row of a convolution, of an image [9, 8] by a kernel [3, 8, 4].
M, J, TAP, CHANNEL = Axis("m", 9), Axis("j", 4), Axis("t", 3), Axis("c", 8)
IMAGE, KERNEL, ROW = (
    Buffer(name, f32[shape], place)  # type: ignore[arg-type]
    for name, shape, place in (("in.x", (9, 8), "input"), ("in.k", (3, 8, 4), "input"), ("out.0", (9, 4), "output"))
)
MEETING = Index(((M, 1), (TAP, 1)), -1)


def convolution(**changes: object) -> tuple[Stmt, ...]:
    """That convolution."""
    kernel = Index(((TAP, 32), (CHANNEL, 4), (J, 1)))
    statement = Convolve(
        f32, Row(ROW, Index(((M, 4), (J, 1)))), (M,), J, (TAP, CHANNEL), Row(IMAGE, MEETING * 8 + Index.of(CHANNEL)),
        Row(KERNEL, kernel), (Guard(MEETING, 9),), TilePlan(4, 4, 4, 1),
    )  # fmt: skip
    return (replace(statement, **changes),)  # type: ignore[arg-type]


WELL_FORMED = {
    "convolution": convolution(),
    "map": nest(LOAD, TANH_OF_IT, STORE),
    "reduce": (Loop(R, "serial", (total(), Store(at(SUMS, R), 3))),),
    "block": nest(LOAD, Reduce((), True, (Fold(2, ops.ReduceMax((1,)), f32, 1),), ()), STORE, kind="block"),
    "columns": (Loop(C, "lanes", (total(axes=(R,), lanes=False), Store(at(Buffer("t", f32[10], "arena"), C), 3))),),
    "matmul": product(Store(at(Buffer("t", f32[N, 20], "arena"), R, Axis("i1", 20)), 1)),
    "gather": (INT, Position(2, 1, N), Load(3, at(SUMS, Index.of(2)), N), Store(at(SUMS, Index.of(2)), 3)),
    "uniform": (Loop(R, "serial", (ZERO, Loop(C, "lanes", (Store(at(OUT, R, C), 1),)))),),
}  # fmt: skip


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed_kernels_pass(name: str) -> None:
    verify_kernel(Kernel(name, WELL_FORMED[name]))


@pytest.mark.parametrize("name", GRAPHS)
def test_schedules_pass(name: str) -> None:
    verify_schedule(schedules()[name])


PLACE = Position(3, 1, 4)
SUM = Fold(2, ops.ReduceSum((1,)), f32, 1)
SELF = Fold(3, ops.ReduceSum((1,)), f32, 3)

ILL_FORMED: dict[str, tuple[tuple[Stmt, ...], str]] = {
    "undefined": (nest(TANH_OF_IT, STORE), r"tanh %1 : f32: %1 is not defined"),
    "before": (nest(TANH_OF_IT, LOAD, STORE), r"%1 is not defined"),
    "twice": (nest(LOAD, LOAD), r"load in\.x\[i0, i1\] : f32: defines %1 again"),
    "scope": ((*nest(LOAD, TANH_OF_IT), STORE), r"%2 is out of its scope"),
    "folded": ((Loop(R, "serial", (total(), TANH_OF_IT)),), r"%1 is out of its scope"),
    "result": ((Loop(R, "serial", (Reduce((C,), True, (SELF,), (LOAD,)),)),), r"%3 is not"),
    "axis": ((Loop(R, "serial", (LOAD,)),), r"load in\.x\[i0, <i1 in 10>\].*: the axis i1 of 10 is not open"),
    "extent": ((Loop(R, "serial", (Loop(Axis("i1", 11), "lanes", (LOAD,)),)),), r"the axis i1 of 10 is not open"),
    "reopened": ((Loop(R, "serial", (Loop(Axis("i0", 3), "serial", ()),)),), r"for i0 in 3: opens the axis i0 again"),
    "rank": (nest(Load(1, at(X, C))), r"1 indices into 2 axes"),
    "shape": (nest(Load(1, Access(X, (20, N), (Index.of(C), Index.of(R))))), r"in\.x has 10\*N elements, not 20\*N"),
    "high": (nest(Load(1, at(X, R, Index(((C, 1),), 1)))), r"runs from 1 to 10, outside 0 \.\. 10 - 1"),
    "constant": ((Load(1, at(Buffer("t", f32[4], "arena"), Index((), 4))),), r"its index is 4, outside 0 \.\. 4 - 1"),
    "low": (nest(Load(1, at(X, R, Index(((C, -1),), 8)))), r"runs from -1 to 8"),
    "halfway": (nest(Load(1, at(X, R, Index(((C, 1),), N)))), r"runs from N to N \+ 9"),
    "symbolic": (nest(Load(1, at(X, Index(((R, 1),), 1), C))), r"runs from 1 to N, outside 0 \.\. N - 1"),
    "strided": (nest(Load(1, at(X, R, Index(((C, 2),))))), r"runs from 0 to 18"),
    "no position": ((ZERO, Load(2, at(SUMS, Index.of(1)))), r"%1 is no position that is known here"),
    "wide position": ((INT, PLACE, Load(2, at(Buffer("t", f32[3], "arena"), Index.of(3)))), r"runs from 0 to 3"),
    "float position": ((ZERO, PLACE), r"%3 = clamp %1 to 4: %1 is no integer"),
    "dtype": (nest(LOAD, replace(TANH_OF_IT, dtype=f64)), r"should be f32"),
    "operands": (nest(LOAD, Literal(3, f64, bytes(8)), Compute(2, f32, ADD, (1, 3))), r"add: dtypes differ"),
    "arity": (nest(LOAD, Compute(2, f32, TANH, (1, 1))), r"does not type: tanh: takes 1 operand, got 2"),
    "defined on": ((INT, Compute(2, i32, TANH, (1,))), r"does not type: tanh: not defined on i32"),
    "not a map": (nest(LOAD, Compute(2, f32, ops.ReduceSum(()), (1,))), r"reduce_sum is not elementwise"),
    "literal": ((Literal(1, f64, bytes(4)),), r"has 4 bytes, not 8"),
    "stored dtype": ((Range(2, i32, Index()), Store(at(Buffer("t", f32[()], "arena")), 2)), r"%2 is i32, not f32"),
    "input": (nest(LOAD, Store(at(X, R, C), 1)), r"store in\.x\[i0, i1\] = %1: writes an input"),
    "data": ((ZERO, Store(at(Buffer("data1", f32[()], "data")), 1)), r"writes constant data"),
    "lanes in lanes": ((Loop(R, "lanes", (Loop(C, "lanes", ()),)),), r"for i1 in 10, by lanes: lanes are open already"),
    "block in lanes": ((Loop(R, "lanes", (Loop(C, "block", ()),)),), r"lanes are open already"),
    "reduce in lanes": ((Loop(R, "lanes", (total(),)),), r"reduce i1 in 10, by lanes: lanes are open already"),
    "matmul in lanes": ((Loop(Axis("i2", 3), "lanes", product()),), r"lanes are open already"),
    "lanes in matmul": (product(Loop(C, "lanes", ()), n=Axis("i2", 20)), r"lanes are open already"),
    "symbolic block": ((Loop(R, "block", ()),), r"a block's extent is a positive number"),
    "no block": (nest(LOAD, Reduce((), True, (SUM,), ())), r"no block around it"),
    "no axes": (nest(LOAD, Reduce((), False, (SUM,), ()), kind="block"), r"has no axes"),
    "no folds": ((Loop(R, "serial", (Reduce((C,), True, (), ()),)),), r"folds nothing"),
    "fold dtype": ((Loop(R, "serial", (total(Fold(3, ops.ArgMax(1), i32, 1)),)),), r"%3 should be i64, not i32"),
    "fold op": ((Loop(R, "serial", (total(Fold(3, TANH, f32, 1)),)),), r"tanh does not fold f32"),
    "lanes to one place": (nest(LOAD, Store(at(SUMS, R), 1)), r"%1 differs between lanes, the place does not"),
    "index to one place": (nest(Range(1, f32, Index.of(C)), Store(at(SUMS, R), 1)), r"%1 differs between lanes"),
    "columns to one place": (
        (Loop(C, "lanes", (total(axes=(R,), lanes=False), Store(at(SUMS, Index()), 3))),), r"%3 differs between lanes",
    ),
    "packed view": ((Load(1, Access(W, (200,), (Index(),))),), r"w is packed as f32\[10,20\]"),
    "reread": (nest(Load(1, at(OUT, R, Index())), Store(at(OUT, R, C), 1)), r"reads out\.0, which the kernel writes"),
    "read after": (nest(ZERO, Store(at(OUT, R, C), 1), Load(2, at(OUT, R, C))), r"which the kernel writes"),
    "convolution in lanes": ((Loop(C, "lanes", convolution()),), r"lanes are open already"),
    "convolution's plan": (convolution(plan=TilePlan(8, 4, 4, 1)), r"its plan is for elements of 8 bytes"),
    "convolution into an input": (convolution(into=Row(IMAGE, Index.of(J))), r"writes in\.x"),
    "convolution into its operand": (convolution(lhs=Row(ROW, MEETING)), r"writes out\.0"),
    "convolution's dtype": (convolution(dtype=f64, plan=TilePlan(8, 4, 4, 1)), r"out\.0 is f32\[9,4\]"),
    "scattered columns": (convolution(into=Row(ROW, Index(((M, 1), (J, 9))))), r"not contiguous along the columns"),
    "closed axis": (convolution(over=(CHANNEL,)), r"the axis t of 3 is not open"),
    "guard without a sum": (convolution(guards=(Guard(Index.of(M), 9),)), r"a guard is about one axis of the sum"),
    "guard backwards": (convolution(guards=(Guard(Index(((TAP, -1),), 2), 3),)), r"a guard is about one axis"),
    "guard of unknown size": (convolution(guards=(Guard(MEETING, N),)), r"a guard about rows is made of numbers"),
    "inner": (product(k=11), r"in\.x should be \[N, 11\]"),
    "rows": (product(m=Axis("i0", 5)), r"in\.x should be \[5, 10\]"),
    "turned": (product(lhs=Matrix(X, Index(), N, 10, True)), r"in\.x should be \[10, N\]"),
    "matrix dtype": (product(dtype=f64), r"in\.x is f32, not f64"),
    "matrix size": (product(lhs=Matrix(SUMS, Index(), N, 10, False), m=Axis("i0", 5)), r"t should be"),
    "small matrix": (product(lhs=Matrix(replace(X, type=f32[N, 9]), Index(), N, 10, False)), r"has 9\*N elements only"),
    "offset axis": (product(lhs=Matrix(X, Index.of(C), N, 10, False)), r"the axis i1 of 10 is not open"),
    "packed matrix": (product(rhs=Matrix(replace(W, type=f32[20, 10]), Index(), 10, 20, False)), r"w is packed as"),
    "operand written": (product(Store(at(W, R, Axis("i1", 20)), 1)), r"the kernel writes its operand w"),
    "itemsize": (product(plan=TilePlan(8, 8, 4, 2)), r"its plan is for elements of 8 bytes"),
    "no scratch": (product(plan=TilePlan(4, 8, 4, 2, pack=True)), r"its plan needs scratch"),
    "small scratch": (
        product(plan=TilePlan(4, 8, 4, 2, pack=True), scratch=Buffer("s", u8[64], "arena")), r"s is no scratch of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ILL_FORMED)
def test_a_planted_corruption_of_a_kernel_is_named(name: str) -> None:
    body, message = ILL_FORMED[name]
    with pytest.raises(InternalError, match=rf"kernel broken: .*{message}"):
        verify_kernel(Kernel("broken", body))


def test_indices_of_loops_over_nothing_are_not_looked_at() -> None:
    empty = Axis("i0", 0)
    verify_kernel(Kernel("empty", (Loop(empty, "serial", (Load(1, at(Buffer("t", f32[0], "arena"), empty)),)),)))
    verify_kernel(Kernel("empty", (Loop(empty, "serial", (Load(1, at(Buffer("t", f32[3], "arena"), Index((), 7))),)),)))


def test_a_fault_names_the_users_line() -> None:
    kernel = Kernel("broken", ILL_FORMED["undefined"][0], sites=(Site("/home/me/model.py", 7, "y = gr.tanh(x)"),))
    with pytest.raises(InternalError, match=r"at model\.py:7   y = gr\.tanh\(x\)"):
        verify_kernel(kernel)


Corrupt = Callable[[EntrySchedule], EntrySchedule]


def without(buffer: str) -> Corrupt:
    """The schedule without a buffer's place."""
    return lambda e: replace(e, arena=tuple(p for p in e.arena if not p.buffer.name.startswith(buffer)))


def with_kernels(change: Callable[[tuple[Kernel, ...]], tuple[Kernel, ...]]) -> Corrupt:
    """The schedule with other kernels."""
    return lambda e: replace(e, steps=change(e.kernels))


def apart(e: EntrySchedule) -> EntrySchedule:
    """Everything at the start of the arena."""
    return replace(e, arena=tuple(replace(p, above=()) for p in e.arena))


def shrunk(e: EntrySchedule) -> EntrySchedule:
    """Less room for everything."""
    return replace(e, arena=tuple(replace(p, size=p.size - 64) for p in e.arena))


def renamed(change: Callable[[Buffer], Buffer], name: str) -> Corrupt:
    """The last kernel that touches a buffer touches another one instead."""

    def corrupt(e: EntrySchedule) -> EntrySchedule:
        *_, last = (i for i, k in enumerate(e.kernels) if any(b.name == name for b in k.buffers()))
        kernel = e.kernels[last]
        other = kernel.renamed({b: change(b) for b in kernel.buffers() if b.name == name})
        return replace(e, steps=(*e.kernels[:last], other, *e.kernels[last + 1 :]))

    return corrupt


DATA = Buffer("data1", f32[3], "data")


@pytest.mark.parametrize(
    ("name", "corrupt", "message"),
    [
        ("step", with_kernels(lambda k: k[::-1]), r"kernel copy: reads saved\.\d+ before it is written"),
        ("step", with_kernels(lambda k: (*k[:4], k[5], k[4], k[6])), r"kernel copy: reads the old value of dense/bias"),
        ("step", with_kernels(lambda k: (*k, k[0])), r"count .*after its update|written by another kernel"),
        ("step", with_kernels(lambda k: k[:2]), r"nothing writes out\.0"),
        ("step", lambda e: replace(e, written=e.written - {"count"}), r"says it updates: count"),
        ("step", lambda e: replace(e, written=e.written | {"w"}), r"says it updates: w"),
        ("step", apart, r"are live together, but may overlap in the arena"),
        ("step", without("out"), r"out\.0 is no output buffer that has a place"),
        ("step", without("saved"), r"saved\.\d+ is no arena buffer that has a place"),
        ("step", lambda e: replace(e, arena=e.arena[::-1]), r"which is not placed before it"),
        ("step", lambda e: replace(e, arena=e.arena * 2), r"has two places in the arena"),
        ("step", shrunk, r"bytes of the arena"),
        ("step", lambda e: replace(e, inputs=e.inputs[1:]), r"in\.x is no input buffer that has a place"),
        ("step", lambda e: replace(e, data={DATA: bytes(11)}), r"data1: f32\[3\] has 11 bytes of data"),
        ("step", lambda e: replace(e, symbols=()), r"in\.x: f32\[N,8\] has a dimension that no input binds"),
        ("step", renamed(lambda b: replace(b, name="after"), "before"), r"says it updates: after, before"),
        ("step", renamed(lambda b: replace(b, panel=0), "dense/kernel"), r"dense/kernel is f32\[8,20\] elsewhere"),
        ("embed", renamed(lambda b: replace(b, place="data"), "in.tokens"), r"in\.tokens is no data buffer"),
    ],
)  # fmt: skip
def test_a_planted_corruption_of_a_schedule_is_named(name: str, corrupt: Corrupt, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        verify_schedule(corrupt(schedules()[name]))


def test_old_values_are_read_before_they_are_overwritten() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[32])
    w, v = (scope.typed(Read(name), f32[32]) for name in "wv")
    new = x * 2.0
    graph = Graph("swap", scope, (x,), (new + w,), (("w", new), ("v", w * 3.0)))
    values = [np.arange(32, dtype=np.float32) + i for i in range(3)]
    state = {"w": values[1], "v": values[2]}
    got = CompiledGraph(graph, {"w": w.type, "v": v.type})(values[:1], state)
    expected = evaluate(graph, values[:1], state)
    np.testing.assert_array_equal(got.outputs[0], expected.outputs[0])
    assert all(np.array_equal(got.updates[name], expected.updates[name]) for name in "wv")


def test_a_sum_over_no_axes_is_what_it_sums() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[3, 20])
    graph = Graph("same", scope, (x,), (build.exp(scope.node(ops.ReduceSum(()), x)),))
    value = np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 20)
    np.testing.assert_allclose(CompiledGraph(graph, {})([value], {}).outputs[0], np.exp(value), rtol=1e-6)
