"""Copying a column panel of a matmul's right operand into scratch: contiguous, and transposed where it has to be."""

from __future__ import annotations

from collections.abc import Callable

from graphc.codegen.llvm import Builder, Value, natural_alignment
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, Walk, column_walk, integer, panel_offset
from graphc.codegen.transpose import transpose

#: Bytes inside which x86 shuffles elements in one cycle.
CHUNK_BYTES = 16


def pack_columns(
    b: Builder,
    arithmetic: Arithmetic,
    k: Value,
    n: Value,
    right: Operand,
    j: Value,
    first: int,
    masks: Masks,
    room: Value,
) -> Operand:
    """Copy B(0 .. k, j .. j + panel) to `room` as one panel of len(masks) * lanes columns.

    `room` holds k + lanes rows. Lanes that a mask declares dead are copied from anywhere in the operand or are zero.
    """
    panel = len(masks) * arithmetic.lanes
    if right.layout in ("row", "panel"):
        live = masks if right.layout == "row" else [None] * len(masks)
        walk = column_walk(b, arithmetic.element, right, j, len(masks), arithmetic.lanes, first)
        _copy(b, arithmetic, k, walk, live, room)
    else:
        partial = any(mask is not None for mask in masks)
        with b.loop(b.i64(0), b.i64(panel), arithmetic.lanes) as loop:
            offsets = _row_offsets(b, arithmetic.lanes, n, right, b.add(j, loop.index), partial)
            _transpose_rows(b, arithmetic, k, right, offsets, b.gep(arithmetic.element, room, loop.index), panel)
    return Operand(room, "panel", panel=panel, rows=k)


def _copy(b: Builder, arithmetic: Arithmetic, k: Value, walk: Walk, live: Masks, room: Value) -> None:
    """The panel row by row."""
    element, lanes = arithmetic.element, arithmetic.lanes
    with b.loop(b.i64(0), k, 1, [walk.pointer, room]) as loop:
        source, target = loop.carried
        for w, (offset, mask) in enumerate(zip(walk.offsets, live, strict=True)):
            vector = arithmetic.load(b, b.gep(element, source, offset), mask)
            b.store(vector, b.gep(element, target, b.i64(w * lanes)))
        loop.next = [b.gep(element, source, walk.step), b.gep(element, target, b.i64(len(live) * lanes))]


def _row_offsets(b: Builder, lanes: int, n: Value, right: Operand, j: Value, partial: bool) -> list[Value]:
    """Where the stored rows j .. j + lanes start; with `partial`, those from n on stand for row n - 1."""
    step = integer(right.stride if right.layout == "transposed" else right.panel)
    rows = [b.add(j, b.i64(r)) for r in range(lanes)]
    if partial:
        last = b.sub(n, b.i64(1))
        return [b.mul(b.minimum(row, last), step) for row in rows]
    first = b.mul(j, step)
    return [b.add(first, b.mul(b.i64(r), step)) for r in range(lanes)]


def _transpose_rows(
    b: Builder, arithmetic: Arithmetic, k: Value, right: Operand, offsets: list[Value], room: Value, panel: int
) -> None:
    """Lane r of row k of `room` becomes element k of the stored row at offsets[r]."""
    lanes = b.i64(arithmetic.lanes)

    def block(start: Value, mask: Value | None) -> None:
        """Steps start .. start + lanes of k."""
        inner = start
        if right.layout == "panel_transposed":
            width = b.i64(right.panel)
            inner = panel_offset(b, start, width, b.mul(integer(right.rows), width))
        source = b.gep(arithmetic.element, right.pointer, inner)
        rows = [arithmetic.load(b, b.gep(arithmetic.element, source, o), mask) for o in offsets]
        target = b.gep(arithmetic.element, room, b.mul(start, b.i64(panel)))
        chunk = CHUNK_BYTES // natural_alignment(arithmetic.element)
        for t, column in enumerate(transpose(b, rows, chunk)):
            b.store(column, b.gep(arithmetic.element, target, b.i64(t * panel)))

    if right.layout == "panel_transposed":
        _each(b, b.i64(0), k, arithmetic.lanes, lambda start: block(start, None))
        return
    rest = b.urem(k, lanes)
    whole = b.sub(k, rest)
    _each(b, b.i64(0), whole, arithmetic.lanes, lambda start: block(start, None))
    if rest.literal != 0:
        _each(b, whole, k, arithmetic.lanes, lambda start: block(start, b.lane_mask(rest, arithmetic.lanes)))


def _each(b: Builder, start: Value, stop: Value, step: int, body: Callable[[Value], None]) -> None:
    """The body for every index of a range; nothing for one known to be empty."""
    if start.literal is None or stop.literal is None or start.literal < stop.literal:
        with b.loop(start, stop, step) as loop:
            body(loop.index)
