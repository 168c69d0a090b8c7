"""Row tiles of a matmul whose sums wait in scratch for their epilogue: overlapped tiles, and blocks of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from graphc.codegen.llvm_types import Value, vector_type
from graphc.codegen.matmul_rows import Panel, Rows, Steps
from graphc.codegen.matmul_tile import for_each
from graphc.codegen.transpose import load_transposed
from graphc.schedule.tiles import transposed_columns


@dataclass(frozen=True)
class Kept(Rows):
    """Row tiles with a buffer of sums in scratch."""

    def overlapped(self, panel: Panel) -> None:
        """All row tiles of one column tile, the epilogue of each between the steps of k of the next one.

        That of the last one follows, together with the rows that are too few for a tile.
        """
        b, height = self.b, self.plan.height
        whole = b.sub(self.m, b.urem(self.m, b.i64(height)))
        with b.loop(b.i64(0), whole, height) as loop:
            self._keep(self._interleaved(panel, loop.index), b.i64(0), b.i64(0), panel)
        start = b.maximum(b.sub(whole, b.i64(height)), b.i64(0))

        def tile(i: Value, rows: int) -> None:
            sums = self.sums(i, rows, panel, self.zeros(rows, panel), Steps(None, self.k, self.plan.unroll))
            self._keep(sums, b.i64(0), b.sub(i, start), panel)

        self.remainder(whole, self.m, self.heights(self.m)[1:], tile)
        self._finish_block(start, b.sub(self.m, start), panel)

    def _interleaved(self, panel: Panel, i: Value) -> list[Value]:
        """The accumulators of the tile at row i; before each share of its steps of k, a row of the tile above it ends.

        Divisions, and loads that miss, thus overlap with FMAs: too much code to be in flight together lies between
        the last sum of a tile and the first of the next one.
        """
        b, height = self.b, self.plan.height
        above, shares = b.sub(i, b.i64(height)), b.i64(height)
        even = self.k.literal is not None and self.k.literal % height == 0
        with b.loop(b.i64(0), shares, 1, self.zeros(height, panel)) as row:
            with b.when(b.icmp("sgt", i, b.i64(0))):
                self._finish_row(above, row.index, b.i64(0), panel)
            first = b.udiv(b.mul(self.k, row.index), shares)
            stop = b.udiv(b.mul(self.k, b.add(row.index, b.i64(1))), shares)
            count = b.udiv(self.k, shares) if even else b.sub(stop, first)
            row.next = self.sums(i, height, panel, row.carried, Steps(first, count, self.plan.unroll))
        return row.results

    def blocks(self, panel: Panel) -> None:
        """All row blocks of some columns; one code for all of them, the last, smaller one too."""
        b, most = self.b, self.plan.block_rows
        if self.m.literal is not None and self.m.literal <= most:
            self._block(b.i64(0), self.m, panel)
            return
        with b.loop(b.i64(0), self.m, most) as loop:
            even = self.m.literal is not None and self.m.literal % most == 0
            size = b.i64(most) if even else b.minimum(b.sub(self.m, loop.index), b.i64(most))
            self._block(loop.index, size, panel)

    def _block(self, start: Value, size: Value, panel: Panel) -> None:
        """The rows start .. start + size: k in parts, all tiles for each, sums in the buffer; then the epilogue."""
        b, depth = self.b, self.plan.block_depth
        if not depth or (self.k.literal is not None and self.k.literal <= depth):
            self._block_steps(start, size, panel, Steps(None, self.k, self.plan.unroll))
        else:
            even = self.k.literal is not None and self.k.literal % depth == 0
            with b.loop(b.i64(0), b.maximum(self.k, b.i64(1)), depth, nonempty=True) as loop:
                count = b.i64(depth) if even else b.minimum(b.sub(self.k, loop.index), b.i64(depth))
                self._block_steps(start, size, panel, Steps(loop.index, count, self.plan.unroll))
        if self.plan.swapped:
            self._finish_swapped(start, size, panel)
        else:
            self._finish_block(start, size, panel)

    def _block_steps(self, start: Value, size: Value, panel: Panel, steps: Steps) -> None:
        """All tiles of a block for some steps of k; before the first there are no sums in the buffer."""
        b, width = self.b, len(panel.masks)

        def tile(t: Value, local: Value, height: int) -> None:
            sums = self.zeros(height, panel)
            if steps.first is not None:
                slots = [self._slot(t, local, width, p) for p in range(height * width)]
                fresh, before = b.icmp("eq", steps.first, b.i64(0)), [b.load(self.arithmetic.vector, s) for s in slots]
                sums = [b.select(fresh, zero, sum_) for zero, sum_ in zip(sums, before, strict=True)]
            column = b.add(panel.column, b.mul(t, b.i64(width * self.plan.lanes)))
            sums = self.sums(b.add(start, local), height, replace(panel, column=column), sums, steps)
            self._keep(sums, t, local, panel)

        def rows(t: Value) -> None:
            for first, stop, heights in self.runs(size, self.m):
                self.each(first, stop, heights, partial(tile, t))

        for_each(b, b.i64(0), panel.tiles, 1, rows)

    def _finish_block(self, start: Value, size: Value, panel: Panel) -> None:
        """The epilogue of a row block, one row a round."""
        b = self.b

        def row(local: Value) -> None:
            for_each(b, b.i64(0), panel.tiles, 1, lambda t: self._finish_row(start, local, t, panel))

        for_each(b, b.i64(0), size, 1, row)

    def _finish_row(self, start: Value, local: Value, tile: Value, panel: Panel) -> None:
        """The epilogue of a row of the buffer, whose first row is row `start` of C."""
        b, width = self.b, len(panel.masks)
        row = [b.load(self.arithmetic.vector, self._slot(tile, local, width, w)) for w in range(width)]
        j = b.add(panel.j, b.mul(tile, b.i64(width * self.plan.lanes)))
        self.finish(b.add(start, local), replace(panel, j=j), row)

    def _finish_swapped(self, start: Value, size: Value, panel: Panel) -> None:
        """The epilogue of a block of C', by squares that are transposed: its rows are columns of C."""
        b, lanes = self.b, self.plan.lanes
        rest = b.urem(size, b.i64(lanes))
        whole = b.sub(size, rest)
        for_each(b, b.i64(0), whole, lanes, lambda row: self._squares(start, row, panel, None))
        if rest.literal != 0:
            for_each(b, whole, size, lanes, lambda row: self._squares(start, row, panel, b.lane_mask(rest, lanes)))

    def _squares(self, start: Value, row: Value, panel: Panel, mask: Value | None) -> None:
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

    def _keep(self, sums: list[Value], tile: Value, row: Value, panel: Panel) -> None:
        """Store a tile's accumulators in the buffer, from a row on."""
        for position, value in enumerate(sums):
            self.b.store(value, self._slot(tile, row, len(panel.masks), position))

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
