"""Every contraction becomes a batch of matrix products [batch…, m, k]·[batch…, k, n].

That is the one form code is generated for; either matrix may lie transposed. Operands are copied only where their axes
lie in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod

from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.graph import Graph
from graphc.ir.node import Node, Op
from graphc.ops.contraction import DotGeneral
from graphc.ops.movement import Reshape
from graphc.passes.contract import as_products, is_matrix_product

Axes = tuple[int, ...]


def matricise(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """The graph with every contraction in the form that code is generated for. There is nothing to skip."""
    return graph.rewrite(lambda node: RULES[type(node.op)](node, node.op) if type(node.op) in RULES else node)


def as_matrices(node: Node, op: DotGeneral) -> Node:
    """One contraction in that form."""
    lhs, rhs = node.inputs
    left, right = op.lhs_free(lhs.type.rank), op.rhs_free(rhs.type.rank)
    if not is_matrix_product(node, op):
        return as_products(node, op)
    batch = len(op.lhs_batch)
    a, a_contract = matrix(lhs, op.lhs_batch, left, op.lhs_contract, contract_last=True)
    b, b_contract = matrix(rhs, op.rhs_batch, right, op.rhs_contract, contract_last=False)
    axes = tuple(range(batch))
    return reshaped(build.dot_general(a, b, (a_contract,), (b_contract,), axes, axes), node.type.shape)


def matrix(x: Node, batch: Axes, free: Axes, contract: Axes, contract_last: bool) -> tuple[Node, int]:
    """An operand as [batch…, rows, columns], and which of the last two axes is the contracted one.

    It stays as it lies in memory where it can; else the contracted axis is the last, or the one before, as asked for.
    """
    as_it_is = tuple(range(x.type.rank))
    last = batch + free + contract == as_it_is or (contract_last and batch + contract + free != as_it_is)
    groups = (free, contract) if last else (contract, free)
    shape = x.type.shape
    sizes = (*(shape[a] for a in batch), *(prod(shape[a] for a in group) for group in groups))
    return reshaped(build.transpose(x, batch + groups[0] + groups[1]), sizes), len(batch) + last


def reshaped(x: Node, shape: tuple[Size, ...]) -> Node:
    """One reshape, also of what is reshaped already."""
    return build.reshape(x.inputs[0] if isinstance(x.op, Reshape) else x, shape)


RULES: dict[type[Op], Callable[..., Node]] = {
    DotGeneral: as_matrices,
    Reshape: lambda node, op: reshaped(node.inputs[0], op.shape),
}
