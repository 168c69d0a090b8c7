"""The loop IR: kernels as loops over axes, with loads, elementwise computations, reductions and stores.

    kernel  ::= stmt*
    stmt    ::= Loop(axis, kind, stmt*)              serial: one by one; lanes: a vector at a time; block: all at once
              | Reduce(axes, lanes, folds, stmt*)    folds values over its axes; results hold after it
              | Contract(m, n, k, lhs, rhs, stmt*)   a matmul; its statements run on each vector of the result
              | Sweep(axis, carries, stmt*)          one by one, each round with what the one before it carried
              | Sort(source, target, size)           the order of a row
              | Convolve(rows, columns, over, …)     sums of products to memory, where guards hold
              | Literal | Position | Range | Load | Compute | Store

A value is named by a number. It is one scalar where it does not depend on a lanes or block axis, else one element a
lane. Axes, indices and buffers are those of `graphc.schedule.access`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal as OneOf
from typing import TypeAlias

from graphc.errors import Site
from graphc.ir.dim import Size
from graphc.ir.node import Op
from graphc.ir.types import DType
from graphc.schedule.access import Access, Axis, Buffer, Index, Row
from graphc.schedule.tiles import Layout, TilePlan


@dataclass(frozen=True)
class Literal:
    """A scalar constant, by its bytes."""

    result: int
    dtype: DType
    data: bytes


@dataclass(frozen=True)
class Range:
    """An index as a number: iota."""

    result: int
    dtype: DType
    index: Index


@dataclass(frozen=True)
class Position:
    """An integer value made fit to index with: a negative one counted from the end, all clamped to 0 … size − 1."""

    result: int
    value: int
    size: Size


@dataclass(frozen=True)
class Load:
    """Read memory; zero where `places`, the size of an axis that is read at a `Position`, is 0."""

    result: int
    access: Access
    places: Size = 1


@dataclass(frozen=True)
class Compute:
    """An elementwise op; `dtype` is the result's."""

    result: int
    dtype: DType
    op: Op
    operands: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """Write memory."""

    access: Access
    value: int


@dataclass(frozen=True)
class Fold:
    """One accumulator of a `Reduce`: `op` is a `Reduction` or an `ArgReduction`, `dtype` the result's."""

    result: int
    op: Op
    dtype: DType
    value: int


@dataclass(frozen=True)
class Loop:
    """Run the body for each index of the axis."""

    axis: Axis
    kind: OneOf["serial", "lanes", "block"]
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Reduce:
    """Fold values over a nest of axes, outermost first. With `lanes` the last one goes a vector at a time.

    Without axes it folds over the lanes of the block around it.
    """

    axes: tuple[Axis, ...]
    lanes: bool
    folds: tuple[Fold, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Matrix:
    """An operand of a `Contract`: a stored matrix at an offset, as it is or transposed."""

    buffer: Buffer
    offset: Index
    rows: Size  # of the matrix as stored
    columns: Size
    transposed: bool

    @property
    def layout(self) -> Layout:
        """What the tile planner calls it."""
        if self.buffer.panel:
            return "panel_transposed" if self.transposed else "panel"
        return "transposed" if self.transposed else "row"


@dataclass(frozen=True)
class Contract:
    """result[m, n] = Σ_k lhs[m, k]·rhs[k, n]; the body runs for each row m and vector of columns n."""

    result: int
    dtype: DType
    m: Axis
    n: Axis
    k: Size
    lhs: Matrix
    rhs: Matrix
    plan: TilePlan
    scratch: Buffer | None
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Carry:
    """A value that a `Sweep` carries round: `start` (its bytes) in the first round, then `next` of the one before."""

    result: int
    dtype: DType
    start: bytes
    next: int


@dataclass(frozen=True)
class Sweep:
    """Run the body for each index of the axis, in order; the results of carries are known in it."""

    axis: Axis
    carries: tuple[Carry, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Sort:
    """target = the places (i64) of the source's elements in order; equals in order of place, NaNs as the largest."""

    source: Row
    target: Row
    size: Size
    descending: bool
    scratch: Buffer


@dataclass(frozen=True)
class Guard:
    """What holds where 0 ≤ index < size."""

    index: Index
    size: Size


@dataclass(frozen=True)
class Convolve:
    """into[rows, columns] = Σ lhs·rhs over the axes `over` (outermost first), of the terms for which all guards hold.

    With `accumulate` the sums start from what is there. The sums and rhs are contiguous along the columns, lhs is
    too or does not depend on them. A guard may speak of one axis of `over`, with a positive coefficient; where it also
    speaks of rows, then of nothing else that is not a number.
    """

    dtype: DType
    into: Row
    rows: tuple[Axis, ...]
    columns: Axis
    over: tuple[Axis, ...]
    lhs: Row
    rhs: Row
    guards: tuple[Guard, ...]
    plan: TilePlan
    accumulate: bool = False
    scratch: tuple[Buffer, ...] = ()  # which of its buffers only this kernel sees

    @property
    def places(self) -> tuple[Row, Row, Row]:
        """Whatever it touches, the sums first."""
        return self.into, self.lhs, self.rhs


Stmt: TypeAlias = (
    Loop | Reduce | Contract | Sweep | Sort | Convolve | Literal | Range | Position | Load | Compute | Store
)


@dataclass(frozen=True)
class Kernel:
    """A function of buffers and symbols. `label` names what it computes, for people and profiles.

    `sites` are the user's lines that it computes, `reads_old` the Variables (or carries of a loop) whose value at the
    start of the entry (or of the round) it reads: facts about the kernel, no part of what it is.
    """

    label: str
    body: tuple[Stmt, ...]
    sites: tuple[Site, ...] = field(default=(), compare=False)
    reads_old: tuple[str, ...] = field(default=(), compare=False)

    def statements(self) -> Iterator[Stmt]:
        """Every statement, outer ones first."""
        return walk(self.body)

    def buffers(self) -> tuple[Buffer, ...]:
        """The buffers it touches, in order of first use."""
        found: dict[Buffer, None] = {}
        for statement in self.statements():
            match statement:
                case Load(access=access) | Store(access=access):
                    found[access.buffer] = None
                case Contract(lhs=lhs, rhs=rhs, scratch=scratch):
                    found |= dict.fromkeys([lhs.buffer, rhs.buffer, *([scratch] if scratch else [])])
                case Sort(source=source, target=target, scratch=scratch):
                    found |= dict.fromkeys([source.buffer, target.buffer, scratch])
                case Convolve(places=places):
                    found |= dict.fromkeys(p.buffer for p in places)
        return tuple(found)

    def sizes(self) -> Iterator[Size]:
        """The sizes its code computes with: extents, strides, offsets."""
        for statement in self.statements():
            match statement:
                case Loop(axis=axis) | Sweep(axis=axis):
                    yield axis.extent
                case Reduce(axes=axes):
                    yield from (a.extent for a in axes)
                case Contract(m=m, n=n, k=k, lhs=lhs, rhs=rhs):
                    yield from (m.extent, n.extent, k)
                    for matrix in (lhs, rhs):
                        yield from (matrix.rows, matrix.columns, *matrix.offset.sizes())
                case Sort(source=source, target=target, size=size):
                    yield from (size, *source.offset.sizes(), *target.offset.sizes())
                case Convolve():
                    yield from (a.extent for a in (*statement.rows, statement.columns, *statement.over))
                    for place in statement.places:
                        yield from place.offset.sizes()
                    for guard in statement.guards:
                        yield from (guard.size, *guard.index.sizes())
                case Position(size=size):
                    yield size
                case Range(index=index):
                    yield from index.sizes()
                case Load(access=access, places=places):
                    yield from (places, *access.linear().sizes())
                case Store(access=access):
                    yield from access.linear().sizes()

    def renamed(self, names: Mapping[Buffer, Buffer]) -> Kernel:
        """The same kernel over other buffers."""
        return replace(self, body=tuple(rename(s, names) for s in self.body))

    def scratch(self) -> tuple[Buffer, ...]:
        """Memory it needs only while it runs."""
        found: dict[Buffer, None] = {}
        for statement in self.statements():
            match statement:
                case Contract(scratch=Buffer() as scratch) | Sort(scratch=scratch):
                    found[scratch] = None
                case Convolve(scratch=buffers):
                    found |= dict.fromkeys(buffers)
        return tuple(found)

    def writes(self) -> tuple[Buffer, ...]:
        """The buffers it stores to (scratch apart)."""
        found: dict[Buffer, None] = {}
        for statement in self.statements():
            match statement:
                case (
                    Store(access=Access(buffer=buffer))
                    | Sort(target=Row(buffer=buffer))
                    | Convolve(into=Row(buffer=buffer))
                ):
                    found[buffer] = None
        scratch = self.scratch()
        return tuple(b for b in found if b not in scratch)


def walk(body: Sequence[Stmt]) -> Iterator[Stmt]:
    """Every statement of a body, outer ones first."""
    stack = list(reversed(body))
    while stack:
        statement = stack.pop()
        yield statement
        stack.extend(reversed(getattr(statement, "body", ())))


def rename(statement: Stmt, names: Mapping[Buffer, Buffer]) -> Stmt:
    """A statement, with all in its body, over other buffers."""
    match statement:
        case Load(access=access) | Store(access=access):
            return replace(statement, access=replace(access, buffer=names.get(access.buffer, access.buffer)))
        case Contract(lhs=lhs, rhs=rhs, scratch=scratch):
            statement = replace(
                statement,
                lhs=replace(lhs, buffer=names.get(lhs.buffer, lhs.buffer)),
                rhs=replace(rhs, buffer=names.get(rhs.buffer, rhs.buffer)),
                scratch=names.get(scratch, scratch) if scratch else None,
            )
        case Sort(source=source, target=target, scratch=scratch):
            return replace(
                statement,
                source=source.renamed(names),
                target=target.renamed(names),
                scratch=names.get(scratch, scratch),
            )
        case Convolve():
            into, *operands = (p.renamed(names) for p in statement.places)
            own = tuple(names.get(b, b) for b in statement.scratch)
            return replace(statement, into=into, lhs=operands[0], rhs=operands[1], scratch=own)
    if isinstance(statement, Loop | Reduce | Contract | Sweep):
        return replace(statement, body=tuple(rename(s, names) for s in statement.body))
    return statement
