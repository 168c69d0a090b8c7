"""The bodies of entries: a function that runs the steps in order, on buffers of which it knows where they start."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.address import Sizes
from graphc.codegen.guards import status
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.codegen.steps import StepEmitter
from graphc.runtime.status import Status
from graphc.schedule.access import Buffer
from graphc.schedule.layout import StateLayout
from graphc.schedule.memory import Placement
from graphc.schedule.program import EntrySchedule


def body_parameters(entry: EntrySchedule) -> list[tuple[str, str]]:
    """state, workspace, symbols, inputs, outputs."""
    return [
        ("ptr", "state"),
        ("ptr", "workspace"),
        *[("i64", f"s.{s.name}") for s in entry.symbols],
        *[("ptr", f"in{i}") for i in range(len(entry.inputs))],
        *[("ptr", f"out{i}") for i in range(len(entry.outputs))],
    ]


def emit_body(
    module: Module,
    library: KernelLibrary,
    name: str,
    entry: EntrySchedule,
    layout: StateLayout,
    linkage: str = "internal",
) -> None:
    """`void name(state, workspace, symbols, inputs, outputs)`: run the entry's kernels; no argument is checked.

    Where the entry has a flag, it returns a status: whether the numbers went bad.
    """
    returns = "void" if entry.flag is None else "i32"
    b = Builder(module, name, body_parameters(entry), returns, linkage=linkage)
    state, workspace, *rest = b.arguments
    symbols = {s.name: v for s, v in zip(entry.symbols, rest, strict=False)}
    arguments = rest[len(symbols) :]
    pointers = {slot.buffer: b.gep("i8", state, b.i64(slot.offset)) for slot in layout.slots}
    pointers |= dict(zip(entry.inputs, arguments, strict=False))
    for i, (buffer, content) in enumerate(entry.data.items()):
        pointers[buffer] = module.constant_bytes(f"{name}.data{i}", content)
    sizes = Sizes(b, symbols)
    places, _ = emit_places(b, sizes, entry.arena)
    for buffer, start in places.items():
        pointers[buffer] = b.gep("i8", workspace, start)
    for buffer, given in zip(entry.outputs, arguments[len(entry.inputs) :], strict=True):
        missing = b.icmp("eq", given, Value("ptr", "null"))
        pointers[buffer] = b.select(missing, pointers[buffer], given)
    steps = StepEmitter(b, library, sizes, pointers)
    steps.entry(entry.steps)
    b.ret(None if entry.flag is None else b.select(steps.holds(entry.flag), status(Status.NUMERICS), status(Status.OK)))


def emit_places(b: Builder, sizes: Sizes, arena: Sequence[Placement]) -> tuple[dict[Buffer, Value], Value]:
    """Where each arena buffer starts, and where the last one ends, in bytes."""
    starts: dict[Buffer, Value] = {}
    ends: dict[Buffer, Value] = {}
    for placement in arena:
        start = b.i64(0)
        for below in placement.above:
            start = b.maximum(start, ends[below])
        starts[placement.buffer] = start
        ends[placement.buffer] = b.add(start, sizes(placement.size))
    total = b.i64(0)
    for end in ends.values():
        total = b.maximum(total, end)
    return starts, total

