"""Graphs with control flow: loops over slices, loops under a condition, branches, one in the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.ir import build
from graphc.ir.dim import Size, symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Array, Input, Node, Read, Scope
from graphc.ir.types import DType, TensorType, f32, i64
from graphc.ops.control import Cond, Scan, WhileLoop

N, T = symbol("N"), symbol("T")

Results = tuple[Sequence[Node], Sequence[Node]]
"""New carries, slices to stack."""


def body(
    consts: Sequence[Node], carries: Sequence[TensorType], slices: Sequence[TensorType],
    step: Callable[..., Results], name: str = "body", indexed: bool = False,
) -> Graph:  # fmt: skip
    """The body that a Python function of (constants, carries, slices, number of the round) writes."""
    scope = Scope()
    inputs = [scope.typed(Input(f"c{i}"), n.type) for i, n in enumerate(consts)]
    inputs += [scope.typed(Input(f"x{i}"), t) for i, t in enumerate(slices)]
    inputs += [scope.typed(Input("round"), TensorType(i64))] * indexed
    reads = [scope.typed(Read(f"carry.{i}"), t) for i, t in enumerate(carries)]
    split = len(consts)
    new, stacked = step(inputs[:split], reads, *([inputs[split:]] if slices or indexed else []))
    updates = tuple((f"carry.{i}", n) for i, n in enumerate(new))
    return Graph(name, scope, tuple(inputs), tuple(stacked), updates)


def scan(
    consts: Sequence[Node], inits: Sequence[Node], xs: Sequence[Node], step: Callable[..., Results],
    length: Size = T, reverse: bool = False, indexed: bool = False,
) -> list[Node]:  # fmt: skip
    """The results of a loop over slices."""
    parts = [x.type.with_shape(x.type.shape[1:]) for x in xs]
    graph = body(consts, [n.type for n in inits], parts, step, indexed=indexed)
    op = Scan(graph, len(consts), length, reverse, indexed)
    return build.items(inits[0].scope.node(op, *consts, *inits, *xs))


def dot(x: Node, y: Node) -> Node:
    return build.dot_general(x, y, (1,), (0,))


def branch(test: Node, operands: Sequence[Node], *functions: Callable[..., Sequence[Node]]) -> list[Node]:
    """The results of one of two branches."""
    then, otherwise = (body(operands, [], [], lambda c, s, f=f: ([], f(*c))) for f in functions)
    return build.items(test.scope.node(Cond(then, otherwise), test, *operands))


def loop(
    consts: Sequence[Node], inits: Sequence[Node], test: Callable[..., Node], step: Callable[..., Results]
) -> list[Node]:
    """The last carries of a loop under a condition."""
    types = [n.type for n in inits]
    condition = body(consts, types, [], lambda c, s: ([], [test(c, s)]))
    return build.items(inits[0].scope.node(WhileLoop(condition, body(consts, types, [], step)), *consts, *inits))


Case = Callable[..., Sequence[Node]]
"""(h, g, w, xs) -> results, with h, g: [N, 8]; w: [8, 8]; xs: [T, N, 8]."""
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Make a function a case."""
    CASES[function.__name__] = function
    return function


@case
def last_carry_alone(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    return scan([w], [h], [xs], lambda c, s, x: ([build.tanh(dot(s[0], c[0]) + x[0])], []))


@case
def carries_before_and_after(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        new = build.tanh(dot(s[0], c[0]) + x[0])
        return [new, s[1] + new * s[0]], [s[0], new, s[1], new]

    return scan([w], [h * 2.0, g], [xs], step)


@case
def backwards(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    return scan([w], [h], [xs, xs], lambda c, s, x: ([dot(s[0] + x[0], c[0]) * 0.5], [s[0] * x[1]]), reverse=True)


@case
def carries_that_change_places(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        return [s[1], s[2], s[0], s[3] + s[0]], [s[0], s[1] + x[0]]

    return scan([], [h, g, h + g, g], [xs], step)


@case
def carries_as_they_were(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    return scan([h], [h, g], [xs], lambda c, s, x: ([s[0], c[0]], [s[1], x[0], c[0], s[0] * x[0]]))


@case
def a_carry_that_is_added_to_and_starts_a_loop(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def inner(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        return [s[0] * 0.5 + x[0]], []

    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        places = build.cast(build.iota(s[0].scope, i64, (8,), 0) * 0 + 1, i64)
        new = build.scatter_add(s[0], places, build.transpose(x[0], (1, 0)), 0)
        return [new], scan([], [new], [c[0]], inner, 3)

    stack = build.broadcast(build.transpose(h, (1, 0)), (3, 8, N), (1, 2))
    return scan([stack], [build.transpose(g, (1, 0))], [xs], step)


@case
def rows_and_scalars(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    total = build.sum_(xs, (1, 2))

    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        row = build.sum_(x[1], (1,)) + build.spread(x[0], s[1], (0,))
        return [s[0] + x[0], s[1] + row], [s[0], row, x[1]]

    return scan([], [build.sum_(h, (0, 1)), build.sum_(h, (1,))], [total, xs], step)


@case
def without_slices(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    return scan([w], [h], [], lambda c, s: ([dot(s[0], c[0])], [s[0]]), length=3)


@case
def the_number_of_the_round(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        number = build.cast(x[1], s[0].type.dtype)
        return [s[0] + build.spread(number, s[0], (0, 1)) * x[0]], [number]

    return scan([], [h], [xs], step, indexed=True, reverse=True)


@case
def one_after_the_other(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    last, states = scan([w], [h], [xs], lambda c, s, x: ([build.tanh(dot(s[0], c[0]) + x[0])], [s[0]]))

    def back(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        d = dot(s[0], c[0]) * x[0]
        return [d, s[1] + build.dot_general(x[0], d, (0,), (0,))], [d * x[1]]

    first, gradient, rest = scan([w], [last, w * 0.0], [states, xs], back, reverse=True)
    return [first + last, gradient, rest + states]


@case
def values_with_many_readers(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    start = h + g
    a, b = scan([start], [start, start], [xs], lambda c, s, x: ([s[0] + x[0], s[1] * c[0]], []))
    again, _ = scan([a], [start, b], [xs], lambda c, s, x: ([s[0] * c[0], s[1] - x[0]], []))
    return [a, a, b, start, again]


@case
def loops_in_loops(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def outer(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        rows = build.transpose(x[0], (1, 0))

        def inner(c: list[Node], s: list[Node], x: list[Node]) -> Results:
            new = s[0] * 0.5 + x[0]
            return [new, s[1] + c[0]], [new + build.sum_(c[0], (1,)), s[0]]

        a, b, ys, zs = scan([s[0]], [build.sum_(s[0], (1,)), s[1]], [rows], inner, length=8)
        return [dot(s[0], c[0]) + b, b], [ys, a, build.transpose(zs, (1, 0))]

    return scan([w], [h, g], [xs], outer)


@case
def branches(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    positive = build.gt(build.sum_(h, (0, 1)), build.sum_(g, (0, 1)))
    a, b, c = branch(positive, [h, g, w], lambda h, g, w: [dot(h, w), h, g * 0.0], lambda h, g, w: [h - g, g, g])
    return [a, b + c, c, branch(build.not_(positive), [h], lambda h: [h], lambda h: [h * 3.0])[0]]


@case
def a_branch_in_a_loop(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        test = build.gt(build.sum_(x[0], (0, 1)), build.sum_(s[0], (0, 1)))
        new, y = branch(test, [s[0], x[0], c[0]], lambda s, x, w: [dot(s, w), x], lambda s, x, w: [s + x, s])
        return [new], [y, new]

    return scan([w], [h], [xs], step)


@case
def as_long_as(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    limit = build.sum_(g * g, (0, 1))
    a, b = loop(
        [limit, w], [h, g],
        lambda c, s: build.lt(build.sum_(s[0] * s[0], (0, 1)), c[0]),
        lambda c, s: ([s[0] * 1.5 + 0.25, dot(s[1], c[1]) - s[0]], []),
    )  # fmt: skip
    return [a, b, a + h]


def smaller(c: list[Node], s: list[Node]) -> Node:
    """Whether a sum is not much larger than another."""
    return build.lt(build.sum_(s[0], (0, 1)), build.sum_(c[0], (0, 1)) + 3.0)


@case
def a_condition_in_a_loop(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        (new,) = loop([x[0]], [s[0]], smaller, lambda c, s: ([build.abs_(s[0]) * 1.5 + 0.5], []))
        return [new * 0.5], [new]

    return scan([], [h], [xs], step)


@case
def gates(h: Node, g: Node, w: Node, xs: Node) -> Sequence[Node]:
    """A cell whose carries can all be updated in place."""

    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        both = dot(s[0] * 1.0, c[0])
        forget, new = (build.slice_axis(both, 1, i, i + 4) for i in (0, 4))
        wide = build.concat([build.sigmoid(forget), build.tanh(new)], 1)
        cell = s[1] * build.sigmoid(wide) + x[0]
        return [build.tanh(cell), cell], []

    return scan([w], [h, g], [xs], step)


def graph_of(name: str, dtype: DType = f32) -> Graph:
    """A case as a graph."""
    scope = Scope()
    shapes = {"h": (N, 8), "g": (N, 8), "xs": (T, N, 8)}
    h, g, xs = (scope.typed(Input(n), TensorType(dtype, s)) for n, s in shapes.items())
    w = scope.typed(Read("w"), TensorType(dtype, (8, 8)))
    return Graph(name, scope, (h, g, xs), tuple(CASES[name](h, g, w, xs)))


def arguments(dtype: DType, n: int, t: int) -> tuple[list[Array], dict[str, Array]]:
    """Inputs and state of some size."""
    rng = np.random.default_rng(n + 10 * t)
    h, g, xs, w = (rng.normal(size=s).astype(dtype.numpy) for s in ((n, 8), (n, 8), (t, n, 8), (8, 8)))
    return [h, g, xs], {"w": w * np.asarray(0.3, dtype.numpy)}
