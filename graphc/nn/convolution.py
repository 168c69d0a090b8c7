"""Convolutional layers over images [batch, spatial ..., channels]."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.convolution import conv
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.windows import Padding, PerAxis, positive
from graphc.nn.weights import ActivationLike, KernelLayer, KernelOptions, expect_count
from graphc.sites import user_site


class Conv(KernelLayer):
    """activation(conv(x, kernel) + bias): the base of `Conv1D`, `Conv2D` and `Conv3D`.

    `kernel` is [*kernel_size, channels / groups, filters], `bias` [filters]. `kernel_size`, `strides`, `padding`,
    `dilation` and `groups` are those of `nn.conv`, `activation` is a name or a function. Where `in_channels` is given,
    x has so many. `options` are those of `KernelLayer`. Raises `ArgumentError` for sizes that are none, `ShapeError`
    for an x of another rank or channels.

        net = nn.Sequential(nn.Conv2D(6, 5, activation="relu"), nn.MaxPool(2), nn.Flatten(), nn.Dense(10))
    """

    #: Spatial axes.
    spatial: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "SAME",
        dilation: PerAxis = 1,
        groups: int = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        in_channels: int | None = None,
        **options: Unpack[KernelOptions],
    ):
        super().__init__(activation, use_bias, **options)
        layer = type(self).__name__
        expect_count(self, filters=filters, groups=groups)
        if filters % groups:
            raise ArgumentError(f"{layer}: {filters} filters are not {groups} equal groups", site=self.site)
        self.filters, self.groups = int(filters), int(groups)
        self.kernel_size = positive(layer, "kernel_size", kernel_size, self.spatial)
        self.strides = positive(layer, "strides", strides, self.spatial)
        self.dilation = positive(layer, "dilation", dilation, self.spatial)
        self.padding, self.in_channels = padding, in_channels

    def build(self, x: Tensor) -> None:
        layer = type(self).__name__
        if x.ndim != self.spatial + 2:
            message = f"{layer}: takes [batch, {self.spatial} spatial, channels], x has {x.ndim} axes"
            raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
        channels: Any = x.type.shape[-1]
        fits = isinstance(channels, int) and channels % self.groups == 0 and self.in_channels in (None, channels)
        if not fits:
            wanted = self.in_channels if self.in_channels is not None else f"{self.groups} equal groups of"
            message = f"{layer}: takes {wanted} channels, x has {channels}"
            raise ShapeError(message, operands=[describe("x", x.node)], site=user_site(), help="change the layer or x")
        self.make(x, (*self.kernel_size, channels // self.groups, self.filters), (self.filters,))

    def __call__(self, x: TensorLike) -> Tensor:
        return self.finish(conv(x, self.kernel, self.strides, self.padding, self.dilation, self.groups))


class Conv1D(Conv):
    """A convolution over sequences, [batch, time, channels]: see `Conv`."""

    spatial: ClassVar[int] = 1


class Conv2D(Conv):
    """A convolution over images, [batch, height, width, channels]: see `Conv`."""

    spatial: ClassVar[int] = 2


class Conv3D(Conv):
    """A convolution over volumes, [batch, depth, height, width, channels]: see `Conv`."""

    spatial: ClassVar[int] = 3
