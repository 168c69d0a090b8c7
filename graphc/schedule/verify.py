"""The loop IR's invariants, as `kernel` states them: checked on every schedule under GRAPHC_VERIFY."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

from graphc.errors import GraphcError, InternalError
from graphc.ir.dim import Size, lower_bound
from graphc.ir.node import Op
from graphc.ir.types import DType, TensorType, i64, u8
from graphc.ops.base import NUMERIC, ArgReduction, Elementwise, Reduction
from graphc.schedule.access import Access, Axis, Buffer, Index
from graphc.schedule.kernel import (
    Compute,
    Contract,
    Convolve,
    Kernel,
    Literal,
    Load,
    Loop,
    Position,
    Range,
    Reduce,
    Sort,
    Stmt,
    Store,
    Sweep,
)
from graphc.schedule.sweeps import sort_scratch
from graphc.schedule.text import Names, Printer, word
from graphc.schedule.verify_products import verify_contract, verify_convolve


def verify_kernel(kernel: Kernel) -> None:
    """Raise `InternalError`, naming kernel and statement, where a kernel is ill-formed.

    Values are defined once, before their uses, in a loop around them; indices run over open axes and stay in their
    shapes; dtypes are what ops infer; lanes are open once at a time, and matmuls where none are; inputs and data are
    not written; a buffer that is both read and written is read only where it is written next, or in an earlier nest.
    """
    KernelVerifier(kernel).run()


class KernelVerifier:
    """What is open and known at a statement."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.stored: set[Buffer] = set()  # what the kernel has written at the end of the nest at hand
        self.axes: list[Axis] = []
        self.lanes: str | None = None  # the kind of the loop that has the lanes, where one is open
        self.lane_axis: Axis | None = None
        self.values: dict[int, DType] = {}
        self.positions: dict[int, Size] = {}
        self.defined: set[int] = set()
        self.varying: set[int] = set()  # values that differ between lanes

    def fault(self, statement: Stmt, what: str) -> InternalError:
        """The error about a statement."""
        line = Printer(Names(self.kernel), self.axes).headline(statement)
        site = self.kernel.sites[0] if self.kernel.sites else None
        return InternalError(f"kernel {word(self.kernel.label)}: {line.rstrip(':')}: {what}", site=site)

    def run(self) -> None:
        """The whole kernel, nest by nest."""
        results = frozenset(self.kernel.writes())
        for statement in self.kernel.body:
            self.stored |= results.intersection(replace(self.kernel, body=(statement,)).writes())
            CHECKS[type(statement)](self, statement)
        self.check_rereads(self.kernel.body)

    def body(self, statements: Sequence[Stmt]) -> None:
        """Statements in order."""
        for statement in statements:
            CHECKS[type(statement)](self, statement)
        self.check_rereads(statements)

    @contextmanager
    def scope(self, statement: Stmt, axes: Sequence[Axis], lanes: str | None) -> Iterator[None]:
        """The body of a loop: what it defines ends with it."""
        outer = self.values, self.positions, self.lanes, self.lane_axis
        for axis in axes:
            if any(axis.name == a.name for a in self.axes):
                raise self.fault(statement, f"opens the axis {axis.name} again")
            self.axes.append(axis)
        self.values, self.positions = self.values.copy(), self.positions.copy()
        if lanes is not None:
            self.lanes, self.lane_axis = lanes, axes[-1]
        yield
        self.values, self.positions, self.lanes, self.lane_axis = outer
        del self.axes[len(self.axes) - len(axes) :]

    def define(self, statement: Stmt, result: int, dtype: DType, varying: bool) -> None:
        """A value, known from here to the end of the body."""
        if result in self.defined:
            raise self.fault(statement, f"defines %{result} again")
        self.defined.add(result)
        self.values[result] = dtype
        if varying:
            self.varying.add(result)

    def value(self, statement: Stmt, number: int) -> DType:
        """The dtype of a value that must be known."""
        found = self.values.get(number)
        if found is None:
            known = "out of its scope" if number in self.defined else "not defined"
            raise self.fault(statement, f"%{number} is {known}")
        return found

    # -- loops ------------------------------------------------------------------------------------------------------

    def loop(self, statement: Loop) -> None:
        """Lanes are open once at a time; a block has all its lanes in registers."""
        if statement.kind != "serial" and self.lanes is not None:
            raise self.fault(statement, "lanes are open already")
        if statement.kind == "block" and not (isinstance(statement.axis.extent, int) and statement.axis.extent > 0):
            raise self.fault(statement, "a block's extent is a positive number")
        with self.scope(statement, (statement.axis,), None if statement.kind == "serial" else statement.kind):
            self.body(statement.body)

    def reduce(self, statement: Reduce) -> None:
        """Folds of numbers over axes, or over the lanes of a block; their results are known after it."""
        if not statement.axes and not (statement.lanes and self.lanes == "block"):
            raise self.fault(statement, "has no axes, and no block around it")
        if statement.axes and statement.lanes and self.lanes is not None:
            raise self.fault(statement, "lanes are open already")
        if not statement.folds:
            raise self.fault(statement, "folds nothing")
        with self.scope(statement, statement.axes, "reduce" if statement.axes and statement.lanes else None):
            self.body(statement.body)
            taken = [self.value(statement, fold.value) for fold in statement.folds]
        for fold, dtype in zip(statement.folds, taken, strict=True):
            if not isinstance(fold.op, Reduction | ArgReduction) or dtype not in NUMERIC:
                raise self.fault(statement, f"{fold.op.mnemonic()} does not fold {dtype}")
            expected = i64 if isinstance(fold.op, ArgReduction) else dtype
            if fold.dtype != expected:
                raise self.fault(statement, f"%{fold.result} should be {expected}, not {fold.dtype}")
            apart = self.lanes is not None and not statement.lanes
            self.define(statement, fold.result, fold.dtype, varying=apart)

    def sweep(self, statement: Sweep) -> None:
        """Each carry has what it is at first, and its like from the round before."""
        with self.scope(statement, (statement.axis,), None):
            for carry in statement.carries:
                if len(carry.start) != carry.dtype.itemsize:
                    raise self.fault(statement, f"%{carry.result} starts with {len(carry.start)} bytes")
                self.define(statement, carry.result, carry.dtype, varying=self.lanes is not None)
            self.body(statement.body)
            for carry in statement.carries:
                if self.value(statement, carry.next) != carry.dtype:
                    raise self.fault(statement, f"%{carry.result} is {carry.dtype}, %{carry.next} is not")

    def sort(self, statement: Sort) -> None:
        """Rows that are there, the target i64 and writable, and scratch of its own."""
        if self.lanes is not None:
            raise self.fault(statement, "lanes are open already")
        source, target, scratch = statement.source.buffer, statement.target.buffer, statement.scratch
        if target.read_only or target.type.dtype != i64 or source in self.stored:
            raise self.fault(statement, f"can't write {target.name} from {source.name}")
        for row in (statement.source, statement.target):
            self.index(statement, row.offset, None)
            if self.exceeds(statement.size, row.buffer.type.size):
                raise self.fault(statement, f"{row.buffer.name} has {row.buffer.type.size} elements only")
        self.scratch(statement, scratch, sort_scratch(source.type.dtype, statement.size))

    def scratch(self, statement: Stmt, scratch: Buffer, needed: Size) -> None:
        """Bytes of the arena, as many as are needed."""
        if scratch.place != "arena" or scratch.type.dtype != u8 or too_large(needed, scratch.type.size):
            raise self.fault(statement, f"{scratch.name} is no scratch of {needed} bytes")

    def exceeds(self, size: Size, limit: Size) -> bool:
        """Whether more is accessed than there is, unless some open loop runs over nothing."""
        return too_large(size, limit) and not any(axis.extent == 0 for axis in self.axes)

    # -- values -----------------------------------------------------------------------------------------------------

    def literal(self, statement: Literal) -> None:
        """The bytes of one number."""
        if len(statement.data) != statement.dtype.itemsize:
            raise self.fault(statement, f"has {len(statement.data)} bytes, not {statement.dtype.itemsize}")
        self.define(statement, statement.result, statement.dtype, varying=False)

    def range(self, statement: Range) -> None:
        """An index over what is open."""
        self.index(statement, statement.index, None)
        self.define(statement, statement.result, statement.dtype, self.has_lanes((statement.index,)))

    def position(self, statement: Position) -> None:
        """An integer, which may be a term of indices from now on."""
        if not self.value(statement, statement.value).is_integer:
            raise self.fault(statement, f"%{statement.value} is no integer")
        self.define(statement, statement.result, i64, statement.value in self.varying)
        self.positions[statement.result] = statement.size

    def compute(self, statement: Compute) -> None:
        """An elementwise op on operands that it takes."""
        operands = tuple([self.value(statement, o) for o in statement.operands])
        dtype, complaint = inferred(statement.op, operands)
        if dtype is None:
            raise self.fault(statement, f"does not type: {complaint}")
        if dtype != statement.dtype:
            raise self.fault(statement, f"should be {dtype}")
        self.define(statement, statement.result, dtype, not self.varying.isdisjoint(statement.operands))

    def load(self, statement: Load) -> None:
        """An element, or one a lane."""
        access = statement.access
        self.access(statement, access)
        self.define(statement, statement.result, access.buffer.type.dtype, self.has_lanes(access.index))

    def store(self, statement: Store) -> None:
        """A value into memory that may be written; lanes to a place each."""
        buffer, dtype = statement.access.buffer, self.value(statement, statement.value)
        if buffer.read_only:
            raise self.fault(statement, f"writes {'an input' if buffer.place == 'input' else 'constant data'}")
        if dtype != buffer.type.dtype:
            raise self.fault(statement, f"%{statement.value} is {dtype}, not {buffer.type.dtype}")
        self.access(statement, statement.access)
        if statement.value in self.varying and not self.has_lanes(statement.access.index):
            raise self.fault(statement, f"%{statement.value} differs between lanes, the place does not")

    # -- memory -----------------------------------------------------------------------------------------------------

    def access(self, statement: Load | Store, access: Access) -> None:
        """An element of a buffer in some shape: there as far as one can prove."""
        if len(access.index) != len(access.shape):
            raise self.fault(statement, f"{len(access.index)} indices into {len(access.shape)} axes")
        shape, type_ = access.shape, access.buffer.type
        if shape != type_.shape:
            if access.buffer.panel:
                raise self.fault(statement, f"{access.buffer.name} is packed as {type_}")
            seen = TensorType(type_.dtype, shape).size
            if too_large(seen, type_.size) or too_large(type_.size, seen):
                raise self.fault(statement, f"{access.buffer.name} has {type_.size} elements, not {seen}")
        for index, size in zip(access.index, shape, strict=True):
            self.index(statement, index, size)

    def has_lanes(self, indices: Sequence[Index]) -> bool:
        """Whether an index differs between lanes."""
        return any(term == self.lane_axis or term in self.varying for index in indices for term, _ in index.terms)

    def index(self, statement: Stmt, index: Index, size: Size | None) -> None:
        """An index over open axes and known positions; where `size` is given, not provably outside 0 .. size - 1."""
        extents: list[tuple[Size, Size]] = []
        for term, coefficient in index.terms:
            if isinstance(term, int):
                if term not in self.positions:
                    raise self.fault(statement, f"%{term} is no position that is known here")
                extents.append((self.positions[term], coefficient))
            elif term not in self.axes:
                raise self.fault(statement, f"the axis {term.name} of {term.extent} is not open")
            else:
                extents.append((term.extent, coefficient))
        if size is not None and not (len(extents) == 1 and extents[0] == (size, 1) and index.offset == 0):
            self.check_range(statement, index.offset, extents, size)

    def check_range(self, statement: Stmt, low: Size, extents: Sequence[tuple[Size, Size]], size: Size) -> None:
        """Σ coefficient · (0 .. extent - 1) + low stays in 0 .. size - 1, unless some open loop runs over nothing."""
        if any(extent == 0 for extent, _ in extents) or any(axis.extent == 0 for axis in self.axes):
            return
        high = low
        for extent, coefficient in extents:
            reach = coefficient * (extent - 1)
            if isinstance(coefficient, int) and coefficient < 0:
                low = low + reach
            else:
                high = high + reach
        if too_large(high + 1, size) or too_large(0, low):
            span = f"is {low}" if low == high else f"runs from {low} to {high}"
            raise self.fault(statement, f"its index {span}, outside 0 .. {size} - 1")

    def check_rereads(self, statements: Sequence[Stmt]) -> None:
        """What is read of a buffer that the kernel writes is written back, at that place, later in the same body."""
        written: set[Access] = set()
        for statement in reversed(statements):
            if isinstance(statement, Store):
                written.add(statement.access)
            if not isinstance(statement, Load) or statement.access in written:
                continue
            if statement.access.buffer in self.stored:
                raise self.fault(statement, f"reads {statement.access.buffer.name}, which the kernel writes elsewhere")


def too_large(size: Size, limit: Size) -> bool:
    """Whether a size exceeds a limit for certain: at some values of the symbols, and is not below it at any."""
    excess = size - limit
    least = lower_bound(excess)
    return least is not None and least >= 0 and excess != 0


@lru_cache(maxsize=4096)
def inferred(op: Op, operands: tuple[DType, ...]) -> tuple[DType | None, str]:
    """The result's dtype of an elementwise op on scalars, or None and why there is none."""
    if not isinstance(op, Elementwise):
        return None, f"{op.mnemonic()} is not elementwise"
    try:
        return op.infer(*map(TensorType, operands)).dtype, ""
    except GraphcError as error:
        return None, error.message


CHECKS: dict[type[Stmt], Callable[[KernelVerifier, Any], None]] = {
    Loop: KernelVerifier.loop,
    Reduce: KernelVerifier.reduce,
    Contract: verify_contract,
    Sweep: KernelVerifier.sweep,
    Sort: KernelVerifier.sort,
    Convolve: verify_convolve,
    Literal: KernelVerifier.literal,
    Range: KernelVerifier.range,
    Position: KernelVerifier.position,
    Load: KernelVerifier.load,
    Compute: KernelVerifier.compute,
    Store: KernelVerifier.store,
}
