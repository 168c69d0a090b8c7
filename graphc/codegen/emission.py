"""What is known while a kernel is emitted: its values, the lanes being computed, and indices as LLVM values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphc.codegen.address import Addresses, Sizes
from graphc.codegen.folds import index_lanes
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value
from graphc.ir.dim import Size
from graphc.runtime.targets import Target
from graphc.schedule.access import Axis, Buffer, Index
from graphc.schedule.kernel import Kernel, Stmt


@dataclass(frozen=True)
class Lane:
    """A value while it is emitted: one SSA value where it is uniform, else one for each chunk of the lanes axis."""

    dtype: str
    chunks: tuple[Value, ...]
    uniform: bool


@dataclass(frozen=True)
class Chunks:
    """The lanes being computed: which axis, where each chunk starts, which of its lanes live (None: all)."""

    axis: Axis
    lanes: int
    starts: tuple[Value, ...]
    masks: tuple[Value | None, ...]


class Emission:
    """The state of one kernel's emission; `rules` emit each kind of statement."""

    def __init__(
        self,
        builder: Builder,
        target: Target,
        pointers: Mapping[Buffer, Value],
        symbols: Mapping[str, Value],
        width: int,
        rules: Mapping[type[Stmt], Rule],
    ):
        """`width` is the lanes of a full vector of this kernel."""
        self.b, self.target, self.width, self.rules = builder, target, width, rules
        self.sizes = Sizes(builder, symbols)
        self.addresses = Addresses(builder, self.sizes, pointers)
        self.values: dict[int, Lane] = {}
        self.chunks: Chunks | None = None

    def kernel(self, kernel: Kernel) -> None:
        """Emit a whole kernel: first, where all can see them, the sizes it needs."""
        for size in kernel.sizes():
            self.sizes(size)
        self.run(kernel.body)

    def run(self, body: Sequence[Stmt]) -> None:
        """Emit statements in order."""
        for statement in body:
            self.rules[type(statement)](self, statement)

    @property
    def vectors(self) -> Chunks:
        """The lanes being computed, where there must be some."""
        assert self.chunks is not None, "no lanes axis is open"
        return self.chunks

    def lanes_for(self, extent: Size) -> int:
        """The vector width for an axis: the register's, or the next power of two for a short axis."""
        lanes = self.width
        while isinstance(extent, int) and lanes > 1 and lanes // 2 >= max(extent, 1):
            lanes //= 2
        return lanes

    def vector(self, lane: Lane, chunk: int) -> Value:
        """The value as a vector of the current chunk (splat where it is uniform)."""
        if not lane.uniform:
            return lane.chunks[chunk]
        return self.b.splat(lane.chunks[0], self.chunks.lanes if self.chunks else 1)

    # -- indices ----------------------------------------------------------------------------------------------------

    def lane_term(self, index: Index) -> Axis | int | None:
        """The term that differs between lanes, if there is one."""
        for term, _ in index.terms:
            if isinstance(term, int):
                if not self.values[term].uniform:
                    return term
            elif self.chunks is not None and term == self.chunks.axis:
                return term
        return None

    def scalar_index(self, index: Index) -> Value:
        """A uniform index as i64."""
        total = self.sizes(index.offset)
        for term, coefficient in index.terms:
            total = self.b.add(total, self.b.mul(self.addresses.axes[term], self.sizes(coefficient)))
        return total

    def vector_index(self, index: Index, chunk: int) -> Value:
        """An index that differs between lanes, as i64 lanes."""
        lanes = self.vectors.lanes
        uniform = [t for t in index.terms if self.lane_term(Index((t,))) is None]
        total = self.b.splat(self.scalar_index(Index(tuple(uniform), index.offset)), lanes)
        for term, coefficient in index.terms:
            if (term, coefficient) in uniform:
                continue
            if isinstance(term, int):
                each = self.values[term].chunks[chunk]
            else:
                each = index_lanes(self.b, self.vectors.starts[chunk], lanes)
            if coefficient != 1:
                each = self.b.binary("mul", each, self.b.splat(self.sizes(coefficient), lanes))
            total = self.b.binary("add", total, each)
        return total


#: Emits one kind of statement.
Rule: TypeAlias = Callable[[Emission, Any], None]
