"""The arena of an entry: which buffers may share memory, and where each starts, for every value of the symbols.

Places are chosen at the symbols' typical sizes, largest buffer first. What holds at every size is the order: a buffer
starts where all live buffers below it have ended, and that end is an expression of the dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphc.ir.dim import Size, align_up, typical, upper_bound
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import Kernel
from graphc.schedule.steps import CondStep, Step, parts, touched

#: Alignment of every buffer in the arena, in bytes.
ALIGN = 64


@dataclass(frozen=True)
class Placement:
    """A buffer of the arena: its size, and the highest buffers that must have ended where it starts."""

    buffer: Buffer
    size: Size  # bytes, a multiple of ALIGN
    above: tuple[Buffer, ...]


@dataclass(frozen=True)
class Lifetime:
    """The first and last step, by position, that touch a buffer."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are live at some time."""
        return self.first <= other.last and other.first <= self.last


class Lifetimes:
    """Counts steps in the order they are written, and notes when each arena buffer is live.

    What a loop touches and does not make anew in each round is live from its start to its end.
    """

    def __init__(self) -> None:
        self.found: dict[Buffer, Lifetime] = {}
        self.position = 0

    def walk(self, steps: Sequence[Step]) -> None:
        """Steps in order."""
        for step in steps:
            start = self.position
            self.position += 1
            for part in parts(step):
                self.walk(part)
            match step:
                case Kernel():
                    self.touch(step.buffers(), start, start)
                case CondStep(test=test):
                    self.touch((test,), start, start)
                case _:
                    self.touch(touched(step).all, start, self.position - 1)

    def touch(self, buffers: Sequence[Buffer], first: int, last: int) -> None:
        """Buffers are live from one position to another, and between those and what is known of them already."""
        for buffer in buffers:
            if buffer.place in ("arena", "output"):
                known = self.found.get(buffer, Lifetime(first, last))
                self.found[buffer] = Lifetime(min(known.first, first), max(known.last, last))


def lifetimes(steps: Sequence[Step], outputs: Sequence[Buffer]) -> dict[Buffer, Lifetime]:
    """When each arena buffer is live. Outputs need a place too, for callers that pass none, to the end."""
    lives = Lifetimes()
    lives.walk(steps)
    end = max(lives.position - 1, 0)
    return {b: replace(life, last=end) if b in outputs else life for b, life in lives.found.items()}


@dataclass(frozen=True)
class Request:
    """A buffer that wants a place: when it is live, its size in bytes, and that size where symbols are typical."""

    buffer: Buffer
    life: Lifetime
    size: Size
    typical: int  # never zero, so that starts order every pair of live buffers


@dataclass(frozen=True)
class Place:
    """Where a request starts and ends, at typical sizes."""

    request: Request
    start: int
    end: int


def plan_arena(lifetimes: Mapping[Buffer, Lifetime]) -> tuple[Placement, ...]:
    """Placements in order of their start: each is above earlier ones only."""
    places = sorted(typical_places([request(b, life) for b, life in lifetimes.items()]), key=lambda p: p.start)
    below: list[int] = []  # for each place, the positions of all that end before it starts, as bits
    placements = []
    for position, place in enumerate(places):
        above: list[Buffer] = []
        known = 0
        for i in reversed(range(position)):  # the highest first: what lies below it follows
            lower = places[i]
            if lower.end <= place.start and not known >> i & 1 and lower.request.life.overlaps(place.request.life):
                above.append(lower.request.buffer)
                known |= 1 << i | below[i]
        placements.append(Placement(place.request.buffer, place.request.size, tuple(reversed(above))))
        below.append(known)
    return tuple(placements)


def most_bytes(arena: Sequence[Placement]) -> int | None:
    """What the arena needs at most, over all values of the symbols; None where they have no bounds."""
    ends: dict[Buffer, int] = {}
    for placement in arena:
        size = upper_bound(placement.size)
        if size is None:
            return None
        ends[placement.buffer] = max((ends[b] for b in placement.above), default=0) + size
    return max(ends.values(), default=0)


def request(buffer: Buffer, life: Lifetime) -> Request:
    """What a row-major buffer wants."""
    size = align_up(buffer.type.size * buffer.type.dtype.itemsize, ALIGN)
    return Request(buffer, life, size, max(typical(size), ALIGN))


def typical_places(requests: Sequence[Request]) -> list[Place]:
    """First fit, largest buffer first, at typical sizes; in the order of the requests."""
    places: dict[int, Place] = {}
    for index, wanted in sorted(enumerate(requests), key=lambda item: -item[1].typical):
        taken = sorted((p.start, p.end) for p in places.values() if p.request.life.overlaps(wanted.life))
        start = first_gap(taken, wanted.typical)
        places[index] = Place(wanted, start, start + wanted.typical)
    return [places[index] for index in range(len(requests))]


def first_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The lowest start at which `size` bytes are free."""
    start = 0
    for low, high in taken:
        if start + size <= low:
            break
        start = max(start, high)
    return start
