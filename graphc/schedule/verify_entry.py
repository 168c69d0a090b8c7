"""The invariants of an entry's schedule: every buffer has a place of its own, and is written before it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from graphc.errors import InternalError
from graphc.ir.dim import Size, align_up, symbols_of
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import Contract, Convolve, Kernel, Load, Sort, Store
from graphc.schedule.memory import ALIGN, lifetimes
from graphc.schedule.steps import CondStep, ScanStep, Step, WhileStep, every_step, touched
from graphc.schedule.text import word
from graphc.schedule.verify import verify_kernel

if TYPE_CHECKING:
    from graphc.schedule.program import EntrySchedule


def verify_schedule(entry: EntrySchedule) -> None:
    """Raise `InternalError`, naming the entry and the kernel or buffer, where a schedule is ill-formed.

    Its kernels are; the buffers they touch are the entry's; each is written by one kernel, before any reads it, and a
    Variable after the last kernel that reads its old value; buffers of the arena that are live together lie apart.
    """
    for kernel in entry.kernels:
        verify_kernel(kernel)
    check_buffers(entry)
    check_order(entry)
    check_arena(entry)


def fault(entry: EntrySchedule, what: str, step: Step | None = None) -> InternalError:
    """The error about an entry, or one of its steps."""
    kind = "kernel" if isinstance(step, Kernel) else "step"
    place = f", {kind} {word(step.label)}" if step is not None else ""
    site = step.sites[0] if isinstance(step, Kernel) and step.sites else None
    return InternalError(f"schedule of {entry.name}{place}: {what}", site=site)


def check_buffers(entry: EntrySchedule) -> None:
    """What kernels touch is there, under one name each; data has the bytes of its type; dimensions are the entry's."""
    placed = {p.buffer for p in entry.arena}
    outputs = set(entry.results) & placed
    slices = {s.part for step in every_step(entry.steps) if isinstance(step, ScanStep) for s in step.slices}
    known = {
        "input": set(entry.inputs), "output": outputs, "data": set(entry.data), "arena": placed, "slice": slices,
    }  # fmt: skip
    states: dict[str, Buffer] = {}
    symbols = frozenset(entry.symbols)
    for kernel in entry.kernels:
        for buffer in kernel.buffers():
            if buffer.place == "state":
                if states.setdefault(buffer.name, buffer) != buffer:
                    raise fault(entry, f"{buffer.name} is {states[buffer.name].type} elsewhere", kernel)
            elif buffer not in known.get(buffer.place, ()):
                raise fault(entry, f"{buffer.name} is no {buffer.place} buffer that has a place", kernel)
            if not symbols.issuperset(symbols_of(*buffer.type.shape)):
                raise fault(entry, f"{buffer.name}: {buffer.type} has a dimension that no input binds", kernel)
    for buffer, content in entry.data.items():
        if buffer.type.size * buffer.type.dtype.itemsize != len(content):
            raise fault(entry, f"{buffer.name}: {buffer.type} has {len(content)} bytes of data")


def check_order(entry: EntrySchedule) -> None:
    """Memory is written before it is read; Variables by one step, after those that read what they held before."""
    order = Order(entry, {}, ())
    order.steps(entry.steps)
    for buffer in entry.results:
        if buffer not in order.writer:
            raise fault(entry, f"nothing writes {buffer.name}")
    written = {b.name for b in order.writer if b.place == "state"}
    if written != entry.written:
        names = ", ".join(sorted(written ^ entry.written))
        raise fault(entry, f"the Variables it writes are not those it says it updates: {names}")


class Order:
    """Who wrote what, so far, in one sequence of steps."""

    def __init__(self, entry: EntrySchedule, before: Mapping[Buffer, Step | None], carries: Sequence[Buffer]):
        """`before` is what holds a value from the start, and may not be written; `carries` do too, and may once."""
        self.entry, self.carries = entry, carries
        self.writer: dict[Buffer, Step | None] = dict(before)
        self.pieces: dict[tuple[Buffer, tuple[Size, ...]], Step] = {}

    def mutable(self, buffer: Buffer) -> bool:
        """Whether the buffer is state: it holds an old value until it is written."""
        return buffer.place == "state" or buffer in self.carries

    def steps(self, steps: Iterable[Step]) -> None:
        """Steps in order."""
        for step in steps:
            updated = {b.name for b in self.writer if self.mutable(b)}
            for name in step.reads_old:
                if name in updated:
                    raise self.fault(step, f"reads the old value of {name} after its update")
            match step:
                case Kernel():
                    self.kernel(step)
                case CondStep():
                    self.branches(step)
                case _:
                    self.loop(step)

    def kernel(self, kernel: Kernel) -> None:
        """A kernel's statements in order: it may read what it has written itself."""
        for statement in kernel.statements():
            match statement:
                case Load(access=access):
                    self.read(kernel, access.buffer)
                case Contract(lhs=lhs, rhs=rhs):
                    self.read(kernel, lhs.buffer)
                    self.read(kernel, rhs.buffer)
                case Sort(source=source, target=target):
                    self.read(kernel, source.buffer)
                    self.write(kernel, target.buffer)
                case Convolve(places=(into, lhs, rhs)):
                    self.read(kernel, lhs.buffer)
                    self.read(kernel, rhs.buffer)
                    self.write(kernel, into.buffer)
                case Store(access=access):
                    self.write(kernel, access.buffer, tuple(i.offset for i in access.index))

    def loop(self, step: ScanStep | WhileStep) -> None:
        """Carries hold a value before the first round; a round writes each carry and each slice at most once."""
        outside = touched(step)
        for buffer in outside.reads:
            self.read(step, buffer)
        for carry in step.carries:
            if self.writer.pop(carry, None) is None:
                raise self.fault(step, f"nothing writes {carry.name} before it")
        self.pieces = {piece: writer for piece, writer in self.pieces.items() if piece[0] not in step.carries}
        known = self.writer | dict.fromkeys(b for b in (*self.carries, *given(step)) if b not in step.carries)
        if isinstance(step, WhileStep):
            condition = Order(self.entry, known | dict.fromkeys(step.carries), ())
            condition.steps(step.condition)
            if step.test not in condition.writer:
                raise self.fault(step, f"nothing writes {step.test.name}")
        Order(self.entry, known, step.carries).steps(step.body)
        for buffer in outside.writes:
            self.write(step, buffer)

    def branches(self, step: CondStep) -> None:
        """What steps after a branch read, both branches write."""
        self.read(step, step.test)
        branches = []
        for part in (step.then, step.otherwise):
            branches.append(Order(self.entry, self.writer, self.carries))
            branches[-1].steps(part)
        for buffer in branches[0].writer:
            if buffer in branches[1].writer and buffer not in self.writer:
                self.write(step, buffer)

    def read(self, step: Step, buffer: Buffer) -> None:
        """A buffer that starts with garbage has been written."""
        if buffer.place in ("arena", "output", "slice") and buffer not in self.writer and not self.mutable(buffer):
            raise self.fault(step, f"reads {buffer.name} before it is written")

    def write(self, step: Step, buffer: Buffer, start: tuple[Size, ...] = ()) -> None:
        """A buffer, or each piece of it, is written by one step of a sequence."""
        known = buffer in self.writer and not any(b == buffer for b, _ in self.pieces)
        if known or self.pieces.setdefault((buffer, start), step) is not step:
            raise self.fault(step, f"{buffer.name} is written by another kernel too")
        self.writer[buffer] = step

    def fault(self, step: Step, what: str) -> InternalError:
        """The error about a step."""
        return fault(self.entry, what, step)


def given(step: ScanStep | WhileStep) -> list[Buffer]:
    """What a round finds in memory besides carries: the number of the round, and slices that it does not write."""
    if isinstance(step, WhileStep):
        return []
    written = {b for s in step.body for b in touched(s).writes}
    parts = [s.part for s in step.slices if s.part not in written]
    return parts if step.index is None else [*parts, step.index]


def check_arena(entry: EntrySchedule) -> None:
    """Every buffer has room, and starts above (directly or not) or below every other that is live with it."""
    order: dict[Buffer, int] = {}
    below: list[int] = []  # for each buffer by position, the positions below it as bits
    for place in entry.arena:
        buffer, bits = place.buffer, 0
        if place.size != align_up(buffer.type.size * buffer.type.dtype.itemsize, ALIGN):
            raise fault(entry, f"{buffer.name}: {buffer.type} has {place.size} bytes of the arena")
        for lower in place.above:
            if lower not in order:
                raise fault(entry, f"{buffer.name} lies above {lower.name}, which is not placed before it")
            bits |= 1 << order[lower] | below[order[lower]]
        if order.setdefault(buffer, len(order)) != len(below):
            raise fault(entry, f"{buffer.name} has two places in the arena")
        below.append(bits)
    spans = [(order[b], b, life) for b, life in lifetimes(entry.steps, entry.results).items()]
    for (i, a, life), (j, b, other) in combinations(spans, 2):
        if life.overlaps(other) and not (below[i] >> j | below[j] >> i) & 1:
            raise fault(entry, f"{a.name} and {b.name} are live together, but may overlap in the arena")
