"""Checks of a program's own numbers: the graph also gives whether a float went bad, and then keeps the state.

A NaN is bad wherever it is computed. An infinity is, where it is looked for, if no operand held one: `-inf` in a mask
is somebody's wish, that of an overflow is not. What only moves or chooses elements computes nothing.

    check(graph, "nan"): (inputs, state) -> (outputs, bad), new = select(bad, old, new)

Only what is not seen elsewhere is looked at: a NaN in h shows in h·W too, and in the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from math import inf

import numpy as np

from graphc import ops
from graphc.ir import build
from graphc.ir.dim import known_le
from graphc.ir.graph import Graph, reachable, users
from graphc.ir.node import Array, Constant, Leaf, Node, Op, Read, Scope
from graphc.ir.types import TupleType, bool_
from graphc.ops.control import Cond, Scan, WhileLoop, carry_name, reads
from graphc.ops.loops import copied
from graphc.passes.loops import rewrite_control
from graphc.runtime.signature import Numerics

#: Ops whose result has a NaN wherever an operand does (in the result's own row or column, for sums).
KEEPING: frozenset[type[Op]] = frozenset(
    (
        ops.Add, ops.Sub, ops.Mul, ops.Div, ops.Neg, ops.Abs, ops.Max, ops.Min, ops.Exp, ops.Expm1, ops.Log, ops.Log1p,
        ops.Sqrt, ops.Rsqrt, ops.Sin, ops.Cos, ops.Tanh, ops.Sigmoid, ops.Erf, ops.Cast, ops.StopGradient,
        ops.ReduceSum, ops.ReduceProd, ops.ReduceMax, ops.ReduceMin, ops.DotGeneral,
        ops.Broadcast, ops.Reshape, ops.Transpose, ops.Flip, ops.Concat,
    )
)  # fmt: skip
#: Movements that leave no element out.
WHOLE: frozenset[type[Op]] = frozenset((ops.Broadcast, ops.Reshape, ops.Transpose, ops.Flip))


def check(graph: Graph, kind: Numerics) -> Graph:
    """The graph with one more output, a bool: whether a number went bad. Where it is true, updates change nothing."""
    graph, bad = watched(graph, kind)
    if bad is None:
        return graph.with_roots((*graph.outputs, false(graph.scope)), graph.updates)
    updates = []
    for name, new in graph.updates:
        with graph.scope.at(graph.scope.site_of(new)):
            old = graph.scope.typed(Read(name), new.type)
            updates.append((name, build.select(build.broadcast(bad, new.type.shape, ()), old, new)))
    return graph.with_roots((*graph.outputs, bad), updates)


def watched(graph: Graph, kind: Numerics, totals: Collection[int] = ()) -> tuple[Graph, Node | None]:
    """A graph whose control flow checks its rounds, and whether a number went bad; None where there is none.

    Those of its updates that are `totals` are looked at when all rounds are done.
    """
    watcher = Watcher(kind)
    graph = rewrite_control(graph, watcher.control)
    later = [graph.updates[i][1] for i in totals]
    watcher.look_at(reachable((*graph.roots, *watcher.besides, *watcher.totals)), later)
    return graph, watcher.result()


@dataclass
class Watcher:
    """What is found out about one graph: bools in its scope, each whether some number went bad."""

    kind: Numerics
    found: list[Node] = field(default_factory=list)
    besides: list[Node] = field(default_factory=list)  # what the graph does not need, but is to be looked at
    totals: list[Node] = field(default_factory=list)  # results of loops that add up what may be NaN

    def result(self) -> Node | None:
        """Whether any did."""
        return reduce(build.or_, self.found) if self.found else None

    def look_at(self, nodes: Sequence[Node], later: Collection[Node]) -> None:
        """Check what is computed among some nodes, operands before users; some of them are looked at `later`."""
        computed = [node for node in nodes if computes(node) or node in self.totals]
        for node in visible(nodes, computed, later) if self.kind == "nan" else computed:
            with node.scope.at(node.scope.site_of(node)):
                self.found.append(is_nan(node) if self.kind == "nan" else went_bad(node))

    def control(self, node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
        """The results of a control node whose bodies are checked."""
        return CHECKED[type(node.op)](self, node, operands)

    def scan(self, node: Node, operands: Sequence[Node]) -> list[Node]:
        """The rounds carry whether one has failed."""
        assert isinstance(node.op, Scan)
        op, (consts, inits, xs) = node.op, node.op.split(operands)
        totals = added_up(op, inits) if self.kind == "nan" else []
        body, bad = watched(op.body, self.kind, totals)
        if bad is None:
            results = build.items(node.scope.node(op, *operands))
        else:
            made = replace(op, body=carrying(body, bad))
            results = build.items(node.scope.node(made, *consts, *inits, false(node.scope), *xs))
            self.found.append(results.pop(op.carries))
        self.totals += [results[i] for i in totals]
        return results

    def while_loop(self, node: Node, operands: Sequence[Node]) -> list[Node]:
        """As a scan; the condition is looked at too, on the carries before each round and on the last ones."""
        assert isinstance(node.op, WhileLoop)
        op = node.op
        whole = with_output_of(op.condition, dict(zip(op.condition.inputs, op.body.inputs, strict=True)), op.body)
        body, bad = watched(whole, self.kind)
        if bad is None:
            return build.items(node.scope.node(op, *operands))
        made = replace(op, body=carrying(body.with_roots((), body.updates), bad))
        *results, failed = build.items(node.scope.node(made, *operands, false(node.scope)))
        self.found.append(failed)
        known = dict(zip(op.condition.inputs, operands, strict=False))
        known |= {leaf: results[i] for leaf, i in reads(op.condition)}
        self.besides += [copied(op.condition.outputs, known, node.scope)[x] for x in op.condition.outputs]
        return results

    def cond(self, node: Node, operands: Sequence[Node]) -> list[Node]:
        """Each branch gives one more result."""
        assert isinstance(node.op, Cond)
        checked = [watched(body, self.kind) for body in (node.op.then, node.op.otherwise)]
        if all(bad is None for _, bad in checked):
            return build.items(node.scope.node(node.op, *operands))
        then, otherwise = (
            body.with_roots((*body.outputs, bad or false(body.scope)), body.updates)
            for body, bad in checked
        )
        *results, failed = build.items(node.scope.node(Cond(then, otherwise), *operands))
        self.found.append(failed)
        return results


#: How each kind of control flow is checked.
CHECKED: dict[type[Op], Callable[[Watcher, Node, Sequence[Node]], list[Node]]] = {
    Scan: Watcher.scan,
    WhileLoop: Watcher.while_loop,
    Cond: Watcher.cond,
}


def added_up(op: Scan, inits: Sequence[Node]) -> list[int]:
    """The carries that start with a number, and to which each round adds: a NaN in one stays to the end.

    Gradients are such: what adds up to them may then still be done for all rounds at once.
    """
    found = []
    for i, (init, (name, new)) in enumerate(zip(inits, op.body.updates, strict=True)):
        old = op.body.scope.typed(Read(name), new.type)
        adds = isinstance(new.op, ops.Add) and old in new.inputs
        if adds and new.type.dtype.is_float and isinstance(source(init).op, Constant):
            found.append(i)
    return found


def source(x: Node) -> Node:
    """What a node repeats or moves as a whole."""
    while type(x.op) in WHOLE:
        (x,) = x.inputs
    return x


def carrying(body: Graph, bad: Node) -> Graph:
    """A loop's body that also carries whether this round or one before it went bad."""
    name = carry_name(len(body.updates))
    before = body.scope.typed(Read(name), bad.type)
    return body.with_roots(body.outputs, (*body.updates, (name, build.or_(before, bad))))


def with_output_of(other: Graph, known: dict[Node, Node], body: Graph) -> Graph:
    """A body that gives what another one on the same carries does; `known` has its own node for each of its inputs."""
    found = copied(other.outputs, known, body.scope)
    return body.with_roots((found[x] for x in other.outputs), body.updates)


def false(scope: Scope) -> Node:
    """Nothing went bad."""
    return build.constant(scope, False, bool_)


# What is looked at


def computes(node: Node) -> bool:
    """Whether its floats are new ones: not given from outside, nor an operand's, moved or chosen."""
    if isinstance(node.op, (Leaf, ops.Generator)) or isinstance(node.type, TupleType):
        return False
    return node.type.dtype.is_float and (not node.op.narrow or isinstance(node.op, ops.Cast))


def visible(nodes: Sequence[Node], computed: Iterable[Node], later: Collection[Node]) -> Iterator[Node]:
    """Nodes such that a NaN in any of the computed ones is one in them, or in what is looked at later.

    `nodes` has operands before users.
    """
    readers = users(nodes)
    wanted = set(computed)
    for node in nodes:
        if node in wanted and node not in later:
            heir = next((reader for reader in readers[node] if keeps(reader, node)), None)
            if heir is None:
                yield node
            else:
                wanted.add(heir)


def keeps(node: Node, operand: Node) -> bool:
    """Whether a NaN in an operand is one in the node; sizes that the operand lacks must not be zero."""
    sizes = [s for s in node.type.shape if s not in operand.type.shape]
    return type(node.op) in KEEPING and node.type.dtype.is_float and all(known_le(1, s) for s in sizes)


# The question itself: as nodes, and of NumPy's arrays


def is_nan(x: Node) -> Node:
    """Whether an element is a NaN: the largest is one then."""
    largest = build.reduce_max(x, tuple(range(x.type.rank)))
    return build.ne(largest, largest)


def magnitude(x: Node) -> Node:
    """The largest absolute value; a NaN wins."""
    x = source(x)
    return build.reduce_max(build.abs_(x), tuple(range(x.type.rank)))


def went_bad(x: Node) -> Node:
    """Whether an element is a NaN, or infinite without an infinity in an operand."""
    largest = magnitude(x)
    born = build.eq(largest, inf)
    for operand in dict.fromkeys(x.inputs):
        if operand.type.dtype.is_float:
            born = build.and_(born, build.ne(magnitude(operand), inf))
    return build.or_(build.ne(largest, largest), born)


def bad_elements(kind: Numerics, node: Node, value: Array, operands: Sequence[Array]) -> Array:
    """Which elements of a node's value are bad, as bools; None of them where it computes nothing."""
    if not computes(node):
        return np.zeros((), bool)
    nan = np.isnan(value)
    floats = [x for x, of in zip(operands, node.inputs, strict=True) if of.type.dtype.is_float]
    if kind == "nan" or any(np.isinf(x).any() for x in floats):
        return np.asarray(nan)
    return np.asarray(nan | np.isinf(value))
