"""Loop IR to LLVM: one function a kernel, explicit vectors, masked where an axis ends."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphc.codegen.access import accesses_of, emit_load, emit_store
from graphc.codegen.convolve import emit_convolve
from graphc.codegen.emission import Chunks, Emission, Lane, Rule
from graphc.codegen.lanes import ELEMENTS, Lanes
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, lane_count
from graphc.codegen.loops import emit_loop
from graphc.codegen.matmul import Operand, emit_matmul
from graphc.codegen.reduce import emit_reduce
from graphc.codegen.sort import emit_sort
from graphc.codegen.sweep import emit_sweep
from graphc.ops.base import Elementwise
from graphc.runtime.targets import Target
from graphc.schedule.access import Buffer
from graphc.schedule.kernel import (
    Compute,
    Contract,
    Convolve,
    Kernel,
    Literal,
    Load,
    Loop,
    Matrix,
    Position,
    Range,
    Reduce,
    Sort,
    Stmt,
    Store,
    Sweep,
)


def emit_kernel(
    builder: Builder, target: Target, kernel: Kernel, pointers: Mapping[Buffer, Value], symbols: Mapping[str, Value]
) -> None:
    """Append a kernel's code to a function in which its buffers' addresses and its symbols' values are known."""
    Emission(builder, target, pointers, symbols, vector_width(kernel, target), EMIT).kernel(kernel)


def emit_literal(k: Emission, statement: Literal) -> None:
    """A scalar constant."""
    held = np.dtype(np.uint16) if statement.dtype.is_narrow else statement.dtype.numpy
    number = np.frombuffer(statement.data, held)[0].item()
    value = k.b.constant(ELEMENTS[statement.dtype.name], number)
    k.values[statement.result] = Lane(statement.dtype.name, (value,), True)


def emit_compute(k: Emission, statement: Compute) -> None:
    """An elementwise op, on scalars where every operand is uniform."""
    op = statement.op
    assert isinstance(op, Elementwise)
    operands = [k.values[o] for o in statement.operands]
    dtype = operands[-1].dtype if operands else statement.dtype.name
    uniform = all(o.uniform for o in operands)
    if uniform:
        results = (op.emit(Lanes(k.b, dtype, 1, k.target), *(o.chunks[0] for o in operands)),)
    else:
        e = Lanes(k.b, dtype, k.vectors.lanes, k.target)
        results = tuple(op.emit(e, *(k.vector(o, c) for o in operands)) for c in range(len(k.vectors.starts)))
    k.values[statement.result] = Lane(statement.dtype.name, results, uniform)


def emit_range(k: Emission, statement: Range) -> None:
    """An index as a number, scalar or a lane each."""
    index, dtype = statement.index, statement.dtype.name
    uniform = k.lane_term(index) is None
    if uniform:
        numbers, lanes = [k.scalar_index(index)], 1
    else:
        numbers, lanes = [k.vector_index(index, c) for c in range(len(k.vectors.starts))], k.vectors.lanes
    e = Lanes(k.b, "i64", lanes, k.target)
    k.values[statement.result] = Lane(dtype, tuple(e.cast(n, dtype) for n in numbers), uniform)


def emit_position(k: Emission, statement: Position) -> None:
    """An index read from memory: a negative one from the end, all clamped."""
    lane = k.values[statement.value]
    size = k.sizes(statement.size)
    limit = k.b.sub(size, k.b.i64(1))
    lanes = 1 if lane.uniform else lane_count(lane.chunks[0].type)
    e = Lanes(k.b, "i64", lanes, k.target)
    clamped = []
    for chunk in lane.chunks:
        given = Lanes(k.b, lane.dtype, lanes, k.target)
        signed = given.min(chunk, given.constant(2**63 - 1)) if lane.dtype == "u64" else chunk
        wide = given.cast(signed, "i64")
        if given.signed:
            wide = e.select(e.lt(wide, e.constant(0)), e.add(wide, k.b.splat(size, lanes)), wide)
        low = e.max(wide, e.constant(0))
        clamped.append(e.min(low, k.b.splat(limit, lanes)))
    k.values[statement.result] = Lane("i64", tuple(clamped), lane.uniform)
    if lane.uniform:
        k.addresses.define(statement.result, clamped[0])


def emit_contract(k: Emission, statement: Contract) -> None:
    """A matmul; its statements run on each vector of accumulators."""
    for access in accesses_of(statement.body):
        if not access.buffer.panel:
            k.addresses.partial(access.buffer, access.linear())

    def epilogue(b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None) -> None:
        lanes = lane_count(accumulator.type)
        k.chunks = Chunks(statement.n, lanes, (j,), (mask,))
        k.addresses.define(statement.m, i)
        k.values[statement.result] = Lane(statement.dtype.name, (accumulator,), False)
        with k.addresses.scope(()):
            k.run(statement.body)
        k.addresses.forget(statement.m)
        k.chunks = None

    scratch = k.addresses.pointers[statement.scratch] if statement.scratch else None
    emit_matmul(
        k.b, k.target, statement.dtype.name,
        k.sizes(statement.m.extent), k.sizes(statement.n.extent), k.sizes(statement.k),
        operand(k, statement.lhs), operand(k, statement.rhs), statement.plan, epilogue, scratch,
    )  # fmt: skip


def operand(k: Emission, matrix: Matrix) -> Operand:
    """Where a contraction's operand lies."""
    pointer, _ = k.addresses.partial(matrix.buffer, matrix.offset)
    if matrix.buffer.panel:
        return Operand(pointer, matrix.layout, 0, matrix.buffer.panel, k.sizes(matrix.rows))
    return Operand(pointer, matrix.layout, k.sizes(matrix.columns))


EMIT: Mapping[type[Stmt], Rule] = {
    Loop: emit_loop,
    Reduce: emit_reduce,
    Contract: emit_contract,
    Sweep: emit_sweep,
    Sort: emit_sort,
    Convolve: emit_convolve,
    Literal: emit_literal,
    Range: emit_range,
    Position: emit_position,
    Load: emit_load,
    Compute: emit_compute,
    Store: emit_store,
}


def vector_width(kernel: Kernel, target: Target) -> int:
    """Lanes of the kernel's vectors: a full register of its widest numbers."""
    itemsizes = [4]
    for statement in kernel.statements():
        match statement:
            case Load(access=access) | Store(access=access):
                itemsizes.append(access.buffer.type.dtype.itemsize)
            case Compute(dtype=dtype) | Contract(dtype=dtype) | Convolve(dtype=dtype):
                itemsizes.append(dtype.itemsize)
    return target.lanes(max(itemsizes))
