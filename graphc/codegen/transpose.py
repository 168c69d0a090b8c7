"""Transposing squares of vectors, with loads and shuffles that cost one operation each on x86."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.codegen.llvm import Builder, Value, lane_count

#: Bytes inside which x86 shuffles elements of two vectors in one operation.
CHUNK_BYTES = 16


def load_transposed(b: Builder, lanes: int, itemsize: int, load: Callable[[int, int, int], Value]) -> list[Value]:
    """The columns of a lanes x lanes square; `load(row, first, count)` loads a part of a row.

    Rows are loaded as halves: joining those of two rows is free with the load, and saves the last stage of shuffles.
    """
    chunk = min(CHUNK_BYTES // itemsize, lanes)
    if chunk == lanes:
        return _within_chunks(b, [load(r, 0, lanes) for r in range(lanes)], chunk)
    half, columns = lanes // 2, []
    for first in (0, half):
        joined = [
            [
                b.shuffle(load(group + r, first, half), load(group + chunk + r, first, half), range(lanes))
                for r in range(chunk)
            ]
            for group in range(0, lanes, 2 * chunk)
        ]
        within = [_within_chunks(b, rows, chunk) for rows in joined]
        across = [_across_chunks(b, [group[c] for group in within], chunk) for c in range(chunk)]
        columns += [across[c][q] for q in range(half // chunk) for c in range(chunk)]
    return columns


def _within_chunks(b: Builder, rows: Sequence[Value], chunk: int) -> list[Value]:
    """Transpose chunk x chunk squares side by side: result c holds element c of every chunk of each row, by chunk."""
    lanes = lane_count(rows[0].type)
    vectors, size = list(rows), 1
    while size < chunk:
        half = len(vectors) // 2
        paired = [(vectors[i], vectors[i + half]) for i in range(half)]
        vectors = [b.shuffle(x, y, _interleave(lanes, chunk, high)) for x, y in paired for high in (0, 1)]
        size *= 2
    return vectors


def _interleave(lanes: int, chunk: int, high: int) -> list[int]:
    """The lanes of x and y by turns, from the low or the high half of each chunk."""
    half = chunk // 2
    return [
        start + high * half + i + which * lanes
        for start in range(0, lanes, chunk)
        for i in range(half)
        for which in (0, 1)
    ]


def _across_chunks(b: Builder, vectors: Sequence[Value], chunk: int) -> list[Value]:
    """From vectors that hold chunk 0, 1, ... of some rows, then those of others: result q has chunk q of all."""
    lanes, size = lane_count(vectors[0].type), 1
    vectors = list(vectors)
    while size < len(vectors):
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        vectors = [b.shuffle(x, y, _every_other(lanes, chunk, odd)) for odd in (0, 1) for x, y in pairs]
        size *= 2
    return vectors


def _every_other(lanes: int, chunk: int, odd: int) -> list[int]:
    """The even or the odd chunks of x, then those of y."""
    return [start + i for start in range(odd * chunk, 2 * lanes, 2 * chunk) for i in range(chunk)]
