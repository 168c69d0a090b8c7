"""Fusions obey their laws; planted faults in groups are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphc.errors import InternalError
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Scope
from graphc.ir.types import f32
from graphc.ops import After, Exp, ReduceSum
from graphc.passes.fuse import Group, fuse
from graphc.passes.verify_groups import verify_groups


def columns() -> Graph:
    """The column sums of exp(x) · x, which a reduction absorbs, and a matmul with an epilogue."""
    scope = Scope()
    x = scope.typed(Input("x"), f32["N", 8])
    w = scope.typed(Input("w"), f32[8, 8])
    y = scope.node(Exp(), x) * x
    h = build.dot_general(x, w, (1,), (0,)) + 1.0
    return Graph("columns", scope, (x, w), (build.sum_(y, (0,)), h, build.sum_(h, (0,))))


def groups_of(graph: Graph) -> list[Group]:
    """Its fusion, which obeys the laws."""
    groups = list(fuse(graph))
    verify_groups(graph, groups)
    return groups


def test_a_fusion_obeys_the_laws() -> None:
    graph = columns()
    groups = groups_of(graph)
    absorbing = next(
        g for g in groups if g.anchor is not None and isinstance(g.anchor.op, ReduceSum) and len(g.nodes) > 1
    )
    assert any(isinstance(n.op, Exp) for n in absorbing.nodes)


def test_a_value_that_nobody_stores_is_named() -> None:
    graph = columns()
    groups = groups_of(graph)
    groups[0] = replace(groups[0], outputs=())
    with pytest.raises(InternalError, match="no group stores it"):
        verify_groups(graph, groups)


def test_a_value_stored_twice_is_named() -> None:
    graph = columns()
    groups = groups_of(graph)
    with pytest.raises(InternalError, match="by two groups"):
        verify_groups(graph, [*groups, groups[0]])


def test_a_circle_is_named() -> None:
    graph = columns()
    groups = groups_of(graph)
    groups[0] = replace(groups[0], sources=groups[-1].outputs)
    groups[-1] = replace(groups[-1], sources=groups[0].outputs)
    with pytest.raises(InternalError, match="circle"):
        verify_groups(graph, groups)


def test_an_absorbed_value_that_others_need_is_named() -> None:
    graph = columns()
    groups = groups_of(graph)
    total, h, _ = graph.outputs
    shared = graph.with_roots((total, h, total.inputs[0]), ())
    with pytest.raises(InternalError, match=r"need it|no group stores it"):
        verify_groups(shared, groups)


def test_what_a_result_waits_for_is_stored() -> None:
    scope = Scope()
    x = scope.typed(Input("x"), f32["N", 3])
    early = build.exp(x)
    group, *_ = fuse(Graph("late", scope, (x,), (build.apply(After(), build.tanh(x), early),)))
    assert early in group.outputs
