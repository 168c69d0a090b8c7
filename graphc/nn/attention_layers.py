"""Layers of transformers: multi-head attention, the block around it, and where in a sequence things are."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, TypeVar, Unpack

from graphc import init
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api
from graphc.frontend.attention import dot_product_attention
from graphc.frontend.numbers import is_number
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import current, describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.nn.layers import Dense, Dropout
from graphc.nn.module import Module
from graphc.nn.normalization_layers import LayerNorm
from graphc.nn.weights import (
    ActivationLike,
    InitializerLike,
    KernelOptions,
    RegularizerLike,
    expect_count,
    expect_probability,
    parameter_dtype,
    weight,
)
from graphc.sites import user_site

#: What learned positions start with.
SMALL = partial(init.normal, stddev=0.02)

M = TypeVar("M", bound=Module)


class MultiHeadAttention(Module):
    """Attention of several heads (Vaswani et al., 2017), of q, k, v, each [batch, time, width], to q's place.

    Each head sees `key_dim` features of q and k, width / heads by default, and `value_dim` of v, by default as many;
    what the heads give is mapped to `output_dim` features, q's width by default. k is q and v is k unless given, so
    that layer(x) is self-attention and layer(x, memory) cross-attention. `query`, `key`, `value` and `output` are
    `Dense` layers, with `use_bias` and the keyword arguments of `KernelLayer`.

    With `causal` a step sees those up to itself. `mask` broadcasts to [batch, queries, keys], or with four axes to
    [batch, heads, queries, keys]: where a bool is False a key is left out, a float is added to its score. `dropout` is
    that of the softmax, in training. See `nn.dot_product_attention` for how it is computed.

        y = nn.MultiHeadAttention(4, causal=True)(x)                      # f32[N, T, 64] -> f32[N, T, 64]
        y = attention(x, memory, mask=(gr.arange(S) < lengths[:, None])[:, None])

    Raises `ArgumentError` for sizes that are none, or where the width is no multiple of the heads; `ShapeError` for an
    x of other axes, and where q, k, v and the mask do not fit together.
    """

    def __init__(
        self,
        heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        output_dim: int | None = None,
        use_bias: bool = True,
        causal: bool = False,
        dropout: float = 0.0,
        **options: Unpack[KernelOptions],
    ):
        super().__init__(options.pop("name", None))
        sizes = {"key_dim": key_dim, "value_dim": value_dim, "output_dim": output_dim}
        expect_count(self, heads=heads, **{name: size for name, size in sizes.items() if size is not None})
        expect_probability(self, dropout=dropout)
        self.heads, self.key_dim, self.value_dim, self.output_dim = int(heads), key_dim, value_dim, output_dim
        self.use_bias, self.causal, self.options = use_bias, causal, options
        self.dropout = Dropout(dropout)

    def build(self, q: Tensor, *others: Any) -> None:
        width = width_of(self, q)
        if self.key_dim is None and width % self.heads:
            raise ArgumentError(
                f"{type(self).__name__}: {width} features are not {self.heads} equal heads",
                operands=[describe("q", q.node)],
                site=user_site(),
                help="choose a number of heads that divides the width, or give key_dim=",
            )
        keys = self.key_dim or width // self.heads
        sizes = {"query": keys, "key": keys, "value": self.value_dim or keys}
        sizes = {role: self.heads * size for role, size in sizes.items()} | {"output": self.output_dim or width}
        self.query, self.key, self.value, self.output = (
            part(role, Dense(size, use_bias=self.use_bias, **self.options)) for role, size in sizes.items()
        )

    def __call__(
        self,
        q: TensorLike,
        k: TensorLike | None = None,
        v: TensorLike | None = None,
        *,
        mask: TensorLike | None = None,
    ) -> Tensor:
        queries = as_tensor(q)
        keys = queries if k is None else as_tensor(k)
        values = keys if v is None else as_tensor(v)
        for x in (queries, keys, values):
            width_of(self, x)
        q, k, v = (self.split(y) for y in (self.query(queries), self.key(keys), self.value(values)))
        seen = None if mask is None else for_heads(as_tensor(mask))
        dropout = self.dropout if self.dropout.rate else None
        mixed = dot_product_attention(q, k, v, seen, self.causal, dropout=dropout)
        joined = api.permute_dims(mixed, (0, 2, 1, 3))
        result: Tensor = self.output(api.reshape(joined, (*joined.shape[:2], -1)))
        return result

    def split(self, x: Tensor) -> Tensor:
        """[batch, time, heads·dim] as [batch, heads, time, dim]."""
        return api.permute_dims(api.reshape(x, (*x.shape[:2], self.heads, -1)), (0, 2, 1, 3))


class TransformerBlock(Module):
    """An encoder layer: attention, then two dense layers with `hidden` units between, each added to what came in.

    With `pre_norm` each is given the layer norm of what came in, x + f(norm(x)), without the norm of the sum,
    norm(x + f(x)), as in the first transformer: PyTorch's `norm_first`, which is False there. `dropout`, in training,
    is that of the softmax, of the hidden units, and of what is added, as in PyTorch. Its parts are `attention`,
    `attention_norm`, `up`, `down` and `dense_norm`.

        y = nn.TransformerBlock(4, 256, causal=True)(x)        # f32[N, T, 64] -> f32[N, T, 64]

    `mask` is that of `MultiHeadAttention`. Raises as that does.
    """

    def __init__(
        self,
        heads: int,
        hidden: int,
        pre_norm: bool = True,
        activation: ActivationLike = "gelu",
        dropout: float = 0.0,
        causal: bool = False,
        eps: float = 1e-5,
        name: str | None = None,
    ):
        super().__init__(name)
        expect_count(self, hidden=hidden)
        expect_probability(self, dropout=dropout)
        self.hidden, self.pre_norm = int(hidden), pre_norm
        self.attention = part("attention", MultiHeadAttention(heads, causal=causal, dropout=dropout))
        self.up = part("up", Dense(hidden, activation))
        self.attention_norm = part("attention_norm", LayerNorm(eps=eps))
        self.dense_norm = part("dense_norm", LayerNorm(eps=eps))
        self.dropout = Dropout(dropout)

    def build(self, x: Tensor, *others: Any) -> None:
        self.down = part("down", Dense(width_of(self, x)))

    def __call__(self, x: TensorLike, *, mask: TensorLike | None = None) -> Tensor:
        x = as_tensor(x)
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
            return x + self.dense(self.dense_norm(x))
        x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask)))
        result: Tensor = self.dense_norm(x + self.dense(x))
        return result

    def dense(self, x: Tensor) -> Tensor:
        """The two dense layers."""
        result: Tensor = self.dropout(self.down(self.dropout(self.up(x))))
        return result


class SinusoidalPositions(Module):
    """x + p, where p[t, 2i] = sin(t·b^(−2i/width)) and p[t, 2i + 1] the cosine (Vaswani et al., 2017), b = `base`.

        hidden = nn.SinusoidalPositions()(tokens(text))        # f32[N, T, 64] -> f32[N, T, 64]

    Raises `ArgumentError` for a base that is no positive number, `ShapeError` for an x of other axes than
    [batch, time, width].
    """

    def __init__(self, base: float = 10_000.0, name: str | None = None):
        super().__init__(name)
        if not (is_number(base) and base > 0):
            raise ArgumentError(
                f"SinusoidalPositions: base={base!r} is not a positive number", site=self.site, help="10_000 is usual"
            )
        self.base = base

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_tensor(x)
        width = width_of(self, tensor)
        dtype = parameter_dtype(tensor)
        rates = api.exp(api.arange(0, width, 2).astype(dtype) * (-math.log(self.base) / width))
        angles = api.arange(tensor.shape[1]).astype(dtype)[:, None] * rates
        pairs = api.stack([api.sin(angles), api.cos(angles)], axis=-1)
        return tensor + api.reshape(pairs, (tensor.shape[1], -1))[:, :width]


class LearnedPositions(Module):
    """x + table[t]: `table` [count, width] is normal with σ = 0.02 unless `table_initializer` says otherwise.

        hidden = nn.LearnedPositions(128)(tokens(text))        # f32[N, T, 64], T <= 128, -> f32[N, T, 64]

    Sequences longer than `count` raise `ShapeError`, where the time is symbolic when the entry is called.
    """

    def __init__(
        self,
        count: int,
        table_initializer: InitializerLike = SMALL,
        table_regularizer: RegularizerLike = None,
        name: str | None = None,
    ):
        super().__init__(name)
        expect_count(self, count=count)
        self.count = int(count)
        self.table_weight = weight(table_initializer, table_regularizer)

    def build(self, x: Tensor) -> None:
        self.table = self.table_weight.variable((self.count, width_of(self, x)), parameter_dtype(x))

    def __call__(self, x: TensorLike) -> Tensor:
        tensor = as_tensor(x)
        width_of(self, tensor)
        time = tensor.type.shape[1]
        message = f"LearnedPositions: a sequence is longer than the {self.count} places there are"
        if isinstance(time, int) and time > self.count:
            raise ShapeError(message, operands=[describe("x", tensor.node)], site=user_site())
        current().check(self.count - time, 0, message)
        return tensor + api.take(self.table, api.arange(tensor.shape[1]), axis=0)


def part(role: str, layer: M) -> M:
    """A layer that is called by its role in the state."""
    layer.default_name = role
    return layer


def width_of(layer: Module, x: Tensor) -> int:
    """The features of a sequence. Raises `ShapeError` unless x is [batch, time, width], of a constant width."""
    width = x.type.shape[-1] if x.ndim == 3 else None
    if isinstance(width, int):
        return width
    raise ShapeError(
        f"{type(layer).__name__}: takes [batch, time, width], x is {x.type}",
        operands=[describe("x", x.node)],
        site=user_site(),
        help="the width is a number; batch and time may be symbolic",
    )


def for_heads(mask: Tensor) -> Tensor:
    """A mask that broadcasts to [batch, queries, keys] as one that does to [batch, heads, queries, keys]."""
    return mask[:, None] if mask.ndim == 3 else mask
