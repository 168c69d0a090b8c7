"""Compiling single graphs for tests: the real schedule, code generator and linker, without the C ABI around them."""

from __future__ import annotations

import _ctypes
import ctypes
import itertools
import math
import os
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from graphc.codegen.address import Sizes
from graphc.codegen.entry import emit_body, emit_places
from graphc.codegen.library import KernelLibrary
from graphc.codegen.link import link_shared
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.object import emit_object
from graphc.ir.binding import bind_symbols
from graphc.ir.dim import evaluate
from graphc.ir.graph import Graph
from graphc.ir.interp import Evaluation
from graphc.ir.node import Array, Read
from graphc.ir.types import FROM_NUMPY, TensorType
from graphc.ops.base import numbers
from graphc.runtime.targets import Target, native
from graphc.schedule.access import Buffer
from graphc.schedule.layout import Slot, StateLayout, lay_out, panels_for
from graphc.schedule.program import EntrySchedule, schedule_entry

COUNTER = itertools.count()

#: Gives so many bytes of memory.
Allocator = Callable[[int], Array]


class CompiledGraph:
    """One graph as machine code in this process."""

    def __init__(
        self, graph: Graph, state: Mapping[str, TensorType], target: Target | None = None,
        panels: Mapping[str, int] | None = None,
    ):  # fmt: skip
        """`panels` says which Variables are packed, how wide; by default as the compiler chooses."""
        self.graph, self.target = graph, target or native()
        if panels is None:
            panels = panels_for([graph], {})
        self.layout: StateLayout = lay_out([(n, t, True) for n, t in state.items()], panels)
        self.entry: EntrySchedule = schedule_entry(graph, self.layout.buffers, self.target)
        self.text = self.emit()
        name = f"graph{next(COUNTER)}"
        binary = link_shared(emit_object(self.text, self.target), ["body", "workspace"], name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.so"
            path.write_bytes(binary)
            self.library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        weakref.finalize(self, _ctypes.dlclose, self.library._handle).atexit = False

    def emit(self) -> str:
        """The LLVM module: `body` and `workspace`."""
        module = Module(self.target.triple, self.target.feature_text)
        emit_body(module, KernelLibrary(module, self.target), "body", self.entry, self.layout, linkage="")
        names = [s.name for s in self.entry.symbols]
        b = Builder(module, "workspace", [("i64", n) for n in names], "i64", linkage="")
        _, total = emit_places(b, Sizes(b, dict(zip(names, b.arguments, strict=True))), self.entry.arena)
        b.ret(total)
        return module.text()

    def __call__(
        self, inputs: Sequence[Array], state: Mapping[str, Array], allocate: Allocator | None = None
    ) -> Evaluation:
        """Run on arguments and the values of Variables, everything in memory that `allocate` gives."""
        place = allocate or aligned
        arguments = [copied(place, np.asarray(x)) for x in inputs]
        values = bind_symbols(self.graph.inputs, arguments)
        symbols = [ctypes.c_int64(values[s.name]) for s in self.entry.symbols]
        workspace_of = self.library["workspace"]
        workspace_of.restype = ctypes.c_int64
        workspace = place(workspace_of(*symbols))
        memory = place(self.layout.bytes)
        for slot in self.layout.slots:
            pack(memory, slot, state[slot.name])
        outputs = [array_of(place, n.type.bind(values)) for n in self.graph.outputs]
        arrays = (memory, workspace, *arguments, *outputs)
        state_at, workspace_at, *rest = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
        self.library["body"](state_at, workspace_at, *symbols, *rest)
        slots = {slot.name: slot for slot in self.layout.slots}
        updates = {name: unpack(memory, slots[name]) for name, _ in self.graph.updates}
        return Evaluation(tuple(a.copy() for a in outputs), updates)


def array_of(allocate: Allocator, type_: TensorType) -> Array:
    """An array of a type in memory of our choice, with arbitrary contents."""
    shape = numbers(type_.shape)
    return allocate(math.prod(shape) * type_.dtype.itemsize).view(type_.dtype.numpy).reshape(shape)


def copied(allocate: Allocator, value: Array) -> Array:
    """A copy of an array in memory of our choice."""
    place = array_of(allocate, TensorType(FROM_NUMPY[value.dtype], value.shape))
    place[...] = value
    return place


def aligned(size: int) -> Array:
    """Bytes that start at a multiple of 64, filled with a pattern that no code should depend on."""
    raw = np.full(size + 64, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def panels_of(value: Array, width: int) -> Array:
    """A matrix in panels, zero-padded."""
    rows, columns = value.shape
    padded = np.zeros((rows, -(-columns // width) * width), value.dtype)
    padded[:, :columns] = value
    return np.ascontiguousarray(padded.reshape(rows, -1, width).transpose(1, 0, 2))


def pack(memory: Array, slot: Slot, value: Array) -> None:
    """Write a Variable's value to its place."""
    value = np.asarray(value, slot.type.dtype.numpy).reshape(numbers(slot.type.shape))
    content = (panels_of(value, slot.panel) if slot.panel else np.ascontiguousarray(value)).tobytes()
    memory[slot.offset : slot.offset + slot.bytes] = 0
    memory[slot.offset : slot.offset + len(content)] = np.frombuffer(content, np.uint8)


def unpack(memory: Array, slot: Slot) -> Array:
    """Read a Variable's value from its place."""
    raw = memory[slot.offset : slot.offset + slot.bytes].tobytes()
    shape = numbers(slot.type.shape)
    if not slot.panel:
        return np.frombuffer(raw, slot.type.dtype.numpy, math.prod(shape)).reshape(shape).copy()
    rows, columns = shape
    panels = np.frombuffer(raw, slot.type.dtype.numpy).reshape(-1, rows, slot.panel)
    return np.ascontiguousarray(panels.transpose(1, 0, 2).reshape(rows, -1)[:, :columns])


def run_compiled(
    graph: Graph,
    inputs: Sequence[Array],
    state: Mapping[str, Array],
    target: Target | None = None,
    allocate: Allocator | None = None,
) -> Evaluation:
    """Compile a graph and run it once."""
    types = {n.op.variable: n.type for n in graph.nodes() if isinstance(n.op, Read)}
    return CompiledGraph(graph, types, target)(inputs, state, allocate)


def arena_bytes(entry: EntrySchedule, symbols: Mapping[str, int] | None = None) -> int:
    """The bytes of the workspace that a schedule needs, for sizes of its symbols."""
    ends: dict[Buffer, int] = {}
    for placement in entry.arena:
        start = max((ends[b] for b in placement.above), default=0)
        ends[placement.buffer] = start + evaluate(placement.size, symbols or {})
    return max(ends.values(), default=0)
