"""What an epoch is made of, besides its steps: the order of its rows, the means of its results, what it may cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphc.order import shuffled
from graphc.runtime.dims import symbols_of
from graphc.runtime.results import Results
from graphc.runtime.signature import Entry

#: The seed that keeps an epoch's order.
KEEP_ORDER = (1 << 64) - 1
#: What a row costs whatever the network, and a byte of workspace (activations: each is made by many operations).
ROW_OVERHEAD, WORKSPACE_WORK = 4096, 16


def permuted(first: int, last: int, rows: int, seed: int) -> NDArray[np.int64]:
    """The rows at first … last − 1 of an epoch's order."""
    positions = np.arange(first, last)
    return positions if seed == KEEP_ORDER else shuffled(positions, rows, seed)


class Means:
    """Row-weighted means of what an epoch returns over its chunks, in float64; one chunk's are kept bit for bit."""

    def __init__(self, results: Results, rows: int):
        self._results, self._rows = results, rows
        self._sums = [np.zeros(a.shape, np.float64) for a in results.returned]
        self._chunks = 0

    def add(self, rows: int) -> None:
        """The results now hold the means over these rows."""
        self._chunks += 1
        for total, array in zip(self._sums, self._results.returned, strict=True):
            total += array * np.float64(rows)

    def finish(self) -> None:
        """The results hold the means over all rows."""
        if self._chunks > 1:
            for total, array in zip(self._sums, self._results.returned, strict=True):
                array[...] = total / self._rows


def work(state_bytes: int, workspace_bytes: int, batch_size: int) -> int:
    """A guess at what a batch costs: its rows meet every parameter, and loops and images every value they leave."""
    return batch_size * (state_bytes + ROW_OVERHEAD) + workspace_bytes * WORKSPACE_WORK


def epoch_fault(entry: Entry) -> str:
    """Why an entry has no epochs."""
    if entry.pure or entry.batch is None:
        return "only entries that write state and have a batch dimension have epochs"
    for result in entry.returned:
        if result.dtype not in ("f32", "f64", "f16", "bf16"):
            return f"{result.name} is {result.dtype}, and epochs give means; cast it to a float in the entry"
        if any(entry.batch in symbols_of(dim) for dim in result.shape):
            return f"{result.name} has the batch dimension, and epochs give means over it"
    return f"{entry.batch} must be the first size of arguments, and stand nowhere else in them"
