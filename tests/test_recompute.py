"""A rectifier's test is taken from its result, whatever the values; nothing else changes."""

from __future__ import annotations

import numpy as np

from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Scope
from graphc.ir.types import f32
from graphc.ops import Le
from graphc.passes.recompute import recompute

VALUES = np.array([-np.inf, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, np.inf, np.nan], np.float32)


def rectified() -> Graph:
    """y = relu(x), and a later reader of the test."""
    scope = Scope()
    x = scope.typed(Input("x"), f32[9])
    zero = build.constant(scope, 0.0, f32, (9,))
    test = scope.node(Le(), x, zero)
    y = build.select(test, zero, x)
    return Graph("relu", scope, (x,), (y, build.select(test, zero, y + 1.0)))


def test_the_test_is_read_from_the_result() -> None:
    graph = rectified()
    y, later = recompute(graph).outputs
    assert y is graph.outputs[0]
    assert later.inputs[0].inputs[0] is y


def test_results_are_equal_for_every_kind_of_number() -> None:
    graph = rectified()
    before, after = (evaluate(g, [VALUES], {}).outputs for g in (graph, recompute(graph)))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_a_graph_without_rectifiers_stays_itself() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32[9])
    graph = Graph("plain", scope, (x,), (x + 1.0,))
    assert recompute(graph) is graph
