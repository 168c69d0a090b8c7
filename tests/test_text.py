"""The printed graph reads back to the same graph, to the bit."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from graphc import ops
from graphc.autodiff import gradients
from graphc.errors import ArgumentError, Site
from graphc.ir import build
from graphc.ir.dim import maximum, minimum, symbol
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.text import parse_graph, print_graph, segments
from graphc.ir.types import DTYPES, TensorType, f32, f64, i32
from graphc.ir.verify import verify
from tests.op_cases import Case, dtypes, each_case, inputs

N, T = symbol("N", min=1, typical=64), symbol("T", max=9, multiple_of=3)


def regression() -> Graph:
    """A step with symbols, state, constants and sites."""
    scope = Scope()
    x, y = scope.typed(Input("x"), f32[N, 4]), scope.typed(Input("y"), f32[N, 2])
    with scope.at(Site("/home/me/model.py", 14, 'w = "a; b" # kernel')):
        w = scope.typed(Read("dense/kernel"), f32[4, 2])
        error = build.dot_general(x, w, (1,), (0,)) - y
    loss = build.sum_(error * error, (0, 1))
    (gradient,) = gradients(loss, [w])
    return Graph("train_step", scope, (x, y), (loss,), (("dense/kernel", w - gradient * 0.1),))


GOLDEN = """\
dim N: min=1, typical=64
graph train_step(x: f32[N,4], y: f32[N,2])
%0 = read{variable="dense/kernel"} : f32[4,2]   ; model.py:14   w = "a; b" # kernel
%1 = dot_general{lhs_contract=[1], rhs_contract=[0], lhs_batch=[], rhs_batch=[]} %x, %0 : f32[N,2]   ; model.py:14   w = "a; b" # kernel
%2 = sub %1, %y : f32[N,2]   ; model.py:14   w = "a; b" # kernel
%3 = mul %2, %2 : f32[N,2]
%4 = reduce_sum{axes=[0, 1]} %3 : f32[]
%5 = constant{1.0} : f32[]
%6 = broadcast{shape=[N, 2], axes=[]} %5 : f32[N,2]
%7 = mul %6, %2 : f32[N,2]
%8 = add %7, %7 : f32[N,2]
%9 = dot_general{lhs_contract=[0], rhs_contract=[0], lhs_batch=[], rhs_batch=[]} %x, %8 : f32[4,2]   ; model.py:14   w = "a; b" # kernel
%10 = constant{0.1} : f32[]
%11 = broadcast{shape=[4, 2], axes=[]} %10 : f32[4,2]
%12 = mul %9, %11 : f32[4,2]
%13 = sub %0, %12 : f32[4,2]
return %4
update "dense/kernel" = %13
"""  # noqa: E501


def test_the_text_of_a_step() -> None:
    assert print_graph(regression()) == GOLDEN


def test_the_text_reads_back() -> None:
    graph = parse_graph(GOLDEN)
    verify(graph)
    assert print_graph(graph) == print_graph(regression(), sites=False)
    assert graph.symbols() == regression().symbols()


def test_equal_graphs_have_equal_text_whatever_else_their_scope_holds() -> None:
    graph = regression()
    build.exp(graph.outputs[0])
    longer = Scope()
    longer.typed(Input("unused"), f32[3])
    copy = parse_graph(GOLDEN)
    assert print_graph(copy) == print_graph(graph, sites=False)


@each_case
def test_every_primitive_reads_back(case: Case) -> None:
    for dtype in dtypes(case.op)[:1]:
        scope = Scope()
        xs = inputs(scope, case.operands(np.random.default_rng(0), dtype))
        graph = Graph("f", scope, tuple(xs), (scope.node(case.op, *xs),))
        copy = parse_graph(print_graph(graph))
        assert copy.outputs[0].op == case.op
        assert [n.type for n in copy.nodes()] == [n.type for n in graph.nodes()]
        assert print_graph(copy) == print_graph(graph)


def constant_graph(array: Any) -> Graph:
    """A graph that returns an array."""
    scope = Scope()
    return Graph("f", scope, (), (build.array_constant(scope, array),))


ODD_NANS = np.array([0x7FC00001, 0xFFC00000, 0x7F800001], np.uint32).view(np.float32)


@pytest.mark.parametrize(
    "array",
    [
        np.float32(0.1), np.float32(-0.0), np.float64(0.1), np.float32(np.nan), ODD_NANS, np.float64(5e-324),
        np.array([np.inf, -np.inf, 3.4028235e38, 1e-45], np.float32), np.zeros((0, 3)), np.array([[True], [False]]),
        np.array([2**64 - 1], np.uint64), np.array([-(2**63)], np.int64), np.array([[1, 2], [3, 4]], np.uint8),
        np.random.default_rng(0).normal(size=300).astype(np.float32), np.random.default_rng(0).normal(size=300),
    ],
    ids=str,
)  # fmt: skip
def test_constants_read_back_to_the_bit(array: Any) -> None:
    graph = constant_graph(array)
    copy = parse_graph(print_graph(graph))
    assert copy.outputs[0].op == graph.outputs[0].op
    assert copy.outputs[0].type == graph.outputs[0].type


def test_every_bit_pattern_of_a_float_has_its_text() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 900, dtype=np.uint32)
    graph = constant_graph(bits.view(np.float32))
    assert parse_graph(print_graph(graph)).outputs[0].op == graph.outputs[0].op


def test_large_arrays_stand_beside_the_text() -> None:
    graph = constant_graph(np.arange(2000.0))
    text, data = print_graph(graph), segments(graph)
    assert len(text) < 200 and [len(d) for d in data.values()] == [16000]
    assert parse_graph(text, data).outputs[0].op == graph.outputs[0].op
    with pytest.raises(ArgumentError, match="line 2 of the graph does not parse"):
        parse_graph(text)


def test_dimensions_read_back() -> None:
    scope = Scope()
    sizes = (2 * N * T + 1, (N + 1) // 2, N % 4, minimum(N, T), maximum(N * T, 7) * T, -1 * N + 200)
    x, t = scope.typed(Input("x"), f32[N]), scope.typed(Input("t"), f32[T])
    outputs = tuple(build.constant(scope, 1.0, f64, (s,)) for s in sizes)
    graph = Graph("f", scope, (x, t), outputs)
    copy = parse_graph(print_graph(graph))
    assert [o.type for o in copy.outputs] == [o.type for o in outputs]
    assert print_graph(copy) == print_graph(graph)


@pytest.mark.parametrize("name", ["x", "seed 0", "a.b", 'q"uote', "semi;colon", "}", "ünï"])
def test_any_name_reads_back(name: str) -> None:
    scope = Scope()
    x, r = scope.typed(Input(name), f32[2]), scope.typed(Read(name), f32[2])
    graph = Graph(name, scope, (x,), (x + r, x), ((name, x),))
    copy = parse_graph(print_graph(graph))
    verify(copy)
    assert copy.name == name and copy.updates[0][0] == name
    assert print_graph(copy) == print_graph(graph)


def test_a_graph_of_nothing_reads_back() -> None:
    graph = Graph("empty", Scope(), (), ())
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)


@pytest.mark.parametrize(
    "line",
    ["%9 = frobnicate %0 : f32[4]", "%9 = exp %77 : f32[4]", "%9 = exp{x=3} %0 : f32[4]", "%9 = exp %0", "hello",
     "%9 = exp %0 : f99[4]", "%9 = exp %0 : f32[4 4]", "update x = %0", "return %x"],
)  # fmt: skip
def test_text_that_is_no_graph_is_refused(line: str) -> None:
    with pytest.raises(ArgumentError, match="line 3 of the graph does not parse"):
        parse_graph(f'graph f()\n%0 = read{{variable="v"}} : f32[4]\n{line}\n')


def test_dtypes_are_told_from_symbols() -> None:
    scope = Scope()
    odd = symbol("i32")
    x = scope.typed(Input("x"), f32[odd])
    graph = Graph("f", scope, (x,), (build.cast(x, i32), build.reshape(x, (1, odd))))
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)
    assert ops.Cast(DTYPES["i32"]) == build.cast(x, i32).op


def test_printing_is_fast() -> None:
    scope = Scope()
    x: Node = scope.typed(Input("x"), TensorType(f32, (N, 64)))
    y = x
    for _ in range(150):
        y = build.tanh(y * x)
    graph = Graph("f", scope, (x,), (y,))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        print_graph(graph, sites=False)
        times.append(time.perf_counter() - start)
    assert len(graph.nodes()) == 301 and min(times) < 4e-3
