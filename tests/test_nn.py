"""Layers: names, building, tracked parts, the training mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, init, nn

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


def program_of(*nets: Any, **options: Any) -> gr.Program:
    """A Program whose entry calls networks on f32[N, 4]."""
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        return [net(x, **options) for net in nets]

    return program


def names(program: gr.Program) -> list[str]:
    return [v.name for v in program.trace().variables]


def output(program: gr.Program, seed: int = 0) -> Any:
    return gr.interpret(program.entries["f"], seed=seed)(X)[0]


def test_dense_is_affine_and_activated() -> None:
    program = program_of(nn.Dense(3, activation="tanh", bias_initializer=init.ones))
    run = gr.interpret(program.entries["f"])
    expected = np.tanh(X @ run.state["dense/kernel"] + run.state["dense/bias"])
    np.testing.assert_allclose(run(X)[0], expected, rtol=1e-6)
    assert np.all(run.state["dense/bias"] == 1)
    limit = (6 / 7) ** 0.5
    assert 0.5 * limit < np.abs(run.state["dense/kernel"]).max() <= limit


def test_dense_without_bias() -> None:
    assert names(program_of(nn.Dense(3, use_bias=False))) == ["dense/kernel"]


def test_dense_on_more_axes() -> None:
    net = nn.Dense(3)
    found = gr.interpret(lambda: None)  # a function without arguments is fine
    assert found() is None
    net.build(gr.f32["N", "T", 4])
    assert [str(v.type) for v in net.parameters()] == ["f32[4,3]", "f32[3]"]


def test_names_are_numbered_per_parent_and_program() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            self.inner = [nn.Dense(4), nn.Dense(4, name="last")]

        def __call__(self, x: Any) -> Any:
            return self.inner[1](self.inner[0](x))

    net = nn.Sequential(Block(), nn.Dense(2), Block())
    expected = [
        "block/dense/kernel", "block/dense/bias", "block/last/kernel", "block/last/bias", "dense/kernel", "dense/bias",
        "block_1/dense/kernel", "block_1/dense/bias", "block_1/last/kernel", "block_1/last/bias",
    ]  # fmt: skip
    assert names(program_of(net)) == expected
    assert names(program_of(net)) == expected  # in another Program: nothing is counted per process
    assert names(program_of(nn.Sequential(nn.Dense(2), name="head"))) == ["head/dense/kernel", "head/dense/bias"]


def test_a_layer_called_twice_shares_its_parameters() -> None:
    layer = nn.Dense(4)
    assert names(program_of(nn.Sequential(layer, layer))) == ["dense/kernel", "dense/bias"]


def test_custom_layers_name_variables_after_attributes() -> None:
    class Scale(nn.Module):
        def build(self, x: Any) -> None:
            self.gains = [gr.Variable(np.ones(x.type.shape[-1], np.float32)), gr.Variable(2.0)]
            self.mean = gr.Variable(init.zeros((4,)), trainable=False)
            self.table = {"offset": gr.Variable(0.5, name="shift")}

        def __call__(self, x: Any) -> Any:
            return x * self.gains[0] * self.gains[1] - self.mean + self.table["offset"]

    layer = Scale()
    program = program_of(layer)
    assert names(program) == ["scale/gains_0", "scale/gains_1", "scale/mean", "scale/shift"]
    assert [v.trainable for v in program.trace().variables] == [True, True, False, True]
    assert [v.default_name for v in layer.parameters()] == ["gains_0", "gains_1", "table_offset"]
    assert len(layer.variables()) == 4
    np.testing.assert_allclose(output(program), X * 2 + 0.5)


def test_layers_build_once() -> None:
    built: list[Any] = []

    class Probe(nn.Module):
        def build(self, x: Any) -> None:
            built.append(x)

        def __call__(self, x: Any) -> Any:
            return x

    probe = Probe()
    program_of(probe, probe).trace()
    program_of(probe).trace()
    assert len(built) == 1


def test_layers_are_built_for_constants_too() -> None:
    program, net = gr.Program("p"), nn.Dense(2)

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        return net(X), net(x)

    first, second = gr.interpret(f)(X)
    np.testing.assert_allclose(first, second)


def test_building_before_the_first_trace() -> None:
    net = nn.Sequential(nn.Dense(3, activation="relu"), lambda x: x * 2, nn.Dense(1))
    net.build(gr.f32["N", 4])
    assert [str(v.type) for v in net.parameters()] == ["f32[4,3]", "f32[3]", "f32[3,1]", "f32[1]"]
    assert len(net) == 3 and next(iter(net)) is net[0]
    assert names(program_of(net)) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]


def test_initial_values_keep_when_layers_come_and_go() -> None:
    def kernel(*layers: Any) -> Any:
        run = gr.interpret(program_of(nn.Sequential(*layers)).entries["f"], seed=5)
        return run.state["head/kernel"]

    np.testing.assert_array_equal(
        kernel(nn.Dense(4), nn.Dense(3, name="head")),
        kernel(nn.Dense(8), nn.Dense(4), nn.Dense(3, name="head")),
    )


def test_dropout_in_training_and_out_of_it() -> None:
    ones = np.ones((1000, 4), np.float32)
    net = nn.Sequential(nn.Dropout(0.25))
    program = program_of(net, training=True)
    run = gr.interpret(program.entries["f"])
    first, second = run(ones)[0], run(ones)[0]
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(first == 0) == pytest.approx(0.25, abs=0.03)
    assert not np.array_equal(first, second)
    for mode in (False, None):
        np.testing.assert_array_equal(gr.interpret(program_of(net, training=mode).entries["f"])(ones)[0], ones)
    with pytest.raises(errors.ArgumentError, match=r"rate=1.5 is not in \[0, 1\)"):
        nn.Dropout(1.5)


def test_the_mode_is_inherited_and_given_to_layers_that_ask() -> None:
    seen: list[Any] = []

    class Probe(nn.Module):
        def __call__(self, x: Any, training: bool | None = None) -> Any:
            seen.append(training)
            return x

    class Frozen(nn.Module):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __call__(self, x: Any) -> Any:
            return self.inner(x, training=False)

    net = nn.Sequential(Probe(), nn.Sequential(Probe()), Frozen(Probe()))
    for mode in (True, False, None):
        program_of(net, training=mode).trace()
    assert seen == [True, True, False, False, False, False, None, None, False]


def test_the_mode_decided_in_training_does_not_blame_evaluation() -> None:
    net = nn.Sequential(nn.Dense(3), nn.Dropout(0.5))
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        accuracy = gr.mean(net(x))
        loss = gr.mean(net(x, training=True))
        return accuracy, gr.gradients(loss, net.parameters())

    program.trace()


def test_gradients_flow_through_dropout_with_the_same_mask() -> None:
    program = gr.Program("p")
    drop = nn.Dropout(0.5)

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        y = drop(x, training=True)
        return y, gr.gradients(gr.sum(y), x)

    y, slope = gr.interpret(f)(X)
    np.testing.assert_array_equal(slope, np.where(y == 0, 0, 2).astype(np.float32))


def test_the_pure_form_of_a_network() -> None:
    net = nn.Sequential(nn.Dense(3, activation="tanh"), nn.Dense(1))
    net.build(gr.f32["N", 4])
    params = net.init(seed=3)
    assert list(params) == ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    hidden = np.tanh(X @ params["dense/kernel"])
    run = gr.interpret(lambda params, x: net.apply(params, x))
    np.testing.assert_allclose(run(params, X), hidden @ params["dense_1/kernel"], rtol=1e-5)
    slopes = gr.interpret(gr.grad(lambda params, x: gr.sum(net.apply(params, x))))(params, X)
    np.testing.assert_allclose(slopes["dense_1/kernel"][:, 0], hidden.sum(0), rtol=1e-5)
    with pytest.raises(errors.ArgumentError, match=r"missing: .'dense/bias'., unknown: .'other'."):
        run({"other" if k == "dense/bias" else k: v for k, v in params.items()}, X)


def test_flatten_and_activation_layers() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Activation("relu"), nn.Activation(nn.softplus))
    images = np.random.default_rng(0).standard_normal((2, 3, 2, 1)).astype(np.float32)
    found = gr.interpret(lambda x: net(x))(images)
    np.testing.assert_allclose(found, np.logaddexp(np.maximum(images.reshape(2, 6), 0), 0), rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Dense(3, activation="rleu"), "no activation 'rleu'"),
        (lambda: nn.Dense(3, kernel_initializer="glorot"), "no initialiser 'glorot'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(make: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message) as raised:
        make()
    assert (raised.value.help is not None and "uniform" in raised.value.help) or "relu" in str(raised.value.help)


def test_operations_know_their_layer() -> None:
    net = nn.Sequential(nn.Dense(3, activation="relu"), nn.Dense(2, name="head"))
    (entry,) = program_of(net).trace().entries
    paths = {entry.paths[n] for n in entry.graph.nodes() if n in entry.paths}
    assert {"dense", "dense/relu", "head"} <= paths
