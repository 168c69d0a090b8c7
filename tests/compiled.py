"""Compiling single graphs for tests: the real schedule, code generator and linker, without the C ABI around them."""

from __future__ import annotations

import ctypes
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from graphc.codegen.address import Sizes
from graphc.codegen.entry import KernelLibrary, emit_body, emit_places
from graphc.codegen.link import link_shared
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.object import emit_object
from graphc.ir.binding import bind_symbols
from graphc.ir.graph import Graph
from graphc.ir.interp import Evaluation
from graphc.ir.node import Array, Read
from graphc.ir.types import TensorType
from graphc.runtime.targets import Target, native
from graphc.schedule.layout import StateLayout, lay_out, panels_for
from graphc.schedule.program import EntrySchedule, schedule_entry

COUNTER = itertools.count()


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

    def emit(self) -> str:
        """The LLVM module: `body` and `workspace`."""
        module = Module(self.target.triple, self.target.feature_text)
        emit_body(module, KernelLibrary(module, self.target), "body", self.entry, self.layout, linkage="")
        names = [s.name for s in self.entry.symbols]
        b = Builder(module, "workspace", [("i64", n) for n in names], "i64", linkage="")
        _, total = emit_places(b, Sizes(b, dict(zip(names, b.arguments, strict=True))), self.entry.arena)
        b.ret(total)
        return module.text()

    def __call__(self, inputs: Sequence[Array], state: Mapping[str, Array]) -> Evaluation:
        """Run on arguments and the values of Variables."""
        arguments = [np.asarray(x, order="C") for x in inputs]
        values = bind_symbols(self.graph.inputs, arguments)
        symbols = [ctypes.c_int64(values[s.name]) for s in self.entry.symbols]
        workspace_of = self.library["workspace"]
        workspace_of.restype = ctypes.c_int64
        workspace = aligned(workspace_of(*symbols))
        memory = aligned(self.layout.bytes)
        for slot in self.layout.slots:
            pack(memory, slot, state[slot.name])
        outputs = [np.empty(n.type.bind(values).shape, n.type.dtype.numpy) for n in self.graph.outputs]
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (memory, workspace)]
        self.library["body"](
            *pointers, *symbols, *(ctypes.c_void_p(a.ctypes.data) for a in (*arguments, *outputs))
        )
        updates = {name: unpack(memory, s) for s in self.layout.slots for name, _ in self.graph.updates if s.name == name}
        return Evaluation(tuple(outputs), updates)


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


def pack(memory: Array, slot, value: Array) -> None:  # type: ignore[no-untyped-def]
    """Write a Variable's value to its place."""
    value = np.asarray(value, slot.type.dtype.numpy).reshape(slot.type.shape)
    content = (panels_of(value, slot.panel) if slot.panel else np.ascontiguousarray(value)).tobytes()
    memory[slot.offset : slot.offset + slot.bytes] = 0
    memory[slot.offset : slot.offset + len(content)] = np.frombuffer(content, np.uint8)


def unpack(memory: Array, slot) -> Array:  # type: ignore[no-untyped-def]
    """Read a Variable's value from its place."""
    raw = memory[slot.offset : slot.offset + slot.bytes].tobytes()
    if not slot.panel:
        count = int(np.prod(slot.type.shape, dtype=np.int64))
        return np.frombuffer(raw, slot.type.dtype.numpy, count).reshape(slot.type.shape).copy()
    rows, columns = slot.type.shape
    panels = np.frombuffer(raw, slot.type.dtype.numpy).reshape(-1, rows, slot.panel)
    return np.ascontiguousarray(panels.transpose(1, 0, 2).reshape(rows, -1)[:, :columns])


def run_compiled(graph: Graph, inputs: Sequence[Array], state: Mapping[str, Array]) -> Evaluation:
    """Compile a graph and run it once."""
    types = {n.op.variable: n.type for n in graph.nodes() if isinstance(n.op, Read)}
    return CompiledGraph(graph, types)(inputs, state)
