"""Pooling: windows over the spatial axes of [batch, spatial ..., channels], one, two or three of them.

`window`, `strides` (the window by default) and `dilation` are one integer for all spatial axes or one for each.
`padding` is "VALID", "SAME", an integer, or one integer or (front, back) for each spatial axis; no result includes it.

    y = nn.max_pool(x, (2, 2))        # f32[N, 28, 28, 6] -> f32[N, 14, 14, 6]

All raise `ShapeError` for a tensor without a spatial axis, `ArgumentError` for arguments that are no such windows.
"""

from __future__ import annotations

from graphc.frontend import api
from graphc.frontend.composite import composite
from graphc.frontend.promotion import as_tensor
from graphc.frontend.reductions import as_float
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.windows import (
    Padding,
    PerAxis,
    normal_geometry,
    reduce_window,
    window_counts,
    window_max,
    window_min,
    window_sum,
)

__all__ = [
    "avg_pool", "global_avg_pool", "global_max_pool", "max_pool", "min_pool", "reduce_window", "sum_pool",
]  # fmt: skip


@composite
def max_pool(
    x: TensorLike,
    window: PerAxis,
    strides: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Tensor:
    """The largest of each window; a NaN wins; the first of equals gets the whole gradient (as in PyTorch and JAX)."""
    tensor = as_tensor(x)
    return window_max(tensor, normal_geometry("max_pool", tensor, window, strides, padding, dilation))


@composite
def min_pool(
    x: TensorLike,
    window: PerAxis,
    strides: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Tensor:
    """The least of each window; a NaN wins; the first of equals gets the whole gradient."""
    tensor = as_tensor(x)
    return window_min(tensor, normal_geometry("min_pool", tensor, window, strides, padding, dilation))


@composite
def sum_pool(
    x: TensorLike,
    window: PerAxis,
    strides: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Tensor:
    """The sum of each window."""
    tensor = as_tensor(x)
    return window_sum(tensor, normal_geometry("sum_pool", tensor, window, strides, padding, dilation))


@composite
def avg_pool(
    x: TensorLike,
    window: PerAxis,
    strides: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
    count_include_pad: bool = False,
) -> Tensor:
    """The mean of each window's elements, as in Keras; with `count_include_pad` the padding counts, as zeros.

    The latter is the default of PyTorch and of Flax. Integers are averaged as f32.
    """
    tensor = as_float(x)
    geometry = normal_geometry("avg_pool", tensor, window, strides, padding, dilation)
    return window_sum(tensor, geometry) / window_counts(tensor, geometry, count_include_pad)


@composite
def global_max_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """The largest element of each channel: [batch, spatial ..., channels] -> [batch, channels]; ties share evenly."""
    tensor = as_tensor(x)
    return api.max(tensor, tuple(range(1, tensor.ndim - 1)), keepdims=keepdims)


@composite
def global_avg_pool(x: TensorLike, keepdims: bool = False) -> Tensor:
    """The mean of each channel: [batch, spatial ..., channels] -> [batch, channels]."""
    tensor = as_tensor(x)
    return api.mean(tensor, tuple(range(1, tensor.ndim - 1)), keepdims=keepdims)
