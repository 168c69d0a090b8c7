"""The state of a program: each Variable's place and packing, one for all entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from graphc.ir.graph import Graph
from graphc.ir.node import Array, Node, Read
from graphc.ir.types import TensorType
from graphc.passes.roles import Role, role
from graphc.runtime.signature import ALIGN, STATE_HEADER_BYTES
from graphc.schedule.access import Buffer
from graphc.schedule.control import OPERANDS, Operands

#: Bytes in a row of a panel: a cache line, so that every vector width divides it.
PANEL_BYTES = 64
#: Bytes of a Variable from which the next one starts a third of a page further. A parameter and its slots are often
#: whole pages long; without the gap, a load of one would wait for a store to another at the same place of a page.
LARGE_BYTES, GAP_BYTES = 16384, 1344
#: The most stack that drawing initial values may take, in bytes.
INIT_STACK_BYTES = 1 << 16


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
    """All Variables, in order, after the header; then `scratch` bytes that drawing their initial values takes."""

    slots: tuple[Slot, ...]
    scratch: int = 0

    @property
    def end(self) -> int:
        """Where the last Variable ends."""
        return max((s.offset + s.bytes for s in self.slots), default=STATE_HEADER_BYTES)

    @property
    def bytes(self) -> int:
        """The size of a state buffer."""
        return self.end + self.scratch

    def drawn_in(self, workspace: int) -> StateLayout:
        """With scratch for initial values that take so many bytes: `init` has no other memory than the state.

        What fits is on the stack: most initial values need next to nothing, orthogonal matrices some.
        """
        return replace(self, scratch=-(-workspace // ALIGN) * ALIGN if workspace > INIT_STACK_BYTES else 0)

    @cached_property
    def buffers(self) -> Mapping[str, Buffer]:
        """The buffers by Variable name."""
        return {s.name: s.buffer for s in self.slots}

    @cached_property
    def hash(self) -> str:
        """16 hex digits that differ where a state of one layout can't serve another."""
        text = ";".join(f"{s.name}:{s.type}@{s.offset}/{s.panel}" for s in self.slots)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def state_image(layout: StateLayout, values: Mapping[str, Array]) -> bytes:
    """The state of some values by name, header apart; what is not named is zero."""
    memory = bytearray(layout.bytes)
    for slot in layout.slots:
        if slot.name in values:
            content = packed(slot, values[slot.name])
            memory[slot.offset : slot.offset + len(content)] = content
    return bytes(memory)


def packed(slot: Slot, value: Array) -> bytes:
    """A Variable's value as it lies in the state: row-major, or in panels whose padding is zero."""
    if slot.panel:
        rows, columns = value.shape
        padded = np.pad(value, ((0, 0), (0, -columns % slot.panel)))
        value = padded.reshape(rows, -1, slot.panel).swapaxes(0, 1)
    return value.tobytes()


def static_shape(type_: TensorType) -> tuple[int, ...]:
    """A shape without symbols, as every Variable has."""
    return tuple(s for s in type_.shape if isinstance(s, int))


def lay_out(variables: Sequence[tuple[str, TensorType, bool]], panels: Mapping[str, int]) -> StateLayout:
    """Place (name, type, trainable) Variables one after the other, aligned; `panels`: which are packed, how wide.

    After large ones there is a gap.
    """
    slots, offset = [], STATE_HEADER_BYTES
    for name, type_, trainable in variables:
        panel = panels.get(name, 0)
        shape = list(static_shape(type_))
        if panel:
            shape[-1] = -(-shape[-1] // panel) * panel
        size = -(-prod(shape) * type_.dtype.itemsize // ALIGN) * ALIGN
        slots.append(Slot(name, type_, trainable, offset, size, panel))
        offset += size + (GAP_BYTES if size >= LARGE_BYTES else 0)
    return StateLayout(tuple(slots))


def panels_for(graphs: Sequence[Graph], parameter_of: Mapping[str, str | None]) -> dict[str, int]:
    """Which Variables are packed, and how wide their panels are: matrices that contractions read, and their slots.

    A Variable that anything reads at other places than where it writes (a view, a reshape, an index) stays row-major.
    """
    uses = VariableUses()
    for graph in graphs:
        uses.visit(graph, {n: n.op.variable for n in graph.nodes() if isinstance(n.op, Read)})
        uses.excluded |= {name for name, node in graph.updates if role(node) not in (Role.MAP, Role.CONTRACT)}
    contracted, excluded = uses.contracted, uses.excluded
    followers = {name: of for name, of in parameter_of.items() if of is not None}
    for name, of in followers.items():
        if name in excluded:
            excluded.add(of)
    packed = {name: width for name, width in contracted.items() if name not in excluded}
    return packed | {name: packed[of] for name, of in followers.items() if of in packed and name not in excluded}


class VariableUses:
    """What graphs, and bodies of control flow in them, do with Variables."""

    def __init__(self) -> None:
        self.contracted: dict[str, int] = {}  # matrices that contractions read, with the panels they would have
        self.excluded: set[str] = set()  # those that must stay row-major

    def visit(self, graph: Graph, variables: Mapping[Node, str]) -> None:
        """Look at all readers of a graph's leaves that are Variables."""
        for node in graph.nodes():
            for operand in (x for x in node.inputs if x in variables):
                if role(node) is Role.CONTRACT and operand.type.rank == 2:
                    self.contracted[variables[operand]] = PANEL_BYTES // operand.type.dtype.itemsize
                elif role(node) not in (Role.MAP, Role.REDUCE, Role.CONTROL):
                    self.excluded.add(variables[operand])
            if role(node) is Role.CONTROL:
                self.flow(OPERANDS[type(node.op)](node.op), [variables.get(operand) for operand in node.inputs])

    def flow(self, operands: Operands, names: Sequence[str | None]) -> None:
        """Look into the bodies of control flow; what they take slices of stays row-major."""
        self.excluded |= {name for i in operands.sliced if (name := names[i]) is not None}
        for body, whole in operands.constants:
            seen = zip(body.inputs, whole, strict=False)
            self.visit(body, {leaf: name for leaf, i in seen if (name := names[i]) is not None})
