"""Pieces of a concatenation, written where they belong by the kernels that compute them.

While such a kernel is lowered, a piece is a buffer of the place "part". Then its stores become stores into the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.ir.dim import Size
from graphc.ir.node import Node
from graphc.ops.movement import Concat
from graphc.passes.fuse import Group
from graphc.passes.roles import Role, role
from graphc.schedule.access import Access, Buffer
from graphc.schedule.kernel import Contract, Kernel, Loop, Reduce, Stmt, Store

#: Groups whose results can be stored anywhere.
PLACEABLE = (Role.REDUCE, Role.CONTRACT)


@dataclass(frozen=True)
class Place:
    """Where a piece lies: in a buffer seen in some shape, from `start` on along an axis."""

    whole: Buffer
    shape: tuple[Size, ...]
    axis: int
    start: Size

    def access(self, piece: Access) -> Access:
        """The element of the whole that an element of the piece is."""
        before, at, after = piece.index[: self.axis], piece.index[self.axis], piece.index[self.axis + 1 :]
        return Access(self.whole, self.shape, (*before, at + self.start, *after))


def part(node: Node, position: int) -> Buffer:
    """What a concatenation's operand is stored to, where its own kernel stores it."""
    return Buffer(f"t{node.serial}[{position}]", node.inputs[position].type, "part")


def placeable(group: Group) -> bool:
    """Whether the group's kernel can store its results into parts of buffers."""
    return group.anchor is None or role(group.anchor) in PLACEABLE


def places(node: Node, buffers: Sequence[Buffer]) -> Iterator[tuple[Place, ...]]:
    """For each operand of a concatenation, where it lies in the buffers of the whole."""
    assert isinstance(node.op, Concat)
    start: Size = 0
    for operand in node.inputs:
        yield tuple(Place(buffer, node.type.shape, node.op.axis, start) for buffer in buffers)
        start = start + operand.type.shape[node.op.axis]


def placed(kernel: Kernel, where: Mapping[Buffer, Sequence[Place]]) -> Kernel:
    """The kernel with its stores to parts as stores into wholes."""
    return replace(kernel, body=placed_body(kernel.body, where))


def placed_body(body: Sequence[Stmt], where: Mapping[Buffer, Sequence[Place]]) -> tuple[Stmt, ...]:
    """Statements with stores into wholes."""
    found: list[Stmt] = []
    for statement in body:
        if isinstance(statement, Store) and statement.access.buffer in where:
            found += [replace(statement, access=p.access(statement.access)) for p in where[statement.access.buffer]]
        elif isinstance(statement, Loop | Reduce | Contract):
            found.append(replace(statement, body=placed_body(statement.body, where)))
        else:
            found.append(statement)
    return tuple(found)
