"""Transposing a square of vectors in registers, with shuffles that stay inside 128-bit chunks where they can."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.codegen.llvm import Builder, Value, lane_count


def transpose(b: Builder, rows: Sequence[Value], chunk: int) -> list[Value]:
    """The columns of a lanes x lanes square given as its rows; `chunk` elements fill 128 bits."""
    lanes = lane_count(rows[0].type)
    chunk = min(chunk, lanes)
    chunks = lanes // chunk
    within = [_within_chunks(b, rows[g * chunk : (g + 1) * chunk], chunk) for g in range(chunks)]
    columns = [_across_chunks(b, [group[c] for group in within], chunk) for c in range(chunk)]
    return [columns[c][q] for q in range(chunks) for c in range(chunk)]


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
    """Transpose the square whose elements are the chunks of the vectors."""
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
