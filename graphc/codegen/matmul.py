"""Matrix multiplication as LLVM text: loops over register tiles, packing, and an epilogue on the accumulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, vector_type
from graphc.codegen.matmul_pack import Columns, pack_by_parts, pack_columns, pack_rows
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, Walk, column_walk, emit_tile, for_each, row_walk
from graphc.codegen.transpose import load_transposed
from graphc.errors import InternalError
from graphc.runtime.targets import Target
from graphc.schedule.tiles import LINE_BYTES, Run, TilePlan, transposed_columns

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
    if scratch is None and plan.needs_scratch:
        raise InternalError("matmul: the plan needs scratch and none was given")
    arithmetic = Arithmetic.of(target, dtype, plan.lanes)
    _Matmul(b, arithmetic, m, n, k, a, b_, plan, epilogue, scratch or Value("ptr", "null")).emit()


@dataclass(frozen=True)
class _Panel:
    """Columns j ... of C, `tiles` times one vector a mask, and where their part of B is: from `column` of `operand`.

    j is `first` plus a multiple of a tile's extent. With `clamp`, columns from n on are computed but not used.
    """

    j: Value
    first: int
    masks: Masks
    operand: Operand
    column: Value
    tiles: Value
    clamp: bool = False

    @property
    def load_masks(self) -> Masks:
        """What of B may be loaded: panels are padded, rows are not."""
        return self.masks if self.operand.layout == "row" else [None] * len(self.masks)


@dataclass(frozen=True)
class _Steps:
    """Some steps of k, so many in a round of their loop; `first` None: all of them, from zero."""

    first: Value | None
    count: Value
    unroll: int


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
        if self.plan.pack_left:
            self._pack_left()
        if self.plan.ahead:
            self._columns(self._ahead)
            return
        tiles = self._blocks if self.plan.block_rows else self._tiles
        self._columns(lambda panel: tiles(self._packed(panel)))

    def _tiles(self, panel: _Panel) -> None:
        """All tiles of some columns, each with its epilogue."""
        b, extent = self.b, len(panel.masks) * self.plan.lanes

        def rows(tile: Value) -> None:
            shift = b.mul(tile, b.i64(extent))
            columns = replace(panel, j=b.add(panel.j, shift), column=b.add(panel.column, shift))
            self._all_rows(partial(self._direct, columns))

        for_each(b, b.i64(0), panel.tiles, 1, rows)

    def _all_rows(self, body: Callable[[Value, int], None]) -> None:
        """The body for every row tile, where they do not depend on blocks."""
        for first, stop, heights in self._row_runs(self.m, self.m):
            self._rows(first, stop, heights, body)

    def _pack_left(self) -> None:
        """Copy all of A, as many steps of k at once as fill cache lines: their rows stay in L1 for all tiles."""
        b, element, most = self.b, self.arithmetic.element, LINE_BYTES // self.plan.itemsize

        def tile(first: Value, count: Value, i: Value, height: int) -> None:
            source, target = row_walk(b, element, self.left, i, height), self._left(i, height)
            pack_rows(b, element, count, source.at(b, element, first), target.at(b, element, first))

        with b.loop(b.i64(0), self.k, most) as loop:
            even = self.k.literal is not None and self.k.literal % most == 0
            count = b.i64(most) if even else b.minimum(b.sub(self.k, loop.index), b.i64(most))
            self._all_rows(partial(tile, loop.index, count))

    def _left(self, i: Value, height: int) -> Walk:
        """The tile of A from row i on: where it is, or packed in scratch."""
        b, element, plan = self.b, self.arithmetic.element, self.plan
        if not plan.pack_left:
            return row_walk(b, element, self.left, i, height)
        depth = b.add(self.k, b.i64(plan.lanes))
        start = b.add(b.mul(depth, b.i64(plan.row_bytes)), b.i64(plan.buffer_bytes))
        room = b.gep(element, b.gep("i8", self.scratch, start), b.mul(i, depth))
        return Walk(room, tuple(b.i64(r) for r in range(height)), b.i64(height))

    def _packed(self, panel: _Panel) -> _Panel:
        """The panel with its part of B copied to scratch, if the plan says so."""
        if not self.plan.pack:
            return panel
        operand = pack_columns(self.b, self.arithmetic, self.k, self.n, self.right, *self._room(panel))
        return replace(panel, operand=operand, column=self.b.i64(0), first=0)

    def _room(self, panel: _Panel) -> tuple[Columns, Value]:
        """Which columns of B to pack, and where to."""
        columns = Columns(panel.j, panel.tiles, panel.masks, panel.clamp)
        return columns, self.b.gep("i8", self.scratch, self.b.i64(self.plan.buffer_bytes))

    def _ahead(self, panel: _Panel) -> None:
        """All tiles of some columns; the first one packs B as it goes, a part before the one that it multiplies.

        The stores and shuffles of packing hide between FMAs, as many at once do not.
        """
        b, steps = self.b, self.plan.ahead
        operand, pack = pack_by_parts(b, self.arithmetic, self.k, self.n, self.right, *self._room(panel))
        panel = replace(panel, operand=operand, column=b.i64(0), first=0)
        height, step, top = self.plan.ahead_rows, b.i64(steps), b.i64(0)
        last, rest = b.sub(self.k, step), b.i64(height)
        pack(b.i64(0))
        with b.loop(b.i64(0), last, steps, self._zeros(height, panel), nonempty=True) as loop:
            pack(b.add(loop.index, step))
            loop.next = self._sums(top, height, panel, loop.carried, _Steps(loop.index, step, steps))
        sums = self._sums(top, height, panel, loop.results, _Steps(last, step, steps))
        self._finish_tile(top, panel, sums)
        for first, stop, heights in self._row_runs(b.sub(self.m, rest), self.m):
            self._rows(b.add(first, rest), b.add(stop, rest), heights, partial(self._direct, panel))

    # -- loops over tiles -------------------------------------------------------------------------------------------

    def _columns(self, body: Callable[[_Panel], None]) -> None:
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

    def _column_run(self, n: int, run: Run, body: Callable[[_Panel], None]) -> None:
        """The body for every group of tiles of one extent, the last of which may be a smaller group."""
        b, lanes, group = self.b, self.plan.lanes, min(self.plan.group, run.tiles)
        extent = run.extent * lanes
        first, last = run.start * lanes, run.start * lanes + extent * run.tiles
        masks: list[Value | None] = [None] * run.extent
        if n < last:
            masks[-1] = b.lane_mask(b.i64(n - (last - lanes)), lanes)

        def each(j: Value) -> None:
            tiles = b.i64(group)
            if run.tiles % group:
                tiles = b.minimum(tiles, b.udiv(b.sub(b.i64(last), j), b.i64(extent)))
            body(self._panel(j, masks, tiles, first))

        for_each(b, b.i64(first), b.i64(last), extent * group, each)

    def _panel(self, j: Value, masks: Masks, tiles: Value, first: int = 0, clamp: bool = False) -> _Panel:
        """Columns of B where they are."""
        return _Panel(j, first, masks, self.right, j, tiles, clamp)

    def _rows(self, first: Value, stop: Value, heights: tuple[int, ...], body: Callable[[Value, int], None]) -> None:
        """The body for every tile of a range of rows: as many of the first height as fit, then smaller ones."""
        b, (height, *smaller) = self.b, heights
        whole = b.sub(stop, b.urem(b.sub(stop, first), b.i64(height)))
        for_each(b, first, whole, height, lambda i: body(i, height))
        i = whole
        for rest in smaller:
            following = b.add(i, b.i64(rest))
            fits = b.icmp("sle", following, stop)
            with b.when(fits):
                body(i, rest)
            i = b.select(fits, following, i)

    # -- tiles and row blocks ---------------------------------------------------------------------------------------

    def _sums(self, i: Value, height: int, panel: _Panel, start: list[Value], steps: _Steps) -> list[Value]:
        """The accumulators of a tile at the panel's first columns, row by row, after some steps of k."""
        b, element = self.b, self.arithmetic.element
        rows = self._left(i, height)
        columns = column_walk(b, element, panel.operand, panel.column, len(panel.masks), self.plan.lanes, panel.first)
        if steps.first is not None:
            rows, columns = rows.at(b, element, steps.first), columns.at(b, element, steps.first)
        count = steps.count
        unroll = steps.unroll if count.literal is not None and count.literal % steps.unroll == 0 else 1
        return emit_tile(b, self.arithmetic, count, rows, columns, panel.load_masks, unroll, start)

    def _direct(self, panel: _Panel, i: Value, height: int) -> None:
        """One tile with the epilogue on its registers."""
        steps = _Steps(None, self.k, self.plan.unroll)
        self._finish_tile(i, panel, self._sums(i, height, panel, self._zeros(height, panel), steps))

    def _zeros(self, height: int, panel: _Panel) -> list[Value]:
        """What the accumulators of a tile start from."""
        return [self.arithmetic.zero] * (height * len(panel.masks))

    def _finish_tile(self, i: Value, panel: _Panel, sums: list[Value]) -> None:
        """The epilogue of the rows of a tile."""
        width = len(panel.masks)
        for r in range(len(sums) // width):
            self._finish(self.b.add(i, self.b.i64(r)), panel, sums[r * width : (r + 1) * width])

    def _finish(self, i: Value, panel: _Panel, row: Sequence[Value]) -> None:
        """The epilogue of one row of a tile."""
        for w, (accumulator, mask) in enumerate(zip(row, panel.masks, strict=True)):
            j = self.b.add(panel.j, self.b.i64(w * self.plan.lanes))
            self.epilogue(self.b, i, j, accumulator, mask)

    def _blocks(self, panel: _Panel) -> None:
        """All row blocks of some columns; one code for all of them, the last, smaller one too."""
        b, most = self.b, self.plan.block_rows
        if self.m.literal is not None and self.m.literal <= most:
            self._block(b.i64(0), self.m, panel)
            return
        with b.loop(b.i64(0), self.m, most) as loop:
            even = self.m.literal is not None and self.m.literal % most == 0
            size = b.i64(most) if even else b.minimum(b.sub(self.m, loop.index), b.i64(most))
            self._block(loop.index, size, panel)

    def _row_runs(self, size: Value, whole: Value) -> list[tuple[Value, Value, tuple[int, ...]]]:
        """Ranges that make up `size` rows, with the heights of their tiles: first of all, then of what is left over.

        A size that is not literal is that of a block, whole tiles high but for the last block of `whole` rows.
        """
        b, height = self.b, self.plan.height
        if size.literal is not None:
            runs = self.plan.rows(size.literal)
            return [(b.i64(r.start), b.i64(r.start + r.extent * r.tiles), (r.extent,)) for r in runs]
        if whole.literal is None:
            return [(b.i64(0), size, (height, *self.plan.remainders))]
        rest = whole.literal % height
        return [(b.i64(0), size, (height, rest) if rest else (height,))]

    def _block(self, start: Value, size: Value, panel: _Panel) -> None:
        """The rows start .. start + size: k in parts, all tiles for each, sums in the buffer; then the epilogue."""
        b, depth = self.b, self.plan.block_depth
        if not depth or (self.k.literal is not None and self.k.literal <= depth):
            self._block_steps(start, size, panel, _Steps(None, self.k, self.plan.unroll))
        else:
            self._clear(size, panel)
            even = self.k.literal is not None and self.k.literal % depth == 0
            with b.loop(b.i64(0), self.k, depth) as loop:
                count = b.i64(depth) if even else b.minimum(b.sub(self.k, loop.index), b.i64(depth))
                self._block_steps(start, size, panel, _Steps(loop.index, count, self.plan.unroll))
        if self.plan.swapped:
            self._finish_swapped(start, size, panel)
        else:
            self._finish_block(start, size, panel)

    def _clear(self, size: Value, panel: _Panel) -> None:
        """Zero sums for a block."""
        b, width = self.b, len(panel.masks)

        def row(local: Value, tile: Value) -> None:
            for w in range(width):
                b.store(self.arithmetic.zero, self._slot(tile, local, width, w))

        for_each(b, b.i64(0), panel.tiles, 1, lambda t: for_each(b, b.i64(0), size, 1, lambda r: row(r, t)))

    def _block_steps(self, start: Value, size: Value, panel: _Panel, steps: _Steps) -> None:
        """All tiles of a block for some steps of k."""
        b, width = self.b, len(panel.masks)

        def tile(t: Value, local: Value, height: int) -> None:
            slots = [self._slot(t, local, width, p) for p in range(height * width)]
            sums = [self.arithmetic.zero if steps.first is None else b.load(self.arithmetic.vector, s) for s in slots]
            column = b.add(panel.column, b.mul(t, b.i64(width * self.plan.lanes)))
            sums = self._sums(b.add(start, local), height, replace(panel, column=column), sums, steps)
            for value, slot in zip(sums, slots, strict=True):
                b.store(value, slot)

        def rows(t: Value) -> None:
            for first, stop, heights in self._row_runs(size, self.m):
                self._rows(first, stop, heights, partial(tile, t))

        for_each(b, b.i64(0), panel.tiles, 1, rows)

    def _finish_block(self, start: Value, size: Value, panel: _Panel) -> None:
        """The epilogue of a row block, one row a round."""
        b, width = self.b, len(panel.masks)

        def tile(local: Value, t: Value) -> None:
            row = [b.load(self.arithmetic.vector, self._slot(t, local, width, w)) for w in range(width)]
            j = b.add(panel.j, b.mul(t, b.i64(width * self.plan.lanes)))
            self._finish(b.add(start, local), replace(panel, j=j), row)

        for_each(b, b.i64(0), size, 1, lambda r: for_each(b, b.i64(0), panel.tiles, 1, partial(tile, r)))

    def _finish_swapped(self, start: Value, size: Value, panel: _Panel) -> None:
        """The epilogue of a block of C', by squares that are transposed: its rows are columns of C."""
        b, lanes = self.b, self.plan.lanes
        rest = b.urem(size, b.i64(lanes))
        whole = b.sub(size, rest)
        for_each(b, b.i64(0), whole, lanes, lambda row: self._squares(start, row, panel, None))
        if rest.literal != 0:
            for_each(b, whole, size, lanes, lambda row: self._squares(start, row, panel, b.lane_mask(rest, lanes)))

    def _squares(self, start: Value, row: Value, panel: _Panel, mask: Value | None) -> None:
        """The squares of the buffer's rows row .. row + lanes."""
        b, lanes, width = self.b, self.plan.lanes, len(panel.masks)
        element, itemsize = self.arithmetic.element, self.plan.itemsize
        part = transposed_columns(lanes, itemsize)

        def square(t: Value, w: Value) -> None:
            tile = b.add(b.mul(t, b.i64(self.plan.block_rows)), row)
            base = b.add(b.mul(tile, b.i64(width)), w)

            def load(start: int, r: int) -> Value:
                return b.load(vector_type(element, part), b.gep(element, self._vector(base, r * width), b.i64(start)))

            for start_ in range(0, lanes, part):
                for c, column in enumerate(load_transposed(b, lanes, itemsize, partial(load, start_)), start_):
                    b.store(column, b.gep(self.arithmetic.vector, self.scratch, b.i64(c)))
            first = b.add(panel.j, b.mul(b.add(b.mul(t, b.i64(width)), w), b.i64(lanes)))
            count = b.minimum(b.sub(self.n, first), b.i64(lanes))
            with b.loop(b.i64(0), count) as loop:
                accumulator = b.load(self.arithmetic.vector, b.gep(self.arithmetic.vector, self.scratch, loop.index))
                self.epilogue(b, b.add(first, loop.index), b.add(start, row), accumulator, mask)

        for_each(b, b.i64(0), panel.tiles, 1, lambda t: for_each(b, b.i64(0), b.i64(width), 1, partial(square, t)))

    def _slot(self, tile: Value, row: Value, width: int, position: int) -> Value:
        """Where the buffer keeps a vector of a row block: tile by tile, row by row."""
        b = self.b
        base = b.mul(b.add(b.mul(tile, b.i64(self.plan.block_rows)), row), b.i64(width))
        return self._vector(base, position)

    def _vector(self, base: Value, position: int) -> Value:
        """Vector base + position of the buffer."""
        b = self.b
        buffer = b.gep("i8", self.scratch, b.i64(self.plan.square_bytes))
        return b.gep(self.arithmetic.vector, buffer, b.add(base, b.i64(position)))
