"""Copying a column panel of a matmul's right operand into scratch: contiguous, and transposed where it has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, natural_alignment, vector_type
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, integer, panel_offset, prefetch
from graphc.codegen.transpose import load_transposed
from graphc.schedule.tiles import LINE_BYTES, transposed_columns

#: How many rows ahead a copy asks for what it will read: parts of rows lie too far apart for the hardware to see a
#: pattern (measured: 1% of a product of 512 x 512 x 512).
ROWS_AHEAD = 12

#: Transposes some steps of k: from a start, all or so many.
Part = Callable[[Value, Value | None], None]


@dataclass(frozen=True)
class Columns:
    """What to pack: `tiles` times so many vectors of columns, from column j on.

    Where `masks` are not None, the last lanes may lie outside the operand; where `clamp`, any column may.
    """

    j: Value
    tiles: Value
    masks: Masks
    clamp: bool


def pack_columns(
    b: Builder, arithmetic: Arithmetic, k: Value, n: Value, right: Operand, columns: Columns, room: Value
) -> Operand:
    """Copy columns of B to `room` as panels of one tile's width and k + lanes rows.

    Lanes outside the operand are copied from anywhere in it, or are zero.
    """
    packed = _panels(b, arithmetic, k, columns, room)
    if right.layout == "row":
        _copy(b, arithmetic, k, right, columns, packed)
    else:
        _transpose(b, arithmetic, k, n, right, columns, packed)
    return packed


def pack_by_parts(
    b: Builder, arithmetic: Arithmetic, k: Value, n: Value, right: Operand, columns: Columns, room: Value
) -> tuple[Operand, list[Part]]:
    """What `pack_columns` gives for one tile of a transposed B, with nothing packed yet, and what packs it.

    A part for each vector of columns, which transposes `transposed_columns` steps of k.
    """
    packed = _panels(b, arithmetic, k, columns, room)
    parts = _transposed_parts(b, arithmetic, n, right, columns, packed)
    return packed, [parts(b.i64(column)) for column in range(0, packed.panel, arithmetic.lanes)]


def _panels(b: Builder, arithmetic: Arithmetic, k: Value, columns: Columns, room: Value) -> Operand:
    """Where packed columns go."""
    rows = b.add(k, b.i64(arithmetic.lanes))
    return Operand(room, "panel", panel=len(columns.masks) * arithmetic.lanes, rows=rows)


def _copy(b: Builder, arithmetic: Arithmetic, k: Value, right: Operand, columns: Columns, packed: Operand) -> None:
    """Row by row, so that the source is read along its rows."""
    element, lanes, extent = arithmetic.element, arithmetic.lanes, b.i64(packed.panel)
    jump, itemsize = b.mul(integer(packed.rows), extent), natural_alignment(element)
    ahead = b.mul(integer(right.stride), b.i64(ROWS_AHEAD * itemsize))
    start = b.gep(element, right.pointer, columns.j)
    with b.loop(b.i64(0), k, 1, [start, packed.pointer]) as loop:
        source, target = loop.carried
        with b.loop(b.i64(0), columns.tiles, 1, [source, target], nonempty=True) as across:
            for w, mask in enumerate(columns.masks):
                place = b.gep(element, across.carried[0], b.i64(w * lanes))
                b.store(arithmetic.load(b, place, mask), b.gep(element, across.carried[1], b.i64(w * lanes)))
                if w * lanes * itemsize % LINE_BYTES == 0:
                    prefetch(b, place, ahead)
            across.next = [b.gep(element, across.carried[0], extent), b.gep(element, across.carried[1], jump)]
        loop.next = [b.gep(element, source, integer(right.stride)), b.gep(element, target, extent)]


def _row_offsets(b: Builder, lanes: int, n: Value, right: Operand, j: Value, clamp: bool) -> list[Value]:
    """Where the stored rows j .. j + lanes start; with `clamp`, those from n on stand for row n - 1."""
    step = integer(right.stride if right.layout == "transposed" else right.panel)
    if clamp:
        last = b.sub(n, b.i64(1))
        return [b.mul(b.minimum(b.add(j, b.i64(r)), last), step) for r in range(lanes)]
    first = b.mul(j, step)
    return [b.add(first, b.mul(b.i64(r), step)) for r in range(lanes)]


def _transposed_parts(
    b: Builder, arithmetic: Arithmetic, n: Value, right: Operand, columns: Columns, packed: Operand
) -> Callable[[Value], Part]:
    """What transposes the parts of the vector of columns that starts at a column."""
    lanes, extent = arithmetic.lanes, b.i64(packed.panel)
    jump = b.mul(integer(packed.rows), extent)
    clamp = columns.clamp or any(mask is not None for mask in columns.masks)

    def parts(column: Value) -> Part:
        offsets = _row_offsets(b, lanes, n, right, b.add(columns.j, column), clamp)
        target = b.gep(arithmetic.element, packed.pointer, panel_offset(b, column, extent, jump))
        return partial(_transpose_part, b, arithmetic, right, offsets, target, packed.panel)

    return parts


def _transpose(
    b: Builder, arithmetic: Arithmetic, k: Value, n: Value, right: Operand, columns: Columns, packed: Operand
) -> None:
    """By parts: of two vectors of columns in turn, so that sums can begin with the first steps of k; else along k."""
    lanes = arithmetic.lanes
    parts = _transposed_parts(b, arithmetic, n, right, columns, packed)
    steps = transposed_columns(lanes, natural_alignment(arithmetic.element))
    stop = b.mul(columns.tiles, b.i64(packed.panel))
    if stop.literal is not None and stop.literal <= 2 * lanes:
        few = [parts(b.i64(column)) for column in range(0, stop.literal, lanes)]
        _steps(b, k, steps, right, lambda start, live: [part(start, live) for part in few])
        return
    with b.loop(b.i64(0), stop, lanes, nonempty=True) as loop:
        _steps(b, k, steps, right, parts(loop.index))


def _steps(b: Builder, k: Value, step: int, right: Operand, body: Callable[[Value, Value | None], object]) -> None:
    """The body for every `step` steps of k: where they start, and how many there are if not all. Panels are padded."""
    if right.layout == "panel_transposed":
        _each(b, b.i64(0), k, step, lambda start: body(start, None))
        return
    rest = b.urem(k, b.i64(step))
    whole = b.sub(k, rest)
    _each(b, b.i64(0), whole, step, lambda start: body(start, None))
    if rest.literal != 0:
        _each(b, whole, k, step, lambda start: body(start, rest))


def _transpose_part(
    b: Builder, arithmetic: Arithmetic, right: Operand, offsets: list[Value], room: Value, panel: int, start: Value,
    live: Value | None,
) -> None:  # fmt: skip
    """Lane r of row start + t of `room` becomes element start + t of the stored row at offsets[r]; `live` of them."""
    element, inner, itemsize = arithmetic.element, start, natural_alignment(arithmetic.element)
    if right.layout == "panel_transposed":
        width = b.i64(right.panel)
        inner = panel_offset(b, start, width, b.mul(integer(right.rows), width))
    source = b.gep(element, right.pointer, inner)
    rows = [b.gep(element, source, o) for o in offsets]
    count = transposed_columns(arithmetic.lanes, itemsize)
    type_ = vector_type(element, count)
    mask = None if live is None else b.lane_mask(live, count)

    def load(row: int) -> Value:
        return b.load(type_, rows[row]) if mask is None else b.masked_load(type_, rows[row], mask)

    target = b.gep(element, room, b.mul(start, b.i64(panel)))
    for t, column in enumerate(load_transposed(b, arithmetic.lanes, itemsize, load)):
        b.store(column, b.gep(element, target, b.i64(t * panel)))


def _each(b: Builder, start: Value, stop: Value, step: int, body: Callable[[Value], object]) -> None:
    """The body for every index of a range; nothing for one known to be empty."""
    if start.literal is None or stop.literal is None or start.literal < stop.literal:
        with b.loop(start, stop, step) as loop:
            body(loop.index)
