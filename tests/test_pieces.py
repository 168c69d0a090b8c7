"""Concatenations whose pieces are written in place by the kernels that compute them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from graphc.ir import build
from graphc.ir.dim import symbol
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.ir.node import Input, Node, Read, Scope
from graphc.ir.types import TensorType, f32
from graphc.runtime.targets import native, target
from tests.compiled import CompiledGraph
from tests.guards import GuardedMemory

N = symbol("N")
TARGETS = {"native": native(), "x86-64-v3": target("x86-64-v3")}

#: (x: [N, 5], y: [N, 5], w: [5, 5]) -> results, updates of w; and the kernels there must be.
CASES: dict[str, tuple[Callable[[Node, Node, Node], tuple[Sequence[Node], Node | None]], int]] = {
    "elementwise": (lambda x, y, w: ([build.concat([x + y, x * y, build.exp(x * y)], 1)], None), 2),
    "one kernel": (
        lambda x, y, w: ([build.concat([(e := build.exp(x)) + y, e * y, e * e, build.tanh(e) - x], 1)], None), 1,
    ),
    "by rows": (lambda x, y, w: ([build.concat([x + y, x * y, y * 2.0], 0)], None), 1),
    "a matmul and an input": (
        lambda x, y, w: ([build.concat([build.tanh(build.dot_general(x, w, (1,), (0,))), y, x * y], 1)], None), 2,
    ),
    "read elsewhere": (lambda x, y, w: ([build.concat([p := x + y, x * y], 1), p, build.exp(p)], None), 2),
    "twice the same": (lambda x, y, w: ([build.concat([p := x + y, p], 1), build.concat([p, x], 1)], None), 2),
    "and itself in reverse": (lambda x, y, w: ([build.concat([p := build.exp(x), build.flip(p, (0,))], 0)], None), 2),
    "and parts of itself": (
        lambda x, y, w: ([build.concat([p := build.exp(x), x * y, build.slice_axis(p, 1, 1, 3)], 1)], None), 2,
    ),
    "read after": (
        lambda x, y, w: ([build.dot_general(build.concat([x + y, x * y], 0), w, (1,), (0,))], None), 2,
    ),
    "sums": (lambda x, y, w: ([build.concat([build.sum_(x * y, (1,)), build.sum_(y, (1,))], 0)], None), 2),
    "an update": (lambda x, y, w: ([build.sum_(w, (0,))], build.concat([part(w, 2), part(w, 3)], 0)), 3),
}  # fmt: skip


def part(w: Node, rows: int) -> Node:
    """Some first rows, doubled."""
    return build.slice_axis(w, 0, 0, rows) * 2.0


@pytest.mark.parametrize("cpu", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_pieces_are_where_they_belong(name: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_VERIFY", "1")
    function, kernels = CASES[name]
    scope = Scope()
    x, y = (scope.typed(Input(n), TensorType(f32, (N, 5))) for n in "xy")
    w = scope.typed(Read("w"), f32[5, 5])
    outputs, update = function(x, y, w)
    graph = Graph("pieces", scope, (x, y), tuple(outputs), (("w", update),) if update is not None else ())
    compiled = CompiledGraph(graph, {"w": w.type}, TARGETS[cpu])
    assert len(compiled.entry.kernels) == kernels
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 33):
        inputs = [rng.normal(size=(n, 5)).astype(np.float32) for _ in range(2)]
        state = {"w": rng.normal(size=(5, 5)).astype(np.float32)}
        expected = evaluate(graph, inputs, state)
        for at_start in (False, True):
            got = compiled(inputs, state, GuardedMemory(at_start))
            for a, b in zip(got.outputs, expected.outputs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
            for key, value in expected.updates.items():
                np.testing.assert_allclose(got.updates[key], value, rtol=1e-6)
