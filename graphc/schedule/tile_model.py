"""The machine model by which a matmul's register tile is chosen: cycles of its inner loop, and how much code it is."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from graphc.runtime.targets import Target

#: The machine model of `step_cycles`, common to x86 since Haswell and Zen: two FMAs and two loads a cycle, an FMA's
#: result after four cycles, and a little more for what schedulers do not get perfect.
FMA_RATE, LOAD_RATE, FMA_LATENCY = 2, 2, 4.25

#: The share of the loads' time that the FMAs do not hide: few miss in L1, unless A is transposed and deep.
LOAD_PRICE, STRIDED_LOAD_PRICE = 0.05, 0.3

#: Modelled times so close together are equal; the tile with less code is taken.
SLACK = 0.01

#: Heights of main tiles: those that batches are multiples of, and what fits sixteen registers best.
HEIGHTS = (1, 2, 4, 6, 8)

#: Instructions of epilogue code in a kernel above which a loop over rows runs it.
LONG_EPILOGUE = 400


class Run(NamedTuple):
    """Tiles of one extent side by side: how many, and where the first starts."""

    start: int
    extent: int
    tiles: int


def balanced(size: int, most: int) -> tuple[Run, ...]:
    """size cut into ceil(size / most) parts that differ by at most one, the larger first."""
    if size <= 0:
        return ()
    parts = -(-size // most)
    small, larger = divmod(size, parts)
    runs = (Run(0, small + 1, larger), Run(larger * (small + 1), small, parts - larger))
    return tuple(r for r in runs if r.tiles)


def halvings(height: int) -> tuple[int, ...]:
    """The powers of two below a height, falling: taken once each where it fits, they make up any remainder."""
    return tuple(1 << p for p in reversed(range((height - 1).bit_length())))


class Problem(NamedTuple):
    """What a register tile is chosen for: sizes (columns in vectors), whether M is symbolic, the epilogue's length."""

    rows: int
    symbolic: bool
    vectors: int
    depth: int
    epilogue: int
    #: Vectors that a tile's width must divide or be a multiple of: those of a panel of B, if it lies in panels.
    panel: int
    #: The share of the loads' time that counts.
    price: float

    def heights(self, most: int) -> Counter[int]:
        """The heights that code is emitted for, and how many tiles have each; with M symbolic, in several batches."""
        if not self.symbolic:
            return Counter({run.extent: run.tiles for run in balanced(self.rows, most)})
        counts: Counter[int] = Counter()
        for rows in (self.rows, 2 * self.rows, 4 * self.rows):
            counts[most] += rows // most
            left = rows % most
            for height in halvings(most):
                counts[height] += int(left >= height)
                left -= height * int(left >= height)
        return counts

    def widths(self, most: int) -> dict[int, int]:
        """The same for the columns."""
        return {run.extent: run.tiles for run in balanced(self.vectors, most)}

    def cycles(self, tile: tuple[int, int]) -> float:
        """Modelled time of all tiles: the inner loops, and some cycles a tile for its start and its epilogue."""
        return sum(
            down * across * (self.depth * step_cycles(height, width, self.price) + 2 + height * width / 2)
            for height, down in self.heights(tile[0]).items()
            for width, across in self.widths(tile[1]).items()
        )

    def area(self, tile: tuple[int, int]) -> int:
        """Accumulators of all variants of the tile together."""
        return sum(self.heights(tile[0])) * sum(self.widths(tile[1]))

    def long(self, tile: tuple[int, int]) -> bool:
        """Whether the epilogue behind every accumulator would be too much code."""
        return self.epilogue * self.area(tile) > LONG_EPILOGUE

    def code(self, tile: tuple[int, int]) -> int:
        """Instructions of the kernel, about: three an accumulator, and the epilogues or the buffer."""
        area = self.area(tile)
        return area * 6 + self.epilogue * sum(self.widths(tile[1])) if self.long(tile) else area * (3 + self.epilogue)


def best_tile(target: Target, problem: Problem, tallest: int) -> tuple[int, int]:
    """(height, width) of the register tile that takes the least code among those of about the lowest modelled time."""
    times = {
        (height, width): problem.cycles((height, width))
        for width in range(1, min(4, max(problem.vectors, 1)) + 1)
        for height in {min(height, max(problem.rows, 1)) for height in HEIGHTS if height <= tallest}
        if height * width + width + 1 < target.vector_registers
        and (problem.panel % width == 0 or width % problem.panel == 0)
    }
    enough = min(times.values()) * (1 + SLACK)
    return min((t for t, time in times.items() if time <= enough), key=lambda t: (problem.code(t), times[t]))


def step_cycles(height: int, width: int, price: float = LOAD_PRICE) -> float:
    """Cycles of one step of k on a tile: bound by FMAs, by loads, or by the FMA's latency; few loads are better."""
    loads = (height + width) / LOAD_RATE
    return max(height * width / FMA_RATE, loads, FMA_LATENCY) + price * loads
