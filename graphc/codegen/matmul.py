"""Matrix multiplication as LLVM text: loops over register tiles, packing, and an epilogue on the accumulators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.codegen.matmul_kept import Kept
from graphc.codegen.matmul_pack import Columns, pack_by_parts, pack_columns
from graphc.codegen.matmul_rows import Epilogue, Panel, Steps
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, for_each
from graphc.errors import InternalError
from graphc.runtime.targets import Target
from graphc.schedule.tile_model import Run
from graphc.schedule.tiles import TilePlan

__all__ = ["Epilogue", "Operand", "emit_matmul"]


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
    if scratch is None and plan.needs_scratch:
        raise InternalError("matmul: the plan needs scratch and none was given")
    if plan.pack_left and n.literal is None:
        raise InternalError("matmul: the first columns pack A, and it is not known which these are")
    arithmetic = Arithmetic.of(target, dtype, plan.lanes)
    _Matmul(b, arithmetic, m, n, k, a, plan, epilogue, scratch or Value("ptr", "null"), b_).emit()


@dataclass(frozen=True)
class _Matmul(Kept):
    """One contraction being emitted."""

    right: Operand

    def emit(self) -> None:
        """All tiles, in the plan's order."""
        if self.plan.ahead:
            self._columns(self._ahead)
            return
        tiles = self.blocks if self.plan.block_rows and not self.plan.overlap else self._tiles
        self._columns(lambda panel: tiles(self._packed(panel)))

    def _tiles(self, panel: Panel) -> None:
        """All tiles of some columns, one column tile after the other."""
        b, extent = self.b, len(panel.masks) * self.plan.lanes

        def rows(tile: Value) -> None:
            shift = b.mul(tile, b.i64(extent))
            columns = replace(panel, j=b.add(panel.j, shift), column=b.add(panel.column, shift), tiles=b.i64(1))
            if self.plan.overlap:
                self.overlapped(columns)
            else:
                self.all(partial(self.direct, columns))

        for_each(b, b.i64(0), panel.tiles, 1, rows)

    def _packed(self, panel: Panel) -> Panel:
        """The panel with its part of B copied to scratch, if the plan says so."""
        if not self.plan.pack:
            return panel
        operand = pack_columns(self.b, self.arithmetic, self.k, self.n, self.right, *self._room(panel))
        return replace(panel, operand=operand, column=self.b.i64(0), first=0)

    def _room(self, panel: Panel) -> tuple[Columns, Value]:
        """Which columns of B to pack, and where to."""
        columns = Columns(panel.j, panel.tiles, panel.masks, panel.clamp)
        return columns, self.b.gep("i8", self.scratch, self.b.i64(self.plan.buffer_bytes))

    def _ahead(self, panel: Panel) -> None:
        """All tiles of some columns; the first one packs B as it goes, a part before the one that it multiplies.

        The stores and shuffles of packing hide between FMAs, as many at once do not.
        """
        b, height, top = self.b, self.plan.ahead_rows, self.b.i64(0)
        operand, parts = pack_by_parts(b, self.arithmetic, self.k, self.n, self.right, *self._room(panel))
        panel = replace(panel, operand=operand, column=b.i64(0), first=0)
        for part in parts:
            part(b.i64(0), None)
        steps = self.plan.ahead
        cuts = [share * steps // (len(parts) + 1) for share in range(len(parts) + 1)]
        last = b.sub(self.k, b.i64(steps))
        with b.loop(b.i64(0), last, steps, self.zeros(height, panel), nonempty=True) as loop:
            sums, following = list(loop.carried), b.add(loop.index, b.i64(steps))
            for start, stop, part in zip(cuts, cuts[1:], parts, strict=False):
                sums = self.sums(top, height, panel, sums, Steps.few(b, loop.index, start, stop))
                part(following, None)
            loop.next = self.sums(top, height, panel, sums, Steps.few(b, loop.index, cuts[-1], steps))
        self.finish_tile(top, panel, self.sums(top, height, panel, loop.results, Steps.few(b, last, 0, steps)))
        rest = b.i64(height)
        for first, end, heights in self.runs(b.sub(self.m, rest), self.m):
            self.each(b.add(first, rest), b.add(end, rest), heights, partial(self.direct, panel))

    def _columns(self, body: Callable[[Panel], None]) -> None:
        """The body for every group of column tiles; each width and mask is emitted once."""
        if self.n.literal is not None:
            for run in self.plan.columns(self.n.literal):
                self._column_run(self.n.literal, run, body)
            return
        b, width, lanes = self.b, self.plan.width, self.plan.lanes
        extent, one = width * lanes, b.i64(1)
        if self.plan.swapped and self.plan.pack:
            for_each(b, b.i64(0), self.n, extent, lambda j: body(self._panel(j, [None] * width, one, clamp=True)))
            return
        whole = b.sub(self.n, b.urem(self.n, b.i64(extent)))
        for_each(b, b.i64(0), whole, extent, lambda j: body(self._panel(j, [None] * width, one)))
        with b.loop(whole, self.n, lanes) as loop:
            live = b.minimum(b.sub(self.n, loop.index), b.i64(lanes))
            body(self._panel(loop.index, [b.lane_mask(live, lanes)], one))

    def _column_run(self, n: int, run: Run, body: Callable[[Panel], None]) -> None:
        """The body for every group of tiles of one extent, the last of which may be a smaller group."""
        b, lanes, group = self.b, self.plan.lanes, min(self.plan.group, run.tiles)
        extent = run.extent * lanes
        first, last = run.start * lanes, run.start * lanes + extent * run.tiles
        masks: list[Value | None] = [None] * run.extent
        if n < last:
            masks[-1] = b.lane_mask(b.i64(n - (last - lanes)), lanes)

        rest = run.tiles
        if self.plan.pack_left and not first:
            body(replace(self._panel(b.i64(0), masks, b.i64(1)), leading=True))
            first, rest = extent, rest - 1

        def each(j: Value) -> None:
            tiles = b.i64(group)
            if rest % group:
                tiles = b.minimum(tiles, b.udiv(b.sub(b.i64(last), j), b.i64(extent)))
            body(self._panel(j, masks, tiles, first))

        for_each(b, b.i64(first), b.i64(last), extent * group, each)

    def _panel(self, j: Value, masks: Masks, tiles: Value, first: int = 0, clamp: bool = False) -> Panel:
        """Columns of B where they are."""
        return Panel(j, first, masks, self.right, j, tiles, clamp)
