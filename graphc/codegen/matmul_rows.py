"""Row tiles of a matmul: the order they run in, their side of A, their sums over k, and the epilogue on registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.codegen.matmul_tile import Arithmetic, Masks, Operand, Walk, column_walk, emit_tile, for_each, row_walk
from graphc.schedule.tiles import TilePlan


class Epilogue(Protocol):
    """What happens to the accumulators of a matmul."""

    def __call__(self, b: Builder, i: Value, j: Value, accumulator: Value, mask: Value | None, /) -> None:
        """Consume elements (i, j) ... (i, j + lanes - 1), j a multiple of lanes.

        The accumulator has `plan.lanes` lanes (a scalar for one); `mask` holds the live ones, None when all live.
        """


@dataclass(frozen=True)
class Panel:
    """Columns j ... of C, `tiles` times one vector a mask, and where their part of B is: from `column` of `operand`.

    j is `first` plus a multiple of a tile's extent. With `clamp`, columns from n on are computed but not used.
    `leading` are the first columns of all, whose tiles pack A as they go.
    """

    j: Value
    first: int
    masks: Masks
    operand: Operand
    column: Value
    tiles: Value
    clamp: bool = False
    leading: bool = False

    @property
    def load_masks(self) -> Masks:
        """What of B may be loaded: panels are padded, rows are not."""
        return self.masks if self.operand.layout == "row" else [None] * len(self.masks)


@dataclass(frozen=True)
class Steps:
    """Some steps of k, so many in a round of their loop; `first` None: all of them, from zero."""

    first: Value | None
    count: Value
    unroll: int

    @classmethod
    def few(cls, b: Builder, origin: Value, start: int, stop: int) -> Steps:
        """Those of a range, from an origin on, without a loop."""
        return cls(b.add(origin, b.i64(start)), b.i64(stop - start), max(stop - start, 1))


@dataclass(frozen=True)
class Rows:
    """What all row tiles of one contraction share."""

    b: Builder
    arithmetic: Arithmetic
    m: Value
    n: Value
    k: Value
    left: Operand
    plan: TilePlan
    epilogue: Epilogue
    scratch: Value

    def all(self, body: Callable[[Value, int], None]) -> None:
        """The body for every row tile, where they do not depend on blocks."""
        for first, stop, heights in self.runs(self.m, self.m):
            self.each(first, stop, heights, body)

    def each(self, first: Value, stop: Value, heights: tuple[int, ...], body: Callable[[Value, int], None]) -> None:
        """The body for every tile of a range of rows: as many of the first height as fit, then smaller ones."""
        b, (height, *smaller) = self.b, heights
        whole = b.sub(stop, b.urem(b.sub(stop, first), b.i64(height)))
        for_each(b, first, whole, height, lambda i: body(i, height))
        self.remainder(whole, stop, smaller, body)

    def remainder(self, i: Value, stop: Value, heights: Sequence[int], body: Callable[[Value, int], None]) -> None:
        """The body for tiles that each fit once, the tallest first."""
        b = self.b
        for height in heights:
            following = b.add(i, b.i64(height))
            fits = b.icmp("sle", following, stop)
            with b.when(fits):
                body(i, height)
            i = b.select(fits, following, i)

    def runs(self, size: Value, whole: Value) -> list[tuple[Value, Value, tuple[int, ...]]]:
        """Ranges that make up `size` rows, with the heights of their tiles: first of all, then of what is left over.

        A size that is not literal is that of a block, whole tiles high but for the last block of `whole` rows.
        """
        b = self.b
        if size.literal is not None:
            runs = self.plan.rows(size.literal)
            return [(b.i64(r.start), b.i64(r.start + r.extent * r.tiles), (r.extent,)) for r in runs]
        return [(b.i64(0), size, self.heights(whole))]

    def heights(self, size: Value) -> tuple[int, ...]:
        """Of tiles that make up so many rows: the main one, which many have, and those that one may have."""
        height = self.plan.height
        if size.literal is None:
            return (height, *self.plan.remainders)
        rest = size.literal % height
        return (height, rest) if rest else (height,)

    def walk(self, i: Value, height: int, panel: Panel) -> tuple[Walk, Walk | None]:
        """The tile of A from row i on: where it is, or packed in scratch; and where the first columns copy it to."""
        b, element, plan = self.b, self.arithmetic.element, self.plan
        source = row_walk(b, element, self.left, i, height)
        if not plan.pack_left:
            return source, None
        depth = b.add(self.k, b.i64(plan.lanes))
        start = b.add(b.mul(depth, b.i64(plan.row_bytes)), b.i64(plan.buffer_bytes))
        room = b.gep(element, b.gep("i8", self.scratch, start), b.mul(i, depth))
        packed = Walk(room, tuple(b.i64(r) for r in range(height)), b.i64(height))
        return (source, packed) if panel.leading else (packed, None)

    def zeros(self, height: int, panel: Panel) -> list[Value]:
        """What the accumulators of a tile start from."""
        return [self.arithmetic.zero] * (height * len(panel.masks))

    def sums(self, i: Value, height: int, panel: Panel, start: list[Value], steps: Steps) -> list[Value]:
        """The accumulators of a tile at the panel's first columns, row by row, after some steps of k."""
        b, element = self.b, self.arithmetic.element
        rows, copy = self.walk(i, height, panel)
        columns = column_walk(b, element, panel.operand, panel.column, len(panel.masks), self.plan.lanes, panel.first)
        if steps.first is not None:
            rows, columns = rows.at(b, element, steps.first), columns.at(b, element, steps.first)
        count = steps.count
        unroll = steps.unroll if count.literal is not None and count.literal % steps.unroll == 0 else 1
        return emit_tile(b, self.arithmetic, count, rows, columns, panel.load_masks, unroll, start, copy=copy)

    def direct(self, panel: Panel, i: Value, height: int) -> None:
        """One tile with the epilogue on its registers."""
        steps = Steps(None, self.k, self.plan.unroll)
        self.finish_tile(i, panel, self.sums(i, height, panel, self.zeros(height, panel), steps))

    def finish_tile(self, i: Value, panel: Panel, sums: list[Value]) -> None:
        """The epilogue of the rows of a tile."""
        width = len(panel.masks)
        for r in range(len(sums) // width):
            self.finish(self.b.add(i, self.b.i64(r)), panel, sums[r * width : (r + 1) * width])

    def finish(self, i: Value, panel: Panel, row: Sequence[Value]) -> None:
        """The epilogue of one row of a tile."""
        for w, (accumulator, mask) in enumerate(zip(row, panel.masks, strict=True)):
            j = self.b.add(panel.j, self.b.i64(w * self.plan.lanes))
            self.epilogue(self.b, i, j, accumulator, mask)
