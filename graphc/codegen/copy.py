"""Copies without a C library: bytes, and matrices between their packed and their logical form."""

from __future__ import annotations

from graphc.codegen.llvm import Builder, Module

COPY_BYTES, COPY_ROWS = "copy_bytes", "copy_rows"
CHUNK = 64


def emit_copy_bytes(module: Module) -> None:
    """`void copy_bytes(ptr target, ptr source, i64 count)`, for memory that does not overlap."""
    b = Builder(module, COPY_BYTES, [("ptr noalias", "target"), ("ptr noalias", "source"), ("i64", "count")])
    target, source, count = b.arguments
    chunk = f"<{CHUNK} x i8>"
    whole = b.binary("and", count, b.i64(-CHUNK))
    for start, stop, step, type_ in ((b.i64(0), whole, CHUNK, chunk), (whole, count, 1, "i8")):
        with b.loop(start, stop, step) as loop:
            # volatile: LLVM must not recognise the loop as a memcpy, which would be an outside symbol
            value = b.emit(type_, f"load volatile {type_}, {b.gep('i8', source, loop.index)}, align 1")
            b.store(value, b.gep("i8", target, loop.index))
    b.ret()


def emit_copy_rows(module: Module) -> None:
    """`void copy_rows(ptr packed, ptr logical, i64 rows, i64 row_bytes, i64 panel_bytes, i1 pack)`.

    Copies a matrix between panels and row-major form, run by run; padding is left as it is. A row-major array is one
    row in one panel.
    """
    parameters = [("ptr noalias", "packed"), ("ptr noalias", "logical")]
    parameters += [("i64", name) for name in ("rows", "row_bytes", "panel_bytes")]
    b = Builder(module, COPY_ROWS, [*parameters, ("i1", "pack")])
    packed, logical, rows, row_bytes, panel_bytes, pack = b.arguments
    with b.loop(b.i64(0), rows) as row:
        here = b.gep("i8", logical, b.mul(row.index, row_bytes))
        there = b.gep("i8", packed, b.mul(row.index, panel_bytes))
        with b.loop(b.i64(0), row_bytes, panel_bytes) as run:
            outside, inside = b.gep("i8", here, run.index), b.gep("i8", there, b.mul(run.index, rows))
            count = b.minimum(panel_bytes, b.sub(row_bytes, run.index))
            target, source = b.select(pack, inside, outside), b.select(pack, outside, inside)
            b.call(COPY_BYTES, "void", target, source, count)
    b.ret()
