"""Layers beyond dense and convolution: state in training, shapes, freezing, penalties, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import init, nn, optim
from graphc.errors import ArgumentError, DTypeError, GradientError, ShapeError, TraceError

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(1.0, 2.0, (6, 5, 4, 3)).astype(np.float32)
IMAGE = gr.f32["N", 5, 4, 3]


def entry_of(body: Callable[[Any], Any], type_: Any = IMAGE) -> gr.Program:
    """A Program whose one entry `f` has a body."""
    program = gr.Program("p")
    program.entry(x=type_)(named_f(body))
    return program


def named_f(body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        return body(x)

    return f


def run(layer: Any, x: Any, **options: Any) -> Any:
    """What a layer gives, by machine code, with a symbolic batch."""
    type_ = {np.dtype("f4"): gr.f32, np.dtype("i4"): gr.i32}[x.dtype][("N", *x.shape[1:])]
    return entry_of(lambda t: layer(t, **options), type_).compile().f(x)


# Batch normalisation


@pytest.mark.parametrize("style, keep, unbiased", [("torch", 0.9, True), ("keras", 0.99, False)])
def test_running_averages_follow_the_batches(style: Any, keep: float, unbiased: bool) -> None:
    norm = nn.BatchNorm(style=style)
    program = entry_of(lambda x: norm(x, training=True))
    predict = program.entry(x=IMAGE)(named_predict(norm))
    compiled = program.compile()
    mean, variance = np.zeros(3), np.ones(3)
    for rows in (6, 1, 4):
        batch = IMAGES[:rows].reshape(-1, 3).astype(np.float64)
        y = compiled.f(IMAGES[:rows])
        np.testing.assert_allclose(y.reshape(-1, 3).mean(0), 0, atol=1e-5)
        mean = keep * mean + (1 - keep) * batch.mean(0)
        variance = keep * variance + (1 - keep) * batch.var(0, ddof=int(unbiased))
    np.testing.assert_allclose(compiled.state["batch_norm/mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(compiled.state["batch_norm/variance"], variance, rtol=1e-5)
    expected = (IMAGES - mean) / np.sqrt(variance + norm.eps)
    np.testing.assert_allclose(getattr(compiled, predict.name)(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert [v.name for v in program.trace().variables if v.trainable] == ["batch_norm/scale", "batch_norm/bias"]


def named_predict(norm: Any) -> Callable[[Any], Any]:
    def predict(x: Any) -> Any:
        return norm(x)

    return predict


def test_one_row_has_variance_zero_and_no_rows_change_nothing() -> None:
    compiled = entry_of(lambda x: nn.BatchNorm()(x, training=True), gr.f32["N", 3]).compile()
    np.testing.assert_array_equal(compiled.f(np.ones((1, 3), np.float32)), np.zeros((1, 3)))
    before = compiled.state["batch_norm/variance"].copy()
    np.testing.assert_allclose(before, 0.9)
    assert compiled.f(np.ones((0, 3), np.float32)).shape == (0, 3)
    np.testing.assert_array_equal(compiled.state["batch_norm/variance"], before)


def test_half_precision_averages_are_single() -> None:
    program = entry_of(lambda x: nn.BatchNorm()(x, training=True), gr.f16["N", 3])
    assert {v.name: str(v.type) for v in program.trace().variables} == {
        "batch_norm/mean": "f32[3]", "batch_norm/variance": "f32[3]",
        "batch_norm/scale": "f16[3]", "batch_norm/bias": "f16[3]",
    }  # fmt: skip
    x = IMAGES.reshape(-1, 3).astype(np.float16)
    y = program.compile().f(x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, (x - x.mean(0, np.float32)) / x.std(0, dtype=np.float32), atol=4e-3)


@pytest.mark.parametrize("layer", [nn.BatchNorm(), nn.SpatialDropout(0.5), nn.RReLU()])
def test_differentiating_without_a_mode_is_refused(layer: Any) -> None:
    program = entry_of(lambda x: gr.gradients(gr.sum(layer(x)), x))
    with pytest.raises(GradientError, match=type(layer).__name__):
        program.trace()
    entry_of(lambda x: gr.gradients(gr.sum(layer(x, training=False)), x)).trace()


# Others


def test_spatial_dropout_drops_whole_channels() -> None:
    x = np.ones((200, 3, 2, 4), np.float32)
    y = run(nn.SpatialDropout(0.25), x, training=True)
    assert np.all(y == y[:, :1, :1])
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.05)


def test_pooling_layers_take_any_number_of_spatial_axes() -> None:
    for shape in ((2, 6, 3), (2, 6, 4, 3), (2, 4, 2, 6, 3)):
        x = RNG.normal(size=shape).astype(np.float32)
        over = tuple(range(1, x.ndim - 1))
        for layer, reduce in ((nn.MaxPool(2), np.max), (nn.AvgPool(2), np.mean)):
            halves = x.reshape(2, *[s for n in shape[1:-1] for s in (n // 2, 2)], 3)
            expected = reduce(halves, axis=tuple(2 + 2 * i for i in range(len(over))))
            np.testing.assert_allclose(run(layer, x), expected, rtol=1e-6)
        np.testing.assert_allclose(run(nn.GlobalAvgPool(), x), x.mean(over), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(run(nn.GlobalMaxPool(keepdims=True), x), x.max(over, keepdims=True))


def test_reshape_keeps_the_batch() -> None:
    np.testing.assert_array_equal(run(nn.Reshape((4, -1)), IMAGES), IMAGES.reshape(6, 4, 15))
    np.testing.assert_array_equal(run(nn.Reshape(60), IMAGES), IMAGES.reshape(6, 60))


def test_an_embedding_ties_its_output() -> None:
    embedding = nn.Embedding(7, 3)
    program = entry_of(lambda x: embedding.attend(embedding(x)), gr.i32["N", "T"])
    compiled = program.compile()
    table = compiled.state["embedding/table"]
    words = np.array([[1, 6, 0], [2, 2, 3]], np.int32)
    np.testing.assert_allclose(compiled.f(words), table[words] @ table.T, rtol=1e-5, atol=1e-7)
    assert list(compiled.state)[:1] == ["embedding/table"] and table.dtype == np.float32
    with pytest.raises(gr.errors.IndexRangeError):
        compiled.f(words + 1)
    with pytest.raises(DTypeError, match="Embedding: indices are f32, not integers"):
        entry_of(nn.Embedding(7, 3)).trace()


def test_residual_adds_what_comes_in() -> None:
    net = nn.Residual(nn.Conv2D(3, 3), nn.Activation("tanh"), activation="relu")
    compiled = entry_of(lambda x: (net(x), net.layers[1](net.layers[0](x)))).compile()
    y, inner = compiled.f(IMAGES)
    np.testing.assert_allclose(y, np.maximum(IMAGES + inner, 0), rtol=1e-6)
    projected = nn.Residual(nn.Conv2D(5, 3, strides=2), shortcut=nn.Conv2D(5, 1, strides=2, name="project"))
    names = [v.name for v in entry_of(projected).trace().variables]
    assert names[0] == "residual/conv2d/kernel" and "residual/project/kernel" in names
    with pytest.raises(ShapeError, match=r"its layers give f32\[N,5,4,5\], its shortcut f32\[N,5,4,3\]"):
        entry_of(nn.Residual(nn.Conv2D(5, 3))).trace()


def test_random_slopes_in_training_and_their_mean_out_of_it() -> None:
    x = np.where(np.arange(4000).reshape(1000, 4) % 2, 1.0, -2.0).astype(np.float32)
    drawn = run(nn.RReLU(), x, training=True)
    np.testing.assert_array_equal(drawn[x > 0], 1)
    slopes = drawn[x < 0] / -2
    assert 1 / 8 <= slopes.min() < 0.13 and 0.33 < slopes.max() <= 1 / 3
    assert slopes.mean() == pytest.approx(11 / 48, abs=0.005)
    np.testing.assert_allclose(run(nn.RReLU(), x)[x < 0], -2 * 11 / 48, rtol=1e-6)


def test_maxout_takes_the_largest_of_its_maps() -> None:
    compiled = entry_of(nn.Maxout(4, pieces=3, bias_initializer="normal")).compile()
    kernel, bias = (compiled.state[f"maxout/{name}"].reshape(-1, 3, 4) for name in ("kernel", "bias"))
    expected = np.stack([IMAGES @ kernel[:, i] + bias[:, i] for i in range(3)]).max(0)
    np.testing.assert_allclose(compiled.f(IMAGES), expected, rtol=1e-5, atol=1e-6)


def test_convolutions_take_symbolic_sizes_and_empty_batches() -> None:
    layers = [nn.Conv2D(4, 3), nn.DepthwiseConv2D(3, 2, strides=2), nn.ConvTranspose2D(2, 3, strides=2), nn.BatchNorm()]
    net = nn.Sequential(*layers)
    compiled = entry_of(net, gr.f32["N", "H", "W", 3]).compile()
    assert compiled.f(IMAGES).shape == (6, 6, 4, 2)
    for rows in (0, 1):
        assert compiled.f(IMAGES[:rows]).shape == (rows, 6, 4, 2)
    np.testing.assert_array_equal(compiled.f(IMAGES)[:1], compiled.f(IMAGES[:1]))
    assert [v.name for v in net.parameters()] == [None] * 8
    kernels = [str(v.type) for name, v in zip(compiled.state, net.parameters(), strict=False) if "kernel" in name]
    assert kernels == ["f32[3,3,3,4]", "f32[3,3,1,8]", "f32[3,3,2,8]"]


def test_gradients_of_layers_together_to_second_order() -> None:
    net = nn.Sequential(
        nn.Conv1D(2, 2, kernel_regularizer=nn.L2(0.02)), nn.BatchNorm(), nn.Activation("tanh"), nn.DepthwiseConv1D(2),
        nn.Residual(nn.ConvTranspose1D(2, 2), nn.RMSNorm()), nn.GroupNorm(1), nn.GlobalAvgPool(),
    )  # fmt: skip
    program = entry_of(lambda x: gr.mean(gr.sin(net(x, training=True))) + net.penalty(), gr.f32["N", 3, 2])
    gr.check_grads(program.entries["f"], IMAGES[:3, :3, 0, :2], order=2)


def test_a_table_used_twice_gets_the_sum_of_its_gradients() -> None:
    embedding = nn.Embedding(5, 3, dtype=gr.f64)
    words = np.array([[1, 4, 1]], np.int32)
    program = entry_of(
        lambda x: gr.gradients(gr.sum(embedding.attend(embedding(x))), [embedding.table])[0], gr.i32["N", "T"]
    )
    compiled = program.compile()
    table = compiled.state["embedding/table"]
    looked_up = np.zeros_like(table)
    np.add.at(looked_up, words[0], np.broadcast_to(table.sum(0), (3, 3)))
    np.testing.assert_allclose(compiled.f(words), looked_up + table[words[0]].sum(0), rtol=1e-12)


def test_an_ensemble_maps_the_pure_form_over_parameters() -> None:
    net = nn.Sequential(nn.Dense(4), nn.BatchNorm(), nn.Activation("tanh"), nn.Dense(1))
    net.build(gr.f32["N", 3])
    members = [net.init(seed) for seed in range(3)]
    together = {name: np.stack([m[name] for m in members]) for name in members[0]}
    x = IMAGES.reshape(-1, 3)
    found = gr.jit(gr.vmap(lambda params, x: net.apply(params, x, training=True), in_axes=(0, None)))(together, x)
    for member, y in zip(members, found, strict=True):
        np.testing.assert_allclose(y, net.apply(member, x, training=True), rtol=1e-4, atol=1e-5)


def test_a_shared_object_keeps_its_own_running_averages(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2D(4, 3), nn.BatchNorm(), nn.GlobalAvgPool())
    program = entry_of(lambda x: net(x, training=True))
    program.build(str(tmp_path / "norm.so"))
    here, there = program.compile(), gr.load(str(tmp_path / "norm.so"))
    for _ in range(3):
        np.testing.assert_array_equal(here.f(IMAGES), there.f(IMAGES))
    np.testing.assert_array_equal(here.state["batch_norm/variance"], there.state["batch_norm/variance"])


# Frozen parts


def test_freezing_a_network_before_and_after_it_is_built() -> None:
    base, head = nn.Sequential(nn.Dense(4), nn.BatchNorm()), nn.Dense(2)
    net = nn.Sequential(base, head)
    base.trainable = False
    net.build(gr.f32["N", 3])
    assert [v.default_name for v in net.parameters()] == ["kernel", "bias"] and not base.parameters()
    base.trainable = True
    assert len(base.parameters()) == 4 and len(base.variables()) == 6  # running averages stay as they were
    net.trainable = False
    head.trainable = True
    assert net.parameters() == head.parameters() and not net.trainable and head.trainable


def test_a_frozen_part_keeps_its_values_while_the_rest_learns() -> None:
    base, head = nn.Sequential(nn.Dense(4), nn.BatchNorm()), nn.Dense(1, name="head")
    base.trainable = False
    program = gr.Program("fine_tune")

    @program.entry
    def step(x: gr.f32["N", 3]) -> Any:
        loss = gr.mean(gr.square(head(base(x, training=False)) - 1.0))
        optim.SGD(0.01).minimize(loss)
        return loss

    compiled = program.compile()
    before = compiled.state.copy()
    losses = [float(compiled.step(IMAGES.reshape(-1, 3)[:32])) for _ in range(5)]
    assert losses[-1] < losses[0]
    changed = [name for name in before if not np.array_equal(before[name], compiled.state[name])]
    assert changed == ["head/kernel", "head/bias"]
    with pytest.raises(TraceError, match="comes too late"):
        base.trainable = True
    assert not base.trainable


# Penalties and constraints


def test_the_penalty_is_the_sum_over_regularized_parameters() -> None:
    net = nn.Sequential(
        nn.Conv2D(4, 3, kernel_regularizer=nn.L1(0.1), bias_regularizer=nn.L2(0.5), bias_initializer="ones"),
        nn.Flatten(),
        nn.Dense(2, kernel_regularizer="l1_l2"),
        nn.Dense(2),
    )
    penalty = entry_of(lambda x: (net(x), net.penalty(), gr.gradients(net.penalty(), net.parameters()))).compile()
    _, value, slopes = penalty.f(IMAGES)
    conv, dense = penalty.state["conv2d/kernel"], penalty.state["dense/kernel"]
    expected = 0.1 * np.abs(conv).sum() + 0.5 * 4 + 0.01 * (np.abs(dense).sum() + np.square(dense).sum())
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(slopes[0], 0.1 * np.sign(conv), rtol=1e-6)
    np.testing.assert_allclose(slopes[2], 0.01 * (np.sign(dense) + 2 * dense), rtol=1e-5, atol=1e-8)
    assert not slopes[4].any()
    plain = nn.Dense(2)
    assert entry_of(lambda x: (plain(x), plain.penalty())).compile().f(IMAGES)[1] == 0
    both = nn.Dense(2, kernel_regularizer="l2", bias_initializer="ones")
    compiled = entry_of(lambda x: (both(x), both.penalty(nn.L1(3.0)))).compile()
    expected = 0.01 * np.square(compiled.state["dense/kernel"]).sum() + 3.0 * 2
    assert compiled.f(IMAGES)[1] == pytest.approx(expected, rel=1e-6)
    frozen = nn.Dense(2, kernel_regularizer="l2")
    frozen.trainable = False
    assert entry_of(lambda x: (frozen(x), frozen.penalty())).compile().f(IMAGES)[1] == 0
    with pytest.raises(TraceError, match="no parameters yet"):
        nn.Dense(2).penalty()


def test_kernel_constraints_reach_the_variable() -> None:
    layer = nn.Dense(4, kernel_constraint=nn.MaxNorm(0.5), kernel_initializer=init.ones)
    program = entry_of(lambda x: optim.SGD(0.1).minimize(gr.mean(layer(x))), gr.f32["N", 3])
    compiled = program.compile()
    compiled.f(IMAGES[0, 0])
    assert np.linalg.norm(compiled.state["dense/kernel"], axis=0).max() <= 0.5 + 1e-6


# Mistakes


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Dense(0), "Dense: units=0 is not a positive integer"),
        (lambda: nn.Embedding(4, True), "Embedding: features=True is not a positive integer"),
        (lambda: nn.BatchNorm(momentum=1.5), "BatchNorm: momentum=1.5 is not in"),
        (lambda: nn.BatchNorm(style="flax"), "BatchNorm: style='flax'"),
        (lambda: nn.LayerNorm(eps=-1.0), "LayerNorm: eps=-1.0 is not a number of at least 0"),
        (lambda: nn.GroupNorm(0), "GroupNorm: groups=0 is not a positive integer"),
        (lambda: nn.SpatialDropout(1.0), "SpatialDropout: rate=1.0 is not in"),
        (lambda: nn.L2(-1), "L2: l2=-1 is not a number of at least 0"),
        (lambda: nn.Sequential([nn.Dense(2)]), "Sequential: .* is neither a layer nor a function"),
        (lambda: nn.Sequential(nn.Flatten), "Sequential: .* is neither a layer nor a function"),
        (lambda: nn.Residual(nn.Dense(2), shortcut=3), "Residual: 3 is neither a layer nor a function"),
        (lambda: nn.Dense(2).summary("N"), "summary: 'N' is not a type"),
        (lambda: nn.RReLU(0.5, 0.1), "RReLU: slopes from 0.5 to 0.1"),
        (lambda: nn.Maxout(2, 0), "Maxout: pieces=0 is not a positive integer"),
        (lambda: nn.DepthwiseConv2D(3, 0), "DepthwiseConv2D: multiplier=0 is not a positive integer"),
        (lambda: nn.ConvTranspose2D(3, 2, groups=2), "ConvTranspose2D: 3 filters are not 2 equal groups"),
        (lambda: nn.Dense(3, kernel_regularizer="l3"), "no regularizer 'l3'"),
        (lambda: gr.Variable(1.0, regularizer=0.1), "the regularizer 0.1 is not a function"),
    ],
)
def test_arguments_that_can_not_be_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as raised:
        make()
    assert raised.value.site is not None and "test_layers.py" in str(raised.value.site)


@pytest.mark.parametrize(
    "layer, type_, message",
    [
        (nn.BatchNorm(), gr.f32["N"], "BatchNorm: takes 2 axes or more"),
        (nn.InstanceNorm(), gr.f32["N", 4], "InstanceNorm: takes 3 axes or more"),
        (nn.GroupNorm(2), gr.f32["N", 3], "does not divide into 2 groups"),
        (nn.LayerNorm(axis=3), gr.f32["N", 3], "axis 3 does not fit"),
        (nn.LayerNorm(), gr.f32["N", "T"], "a Variable of symbolic shape"),
        (nn.MaxPool(2), gr.f32["N", 3], "has no spatial axis"),
        (nn.ConvTranspose2D(4, 2, groups=2), gr.f32["N", 4, 4, 3], "takes 2 equal groups of channels, x has 3"),
        (nn.DepthwiseConv1D(2), gr.f32["N", 4, "C"], "DepthwiseConv1D"),
        (nn.PReLU(per_channel=True), gr.f32[()], "PReLU: a scalar has no channels"),
        (nn.Reshape(3), gr.f32[()], "Reshape: a scalar has no batch axis"),
        (nn.SpatialDropout(0.5), gr.f32["N"], "SpatialDropout: takes"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(layer: Any, type_: Any, message: str) -> None:
    with pytest.raises(gr.GraphcError, match=message):
        entry_of(lambda x: layer(x, training=True), type_).trace()


@pytest.mark.parametrize(
    "layer, message",
    [
        (nn.BatchNorm(), r"BatchNorm: its parameters are \(3\), x is f32\[N,1\]"),
        (nn.LayerNorm(), "LayerNorm: its parameters are"),
        (nn.RMSNorm(), "RMSNorm: its parameters are"),
        (nn.GroupNorm(1), "GroupNorm: its parameters are"),
        (nn.PReLU(per_channel=True), "PReLU: it has 3 slopes"),
        (nn.Dense(2), "inner dimensions differ"),
        (nn.Maxout(2), "inner dimensions differ"),
    ],
)
def test_other_channels_than_the_first_are_refused_not_broadcast(layer: Any, message: str) -> None:
    layer.build(gr.f32["N", 3])
    with pytest.raises(ShapeError, match=message):
        entry_of(lambda x: layer(x, training=True), gr.f32["N", 1]).trace()


def test_learnt_slopes_have_readable_names() -> None:
    assert list(entry_of(nn.PReLU()).compile().state) == ["prelu/slope"]


def test_averages_in_a_loop_are_refused_at_the_users_line() -> None:
    norm = nn.BatchNorm()
    program = entry_of(lambda x: gr.scan(lambda c, _: (norm(c, training=True), None), x, length=3)[0])
    with pytest.raises(TraceError, match="a Variable is assigned in a body") as raised:
        program.trace()
    assert "test_layers.py" in str(raised.value.site)


def test_an_embedding_may_attend_first() -> None:
    embedding = nn.Embedding(5, 3)
    assert entry_of(embedding.attend).compile().f(IMAGES).shape == (6, 5, 4, 5)
    embedding.build(gr.i32["N"])
    assert embedding.parameters() == [embedding.table]
