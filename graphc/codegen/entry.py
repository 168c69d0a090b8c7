"""The bodies of entries: a function that calls the kernels in order, and one that says how much workspace it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.codegen.address import Sizes
from graphc.codegen.kernels import emit_kernel
from graphc.codegen.llvm import Builder, Module, Value
from graphc.ir.dim import symbols_of
from graphc.ir.types import TensorType
from graphc.runtime.targets import Target
from graphc.schedule.kernel import Buffer, Kernel
from graphc.schedule.layout import StateLayout
from graphc.schedule.memory import Placement
from graphc.schedule.program import EntrySchedule


@dataclass
class KernelLibrary:
    """The kernels of a module, one function for all that differ only in where their buffers are."""

    module: Module
    target: Target
    _functions: dict[Kernel, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def call(self, b: Builder, kernel: Kernel, pointers: Mapping[Buffer, Value], symbols: Mapping[str, Value]) -> None:
        """Emit a call of the kernel, and the kernel where it is new."""
        buffers = kernel.buffers()
        canonical = Kernel("", kernel.renamed(dict(zip(buffers, anonymous(buffers), strict=True))).body)
        if canonical not in self._functions:
            self._functions[canonical] = self._emit(kernel.label, canonical)
        name, names = self._functions[canonical]
        b.call(name, "void", *(pointers[buffer] for buffer in buffers), *(symbols[n] for n in names))

    def _emit(self, label: str, kernel: Kernel) -> tuple[str, tuple[str, ...]]:
        name = f"k{len(self._functions)}.{label}"
        buffers = kernel.buffers()
        used = tuple(s.name for s in symbols_of(*kernel.sizes()))
        parameters = [("ptr noalias", f"b{i}") for i in range(len(buffers))] + [("i64", f"s.{n}") for n in used]
        b = Builder(self.module, name, parameters)
        pointers = dict(zip(buffers, b.arguments, strict=False))
        symbols = dict(zip(used, b.arguments[len(buffers) :], strict=True))
        emit_kernel(b, self.target, kernel, pointers, symbols)
        b.ret()
        return name, used


def anonymous(buffers: Sequence[Buffer]) -> list[Buffer]:
    """Buffers by position, with only what the code depends on."""
    types = [b.type if b.panel else TensorType(b.type.dtype) for b in buffers]
    return [Buffer(f"b{i}", type_, "arena", b.panel) for i, (type_, b) in enumerate(zip(types, buffers, strict=True))]


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
    """`void name(state, workspace, symbols, inputs, outputs)`: run the entry's kernels; nothing is checked."""
    b = Builder(module, name, body_parameters(entry), linkage=linkage)
    state, workspace, *rest = b.arguments
    symbols = {s.name: v for s, v in zip(entry.symbols, rest, strict=False)}
    arguments = rest[len(symbols) :]
    pointers = {slot.buffer: b.gep("i8", state, b.i64(slot.offset)) for slot in layout.slots}
    pointers |= dict(zip(entry.inputs, arguments, strict=False))
    for i, (buffer, content) in enumerate(entry.data.items()):
        pointers[buffer] = module.constant_bytes(f"{name}.data{i}", content)
    places, _ = emit_places(b, Sizes(b, symbols), entry.arena)
    for buffer, start in places.items():
        pointers[buffer] = b.gep("i8", workspace, start)
    for buffer, given in zip(entry.outputs, arguments[len(entry.inputs) :], strict=True):
        missing = b.icmp("eq", given, Value("ptr", "null"))
        pointers[buffer] = b.select(missing, pointers[buffer], given)
    for kernel in entry.kernels:
        library.call(b, kernel, pointers, symbols)
    b.ret()


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

