"""The arena of an entry: which buffers may share memory, and where each starts, for every value of the symbols.

Places are chosen at the symbols' typical sizes, largest buffer first. What holds at every size is the order: a buffer
starts where all live buffers below it have ended, and that end is an expression of the dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.ir.dim import Size, align_up, typical
from graphc.schedule.kernel import Buffer

#: Alignment of every buffer in the arena, in bytes.
ALIGN = 64


@dataclass(frozen=True)
class Placement:
    """A buffer of the arena: its size, and the buffers that must have ended where it starts."""

    buffer: Buffer
    size: Size  # bytes, a multiple of ALIGN
    above: tuple[Buffer, ...]


@dataclass(frozen=True)
class Lifetime:
    """The first and last kernel, by position, that touch a buffer."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are live at some time."""
        return self.first <= other.last and other.first <= self.last


def bytes_of(buffer: Buffer) -> Size:
    """The bytes of a row-major buffer, aligned up."""
    return align_up(buffer.type.size * buffer.type.dtype.itemsize, ALIGN)


def plan_arena(lifetimes: Mapping[Buffer, Lifetime]) -> tuple[Placement, ...]:
    """Placements in order of their start: each is above earlier ones only."""
    starts = typical_starts(lifetimes)
    placed: list[Placement] = []
    for buffer in sorted(lifetimes, key=lambda b: (starts[b], list(lifetimes).index(b))):
        below = [
            p.buffer
            for p in placed
            if lifetimes[p.buffer].overlaps(lifetimes[buffer]) and starts[p.buffer] + extent(p.buffer) <= starts[buffer]
        ]
        placed.append(Placement(buffer, bytes_of(buffer), tuple(below)))
    return tuple(placed)


def extent(buffer: Buffer) -> int:
    """The typical size in bytes; never zero, so that starts order every pair of live buffers."""
    return max(typical(bytes_of(buffer)), ALIGN)


def typical_starts(lifetimes: Mapping[Buffer, Lifetime]) -> dict[Buffer, int]:
    """First fit, largest buffer first, at typical sizes."""
    starts: dict[Buffer, int] = {}
    order = sorted(lifetimes, key=lambda b: -extent(b))
    for buffer in order:
        taken = sorted(
            (starts[other], starts[other] + extent(other))
            for other in starts
            if lifetimes[other].overlaps(lifetimes[buffer])
        )
        starts[buffer] = first_gap(taken, extent(buffer))
    return starts


def first_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest start at which `size` bytes are free."""
    start = 0
    for low, high in taken:
        if start + size <= low:
            break
        start = max(start, high)
    return start
