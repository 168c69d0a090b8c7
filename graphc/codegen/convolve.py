"""Sums of products where guards hold, by register tiles of rows x vectors of columns: see `Convolve` in the loop IR.

A guard that does not depend on the row bounds the loop over its axis. One that does splits that axis, when the code is
written, into runs in each of which the same rows of the tile take part; tiles that are split alike share code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, product
from typing import NamedTuple

from graphc.codegen.emission import Emission
from graphc.codegen.llvm_types import Value
from graphc.codegen.matmul_tile import Arithmetic, Masks, Walk, emit_tile, for_each
from graphc.schedule.access import Axis, Index, Row
from graphc.schedule.convolution_tiles import LANEWISE_UNROLLED
from graphc.schedule.kernel import Convolve, Guard
from graphc.schedule.tile_model import halvings
from graphc.schedule.tiles import unroll

#: What a row of a tile is called: its index along each axis of rows.
Indices = tuple[int, ...]


class Run(NamedTuple):
    """A part of a summed axis, and the rows of the tile (by number) that take part in it."""

    start: Value
    stop: Value
    live: tuple[int, ...]


@dataclass(frozen=True)
class Tile:
    """A register tile: its rows as indices, all of them `shift` further on; its columns, and which of them live."""

    rows: tuple[Indices, ...]
    shift: Value
    column: Value
    masks: Masks


def emit_convolve(k: Emission, statement: Convolve) -> None:
    """All tiles: columns are the outer loop, so that rhs stays in cache."""
    Sums(k, statement).emit()


class Sums:
    """One statement being emitted."""

    def __init__(self, k: Emission, statement: Convolve):
        self.k, self.b, self.of, self.plan = k, k.b, statement, statement.plan
        self.arithmetic = Arithmetic.of(k.target, statement.dtype.name, statement.plan.lanes)
        guarded = [a for a in statement.over if any(a in dict(g.index.terms) for g in statement.guards)]
        self.over = tuple(a for a in statement.over if a.extent != 1 or a in guarded) or statement.over[-1:]
        inner = (*statement.rows, statement.columns, *statement.over)
        self.starts = [self.known(place.offset, inner) for place in statement.places]
        self.bounds = {a: self.bounds_of(a) for a in self.over}

    def known(self, index: Index, unknown: Sequence[Axis]) -> Value:
        """The part of an index that does not depend on some axes."""
        return self.k.scalar_index(Index(tuple(t for t in index.terms if t[0] not in unknown), index.offset))

    def bounds_of(self, axis: Axis) -> tuple[Value, Value]:
        """Where a summed axis runs, as far as its guards are the same for all rows."""
        b, first, last = self.b, self.b.i64(0), self.k.sizes(axis.extent)
        for guard in self.of.guards:
            step = guard.index.coefficient(axis)
            if step == 0 or self.is_static(guard):
                continue
            start = self.known(guard.index, (axis,))
            first = b.maximum(first, self.steps_to(b.sub(b.i64(0), start), step))
            last = b.minimum(last, self.steps_to(b.sub(self.k.sizes(guard.size), start), step))
        return first, last

    def steps_to(self, distance: Value, step: int | object) -> Value:
        """How many steps it takes to go so far at least; none for what lies behind."""
        assert isinstance(step, int)
        return self.b.udiv(self.b.add(self.b.maximum(distance, self.b.i64(0)), self.b.i64(step - 1)), self.b.i64(step))

    def is_static(self, guard: Guard) -> bool:
        """Whether it holds for some rows of a tile and not for others: then all of it is numbers."""
        return any(row in dict(guard.index.terms) for row in self.of.rows)

    # -- tiles ------------------------------------------------------------------------------------------------------

    def emit(self) -> None:
        """Every tile."""
        b, plan, columns = self.b, self.plan, self.k.sizes(self.of.columns.extent)
        if columns.literal is None:
            extent = plan.lanes * plan.width
            whole = b.mul(b.udiv(columns, b.i64(extent)), b.i64(extent))
            for_each(b, b.i64(0), whole, extent, partial(self.all_rows, [None] * plan.width))
            with b.loop(whole, columns, plan.lanes) as loop:
                live = b.minimum(b.sub(columns, loop.index), b.i64(plan.lanes))
                self.all_rows([b.lane_mask(live, plan.lanes)], loop.index)
            return
        for run in plan.columns(columns.literal):
            extent, first = run.extent * plan.lanes, run.start * plan.lanes
            stop = first + extent * run.tiles
            masks: list[Value | None] = [None] * run.extent
            if columns.literal < stop:
                masks[-1] = b.lane_mask(b.i64(columns.literal - (stop - plan.lanes)), plan.lanes)
            for_each(b, b.i64(first), b.i64(stop), extent, partial(self.all_rows, masks))

    def all_rows(self, masks: Masks, column: Value) -> None:
        """The tiles of some columns."""
        b, extents = self.b, [a.extent for a in self.of.rows]

        def tile(rows: tuple[Indices, ...], shift: Value) -> None:
            self.tile(Tile(rows, shift, column, masks))

        if len(extents) == 1 and not isinstance(extents[0], int):
            self.unknown_rows(self.k.sizes(extents[0]), column, masks)
            return
        rows = list(product(*(range(e) for e in extents if isinstance(e, int))))
        tiles = [
            tuple(rows[start : start + run.extent])
            for run in self.plan.rows(len(rows))
            for start in range(run.start, run.start + run.extent * run.tiles, run.extent)
        ]
        if len(extents) != 1:
            for alone in tiles:
                tile(alone, b.i64(0))
            return
        for _, alike in groupby(tiles, self.form):
            first, *others = alike
            height, stop = len(first), (len(others) + 1) * len(first)
            for_each(b, b.i64(0), b.i64(stop), height, partial(tile, first))

    def unknown_rows(self, count: Value, column: Value, masks: Masks) -> None:
        """As many high tiles as fit, then each smaller height where it fits."""
        b, height = self.b, self.plan.height

        def tile(height: int, shift: Value) -> None:
            self.tile(Tile(tuple((r,) for r in range(height)), shift, column, masks))

        i = b.sub(count, b.urem(count, b.i64(height)))
        for_each(b, b.i64(0), i, height, partial(tile, height))
        for rest in halvings(height):
            following = b.add(i, b.i64(rest))
            fits = b.icmp("sle", following, count)
            with b.when(fits):
                tile(rest, i)
            i = b.select(fits, following, i)

    def form(self, rows: tuple[Indices, ...]) -> object:
        """What the code of a tile depends on: its height, and how its axes are split."""
        every = tuple(range(len(rows)))
        return len(rows), [[(r.start, r.stop, r.live) for r in self.runs(a, rows, every)] for a in self.over]

    # -- sums -------------------------------------------------------------------------------------------------------

    def tile(self, tile: Tile) -> None:
        """The sums of one tile, from zero or from what is there."""
        b, element = self.b, self.arithmetic.element
        places = zip(self.of.places, self.starts, strict=True)
        into, lhs, rhs = (self.start(place, start, tile) for place, start in places)
        rows = [self.gep(self.of.into, b.add(into, self.row(self.of.into, r))) for r in tile.rows]
        slots = [b.gep(element, row, b.i64(w * self.plan.lanes)) for row in rows for w in range(len(tile.masks))]
        masks = [*tile.masks] * len(rows)
        sums = [self.arithmetic.zero] * len(slots)
        if self.of.accumulate:
            sums = [self.arithmetic.load(b, slot, mask) for slot, mask in zip(slots, masks, strict=True)]
        sums = self.sum(0, tile, tuple(range(len(rows))), lhs, rhs, sums)
        for value, slot, mask in zip(sums, slots, masks, strict=True):
            if mask is None:
                b.store(value, slot)
            else:
                b.masked_store(value, slot, mask)

    def start(self, place: Row, known: Value, tile: Tile) -> Value:
        """Where a place is at the tile's first column, with the tile's shift but without its rows."""
        b, index = self.b, place.offset
        for row in self.of.rows[:1]:
            known = b.add(known, b.mul(tile.shift, self.k.sizes(index.coefficient(row))))
        return b.add(known, b.mul(tile.column, self.k.sizes(index.coefficient(self.of.columns))))

    def row(self, place: Row, row: Indices) -> Value:
        """How far a row is away."""
        b, total = self.b, self.b.i64(0)
        for axis, i in zip(self.of.rows, row, strict=True):
            total = b.add(total, b.mul(b.i64(i), self.k.sizes(place.offset.coefficient(axis))))
        return total

    def gep(self, place: Row, offset: Value) -> Value:
        """An address that may lie outside its buffer as long as nothing is read there."""
        pointer = self.k.addresses.pointers[place.buffer]
        return self.b.compute("ptr", f"getelementptr {self.arithmetic.element}, {pointer}, {offset}")

    def runs(self, axis: Axis, rows: Sequence[Indices], live: tuple[int, ...]) -> list[Run]:
        """The parts of a summed axis in which some of the rows take part."""
        first, last = self.bounds[axis]
        guards = [g for g in self.of.guards if g.index.coefficient(axis) != 0 and self.is_static(g)]
        if not guards:
            return [Run(first, last, live)]
        assert isinstance(axis.extent, int)

        def alive(u: int) -> tuple[int, ...]:
            return tuple(r for r in live if all(self.holds(g, axis, rows[r], u) for g in guards))

        found, start = [], 0
        for who, same in groupby(map(alive, range(axis.extent))):
            stop = start + len(list(same))
            if who:
                found.append(Run(self.b.i64(start), self.b.i64(stop), who))
            start = stop
        return found

    def holds(self, guard: Guard, axis: Axis, row: Indices, u: int) -> bool:
        """Whether a static guard holds at a row and an index."""
        at: dict[Axis | int, int] = {axis: u, **dict(zip(self.of.rows, row, strict=True))}
        place = sum((c * at[t] for t, c in guard.index.terms), guard.index.offset)
        assert isinstance(place, int) and isinstance(guard.size, int)
        return 0 <= place < guard.size

    def sum(
        self, depth: int, tile: Tile, live: tuple[int, ...], lhs: Value, rhs: Value, sums: list[Value]
    ) -> list[Value]:
        """The sums of the live rows after the axes from some depth on."""
        b, width, axis = self.b, len(tile.masks), self.over[depth]
        steps = [self.k.sizes(place.offset.coefficient(axis)) for place in (self.of.lhs, self.of.rhs)]
        sums = list(sums)
        for run in self.runs(axis, tile.rows, live):
            taken = [live.index(r) * width + w for r in run.live for w in range(width)]
            part = [sums[i] for i in taken]
            left, right = (b.add(at, b.mul(run.start, step)) for at, step in zip((lhs, rhs), steps, strict=True))
            if self.is_one_loop(depth):
                part = self.products(depth, tile, run, left, right, part)
            elif run.start.literal is not None and run.stop.literal == run.start.literal + 1:
                part = self.sum(depth + 1, tile, run.live, left, right, part)
            else:
                with b.loop(run.start, run.stop, 1, [left, right, *part]) as loop:
                    left, right, *part = loop.carried
                    part = self.sum(depth + 1, tile, run.live, left, right, part)
                    loop.next = [*(b.add(at, s) for at, s in zip(loop.carried, steps, strict=False)), *part]
                part = loop.results[2:]
            for i, value in zip(taken, part, strict=True):
                sums[i] = value
        return sums

    def is_one_loop(self, depth: int) -> bool:
        """Whether the axes from some depth on lie in both operands like a single one, all of which counts."""
        following = self.over[depth + 1 :]
        return not any(g.index.coefficient(a) != 0 for g in self.of.guards for a in following) and all(
            place.offset.coefficient(outer) == place.offset.coefficient(inner) * inner.extent
            for place in (self.of.lhs, self.of.rhs)
            for outer, inner in zip(self.over[depth:], following, strict=False)
        )

    def products(self, depth: int, tile: Tile, run: Run, lhs: Value, rhs: Value, sums: list[Value]) -> list[Value]:
        """One loop over a run and the axes after it, with all sums in registers."""
        b, of, last = self.b, self.of, self.over[-1]
        count = b.sub(run.stop, run.start)
        for axis in self.over[depth + 1 :]:
            count = b.mul(count, self.k.sizes(axis.extent))
        first, *_ = rows = [self.row(of.lhs, tile.rows[r]) for r in run.live]
        offsets = tuple(b.sub(row, first) for row in rows)
        left = Walk(self.gep(of.lhs, b.add(lhs, first)), offsets, self.k.sizes(of.lhs.offset.coefficient(last)))
        across = tuple(b.i64(w * self.plan.lanes) for w in range(len(tile.masks)))
        right = Walk(self.gep(of.rhs, rhs), across, self.k.sizes(of.rhs.offset.coefficient(last)))
        lanewise = of.lhs.offset.coefficient(of.columns) != 0
        rounds = 1
        if count.literal:
            whole = lanewise and count.literal * len(sums) <= LANEWISE_UNROLLED
            rounds = count.literal if whole else unroll(count.literal, len(sums))
        return emit_tile(b, self.arithmetic, count, left, right, tile.masks, rounds, sums, lanewise)
