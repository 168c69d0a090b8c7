"""The C ABI of an entry: checks, the body, its loops. Everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from graphc.codegen.address import Sizes
from graphc.codegen.entry import KernelLibrary, emit_body, emit_places
from graphc.codegen.guards import (
    check_at_least,
    check_pointer,
    check_range,
    check_state,
    check_symbol,
    is_misaligned,
    is_null,
    refuse,
    status,
    too_large,
)
from graphc.codegen.llvm import Builder, Module, Value
from graphc.ir.dim import Dim, Size, Symbol
from graphc.runtime.signature import ALIGN
from graphc.runtime.status import Status
from graphc.schedule.layout import StateLayout
from graphc.schedule.program import EntrySchedule

HEAD = [("ptr", "state"), ("ptr", "workspace"), ("i64", "bytes")]


@dataclass(frozen=True)
class EntryAbi:
    """What the exported functions of an entry need to know besides its schedule."""

    schedule: EntrySchedule
    symbol: str
    ranges: tuple[tuple[int, int] | None, ...]  # of each input's values, where it is an index
    minimums: tuple[tuple[Size, int], ...]  # sizes that must not be smaller
    batch: str | None  # the symbol that minibatches run over

    @property
    def pure(self) -> bool:
        """Whether it leaves the state alone."""
        return not self.schedule.written

    @cached_property
    def batched(self) -> tuple[bool, ...]:
        """Which inputs have the batch dimension (as their first)."""
        return tuple(depends(b.type.shape[:1], self.batch) for b in self.schedule.inputs)

    @property
    def has_epoch(self) -> bool:
        """Whether minibatches can be cut from its inputs, and its results averaged."""
        later = [s for b in self.schedule.inputs for s in b.type.shape[1:]]
        first = [b.type.shape[0] for b, batched in zip(self.schedule.inputs, self.batched, strict=True) if batched]
        results = [b.type for b in self.schedule.outputs]
        return (
            not self.pure
            and bool(first)
            and all(isinstance(s, Dim) and s.text == self.batch for s in first)
            and not depends(later, self.batch)
            and all(t.dtype.is_float and not depends(t.shape, self.batch) for t in results)
        )


def depends(sizes: Sequence[Size], symbol: str | None) -> bool:
    """Whether any of the sizes changes with the symbol."""
    return any(isinstance(s, Dim) and any(f.name == symbol for f in s.symbols) for s in sizes)


class EntryEmitter:
    """Emits the exported functions of one entry."""

    def __init__(self, module: Module, library: KernelLibrary, layout: StateLayout, abi: EntryAbi):
        self.module, self.layout, self.abi, self.entry = module, layout, abi, abi.schedule
        self.body = f"{self.entry.name}.body"
        emit_body(module, library, self.body, self.entry, layout)

    def emit(self) -> list[str]:
        """The functions; returns their names."""
        name = self.abi.symbol
        names = [self.workspace_bytes(f"{name}_workspace_bytes"), self.call(name)]
        if not self.abi.pure:
            names.append(self.repeat(f"{name}_repeat"))
        return names

    # -- arguments --------------------------------------------------------------------------------------------------

    def symbol_parameters(self, symbols: Sequence[Symbol]) -> list[tuple[str, str]]:
        """Dimensions as arguments."""
        return [("i64", f"s.{s.name}") for s in symbols]

    def array_parameters(self) -> list[tuple[str, str]]:
        """Inputs, then outputs."""
        inputs = [("ptr", f"in{i}") for i in range(len(self.entry.inputs))]
        return inputs + [("ptr", f"out{i}") for i in range(len(self.entry.outputs))]

    def symbol_values(self, symbols: Sequence[Symbol], values: Sequence[Value]) -> dict[str, Value]:
        """Dimensions by name."""
        return {s.name: v for s, v in zip(symbols, values, strict=False)}

    def memory_sizes(self) -> list[Size]:
        """The sizes in bytes of everything the entry touches."""
        buffers = (*self.entry.inputs, *self.entry.outputs)
        return [p.size for p in self.entry.arena] + [prod(b.type.shape) * b.type.dtype.itemsize for b in buffers]

    # -- functions --------------------------------------------------------------------------------------------------

    def workspace_bytes(self, name: str) -> str:
        """Dimensions -> bytes; SIZE_MAX where a dimension is not one that the entry takes."""
        b = Builder(self.module, name, self.symbol_parameters(self.entry.symbols), "i64", linkage="")
        sizes = Sizes(b, self.symbol_values(self.entry.symbols, b.arguments))
        invalid = too_large(b, sizes, self.memory_sizes())
        for symbol in self.entry.symbols:
            value = sizes.symbols[symbol.name]
            invalid = b.binary("or", invalid, b.icmp("slt", value, b.i64(symbol.min)))
            if symbol.max is not None:
                invalid = b.binary("or", invalid, b.icmp("sgt", value, b.i64(symbol.max)))
        _, total = emit_places(b, sizes, self.entry.arena)
        b.ret(b.select(invalid, b.i64(-1), total))
        return name

    def call(self, name: str) -> str:
        """The entry itself."""
        b, arguments = self.checked(name, [])
        b.call(self.body, "void", *arguments)
        b.ret(status(Status.OK))
        return name

    def repeat(self, name: str) -> str:
        """The entry, n times on the same arguments."""
        b, arguments = self.checked(name, [("i64", "n")])
        count = b.arguments[-1]
        refuse(b, b.icmp("slt", count, b.i64(1)), Status.SIZE)
        with b.loop(b.i64(0), count, nonempty=True):
            b.call(self.body, "void", *arguments)
        b.ret(status(Status.OK))
        return name

    def checked(self, name: str, extra: list[tuple[str, str]]) -> tuple[Builder, list[Value]]:
        """An exported function after all its checks, and the arguments of the body."""
        parameters = [*HEAD, *self.symbol_parameters(self.entry.symbols), *self.array_parameters(), *extra]
        b = Builder(self.module, name, parameters, "i32", linkage="")
        state, workspace, size, *rest = b.arguments
        count = len(self.entry.symbols)
        symbols = self.symbol_values(self.entry.symbols, rest)
        arrays = rest[count : count + len(self.entry.inputs) + len(self.entry.outputs)]
        check_state(b, state, self.layout)
        self.check_dimensions(b, symbols)
        self.check_workspace(b, workspace, size, symbols)
        self.check_arrays(b, Sizes(b, symbols), arrays)
        return b, [state, workspace, *rest[:count], *arrays]

    def check_dimensions(self, b: Builder, symbols: Mapping[str, Value]) -> None:
        """Dimensions in range, nothing too large, and what reductions need is there."""
        for symbol in self.entry.symbols:
            check_symbol(b, symbol, symbols[symbol.name])
        sizes = Sizes(b, symbols)
        refuse(b, too_large(b, sizes, self.memory_sizes()), Status.SIZE)
        for size, minimum in self.abi.minimums:
            check_at_least(b, sizes, size, minimum)

    def check_workspace(self, b: Builder, workspace: Value, given: Value, symbols: Mapping[str, Value]) -> None:
        """Enough of it, there, and aligned."""
        values = [symbols[s.name] for s in self.entry.symbols]
        need = b.call(f"{self.abi.symbol}_workspace_bytes", "i64", *values)
        refuse(b, b.icmp("ult", given, need), Status.SIZE)
        refuse(b, b.binary("and", is_null(b, workspace), b.icmp("ne", need, b.i64(0))), Status.NULL)
        refuse(b, is_misaligned(b, workspace, ALIGN), Status.ALIGN)

    def check_arrays(self, b: Builder, sizes: Sizes, arrays: Sequence[Value]) -> None:
        """Inputs are there and aligned, outputs aligned; then indices are in range."""
        inputs = list(zip(self.entry.inputs, arrays, self.abi.ranges, strict=False))
        counts = [sizes(prod(buffer.type.shape)) for buffer, _, _ in inputs]
        for (buffer, pointer, _), count in zip(inputs, counts, strict=True):
            check_pointer(b, pointer, buffer.type.dtype.itemsize, count)
        for buffer, pointer in zip(self.entry.outputs, arrays[len(inputs) :], strict=True):
            check_pointer(b, pointer, buffer.type.dtype.itemsize, None)
        for (buffer, pointer, allowed), count in zip(inputs, counts, strict=True):
            if allowed is not None:
                check_range(b, pointer, buffer.type.dtype.name, count, *allowed, Status.INDEX)

