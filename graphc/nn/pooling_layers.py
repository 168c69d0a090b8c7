"""Pooling as layers: over the spatial axes of [batch, spatial ..., channels], as many as x has."""

from __future__ import annotations

from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.windows import Padding, PerAxis
from graphc.nn.module import Module
from graphc.nn.pooling import avg_pool, global_avg_pool, global_max_pool, max_pool


class Pool(Module):
    """The base of `MaxPool` and `AvgPool`: the arguments of `nn.max_pool` and `nn.avg_pool`, which raise alike."""

    def __init__(
        self,
        window: PerAxis = 2,
        strides: PerAxis | None = None,
        padding: Padding = "VALID",
        dilation: PerAxis = 1,
        name: str | None = None,
    ):
        super().__init__(name)
        self.window, self.strides, self.padding, self.dilation = window, strides, padding, dilation


class MaxPool(Pool):
    """The largest of each window: see `nn.max_pool`.

        nn.MaxPool(2)        # f32[N, 28, 28, 6] -> f32[N, 14, 14, 6]; f32[N, 28, 6] -> f32[N, 14, 6]
    """

    def __call__(self, x: TensorLike) -> Tensor:
        return max_pool(x, self.window, self.strides, self.padding, self.dilation)


class AvgPool(Pool):
    """The mean of each window, of its elements without the padding, which counts with `count_include_pad`.

        nn.AvgPool(3, strides=2, padding="SAME")        # f32[N, 28, 28, 6] -> f32[N, 14, 14, 6]
    """

    def __init__(
        self,
        window: PerAxis = 2,
        strides: PerAxis | None = None,
        padding: Padding = "VALID",
        dilation: PerAxis = 1,
        count_include_pad: bool = False,
        name: str | None = None,
    ):
        super().__init__(window, strides, padding, dilation, name)
        self.count_include_pad = count_include_pad

    def __call__(self, x: TensorLike) -> Tensor:
        return avg_pool(x, self.window, self.strides, self.padding, self.dilation, self.count_include_pad)


class GlobalPool(Module):
    """The base of `GlobalAvgPool` and `GlobalMaxPool`; with `keepdims` the spatial axes stay, of size 1."""

    def __init__(self, keepdims: bool = False, name: str | None = None):
        super().__init__(name)
        self.keepdims = keepdims


class GlobalAvgPool(GlobalPool):
    """The mean of each channel: [batch, spatial ..., channels] -> [batch, channels].

        nn.GlobalAvgPool()        # f32[N, 7, 7, 64] -> f32[N, 64]
    """

    def __call__(self, x: TensorLike) -> Tensor:
        return global_avg_pool(x, self.keepdims)


class GlobalMaxPool(GlobalPool):
    """The largest of each channel: [batch, spatial ..., channels] -> [batch, channels].

        nn.GlobalMaxPool()        # f32[N, T, 64] -> f32[N, 64]
    """

    def __call__(self, x: TensorLike) -> Tensor:
        return global_max_pool(x, self.keepdims)
