"""The kernels of a module, each emitted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphc.codegen.kernels import emit_kernel
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import symbols_of
from graphc.ir.types import TensorType
from graphc.runtime.targets import Target
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import Kernel


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
