"""vmap and forward derivatives of random graphs, interpreted and compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import reject

from graphc.autodiff import forward
from graphc.ir.graph import Graph
from graphc.ir.interp import Evaluation, evaluate
from graphc.ir.node import Array, Input, Node, Read
from graphc.ir.text import print_graph
from graphc.ir.types import f32, f64
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import native
from graphc.vectorise import batch
from tests.compiled import run_compiled
from tests.random_graphs import Case, disagreement, values
from tests.test_random_graphs import Check, over

COPIES = 3
Run = Callable[[Graph, Sequence[Array], Mapping[str, Array]], Evaluation]


def mapped(case: Case) -> tuple[Graph, list[tuple[Array, ...]]]:
    """The graph over an axis in front of every other input, and the arguments of each copy. Results are outputs."""
    rng = np.random.default_rng(11)
    graph, scope = case.graph, case.graph.scope
    stacks = {n: scope.typed(Input(f"{n.op.name}_all"), n.type.with_shape((COPIES, *n.type.shape)))
              for n in graph.inputs[::2] if isinstance(n.op, Input)}  # fmt: skip
    outputs = batch(graph.roots, stacks, COPIES)
    copies = [
        tuple(
            values(rng, n.type.bind(case.sizes)) if n in stacks else x
            for n, x in zip(graph.inputs, case.inputs, strict=True)
        )
        for _ in range(COPIES)
    ]
    inputs = tuple(stacks.get(n, n) for n in graph.inputs)
    return Graph("mapped", scope, inputs, tuple(outputs)), copies


def check_vmap(case: Case) -> None:
    """Each index of the vectorised graph is the graph at that index's arguments."""
    check_copies(case, evaluate)


def check_compiled_vmap(case: Case) -> None:
    """As `check_vmap`, in machine code."""
    check_copies(case, lambda graph, inputs, state: run_compiled(graph, inputs, state, native()))


def check_copies(case: Case, run: Run) -> None:
    graph, copies = mapped(case)
    pairs = zip(graph.inputs, case.graph.inputs, strict=True)
    arguments = [
        np.stack([copy[i] for copy in copies]) if new is not old else case.inputs[i]
        for i, (new, old) in enumerate(pairs)
    ]
    graph = optimise(graph)
    got = run(graph, arguments, case.state)
    for index, copy in enumerate(copies):
        rows = tuple(output[index] for output in got.outputs)
        fault = disagreement(replace(case, inputs=copy), Evaluation(rows, {}))
        assert fault is None, f"index {index}: {fault}\n{print_graph(case.graph)}"


def check_forward(case: Case) -> None:
    """The loss's forward derivative along v is ⟨gradient, v⟩."""
    graph, scope = case.graph, case.graph.scope
    if any(n.type.dtype == f32 for n in graph.nodes()):
        reject()  # the two round differently
    tangents = {n: scope.typed(Input(f"tangent{i}"), n.type) for i, n in enumerate(case.parameters)}
    (along,) = forward(graph.outputs[:1], tangents)
    count = len(case.parameters)
    slopes: Sequence[Node] = graph.outputs[len(graph.outputs) - count :]
    both = Graph("both", scope, (*graph.inputs, *tangents.values()), (along, *slopes))
    rng = np.random.default_rng(5)
    given = dict(zip(graph.inputs, case.inputs, strict=True))
    given |= {n: case.state[n.op.variable] for n in case.parameters if isinstance(n.op, Read)}
    vs = [rng.normal(size=given[n].shape) for n in case.parameters]
    got, *gradient = evaluate(both, [*case.inputs, *vs], case.state).outputs
    with np.errstate(all="ignore"):
        expected = sum(float(np.sum(g * v)) for g, v in zip(gradient, vs, strict=True))
        size = sum(float(np.sum(np.abs(g * v))) for g, v in zip(gradient, vs, strict=True))
    if not np.isfinite([float(got), expected, size]).all():
        reject()
    assert abs(float(got) - expected) <= 1e-9 * max(1.0, size), f"{got}, not {expected}\n{print_graph(graph)}"


def test_vmap_of_random_graphs_is_the_loop() -> None:
    over(check_vmap, 40)


def test_vmap_of_random_graphs_compiles() -> None:
    over(check_compiled_vmap, 8, most=8)


def test_forward_derivatives_of_random_graphs() -> None:
    over(check_forward, 60, dtypes=(f64,))


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_vmap, check_forward])
def test_many_random_transforms(check: Check) -> None:
    over(check, 1000, dtypes=(f64,)) if check is check_forward else over(check, 300, most=8)
