"""The inside of a matmul tile: how its two sides lie in memory, and the loop over k on register accumulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, vector_type
from graphc.runtime.targets import Target
from graphc.schedule.tiles import FLIPPED, LINE_BYTES, Layout

ELEMENT = {"f32": "float", "f64": "double", "i32": "i32", "i64": "i64"}

#: One entry a vector of columns: None where all lanes live, else an i1 vector.
Masks = Sequence[Value | None]


@dataclass(frozen=True)
class Operand:
    """A matrix in memory, strides in elements.

    `row`: the operand is [rows, cols] itself, its rows `stride` apart. `panel`: it is the [rows, cols] matrix stored as
    ceil(cols / panel) panels of rows x panel, element (r, c) at (c // panel) * rows * panel + r * panel + c % panel;
    padding lanes are readable. The `transposed` forms: the operand is the transpose of such a matrix.
    """

    pointer: Value
    layout: Layout
    stride: Value | int = 0
    panel: int = 0
    rows: Value | int = 0

    def flipped(self) -> Operand:
        """The transposed operand over the same memory."""
        return replace(self, layout=FLIPPED[self.layout])


@dataclass(frozen=True)
class Arithmetic:
    """The element type of a matmul and how it multiplies and adds."""

    element: str
    lanes: int
    fused: bool

    @classmethod
    def of(cls, target: Target, dtype: str, lanes: int) -> Arithmetic:
        """Fused where the target has FMAs and the type is a float."""
        return cls(ELEMENT[dtype], lanes, target.fma and dtype in ("f32", "f64"))

    @property
    def vector(self) -> str:
        """The LLVM type of one vector."""
        return vector_type(self.element, self.lanes)

    @property
    def zero(self) -> Value:
        """A vector of zeros."""
        return Builder.constant(self.vector, 0)

    def multiply_add(self, b: Builder, x: Value, y: Value, z: Value) -> Value:
        """x * y + z in every lane."""
        if self.fused:
            return b.fma(x, y, z)
        multiply, add = ("fmul", "fadd") if self.element in ("float", "double") else ("mul", "add")
        return b.binary(add, b.binary(multiply, x, y), z)

    def load(self, b: Builder, pointer: Value, mask: Value | None) -> Value:
        """A vector; dead lanes are zero and not touched."""
        return b.load(self.vector, pointer) if mask is None else b.masked_load(self.vector, pointer, mask)


@dataclass(frozen=True)
class Walk:
    """One side of a tile while k runs: at step k its parts are at pointer[offset + k * step].

    With `block`, k runs in blocks of so many steps that start `jump` elements apart.
    """

    pointer: Value
    offsets: tuple[Value, ...]
    step: Value
    block: int = 0
    jump: Value | None = None

    def at(self, b: Builder, element: str, k: Value) -> Walk:
        """The walk from step k on, a multiple of the block."""
        if self.jump is None:
            return replace(self, pointer=b.gep(element, self.pointer, b.mul(k, self.step)))
        return replace(self, pointer=b.gep(element, self.pointer, b.mul(b.udiv(k, b.i64(self.block)), self.jump)))


def integer(value: Value | int) -> Value:
    """An i64."""
    return Builder.i64(value) if isinstance(value, int) else value


def row_walk(b: Builder, element: str, side: Operand, i: Value, height: int) -> Walk:
    """The scalars A(i .. i + height, k)."""
    stride, one = integer(side.stride), b.i64(1)
    local = [b.i64(r) for r in range(height)]
    if side.layout == "row":
        base = b.gep(element, side.pointer, b.mul(i, stride))
        return Walk(base, tuple(b.mul(r, stride) for r in local), one)
    if side.layout == "transposed":
        return Walk(b.gep(element, side.pointer, i), tuple(local), stride)
    width = b.i64(side.panel)
    jump = b.mul(integer(side.rows), width)
    if side.layout == "panel":
        base = b.gep(element, side.pointer, b.mul(i, width))
        return Walk(base, tuple(b.mul(r, width) for r in local), one, side.panel, jump)
    return Walk(side.pointer, tuple(panel_offset(b, b.add(i, r), width, jump) for r in local), width)


def column_walk(b: Builder, element: str, side: Operand, j: Value, width: int, lanes: int, first: int = 0) -> Walk:
    """The vectors B(k, j + w * lanes ...) of a `row` or `panel` operand; j is `first` plus some tile widths."""
    local = [b.i64(w * lanes) for w in range(width)]
    if side.layout == "row":
        return Walk(b.gep(element, side.pointer, j), tuple(local), integer(side.stride))
    panel = b.i64(side.panel)
    jump = b.mul(integer(side.rows), panel)
    extent = width * lanes
    inside = side.panel % extent == 0 and first % extent == 0
    if width == 1 or inside or (extent % side.panel == 0 and first % side.panel == 0):
        base = b.gep(element, side.pointer, panel_offset(b, j, panel, jump))
        return Walk(base, tuple(panel_offset(b, w, panel, jump) for w in local), panel)
    return Walk(side.pointer, tuple(panel_offset(b, b.add(j, w), panel, jump) for w in local), panel)


def panel_offset(b: Builder, column: Value, panel: Value, jump: Value) -> Value:
    """Where column c of the first row of a panelled matrix is."""
    return b.add(b.mul(b.udiv(column, panel), jump), b.urem(column, panel))


def for_each(b: Builder, start: Value, stop: Value, step: int, body: Callable[[Value], None]) -> None:
    """The body for every index of a range, without a loop where it is known to be one."""
    first, last = start.literal, stop.literal
    if first is not None and last is not None and last - first <= step:
        if first < last:
            body(start)
        return
    with b.loop(start, stop, step) as loop:
        body(loop.index)


def emit_tile(
    b: Builder,
    arithmetic: Arithmetic,
    count: Value,
    rows: Walk,
    columns: Walk,
    masks: Masks,
    unroll: int,
    start: list[Value],
    lanewise: bool = False,
    copy: Walk | None = None,
) -> list[Value]:
    """`count` more steps of k on the accumulators of a tile, row by row: for each, fma over ascending k.

    `lanewise` says that rows have an element for each column too, side by side; such rows lie in one block. With `copy`
    each step's scalars, which lie side by side then, are copied there too.
    """
    if rows.jump is None:
        return _steps(b, arithmetic, count, rows, columns, masks, unroll, start, lanewise, copy)[1]
    with b.loop(b.i64(0), count, rows.block, [rows.pointer, columns.pointer, *start]) as loop:
        stop = b.minimum(b.i64(rows.block), b.sub(count, loop.index))
        if count.literal is not None and count.literal % rows.block == 0:
            stop = b.i64(rows.block)
        block = replace(rows, pointer=loop.carried[0])
        vectors = replace(columns, pointer=loop.carried[1])
        end, sums = _steps(b, arithmetic, stop, block, vectors, masks, 1, loop.carried[2:])
        loop.next = [b.gep(arithmetic.element, loop.carried[0], rows.jump), end, *sums]
    return loop.results[2:]


def _steps(
    b: Builder,
    arithmetic: Arithmetic,
    count: Value,
    rows: Walk,
    columns: Walk,
    masks: Masks,
    unroll: int,
    start: list[Value],
    lanewise: bool = False,
    copy: Walk | None = None,
) -> tuple[Value, list[Value]]:
    """`count` steps of k from `start`; returns where the columns' pointer then stands, and the sums."""
    element = arithmetic.element
    walks = [rows, columns] if copy is None else [rows, columns, copy]
    step = _lanewise_step if lanewise else _step

    def steps(carried: Sequence[Value]) -> list[Value]:
        pointers, sums = list(carried[: len(walks)]), list(carried[len(walks) :])
        for _ in range(unroll):
            if copy is not None:
                _copy_scalars(b, element, len(rows.offsets), pointers[0], pointers[2])
            scalars = [b.gep(element, pointers[0], o) for o in rows.offsets]
            vectors = [b.gep(element, pointers[1], o) for o in columns.offsets]
            sums = step(b, arithmetic, scalars, vectors, masks, sums)
            pointers = [b.gep(element, p, w.step) for p, w in zip(pointers, walks, strict=True)]
        return [*pointers, *sums]

    first = [*(walk.pointer for walk in walks), *start]
    if count.literal == unroll:
        result = steps(first)
    else:
        with b.loop(b.i64(0), count, unroll, first) as loop:
            loop.next = steps(loop.carried)
        result = loop.results
    return result[1], result[len(walks) :]


def _copy_scalars(b: Builder, element: str, count: int, source: Value, target: Value) -> None:
    """Copy a step's part of A, and ask for the line that the tiles after this one will read."""
    b.store(b.load(vector_type(element, count), source), target)
    prefetch(b, source, b.i64(LINE_BYTES))


def prefetch(b: Builder, pointer: Value, distance: Value) -> None:
    """Ask for the cache line so many bytes on, wherever that is: it may lie outside the operand."""
    there = b.compute("ptr", f"getelementptr i8, {pointer}, {distance}")
    read, keep, data = (Value("i32", flag) for flag in "031")
    b.intrinsic("llvm.prefetch.p0", "void", there, read, keep, data)


def _step(
    b: Builder, arithmetic: Arithmetic, scalars: list[Value], vectors: list[Value], masks: Masks, sums: list[Value]
) -> list[Value]:
    """One step of k: the outer product of `height` scalars and `width` vectors onto the sums."""
    loaded = [arithmetic.load(b, p, mask) for p, mask in zip(vectors, masks, strict=True)]
    result: list[Value] = []
    for pointer in scalars:
        scalar = b.splat(b.load(arithmetic.element, pointer), arithmetic.lanes)
        result += [arithmetic.multiply_add(b, scalar, v, sums[len(result) + w]) for w, v in enumerate(loaded)]
    return result


def _lanewise_step(
    b: Builder, arithmetic: Arithmetic, rows: list[Value], vectors: list[Value], masks: Masks, sums: list[Value]
) -> list[Value]:
    """One step of k where rows are vectors too: products lane by lane onto the sums."""
    loaded = [arithmetic.load(b, p, mask) for p, mask in zip(vectors, masks, strict=True)]
    result: list[Value] = []
    for row in rows:
        for w, (vector, mask) in enumerate(zip(loaded, masks, strict=True)):
            factor = arithmetic.load(b, b.gep(arithmetic.element, row, b.i64(w * arithmetic.lanes)), mask)
            result.append(arithmetic.multiply_add(b, factor, vector, sums[len(result)]))
    return result
