"""The state of a program: each Variable's place and packing, one for all entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from graphc.ir.graph import Graph
from graphc.ir.types import TensorType
from graphc.runtime.signature import ALIGN, STATE_HEADER_BYTES
from graphc.schedule.kernel import Buffer


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


def lay_out(variables: Sequence[tuple[str, TensorType, bool]], panels: Mapping[str, int]) -> StateLayout:
    """Place (name, type, trainable) Variables one after the other, aligned; `panels` says which are packed, how wide."""
    slots, offset = [], STATE_HEADER_BYTES
    for name, type_, trainable in variables:
        panel = panels.get(name, 0)
        shape = [int(s) for s in type_.shape]  # type: ignore[arg-type]
        if panel:
            shape[-1] = -(-shape[-1] // panel) * panel
        size = -(-prod(shape) * type_.dtype.itemsize // ALIGN) * ALIGN
        slots.append(Slot(name, type_, trainable, offset, size, panel))
        offset += size
    return StateLayout(tuple(slots))


def panels_for(graphs: Sequence[Graph], parameter_of: Mapping[str, str | None]) -> dict[str, int]:
    """Which Variables are packed, and how wide their panels are."""
    return {}
