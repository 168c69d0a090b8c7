"""Control flow tidied: scans of one body are one, and what nobody asks for is not computed, carried or handed in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from graphc.ir import build
from graphc.ir.graph import Graph, reachable, with_bodies
from graphc.ir.node import Constant, Node, Op, Scope
from graphc.ops.control import Cond, Control, Item, Pack, Scan, WhileLoop, reads
from graphc.ops.loops import Loop, copied
from graphc.ops.movement import Broadcast

#: A control node over new operands, and which of its results are read -> a node for each result.
Rule = Callable[[Node, Sequence[Node], frozenset[int]], list[Node]]


def rewrite_control(graph: Graph, rule: Rule) -> Graph:
    """The graph with its control nodes made anew; results that nobody reads may be any node."""
    nodes = graph.nodes()
    if not any(isinstance(node.op, Control) for node in nodes):
        return graph
    read: dict[Node, set[int]] = {}
    for node in nodes:
        if isinstance(node.op, Item):
            read.setdefault(node.inputs[0], set()).add(node.op.index)
    new: dict[Node, Node] = {}
    for node in nodes:
        operands = [new[x] for x in node.inputs]
        with graph.scope.at(graph.scope.site_of(node)):
            if isinstance(node.op, Control):
                new[node] = build.apply(Pack(), *rule(node, operands, frozenset(read.get(node, ()))))
            elif isinstance(node.op, Item):
                new[node] = build.item(operands[0], node.op.index)
            else:
                new[node] = node if operands == list(node.inputs) else graph.scope.typed(node.op, node.type, *operands)
    return graph.replaced(new)


def merge_scans(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Scans that differ only in which values of their rounds they give become one: the forward scans of derivatives."""
    while True:
        scans = [node for node in graph.nodes() if isinstance(node.op, Scan)]
        wanted: dict[tuple[object, ...], dict[Node, None]] = {}
        for node in scans:
            assert isinstance(node.op, Scan)
            wanted.setdefault(rounds_key(node.op, node.inputs), {}).update(dict.fromkeys(node.op.body.outputs))
        if len(wanted) == len(scans):
            return graph
        graph = rewrite_control(graph, partial(merged, wanted=wanted))


def rounds_key(op: Scan, operands: Sequence[Node]) -> tuple[object, ...]:
    """What scans have in common that run the same rounds."""
    body = op.body
    return (body.scope, body.inputs, body.updates, op.consts, op.length, op.reverse, op.indexed, *operands)


def merged(
    node: Node, operands: Sequence[Node], read: frozenset[int], wanted: dict[tuple[object, ...], dict[Node, None]]
) -> list[Node]:
    """The results of a scan, out of one that gives all that is wanted of the same rounds."""
    if not isinstance(node.op, Scan):
        return build.items(node.scope.node(node.op, *operands))
    body = node.op.body
    outputs = list(wanted[rounds_key(node.op, node.inputs)])
    op = replace(node.op, body=body.with_roots(outputs, body.updates))
    made = node.scope.node(op, *operands)
    places = (*range(op.carries), *(op.carries + outputs.index(y) for y in body.outputs))
    return [build.item(made, i) for i in places]


def prune(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """Control flow without results, carries and operands that nothing needs; what no round changes is a constant."""
    return rewrite_control(graph, pruned)


def pruned(node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
    """The results of a control node that are read."""
    return PRUNED[type(node.op)](node, operands, read)


def pruned_scan(node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
    """A scan of what is read."""
    assert isinstance(node.op, Scan)
    op, body = node.op, prune(node.op.body)
    _, inits, _ = op.split(operands)
    news = [new for _, new in body.updates]
    still = {i for n, i in reads(body) if news[i] is n}
    outputs = [j for j in range(len(body.outputs)) if op.carries + j in read]
    live = live_carries(body, [body.outputs[j] for j in outputs], {i for i in read if i < op.carries}) - still
    results = list(inits) + [operands[0] if operands else node] * len(body.outputs)
    if live or outputs:
        carried = sorted(live)
        found = rounds(replace(op, body=body), operands, carried, [body.outputs[j] for j in outputs], node.scope)
        for place, result in zip((*carried, *(op.carries + j for j in outputs)), found, strict=True):
            results[place] = result
    return results


def rounds(
    op: Scan, operands: Sequence[Node], carried: Sequence[int], outputs: Sequence[Node], scope: Scope,
    given: Mapping[Node, Node] | None = None,
) -> list[Node]:  # fmt: skip
    """The rounds of a scan again, with some of the carries and any values of the body as outputs.

    Other carries are what no round changes. `given` has stacks of values of the body that rounds need not compute.
    """
    consts, inits, xs = op.split(operands)
    body, stacks = op.body, dict(given or {})
    news = [new for _, new in body.updates]
    loop = Loop(body.name, op.length, op.reverse, op.checkpoint)
    roots = [*(news[i] for i in carried), *outputs]
    needed = set(reachable(roots, known=stacks)) | stacks.keys()
    known = {}
    for place, leaf in enumerate(body.inputs):
        if leaf in needed:
            if place < op.consts:
                known[leaf] = constant_in(loop, consts[place])
            elif place < op.consts + op.slices:
                known[leaf] = slice_in(loop, xs[place - op.consts])
            else:
                known[leaf] = loop.index()
    known |= {node: loop.slice(stack) for node, stack in stacks.items()}
    states = {i: loop.carry(inits[i]) for i in carried}
    for leaf, i in reads(body):
        if leaf in needed:
            known[leaf] = states[i] if i in states else loop.const(inits[i])
    copied(roots, known, loop.scope)
    return loop.results([known[y] for y in outputs], [known[news[i]] for i in carried], scope)


def live_carries(body: Graph, outputs: Sequence[Node], read: set[int]) -> set[int]:
    """The carries that are read after the loop, or that something wanted depends on in a round."""
    live, news, places = set(read), [new for _, new in body.updates], list(reads(body))
    while True:
        below = set(reachable([*outputs, *(news[i] for i in sorted(live))]))
        grown = live | {i for leaf, i in places if leaf in below}
        if grown == live:
            return live
        live = grown


def constant_in(loop: Loop, operand: Node) -> Node:
    """A constant of a loop in its body: numbers, and repetitions, are made there."""
    if isinstance(operand.op, Constant) and not operand.type.shape:
        return loop.scope.typed(operand.op, operand.type)
    if isinstance(operand.op, Broadcast):
        return loop.scope.node(operand.op, constant_in(loop, operand.inputs[0]))
    return loop.const(operand)


def slice_in(loop: Loop, operand: Node) -> Node:
    """A slice of an array, in a loop's body: where all slices are equal, it is a constant."""
    op = operand.op
    if isinstance(op, Broadcast) and 0 not in op.axes:
        source = constant_in(loop, operand.inputs[0])
        return build.broadcast(source, op.shape[1:], tuple(a - 1 for a in op.axes))
    return loop.slice(operand)


def pruned_while(node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
    """A loop under a condition, its bodies tidied; carries that nobody reads are too rare to look for."""
    return build.items(node.scope.node(with_bodies(node.op, prune), *operands))


def pruned_cond(node: Node, operands: Sequence[Node], read: frozenset[int]) -> list[Node]:
    """A choice among what is read."""
    assert isinstance(node.op, Cond)
    results = [operands[0]] * len(node.op.then.outputs)
    outputs = sorted(read)
    branches = [prune(b.with_roots((b.outputs[j] for j in outputs), ())) for b in (node.op.then, node.op.otherwise)]
    needed = {leaf for b in branches for leaf in reachable(b.roots)}
    places = [i for i, pair in enumerate(zip(*(b.inputs for b in branches), strict=True)) if needed.intersection(pair)]
    then, otherwise = (replace(b, inputs=tuple(b.inputs[i] for i in places)) for b in branches)
    if outputs:
        made = node.scope.node(Cond(then, otherwise), operands[0], *(operands[1 + i] for i in places))
        for j, result in zip(outputs, build.items(made), strict=True):
            results[j] = result
    return results


PRUNED: dict[type[Op], Rule] = {Scan: pruned_scan, WhileLoop: pruned_while, Cond: pruned_cond}
