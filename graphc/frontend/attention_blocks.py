"""Attention over blocks of keys with a running softmax: memory linear in time, forward and backward.

Forward keeps for each query the largest score so far, the sum of the powers below it and their weighted values (Milakov
and Gimelshein, 2018); backward computes each block's weights again from the logarithm of that sum (Dao et al., 2022).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from graphc import ops
from graphc.frontend import api
from graphc.frontend.control import scan
from graphc.frontend.custom import custom_vjp
from graphc.frontend.promotion import apply, as_tensor, cast, stretch
from graphc.frontend.tensor import Tensor
from graphc.ir.dim import Size
from graphc.ir.types import DType, bool_, f32, i32
from graphc.ops.order import After

#: Keys in a block.
BLOCK = 128

#: Below every score; finite, so that a difference of two is a number.
LOWEST = -1e30


class Sight(NamedTuple):
    """Which keys a query sees besides what a mask says: all of them, or those up to its own place."""

    causal: bool
    keys: Size


def attend_by_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q·kᵀ)·v for scaled queries; `mask`, bool[…, queries or 1, keys or 1], has as many axes as q."""
    everything = stretch(as_tensor(True, bool_), (1,) * q.ndim)
    exact = [cast(x, f32) if x.dtype.itemsize < 4 else x for x in (q, k, v)]  # 16 bits hold neither LOWEST nor the sums
    result: Tensor = by_blocks(Sight(causal, k.type.shape[-2]), *exact, everything if mask is None else mask)
    return cast(result, v.dtype)


def forward(sight: Sight, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Any]:
    """The weighted values; and what `backward` wants: the operands, the values, the logarithms of the powers' sums."""
    outer, queries = q.type.shape[:-2], q.type.shape[-2]

    def step(carry: Any, block: Any) -> Any:
        largest, total, values = carry
        keys, payload, seen, place = block
        products = api.matmul(in_round(q, place), api.matrix_transpose(keys))
        scores = visible(sight, products, mask if seen is None else seen, place)
        now = api.maximum(largest, api.max(scores, -1, keepdims=True))
        powers, shrink = api.exp(scores - now), api.exp(largest - now)
        total = total * shrink + api.sum(powers, -1, keepdims=True)
        return (now, total, values * shrink + api.matmul(powers, payload)), None

    start = tuple(
        filled(value, q.dtype, (*outer, queries, size)) for value, size in ((LOWEST, 1), (0, 1), (0, v.type.shape[-1]))
    )
    (largest, total, values), _ = scan(step, start, blocks(sight, k, v, mask))
    empty = total == 0
    total = api.where(empty, 1.0, total)
    result = values / total
    return result, (q, k, v, mask, result, api.where(empty, 0.0, largest + api.log(total)))


def backward(sight: Sight, residuals: Any, ct: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    """The cotangents of queries, keys and values."""
    q, k, v, mask, result, logarithm = residuals
    shares = api.sum(ct * result, -1, keepdims=True)

    def step(carry: Tensor, block: Any) -> Any:
        keys, payload, seen, place = block
        queries, above = in_round(q, place), in_round(ct, place)
        products = api.matmul(queries, api.matrix_transpose(keys))
        weights = api.exp(visible(sight, products, mask if seen is None else seen, place) - logarithm)
        slopes = weights * (api.matmul(above, api.matrix_transpose(payload)) - shares)
        turned = (api.matmul(api.matrix_transpose(slopes), queries), api.matmul(api.matrix_transpose(weights), above))
        return carry + api.matmul(in_round(slopes, carry), keys), turned

    queries, (keys, payloads) = scan(step, filled(0, q.dtype, q.type.shape), blocks(sight, k, v, mask))
    return queries, joined(keys, k), joined(payloads, v), None


def attended(sight: Sight, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """The weighted values."""
    return forward(sight, q, k, v, mask)[0]


by_blocks = custom_vjp(attended, nondiff_argnums=0)
by_blocks.defvjp(forward, backward)


def in_round(x: Tensor, own: Tensor) -> Tensor:
    """x, bound to what is a round's own: else one product would be made for all rounds at once, as large as time²."""
    return apply(After(), x, own)


def visible(sight: Sight, scores: Tensor, seen: Tensor, start: Tensor) -> Tensor:
    """A block's scores, −∞ where a query does not see the key, or there is none; the first key's place is `start`."""
    shape = scores.type.shape[-2:]
    key = apply(ops.Iota(i32, shape, 1)) + start
    shown = key < extent(sight.keys)
    if sight.causal:
        shown = api.logical_and(shown, key <= apply(ops.Iota(i32, shape, 0)))
    return api.where(api.logical_and(shown, seen), scores, -math.inf)


def blocks(sight: Sight, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Keys, values, the mask where it differs between keys, and the places they start at, block by block."""
    count = (sight.keys + (BLOCK - 1)) // BLOCK
    differs = mask.type.shape[-1] != 1
    seen = api.moveaxis(split(api.matrix_transpose(mask), count), -1, -2) if differs else None
    return split(k, count), split(v, count), seen, apply(ops.Iota(i32, (count,), 0)) * BLOCK


def split(x: Tensor, count: Size) -> Tensor:
    """[…, keys, d] as [blocks, …, BLOCK, d], with zeros after the last key."""
    *outer, keys, width = x.type.shape
    none = (0,) * x.ndim
    high = (*none[:-2], count * BLOCK - keys, 0)
    padded = apply(ops.Pad(none, high, none), x, as_tensor(0, x.dtype))
    return api.moveaxis(apply(ops.Reshape((*outer, count, BLOCK, width)), padded), len(outer), 0)


def joined(parts: Tensor, like: Tensor) -> Tensor:
    """[blocks, …, BLOCK, d] as the […, keys, d] that it was split from."""
    *outer, keys, width = like.type.shape
    together = api.moveaxis(parts, 0, len(outer))
    whole = apply(ops.Reshape((*outer, parts.type.shape[0] * BLOCK, width)), together)
    return apply(ops.Slice((0,) * like.ndim, (*outer, keys, width), (1,) * like.ndim), whole)


def filled(value: float, dtype: DType, shape: tuple[Size, ...]) -> Tensor:
    """A number everywhere."""
    return stretch(as_tensor(value, dtype), shape)


def extent(size: Size) -> Tensor:
    """A size as an i32."""
    return as_tensor(size, i32) if isinstance(size, int) else apply(ops.SizeOf(i32, size))
