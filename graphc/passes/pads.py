"""Sums of zero-padded pieces: what the derivative of slices gives, put together again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graphc.ir import build
from graphc.ir.node import Constant, Node
from graphc.ops.elementwise import Add
from graphc.ops.movement import Broadcast, Concat, Pad
from graphc.passes.rewrite import structural

#: The most terms of a sum that are looked at.
MOST_TERMS = 32


@structural(Add)
def join_pads(node: Node, op: Add) -> Node | None:
    """Pieces that lie side by side along an axis are one concatenation, padded by what is left.

    Every element of such a sum has zeros added to it. So a piece gets 0.0 added too, which only −0.0 feels. With one
    other term at most, and pieces that do not overlap, nothing else changes.
    """
    if not any(isinstance(x.op, Pad) for x in node.inputs):
        return None
    terms = terms_of(node)
    axes = [padded_axis(t) for t in terms]
    known = {a for a in axes if a is not None}
    others = [t for t, a in zip(terms, axes, strict=True) if a is None]
    if len(known) != 1 or len(others) > 1 or not node.type.dtype.is_float:
        return None
    (axis,) = known
    pads = sorted((t for t in terms if t not in others), key=lambda t: span(t, axis))
    spans = [span(t, axis) for t in pads]
    if any(a[1] > b[0] for a, b in pairwise(spans)) or all(a[1] < b[0] for a, b in pairwise(spans)):
        return None
    runs: list[list[Node]] = [[pads[0]]]
    for pad, (before, after) in zip(pads[1:], pairwise(spans), strict=True):
        if before[1] == after[0]:
            runs[-1].append(pad)
        else:
            runs.append([pad])
    result, *rest = [*others, *(joined(run, axis) for run in runs)]
    for term in rest:
        result = result + term
    return result


def terms_of(node: Node) -> list[Node]:
    """The terms of a sum, those of sums in it too, up to so many."""
    found: list[Node] = []
    stack = [node]
    while stack:
        top = stack.pop()
        if isinstance(top.op, Add) and len(found) + len(stack) < MOST_TERMS:
            stack += reversed(top.inputs)
        else:
            found.append(top)
    return found


def padded_axis(node: Node) -> int | None:
    """The one axis along which the node is a piece of known extent between zeros; None where there is no such axis."""
    op = node.op
    if not isinstance(op, Pad) or any(g != 0 for g in op.interior):
        return None
    piece, value = node.inputs
    if not is_zero(value):
        return None
    axes = [a for a, sides in enumerate(zip(op.low, op.high, strict=True)) if sides != (0, 0)]
    if len(axes) != 1 or not isinstance(op.low[axes[0]], int) or not isinstance(piece.type.shape[axes[0]], int):
        return None
    return axes[0]


def span(pad: Node, axis: int) -> tuple[int, int]:
    """Where the piece starts and ends."""
    low, size = pad.op.low[axis], pad.inputs[0].type.shape[axis]  # type: ignore[attr-defined]
    return low, low + size


def joined(pads: list[Node], axis: int) -> Node:
    """Pieces side by side as one padded piece; one alone as it is."""
    if len(pads) == 1:
        return pads[0]
    first, last = pads[0].op, pads[-1].op
    assert isinstance(first, Pad) and isinstance(last, Pad)
    pieces = [piece for p in pads for piece in pieces_of(p.inputs[0], axis)]
    return build.pad(build.concat(pieces, axis), 0.0, first.low, last.high)


def pieces_of(node: Node, axis: int) -> list[Node]:
    """What a concatenation along the axis is made of, each with 0.0 added to it, once."""
    parts = node.inputs if node.op == Concat(axis) else (node,)
    return [part if adds_zero(part) else part + 0.0 for part in parts]


def adds_zero(node: Node) -> bool:
    """Whether the node is a sum with 0.0."""
    return isinstance(node.op, Add) and any(is_zero(x) for x in node.inputs)


def is_zero(node: Node) -> bool:
    """Whether the node is 0.0 everywhere, not −0.0."""
    source = node.inputs[0] if isinstance(node.op, Broadcast) else node
    if not isinstance(source.op, Constant):
        return False
    value = source.op.array(source.type)
    return bool((value == 0).all() and not np.signbit(value).any())


PADS = (join_pads,)
