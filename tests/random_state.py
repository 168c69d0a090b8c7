"""Random updates of state, made of views of its old and new values: what may not be overwritten too early."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc import ops
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import f64, i32
from tests.control_programs import Results, scan

#: Variables, all of 64 elements: any is a view of any other.
SHAPES = ((8, 8), (64,), (16, 4), (8, 8), (2, 32))


class Views:
    """Values of [8, 8] that are made, one of the other, without ever being copied where that can be helped."""

    def __init__(self, rng: np.random.Generator, pool: Sequence[Node], index: Node):
        self.rng, self.pool, self.index = rng, list(pool), index
        self.kinds: tuple[Callable[[Node], Node], ...] = (
            lambda x: build.transpose(x, (1, 0)),
            lambda x: build.flip(x, (int(rng.integers(2)),)),
            lambda x: build.concat([rows(x, 3, 8), rows(x, 0, 3)], 0),
            lambda x: build.concat([rows(self.any(), 0, 4), rows(x, 4, 8)], 0),
            lambda x: build.concat([build.tanh(rows(x, 5, 8)), rows(x, 0, 5)], 0),
            lambda x: build.pad(rows(x, 1, 7), 0.5, (1, 0), (1, 0)),
            lambda x: build.broadcast(build.reshape(rows(x, 2, 3), (8,)), (8, 8), (int(rng.integers(2)),)),
            lambda x: square(build.gather(build.reshape(x, (64,)), self.index, 0)),
            lambda x: build.apply(ops.ScatterAdd(0), x, build.slice_axis(self.index, 0, 0, 2), rows(self.any(), 0, 2)),
            lambda x: build.apply(ops.ScatterSet(0), self.any(), build.slice_axis(self.index, 0, 0, 3), rows(x, 2, 5)),
            lambda x: build.dot_general(x, build.tanh(self.any()), (1,), (0,)) * 0.2,
            lambda x: build.apply(ops.CumSum(int(rng.integers(2)), bool(rng.integers(2))), x) * 0.3,
            lambda x: build.spread(build.sum_(x, (1,)), x, (1,)) * 0.1,
            lambda x: build.tanh(x),
            lambda x: x + self.any(),
            lambda x: build.maximum(x, self.any() * 0.5),
        )

    def any(self) -> Node:
        """One of the values."""
        return self.pool[self.rng.integers(len(self.pool))]

    def grow(self, steps: int) -> None:
        """Some more values."""
        for _ in range(steps):
            self.pool.append(self.kinds[self.rng.integers(len(self.kinds))](self.any()))

    def update(self, old: Node) -> Node:
        """A new value of some state: at times none, at times another's old one."""
        return old if self.rng.integers(5) == 0 else build.reshape(self.any(), old.type.shape)


def rows(x: Node, start: int, stop: int) -> Node:
    """Some rows of a value."""
    return build.slice_axis(x, 0, start, stop)


def square(x: Node) -> Node:
    """A value's 64 elements as [8, 8]."""
    return build.reshape(x, (8, 8))


def random_updates(seed: int) -> Graph:
    """(x: [8, 8], index: i32[64]) -> three results; v0 … are updated, in a loop too."""
    rng = np.random.default_rng(seed)
    scope = Scope()
    x, index = scope.typed(Input("x"), f64[8, 8]), scope.typed(Input("index"), i32[64])
    count = int(rng.integers(1, len(SHAPES) + 1))
    reads = [scope.typed(Read(f"v{i}"), f64[shape]) for i, shape in enumerate(SHAPES[:count])]
    views = Views(rng, [*map(square, reads), x], index)
    views.grow(int(rng.integers(1, 6)))
    if rng.integers(2):
        views.pool += [square(r) for r in looped(views, reads)]
        views.grow(int(rng.integers(3)))
    updates = [(f"v{i}", views.update(read)) for i, read in enumerate(reads)]
    results = [views.any() for _ in range(3)]
    return Graph("views", scope, (x, index), tuple(results), tuple(updates))


def looped(views: Views, reads: Sequence[Node]) -> list[Node]:
    """What a loop gives whose carries start as Variables, or as other values of their shapes."""
    seed = int(views.rng.integers(1 << 30))
    inits = [r if views.rng.integers(2) else build.reshape(views.any(), r.type.shape) for r in reads]

    def step(consts: list[Node], carries: list[Node]) -> Results:
        inner = Views(np.random.default_rng(seed), [*map(square, carries), consts[0]], consts[1])
        inner.grow(int(inner.rng.integers(1, 6)))
        return [inner.update(c) for c in carries], [inner.any()]

    results = scan([views.any(), views.index], inits, [], step, 3)
    return [r for r in results if r.type.rank < 3]
