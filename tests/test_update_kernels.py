"""Updates are fused: optimizers cost no kernels beyond those of the gradients, and the few that a joint norm needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from graphc.passes.pipeline import optimise
from graphc.runtime import targets
from graphc.schedule.layout import lay_out, panels_for
from graphc.schedule.program import schedule_entry

Update = Callable[[Any], object]


def program_of(update: Callable[[nn.Sequential], Update]) -> gr.Program:
    """A Program that trains a network of six parameters."""
    program = gr.Program("p")
    net = nn.Sequential(nn.Dense(64, activation="relu"), nn.Dense(48, activation="relu"), nn.Dense(10))
    apply = update(net)

    @program.entry
    def step(x: gr.f32["N", 32], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        apply(loss)
        return loss

    return program


def kernels(update: Callable[[nn.Sequential], Update]) -> int:
    """How many kernels a step has."""
    traced = program_of(update).trace()
    graph = optimise(traced.entries[0].graph)
    variables = [(v.name, v.type, v.trainable) for v in traced.variables]
    layout = lay_out(variables, panels_for([graph], {v.name: v.like for v in traced.variables}))
    return len(schedule_entry(graph, layout.buffers, targets.target("x86-64-v3")).kernels)


def averaged(net: nn.Sequential, **settings: Any) -> Update:
    """Adam and a moving average."""
    adam, ema = optim.Adam(**settings), optim.EMA(net)

    def update(loss: Any) -> None:
        adam.minimize(loss)
        ema.update()

    return update


def grouped(net: nn.Sequential) -> Update:
    """AdamW with other settings for biases."""
    return optim.AdamW(groups=[optim.Group(lambda v: v.ndim < 2, weight_decay=0.0, learning_rate=0.1)]).minimize


BARE = kernels(lambda net: optim.SGD(0.1).minimize)


@pytest.mark.parametrize(
    "update",
    [
        lambda net: optim.AdamW(optim.CosineDecay(1e-3, 100)).minimize,
        lambda net: optim.Adam(accumulate=4, clip_value=1.0).minimize,
        averaged,
        grouped,
    ],
)
def test_updates_are_in_the_kernels_of_the_gradients(update: Any) -> None:
    assert kernels(update) == BARE


def test_a_joint_norm_costs_a_sum_and_an_update_for_each_parameter() -> None:
    assert kernels(lambda net: averaged(net, clip_global_norm=1.0)) <= BARE + 2 * 6


def test_the_last_bias_is_updated_in_place_after_its_part_of_the_norm() -> None:
    program = program_of(lambda net: averaged(net, clip_global_norm=0.01))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 32)).astype(np.float32), rng.integers(0, 10, 9).astype(np.int32)
    interpreted, compiled = gr.interpret(program.entries["step"]), program.compile()
    for _ in range(3):
        interpreted(x, y)
        compiled.step(x, y)
    for name, value in interpreted.state.items():
        np.testing.assert_allclose(compiled.state[name], value, rtol=2e-4, atol=1e-6, err_msg=name)


def test_gradients_may_be_processed_between_the_halves_of_minimize() -> None:
    def masked(net: nn.Sequential) -> Update:
        sgd = optim.SGD(0.5)

        def update(loss: Any) -> None:
            pairs = sgd.compute_gradients(loss)
            size = optim.global_norm([g for g, _ in pairs])
            sgd.apply_gradients([(gr.sign(g) * size, p) for g, p in pairs if p.ndim == 2])

        return update

    program = program_of(masked)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 32)).astype(np.float32), rng.integers(0, 10, 9).astype(np.int32)
    compiled = program.compile()
    before = compiled.state.copy()
    compiled.step(x, y)
    moved = {n: np.abs(compiled.state[n] - before[n]) for n in before if "/" in n}
    steps = np.concatenate([moved[n][moved[n] > 0] for n in ("dense/kernel", "dense_1/kernel", "dense_2/kernel")])
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-4)
    assert not any(moved[n].any() for n in moved if n.endswith("bias"))
