"""Scaled dot-product attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math

from graphc import ops
from graphc.errors import DTypeError, ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.promotion import apply, as_tensor, broadcast
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import i32
from graphc.nn.functional import largest
from graphc.sites import user_site

__all__ = ["dot_product_attention"]


@composite
def dot_product_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: TensorLike | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale·q·kᵀ + mask)·v: [batch, heads, queries, dim], […, keys, dim], […, keys, out] -> […, queries, out].

    `mask` broadcasts against [batch, heads, queries, keys]: where a bool is False a key is left out, a float is added.
    With `causal` query i sees the keys up to i. `scale` is 1/√dim by default. A query that sees no key gives 0, as in
    PyTorch. The leading axes may be any, equal in q, k and v.

        y = nn.dot_product_attention(q, k, v, causal=True)        # f32[N, 4, T, 16] three times -> f32[N, 4, T, 16]

    Raises `ShapeError` where the shapes do not fit, `DTypeError` where the mask is neither bool nor float.
    """
    q, k, v = as_float(q), as_float(k), as_float(v)
    expect_fitting(q, k, v)
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = api.matmul(q * factor, api.matrix_transpose(k))
    seen: Tensor | None = None
    if mask is not None:
        given = as_tensor(mask)
        if given.dtype.is_float:
            scores = scores + given
        elif given.dtype.kind == "bool":
            seen = given
        else:
            raise DTypeError(
                f"dot_product_attention: the mask is {given.dtype}",
                operands=[describe("mask", given.node)],
                site=user_site(),
                help="use bool (False: left out) or a float that is added to the scores",
            )
    if causal:
        before = earlier(scores)
        seen = before if seen is None else api.logical_and(*broadcast("dot_product_attention", seen, before))
    if seen is not None:
        scores = api.where(seen, scores, -math.inf)
    return api.matmul(weights(scores, hidden=mask is not None), v)


def weights(scores: Tensor, hidden: bool) -> Tensor:
    """The softmax of each row; with `hidden`, rows that are −∞ throughout give 0."""
    most = largest(scores, -1)
    shift = api.where(most == -math.inf, 0.0, most) if hidden else most
    powers = api.exp(scores - shift)
    total = api.sum(powers, -1, keepdims=True)
    return powers / (api.where(total == 0, 1.0, total) if hidden else total)


def earlier(scores: Tensor) -> Tensor:
    """Whether a key, the last axis, comes no later than a query, the one before."""
    queries, keys = scores.type.shape[-2:]
    shape = (queries, keys)
    return apply(ops.Iota(i32, shape, 1)) <= apply(ops.Iota(i32, shape, 0))


def expect_fitting(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raise `ShapeError` unless queries, keys and values fit together."""
    shapes = [t.type.shape for t in (q, k, v)]
    fits = min(map(len, shapes)) >= 2 and shapes[0][:-2] == shapes[1][:-2] == shapes[2][:-2]
    if fits and shapes[0][-1] == shapes[1][-1] and shapes[1][-2] == shapes[2][-2]:
        return
    raise ShapeError(
        f"dot_product_attention: {q.type}, {k.type} and {v.type} do not fit together",
        operands=[describe("q", q.node), describe("k", k.node), describe("v", v.node)],
        site=user_site(),
        help="q [batch, heads, queries, dim], k [batch, heads, keys, dim], v [batch, heads, keys, out]",
    )
