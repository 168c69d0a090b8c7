"""Random graphs with control flow: loops in loops, branches, carries that change places, whatever a seed gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.autodiff import gradients
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import TensorType, f64
from tests.control_programs import N, Results, T, branch, dot, scan

#: Loops and branches within one another.
DEPTH = 2
COLUMNS = 8


class Grower:
    """Grows values of [N, 8], from some that are there and a matrix [8, 8]."""

    def __init__(self, rng: np.random.Generator, pool: Sequence[Node], w: Node, depth: int):
        self.rng, self.pool, self.w, self.depth = rng, list(pool), w, depth
        self.kinds: list[Callable[[Node, Node], Node]] = [
            lambda a, b: a + b,
            lambda a, b: a - b * 0.5,
            lambda a, b: build.tanh(a) * b,
            lambda a, b: build.tanh(dot(a, self.w)),
            lambda a, b: build.maximum(a, b),
            lambda a, b: a * 0.5 + build.spread(build.sum_(b, (1,)), a, (1,)) * 0.1,
            lambda a, b: build.tanh(a) * build.spread(build.sum_(build.tanh(b), (0,)), a, (0,)) * 0.1,
            lambda a, b: build.concat([columns(a, 0, 3), build.tanh(columns(b, 2, 7))], 1),
            lambda a, b: build.concat([build.tanh(columns(a, i, i + 2)) + columns(b, 0, 2) for i in range(0, 8, 2)], 1),
            lambda a, b: build.reshape(build.reshape(build.tanh(a), (a.type.size,)), a.type.shape),
        ]
        if depth:
            self.kinds += [self.loop, self.choice]

    def pick(self) -> Node:
        """One of the values."""
        return self.pool[self.rng.integers(len(self.pool))]

    def grow(self, steps: int) -> list[Node]:
        """All values after some more."""
        for _ in range(steps):
            kind = self.kinds[self.rng.integers(len(self.kinds))]
            self.pool.append(kind(self.pick(), self.pick()))
        return self.pool

    def inner(self, seed: int, given: Sequence[Node]) -> Grower:
        """What grows in a body, from the matrix and some values."""
        w, *values = given
        return Grower(np.random.default_rng(seed), values, w, self.depth - 1)

    def choice(self, a: Node, b: Node) -> Node:
        """A branch."""
        seeds = self.rng.integers(1 << 30, size=2)

        def one(seed: int) -> Callable[..., Sequence[Node]]:
            return lambda *given: (grown := self.inner(seed, given).grow(3))[-1:] + grown[:1]

        test = build.gt(build.sum_(a, (0, 1)), build.sum_(b, (0, 1)))
        first, second = branch(test, [self.w, a, self.pick()], one(seeds[0]), one(seeds[1]))
        self.pool.append(first)
        return second

    def loop(self, a: Node, b: Node) -> Node:
        """A loop of a few rounds, over slices of what is put together for it."""
        length = int(self.rng.integers(1, 4))
        rows = [build.reshape(self.pick(), (1, *a.type.shape)) for _ in range(length)]
        results = self.rounds([build.concat(rows, 0)] if self.rng.integers(2) else [], length)
        carries = [r for r in results if r.type.rank == 2]
        stacks = [build.sum_(r, (0,)) for r in results if r.type.rank == 3]
        self.pool += stacks
        return carries[-1] + b

    def rounds(self, xs: Sequence[Node], length: object) -> list[Node]:
        """The results of a loop with carries, constants and outputs as they come."""
        seed, carries, outputs = int(self.rng.integers(1 << 30)), self.rng.integers(1, 4), self.rng.integers(0, 4)
        consts = [self.w, *(self.pick() for _ in range(self.rng.integers(0, 3)))]

        def step(c: list[Node], s: list[Node], x: Sequence[Node] = ()) -> Results:
            inner = self.inner(seed, [*c, *s, *x])
            inner.grow(int(inner.rng.integers(1, 7)))
            news = [inner.pick() if inner.rng.integers(3) == 0 else build.tanh(inner.pick()) for _ in range(carries)]
            return news, [inner.pick() for _ in range(outputs)]

        inits = [self.pick() for _ in range(carries)]
        return scan(consts, inits, xs, step, length, reverse=bool(self.rng.integers(2)))  # type: ignore[arg-type]


def columns(x: Node, start: int, stop: int) -> Node:
    """Some columns of a value."""
    return build.slice_axis(x, 1, start, stop)


def random_graph(seed: int) -> Graph:
    """(h: [N, 8], g: [N, 8], xs: [T, N, 8]) -> five results, and maybe an update of w: [8, 8]; in float64."""
    rng = np.random.default_rng(seed)
    scope = Scope()
    shapes = {"h": (N, COLUMNS), "g": (N, COLUMNS), "xs": (T, N, COLUMNS)}
    h, g, xs = (scope.typed(Input(n), TensorType(f64, s)) for n, s in shapes.items())
    w = scope.typed(Read("w"), f64[COLUMNS, COLUMNS])
    grower = Grower(rng, [h, g], w, DEPTH)
    grower.grow(int(rng.integers(0, 4)))
    results: list[Node] = []
    for _ in range(rng.integers(1, 3)):
        found = grower.rounds([xs], T)
        results += found
        grower.pool += [r for r in found if r.type.rank == 2]
    results += grower.grow(2)[-2:]
    update = build.tanh(w + build.dot_general(grower.pick(), grower.pick(), (0,), (0,)) * 0.01)
    chosen = tuple(results[i] for i in rng.permutation(len(results))[:5])
    return Graph("random", scope, (h, g, xs), chosen, (("w", update),) if rng.integers(2) else ())


def derivative(graph: Graph) -> Graph:
    """The gradient of all results' sum, squashed, with respect to inputs and w."""
    total = build.constant(graph.scope, 0.0, f64)
    for node in graph.outputs:
        total = total + build.sum_(build.tanh(node), tuple(range(node.type.rank)))
    w = graph.scope.typed(Read("w"), f64[COLUMNS, COLUMNS])
    return graph.with_roots(gradients(total, [*graph.inputs, w]), graph.updates)
