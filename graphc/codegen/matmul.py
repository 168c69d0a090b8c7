"""Matrix multiplication as LLVM text: loops over register tiles, packing, and an epilogue on the accumulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from graphc.codegen.llvm import Builder, Value, natural_alignment
from graphc.codegen.matmul_pack import CHUNK_BYTES, pack_columns
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, column_walk, emit_tile, row_walk
from graphc.codegen.transpose import transpose
from graphc.errors import InternalError
from graphc.runtime.targets import Target
from graphc.schedule.tiles import TilePlan

__all__ = ["Epilogue", "Operand", "emit_matmul"]


class Epilogue(Protocol):
    """What happens to the accumulators of a matmul."""

    def __call__(self, b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None, /) -> None:
        """Consume elements (i, j) ... (i, j + lanes - 1), j a multiple of lanes.

        The accumulator has `plan.lanes` lanes (a scalar for one); `mask` holds the live ones, None when all live.
        """


def emit_matmul(
    b: Builder,
    target: Target,
    dtype: str,
    m: Value,
    n: Value,
    k: Value,
    a: Operand,
    b_: Operand,
    plan: TilePlan,
    epilogue: Epilogue,
    scratch: Value | None = None,
) -> None:
    """C[i, j] = sum over ascending k of A(i, k) * B(k, j) for i < m, j < n, each vector handed to the epilogue once.

    m, n and k are i64, literal or not; with k = 0 the epilogue gets zeros. An element's bits are the same in every tile
    and for every m and n: one accumulator, plain ascending k. Nothing outside the operands is touched, padding lanes of
    panels apart. `scratch` is 64-byte aligned, `plan.scratch_bytes(k)` long, and may be None where that is zero.
    """
    if plan.swapped:
        m, n, a, b_ = n, m, b_.flipped(), a.flipped()
    if scratch is None and (plan.pack or plan.buffered):
        raise InternalError("matmul: the plan needs scratch and none was given")
    arithmetic = Arithmetic.of(target, dtype, plan.lanes)
    _Matmul(b, arithmetic, m, n, k, a, b_, plan, epilogue, scratch or Value("ptr", "null")).emit()


@dataclass(frozen=True)
class _Panel:
    """Columns j ... of C, one vector a mask, and where their part of B is: from `column` of `operand`.

    j is `first` plus a multiple of the panel's extent.
    """

    j: Value
    first: int
    masks: Masks
    operand: Operand
    column: Value

    @property
    def load_masks(self) -> Masks:
        """What of B may be loaded: panels are padded, rows are not."""
        return self.masks if self.operand.layout == "row" else [None] * len(self.masks)


@dataclass(frozen=True)
class _Matmul:
    """One contraction being emitted."""

    b: Builder
    arithmetic: Arithmetic
    m: Value
    n: Value
    k: Value
    left: Operand
    right: Operand
    plan: TilePlan
    epilogue: Epilogue
    scratch: Value

    def emit(self) -> None:
        """All tiles, in the plan's order."""
        if not self.plan.columns_outer:
            self._rows(lambda i, height: self._columns(lambda panel: self._tile(i, height, panel)))
            return
        self._columns(lambda panel: self._rows_of(self._packed(panel) if self.plan.pack else panel))

    def _rows_of(self, panel: _Panel) -> None:
        """All tiles of some columns."""
        self._rows(lambda i, height: self._tile(i, height, panel))

    def _packed(self, panel: _Panel) -> _Panel:
        """The panel with its part of B copied to scratch."""
        room = self.b.gep("i8", self.scratch, self.b.i64(self.plan.buffer_bytes))
        operand = pack_columns(
            self.b, self.arithmetic, self.k, self.n, self.right, panel.j, panel.first, panel.masks, room
        )
        return replace(panel, operand=operand, column=self.b.i64(0), first=0)

    # -- loops over tiles -------------------------------------------------------------------------------------------

    def _columns(self, body: Callable[[_Panel], None]) -> None:
        """The body for every column panel; each width and mask is emitted once."""
        b, lanes, width = self.b, self.plan.lanes, self.plan.width

        def panel(j: Value, masks: Masks, first: int = 0) -> None:
            body(_Panel(j, first, masks, self.right, j))

        if self.n.literal is not None:
            for start, extent, count in self.plan.columns(self.n.literal):
                first, last = start * lanes, (start + extent * count) * lanes
                rest = self.n.literal - (last - lanes)
                masks: list[Value | None] = [None] * extent
                if rest < lanes:
                    masks[-1] = b.lane_mask(b.i64(rest), lanes)
                each = partial(panel, masks=masks, first=first)
                self._each(b.i64(first), b.i64(last), extent * lanes, each)
            return
        whole = b.i64(0)
        if not self.plan.swapped:
            whole = b.sub(self.n, b.urem(self.n, b.i64(width * lanes)))
            self._each(b.i64(0), whole, width * lanes, lambda j: panel(j, [None] * width))
        with b.loop(whole, self.n, lanes) as loop:
            live = b.minimum(b.sub(self.n, loop.index), b.i64(lanes))
            panel(loop.index, [b.lane_mask(live, lanes)])

    def _rows(self, body: Callable[[Value, Value], None]) -> None:
        """The body for every row tile: its first row and its height, a literal where the tile emits one height only."""
        b, height = self.b, self.plan.height
        if self.m.literal is not None:
            for start, extent, count in self.plan.rows(self.m.literal):
                stop = b.i64(start + extent * count)
                self._each(b.i64(start), stop, extent, partial(self._of_height, body, extent))
            return
        if self.plan.buffered:
            self._shared_rows(body)
            return
        i = b.sub(self.m, b.urem(self.m, b.i64(height)))
        self._each(b.i64(0), i, height, partial(self._of_height, body, height))
        for rest in self.plan.remainders:
            following = b.add(i, b.i64(rest))
            fits = b.icmp("sle", following, self.m)
            with b.when(fits):
                body(i, b.i64(rest))
            i = b.select(fits, following, i)

    def _of_height(self, body: Callable[[Value, Value], None], height: int, i: Value) -> None:
        """The body for a tile of constant height."""
        body(i, self.b.i64(height))

    def _shared_rows(self, body: Callable[[Value, Value], None]) -> None:
        """One loop over tiles whose height is chosen as it runs, so that they share an epilogue."""
        b, height = self.b, self.plan.height
        i = b.sub(self.m, b.urem(self.m, b.i64(height)))
        tiles = b.udiv(self.m, b.i64(height))
        for rest in self.plan.remainders:
            following = b.add(i, b.i64(rest))
            fits = b.icmp("sle", following, self.m)
            i = b.select(fits, following, i)
            tiles = b.select(fits, b.add(tiles, b.i64(1)), tiles)
        with b.loop(b.i64(0), tiles, 1, [b.i64(0)]) as loop:
            first = loop.carried[0]
            left = b.sub(self.m, first)
            extent = b.i64(1)
            for candidate in sorted({height, *self.plan.remainders} - {1}):
                extent = b.select(b.icmp("sge", left, b.i64(candidate)), b.i64(candidate), extent)
            body(first, extent)
            loop.next = [b.add(first, extent)]

    def _each(self, start: Value, stop: Value, step: int, body: Callable[[Value], None]) -> None:
        """The body for every index of a range, without a loop where it is known to be one."""
        first, last = start.literal, stop.literal
        if first is not None and last is not None and last - first <= step:
            if first < last:
                body(start)
            return
        with self.b.loop(start, stop, step) as loop:
            body(loop.index)

    # -- one tile ---------------------------------------------------------------------------------------------------

    def _tile(self, i: Value, height: Value, panel: _Panel) -> None:
        """Compute one tile and run its epilogue."""
        if self.plan.swapped:
            self._finish_transposed(i, height, panel, self._sums(i, literal(height), panel))
        elif not self.plan.buffered:
            for r, row in enumerate(self._sums(i, literal(height), panel)):
                self._finish(self.b.add(i, self.b.i64(r)), panel, row)
        else:
            self._fill(i, height, panel)
            width = len(panel.masks)
            with self.b.loop(self.b.i64(0), height, nonempty=True) as loop:
                row = [self._load(loop.index, w, width) for w in range(width)]
                self._finish(self.b.add(i, loop.index), panel, row)

    def _sums(self, i: Value, height: int, panel: _Panel) -> list[list[Value]]:
        """The accumulators of a tile of constant height, [height][width]."""
        element, lanes = self.arithmetic.element, self.plan.lanes
        rows = row_walk(self.b, element, self.left, i, height)
        columns = column_walk(self.b, element, panel.operand, panel.column, len(panel.masks), lanes, panel.first)
        k = self.k.literal
        unroll = self.plan.unroll if k is not None and k % self.plan.unroll == 0 else 1
        return emit_tile(self.b, self.arithmetic, self.k, rows, columns, panel.load_masks, unroll)

    def _finish(self, i: Value, panel: _Panel, row: Sequence[Value]) -> None:
        """The epilogue of one row of a tile."""
        for w, (accumulator, mask) in enumerate(zip(row, panel.masks, strict=True)):
            j = self.b.add(panel.j, self.b.i64(w * self.plan.lanes))
            self.epilogue(self.b, i, j, accumulator, mask)

    def _fill(self, i: Value, height: Value, panel: _Panel) -> None:
        """The tile's accumulators into the buffer, by code for its height."""
        if height.literal is not None:
            self._spill(self._sums(i, height.literal, panel))
            return
        for candidate in (self.plan.height, *self.plan.remainders):
            with self.b.when(self.b.icmp("eq", height, self.b.i64(candidate))):
                self._spill(self._sums(i, candidate, panel))

    def _finish_transposed(self, j: Value, height: Value, panel: _Panel, sums: list[list[Value]]) -> None:
        """The epilogue of a tile of C': its columns are rows of C, as many as are left."""
        b, lanes = self.b, self.plan.lanes
        chunk = CHUNK_BYTES // natural_alignment(self.arithmetic.element)
        square = [row[0] for row in sums] + [self.arithmetic.zero] * (lanes - len(sums))
        self._spill([[row] for row in transpose(b, square, chunk)])
        mask = None if literal(height) == lanes else b.lane_mask(height, lanes)
        rows = b.minimum(b.sub(self.n, panel.j), b.i64(lanes))
        with b.loop(b.i64(0), rows, nonempty=True) as loop:
            self.epilogue(b, b.add(panel.j, loop.index), j, self._load(loop.index, 0, 1), mask)

    def _spill(self, sums: list[list[Value]]) -> None:
        """Accumulators to the buffer, row by row."""
        for position, value in enumerate(value for row in sums for value in row):
            offset = self.b.i64(position * self.plan.lanes)
            self.b.store(value, self.b.gep(self.arithmetic.element, self.scratch, offset))

    def _load(self, row: Value, w: int, width: int) -> Value:
        """One vector of a row of the buffer."""
        b, lanes = self.b, self.plan.lanes
        offset = b.add(b.mul(row, b.i64(width * lanes)), b.i64(w * lanes))
        return b.load(self.arithmetic.vector, b.gep(self.arithmetic.element, self.scratch, offset))


def literal(value: Value) -> int:
    """The integer of a literal."""
    if value.literal is None:
        raise InternalError(f"matmul: the height {value} of a tile should be known here")
    return value.literal
