"""Where kernels read and write: axes, linear forms over them, buffers, and elements of these.

An index is a linear form over axes and `Position` values, so that addresses can be compared and merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal as OneOf

from graphc.ir.dim import Size
from graphc.ir.types import TensorType


@dataclass(frozen=True)
class Axis:
    """A loop's index, running from 0 to its extent."""

    name: str
    extent: Size


@dataclass(frozen=True)
class Index:
    """offset + Σ coefficient · term, where a term is an axis or the number of a `Position` value."""

    terms: tuple[tuple[Axis | int, Size], ...] = ()
    offset: Size = 0

    @staticmethod
    def of(term: Axis | int) -> Index:
        """The index that is one axis or one position."""
        return Index(((term, 1),))

    def __add__(self, other: Index | Size) -> Index:
        if not isinstance(other, Index):
            return Index(self.terms, self.offset + other)
        collected = dict(self.terms)
        for term, coefficient in other.terms:
            collected[term] = collected.get(term, 0) + coefficient
        return Index(tuple((t, c) for t, c in collected.items() if c != 0), self.offset + other.offset)

    __radd__ = __add__

    def __mul__(self, factor: Size) -> Index:
        return Index(tuple((t, c * factor) for t, c in self.terms), self.offset * factor)

    __rmul__ = __mul__

    def coefficient(self, axis: Axis) -> Size:
        """How far the index moves when the axis moves by one."""
        return dict(self.terms).get(axis, 0)

    def sizes(self) -> Iterator[Size]:
        """Its coefficients and offset."""
        yield from (c for _, c in self.terms)
        yield self.offset


@dataclass(frozen=True)
class Buffer:
    """A piece of memory: an argument, a Variable, constant data, a part of the arena, or a slice of another buffer."""

    name: str
    type: TensorType
    place: OneOf["input", "output", "state", "data", "arena", "slice", "part"]
    panel: int = 0  # panel width of a packed matrix; 0 is row-major

    @property
    def read_only(self) -> bool:
        """Whether no kernel may write it."""
        return self.place in ("input", "data")


@dataclass(frozen=True)
class Access:
    """An element (or, along a lanes axis, a vector) of a buffer seen in some shape."""

    buffer: Buffer
    shape: tuple[Size, ...]
    index: tuple[Index, ...]

    def linear(self) -> Index:
        """The element's offset in a row-major buffer."""
        total = Index()
        stride: Size = 1
        for size, index in zip(reversed(self.shape), reversed(self.index), strict=True):
            total, stride = total + index * stride, stride * size
        return total


@dataclass(frozen=True)
class Row:
    """Neighbouring elements of a buffer, from an offset on."""

    buffer: Buffer
    offset: Index

    def renamed(self, names: Mapping[Buffer, Buffer]) -> Row:
        """The same place in another buffer."""
        return replace(self, buffer=names.get(self.buffer, self.buffer))
