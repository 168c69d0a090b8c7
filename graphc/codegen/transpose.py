"""Transposing squares of vectors, with loads and shuffles that cost one operation each on x86."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, lane_count
from graphc.schedule.tiles import CHUNK_BYTES, transposed_columns


def load_transposed(b: Builder, lanes: int, itemsize: int, load: Callable[[int], Value]) -> list[Value]:
    """The columns of a matrix with `lanes` rows, `load(row)` being those of one: `transposed_columns` elements.

    Joining halves of two rows is almost free with a load, and saves the last stage of shuffles.
    """
    chunk, part = min(CHUNK_BYTES // itemsize, lanes), transposed_columns(lanes, itemsize)
    groups = []
    for start in range(0, lanes, chunk * lanes // part):
        rows = [[load(start + r + c) for c in range(0, lanes // part * chunk, chunk)] for r in range(chunk)]
        groups.append(_transpose_chunks(b, [_join(b, parts) for parts in rows], chunk))
    gathered = [_gather_chunks(b, vectors, chunk) for vectors in zip(*groups, strict=True)]
    return [vectors[q] for q in range(part // chunk) for vectors in gathered]


def _join(b: Builder, parts: Sequence[Value]) -> Value:
    """One part as it is, two one after the other in one vector."""
    return parts[0] if len(parts) == 1 else b.shuffle(parts[0], parts[1], range(2 * lane_count(parts[0].type)))


def _gather_chunks(b: Builder, vectors: Sequence[Value], chunk: int) -> list[Value]:
    """From vectors that hold chunk 0, 1, ... of some rows, then those of others: result q has chunk q of all."""
    size = 1
    while size < len(vectors):
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        vectors = [b.shuffle(x, y, _every_other(lane_count(x.type), chunk, odd)) for odd in (0, 1) for x, y in pairs]
        size *= 2
    return list(vectors)


def _every_other(lanes: int, chunk: int, odd: int) -> list[int]:
    """The even or the odd chunks of x, then those of y."""
    return [start + i for start in range(odd * chunk, 2 * lanes, 2 * chunk) for i in range(chunk)]


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
