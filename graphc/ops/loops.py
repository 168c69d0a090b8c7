"""Control nodes in the making: bodies that grow input by input, and their operands beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.graph import Graph, reachable
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import TensorType, i64
from graphc.ops.control import Scan, carry_name


def copied(roots: Iterable[Node], known: dict[Node, Node], scope: Scope) -> dict[Node, Node]:
    """Copy what roots need into another scope; `known` has what some nodes are there, and gets all others."""
    for node in reachable(roots, known=known):
        with scope.at(node.scope.site_of(node)):
            known[node] = scope.typed(node.op, node.type, *[known[x] for x in node.inputs])
    return known


class Loop:
    """A scan in the making: each method adds an operand, and gives what a round sees of it."""

    def __init__(self, name: str, length: Size, reverse: bool = False, checkpoint: bool = False):
        self.name, self.length, self.reverse, self.checkpoint = name, length, reverse, checkpoint
        self.scope = Scope()
        self.consts: dict[Node, Node] = {}  # operand -> the body's input
        self.slices: dict[Node, Node] = {}
        self.inits: list[Node] = []
        self.round: Node | None = None

    def const(self, operand: Node) -> Node:
        """The same value in each round."""
        if operand not in self.consts:
            self.consts[operand] = self.scope.typed(Input(f"c{len(self.consts)}"), operand.type)
        return self.consts[operand]

    def slice(self, operand: Node) -> Node:
        """Slice t of an array in round t."""
        if operand not in self.slices:
            part = operand.type.with_shape(operand.type.shape[1:])
            self.slices[operand] = self.scope.typed(Input(f"x{len(self.slices)}"), part)
        return self.slices[operand]

    def carry(self, init: Node) -> Node:
        """The value before the round of something that each round changes."""
        self.inits.append(init)
        return self.scope.typed(Read(carry_name(len(self.inits) - 1)), init.type)

    def index(self) -> Node:
        """The number of the round."""
        if self.round is None:
            self.round = self.scope.typed(Input("round"), TensorType(i64))
        return self.round

    def graph(self, outputs: Sequence[Node], news: Sequence[Node]) -> Graph:
        """The body that gives these outputs and new carries."""
        index = () if self.round is None else (self.round,)
        inputs = (*self.consts.values(), *self.slices.values(), *index)
        updates = tuple((carry_name(i), node) for i, node in enumerate(news))
        return Graph(self.name, self.scope, inputs, tuple(outputs), updates)

    def results(self, outputs: Sequence[Node], news: Sequence[Node], scope: Scope) -> list[Node]:
        """The last carries, then the stacked outputs: nodes of the operands' scope."""
        body = self.graph(outputs, news)
        op = Scan(body, len(self.consts), self.length, self.reverse, self.round is not None, self.checkpoint)
        return build.items(scope.node(op, *self.consts, *self.inits, *self.slices))
