"""Matmul kernels on their own: emitted by `emit_matmul`, compiled by LLVM's JIT, called on NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.codegen.matmul import Epilogue, Operand, emit_matmul
from graphc.codegen.matmul_tile import ELEMENT
from graphc.runtime.targets import Target
from graphc.schedule.tiles import Layout, TilePlan, plan_matmul

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64}
Array = np.ndarray[Any, Any]


@cache
def initialise() -> None:
    """Register LLVM's native target once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


class Compiled:
    """A module in this process's memory."""

    def __init__(self, module: Module, target: Target, level: int = 2):
        initialise()
        parsed = llvm.parse_assembly(module.text())
        parsed.verify()
        machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu="x86-64", features=target.feature_text, opt=level, reloc="pic", codemodel="small"
        )
        self.assembly = machine.emit_assembly(parsed)
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function is."""
        return int(self._engine.get_function_address(name))


def pack_panels(matrix: Array, width: int) -> Array:
    """[R, C] as ceil(C / width) panels of R x width, zero padded, flat."""
    rows, cols = matrix.shape
    padded = np.zeros((rows, -(-cols // width) * width), matrix.dtype)
    padded[:, :cols] = matrix
    return np.ascontiguousarray(padded.reshape(rows, -(-cols // width), width).swapaxes(0, 1)).ravel()


def aligned(size: int, dtype: Any) -> Array:
    """A flat array of 0xFF bytes whose address is a multiple of 64, as an arena's buffers are."""
    size *= np.dtype(dtype).itemsize
    room = np.full(size + 64, 0xFF, np.uint8)
    skip = -room.ctypes.data % 64
    return room[skip : skip + size].view(dtype)


def stored(matrix: Array, layout: Layout, panel: int) -> Array:
    """The memory of an operand in a layout."""
    if layout.endswith("transposed"):
        matrix = matrix.T
    flat = pack_panels(matrix, panel) if layout.startswith("panel") else matrix.ravel()
    memory = aligned(flat.size, flat.dtype)
    memory[:] = flat
    return memory


@dataclass(frozen=True)
class Case:
    """A kernel to build: m, n and k (None = symbolic), layouts, type; the plan, or what the planner is told."""

    target: Target
    sizes: tuple[int | None, int | None, int | None]
    a: Layout = "row"
    b: Layout = "row"
    dtype: str = "f32"
    plan: TilePlan | None = None
    typical: int = 32
    cost: int = 3

    def planned(self) -> TilePlan:
        """The plan given, or the planner's."""
        return self.plan or plan_matmul(
            self.target, self.dtype, *self.sizes, self.a, self.b,
            typical=self.typical, epilogue_cost=self.cost,
        )  # fmt: skip


def store_epilogue(pointer: Value, n: Value, element: str) -> Epilogue:
    """C row major, stored as it is."""

    def store(b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None) -> None:
        target = b.gep(element, pointer, b.add(b.mul(i, n), j))
        if mask is None:
            b.store(accumulator, target)
        else:
            b.masked_store(accumulator, target, mask)

    return store


MakeEpilogue = Callable[[Value, Value, str], Epilogue]


@dataclass
class Kernel:
    """A compiled case: call it with logical matrices, or `run` it on pointers."""

    case: Case
    make_epilogue: MakeEpilogue = store_epilogue
    panel: int = 16
    level: int = 2
    compiled: Compiled = field(init=False)
    plan: TilePlan = field(init=False)

    def __post_init__(self) -> None:
        case, plan = self.case, self.case.planned()
        self.plan = plan
        module = Module(case.target.triple, case.target.feature_text)
        pointers = [("ptr noalias", name) for name in ("a", "b", "c", "scratch")]
        builder = Builder(module, "kernel", [*pointers, ("i64", "m"), ("i64", "n"), ("i64", "k"), ("i64", "repeat")],
                          linkage="")  # fmt: skip
        a, b, c, scratch, *sizes, repeat = builder.arguments
        m, n, k = (s if f is None else builder.i64(f) for s, f in zip(sizes, case.sizes, strict=True))
        epilogue = self.make_epilogue(c, n, ELEMENT[case.dtype])
        with builder.loop(builder.i64(0), repeat):
            emit_matmul(
                builder, case.target, case.dtype, m, n, k,
                self.operand(a, case.a, m, k), self.operand(b, case.b, k, n), plan, epilogue, scratch,
            )  # fmt: skip
        builder.ret()
        self.text = module.text()
        self.compiled = Compiled(module, case.target, self.level)
        kinds = [ctypes.c_void_p] * 4 + [ctypes.c_int64] * 4
        self.run = ctypes.CFUNCTYPE(None, *kinds)(self.compiled.address("kernel"))

    def operand(self, pointer: Value, layout: Layout, rows: Value, cols: Value) -> Operand:
        """An operand of logical size rows x cols."""
        r, c = (cols, rows) if layout.endswith("transposed") else (rows, cols)
        if layout.startswith("panel"):
            return Operand(pointer, layout, panel=self.panel, rows=r)
        return Operand(pointer, layout, stride=c)

    def scratch(self, k: int) -> Array:
        """Scratch of just the planned size."""
        return aligned(self.plan.scratch_bytes(k), np.uint8)

    def __call__(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """a @ b, or what the epilogue makes of it in `out`."""
        (m, k), n = a.shape, b.shape[1]
        left, right = stored(a, self.case.a, self.panel), stored(b, self.case.b, self.panel)
        c = np.full((m, n), 77, a.dtype) if out is None else out
        scratch = self.scratch(k)
        self.run(left.ctypes.data, right.ctypes.data, c.ctypes.data, scratch.ctypes.data, m, n, k, 1)
        return c
