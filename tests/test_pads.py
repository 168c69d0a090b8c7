"""Sums of padded pieces become concatenations, and keep every bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Scope
from graphc.ir.types import TensorType, f32
from graphc.ops.movement import Concat, Pad
from graphc.passes.simplify import simplify

SPECIAL = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e-40], np.float32)

#: (low, size) of each piece of 12 columns, in the order they are added; whether there is another term.
SUMS = {
    "in order": ([(0, 4), (4, 4), (8, 4)], False),
    "backwards": ([(8, 4), (4, 4), (0, 4)], False),
    "the middle last": ([(0, 4), (8, 4), (4, 4)], False),
    "a part": ([(2, 3), (5, 3)], False),
    "a gap": ([(0, 3), (3, 3), (9, 3)], False),
    "another term": ([(0, 6), (6, 6)], True),
}


def total(pieces: Sequence[tuple[int, int]], more: bool) -> Graph:
    """A sum of padded pieces of f32[8, 12]."""
    scope = Scope()
    xs = [scope.typed(Input(f"x{i}"), TensorType(f32, (8, size))) for i, (_, size) in enumerate(pieces)]
    sides = [(low, 12 - low - size) for low, size in pieces]
    terms = [build.pad(x, 0.0, (0, low), (0, high)) for x, (low, high) in zip(xs, sides, strict=True)]
    if more:
        xs.append(scope.typed(Input("more"), f32[8, 12]))
        terms.insert(1, xs[-1])
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return Graph("sum", scope, tuple(xs), (result,))


@pytest.mark.parametrize("name", SUMS)
def test_pieces_side_by_side_are_concatenated(name: str) -> None:
    graph = total(*SUMS[name])
    simple = simplify(graph)
    kinds = [type(n.op) for n in simple.nodes()]
    assert Concat in kinds
    assert kinds.count(Pad) == {"a part": 1, "a gap": 2}.get(name, 0)
    rng = np.random.default_rng(0)
    inputs = [rng.choice(SPECIAL, n.type.shape) for n in graph.inputs]
    before, after = (evaluate(g, inputs, {}).outputs[0] for g in (graph, simple))
    np.testing.assert_array_equal(np.signbit(before)[~np.isnan(before)], np.signbit(after)[~np.isnan(after)])
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("pieces", "more"), [([(0, 4), (5, 4)], False), ([(0, 5), (4, 4)], True), ([(0, 4), (2, 4), (4, 4)], False)]
)
def test_pieces_that_overlap_or_lie_apart_stay(pieces: list[tuple[int, int]], more: bool) -> None:
    assert Concat not in [type(n.op) for n in simplify(total(pieces, more)).nodes()]
