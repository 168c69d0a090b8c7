"""The machine code of kernels: vectors and fused multiply-adds, and never a call."""

from __future__ import annotations

import re

import pytest

from graphc import ops
from graphc.codegen.entry import emit_body
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Module
from graphc.codegen.object import emit_assembly
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Scope
from graphc.ir.types import DType, TensorType, bool_, f32, f64, i64, u64
from graphc.ops.base import Booleans
from graphc.runtime.targets import Target, native, target
from graphc.schedule.layout import StateLayout
from graphc.schedule.program import EntrySchedule, schedule_entry
from tests.kernel_programs import layout, schedules
from tests.op_cases import elementwise_ops

TARGETS = {"native": native(), "x86-64-v3": target("x86-64-v3")}
N = symbol("N")

each_target = pytest.mark.parametrize("cpu", TARGETS)

pytestmark = pytest.mark.skipif(not native().triple.startswith("x86_64"), reason="speaks of x86-64's instructions")


def functions(entry: EntrySchedule, state: StateLayout, cpu: Target) -> dict[str, str]:
    """The assembly of each kernel of an entry, by label."""
    module = Module(cpu.triple, cpu.feature_text)
    emit_body(module, KernelLibrary(module, cpu), "body", entry, state)
    declared = re.findall(r"^declare .*@([\w.]+)\(", module.text(), re.MULTILINE)
    assert all(name.startswith("llvm.") for name in declared), declared
    text = emit_assembly(module.text(), cpu)
    found = re.findall(r"^k\d+\.(\w+):[^\n]*\n(.*?)^\.Lfunc_end", text, re.MULTILINE | re.DOTALL)
    assert len(found) == len({k.label for k in entry.kernels})
    return dict(found)


def mnemonics(assembly: str) -> set[str]:
    """The instructions of a function."""
    return set(re.findall(r"^\t([a-z]\w*)", assembly, re.MULTILINE))


def elementwise(op: ops.Elementwise, dtype: DType, cpu: Target) -> str:
    """The assembly of an op over a vector of symbolic length."""
    scope = Scope()
    types = [TensorType(bool_ if isinstance(s, Booleans) else dtype, (N,)) for s in op.samples]
    xs = tuple(scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types))
    entry = schedule_entry(Graph("f", scope, xs, (scope.node(op, *xs),)), {}, cpu)
    (assembly,) = functions(entry, StateLayout(()), cpu).values()
    return assembly


@each_target
def test_a_layer_is_fused_multiply_adds_on_full_vectors_without_calls(cpu: str) -> None:
    chosen = TARGETS[cpu]
    if not chosen.fma:
        pytest.skip("has no fused multiply-add")
    (assembly,) = functions(schedules(chosen)["layer"], layout(), chosen).values()
    register = "zmm" if chosen.masks else "ymm"
    assert re.search(rf"vfmadd\d+ps\t.*%{register}", assembly)
    assert not re.search(r"vfmadd\d+ss", assembly)
    assert "call" not in assembly


@each_target
@pytest.mark.parametrize("name", ["softmax", "long_rows", "step", "embed"])
def test_no_kernel_calls_anything(name: str, cpu: str) -> None:
    for label, assembly in functions(schedules(TARGETS[cpu])[name], layout(), TARGETS[cpu]).items():
        assert "call" not in assembly, label


#: AVX2 has no conversions between floats and 64-bit integers.
WITHOUT_INSTRUCTION = (ops.Cast(i64), ops.Cast(u64))

VECTORISED = [
    pytest.param(op, dtype, id=f"{op.mnemonic()}-{dtype}-{i}")
    for i, op in enumerate(elementwise_ops())
    for dtype in (f32, f64)
    if dtype in op.dtypes and op not in WITHOUT_INSTRUCTION
]

#: Scalar arithmetic on floats; a loop that has it was unrolled lane by lane.
SCALAR = re.compile(r"v?(add|sub|mul|div|sqrt|fn?m(add|sub)\d+|max|min|roundscale|round|rndscale)s[sd]")


@each_target
@pytest.mark.parametrize(("op", "dtype"), VECTORISED)
def test_elementwise_loops_have_no_scalar_fallback(op: ops.Elementwise, dtype: DType, cpu: str) -> None:
    assembly = elementwise(op, dtype, TARGETS[cpu])
    assert "call" not in assembly
    assert not [m for m in mnemonics(assembly) if SCALAR.fullmatch(m)]
