"""Normalisation: elements minus their mean over their deviation, then scaled; composites that fuse.

`weight` and `bias` are tensors or Variables that broadcast against the last axes of x, or None for none. Variances are
those of the elements (divided by their number), as everywhere in normalisation. Integers are taken as f32.
"""

from __future__ import annotations

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.sites import user_site

__all__ = [
    "batch_norm", "cosine_similarity", "group_norm", "instance_norm", "l2_normalize", "layer_norm", "moments",
    "rms_norm",
]  # fmt: skip


@composite
def moments(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> tuple[Tensor, Tensor]:
    """The mean and the variance (divided by the count) along axes."""
    x = as_float(x)
    mean = api.mean(x, axis, keepdims=True)
    variance = api.mean(api.square(x - mean), axis, keepdims=keepdims)
    return (mean if keepdims else api.mean(x, axis)), variance


@composite
def layer_norm(
    x: TensorLike,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    axis: Axis = -1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + ε)·weight + bias, with mean and variance along one or more axes (Ba et al., 2016).

        y = nn.layer_norm(x, scale, shift)        # f32[N, T, 64], f32[64], f32[64] -> f32[N, T, 64]
    """
    return scaled(standardised(as_float(x), axis, eps), weight, bias)


@composite
def rms_norm(
    x: TensorLike, weight: TensorLike | None = None, axis: Axis = -1, eps: float | None = None
) -> Tensor:
    """x / √(mean(x²) + ε)·weight along `axis` (Zhang and Sennrich, 2019); ε is the dtype's epsilon, as in PyTorch."""
    x = as_float(x)
    least = api.finfo(x).eps if eps is None else eps
    return scaled(x * api.rsqrt(api.mean(api.square(x), axis, keepdims=True) + least), weight, None)


@composite
def batch_norm(
    x: TensorLike,
    mean: TensorLike | None = None,
    variance: TensorLike | None = None,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean) / √(variance + ε)·weight + bias for each channel, the last axis (Ioffe and Szegedy, 2015).

    Without `mean` and `variance`, [channels] each, they are those of the batch: over all axes but the last. Raises
    `ArgumentError` where only one of them is given.
    """
    x = as_float(x)
    if (mean is None) != (variance is None):
        raise ArgumentError("batch_norm: needs both mean and variance, or neither", site=user_site())
    if mean is None or variance is None:
        return scaled(standardised(x, tuple(range(x.ndim - 1)), eps), weight, bias)
    inverse = api.rsqrt(as_tensor(variance, x.dtype) + eps)
    return scaled((x - mean) * inverse, weight, bias)


@composite
def group_norm(
    x: TensorLike,
    groups: int,
    weight: TensorLike | None = None,
    bias: TensorLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each sample standardised by groups of channels: [batch, spatial ..., channels] (Wu and He, 2018).

    Raises `ShapeError` where the channels do not divide into so many groups.
    """
    x = as_float(x)
    if x.ndim < 2 or not isinstance(x.shape[-1], int) or not is_count(groups, 1) or x.shape[-1] % groups:
        raise ShapeError(
            f"group_norm: the last axis of {x.type} does not divide into {groups} groups",
            operands=[describe("x", x.node)],
            site=user_site(),
        )
    parts = api.reshape(x, (*x.shape[:-1], groups, x.shape[-1] // groups))
    within = (*range(1, x.ndim - 1), x.ndim)
    return scaled(api.reshape(standardised(parts, within, eps), x.shape), weight, bias)


@composite
def instance_norm(
    x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, eps: float = 1e-5
) -> Tensor:
    """Each channel of each sample standardised over the spatial axes: [batch, spatial ..., channels]."""
    x = as_float(x)
    return scaled(standardised(x, tuple(range(1, x.ndim - 1)), eps), weight, bias)


@composite
def l2_normalize(x: TensorLike, axis: Axis = -1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖, ε) along `axis`."""
    x = as_float(x)
    return x / norm(x, axis, eps, keepdims=True)


@composite
def cosine_similarity(x1: TensorLike, x2: TensorLike, axis: int = -1, eps: float = 1e-8) -> Tensor:
    """x1·x2 / (max(‖x1‖, ε)·max(‖x2‖, ε)) along `axis` of their common shape, which the result lacks."""
    x1, x2 = api.broadcast_arrays(as_float(x1), as_float(x2))
    product = api.sum(x1 * x2, axis)
    return product / (norm(x1, axis, eps, keepdims=False) * norm(x2, axis, eps, keepdims=False))


def norm(x: Tensor, axis: Axis, eps: float, keepdims: bool) -> Tensor:
    """max(‖x‖, ε); constant, so without a derivative that is no number, where x is 0."""
    square = api.sum(api.square(x), axis, keepdims=keepdims)
    return api.sqrt(api.where(square <= eps * eps, eps * eps, square))


def standardised(x: Tensor, axis: Axis, eps: float) -> Tensor:
    """x minus its mean over its deviation along axes."""
    difference = x - api.mean(x, axis, keepdims=True)
    return difference * api.rsqrt(api.mean(api.square(difference), axis, keepdims=True) + eps)


def scaled(x: Tensor, weight: TensorLike | None, bias: TensorLike | None) -> Tensor:
    """x·weight + bias, as far as they are given."""
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
