"""The pass that computes again what a budget of memory does not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from graphc.frontend.trace import TracedEntry
from graphc.ir.graph import Graph
from graphc.ir.interp import evaluate
from graphc.passes.pipeline import optimise
from graphc.passes.remat import Copies, Waiting, worth_keeping
from graphc.passes.sequence import sequence
from graphc.runtime.targets import native
from graphc.schedule.layout import lay_out, panels_for
from graphc.schedule.program import schedule_entry
from tests.compiled import arena_bytes, run_compiled
from tests.graph_checks import over
from tests.random_graphs import Case, disagreement


def program_of(net: nn.Module, x: gr.TensorType) -> gr.Program:
    """One step of training a classifier."""
    program = gr.Program("deep")
    adam = optim.Adam(1e-3)

    @program.entry(x=x, y=gr.i32["N"])
    def train_step(x: Any, y: Any) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        adam.minimize(loss)
        return loss

    return program


def deep() -> gr.Program:
    """A deep perceptron with activations of many operations, and normalised."""
    layers = [part for _ in range(5) for part in (nn.Dense(64, activation="gelu"), nn.Dropout(0.1))]
    return program_of(nn.Sequential(*layers, nn.Dense(10)), gr.f32["N", 64])


def entry_of(program: gr.Program) -> TracedEntry:
    return program.trace().entries[0]


def arena(program: gr.Program, graph: Graph) -> int:
    """The bytes of the workspace that a graph of the program's needs at N = 256."""
    variables = program.trace().variables
    layout = lay_out([(v.name, v.type, v.trainable) for v in variables], panels_for([graph], {}))
    return arena_bytes(schedule_entry(graph, layout.buffers, native()), {"N": 256})


def test_the_workspace_shrinks_and_what_is_kept_fits_the_budget() -> None:
    program = deep()
    graph = entry_of(program).graph
    plain, less = optimise(graph), optimise(graph, budget=0.0)
    assert arena(program, less) < 0.6 * arena(program, plain)
    assert Waiting(less).most < 0.6 * Waiting(plain).most
    assert optimise(graph, budget=1.0) == plain == optimise(graph, budget=2**40)


def test_what_nothing_waits_for_runs_as_soon_as_it_can() -> None:
    """4 is an update: before 3, which is older but feeds 5."""
    assert sequence({1: [], 3: [1], 4: [1], 5: [3]}) == [1, 4, 3, 5]
    assert sequence({1: [2], 2: [1], 3: []}) == [3]


def test_a_budget_does_not_undo_checkpoints() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [nn.Sequential(nn.Dense(64, activation="gelu"), nn.Dense(64)) for _ in range(4)]

        def __call__(self, x: Any) -> Any:
            for block in self.blocks:
                x = x + gr.checkpoint(block)(x)
            return x

    program = program_of(Net(), gr.f32["N", 64])
    graph = entry_of(program).graph
    plain, less = (arena(program, optimise(graph, budget=budget)) for budget in (None, 0.0))
    assert less <= plain


def test_results_are_the_same() -> None:
    x = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    y = np.arange(32, dtype=np.int32) % 10
    program = deep()
    plain, less = program.compile(), program.compile(activation_memory_budget=0.0)
    for _ in range(3):
        np.testing.assert_allclose(plain.train_step(x, y), less.train_step(x, y), rtol=1e-5)
    for name, value in plain.state.items():
        np.testing.assert_allclose(less.state[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def check_less_memory(case: Case) -> None:
    """A random graph, split anywhere, means the same with copies for its later part."""
    graph = optimise(case.graph, budget=0.0)
    assert disagreement(case, evaluate(graph, case.inputs, case.state)) is None
    assert disagreement(case, run_compiled(graph, case.inputs, case.state, native())) is None


def test_random_graphs_keep_their_meaning() -> None:
    over(check_less_memory, 40)


def test_the_least_bytes_are_kept() -> None:
    """Of exp(x·w) and its square, cast to f64, the f32 square: half as large, and next to the end."""

    def f(x: Any, w: Any) -> Any:
        return gr.astype(gr.exp(x @ w) ** 2, gr.f64), gr.sum(x, axis=0)

    traced = gr.jit(f).trace({"x": gr.f32[16, 8], "w": gr.f32[8, 4]})
    graph = optimise(traced.entries[0].graph)
    kept = worth_keeping(graph.outputs)
    assert sorted(n.op.mnemonic() for n in kept) == ["mul", "reduce_sum"]
    copy = Copies(kept).of(graph.outputs[0])
    assert copy is not graph.outputs[0] and copy.type == graph.outputs[0].type


@pytest.mark.parametrize("budget", [-1, 1.5, True, "half"])
def test_a_budget_is_bytes_or_a_part(budget: Any) -> None:
    with pytest.raises(gr.ArgumentError, match="activation_memory_budget="):
        deep().compile(activation_memory_budget=budget)
