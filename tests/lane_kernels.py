"""Elementwise functions of `Lanes` compiled in memory, for the tests and benchmarks of vector math."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from graphc.codegen.lanes import Lanes
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.runtime.targets import V2, V3, V4, Target, cpu_flags, x86

DTYPES: dict[str, Any] = {
    "f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u32": np.uint32,
    "u64": np.uint64, "bool": np.bool_,
}  # fmt: skip

#: The targets to test, those that this machine runs.
TARGETS = {
    name: x86(name, features)
    for name, features, flag in (
        ("baseline", (), "sse2"), ("x86-64-v2", V2, "sse4_2"), ("x86-64-v3", V3, "avx2"), ("x86-64-v4", V4, "avx512vl")
    )
    if flag in cpu_flags()
}  # fmt: skip

Emit = Callable[..., Value]


@cache
def initialised() -> None:
    """Set LLVM up, once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def module_text(emit: Emit, operands: Sequence[str], result: str, lanes: int, target: Target) -> str:
    """`f(out, in…, n)` that applies `emit` to vectors of lanes; n is a multiple of them."""
    module = Module(target.triple, target.feature_text)
    pointers = [("ptr noalias", f"in{i}") for i in range(len(operands))]
    b = Builder(module, "f", [("ptr noalias", "out"), *pointers, ("i64", "n")], linkage="")
    out, *inputs, n = b.arguments
    memory = {"bool": "u8"}
    with b.loop(b.i64(0), n, lanes) as loop:
        values = []
        for dtype, pointer in zip(operands, inputs, strict=True):
            stored = Lanes(b, memory.get(dtype, dtype), lanes, target)
            scalar = stored.of(stored.dtype).type.split(" x ")[-1].rstrip(">")
            values.append(stored.cast(b.load(stored.type, b.gep(scalar, pointer, loop.index)), dtype))
        e = Lanes(b, operands[0], lanes, target)
        value = e.of(result).cast(emit(e, *values), memory.get(result, result))
        scalar = value.type.split(" x ")[-1].rstrip(">")
        b.store(value, b.gep(scalar, out, loop.index))
    b.ret()
    return module.text()


class Kernel:
    """A compiled elementwise function: call it with arrays."""

    def __init__(self, emit: Emit, operands: Sequence[str], result: str, lanes: int, target: Target):
        initialised()
        self.lanes, self.result = lanes, DTYPES[result]
        parsed = llvm.parse_assembly(module_text(emit, operands, result, lanes, target))
        parsed.verify()
        machine = llvm.Target.from_triple(target.triple).create_target_machine(opt=1, reloc="pic", codemodel="default")
        self.assembly: str = machine.emit_assembly(parsed)
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()
        signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(operands) + 1), ctypes.c_int64)
        self.function = signature(self._engine.get_function_address("f"))
        self._operands = [DTYPES[d] for d in operands]

    def __call__(self, *arrays: Any) -> np.ndarray[Any, Any]:
        """The function of every element; arrays are padded to whole vectors."""
        count = len(arrays[0])
        padded = [
            np.concatenate([np.asarray(a, d), np.ones(-count % self.lanes, d)])
            for a, d in zip(arrays, self._operands, strict=True)
        ]
        out = np.empty(len(padded[0]), self.result)
        self.function(out.ctypes.data, *[a.ctypes.data for a in padded], len(out))
        return out[:count]


@cache
def named(name: str, dtype: str, lanes: int, target: str, operands: int = 1) -> Kernel:
    """`Lanes.name` of operands of one dtype, its result of the same."""
    return Kernel(lambda e, *x: getattr(e, name)(*x), [dtype] * operands, dtype, lanes, TARGETS[target])
