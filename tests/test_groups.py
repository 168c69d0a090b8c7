"""Groups of parameters have settings of their own; what is frozen stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim

FOLDER = Path(__file__).parent / "vectors"
STEPS, AVERAGES = np.load(FOLDER / "optimizers.npz"), np.load(FOLDER / "averages.npz")


def pair(optimizer: Any) -> tuple[gr.Entry, list[gr.Variable]]:
    """An entry that takes a step for two Variables along given gradients."""
    program = gr.Program("p")
    a, b = (gr.Variable(STEPS["start"], name=n) for n in "ab")
    made = optimizer(a, b)

    @program.entry
    def step(g: gr.f64[3, 4]) -> Any:
        made.apply_gradients([(g, a), (0.5 * g, b)])
        return a, b

    return step, [a, b]


def test_groups_step_as_pytorch_parameter_groups() -> None:
    step, _ = pair(
        lambda a, b: optim.AdamW(
            0.01, weight_decay=0.1, clip_global_norm=2.0,
            groups=[optim.Group([b], learning_rate=0.05, weight_decay=0.0, beta1=0.5, beta2=0.9)],
        )
    )  # fmt: skip
    run = gr.interpret(step)
    for gradient, expected in zip(STEPS["gradients"], AVERAGES["groups"], strict=True):
        np.testing.assert_allclose(run(gradient), expected, rtol=1e-12, atol=1e-12)
    assert set(run.state) == {
        "a", "b", "adamw/learning_rate", "adamw/group/learning_rate", "adamw/step",
        "a/adamw/m", "a/adamw/v", "b/adamw/m", "b/adamw/v",
    }  # fmt: skip


def test_a_group_may_lack_or_have_slots_that_others_do_not() -> None:
    step, _ = pair(lambda a, b: optim.RMSprop(0.1, groups=[optim.Group(lambda v: v is b, centered=True, momentum=0.9)]))
    names = {v.name for v in step.program.trace().variables}
    slots = {"a/rmsprop/square", "b/rmsprop/square", "b/rmsprop/mean", "b/rmsprop/momentum"}
    assert names == {"a", "b", "rmsprop/learning_rate"} | slots


def test_groups_have_schedules_and_scalars_of_their_own() -> None:
    def plain(learning_rate: Any, beta1: float) -> Any:
        step, _ = pair(lambda a, b: optim.Nadam(learning_rate, beta1))
        return gr.interpret(step)

    rate = optim.ExponentialDecay(0.1, 3, 0.5)
    grouped, _ = pair(lambda a, b: optim.Nadam(0.02, groups=[optim.Group(b, learning_rate=rate, beta1=0.5)]))
    first, second, run = plain(0.02, 0.9), plain(rate, 0.5), gr.interpret(grouped)
    for gradient in STEPS["gradients"]:
        found = run(gradient)
        np.testing.assert_array_equal(found[0], first(gradient)[0])
        np.testing.assert_array_equal(found[1], second(gradient)[1])


def test_accumulation_is_of_all_groups_together() -> None:
    step, _ = pair(lambda a, b: optim.SGD(0.1, accumulate=2, groups=[optim.Group(b, learning_rate=0.2)]))
    run, ones = gr.interpret(step), np.ones((3, 4))
    np.testing.assert_array_equal(run(ones)[1], STEPS["start"])
    np.testing.assert_allclose(run(ones), [STEPS["start"] - 0.1] * 2, rtol=1e-12)


def test_frozen_layers_and_biases_of_a_network() -> None:
    program = gr.Program("net")
    net = nn.Sequential(nn.Dense(4, activation="tanh", name="body"), nn.Dense(3, name="head"))
    groups = [optim.Group(net[0], frozen=True), optim.Group(lambda v: v.ndim < 2, weight_decay=0.0)]
    opt = optim.SGD(1.0, weight_decay=0.5, groups=groups)

    @program.entry
    def train(x: gr.f32["N", 2], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        pairs = opt.compute_gradients(loss)
        assert len(pairs) == 2
        opt.apply_gradients((gr.zeros_like(g), p) for g, p in pairs)
        return loss

    compiled = program.compile()
    compiled.state["head/bias"] = np.float32([1, 2, 3])
    before = compiled.state.copy()
    compiled.train(np.ones((5, 2), np.float32), np.zeros(5, np.int32))
    for name in ("body/kernel", "body/bias", "head/bias"):
        np.testing.assert_array_equal(compiled.state[name], before[name])
    np.testing.assert_allclose(compiled.state["head/kernel"], 0.5 * before["head/kernel"], rtol=1e-6)
    assert not [name for name in compiled.state if name.startswith("body/") and name.count("/") > 1]


def test_all_frozen_is_nothing_to_minimise() -> None:
    def entry(body: Any) -> gr.Entry:
        program = gr.Program("p")
        w = gr.Variable(1.0, name="w")
        opt = optim.SGD(0.1, groups=[optim.Group(w, frozen=True)])

        @program.entry
        def step() -> Any:
            body(opt, w)
            return w

        return step

    assert gr.interpret(entry(lambda opt, w: opt.apply_gradients([(2.0 * w, w)])))() == 1.0
    with pytest.raises(errors.ArgumentError, match="nothing to minimise over"):
        entry(lambda opt, w: opt.minimize(w * w)).program.trace()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda w: optim.Group(3), "Group: 3 has no parameters"),
        (lambda w: optim.Group([w, "b"]), "Group: 'b' has no parameters"),
        (lambda w: optim.Group(w, accumulate=3), "'accumulate' is of all parameters of an optimizer together"),
        (lambda w: optim.Adam(groups=[optim.Group(w, lr=3)]), "takes no 'lr'"),
        (lambda w: optim.Adam(groups=[optim.Group(w, beta1=3)]), "beta1=3 does not lie between 0 and 1"),
        (lambda w: optim.Adam(groups=[{"params": [w]}]), "is no list of groups"),
    ],
)
def test_groups_that_cannot_be_are_refused(make: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError) as raised:
        make(gr.Variable(1.0))
    assert message in str(raised.value) and "test_groups.py" in str(raised.value)
