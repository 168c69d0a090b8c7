"""The part a node can play in fusion; it follows from the kind of its op, never from the op itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from graphc.ir.graph import Graph
from graphc.ir.node import Constant, Leaf, Node, Op
from graphc.ops.base import ArgReduction, Elementwise, Reduction
from graphc.ops.contraction import DotGeneral
from graphc.ops.control import Control, Item
from graphc.ops.convolution import Conv, ConvInput, ConvKernel, Convolution
from graphc.ops.cost import CHEAP as CHEAP
from graphc.ops.cumulative import Cumulative
from graphc.ops.indexing import Gather, Iota, Scatter
from graphc.ops.movement import Assume, Broadcast, Concat, Flip, Pad, Reshape, Slice, Transpose
from graphc.ops.order import After
from graphc.ops.size import SizeOf
from graphc.ops.sorting import Argsort
from graphc.ops.window import Windowed


class Role(Enum):
    """What fusion may do with a node."""

    LEAF = "leaf"  # an input, a Variable's value, constant data: a buffer that is there already
    MAP = "map"  # one result element from one element of each operand
    VIEW = "view"  # no computation: its users compute where to read
    ALIAS = "alias"  # the operand's buffer under another shape
    REDUCE = "reduce"
    CONTRACT = "contract"
    CONVOLVE = "convolve"
    ASSEMBLE = "assemble"  # writes its result piece by piece: concat, pad, scatter-add, cumulative, argsort
    WINDOW = "window"  # each result element from several of each operand, at places that follow from its own
    CONTROL = "control"  # steps of their own around others: a barrier, whose operands and results lie in memory
    ITEM = "item"  # one result of a control node, which makes it


ROLES: dict[type[Op], Role] = {
    Leaf: Role.LEAF,
    Elementwise: Role.MAP,
    Broadcast: Role.VIEW,
    Transpose: Role.VIEW,
    Flip: Role.VIEW,
    Slice: Role.VIEW,
    Iota: Role.VIEW,
    SizeOf: Role.VIEW,
    Gather: Role.VIEW,
    Reshape: Role.ALIAS,
    Assume: Role.ALIAS,
    After: Role.ALIAS,
    Reduction: Role.REDUCE,
    ArgReduction: Role.REDUCE,
    DotGeneral: Role.CONTRACT,
    Windowed: Role.WINDOW,
    Convolution: Role.CONVOLVE,
    Concat: Role.ASSEMBLE,
    Pad: Role.ASSEMBLE,
    Scatter: Role.ASSEMBLE,
    Cumulative: Role.ASSEMBLE,
    Argsort: Role.ASSEMBLE,
    Control: Role.CONTROL,
    Item: Role.ITEM,
}


def role(node: Node) -> Role:
    """The role of a node: scalar constants are views, since every user writes them out itself."""
    if type(node.op) is Constant and not node.type.shape:
        return Role.VIEW
    return next(ROLES[base] for base in type(node.op).__mro__ if base in ROLES)


#: Operands (by position) that must lie in memory as they are, because they are read out of order.
IN_MEMORY: dict[type[Op], tuple[int, ...]] = {
    Gather: (0,),
    DotGeneral: (0, 1),
    Conv: (0, 1),
    ConvInput: (0, 1),
    ConvKernel: (0, 1),
    Reshape: (0,),
    Assume: (0,),
    After: (0, 1),
    Argsort: (0,),
}


def in_memory(node: Node) -> Sequence[int]:
    """Which operands must lie in memory as they are."""
    if role(node) is Role.CONTROL:
        return range(len(node.inputs))
    return IN_MEMORY.get(type(node.op), ())


class Edge(NamedTuple):
    """How a node reads another one.

    `same`: element for element; `row`: its row's value; `pull`: at some other index; `memory`: it must lie in a buffer.
    """

    source: Node
    relation: str


def edges(node: Node, stored: frozenset[Node]) -> Iterator[Edge]:
    """What the node reads once the views between are seen through; `stored` views are read as they are."""
    stay = in_memory(node)
    same = "pull" if role(node) in (Role.VIEW, Role.WINDOW) else "same"
    row = "pull" if role(node) is Role.WINDOW else "row"
    for position, operand in enumerate(node.inputs):
        if position in stay or role(operand) is Role.ALIAS:
            yield from (Edge(source, "memory") for source in behind(operand))
        elif role(operand) is not Role.VIEW or operand in stored:
            yield Edge(operand, same)
        elif is_row_broadcast(operand) and role(operand.inputs[0]) not in (Role.VIEW, Role.ALIAS):
            yield Edge(operand.inputs[0], row)
        else:
            for edge in edges(operand, stored):
                yield Edge(edge.source, "memory" if edge.relation == "memory" else "pull")


def is_row_broadcast(node: Node) -> bool:
    """Whether the node repeats each row's value along the row."""
    op = node.op
    return isinstance(op, Broadcast) and op.axes == tuple(range(len(op.shape) - 1))


def behind(node: Node) -> Iterator[Node]:
    """What must be in memory before the node is read there: the node whose buffer it names, and what that waits for."""
    stack, seen = [node], {node}
    while stack:
        top = stack.pop()
        if role(top) is not Role.ALIAS:
            yield top
            continue
        waits = [i for i in top.inputs if i not in seen]
        seen.update(waits)
        stack += waits


def through_aliases(node: Node) -> Node:
    """The node whose buffer this one is another name of."""
    while role(node) is Role.ALIAS:
        node = node.inputs[0]
    return node


def results(graph: Graph) -> set[Node]:
    """What must be in memory in the end: the graph's results, and what these wait for."""
    return {node for root in graph.roots for node in behind(root)}
