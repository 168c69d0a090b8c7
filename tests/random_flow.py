"""Random loops and branches, whose bodies grow as the graphs around them do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Node, Read
from graphc.ir.types import DType, TensorType, bool_, i32, i64
from tests.grower import Grower

#: Bodies within one another.
DEPTH = 2


class Flow(Grower):
    """Grows a graph with loops and branches, down to a depth."""

    depth = 0

    def __init__(self, rng: np.random.Generator, dtype: DType):
        super().__init__(rng, dtype)
        if self.depth < DEPTH:
            self.STEPS = (*Grower.STEPS, loop, branch, loop, until)


class Body(Flow):
    """Grows a body. Its leaves are leaves of the graph around it, which its op gets as operands: `lifted`."""

    def __init__(self, outer: Flow, name: str, given: Sequence[Node] = ()):
        self.depth = outer.depth + 1
        super().__init__(outer.rng, outer.dtype)
        self.outer, self.name, self.sizes = outer, name, outer.sizes
        self.lifted: list[Node] = []
        self.pool += [self.lift(n) for n in given]

    def lift(self, outer: Node) -> Node:
        """A node of the graph around as an input of the body."""
        self.lifted.append(outer)
        self.inputs.append(self.input(f"c{len(self.inputs)}", outer.type))
        return self.inputs[-1]

    def leaf(self, dtype: DType, shape: tuple[Size, ...]) -> Node:
        return self.lift(self.outer.leaf(dtype, shape))

    def input(self, name: str, type_: TensorType) -> Node:
        """An input named after the body."""
        return self.scope.typed(Input(f"{self.name}_{name}"), type_)

    def carries(self, inits: Sequence[Node]) -> list[Node]:
        """The values of the carries before a round."""
        return [self.scope.typed(Read(ops.control.carry_name(i)), n.type) for i, n in enumerate(inits)]

    def of_type(self, type_: TensorType) -> Node:
        """A value of a type: a float is squashed, so that no number of rounds takes it far."""
        x = self.like(type_.shape, type_.dtype)
        return build.tanh(x * 0.5) if type_.dtype.is_float else x

    def close(self, outputs: Sequence[Node], news: Sequence[Node] = (), more: Sequence[Node] = ()) -> Graph:
        """The body with what its op gives it: what was lifted, then some more."""
        updates = tuple((ops.control.carry_name(i), n) for i, n in enumerate(news))
        return Graph(self.name, self.scope, (*self.inputs, *more), tuple(outputs), updates)


def some(grower: Flow, most: int) -> list[Node]:
    """One or more nodes of the pool."""
    return [grower.any() for _ in range(grower.choose(range(1, most + 1)))]


def loop(grower: Flow) -> Node:
    """A scan over slices of what has one length, or so many rounds; a carry may be an integer or a bool."""
    stacks = [n for n in grower.pool if n.type.rank]
    inits, xs = some(grower, 3), [grower.choose(stacks)] if stacks and grower.flip() else []
    length = xs[0].type.shape[0] if xs else grower.choose((3, 1, 0, *grower.symbols()))
    xs += [n for n in stacks if n not in xs and n.type.shape[0] == length][: grower.choose((0, 1))]
    body = Body(grower, "scan", some(grower, 1) if grower.flip() else [])
    carries = body.carries(inits)
    slices = [body.input(f"x{i}", x.type.with_shape(x.type.shape[1:])) for i, x in enumerate(xs)]
    indexed = grower.flip()
    index = [body.input("round", TensorType(i64))] * indexed
    body.pool += [*index, *slices, *carries]
    body.steps(grower.choose((2, 1, 4)))
    news = [body.of_type(n.type) for n in inits]
    graph = body.close([body.any() for _ in range(grower.choose((1, 0, 2)))], news, [*slices, *index])
    op = ops.Scan(graph, len(body.lifted), length, grower.flip(), indexed)
    return several(grower, op, [*body.lifted, *inits, *xs])


def branch(grower: Flow) -> Node:
    """One of two bodies, as a comparison has it."""
    x = grower.numeric(grower.any())
    test = build.gt(build.sum_(x, tuple(range(x.type.rank))), build.constant(grower.scope, 0, x.type.dtype))
    operands = some(grower, 3)
    then = Body(grower, "then", operands)
    then.steps(2)
    results = [then.any() for _ in range(grower.choose((1, 2)))]
    otherwise = Body(grower, "otherwise", then.lifted)
    otherwise.steps(2)
    others = [otherwise.of_type(n.type) for n in results]
    for operand in otherwise.lifted[len(then.lifted) :]:
        then.lift(operand)
    return several(grower, ops.Cond(then.close(results), otherwise.close(others)), [test, *then.lifted])


def until(grower: Flow) -> Node:
    """A loop of so many rounds as an integer says, at most; nothing is differentiated through it."""
    limit, inits = grower.leaf(i32, ()), some(grower, 2)
    start = build.constant(grower.scope, 0, i32)
    body = Body(grower, "while", [limit])
    count, *carries = body.carries([start, *inits])
    body.pool += carries
    body.steps(grower.choose((1, 3)))
    news = [count + 1, *(body.of_type(n.type) for n in inits)]
    condition = Body(grower, body.name, body.lifted)
    count, *carries = condition.carries([start, *inits])
    flags = [c for c in carries if c.type == TensorType(bool_)]
    test = build.lt(count, condition.pool[0])
    for flag in flags:
        test = build.and_(test, flag)
    op = ops.WhileLoop(condition.close([test]), body.close([], news))
    return several(grower, op, [*body.lifted, start, *inits], build.stop_gradient)


def several(grower: Flow, op: ops.Control, operands: Sequence[Node], of: Callable[[Node], Node] | None = None) -> Node:
    """The last result of an op; the others go into the pool."""
    results = build.items(build.apply(op, *operands))
    *others, last = [of(n) if of and n.type.dtype.is_float else n for n in results]
    for node in others:
        grower.keep(node)
    return last
