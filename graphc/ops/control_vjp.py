"""Derivatives of control flow, out of the derivatives of its bodies.

A scan's is a scan in the other direction. It carries the cotangents of the carries, and for each constant the sum of
its cotangents; the rounds' values that it needs, the forward scan stacks beside its results: the same body with more
outputs, which a pass makes one with the original. So both are plain scans, and differentiate again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from graphc.errors import GradientError
from graphc.ir import build
from graphc.ir.graph import Graph, dependents, depending, reachable
from graphc.ir.node import Constant, Leaf, Node, Op
from graphc.ir.types import TensorType
from graphc.ops.base import Generator
from graphc.ops.control import Cond, Scan, WhileLoop, reads
from graphc.ops.cost import CHEAP
from graphc.ops.logic import Cast
from graphc.ops.loops import Loop, copied
from graphc.ops.movement import Broadcast, Flip, Reshape, Slice, Transpose
from graphc.ops.order import Custom

#: The reverse sweep: from cotangents of outputs to those of targets.
Backward = Callable[[Mapping[Node, Node], Sequence[Node]], list[Node]]
Cotangents = Sequence[Node | None]

#: What a backward round computes again rather than have stored.
RECOMPUTED = (*CHEAP, Cast, Broadcast, Flip, Reshape, Slice, Transpose, Generator, Constant)


def shares(backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node) -> Cotangents:
    """The cotangents of a control node's operands, as far as wanted, from those of its results."""
    return RULES[type(y.op)](backward, cts, wanted, y)


def scan_shares(backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node) -> Cotangents:
    return ScanDerivative(backward, cts, wanted, y).shares()


class ScanDerivative:
    """The backward scan of a scan. Cotangents within a round are found in the forward body's scope, then copied."""

    def __init__(self, backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node):
        assert isinstance(y.op, Scan)
        self.y, self.op, self.body = y, y.op, y.op.body
        self.backward = backward
        self.last, self.stacked = cts[: self.op.carries], cts[self.op.carries :]
        self.consts, self.inits, self.xs = self.op.split(wanted)
        self.reads = {i: node for node, i in reads(self.body)}
        self.news = [node for _, node in self.body.updates]
        self.const_inputs = self.body.inputs[: self.op.consts]
        self.x_inputs = self.body.inputs[self.op.consts : self.op.consts + self.op.slices]

    def shares(self) -> Cotangents:
        """The cotangent of each operand."""
        none: list[Node | None] = [None] * len(self.y.inputs)
        carried = self.carried()
        ct_of = {i: self.placeholder(self.news[i]) for i in carried}
        ct_y = {j: self.placeholder(self.body.outputs[j]) for j, ct in enumerate(self.stacked) if ct is not None}
        seeds = [(self.news[i], ct) for i, ct in ct_of.items()] + [(self.body.outputs[j], ct) for j, ct in ct_y.items()]
        consts = [i for i, one in enumerate(self.consts) if one]
        xs = [i for i, one in enumerate(self.xs) if one]
        states = [i for i in carried if i in self.reads]
        targets = [self.const_inputs[i] for i in consts] + [self.x_inputs[i] for i in xs]
        targets += [self.reads[i] for i in states]
        found = self.backward(summed(seeds), targets) if seeds else []
        placeholders = {*ct_of.values(), *ct_y.values()}
        linear = depending(reachable(found), placeholders)
        of_const = {i: n for i, n in zip(consts, found, strict=False) if n in linear}
        of_x = {i: n for i, n in zip(xs, found[len(consts) :], strict=False) if n in linear}
        of_state = dict(zip(states, found[len(consts) + len(xs) :], strict=False))

        loop = Loop(f"{self.body.name}_vjp", self.op.length, not self.op.reverse, self.op.checkpoint)
        new = self.residuals(loop, frontier(found, linear))
        inits = self.op.split(self.y.inputs)[1]
        for i, ct in ct_of.items():
            last = self.last[i]
            new[ct] = loop.carry(build.zeros_like(inits[i]) if last is None else last)
        for j, ct in ct_y.items():
            new[ct] = loop.slice(present(self.stacked[j]))
        sums = {i: loop.carry(build.zeros_like(self.y.inputs[i])) for i in of_const}
        copied(found, new, loop.scope)
        updates = [new[of_state[i]] if i in of_state else build.zeros_like(new[ct]) for i, ct in ct_of.items()]
        updates += [acc + new[of_const[i]] for i, acc in sums.items()]
        outputs = [new[n] for n in of_x.values()]
        if not updates and not outputs:
            return none
        results = loop.results(outputs, updates, self.y.scope)
        places = [self.op.consts + i for i in carried] + list(of_const)
        places += [self.op.consts + self.op.carries + i for i in of_x]
        for place, result in zip(places, results, strict=True):
            none[place] = result
        return none

    def placeholder(self, like: Node) -> Node:
        """A leaf of the forward body that stands for a cotangent."""
        return self.body.scope.placeholder(like.type)

    def wanted_inputs(self) -> list[Node]:
        """The inputs of the body whose cotangents are wanted."""
        inputs = zip((*self.const_inputs, *self.x_inputs), (*self.consts, *self.xs), strict=True)
        return [node for node, one in inputs if one]

    def carried(self) -> list[int]:
        """The carries whose cotangents the backward scan carries: results depend on them, they on what is wanted."""
        nodes = self.body.nodes()
        leaves = self.wanted_inputs()
        active = {i for i, one in enumerate(self.inits) if one}
        while True:
            reached = dependents(nodes, [*leaves, *(self.reads[i] for i in sorted(active) if i in self.reads)])
            grown = active | {i for i, node in enumerate(self.news) if node in reached}
            if grown == active:
                break
            active = grown
        needed = {i for i, ct in enumerate(self.last) if ct is not None}
        ys = [node for node, ct in zip(self.body.outputs, self.stacked, strict=True) if ct is not None]
        while True:
            below = set(reachable([*ys, *(self.news[i] for i in sorted(needed))]))
            grown = needed | {i for i, node in self.reads.items() if node in below}
            if grown == needed:
                break
            needed = grown
        return sorted(i for i in active & needed if self.news[i].type.dtype.is_float)

    def residuals(self, loop: Loop, wanted: Sequence[Node]) -> dict[Node, Node]:
        """What values of a forward round are in the backward one, where nothing is computed again of what it costs."""
        kept = self.kept(wanted)
        stacks = self.stacks([n for n in kept if n not in self.body.inputs])
        return {n: loop.slice(stacks[n]) if n in stacks else self.leaf(loop, n) for n in kept}

    def leaf(self, loop: Loop, node: Node) -> Node:
        """An input of the body, in another loop over the same operands."""
        consts, _, xs = self.op.split(self.y.inputs)
        if node in self.const_inputs:
            return loop.const(consts[self.const_inputs.index(node)])
        return loop.slice(xs[self.x_inputs.index(node)]) if node in self.x_inputs else loop.index()

    def kept(self, wanted: Sequence[Node]) -> list[Node]:
        """The values to have from the forward round, so that all that is wanted can be computed cheaply."""
        ends: Callable[[Node], bool] = is_given if self.op.checkpoint else is_costly
        kept = dict.fromkeys(node for node in wanted if ends(node))
        for node in wanted:
            if node in kept:
                continue
            base = leaves_above(node, ends)
            more = [n.type for n in base if n not in kept and n not in self.body.inputs]
            fits = not more or (len(more) == 1 and is_no_larger(more[0], node.type))
            kept.update(dict.fromkeys(base if self.op.checkpoint or fits else [node]))
        return list(kept)

    def stacks(self, nodes: Sequence[Node]) -> dict[Node, Node]:
        """Values of all rounds, stacked: results of the forward scan, with more outputs where it lacks them.

        Those that follow from operands without derivatives come from a scan of their own: a derivative that is linear
        in a cotangent keeps clear of scans that take the cotangent, so that it can be transposed.
        """
        varying = depending(reachable(nodes), [*self.reads.values(), *self.wanted_inputs()])
        fixed = [n for n in nodes if n not in varying]
        return self.results_of([n for n in nodes if n in varying]) | self.fixed(fixed)

    def fixed(self, nodes: Sequence[Node]) -> dict[Node, Node]:
        """Values that do not depend on carries, of all rounds."""
        if not nodes:
            return {}
        loop = Loop(f"{self.body.name}_fixed", self.op.length)
        needed = set(reachable(nodes))
        new = {leaf: self.leaf(loop, leaf) for leaf in self.body.inputs if leaf in needed}
        copied(nodes, new, loop.scope)
        return dict(zip(nodes, loop.results([new[n] for n in nodes], [], self.y.scope), strict=True))

    def results_of(self, nodes: Sequence[Node]) -> dict[Node, Node]:
        """Values of all rounds, results of the scan with more outputs."""
        outputs = list(dict.fromkeys((*self.body.outputs, *nodes)))
        extended = self.y
        if len(outputs) > len(set(self.body.outputs)):
            added = [n for n in nodes if n not in self.body.outputs]
            outputs = [*self.body.outputs, *added]
            op = replace(self.op, body=self.body.with_roots(outputs, self.body.updates))
            extended = self.y.scope.node(op, *self.y.inputs)
        return {n: build.item(extended, self.op.carries + outputs.index(n)) for n in nodes}


def cond_shares(backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node) -> Cotangents:
    """The same branch again, then backwards through it."""
    assert isinstance(y.op, Cond)
    given = [j for j, ct in enumerate(cts) if ct is not None]
    targets = [i for i, one in enumerate(wanted[1:]) if one]
    branches = [cond_branch(backward, body, given, targets) for body in (y.op.then, y.op.otherwise)]
    test, *operands = (*y.inputs, *(present(cts[j]) for j in given))
    used = used_inputs(branches)
    then, otherwise = (replace(body, inputs=tuple(body.inputs[i] for i in used)) for body in branches)
    results = build.items(y.scope.node(Cond(then, otherwise), test, *(operands[i] for i in used)))
    by_operand = dict(zip(targets, results, strict=True))
    return [None, *(by_operand.get(i) for i in range(len(y.inputs) - 1))]


def cond_branch(backward: Backward, body: Graph, given: Sequence[int], targets: Sequence[int]) -> Graph:
    """A branch's derivative: it takes the branch's operands, then the cotangents that are given."""
    cts = [body.scope.placeholder(body.outputs[j].type) for j in given]
    seeds = summed([(body.outputs[j], ct) for j, ct in zip(given, cts, strict=True)])
    found = backward(seeds, [body.inputs[i] for i in targets])
    return Graph(f"{body.name}_vjp", body.scope, (*body.inputs, *cts), tuple(found))


def used_inputs(bodies: Sequence[Graph]) -> list[int]:
    """The places of the inputs that a body's results depend on.

    What is linear in a cotangent takes no other: an operand that no branch reads would look like one it depends on.
    """
    needed = [set(reachable(body.outputs)) for body in bodies]
    return [
        i for i in range(len(bodies[0].inputs)) if any(b.inputs[i] in n for b, n in zip(bodies, needed, strict=True))
    ]


def while_shares(backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node) -> Cotangents:
    raise GradientError(
        "gr.while_loop has no reverse derivative: its number of rounds, so what to store of them, is not known before",
        site=y.scope.site_of(y),
        help="use gr.scan with a fixed length, or gr.stop_gradient on the loop's results",
    )


def custom_shares(backward: Backward, cts: Cotangents, wanted: Sequence[bool], y: Node) -> Cotangents:
    assert isinstance(y.op, Custom)
    count = y.op.count
    return [*[None] * count, *y.op.rule.vjp(cts, y.inputs[:count], y.inputs[count:])]


RULES: dict[type[Op], Callable[[Backward, Cotangents, Sequence[bool], Node], Cotangents]] = {
    Scan: scan_shares,
    Cond: cond_shares,
    WhileLoop: while_shares,
    Custom: custom_shares,
}


def present(node: Node | None) -> Node:
    """A cotangent that is known to be there."""
    assert node is not None
    return node


def summed(pairs: Iterable[tuple[Node, Node]]) -> dict[Node, Node]:
    """The cotangent of each node; of one that is given several, their sum."""
    totals: dict[Node, Node] = {}
    for node, ct in pairs:
        totals[node] = totals[node] + ct if node in totals else ct
    return totals


def frontier(roots: Sequence[Node], linear: set[Node]) -> list[Node]:
    """What the linear nodes below roots take that is not linear, in order; roots that are not linear too."""
    inner = [x for node in reachable(roots) if node in linear for x in node.inputs]
    return sorted({n for n in (*inner, *roots) if n not in linear}, key=lambda n: n.serial)


def leaves_above(root: Node, ends: Callable[[Node], bool]) -> list[Node]:
    """The nodes at which a walk from a node to its operands ends, in order; constants are made anew."""
    found: dict[Node, None] = {}
    stack, seen = [root], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if ends(node):
            found[node] = None
        else:
            stack.extend(node.inputs)
    return sorted(found, key=lambda n: n.serial)


def is_costly(node: Node) -> bool:
    """Whether a backward round would rather have a value stored than compute it again."""
    return not isinstance(node.op, RECOMPUTED)


def is_no_larger(a: TensorType, b: TensorType) -> bool:
    """Whether a takes no more memory than b, where one is made of the other element by element or by repetition."""
    return a.dtype.itemsize <= b.dtype.itemsize and a.rank <= b.rank


def is_given(node: Node) -> bool:
    """Whether a value is there before the round: a carry, a constant of the loop, a slice, the round's number."""
    return isinstance(node.op, Leaf) and not isinstance(node.op, Constant)
