"""The state of a program: each Variable's place and packing, one for all entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from graphc.ir.graph import Graph
from graphc.ir.node import Read
from graphc.ir.types import TensorType
from graphc.passes.roles import Role, role
from graphc.runtime.signature import ALIGN, STATE_HEADER_BYTES
from graphc.schedule.kernel import Buffer

#: Bytes in a row of a panel: a cache line, so that every vector width divides it.
PANEL_BYTES = 64


@dataclass(frozen=True)
class Slot:
    """One Variable in the state."""

    name: str
    type: TensorType
    trainable: bool
    offset: int
    bytes: int
    panel: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its logical shape."""
        return static_shape(self.type)

    @property
    def buffer(self) -> Buffer:
        """The Variable's memory as kernels see it."""
        return Buffer(self.name, self.type, "state", self.panel)


@dataclass(frozen=True)
class StateLayout:
    """All Variables, in order, after the header."""

    slots: tuple[Slot, ...]

    @property
    def bytes(self) -> int:
        """The size of a state buffer."""
        return max((s.offset + s.bytes for s in self.slots), default=STATE_HEADER_BYTES)

    @cached_property
    def buffers(self) -> Mapping[str, Buffer]:
        """The buffers by Variable name."""
        return {s.name: s.buffer for s in self.slots}

    @cached_property
    def hash(self) -> str:
        """16 hex digits that differ where a state of one layout can't serve another."""
        text = ";".join(f"{s.name}:{s.type}@{s.offset}/{s.panel}" for s in self.slots)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def static_shape(type_: TensorType) -> tuple[int, ...]:
    """A shape without symbols, as every Variable has."""
    return tuple(s for s in type_.shape if isinstance(s, int))


def lay_out(variables: Sequence[tuple[str, TensorType, bool]], panels: Mapping[str, int]) -> StateLayout:
    """Place (name, type, trainable) Variables one after the other, aligned; `panels`: which are packed, how wide."""
    slots, offset = [], STATE_HEADER_BYTES
    for name, type_, trainable in variables:
        panel = panels.get(name, 0)
        shape = list(static_shape(type_))
        if panel:
            shape[-1] = -(-shape[-1] // panel) * panel
        size = -(-prod(shape) * type_.dtype.itemsize // ALIGN) * ALIGN
        slots.append(Slot(name, type_, trainable, offset, size, panel))
        offset += size
    return StateLayout(tuple(slots))


def panels_for(graphs: Sequence[Graph], parameter_of: Mapping[str, str | None]) -> dict[str, int]:
    """Which Variables are packed, and how wide their panels are: matrices that contractions read, and their slots.

    A Variable that anything reads at other places than where it writes (a view, a reshape, an index) stays row-major.
    """
    contracted: dict[str, int] = {}
    excluded: set[str] = set()
    for graph in graphs:
        for node in graph.nodes():
            for operand in node.inputs:
                if isinstance(operand.op, Read) and role(node) is Role.CONTRACT and operand.type.rank == 2:
                    contracted[operand.op.variable] = PANEL_BYTES // operand.type.dtype.itemsize
                elif isinstance(operand.op, Read) and role(node) not in (Role.MAP, Role.REDUCE):
                    excluded.add(operand.op.variable)
        excluded |= {name for name, node in graph.updates if role(node) not in (Role.MAP, Role.CONTRACT)}
    followers = {name: of for name, of in parameter_of.items() if of is not None}
    for name, of in followers.items():
        if name in excluded:
            excluded.add(of)
    packed = {name: width for name, width in contracted.items() if name not in excluded}
    return packed | {name: packed[of] for name, of in followers.items() if of in packed and name not in excluded}
