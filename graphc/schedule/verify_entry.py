"""The invariants of an entry's schedule: every buffer has a place of its own, and is written before it is read."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from graphc.errors import InternalError
from graphc.ir.dim import align_up, symbols_of
from graphc.schedule.kernel import Buffer, Contract, Kernel, Load, Store
from graphc.schedule.memory import ALIGN, lifetimes
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


def fault(entry: EntrySchedule, what: str, kernel: Kernel | None = None) -> InternalError:
    """The error about an entry, or one of its kernels."""
    place = f", kernel {word(kernel.label)}" if kernel is not None else ""
    site = kernel.sites[0] if kernel is not None and kernel.sites else None
    return InternalError(f"schedule of {entry.name}{place}: {what}", site=site)


def check_buffers(entry: EntrySchedule) -> None:
    """What kernels touch is there, under one name each; data has the bytes of its type; dimensions are the entry's."""
    placed = {p.buffer for p in entry.arena}
    outputs = set(entry.outputs) & placed
    known = {"input": set(entry.inputs), "output": outputs, "data": set(entry.data), "arena": placed}
    states: dict[str, Buffer] = {}
    symbols = frozenset(entry.symbols)
    for kernel in entry.kernels:
        for buffer in kernel.buffers():
            if buffer.place == "state":
                if states.setdefault(buffer.name, buffer) != buffer:
                    raise fault(entry, f"{buffer.name} is {states[buffer.name].type} elsewhere", kernel)
            elif buffer not in known[buffer.place]:
                raise fault(entry, f"{buffer.name} is no {buffer.place} buffer that has a place", kernel)
            if not symbols.issuperset(symbols_of(*buffer.type.shape)):
                raise fault(entry, f"{buffer.name}: {buffer.type} has a dimension that no input binds", kernel)
    for buffer, content in entry.data.items():
        if buffer.type.size * buffer.type.dtype.itemsize != len(content):
            raise fault(entry, f"{buffer.name}: {buffer.type} has {len(content)} bytes of data")


def check_order(entry: EntrySchedule) -> None:
    """Memory is written before it is read; Variables by one kernel, after those that read what they held before."""
    writer: dict[Buffer, Kernel] = {}
    for kernel in entry.kernels:
        updated = {b.name for b in writer if b.place == "state"}
        for name in kernel.reads_old:
            if name in updated:
                raise fault(entry, f"reads the old value of {name} after its update", kernel)
        for statement in kernel.statements():
            match statement:
                case Load(access=access):
                    check_written(entry, kernel, access.buffer, writer)
                case Contract(lhs=lhs, rhs=rhs):
                    check_written(entry, kernel, lhs.buffer, writer)
                    check_written(entry, kernel, rhs.buffer, writer)
                case Store(access=access):
                    if writer.setdefault(access.buffer, kernel) is not kernel:
                        raise fault(entry, f"{access.buffer.name} is written by another kernel too", kernel)
    for buffer in entry.outputs:
        if buffer not in writer:
            raise fault(entry, f"nothing writes {buffer.name}")
    written = {b.name for b in writer if b.place == "state"}
    if written != entry.written:
        names = ", ".join(sorted(written ^ entry.written))
        raise fault(entry, f"the Variables it writes are not those it says it updates: {names}")


def check_written(entry: EntrySchedule, kernel: Kernel, buffer: Buffer, writer: dict[Buffer, Kernel]) -> None:
    """A buffer that starts with garbage has been written."""
    if buffer.place in ("arena", "output") and buffer not in writer:
        raise fault(entry, f"reads {buffer.name} before it is written", kernel)


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
    spans = [(order[b], b, life) for b, life in lifetimes(entry.kernels, entry.outputs).items()]
    for (i, a, life), (j, b, other) in combinations(spans, 2):
        if life.overlaps(other) and not (below[i] >> j | below[j] >> i) & 1:
            raise fault(entry, f"{a.name} and {b.name} are live together, but may overlap in the arena")
