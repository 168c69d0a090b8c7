"""Control flow along one more axis, out of the batch rules of what its bodies hold.

Inside a body, as everywhere, batched values have the axis in front. What a loop carries is batched where its first
value is, or where a round makes it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op, Read
from graphc.ir.types import i32
from graphc.ops.control import Cond, Pack, Scan, WhileLoop, carry_name, reads
from graphc.ops.loops import copied

#: What nodes are over all indices, from what some of them are: `vectorise.counterparts`.
Counterparts = Callable[[Iterable[Node], Mapping[Node, Node]], dict[Node, Node]]
Flags = Sequence[bool]


def batch_control(counterparts: Counterparts, op: Op, batched: Flags, xs: Sequence[Node]) -> Node:
    """A control node over all indices; every result has the axis in front."""
    size = next(x.type.shape[0] for one, x in zip(batched, xs, strict=True) if one)
    return RULES[type(op)](Batch(counterparts, size), op, batched, xs)


class Batch:
    """Bodies over all of `size` indices."""

    def __init__(self, counterparts: Counterparts, size: Size):
        self.counterparts, self.size = counterparts, size

    def stacked(self, leaf: Node) -> Node:
        """A body's leaf with the axis in front."""
        return leaf.scope.typed(leaf.op, leaf.type.with_shape((self.size, *leaf.type.shape)))

    def all_of(self, node: Node, new: Mapping[Node, Node]) -> Node:
        """A node over all indices, repeated where it is the same at each."""
        return new[node] if node in new else build.repeat(node, self.size)

    def inside(self, body: Graph, inputs: Flags, carries: Flags) -> dict[Node, Node]:
        """What the nodes of a body are, where these of its inputs and carries have the axis."""
        leaves = [leaf for one, leaf in zip(inputs, body.inputs, strict=True) if one]
        leaves += [leaf for leaf, i in reads(body) if carries[i]]
        return self.counterparts(body.roots, {leaf: self.stacked(leaf) for leaf in leaves})

    def carried(self, body: Graph, inputs: Flags, carries: Flags) -> list[bool]:
        """Which carries have the axis, when those do that have it at first."""
        found = list(carries)
        while True:
            new = self.inside(body, inputs, found)
            grown = [one or node in new for one, (_, node) in zip(found, body.updates, strict=True)]
            if grown == found:
                return found
            found = grown

    def body(self, body: Graph, inputs: Flags, carries: Flags, outputs: Flags) -> Graph:
        """A body in which these of its inputs, carries and outputs have the axis."""
        new = self.inside(body, inputs, carries)
        results = [self.all_of(n, new) if one else n for one, n in zip(outputs, body.outputs, strict=True)]
        updates = zip(carries, body.updates, strict=False)  # a condition reads carries, and gives none
        news = [(name, self.all_of(n, new) if one else n) for one, (name, n) in updates]
        leaves = [self.stacked(leaf) if one else leaf for one, leaf in zip(inputs, body.inputs, strict=True)]
        return replace(body.with_roots(results, news), inputs=tuple(leaves))


def batch_scan(batch: Batch, op: Op, batched: Flags, xs: Sequence[Node]) -> Node:
    """One scan, whose rounds do all indices at once."""
    assert isinstance(op, Scan)
    consts, inits, slices = op.split(batched)
    inputs = [*consts, *slices, *[False] * op.indexed]
    carries = batch.carried(op.body, inputs, inits)
    outputs = [n in batch.inside(op.body, inputs, carries) for n in op.body.outputs]
    body = batch.body(op.body, inputs, carries, outputs)
    const_nodes, init_nodes, slice_nodes = op.split(xs)
    firsts = [
        build.repeat(x, batch.size) if now and not before else x
        for now, before, x in zip(carries, inits, init_nodes, strict=True)
    ]
    arrays = [build.move_axis(x, 0, 1) if one else x for one, x in zip(slices, slice_nodes, strict=True)]
    results = build.items(build.apply(replace(op, body=body), *const_nodes, *firsts, *arrays))
    lasts = [x if one else build.repeat(x, batch.size) for one, x in zip(carries, results[: len(carries)], strict=True)]
    stacks = [
        build.move_axis(x, 1, 0) if one else build.repeat(x, batch.size)
        for one, x in zip(outputs, results[len(carries) :], strict=True)
    ]
    return build.apply(Pack(), *lasts, *stacks)


def batch_cond(batch: Batch, op: Op, batched: Flags, xs: Sequence[Node]) -> Node:
    """One branch for all indices; where the predicate differs among them, both branches and a choice."""
    assert isinstance(op, Cond)
    test, *inputs = batched
    every = [True] * len(op.then.outputs)
    branches = [batch.body(body, inputs, [], every) for body in (op.then, op.otherwise)]
    if not test:
        return build.apply(Cond(*branches), *xs)
    results = []
    for body in branches:
        known = copied(body.outputs, dict(zip(body.inputs, xs[1:], strict=True)), xs[0].scope)
        results.append([known[node] for node in body.outputs])
    pairs = zip(*results, strict=True)
    return build.apply(Pack(), *[build.select(build.broadcast(xs[0], x.type.shape, (0,)), x, y) for x, y in pairs])


def batch_while(batch: Batch, op: Op, batched: Flags, xs: Sequence[Node]) -> Node:
    """Rounds for all indices; where the condition differs among them, until it holds for none, each at rest after."""
    assert isinstance(op, WhileLoop)
    inputs, inits = batched[: op.consts], batched[op.consts :]
    carries = batch.carried(op.body, inputs, inits)
    differs = op.condition.outputs[0] in batch.inside(op.condition, inputs, carries)
    carries = [True] * len(carries) if differs else carries
    body = batch.body(op.body, inputs, carries, [])
    condition = batch.body(op.condition, inputs, carries, [differs])
    if differs:
        body, condition = masked(body, condition)
    firsts = [
        build.repeat(x, batch.size) if now and not before else x
        for now, before, x in zip(carries, inits, xs[op.consts :], strict=True)
    ]
    results = build.items(build.apply(WhileLoop(condition, body), *xs[: op.consts], *firsts))
    return build.apply(
        Pack(), *[x if one else build.repeat(x, batch.size) for one, x in zip(carries, results, strict=True)]
    )


def masked(body: Graph, condition: Graph) -> tuple[Graph, Graph]:
    """A loop whose carries change only at indices where the condition holds, as long as it does at any."""
    (holds,) = condition.outputs
    scope = body.scope
    olds = {name: scope.typed(Read(name), new.type) for name, new in body.updates}
    known = dict(zip(condition.inputs, body.inputs, strict=True))
    known |= {leaf: olds[carry_name(i)] for leaf, i in reads(condition)}
    here = copied([holds], known, scope)[holds]
    news = [
        (name, build.select(build.broadcast(here, new.type.shape, (0,)), new, olds[name])) for name, new in body.updates
    ]
    anywhere = build.gt(build.reduce_max(build.cast(holds, i32), (0,)), 0)
    return body.with_roots((), news), condition.with_roots([anywhere], condition.updates)


RULES: dict[type[Op], Callable[[Batch, Op, Flags, Sequence[Node]], Node]] = {
    Scan: batch_scan,
    Cond: batch_cond,
    WhileLoop: batch_while,
}
