"""The register tile of a convolution, chosen from the target description as that of a matmul is."""

from __future__ import annotations

from math import prod

from graphc.ir.dim import Size
from graphc.runtime.targets import Target
from graphc.schedule.tile_model import LOAD_PRICE, Problem
from graphc.schedule.tiles import ITEMSIZE, TilePlan

#: Pixels of a tile at most.
TALLEST_PIXELS = 14

#: In depthwise convolutions, up to so many FMAs need no loop over taps: neighbours then share what they load (measured:
#: 94% of the peak instead of 61% for 5x5 taps). Their tiles are so many vectors wide, which costs no loads.
LANEWISE_UNROLLED, LANEWISE_WIDTH = 128, 2


def plan_convolution(
    target: Target,
    dtype: str,
    rows: tuple[Size, ...],
    columns: Size,
    depth: int | None,
    lanewise: bool = False,
    typical: int = 32,
) -> TilePlan:
    """The register tile of a convolution: rows of pixels (or of taps and channels) x vectors of channels.

    `depth` is the length of a sum, where that is known: it pays for a tile's start and end. `lanewise` says that both
    operands are vectors, as in a depthwise convolution.
    """
    itemsize = ITEMSIZE[dtype]
    lanes = target.lanes(itemsize)
    while lanes > 1 and isinstance(columns, int) and lanes // 2 >= columns:
        lanes //= 2
    count = prod(r if isinstance(r, int) else typical for r in rows)
    vectors = -(-(columns if isinstance(columns, int) else typical) // lanes)
    symbolic = not all(isinstance(r, int) for r in rows)
    problem = Problem(max(count, 1), symbolic, max(vectors, 1), depth or typical, 3, 1, LOAD_PRICE)
    tiles = {
        (height, width): problem.cycles((height, width))
        for width in range(1, min(LANEWISE_WIDTH if lanewise else 4, problem.vectors) + 1)
        for height in range(1, min(TALLEST_PIXELS, problem.rows) + 1)
        if height * width + width + 1 < target.vector_registers
    }
    height, width = min(tiles, key=lambda t: (tiles[t], problem.code(t)))
    return TilePlan(itemsize, lanes, height, width)
