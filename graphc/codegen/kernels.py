"""Loop IR to LLVM: one function a kernel, explicit vectors, masked where an axis ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from graphc.codegen.address import MEMORY, Addresses, Sizes
from graphc.codegen.folds import Folding, State, across, folding, index_lanes
from graphc.codegen.lanes import ELEMENTS, Lanes
from graphc.codegen.llvm import Builder, Value, lane_count, suffix, vector_type
from graphc.codegen.matmul import Operand, emit_matmul
from graphc.errors import InternalError
from graphc.ir.dim import Size
from graphc.ir.types import DType
from graphc.ops.base import ArgReduction, Elementwise
from graphc.runtime.targets import Target
from graphc.schedule.kernel import (
    Access,
    Axis,
    Buffer,
    Compute,
    Contract,
    Fold,
    Index,
    Kernel,
    Literal,
    Load,
    Loop,
    Matrix,
    Position,
    Range,
    Reduce,
    Stmt,
    Store,
)


@dataclass(frozen=True)
class Lane:
    """A value while it is emitted: one SSA value where it is uniform, else one for each chunk of the lanes axis."""

    dtype: str
    chunks: tuple[Value, ...]
    uniform: bool


@dataclass(frozen=True)
class Chunks:
    """The lanes being computed: which axis, where each chunk starts, which of its lanes live (None: all)."""

    axis: Axis
    lanes: int
    starts: tuple[Value, ...]
    masks: tuple[Value | None, ...]


class KernelEmitter:
    """Writes the body of one kernel."""

    def __init__(
        self,
        builder: Builder,
        target: Target,
        pointers: Mapping[Buffer, Value],
        symbols: Mapping[str, Value],
        width: int,
    ):
        self.b, self.target, self.width = builder, target, width
        self.sizes = Sizes(builder, symbols)
        self.addresses = Addresses(builder, self.sizes, pointers)
        self.values: dict[int, Lane] = {}
        self.chunks: Chunks | None = None

    def kernel(self, kernel: Kernel) -> None:
        """Emit a whole kernel: first, where all can see them, the sizes it needs."""
        for size in kernel.sizes():
            self.sizes(size)
        self.run(kernel.body)

    def run(self, body: Sequence[Stmt]) -> None:
        """Emit statements in order."""
        for statement in body:
            EMIT[type(statement)](self, statement)

    # -- loops ------------------------------------------------------------------------------------------------------

    @contextmanager
    def body_of(self, body: Sequence[Stmt]) -> Iterator[None]:
        """The scope of a loop body: the outer parts of its addresses are computed before it."""
        accesses = list(accesses_of(body))
        with self.addresses.scope((a.buffer, a.linear()) for a in accesses if not a.buffer.panel):
            yield

    def loop(self, statement: Loop) -> None:
        """A loop that folds nothing."""
        if statement.kind == "serial":
            self.counted(statement.axis, statement.body, (), lambda state: self.run_then(statement.body, state))
        elif statement.kind == "lanes":
            self.vectorised(statement.axis, statement.body, (), lambda state: self.run_then(statement.body, state))
        else:
            self.block(statement)

    def run_then(self, body: Sequence[Stmt], state: State) -> State:
        """Emit a body that leaves what is carried as it is."""
        self.run(body)
        return state

    def counted(self, axis: Axis, body: Sequence[Stmt], state: State, step: Callable[[State], State]) -> State:
        """One index after the other, carrying `state` round."""
        if axis.extent == 1:
            self.addresses.define(axis, self.b.i64(0))
            with self.addresses.scope(()):
                state = step(state)
            self.addresses.forget(axis)
            return state
        with self.body_of(body), self.b.loop(self.b.i64(0), self.sizes(axis.extent), carried=state) as loop:
            self.addresses.define(axis, loop.index)
            loop.next = list(step(tuple(loop.carried)))
            self.addresses.forget(axis)
        return tuple(loop.results)

    def vectorised(self, axis: Axis, body: Sequence[Stmt], state: State, step: Callable[[State], State]) -> State:
        """A vector at a time; the rest, if there can be one, under a mask."""
        lanes = self.lanes_for(axis.extent)
        extent = self.sizes(axis.extent)
        whole = self.b.mul(self.b.udiv(extent, self.b.i64(lanes)), self.b.i64(lanes))
        if whole.literal == lanes:
            state = self.chunk(axis, body, lanes, self.b.i64(0), None, state, step)
        elif whole.literal != 0:
            with self.body_of(body), self.b.loop(self.b.i64(0), whole, lanes, carried=state) as loop:
                loop.next = list(self.chunk(axis, body, lanes, loop.index, None, tuple(loop.carried), step))
            state = tuple(loop.results)
        rest = self.b.sub(extent, whole)
        if rest.literal is not None:
            if rest.literal:
                state = self.chunk(axis, body, lanes, whole, self.b.lane_mask(rest, lanes), state, step)
            return state
        return self.optional_chunk(axis, body, lanes, whole, rest, state, step)

    def optional_chunk(
        self, axis: Axis, body: Sequence[Stmt], lanes: int, start: Value, rest: Value, state: State,
        step: Callable[[State], State],
    ) -> State:  # fmt: skip
        """The masked rest of a symbolic extent, where there is one."""
        then, end = self.b.fresh("rest"), self.b.fresh("end")
        before = self.b.block
        self.b.branch_if(self.b.icmp("sgt", rest, self.b.i64(0)), then, end)
        self.b.label(then)
        new = self.chunk(axis, body, lanes, start, self.b.lane_mask(rest, lanes), state, step)
        after = self.b.block
        self.b.branch(end)
        self.b.label(end)
        return tuple(self.b.phi(n.type, [(o, before), (n, after)]) for o, n in zip(state, new, strict=True))

    def chunk(
        self, axis: Axis, body: Sequence[Stmt], lanes: int, start: Value, mask: Value | None, state: State,
        step: Callable[[State], State],
    ) -> State:  # fmt: skip
        """One vector of the lanes axis."""
        outer = self.chunks
        self.chunks = Chunks(axis, lanes, (start,), (mask,))
        with self.addresses.scope(()):
            state = step(state)
        self.chunks = outer
        return state

    def block(self, statement: Loop) -> None:
        """The whole axis at once, in as many vectors as it takes."""
        extent = statement.axis.extent
        assert isinstance(extent, int)
        lanes = self.lanes_for(extent)
        starts = range(0, extent, lanes)
        rest = extent % lanes
        masks = [None] * len(starts)
        last = self.b.lane_mask(self.b.i64(rest), lanes) if rest else None
        self.chunks = Chunks(
            statement.axis, lanes, tuple(self.b.i64(s) for s in starts), (*masks[:-1], last)
        )
        with self.addresses.scope(()):
            self.run(statement.body)
        self.chunks = None

    def lanes_for(self, extent: Size) -> int:
        """The vector width for an axis: the register's, or the next power of two for a short axis."""
        lanes = self.width
        while isinstance(extent, int) and lanes > 1 and lanes // 2 >= max(extent, 1):
            lanes //= 2
        return lanes

    # -- reductions -------------------------------------------------------------------------------------------------

    def reduce(self, statement: Reduce) -> None:
        """Fold values over loops, or over the lanes of the block we are in."""
        if not statement.axes:
            self.reduce_block(statement)
            return
        lanes = self.lanes_for(statement.axes[-1].extent) if statement.lanes else 1
        lanes = self.chunks.lanes if self.chunks else lanes
        count = len(self.chunks.starts) if self.chunks else 1
        dtypes = {f.result: self.dtype_of_fold(statement, f) for f in statement.folds}
        rules = [folding(self.b, self.target, f, dtypes[f.result]) for f in statement.folds]
        starts = [rule.start(lanes) for rule in rules for _ in range(count)]
        widths = [len(s) for s in starts]
        flat: State = tuple(v for s in starts for v in s)
        axes = list(statement.axes)

        def innermost(state: State) -> State:
            self.run(statement.body)
            return self.fold_in(statement, rules, state, widths)

        def nest(depth: int, state: State) -> State:
            axis = axes[depth]
            if depth == len(axes) - 1:
                walk = self.vectorised if statement.lanes else self.counted
                return walk(axis, statement.body, state, innermost)
            return self.counted(axis, statement.body, state, lambda s: nest(depth + 1, s))

        final = nest(0, flat)
        self.finish(statement, rules, final, widths, count)

    def fold_in(self, statement: Reduce, rules: Sequence[Folding], state: State, widths: Sequence[int]) -> State:
        """Fold this round's values into the accumulators."""
        chunks = self.chunks
        new: list[Value] = []
        position = 0
        for fold, rule in zip(statement.folds, rules, strict=True):
            for c in range(len(chunks.starts) if chunks else 1):
                width = widths[position]
                part = state[len(new) : len(new) + width]
                mask = chunks.masks[c] if chunks and statement.lanes else None
                value = self.vector(self.values[fold.value], c)
                new += rule.fold(part, value, mask, self.reduced_index(statement, c))
                position += 1
        return tuple(new)

    def reduced_index(self, statement: Reduce, chunk: int) -> Value:
        """The index along the innermost reduced axis, for argmax and argmin."""
        lanes = self.chunks.lanes if self.chunks else 1
        if not any(isinstance(f.op, ArgReduction) for f in statement.folds):
            return self.b.i64(0)
        if statement.lanes:
            assert self.chunks is not None
            return index_lanes(self.b, self.chunks.starts[chunk], lanes)
        return self.b.splat(self.addresses.axes[statement.axes[-1]], lanes)

    def finish(
        self, statement: Reduce, rules: Sequence[Folding], state: State, widths: Sequence[int], count: int
    ) -> None:
        """The accumulators' results become values; vectors of a reduced lanes axis are folded across."""
        taken, position = 0, 0
        for fold, rule in zip(statement.folds, rules, strict=True):
            results = []
            for _ in range(count):
                part = state[taken : taken + widths[position]]
                taken, position = taken + widths[position], position + 1
                results.append(rule.result(across(self.b, rule, part) if statement.lanes else part))
            self.values[fold.result] = Lane(fold.dtype.name, tuple(results), self.chunks is None)

    def reduce_block(self, statement: Reduce) -> None:
        """Fold the chunks of the block, then across lanes."""
        assert self.chunks is not None
        self.run(statement.body)
        for fold in statement.folds:
            lane = self.values[fold.value]
            rule = folding(self.b, self.target, fold, lane.dtype)
            state = rule.start(self.chunks.lanes)
            for c, (start, mask) in enumerate(zip(self.chunks.starts, self.chunks.masks, strict=True)):
                place = index_lanes(self.b, start, self.chunks.lanes)
                state = rule.fold(state, self.vector(lane, c), mask, place)
            self.values[fold.result] = Lane(fold.dtype.name, (rule.result(across(self.b, rule, state)),), True)

    def dtype_of_fold(self, statement: Reduce, fold: Fold) -> str:
        """The dtype of the values a fold takes (argmax gives another)."""
        for inner in walk(statement.body):
            if getattr(inner, "result", None) == fold.value:
                return dtype_of(inner)
        return self.values[fold.value].dtype

    # -- values -----------------------------------------------------------------------------------------------------

    def vector(self, lane: Lane, chunk: int) -> Value:
        """The value as a vector of the current chunk (splat where it is uniform)."""
        if not lane.uniform:
            return lane.chunks[chunk]
        return self.b.splat(lane.chunks[0], self.chunks.lanes if self.chunks else 1)

    def literal(self, statement: Literal) -> None:
        """A scalar constant."""
        number = np.frombuffer(statement.data, statement.dtype.numpy)[0].item()
        value = self.b.constant(ELEMENTS[statement.dtype.name], number)
        self.values[statement.result] = Lane(statement.dtype.name, (value,), True)

    def compute(self, statement: Compute) -> None:
        """An elementwise op, on scalars where every operand is uniform."""
        op = statement.op
        assert isinstance(op, Elementwise)
        operands = [self.values[o] for o in statement.operands]
        dtype = operands[-1].dtype if operands else statement.dtype.name
        uniform = all(o.uniform for o in operands)
        if uniform:
            results = (op.emit(Lanes(self.b, dtype, 1, self.target), *(o.chunks[0] for o in operands)),)
        else:
            assert self.chunks is not None
            e = Lanes(self.b, dtype, self.chunks.lanes, self.target)
            results = tuple(
                op.emit(e, *(self.vector(o, c) for o in operands)) for c in range(len(self.chunks.starts))
            )
        self.values[statement.result] = Lane(statement.dtype.name, results, uniform)

    def range(self, statement: Range) -> None:
        """An index as a number."""
        self.values[statement.result] = self.from_index(statement.index, statement.dtype)

    def from_index(self, index: Index, dtype: DType) -> Lane:
        """The value of an index, scalar or a lane each."""
        lane = self.lane_term(index)
        if lane is None:
            e = Lanes(self.b, "i64", 1, self.target)
            return Lane(dtype.name, (e.cast(self.scalar_index(index), dtype.name),), True)
        assert self.chunks is not None
        e = Lanes(self.b, "i64", self.chunks.lanes, self.target)
        vectors = [self.vector_index(index, c) for c in range(len(self.chunks.starts))]
        return Lane(dtype.name, tuple(e.cast(v, dtype.name) for v in vectors), False)

    def position(self, statement: Position) -> None:
        """An index read from memory, clamped."""
        lane = self.values[statement.value]
        limit = self.b.sub(self.sizes(statement.size), self.b.i64(1))
        lanes = 1 if lane.uniform else lane_count(lane.chunks[0].type)
        e = Lanes(self.b, "i64", lanes, self.target)
        clamped = []
        for chunk in lane.chunks:
            wide = Lanes(self.b, lane.dtype, lanes, self.target).cast(chunk, "i64")
            low = e.max(wide, e.constant(0))
            clamped.append(e.min(low, self.b.splat(limit, lanes)))
        self.values[statement.result] = Lane("i64", tuple(clamped), lane.uniform)
        if lane.uniform:
            self.addresses.define(statement.result, clamped[0])

    # -- indices ----------------------------------------------------------------------------------------------------

    def lane_term(self, index: Index) -> Axis | int | None:
        """The term that differs between lanes, if there is one."""
        for term, _ in index.terms:
            if isinstance(term, int):
                if not self.values[term].uniform:
                    return term
            elif self.chunks is not None and term == self.chunks.axis:
                return term
        return None

    def scalar_index(self, index: Index) -> Value:
        """A uniform index as i64."""
        total = self.sizes(index.offset)
        for term, coefficient in index.terms:
            total = self.b.add(total, self.b.mul(self.addresses.axes[term], self.sizes(coefficient)))
        return total

    def vector_index(self, index: Index, chunk: int) -> Value:
        """An index that differs between lanes, as i64 lanes."""
        assert self.chunks is not None
        lanes = self.chunks.lanes
        uniform = [t for t in index.terms if self.lane_term(Index((t,))) is None]
        total = self.b.splat(self.scalar_index(Index(tuple(uniform), index.offset)), lanes)
        for term, coefficient in index.terms:
            if (term, coefficient) in uniform:
                continue
            if isinstance(term, int):
                each = self.values[term].chunks[chunk]
            else:
                each = index_lanes(self.b, self.chunks.starts[chunk], lanes)
            if coefficient != 1:
                each = self.b.binary("mul", each, self.b.splat(self.sizes(coefficient), lanes))
            total = self.b.binary("add", total, each)
        return total

    # -- memory -----------------------------------------------------------------------------------------------------

    def load(self, statement: Load) -> None:
        """Read one element, or a vector for each chunk."""
        access = statement.access
        dtype = access.buffer.type.dtype.name
        memory = MEMORY[dtype]
        if not any(self.lane_term(i) is not None for i in access.index):
            value = self.b.load(memory, self.pointer(access, 0))
            self.values[statement.result] = Lane(dtype, (self.from_memory(value, dtype),), True)
            return
        assert self.chunks is not None
        type_ = vector_type(memory, self.chunks.lanes)
        results = []
        for c, mask in enumerate(self.chunks.masks):
            if self.is_contiguous(access):
                pointer = self.pointer(access, c)
                value = self.b.load(type_, pointer) if mask is None else self.b.masked_load(type_, pointer, mask)
            else:
                value = self.gather(access, type_, c, mask)
            results.append(self.from_memory(value, dtype))
        self.values[statement.result] = Lane(dtype, tuple(results), False)

    def store(self, statement: Store) -> None:
        """Write one element, or a vector for each chunk."""
        access = statement.access
        lane = self.values[statement.value]
        if not any(self.lane_term(i) is not None for i in access.index):
            if not lane.uniform:
                raise InternalError("a store of lanes to one place")
            self.b.store(self.to_memory(lane.chunks[0], lane.dtype), self.pointer(access, 0))
            return
        assert self.chunks is not None
        for c, mask in enumerate(self.chunks.masks):
            value = self.to_memory(self.vector(lane, c), lane.dtype)
            if not self.is_contiguous(access):
                self.scatter(access, value, c, mask)
            elif mask is None:
                self.b.store(value, self.pointer(access, c))
            else:
                self.b.masked_store(value, self.pointer(access, c), mask)

    def is_contiguous(self, access: Access) -> bool:
        """Whether neighbouring lanes are neighbours in memory."""
        assert self.chunks is not None
        if access.buffer.panel:
            return access.index[1].terms == ((self.chunks.axis, 1),) and access.index[1].offset == 0
        linear = access.linear()
        return linear.coefficient(self.chunks.axis) == 1 and all(
            self.values[t].uniform for t, _ in linear.terms if isinstance(t, int)
        )

    def pointer(self, access: Access, chunk: int) -> Value:
        """The address of the access: of its chunk's first lane, where it has lanes."""
        if access.buffer.panel:
            return self.panel_pointer(access, chunk)
        index = access.linear()
        pointer, left = self.addresses.partial(access.buffer, index)
        for term, coefficient in left:
            assert self.chunks is not None and term == self.chunks.axis
            step = self.b.mul(self.chunks.starts[chunk], self.sizes(coefficient))
            pointer = self.b.gep(MEMORY[access.buffer.type.dtype.name], pointer, step)
        return pointer

    def panel_pointer(self, access: Access, chunk: int) -> Value:
        """The address in a packed matrix; matrices of one shape share the number of an element."""
        buffer = access.buffer
        rows = buffer.type.shape[0]
        assert isinstance(rows, int)
        row, column = access.index
        key = (rows, buffer.panel, row, column, chunk)
        element = self.addresses.remembered(key, lambda: self.panel_element(rows, buffer.panel, row, column, chunk))
        return self.b.gep(MEMORY[buffer.type.dtype.name], self.addresses.pointers[buffer], element)

    def panel_element(self, rows: int, panel: int, row: Index, column: Index, chunk: int) -> Value:
        """(c // P)·R·P + r·P + c % P; for lanes that fill a panel's row, c is a multiple of P."""
        b = self.b
        r = b.mul(self.scalar_index(row), b.i64(panel))
        if self.lane_term(column) is None:
            c, whole = self.scalar_index(column), False
        else:
            assert self.chunks is not None
            c, whole = b.add(self.sizes(column.offset), self.chunks.starts[chunk]), self.chunks.lanes == panel
        inner = b.i64(0) if whole else b.urem(c, b.i64(panel))
        return b.add(b.add(b.mul(b.sub(c, inner), b.i64(rows)), r), inner)

    def lane_pointers(self, access: Access, chunk: int) -> Value:
        """One address a lane."""
        assert self.chunks is not None
        if access.buffer.panel:
            raise InternalError("lanes across a packed matrix")
        index = self.vector_index(access.linear(), chunk)
        element = MEMORY[access.buffer.type.dtype.name]
        pointer = self.addresses.pointers[access.buffer]
        return self.b.emit(vector_type("ptr", self.chunks.lanes), f"getelementptr {element}, {pointer}, {index}")

    def gather(self, access: Access, type_: str, chunk: int, mask: Value | None) -> Value:
        """Lanes read from scattered places."""
        pointers = self.lane_pointers(access, chunk)
        if lane_count(type_) == 1:
            return self.b.load(type_, pointers)
        live = mask or self.b.constant(vector_type("i1", lane_count(type_)), True)
        name = f"llvm.masked.gather.{suffix(type_)}.{suffix(pointers.type)}"
        align = Value("i32", str(access.buffer.type.dtype.itemsize))
        return self.b.intrinsic(name, type_, pointers, align, live, Value(type_, "zeroinitializer"))

    def scatter(self, access: Access, value: Value, chunk: int, mask: Value | None) -> None:
        """Lanes written to scattered places."""
        pointers = self.lane_pointers(access, chunk)
        if lane_count(value.type) == 1:
            self.b.store(value, pointers)
            return
        live = mask or self.b.constant(vector_type("i1", lane_count(value.type)), True)
        name = f"llvm.masked.scatter.{suffix(value.type)}.{suffix(pointers.type)}"
        align = Value("i32", str(access.buffer.type.dtype.itemsize))
        self.b.intrinsic(name, "void", value, pointers, align, live)

    def from_memory(self, value: Value, dtype: str) -> Value:
        """Bytes become i1."""
        if dtype != "bool":
            return value
        return self.b.icmp("ne", value, self.b.constant(value.type, 0))

    def to_memory(self, value: Value, dtype: str) -> Value:
        """i1 becomes a byte."""
        return value if dtype != "bool" else self.b.cast("zext", value, vector_type("i8", lane_count(value.type)))

    # -- contractions -----------------------------------------------------------------------------------------------

    def contract(self, statement: Contract) -> None:
        """A matmul; its statements run on each vector of accumulators."""
        for access in accesses_of(statement.body):
            if not access.buffer.panel:
                self.addresses.partial(access.buffer, access.linear())

        def epilogue(b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None) -> None:
            lanes = lane_count(accumulator.type)
            self.chunks = Chunks(statement.n, lanes, (j,), (mask,))
            self.addresses.define(statement.m, i)
            self.values[statement.result] = Lane(statement.dtype.name, (accumulator,), False)
            with self.addresses.scope(()):
                self.run(statement.body)
            self.addresses.forget(statement.m)
            self.chunks = None

        scratch = self.addresses.pointers[statement.scratch] if statement.scratch else None
        emit_matmul(
            self.b, self.target, statement.dtype.name,
            self.sizes(statement.m.extent), self.sizes(statement.n.extent), self.sizes(statement.k),
            self.operand(statement.lhs), self.operand(statement.rhs), statement.plan, epilogue, scratch,
        )  # fmt: skip

    def operand(self, matrix: Matrix) -> Operand:
        """Where a contraction's operand lies."""
        pointer, _ = self.addresses.partial(matrix.buffer, matrix.offset)
        if matrix.buffer.panel:
            return Operand(pointer, matrix.layout, 0, matrix.buffer.panel, self.sizes(matrix.rows))
        return Operand(pointer, matrix.layout, self.sizes(matrix.columns))


EMIT: dict[type[Stmt], Callable[..., None]] = {
    Loop: KernelEmitter.loop,
    Reduce: KernelEmitter.reduce,
    Contract: KernelEmitter.contract,
    Literal: KernelEmitter.literal,
    Range: KernelEmitter.range,
    Position: KernelEmitter.position,
    Load: KernelEmitter.load,
    Compute: KernelEmitter.compute,
    Store: KernelEmitter.store,
}


def walk(body: Sequence[Stmt]) -> Iterator[Stmt]:
    """Every statement of a body."""
    return Kernel("", tuple(body)).statements()


def accesses_of(body: Sequence[Stmt]) -> Iterator[Access]:
    """What a body reads and writes."""
    for statement in walk(body):
        if isinstance(statement, Load | Store):
            yield statement.access


def dtype_of(statement: Stmt) -> str:
    """The dtype of the value a statement gives."""
    match statement:
        case Load(access=access):
            return access.buffer.type.dtype.name
        case Position():
            return "i64"
        case Literal(dtype=dtype) | Range(dtype=dtype) | Compute(dtype=dtype) | Contract(dtype=dtype):
            return dtype.name
    raise InternalError(f"{type(statement).__name__} gives no value")


def vector_width(kernel: Kernel, target: Target) -> int:
    """Lanes of the kernel's vectors: a full register of its widest numbers."""
    itemsizes = [4]
    for statement in kernel.statements():
        match statement:
            case Load(access=access) | Store(access=access):
                itemsizes.append(access.buffer.type.dtype.itemsize)
            case Compute(dtype=dtype) | Contract(dtype=dtype):
                itemsizes.append(dtype.itemsize)
    return target.lanes(max(itemsizes))


__all__ = ["KernelEmitter", "vector_width"]
