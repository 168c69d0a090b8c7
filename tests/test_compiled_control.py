"""Control flow, compiled and interpreted.

Every case runs between guard pages, at several lengths (0 too), on AVX-512 and AVX2, with its schedule verified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graphc.autodiff import gradients
from graphc.errors import InternalError
from graphc.ir import build
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import DType, TensorType, f32, f64
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native, target
from graphc.schedule.access import Buffer
from graphc.schedule.layout import panels_for
from graphc.schedule.program import EntrySchedule, schedule_entry
from graphc.schedule.steps import ScanStep, Step
from graphc.schedule.verify_entry import verify_schedule
from tests.compiled import CompiledGraph
from tests.control_programs import CASES, Results, arguments, dot, graph_of, scan
from tests.guards import GuardedMemory
from tests.random_control import derivative, random_graph

CPUS = {"native": native(), "x86-64-v3": target("x86-64-v3")}


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_VERIFY", "1")


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_compiled_control_flow_is_what_the_interpreter_says(name: str, dtype: DType, cpu: str) -> None:
    graph = graph_of(name, dtype)
    compiled = CompiledGraph(graph, {"w": TensorType(dtype, (8, 8))}, CPUS[cpu])
    tolerance = 2e-4 if dtype is f32 else 1e-11
    for n, t in ((3, 0), (1, 1), (3, 5), (17, 2)):
        inputs, state = arguments(dtype, n, t)
        expected = evaluate(graph, inputs, state)
        for at_start in (False, True):
            got = compiled(inputs, state, GuardedMemory(at_start))
            for a, b in zip(got.outputs, expected.outputs, strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


DIFFERENTIABLE = [name for name in CASES if name not in ("as_long_as", "a_condition_in_a_loop")]


def derivatives_of(name: str, order: int) -> Graph:
    """The gradient of a weighted sum of squares of a case's float results; of that gradient, and so on."""
    graph = graph_of(name, f64)
    scope = graph.scope
    targets = [*graph.inputs, scope.typed(Read("w"), f64[8, 8])]
    results = [n for n in graph.outputs if n.type.dtype.is_float]
    for _ in range(order):
        total = build.constant(scope, 0.0, f64)
        for i, node in enumerate(results):
            total = total + build.sum_(node * node, tuple(range(node.type.rank))) * (0.1 + 0.05 * i)
        results = gradients(total, targets)
    return graph.with_roots(results, ())


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_compiled_derivatives_are_what_the_interpreter_says(name: str, order: int) -> None:
    graph = derivatives_of(name, order)
    compiled = CompiledGraph(optimise(graph), {"w": TensorType(f64, (8, 8))})
    for n, t in ((2, 0), (3, 4)):
        inputs, state = arguments(f64, n, t)
        expected = evaluate(graph, inputs, state)
        got = compiled(inputs, state, GuardedMemory())
        for a, b in zip(got.outputs, expected.outputs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(b).max(initial=0))))


def assert_random_graph_is_compiled(seed: int) -> None:
    """A random graph and its gradient, compiled as they are and after the passes, are what the interpreter says."""
    graph = random_graph(seed)
    slope = derivative(graph)
    for meaning, compiled in ((graph, graph), (graph, optimise(graph)), (slope, optimise(slope))):
        code = CompiledGraph(compiled, {"w": f64[8, 8]})
        for n, t in ((2, 0), (3, 4)):
            inputs, state = arguments(f64, n, t)
            expected = evaluate(meaning, inputs, state)
            got = code(inputs, state, GuardedMemory())
            for a, b in zip(got.outputs, expected.outputs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * max(1.0, float(np.abs(b).max(initial=0))))
            for key, value in expected.updates.items():
                np.testing.assert_allclose(got.updates[key], value, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_random_control_flow(seed: int) -> None:
    assert_random_graph_is_compiled(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(6, 206, 40))
def test_much_random_control_flow(first: int) -> None:
    for seed in range(first, first + 40):
        assert_random_graph_is_compiled(seed)


def scheduled(name: str) -> EntrySchedule:
    """The schedule of a case."""
    return schedule_entry(graph_of(name), {"w": Buffer("w", f32[8, 8], "state")}, CPUS["x86-64-v3"])


def loop_of(entry: EntrySchedule) -> ScanStep:
    """The first loop of a schedule."""
    return next(s for s in entry.steps if isinstance(s, ScanStep))


def test_carries_are_updated_in_place_where_nothing_reads_them_later() -> None:
    labels = [k.label for k in scheduled("gates").kernels]
    assert labels[:2] == ["copy", "copy"]
    assert "copy" not in labels[2:]


def test_a_kernel_writes_the_first_value_of_a_carry_and_the_last_value_of_the_result() -> None:
    entry = scheduled("carries_before_and_after")
    kernel, copy, step = entry.steps
    assert isinstance(step, ScanStep)
    assert kernel.writes() == (entry.outputs[0],) == step.carries[:1]  # type: ignore[union-attr]
    assert copy.writes() == (entry.outputs[1],) == step.carries[1:]  # type: ignore[union-attr]


def test_code_does_not_grow_with_the_length() -> None:
    texts = []
    for length in (10, 10_000):
        scope = Scope()
        h, xs = (scope.typed(Input(n), TensorType(f32, s)) for n, s in (("h", (4, 8)), ("xs", (length, 4, 8))))
        w = scope.typed(Read("w"), f32[8, 8])
        results = scan([w], [h], [xs], lambda c, s, x: ([dot(s[0], c[0]) + x[0]], [s[0]]), length)
        texts.append(CompiledGraph(Graph("f", scope, (h, xs), tuple(results)), {"w": w.type}).text)
    assert abs(len(texts[0]) - len(texts[1])) < 40


def test_a_matrix_that_only_bodies_contract_is_packed_and_one_that_they_cut_is_not() -> None:
    scope = Scope()
    w, v = (scope.typed(Read(n), f32[8, 8]) for n in "wv")
    h = scope.typed(Input("h"), f32["N", 8])

    def step(c: list[Node], s: list[Node], x: list[Node]) -> Results:
        return [dot(dot(s[0], c[0]), c[1]) + build.spread(x[0], s[0], (0,))], []

    graph = Graph("f", scope, (h,), tuple(scan([w, v], [h], [v], step, 8)))
    assert panels_for([graph], {}) == {"w": 16}


Corrupt = Callable[[EntrySchedule], EntrySchedule]


def with_loop(**changes: object) -> Corrupt:
    """The schedule with another first loop."""

    def corrupt(entry: EntrySchedule) -> EntrySchedule:
        old = loop_of(entry)
        changed: Step = replace(old, **{k: f(getattr(old, k)) for k, f in changes.items()})  # type: ignore[operator]
        return replace(entry, steps=tuple(changed if s is old else s for s in entry.steps))

    return corrupt


@pytest.mark.parametrize(
    ("name", "corrupt", "message"),
    [
        ("backwards", lambda e: replace(e, steps=e.steps[1:]), r"step body: reads out\.0 before it is written"),
        ("backwards", with_loop(carries=lambda c: ()), r"reads out\.0|out\.0 is written by another kernel"),
        ("backwards", with_loop(slices=lambda s: s[1:]), r"no slice buffer that has a place"),
        ("backwards", with_loop(slices=lambda s: s[:-1]), r"no slice buffer that has a place"),
        ("backwards", with_loop(body=lambda b: b * 2), r"is written by another kernel|after its update"),
        ("backwards", with_loop(body=lambda b: ()), r"nothing writes out\.1"),
        ("the_number_of_the_round", with_loop(index=lambda i: None), r"round before it is written"),
    ],
)  # fmt: skip
def test_a_planted_corruption_of_a_loop_is_named(name: str, corrupt: Corrupt, message: str) -> None:
    entry = scheduled(name)
    verify_schedule(entry)
    with pytest.raises(InternalError, match=message):
        verify_schedule(corrupt(entry))
