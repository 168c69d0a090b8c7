"""The pass pipeline: order, faults, skipping, dumps that parse back."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from graphc.errors import ArgumentError, InternalError, Site
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.text import parse_graph, print_graph
from graphc.ir.types import f32, f64
from graphc.passes.pipeline import PIPELINE, Pass, check_order, optimise
from graphc.passes.simplify import simplify


def layer() -> Graph:
    """A dense layer written with detours, and an update."""
    scope = Scope()
    with scope.at(Site("/home/user/model.py", 14, "h = dense(x)")):
        x, kernel = scope.typed(Input("x"), f32["N", 3]), scope.typed(Read("kernel"), f32[3, 4])
        turned = build.dot_general(build.transpose(kernel, (1, 0)), x, (1,), (1,))
        h = 1.0 * (build.transpose(turned, (1, 0)) * -1.0 / -1.0)
    return Graph("layer", scope, (x,), (h,), (("kernel", kernel + (-(kernel * kernel))),))


def stages(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_detours_vanish() -> None:
    text = print_graph(optimise(layer()), sites=False)
    assert text.splitlines() == [
        "dim N",
        "graph layer(x: f32[N,3])",
        '%0 = read{variable="kernel"} : f32[3,4]',
        "%1 = mul %0, %0 : f32[3,4]",
        "%2 = sub %0, %1 : f32[3,4]",
        "%3 = dot_general{lhs_contract=[1], rhs_contract=[0], lhs_batch=[], rhs_batch=[]} %x, %0 : f32[N,4]",
        "return %3",
        'update "kernel" = %2',
    ]


def test_optimising_twice_changes_nothing() -> None:
    once = optimise(layer())
    assert optimise(once) == once


def test_a_pass_must_stand_after_those_it_names() -> None:
    check_order(PIPELINE)
    with pytest.raises(InternalError, match=r"must come after simplify: .+"):
        check_order(PIPELINE[::-1])
    with pytest.raises(InternalError, match="second must come after first: why"):
        check_order([Pass("second", simplify, after=("first",), reason="why")])
    assert all(p.reason for p in PIPELINE if p.after)


def test_passes_and_single_rules_can_be_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layer()
    assert optimise(graph, skip=[p.name for p in PIPELINE]) is graph
    assert "neg" in print_graph(optimise(graph, skip=["neg_neg"]))
    assert "neg" not in print_graph(optimise(graph))
    monkeypatch.setenv("GRAPHC_SKIP", ", ".join(p.name for p in PIPELINE))
    assert optimise(graph) is graph
    monkeypatch.setenv("GRAPHC_SKIP", "")
    assert optimise(graph) is not graph
    for name, help in {"simplfy": "did you mean simplify", "neg_ng": "did you mean neg_neg", "?": "matricise"}.items():
        monkeypatch.setenv("GRAPHC_SKIP", f"orient,{name}")
        with pytest.raises(ArgumentError, match=f"(?s){re.escape(repr(name))} is neither a pass nor .*help: .*{help}"):
            optimise(graph)


def test_dumps_are_numbered_headed_sited_and_parse_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path))
    result = optimise(layer())
    files = stages(tmp_path / "layer")
    names = ["trace", *(p.name for p in PIPELINE)]
    assert files == [f"{i:02d}-{name}.txt" for i, name in enumerate(names)]
    texts = [(tmp_path / "layer" / f).read_text() for f in files]
    simplified, oriented = (texts[names.index(name)] for name in ("simplify", "orient"))
    assert simplified.startswith("; simplify: ")
    assert " ms, " in simplified
    assert "nodes: " in simplified
    assert "; model.py:14   h = dense(x)" in simplified
    assert print_graph(parse_graph(oriented), sites=False) == print_graph(result, sites=False)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
    for text in texts:
        np.testing.assert_array_equal(evaluate(parse_graph(text), [x], {"kernel": kernel}).outputs[0], x @ kernel)


def test_a_dump_keeps_large_arrays_beside_the_text(tmp_path: Path) -> None:
    scope = Scope()
    table = build.array_constant(scope, np.arange(2000, dtype=np.float64))
    optimise(Graph("table", scope, (), (table + 1.0,)), dump=tmp_path)
    data = {path.stem: path.read_bytes() for path in (tmp_path / "table").glob("*.bin")}
    graph = parse_graph((tmp_path / "table" / "00-trace.txt").read_text(), data)
    np.testing.assert_array_equal(evaluate(graph, [], {}).outputs[0], np.arange(2000) + 1.0)


def test_a_pass_that_breaks_an_invariant_is_named_with_the_node_and_the_dump(tmp_path: Path) -> None:
    def forget(graph: Graph, skip: Collection[str]) -> Graph:
        def mistype(node: Node) -> Node:
            return node.scope.typed(node.op, node.type.with_dtype(f64), *node.inputs) if node.inputs else node

        return graph.rewrite(mistype)

    pipeline = (*PIPELINE, Pass("forget", forget))
    with pytest.raises(InternalError) as fault:
        optimise(layer(), dump=tmp_path, pipeline=pipeline)
    assert "pass forget" in str(fault.value)
    assert "should be f32" in str(fault.value)
    assert str(tmp_path / "layer" / f"{len(PIPELINE):02d}-{PIPELINE[-1].name}.txt") in str(fault.value)
    with pytest.raises(InternalError, match="GRAPHC_DUMP"):
        optimise(layer(), pipeline=pipeline)


def test_a_pass_that_crashes_is_named() -> None:
    def crash(graph: Graph, skip: Collection[str]) -> Graph:
        raise ZeroDivisionError("by accident")

    with pytest.raises(InternalError, match=r"pass crash on entry layer: by accident"):
        optimise(layer(), pipeline=(Pass("crash", crash),))
