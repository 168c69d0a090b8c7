"""Vectorisation: the same graph for every index of one more axis, op by op through their `batch` rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from graphc.ir import build
from graphc.ir.dim import Size
from graphc.ir.graph import reachable
from graphc.ir.node import Node
from graphc.ops.control import Control
from graphc.ops.control_batch import batch_control


def batch(outputs: Sequence[Node], batched: Mapping[Node, Node], size: Size) -> list[Node]:
    """The outputs over all of `size` indices, in front, where `batched` gives what some nodes are over all of them.

    An output that depends on none of these is the same at each index: it is repeated.
    """
    new = counterparts(outputs, batched)
    return [new[node] if node in new else build.repeat(node, size) for node in outputs]


def counterparts(outputs: Iterable[Node], batched: Mapping[Node, Node]) -> dict[Node, Node]:
    """What each node between is over all indices, in front; the nodes that it lacks are the same at each index."""
    new = dict(batched)
    for node in reachable(outputs, known=batched):
        mapped = tuple(x in new for x in node.inputs)
        if any(mapped):
            with node.scope.at(node.scope.site_of(node)):
                operands = [new.get(x, x) for x in node.inputs]
                if isinstance(node.op, Control):
                    new[node] = batch_control(counterparts, node.op, mapped, operands)
                else:
                    new[node] = node.op.batch(mapped, *operands)
    return new
