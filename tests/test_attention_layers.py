"""Layers of transformers: heads, masks, blocks and positions; their numbers are held to PyTorch's in test_sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim

ROWS, TIME, WIDTH, HEADS = 2, 5, 8, 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, TIME, WIDTH)).astype(np.float32)
MEMORY = RNG.standard_normal((ROWS, 7, 3)).astype(np.float32)


def built(layer: Any, *types: Any) -> tuple[Any, dict[str, Any]]:
    """A layer and parameters for it."""
    layer.build(*(types or (gr.f32["N", "T", WIDTH],)))
    return layer, layer.init(0)


def softmax(scores: Any) -> Any:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def by_hand(params: Any, q: Any, k: Any, v: Any, heads: int, seen: Any = None) -> Any:
    """Attention in NumPy; `seen` [batch, queries, keys] says which keys count."""
    p = {name.split("/", 1)[1]: value for name, value in params.items()}
    parts = [x @ p[f"{role}/kernel"] + p[f"{role}/bias"] for role, x in (("query", q), ("key", k), ("value", v))]
    mixed = []
    for a, b, c in zip(*(np.split(part, heads, -1) for part in parts), strict=True):
        scores = a @ b.swapaxes(1, 2) / np.sqrt(a.shape[-1])
        mixed.append(softmax(scores if seen is None else np.where(seen, scores, -np.inf)) @ c)
    return np.concatenate(mixed, -1) @ p["output/kernel"] + p["output/bias"]


def test_self_attention() -> None:
    layer, params = built(nn.MultiHeadAttention(HEADS))
    assert {name.split("/", 1)[1]: value.shape for name, value in params.items()} == {
        f"{role}/{part}": (WIDTH, WIDTH)[: 2 - i]
        for role in ("query", "key", "value", "output")
        for i, part in enumerate(("kernel", "bias"))
    }
    np.testing.assert_allclose(layer.apply(params, X), by_hand(params, X, X, X, HEADS), rtol=1e-4, atol=1e-5)


def test_cross_attention_of_other_sizes() -> None:
    layer = nn.MultiHeadAttention(3, key_dim=4, value_dim=2, output_dim=6)
    layer, params = built(layer, gr.f32["N", "T", WIDTH], gr.f32["N", "S", 3])
    found = layer.apply(params, X, MEMORY)
    assert found.shape == (ROWS, TIME, 6)
    np.testing.assert_allclose(found, by_hand(params, X, MEMORY, MEMORY, 3), rtol=1e-4, atol=1e-5)
    assert np.array_equal(layer.apply(params, X, MEMORY, MEMORY), found)


def test_masks() -> None:
    causal, params = built(nn.MultiHeadAttention(HEADS, causal=True))
    plain, own = built(nn.MultiHeadAttention(HEADS))
    assert list(own) == list(params)
    earlier = np.tril(np.ones((TIME, TIME), bool))
    expected = by_hand(params, X, X, X, HEADS, earlier)
    np.testing.assert_allclose(causal.apply(params, X), expected, rtol=1e-4, atol=1e-5)
    for mask in (earlier, np.broadcast_to(earlier, (ROWS, TIME, TIME)), earlier[None, None]):
        np.testing.assert_allclose(plain.apply(params, X, mask=mask), expected, rtol=1e-4, atol=1e-5)
    lengths = np.array([5, 2])
    mask = (np.arange(TIME) < lengths[:, None])[:, None]
    padded = plain.apply(params, X, mask=mask)
    np.testing.assert_allclose(padded[1:, :2], plain.apply(params, X[1:, :2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_blocks_have_gradients(pre_norm: bool) -> None:
    program, block = gr.Program("p"), nn.TransformerBlock(2, 5, pre_norm=pre_norm, causal=True)

    @program.entry
    def f(x: gr.f32["N", "T", 4]) -> Any:
        return block(x)

    gr.check_grads(f, RNG.standard_normal((2, 3, 4)).astype(np.float32))
    names = {v.name.split("/")[1] for v in program.trace().variables}
    assert names == {"attention", "attention_norm", "up", "down", "dense_norm"}


def test_a_small_transformer_learns() -> None:
    """Which of the tokens is the greatest: any time up to 12, batches of any size."""
    program, opt = gr.Program("p"), optim.Adam(3e-3)
    net = nn.Sequential(
        nn.Embedding(10, 16), nn.LearnedPositions(12), nn.TransformerBlock(2, 32, dropout=0.1), nn.LayerNorm(),
        lambda x: gr.mean(x, axis=1), nn.Dense(10),
    )  # fmt: skip

    @program.entry
    def train(x: gr.i32["N", "T"], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        opt.minimize(loss)
        return loss

    @program.entry
    def predict(x: gr.i32["N", "T"]) -> Any:
        return gr.argmax(net(x), axis=1)

    compiled = program.compile()
    x = np.random.default_rng(0).integers(0, 10, (256, 6)).astype(np.int32)
    for _ in range(15):
        compiled.train.epoch(x, x.max(1), batch_size=32, shuffle=True)
    assert np.mean(compiled.predict(x) == x.max(1)) > 0.9
    with pytest.raises(errors.ShapeError, match="longer than the 12 places"):
        compiled.predict(np.zeros((1, 13), np.int32))


def test_dropout_is_for_training() -> None:
    program = gr.Program("p")
    layer, block = nn.MultiHeadAttention(HEADS, dropout=0.5), nn.TransformerBlock(HEADS, 16, dropout=0.5)

    @program.entry
    def f(x: gr.f32["N", "T", WIDTH]) -> Any:
        return [(net(x, training=True), net(x, training=False), net(x)) for net in (layer, block)]

    for training, predicting, default in program.compile().f(X):
        assert not np.allclose(training, predicting)
        assert np.array_equal(predicting, default)


def test_sinusoidal_positions() -> None:
    for width in (WIDTH, 5):
        layer, params = built(nn.SinusoidalPositions(), gr.f32["N", "T", width])
        x = np.zeros((1, 30, width), np.float32)
        rates = 10_000.0 ** (-np.arange(0, width, 2) / width)
        angles = np.arange(30)[:, None] * rates
        expected = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(30, -1)[:, :width]
        np.testing.assert_allclose(gr.jit(lambda x, net=layer: net(x))(x)[0], expected, atol=2e-6)
        assert not params


def test_many_networks_at_once() -> None:
    block, params = built(nn.TransformerBlock(HEADS, 16))
    many = {name: np.stack([value, value * 0.5]) for name, value in params.items()}
    found = gr.jit(gr.vmap(lambda p, x: block.apply(p, x), in_axes=(0, None)))(many, X)
    np.testing.assert_allclose(found[0], block.apply(params, X), rtol=1e-4, atol=1e-5)
    halves = {name: value * np.float32(0.5) for name, value in params.items()}
    np.testing.assert_allclose(found[1], block.apply(halves, X), rtol=1e-4, atol=1e-5)


def refused(kind: type[Exception], match: str, call: Callable[..., Any]) -> None:
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N", "T", WIDTH], flat: gr.f32["N", WIDTH]) -> Any:
        return call(x, flat)

    with pytest.raises(kind, match=match) as raised:
        program.trace()
    assert "test_attention_layers.py" in str(raised.value)


def test_mistakes() -> None:
    refused(errors.ArgumentError, "8 features are not 3 equal heads", lambda x, flat: nn.MultiHeadAttention(3)(x))
    refused(errors.ShapeError, r"takes \[batch, time, width\]", lambda x, flat: nn.MultiHeadAttention(2)(flat))
    refused(errors.ShapeError, r"takes \[batch, time, width\]", lambda x, flat: nn.MultiHeadAttention(2)(x, flat))
    refused(errors.ShapeError, "mask", lambda x, flat: nn.MultiHeadAttention(2)(x, mask=flat))
    refused(errors.ShapeError, "longer than the 3 places", lambda x, flat: nn.LearnedPositions(3)(np.zeros((1, 4, 2))))
    refused(errors.ShapeError, r"takes \[batch, time, width\]", lambda x, flat: nn.SinusoidalPositions()(flat))
    for make in (
        lambda: nn.MultiHeadAttention(0),
        lambda: nn.MultiHeadAttention(2, key_dim=0),
        lambda: nn.TransformerBlock(2, 0),
        lambda: nn.LearnedPositions(-1),
        lambda: nn.TransformerBlock(2, 8, dropout=2.0),
    ):
        with pytest.raises(errors.ArgumentError):
            make()
