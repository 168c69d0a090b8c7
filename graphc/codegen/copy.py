"""Copies without a C library: bytes, and matrices between their packed and their logical form."""

from __future__ import annotations

from graphc.codegen.llvm import Builder, Module, Value

COPY_BYTES = "copy_bytes"
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


def copy_name(itemsize: int, pack: bool) -> str:
    """The function that copies matrices of elements of that many bytes to or from panels."""
    return f"{'pack' if pack else 'unpack'}{itemsize * 8}"


def emit_copy_panels(module: Module, itemsize: int, pack: bool) -> None:
    """`void (un)pack(ptr packed, ptr logical, i64 rows, i64 columns, i64 panel)`; padding is left as it is."""
    element = f"i{itemsize * 8}"
    parameters = [("ptr noalias", "packed"), ("ptr noalias", "logical")]
    parameters += [("i64", name) for name in ("rows", "columns", "panel")]
    b = Builder(module, copy_name(itemsize, pack), parameters)
    packed, logical, rows, columns, panel = b.arguments
    with b.loop(b.i64(0), rows) as row, b.loop(b.i64(0), columns) as column:
        block = b.mul(b.udiv(column.index, panel), b.mul(rows, panel))
        inner = b.add(b.mul(row.index, panel), b.urem(column.index, panel))
        there: Value = b.gep(element, packed, b.add(block, inner))
        here = b.gep(element, logical, b.add(b.mul(row.index, columns), column.index))
        source, target = (here, there) if pack else (there, here)
        b.store(b.load(element, source), target)
    b.ret()
