"""Transposing squares of vectors, with loads and shuffles that cost one operation each on x86."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.codegen.llvm import Builder, Value, lane_count

#: Bytes inside which x86 shuffles elements of two vectors in one operation.
CHUNK_BYTES = 16


def load_transposed(b: Builder, lanes: int, itemsize: int, load: Callable[[int, int, int], Value]) -> list[Value]:
    """The columns of a lanes x lanes square; `load(row, first, count)` loads a part of a row.

    Rows are loaded chunk by chunk and joined with those of other rows, which is almost free with a load: what shuffles
    are left stay inside chunks, and leave more of the ports that FMAs want.
    """
    chunk = min(CHUNK_BYTES // itemsize, lanes)
    columns: list[Value] = []
    for first in range(0, lanes, chunk):
        rows = [_join(b, [load(r, first, chunk) for r in range(start, lanes, chunk)]) for start in range(chunk)]
        columns += _transpose_chunks(b, rows, chunk)
    return columns


def _join(b: Builder, parts: Sequence[Value]) -> Value:
    """The parts, a power of two of them, one after the other in one vector."""
    while len(parts) > 1:
        width = 2 * lane_count(parts[0].type)
        parts = [b.shuffle(x, y, range(width)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _transpose_chunks(b: Builder, rows: Sequence[Value], chunk: int) -> list[Value]:
    """Transpose chunk x chunk squares side by side: result c holds element c of every chunk of each row."""
    vectors, half = list(rows), chunk // 2
    for _ in range(half.bit_length()):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [b.shuffle(x, y, _interleave(lane_count(x.type), chunk, high)) for x, y in pairs for high in (0, 1)]
    return vectors


def _interleave(lanes: int, chunk: int, high: int) -> list[int]:
    """The lanes of x and y by turns, from the low or the high half of each chunk."""
    half = chunk // 2
    starts = range(high * half, lanes, chunk)
    return [start + i + which * lanes for start in starts for i in range(half) for which in (0, 1)]
