"""Reverse-mode differentiation: one sweep over the graph, a graph as its result, so derivatives differentiate again."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from graphc.errors import GradientError
from graphc.ir import build
from graphc.ir.graph import dependents, reachable
from graphc.ir.node import Node
from graphc.ir.types import TupleType
from graphc.ops.control import Item
from graphc.ops.control_vjp import shares
from graphc.ops.order import After


def gradients(output: Node, targets: Sequence[Node], seed: Node | None = None) -> list[Node]:
    """∂output/∂target for each target, of the target's type, times `seed` (1 by default).

    `output` is a float scalar. Raises `GradientError` where it is not, or where a target is not a float.
    """
    if output.type.shape != ():
        raise GradientError(
            f"gradient of {output.type}, which is not a scalar", help="reduce it first, as with mean() or sum()"
        )
    expect_float("gradient of", output)
    return backward({output: build.ones_like(output) if seed is None else seed}, targets)


def backward(cotangents: Mapping[Node, Node], targets: Sequence[Node]) -> list[Node]:
    """The cotangents of targets from those of outputs, summed over all paths; zeros where there is none.

    Raises `GradientError` where an output or a target is not a float.
    """
    for target in targets:
        expect_float("gradient with respect to", target)
    totals: dict[Node, Node] = {}
    for output, ct in cotangents.items():
        expect_float("gradient of", output)
        totals[output] = ct
    nodes = reachable(cotangents)
    active = dependents(nodes, targets)
    for node in reversed(nodes):
        if node not in active or not any(x in active for x in node.inputs) or isinstance(node.op, Item):
            continue
        with node.scope.at(node.scope.site_of(node)):
            found = shares_of(node, totals, active)
            for operand, share in zip(node.inputs, found, strict=False):
                if share is not None and operand in active:
                    totals[operand] = totals[operand] + share if operand in totals else share
    return [totals[target] if target in totals else build.zeros_like(target) for target in targets]


def shares_of(node: Node, totals: Mapping[Node, Node], active: Container[Node]) -> Sequence[Node | None]:
    """What a node passes on to its operands; of a control node each result has its own cotangent, or none."""
    if isinstance(node.type, TupleType):
        cts = [totals.get(item) for item in build.items(node)]
        return shares(backward, cts, [x in active for x in node.inputs], node) if any(cts) else ()
    return node.op.vjp(totals[node], node, *node.inputs) if node in totals else ()


def forward(outputs: Sequence[Node], tangents: Mapping[Node, Node]) -> list[Node]:
    """The tangents of outputs from those of inputs, J·v, from the derivative rules of the reverse sweep alone.

    The inputs' cotangents are linear in the outputs', u: uᵀJ. So the derivative of ⟨uᵀJ, v⟩ with respect to u is J·v,
    and u itself drops out (Townsend, "A new trick for calculating Jacobian vector products", 2017).
    Raises `GradientError` where an input or output is not a float, or u stays: a rule was not linear in its cotangent.
    """
    unique = list(dict.fromkeys(outputs))
    dummies = [node.scope.placeholder(node.type) for node in unique]
    cotangents = backward(dict(zip(unique, dummies, strict=True)), list(tangents))
    found = at_once(backward(summed(cotangents, list(tangents.values())), dummies), dummies)
    left = set(dummies).intersection(reachable(found))
    if left:
        raise GradientError(
            "no forward derivative: a derivative rule on the way is not linear in the cotangent",
            help="a gr.custom_vjp whose backward function clips its cotangent, say, has reverse derivatives only",
        )
    given = dict(zip(unique, found, strict=True))
    return [given[node] for node in outputs]


def at_once(outputs: Sequence[Node], tokens: Sequence[Node]) -> list[Node]:
    """The outputs without barriers that wait for what depends on some nodes: there is no later to compute again in."""
    dependent = set(tokens)
    new: dict[Node, Node] = {}
    for node in reachable(outputs):
        if any(x in dependent for x in node.inputs):
            dependent.add(node)
        if isinstance(node.op, After) and node.inputs[1] in dependent:
            new[node] = new[node.inputs[0]]
            continue
        operands = tuple([new[x] for x in node.inputs])
        new[node] = node if operands == node.inputs else node.scope.typed(node.op, node.type, *operands)
    return [new[node] for node in outputs]


def summed(outputs: Sequence[Node], cotangents: Sequence[Node]) -> dict[Node, Node]:
    """The cotangent of each output; of one that is given twice, their sum."""
    totals: dict[Node, Node] = {}
    for output, ct in zip(outputs, cotangents, strict=True):
        totals[output] = totals[output] + ct if output in totals else ct
    return totals


def expect_float(what: str, node: Node) -> None:
    """Raise `GradientError` unless a node's elements are floats."""
    if not node.type.dtype.is_float:
        raise GradientError(
            f"{what} {node.type}: only floats have derivatives",
            site=node.scope.site_of(node),
            help="cast it to a float before it enters the computation",
        )
