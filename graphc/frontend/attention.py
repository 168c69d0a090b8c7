"""Scaled dot-product attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

from graphc import ops
from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend import api
from graphc.frontend.attention_blocks import attend_by_blocks
from graphc.frontend.composite import composite
from graphc.frontend.promotion import apply, as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float, largest
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import typical
from graphc.ir.types import i32
from graphc.sites import user_site

__all__ = ["dot_product_attention"]

#: So many keys go block by block: a row of scores for each of them no longer stays in cache.
LARGE = 512


@composite
def dot_product_attention(
    q: TensorLike,
    k: TensorLike,
    v: TensorLike,
    mask: TensorLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """softmax(scale·q·kᵀ + mask)·v: [batch, heads, queries, dim], […, keys, dim], […, keys, out] -> […, queries, out].

    `mask` broadcasts against [batch, heads, queries, keys]: where a bool is False a key is left out, a float is added.
    With `causal` query i sees the keys up to i. `scale` is 1/√dim by default. A query that sees no key gives 0, as in
    PyTorch. The leading axes may be any, equal in q, k and v.

    From `LARGE` keys on (512; their typical number, where it is symbolic) it goes over blocks of keys with a running
    softmax, so that memory grows with queries and keys and not with their product, in derivatives too. A float mask
    excludes that, since it has a derivative of that size, and so does `dropout`: what the softmax goes through before
    it meets v, such as `nn.Dropout(0.1)`.

        y = nn.dot_product_attention(q, k, v, causal=True)        # f32[N, 4, T, 16] three times -> f32[N, 4, T, 16]

    Raises `ShapeError` where the shapes do not fit, `DTypeError` where the mask is neither bool nor float.
    """
    q, k, v = as_float(q), as_float(k), as_float(v)
    expect_fitting(q, k, v)
    q = q * (1.0 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if dropout is not None and not callable(dropout):
        raise ArgumentError(
            f"dot_product_attention: dropout={dropout!r} is not a function", site=user_site(), help="nn.Dropout(0.1)"
        )
    seen = None if mask is None else expect_mask(as_tensor(mask), q, k)
    by_blocks = typical(k.type.shape[-2]) >= LARGE and dropout is None
    if by_blocks and (seen is None or not seen.dtype.is_float):
        return attend_by_blocks(q, k, v, seen, causal)
    scores = api.matmul(q, api.matrix_transpose(k))
    if seen is not None:
        scores = scores + seen if seen.dtype.is_float else api.where(seen, scores, -math.inf)
    if causal:
        scores = api.where(earlier(scores), scores, -math.inf)
    shares = weights(scores, hidden=mask is not None)
    return api.matmul(shares if dropout is None else dropout(shares), v)


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


def expect_mask(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    """The mask, with as many axes as q. Raises where it is neither bool nor float, or does not broadcast."""
    if not mask.dtype.is_float and mask.dtype.kind != "bool":
        raise DTypeError(
            f"dot_product_attention: the mask is {mask.dtype}",
            operands=[describe("mask", mask.node)],
            site=user_site(),
            help="use bool (False: left out) or a float that is added to the scores",
        )
    scores = (*q.type.shape[:-1], k.type.shape[-2])
    sizes = (1,) * (len(scores) - mask.ndim) + mask.type.shape
    if len(sizes) != len(scores) or any(m not in (1, s) for m, s in zip(sizes, scores, strict=True)):
        raise ShapeError(
            f"dot_product_attention: a mask {mask.type} does not broadcast to ({', '.join(map(str, scores))})",
            operands=[describe("mask", mask.node), describe("q", q.node), describe("k", k.node)],
            site=user_site(),
        )
    return mask if sizes == mask.type.shape else apply(ops.Reshape(sizes), mask)


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
