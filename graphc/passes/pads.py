"""Sums of zero-padded pieces: what the derivative of slices gives, put together again."""

from __future__ import annotations

from itertools import pairwise

from graphc.ir import build
from graphc.ir.node import Constant, Node
from graphc.ops.elementwise import Add
from graphc.ops.movement import Pad
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
    if not isinstance(value.op, Constant) or value.op.array(value.type) != 0:
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
    return build.pad(build.concat([p.inputs[0] + 0.0 for p in pads], axis), 0.0, first.low, last.high)


PADS = (join_pads,)
