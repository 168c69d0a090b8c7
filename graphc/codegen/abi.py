"""The C ABI of an entry: checks, the body, its loops. Everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from graphc.codegen.address import Sizes
from graphc.codegen.entry import emit_body, emit_places
from graphc.codegen.guards import (
    INVALID,
    Checks,
    check_pointer,
    check_range,
    check_state,
    check_workspace,
    is_below,
    is_outside,
    status,
    too_large,
)
from graphc.codegen.library import KernelLibrary
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import Size, Symbol
from graphc.runtime.status import Status
from graphc.schedule.access import Buffer
from graphc.schedule.epoch import depends, runs_epochs
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
    returned: int  # how many of its outputs are returned; the others are printed

    @property
    def pure(self) -> bool:
        """Whether it leaves the state alone."""
        return not self.schedule.written

    @cached_property
    def batched(self) -> tuple[bool, ...]:
        """Which inputs have the batch dimension (as their first)."""
        return tuple(depends(b.type.shape[:1], self.batch) for b in self.schedule.inputs)

    @property
    def results(self) -> tuple[Buffer, ...]:
        """The outputs that are returned."""
        return self.schedule.outputs[: self.returned]

    @property
    def has_epoch(self) -> bool:
        """Whether it writes state, minibatches can be cut from its inputs, and its results averaged."""
        inputs = [b.type for b in self.schedule.inputs]
        return not self.pure and runs_epochs(inputs, [b.type for b in self.results], self.batch)


class EntryEmitter:
    """Emits the exported functions of one entry."""

    def __init__(self, module: Module, library: KernelLibrary, layout: StateLayout, abi: EntryAbi):
        self.module, self.library, self.layout = module, library, layout
        self.abi, self.entry = abi, abi.schedule
        self.body, self.checker = f"{self.entry.name}.body", f"{self.entry.name}.check"
        emit_body(module, library, self.body, self.entry, layout)

    def emit(self) -> list[str]:
        """The functions; returns the names of those that are exported."""
        name = self.abi.symbol
        self.check(self.checker)
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
        """Dimensions -> bytes; SIZE_MAX where they are not ones that the entry takes."""
        b = Builder(self.module, name, self.symbol_parameters(self.entry.symbols), "i64", linkage="")
        sizes = Sizes(b, self.symbol_values(self.entry.symbols, b.arguments))
        invalid = too_large(b, sizes, self.memory_sizes())
        for symbol in self.entry.symbols:
            invalid = b.binary("or", invalid, is_outside(b, symbol, sizes.symbols[symbol.name]))
        for size, minimum in self.abi.minimums:
            invalid = b.binary("or", invalid, is_below(b, sizes, size, minimum))
        _, total = emit_places(b, sizes, self.entry.arena)
        b.ret(b.select(invalid, b.i64(INVALID), total))
        return name

    def run(self, b: Builder, *arguments: Value) -> None:
        """The body; where it says that numbers went bad, the function returns that."""
        if self.entry.flag is None:
            b.call(self.body, "void", *arguments)
        else:
            Checks(b).forward(b.call(self.body, "i32", *arguments))

    def call(self, name: str) -> str:
        """The entry itself."""
        b, arguments = self.checked(name, [])
        self.run(b, *arguments)
        b.ret(status(Status.OK))
        return name

    def repeat(self, name: str) -> str:
        """The entry, n times on the same arguments."""
        b, arguments = self.checked(name, [("i64", "n")])
        count, checks = b.arguments[-1], Checks(b)
        checks.refuse(b.icmp("slt", count, b.i64(1)), Status.SIZE)
        checks.settle()
        with b.loop(b.i64(0), count, nonempty=True):
            self.run(b, *arguments)
        b.ret(status(Status.OK))
        return name

    def parameters(self) -> list[tuple[str, str]]:
        """The arguments of the entry."""
        return [*HEAD, *self.symbol_parameters(self.entry.symbols), *self.array_parameters()]

    def checked(self, name: str, extra: list[tuple[str, str]]) -> tuple[Builder, list[Value]]:
        """An exported function after all its checks, and the arguments of the body."""
        parameters = self.parameters()
        b = Builder(self.module, name, [*parameters, *extra], "i32", linkage="")
        arguments = b.arguments[: len(parameters)]
        Checks(b).forward(b.call(self.checker, "i32", *arguments))
        state, workspace, _, *rest = arguments
        return b, [state, workspace, *rest]

    def check(self, name: str) -> None:
        """`i32 check(arguments)`: the status of a call with these arguments."""
        b = Builder(self.module, name, self.parameters(), "i32")
        state, workspace, size, *rest = b.arguments
        dims, arrays = rest[: len(self.entry.symbols)], rest[len(self.entry.symbols) :]
        checks = Checks(b)
        check_state(checks, state, self.layout)
        need = b.call(f"{self.abi.symbol}_workspace_bytes", "i64", *dims)
        check_workspace(checks, workspace, size, need)
        checks.settle()
        self.check_arrays(checks, Sizes(b, self.symbol_values(self.entry.symbols, dims)), arrays)
        checks.settle()
        b.ret(status(Status.OK))

    def check_arrays(self, checks: Checks, sizes: Sizes, arrays: Sequence[Value]) -> None:
        """Inputs are there and aligned, outputs aligned; then indices are in range."""
        inputs = list(zip(self.entry.inputs, arrays, self.abi.ranges, strict=False))
        counts = [sizes(prod(buffer.type.shape)) for buffer, _, _ in inputs]
        for (buffer, pointer, _), count in zip(inputs, counts, strict=True):
            check_pointer(checks, pointer, buffer.type.dtype.itemsize, count)
        for buffer, pointer in zip(self.entry.outputs, arrays[len(inputs) :], strict=True):
            check_pointer(checks, pointer, buffer.type.dtype.itemsize, None)
        for (buffer, pointer, allowed), count in zip(inputs, counts, strict=True):
            if allowed is not None:
                check_range(checks, pointer, buffer.type.dtype.name, count, *allowed)

