"""Saving or computing again: what a training step keeps from its forward pass, under a budget of memory.

At the moment when most memory is in use, some values wait for readers to come. Each such reader can have what it needs
either from memory or from other values by computing again. Elementwise chains and movements are repeated, contractions
and reductions never. Which values to keep so that the fewest bytes wait is a minimum cut (Chen et al., "Training deep
nets with sublinear memory cost", 2016; the cut as in PyTorch's min-cut rematerialization, 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from graphc.ir import build
from graphc.ir.dim import typical
from graphc.ir.graph import Graph, reachable
from graphc.ir.node import Input, Leaf, Node, Read
from graphc.ir.types import TupleType
from graphc.ops.indexing import Gather
from graphc.ops.order import After
from graphc.ops.random import Threefry
from graphc.passes.fuse import Group, fuse
from graphc.passes.roles import Role, role
from graphc.passes.sequence import sequence

#: At most so many bytes (int), or so much of what would be used otherwise (float, 0 to 1); None: whatever it takes.
Budget: TypeAlias = float | None

#: Operations that are not repeated, though their role allows it: they cost too much, or must read memory out of order.
KEPT = (Threefry, Gather, After)


def rematerialise(graph: Graph, budget: Budget) -> Graph:
    """The graph with what exceeds the budget computed again, as far as that saves anything; sizes are typical ones."""
    if budget is None:
        return graph
    before = Waiting(graph)
    allowed = before.most * budget if isinstance(budget, float) else budget
    if before.most <= allowed:
        return graph
    again = recomputing(graph, before.early(), before.late())
    return again if Waiting(again).most < before.most else graph


@dataclass
class Waiting:
    """How many bytes of intermediate values are in memory while each group runs, and when that is most."""

    graph: Graph

    def __post_init__(self) -> None:
        self.groups = in_order(fuse(self.graph))
        roots = set(self.graph.roots)
        last = {source: i for i, group in enumerate(self.groups) for source in group.sources}
        change = [0] * (len(self.groups) + 1)
        for i, group in enumerate(self.groups):
            for node in group.outputs:
                if node not in roots:
                    change[i] += bytes_of(node)
                    change[last.get(node, i) + 1] -= bytes_of(node)
        waiting = list(accumulate(change))
        self.most = max(waiting, default=0)
        self.when = waiting.index(self.most)

    def early(self) -> set[Node]:
        """What is computed until then."""
        return nodes_of(self.groups[: self.when])

    def late(self) -> set[Node]:
        """What is computed only then or later."""
        return nodes_of(self.groups[self.when :]) - self.early()


def in_order(groups: Sequence[Group]) -> list[Group]:
    """Groups as the schedule will run them."""
    maker = {node: i for i, group in enumerate(groups) for node in group.outputs}
    after = {i: {maker[s] for s in group.sources if s in maker} for i, group in enumerate(groups)}
    return [groups[i] for i in sequence(after)]


def nodes_of(groups: Iterable[Group]) -> set[Node]:
    """The nodes that groups compute."""
    return {node for group in groups for node in group.nodes}


def bytes_of(node: Node) -> int:
    """A node's size in memory at typical sizes; of several results, all of them."""
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    return sum(typical(t.size) * t.dtype.itemsize for t in types)


def recomputing(graph: Graph, early: set[Node], late: set[Node]) -> Graph:
    """The graph in which late nodes read early ones only through what is worth keeping."""
    nodes = graph.nodes()
    for node in nodes:  # views belong to no group: those of late nodes are late
        if node not in early and is_view(node) and any(x in late for x in node.inputs):
            late.add(node)
    needed = dict.fromkeys(x for node in nodes if node in late for x in node.inputs if x not in late)
    copies = Copies(worth_keeping(list(needed)))
    new: dict[Node, Node] = {}
    for node in nodes:
        with graph.scope.at(graph.scope.site_of(node)):
            operands = tuple([copies.of(x) if node in late and x not in late else new[x] for x in node.inputs])
            new[node] = node if operands == node.inputs else graph.scope.typed(node.op, node.type, *operands)
    return graph.with_roots((new[n] for n in graph.outputs), ((v, new[n]) for v, n in graph.updates))


def is_view(node: Node) -> bool:
    """Whether its readers compute it, or read another node's buffer."""
    return role(node) in (Role.VIEW, Role.ALIAS)


def repeatable(node: Node) -> bool:
    """Whether it may be computed twice."""
    return role(node) in (Role.MAP, Role.VIEW, Role.ALIAS) and not isinstance(node.op, KEPT)


def worth_keeping(needed: Sequence[Node]) -> set[Node]:
    """The nodes of least bytes from which all needed ones can be computed again; leaves are there anyway.

    Each node is an edge as wide as it is large, and views have no width, for it is their source that is kept. What
    can't be repeated is fed from the start, what is needed leads to the end: to part these means to keep nodes.
    """
    import networkx as nx

    nodes = reachable(needed)
    flow = nx.DiGraph()
    flow.add_nodes_from(("start", "end"))
    for node in nodes:
        inside, outside = ("in", node.serial), ("out", node.serial)
        if is_view(node) and repeatable(node):
            flow.add_edge(inside, outside)
        else:
            flow.add_edge(inside, outside, capacity=0 if isinstance(node.op, Leaf) else bytes_of(node))
        if not repeatable(node):
            flow.add_edge("start", inside)
        flow.add_edges_from((("out", x.serial), inside) for x in node.inputs)
    flow.add_edges_from((("out", node.serial), "end") for node in needed)
    _, (near, _) = nx.minimum_cut(flow, "start", "end")
    return {n for n in nodes if ("in", n.serial) in near and ("out", n.serial) not in near}


class Copies:
    """Early nodes for late readers: kept ones as they are, others computed again from barriers of kept ones."""

    def __init__(self, kept: set[Node]):
        self.kept = kept
        self.made: dict[Node, Node] = {}

    def of(self, root: Node) -> Node:
        """What a late node reads in place of an early one."""
        if root in self.kept:
            return root
        for node in reachable([root], known=self.kept):
            if node not in self.made:
                operands = tuple([self.operand(node, x) for x in node.inputs])
                same = operands == node.inputs
                self.made[node] = node if same else node.scope.typed(node.op, node.type, *operands)
        return self.made[root]

    def operand(self, node: Node, x: Node) -> Node:
        """What a copy of a node reads: the barrier makes it another node, which no early group may compute."""
        argument = role(node) is Role.MAP and isinstance(x.op, (Input, Read))
        return build.apply(After(), x, x) if x in self.kept or argument else self.made[x]
