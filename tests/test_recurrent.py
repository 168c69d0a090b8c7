"""Recurrent layers: sequences as a whole and step by step, padding, both ways, stacks, kept states, dropout, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim
from graphc.frontend.structure import flatten

ROWS, TIME, FEATURES, UNITS = 3, 6, 4, 5
X = np.random.default_rng(0).standard_normal((ROWS, TIME, FEATURES)).astype(np.float32)
LENGTHS = np.int32([6, 1, 4])

LAYERS: dict[str, Callable[..., Any]] = {
    "rnn": lambda **o: nn.SimpleRNN(UNITS, **o),
    "lstm": lambda **o: nn.LSTM(UNITS, **o),
    "gru": lambda **o: nn.GRU(UNITS, **o),
    "gru_before": lambda **o: nn.GRU(UNITS, reset_after=False, **o),
    "stack": lambda **o: nn.Stack(nn.LSTM(UNITS, **o), nn.GRU(7, **o)),
}
#: A stack has an LSTM and a GRU.
OFTEN = ("gru_before", "stack")
every_layer = pytest.mark.parametrize(
    "make", [pytest.param(m, id=k, marks=() if k in OFTEN else pytest.mark.slow) for k, m in LAYERS.items()]
)


def leaves(value: Any) -> list[Any]:
    return flatten(value)[0]


def close(found: Any, expected: Any, atol: float = 1e-6) -> None:
    """Nested values are about equal."""
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


def built(layer: Any) -> tuple[Any, dict[str, Any]]:
    """A layer and parameters for it, none of them 0."""
    layer.build(gr.f32["N", "T", FEATURES])
    rng = np.random.default_rng(1)
    return layer, {k: v + rng.normal(0, 0.2, v.shape).astype(np.float32) for k, v in layer.init(0).items()}


@every_layer
def test_steps_in_turn_are_the_whole_sequence(make: Any) -> None:
    program, layer = gr.Program("p"), make()

    @program.entry
    def whole(x: gr.f32["N", "T", FEATURES]) -> Any:
        return layer(x)

    @program.entry
    def stepped(x: gr.f32["N", TIME, FEATURES]) -> Any:
        state, ys = layer.initial_state(x), []
        for t in range(TIME):
            y, state = layer.step(x[:, t], state)
            ys.append(y)
        return gr.stack(ys, axis=1), state

    compiled = program.compile()
    close(compiled.stepped(X), compiled.whole(X))
    for length in (0, 1):
        ys, state = compiled.whole(X[:, :length])
        assert ys.shape[:2] == (ROWS, length)
        assert all(np.all(part == 0) for part in leaves(state)) == (length == 0)


@every_layer
def test_a_sequence_goes_on_where_its_first_part_ended(make: Any) -> None:
    layer, params = built(make())
    whole, after = layer.apply(params, X)
    first, state = layer.apply(params, X[:, :2])
    second, last = layer.apply(params, X[:, 2:], state)
    close((np.concatenate([first, second], 1), last), (whole, after))


@every_layer
def test_reversed_layers_go_the_other_way(make: Any) -> None:
    layer, params = built(make())
    other, _ = built(make(reverse=True))
    ys, state = layer.apply(params, X)
    zs, after = other.apply(params, np.ascontiguousarray(X[:, ::-1]))
    close((zs[:, ::-1], after), (ys, state))


@pytest.mark.parametrize("form, reverse", [("lengths", False), ("lengths", True), ("mask", False)])
def test_padding_keeps_the_state(form: str, reverse: bool) -> None:
    layer, params = built(LAYERS["stack"](reverse=reverse))
    padding = LENGTHS if form == "lengths" else np.arange(TIME) < LENGTHS[:, None]

    ys, state = layer.apply(params, X, **{form: padding})
    for row, length in enumerate(LENGTHS):
        alone, after = layer.apply(params, X[row : row + 1, :length])
        edge = np.zeros(7, np.float32) if reverse else alone[0, -1]
        close(ys[row], np.concatenate([alone[0], np.broadcast_to(edge, (TIME - length, 7))]))
        close([part[row] for part in leaves(state)], [part[0] for part in leaves(after)])


def test_both_ways() -> None:
    layer, params = built(nn.Bidirectional(nn.GRU(UNITS), merge="concat"))
    ys, (forward, backward) = layer.apply(params, X)
    assert ys.shape == (ROWS, TIME, 2 * UNITS)
    close((ys[:, -1, :UNITS], ys[:, 0, UNITS:]), (forward, backward))
    one, own = built(nn.GRU(UNITS, reverse=True))
    own = {name: params[name.replace("gru", "bidirectional/backward")] for name in own}
    close(ys[..., UNITS:], one.apply(own, X)[0])
    for merge, function in (("sum", np.add), ("mul", np.multiply), ("ave", lambda a, b: (a + b) / 2)):
        other, _ = built(nn.Bidirectional(nn.GRU(UNITS), merge))
        close(other.apply(params, X)[0], function(ys[..., :UNITS], ys[..., UNITS:]))


def test_names_of_parameters() -> None:
    def names(layer: Any) -> list[str]:
        return sorted({name.rsplit("/", 1)[0] for name in built(layer)[1]})

    assert sorted(built(nn.LSTM(2))[1]) == ["lstm/bias", "lstm/kernel", "lstm/recurrent_kernel"]
    assert names(nn.Stack(nn.LSTM(2), nn.LSTM(2), nn.GRU(2))) == ["stack/gru", "stack/lstm", "stack/lstm_1"]
    assert names(nn.Bidirectional(nn.LSTM(2))) == ["bidirectional/backward", "bidirectional/forward"]
    assert names(nn.Bidirectional(nn.LSTM(2, name="ear"))) == ["bidirectional/backward_ear", "bidirectional/ear"]
    assert names(nn.Bidirectional(nn.LSTM(2), backward=nn.GRU(2, reverse=True)))[1:] == ["bidirectional/forward"]
    assert names(nn.Sequential(nn.Last(nn.LSTM(2)), nn.Dense(1))) == ["dense", "lstm"]


def test_sequential_hands_on_the_outputs() -> None:
    net = nn.Sequential(nn.LSTM(UNITS), nn.Bidirectional(nn.GRU(3)), nn.Last(nn.Stack(nn.LSTM(4))), nn.Dense(2))
    net, params = built(net)
    assert net.apply(params, X).shape == (ROWS, 2)
    layer, params = built(nn.Last(nn.Bidirectional(nn.LSTM(UNITS))))
    ys, _ = layer.layer.apply(params, X)
    close(layer.apply(params, X), np.concatenate([ys[:, -1, :UNITS], ys[:, 0, UNITS:]], 1))


def test_kept_states() -> None:
    program = gr.Program("p")
    layer = nn.Stateful(nn.Stack(nn.LSTM(UNITS), nn.GRU(2)), batch=ROWS)

    @program.entry
    def whole(x: gr.f32[ROWS, "T", FEATURES]) -> Any:
        return layer.layer(x)[0]

    @program.entry
    def listen(x: gr.f32[ROWS, "T", FEATURES]) -> Any:
        return layer(x)[0]

    @program.entry
    def step(x: gr.f32[ROWS, FEATURES]) -> Any:
        return layer.step(x)[0]

    @program.entry
    def reset() -> None:
        layer.reset()

    compiled = program.compile()
    expected = compiled.whole(X)
    for _ in range(2):
        ys = [compiled.listen(X[:, :2]), compiled.step(X[:, 2])[:, None], compiled.listen(X[:, 3:])]
        close(np.concatenate(ys, axis=1), expected)
        assert np.any(compiled.state["stateful/state_2"])
        compiled.reset()
        assert not np.any(compiled.state["stateful/state_2"])


def trained(layer: Any, steps: int = 3, **options: Any) -> tuple[Any, Any]:
    """A program that trains a layer's last output, and its losses."""
    program, net, opt = gr.Program("trained"), nn.Sequential(nn.Last(layer), nn.Dense(2)), optim.Adam(0.05)

    @program.entry
    def train(x: gr.f32["N", "T", FEATURES], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        opt.minimize(loss)
        return loss

    compiled = program.compile(**options)
    target = (X.sum((1, 2)) > 0).astype(np.int32)
    return compiled, [compiled.train(X, target) for _ in range(steps)]


def test_checkpoints_change_no_number() -> None:
    _, plain = trained(nn.LSTM(UNITS))
    _, saving = trained(nn.LSTM(UNITS, checkpoint_every=2))
    np.testing.assert_allclose(saving, plain, rtol=1e-5)
    assert plain[-1] < plain[0]


def test_shared_objects_train(tmp_path: Path) -> None:
    compiled, _ = trained(nn.Bidirectional(nn.GRU(UNITS, recurrent_dropout=0.2)), 0)
    loaded = gr.load(compiled.build(tmp_path / "p.so"))
    target = np.int32([0, 1, 1])
    for _ in range(3):
        assert loaded.train(X, target) == compiled.train(X, target)


@every_layer
def test_gradients(make: Any) -> None:
    program, layer = gr.Program("p"), make()

    @program.entry
    def f(x: gr.f32[2, 3, 2], start: gr.f32[2, UNITS], lengths: gr.i32[2]) -> Any:
        state = layer.initial_state(x)
        if not isinstance(state, tuple):
            state = state + start
        return layer(x, state, lengths=lengths)

    rng = np.random.default_rng(0)
    x, start = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 2), (2, UNITS)))
    gr.check_grads(f, x, start, np.int32([2, 3]))


def test_a_layer_that_was_only_stepped_has_no_initial_values_yet() -> None:
    program, layer = gr.Program("p"), nn.GRU(2)

    @program.entry
    def f(x: gr.f32["N", 4]) -> Any:
        return layer.step(x)[0]

    program.trace()
    with pytest.raises(errors.TraceError, match="never called on whole inputs"):
        layer.init()

    @program.entry
    def g(x: gr.f32["N", "T", 4]) -> Any:
        return layer(x)[0]

    program.trace()
    assert len(layer.init()) == 4


def test_many_networks_at_once() -> None:
    layer, params = built(nn.Bidirectional(nn.Stack(nn.LSTM(UNITS), nn.GRU(3))))
    many = {name: np.stack([value, value * 0.5]) for name, value in params.items()}
    ys, state = gr.jit(gr.vmap(lambda p, x: layer.apply(p, x), in_axes=(0, None)))(many, X)
    close([part[0] for part in leaves((ys, state))], layer.apply(params, X))
    halves = {name: value * np.float32(0.5) for name, value in params.items()}
    close([part[1] for part in leaves((ys, state))], layer.apply(halves, X))


def test_dropout_is_the_same_at_each_step() -> None:
    program = gr.Program("p")
    identity = {"kernel_initializer": lambda s, d: gr.init.constant(s, d, value=1.0), "activation": None}
    inputs = nn.SimpleRNN(1, dropout=0.5, recurrent_initializer="zeros", **identity)
    states = nn.SimpleRNN(1, recurrent_dropout=0.5, recurrent_initializer="ones", **identity)

    @program.entry
    def f(x: gr.f32["N", "T", 1]) -> Any:
        return {t: (inputs(x, training=t == "on")[0], states(x, training=t == "on")[0]) for t in ("on", "off")}

    found = program.compile().f(np.ones((64, 4, 1), np.float32))
    by_input, by_state = (y[..., 0] for y in found["on"])
    kept = by_input[:, 0] > 0
    assert 16 < kept.sum() < 48
    np.testing.assert_array_equal(by_input, np.where(kept, 2.0, 0.0)[:, None] * np.ones(4))
    kept = by_state[:, 1] > 1
    assert 16 < kept.sum() < 48
    np.testing.assert_array_equal(by_state, np.where(kept[:, None], [[1, 3, 7, 15]], 1))
    np.testing.assert_array_equal(found["off"][0][0], np.ones((4, 1)))
    np.testing.assert_array_equal(found["off"][1][0, :, 0], [1, 2, 3, 4])


@pytest.mark.parametrize("option", ["dropout", "recurrent_dropout"])
def test_dropout_needs_a_mode(option: str) -> None:
    program, layer = gr.Program("p"), nn.GRU(2, **{option: 0.1})

    @program.entry
    def f(x: gr.f32["N", "T", 1]) -> Any:
        optim.SGD(0.1).minimize(gr.sum(layer(x)[0]))

    with pytest.raises(errors.GradientError, match="training"):
        program.trace()


def test_a_new_lstm_remembers() -> None:
    layer = nn.LSTM(2)
    layer.build(gr.f32["N", "T", 1])
    assert layer.init()["lstm/bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    other = nn.LSTM(2, unit_forget_bias=False, bias_initializer="ones", recurrent_initializer="zeros")
    other.build(gr.f64["N", "T", 1])
    assert other.init()["lstm/bias"].tolist() == [1] * 8 and other.init()["lstm/bias"].dtype == np.float64


def refused(kind: type[Exception], match: str, call: Callable[..., Any]) -> None:
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", "T", 4], h: gr.f32["N", 3], lengths: gr.i32["N"]) -> Any:
        return call(x, h, lengths)

    with pytest.raises(kind, match=match) as raised:
        program.trace()
    assert "test_recurrent.py" in str(raised.value)


def kept_in_a_body(x: Any, h: Any, lengths: Any) -> Any:
    layer = nn.Stateful(nn.GRU(2), 3)
    return gr.scan(lambda carry, _: (carry, layer.step(np.ones((3, 2), np.float32))[0]), 0.0, length=4)


def test_mistakes() -> None:
    refused(errors.ShapeError, r"LSTM: takes \[batch, time, 3\], x is f32\[N,3\]", lambda x, h, n: nn.LSTM(2)(h))
    refused(errors.ShapeError, r"GRU: takes \[batch, 4\], x is f32\[N,T,4\]", lambda x, h, n: nn.GRU(2).step(x))
    refused(errors.ShapeError, r"LSTM: takes a state of f32\[N,2\], f32\[N,2\],", lambda x, h, n: nn.LSTM(2)(x, h))
    refused(errors.ShapeError, r"GRU: takes a state of f32\[N,2\], given f32\[N,3\]", lambda x, h, n: nn.GRU(2)(x, h))
    refused(errors.DTypeError, "given i32", lambda x, h, n: nn.GRU(2)(x, n))
    refused(errors.ShapeError, "given None", lambda x, h, n: nn.GRU(2)(x, ()))
    refused(errors.TraceError, "assigned in a body", kept_in_a_body)
    refused(errors.DTypeError, "mask is f32", lambda x, h, n: nn.GRU(2)(x, mask=h))
    refused(errors.ShapeError, "lengths is i32", lambda x, h, n: nn.GRU(2)(x, lengths=np.int32([1, 2])))
    refused(errors.ArgumentError, "mask and lengths", lambda x, h, n: nn.GRU(2)(x, mask=h, lengths=n))
    refused(errors.ArgumentError, "no tuple of 2", lambda x, h, n: nn.Stack(nn.GRU(2), nn.GRU(2))(x, h))
    refused(errors.ShapeError, "batch of 3", lambda x, h, n: nn.Stateful(nn.GRU(2), 3)(x))
    refused(errors.UnsupportedError, "no step", lambda x, h, n: nn.Bidirectional(nn.GRU(2)).step(x))


def test_mistakes_of_construction() -> None:
    for make, match in (
        (lambda: nn.LSTM(0), "units=0"),
        (lambda: nn.GRU(2, checkpoint_every=0), "checkpoint_every=0"),
        (lambda: nn.GRU(2, dropout=1.0), "rate=1.0"),
        (lambda: nn.Stack(), "no layers"),
        (lambda: nn.Stack(nn.Dense(2)), "no recurrent layer"),
        (lambda: nn.Last(nn.Dense(2)), "no recurrent layer"),
        (lambda: nn.Bidirectional(nn.LSTM(2), merge="both"), "merge='both'"),
        (lambda: nn.Stateful(nn.LSTM(2), batch=0), "batch=0"),
        (lambda: nn.Bidirectional(built(nn.LSTM(2))[0]), "is built already"),
    ):
        with pytest.raises(errors.ArgumentError, match=match):
            make()
