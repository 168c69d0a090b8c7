"""The tile plan of a matmul: register tile, loop order, packing and scratch, chosen from the target description."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm
from typing import Literal, overload

from graphc.errors import InternalError
from graphc.ir.dim import Size
from graphc.runtime.targets import Target
from graphc.schedule.tile_model import (
    LOAD_PRICE,
    LOAD_RATE,
    STRIDED_LOAD_PRICE,
    Problem,
    Run,
    balanced,
    best_tile,
    halvings,
    step_cycles,
)

#: How a matrix lies in memory. `row`: [rows, cols], cols contiguous. `panel`: ceil(cols / P) panels of rows x P.
#: The `transposed` forms say that the operand is the transpose of what is stored.
Layout = Literal["row", "transposed", "panel", "panel_transposed"]

#: The layout of the transposed operand over the same memory.
FLIPPED: dict[Layout, Layout] = {
    "row": "transposed",
    "transposed": "row",
    "panel": "panel_transposed",
    "panel_transposed": "panel",
}

ITEMSIZE = {"f32": 4, "f64": 8, "i32": 4, "i64": 8}

#: Scratch areas start at multiples of this many bytes.
ALIGN = 64

#: Bytes inside which x86 shuffles elements of two vectors in one operation.
CHUNK_BYTES = 16

#: Instructions of an epilogue a vector from which it runs between the steps of another tile, and the registers for it.
OVERLAPPED_EPILOGUE, EPILOGUE_REGISTERS = 8, 14

#: Rows of such tiles, which are one vector wide: with a transposed A, each step of which touches another page, more.
OVERLAPPED, OVERLAPPED_TRANSPOSED = 8, 16

#: Tiles below each other from which overlapping them pays, and steps of k an instruction of the epilogue up to which:
#: behind more it is hidden anyway, and wider tiles load less.
OVERLAPPED_TILES, OVERLAPPED_STEPS = 4, 16

#: Rows of a tile at most: with one vector of columns, eight keep all FMA pipes busy. Less where B is transposed on the
#: way, which needs registers too.
TALLEST, TALLEST_TRANSPOSED = 8, 6

#: Rows up to which packing is so much of the work that it pays to do it between FMAs, and vectors of columns in a tile:
#: each is transposed by code of its own.
AHEAD_ROWS, AHEAD_VECTORS = 128, 2

#: Up to so large a K, and so many FMAs, a round of the loop over k is more than one step.
UNROLLED = 32

#: From so large a K on, two steps a round, if they are at most so many FMAs: the loop's own instructions cost then.
DEEP, DEEP_FMAS = 256, 24

#: The first-level data cache: what every x86 core of the last decade has at least.
L1_BYTES = 32 * 1024
LINE_BYTES = 64

#: The share of a tile's time that loading and storing its sums between blocks of k may take.
RELOAD_SHARE = 0.02

#: Column tiles from which each is so narrow a part of B's rows that a deep one does not stay in L1.
NARROW = 16

#: Cycles of FMAs a step of k, over all column tiles, from which copying the step's part of A pays.
PACK_LEFT_CYCLES = 96

#: Bytes of a row of B that are packed at once: some cache lines, so that the prefetcher helps.
GROUP_BYTES = 256

#: Rows in a block: so many where blocks make B stay in L1 or C' is transposed; where only a long epilogue makes
#: them, so that the sums of a block fill some cache lines.
BLOCK_ROWS = 96
BLOCK_BYTES = 1024


@dataclass(frozen=True)
class TilePlan:
    """How one contraction C[M, N] = A[M, K] . B[K, N] is cut up.

    Column tiles are the outer loop, so that a panel of B stays in cache, row tiles the inner one.

    With `swapped`, everything below speaks of C' = B' . A' (M and N, A and B change places), and tiles are transposed
    in registers before the epilogue sees them.
    """

    itemsize: int
    #: Elements of one vector; narrower than the register where N is.
    lanes: int
    #: Rows and vectors of the main tile.
    height: int
    width: int
    #: Column tiles that are packed, and run for each block of k, together.
    group: int = 1
    #: Copy each group's columns of B to scratch, contiguous and, if need be, transposed.
    pack: bool = False
    #: Steps of k that the first row tile packs before it multiplies those before them; 0: all are packed at once.
    ahead: int = 0
    #: Rows of that tile: packing needs registers too.
    ahead_rows: int = 0
    #: Rows of A, all or none, that the first columns' tiles copy to scratch as they go: tile by tile, each k by k.
    pack_left: int = 0
    swapped: bool = False
    #: Rows whose accumulators are kept in scratch until one loop over them runs the epilogue; 0: it runs on the
    #: registers of each tile.
    block_rows: int = 0
    #: Steps of k for which all tiles of a row block run before the next ones, so that B stays in L1; 0: all.
    block_depth: int = 0
    #: Steps of k in one round of the inner loop, when their number is a multiple; all of them need no loop.
    unroll: int = 1
    #: The epilogue of a tile, from sums in scratch, runs row by row between the steps of k of the tile below it.
    overlap: bool = False

    def __post_init__(self) -> None:
        if self.overlap and self.block_rows < 2 * self.height:
            raise InternalError(f"matmul: a plan that overlaps tiles needs block_rows for two of them: {self}")
        if not self.block_rows and (self.swapped or self.block_depth):
            raise InternalError(f"matmul: a plan that keeps sums in scratch needs block_rows: {self}")
        if [bool(self.block_rows), bool(self.pack_left), bool(self.ahead)].count(True) > 1:
            raise InternalError(f"matmul: a plan packs A, or packs B as it goes, or has row blocks: {self}")

    @property
    def panel(self) -> int:
        """Elements in a row of the main tile."""
        return self.width * self.lanes

    @property
    def remainders(self) -> tuple[int, ...]:
        """Heights to try in turn, each once, on the rows that the main tile leaves over: powers of two."""
        return halvings(self.height)

    @property
    def needs_scratch(self) -> bool:
        """Whether there is anything to keep there."""
        return bool(self.pack or self.pack_left or self.block_rows)

    @property
    def square_bytes(self) -> int:
        """The end of the part of scratch, at its start, where tiles of C' are transposed."""
        return align_up(self.lanes * self.lanes * self.itemsize, ALIGN) if self.swapped else 0

    @property
    def buffer_bytes(self) -> int:
        """The end of the part of scratch, after the square, where the accumulators of a row block are kept."""
        return self.square_bytes + align_up(self.block_rows * self.group * self.panel * self.itemsize, ALIGN)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of packed B, of which there are K + lanes after the buffer; packed A follows."""
        return self.group * self.panel * self.itemsize if self.pack else 0

    @overload
    def scratch_bytes(self, k: int) -> int: ...

    @overload
    def scratch_bytes(self, k: Size) -> Size: ...

    def scratch_bytes(self, k: Size) -> Size:
        """Bytes of scratch (64-aligned), linear in the contracted size K."""
        return (k + self.lanes) * (self.row_bytes + self.pack_left * self.itemsize) + self.buffer_bytes

    def rows(self, m: int) -> tuple[Run, ...]:
        """The row tiles of a constant M: as few as fit, their heights within one of each other."""
        return balanced(m, self.height)

    def columns(self, n: int) -> tuple[Run, ...]:
        """The column tiles of a constant N, in vectors: full ones, then the one with the rest."""
        runs = balanced(-(-n // self.lanes), self.width)
        if n % self.lanes and runs[-1].tiles > 1:
            start, extent, count = runs[-1]
            runs = (*runs[:-1], Run(start, extent, count - 1), Run(start + (count - 1) * extent, extent, 1))
        return runs


def align_up(value: int, alignment: int) -> int:
    """The next multiple."""
    return -(-value // alignment) * alignment


def plan_matmul(
    target: Target,
    dtype: str,
    m: int | None,
    n: int | None,
    k: int | None,
    a: Layout,
    b: Layout,
    *,
    panel: int = 16,
    typical: int = 32,
    epilogue_cost: int = 8,
) -> TilePlan:
    """The plan for C[m, n] = A[m, k] . B[k, n]; None is a symbolic size, planned as `typical`.

    `panel` is the width of the program's parameter panels, `epilogue_cost` the number of instructions that the epilogue
    takes for one vector of accumulators.
    """
    rows, cols, depth = (typical if size is None else size for size in (m, n, k))
    itemsize, left = ITEMSIZE[dtype], a
    swapped = b in ("transposed", "panel_transposed") and n is not None and worth_swapping(rows, cols, depth)
    if swapped:
        m, n, rows, cols, left, b = n, m, cols, rows, FLIPPED[b], FLIPPED[a]
    lanes = target.lanes(itemsize)
    while lanes > 1 and n is not None and lanes // 2 >= n and not swapped:
        lanes //= 2
    transposing = b in ("transposed", "panel_transposed")
    whole = panel // lanes if b == "panel" else 1
    price = STRIDED_LOAD_PRICE if left == "transposed" and depth * LINE_BYTES >= L1_BYTES // 2 else LOAD_PRICE
    problem = Problem(rows, m is None, -(-cols // lanes), depth, epilogue_cost, whole, price)
    height, width = best_tile(target, problem, TALLEST_TRANSPOSED if transposing else TALLEST)
    plan = TilePlan(itemsize, lanes, height, width, unroll=unroll(k, height * width))
    plan = replace(plan, pack=transposing or (b == "row" and worth_packing(plan, rows, cols, depth)))
    blocks, long = block_depth(plan, left, depth, panel), problem.long((height, width))
    plan = replace(plan, group=group(plan, n) if blocks or b == "row" else 1)
    if left == "transposed" and m and n and not (long or swapped) and worth_packing_left(plan, n, depth):
        return replace(plan, pack_left=m)
    if steps := transposing and not (blocks or long or swapped) and steps_ahead(plan, left, m, k):
        free = target.vector_registers - steps - 1
        return replace(plan, ahead=steps, ahead_rows=min(height, rows, free // width))
    if blocks or swapped:
        rows = block_rows(m, height, lanes if swapped else 1)
        return replace(plan, swapped=swapped, block_depth=blocks, block_rows=rows)
    if height := overlapped_height(target, left, problem):
        plan = replace(plan, height=height, width=1, unroll=unroll(k, height), block_rows=2 * height, overlap=True)
        return replace(plan, group=group(plan, n) if b == "row" else 1)
    return replace(plan, block_rows=epilogue_rows(plan, m)) if long else plan


def steps_ahead(plan: TilePlan, left: Layout, rows: int | None, depth: int | None) -> int:
    """Steps of k that the first row tile can pack before it multiplies those before them; 0 where that does not pay.

    Panels of A are walked in blocks of k of their own.
    """
    steps = transposed_columns(plan.lanes, plan.itemsize)
    if rows is None or depth is None or left not in ("row", "transposed"):
        return 0
    if rows > AHEAD_ROWS or plan.width > AHEAD_VECTORS:
        return 0
    return steps if depth % steps == 0 and depth >= 2 * steps else 0


def transposed_columns(lanes: int, itemsize: int) -> int:
    """How many columns of a square of vectors are transposed at once: half of them, or one chunk of all."""
    return max(lanes // 2, min(CHUNK_BYTES // itemsize, lanes))


def unroll(k: int | None, accumulators: int) -> int:
    """Steps of k in one round of the inner loop: all or four where k is small, two where it is deep; few FMAs each."""
    if k is not None and k >= DEEP and k % 2 == 0 and 2 * accumulators <= DEEP_FMAS:
        return 2
    if k is None or k > UNROLLED:
        return 1
    return next((steps for steps in (k, 4) if steps and k % steps == 0 and steps * accumulators <= UNROLLED), 1)


def overlapped_height(target: Target, left: Layout, problem: Problem) -> int:
    """Rows of a tile, one vector wide, whose epilogue runs between the steps of k of the tile below it; 0: none does.

    Its registers come on top of the tile's: with sixteen, sums would be stored and loaded for each row of it.
    """
    if left == "panel" or problem.epilogue < max(OVERLAPPED_EPILOGUE, problem.depth / OVERLAPPED_STEPS):
        return 0
    most = min(target.vector_registers - EPILOGUE_REGISTERS - 2, problem.rows // OVERLAPPED_TILES)
    heights = (OVERLAPPED_TRANSPOSED, OVERLAPPED) if left == "transposed" else (OVERLAPPED,)
    return next((height for height in heights if height <= most), 0)


def worth_swapping(rows: int, cols: int, depth: int) -> bool:
    """Whether transposing A and C is so much less work than transposing B that it pays for the trouble."""
    return rows < 128 and cols * depth > 2 * rows * (depth + 2 * cols)


def worth_packing(plan: TilePlan, rows: int, cols: int, depth: int) -> bool:
    """Whether enough rows of A pay for a copy of B, whose panels are a small part of long rows, or of many."""
    narrow = cols >= NARROW * plan.panel and depth * LINE_BYTES >= L1_BYTES
    return (strided(cols, plan.itemsize) and rows >= 32) or (narrow and rows >= 48)


def worth_packing_left(plan: TilePlan, cols: int, depth: int) -> bool:
    """Whether a transposed A is so deep that its lines leave L1 between tiles, and C is wide enough to pay a copy."""
    tiles = -(-cols // plan.panel)
    return depth * LINE_BYTES >= L1_BYTES and tiles * step_cycles(plan.height, plan.width) >= PACK_LEFT_CYCLES


def block_depth(plan: TilePlan, left: Layout, depth: int, panel: int) -> int:
    """Steps of k in a block, 0 for all: so many that a tile's part of B and A fills half of L1.

    A step reads a row of the panel of B, and of A an element a row of the tile, or a cache line if it is transposed.
    Blocks do not pay where all steps' parts fit in L1, where reloading the sums costs more than it saves, or where the
    rows of A are read along: then prefetching hides L2.
    """
    if left == "row":
        return 0
    step = plan.panel * plan.itemsize + (LINE_BYTES if left == "transposed" else plan.height * plan.itemsize)
    if depth * step <= L1_BYTES:
        return 0
    most = L1_BYTES // 2 // step
    steps = align_up(-(-depth // -(-depth // most)), max(panel, 16))
    moved = 2 * plan.height * plan.width / LOAD_RATE
    return steps if moved <= RELOAD_SHARE * steps * step_cycles(plan.height, plan.width) else 0


def group(plan: TilePlan, cols: int | None) -> int:
    """Column tiles in a group: if they are packed, about GROUP_BYTES of a row, in equal parts; one for symbolic N."""
    if cols is None or not plan.pack:
        return 1
    tiles = -(-cols // plan.panel)
    parts = max(1, round(tiles * plan.panel * plan.itemsize / GROUP_BYTES))
    return max(1, -(-tiles // parts))


def block_rows(rows: int | None, height: int, unit: int) -> int:
    """Rows in a block that makes B stay in L1, or is transposed by squares of `unit` rows: about BLOCK_ROWS.

    One block, if there are not many more; else whole tiles, in equal blocks if a size near that gives them.
    """
    if rows is not None and rows <= 2 * BLOCK_ROWS:
        return max(align_up(rows, unit), unit)
    whole = lcm(height, unit)
    near = [size for size in range(whole, 2 * BLOCK_ROWS, whole) if abs(size - BLOCK_ROWS) <= BLOCK_ROWS // 3]
    return min(near, key=lambda size: (rows is not None and rows % size != 0, abs(size - BLOCK_ROWS)), default=whole)


def epilogue_rows(plan: TilePlan, rows: int | None) -> int:
    """Rows in a block that only saves code: whole tiles, as many as fill some cache lines."""
    near = BLOCK_BYTES // (plan.panel * plan.itemsize)
    sizes = range(plan.height, max(2 * near, plan.height) + 1, plan.height)
    return min(sizes, key=lambda size: (rows is not None and rows % size != 0, abs(size - near)))


def strided(cols: int, itemsize: int) -> bool:
    """Whether rows of so many elements lie so far apart that a column panel misses in L1 and the TLB."""
    return cols * itemsize >= 2048
