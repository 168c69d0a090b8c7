"""Convolutional layers over images [batch, spatial ..., channels]."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.convolution import conv, conv_transpose
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.windows import Padding, PerAxis, positive
from graphc.nn.weights import ActivationLike, KernelLayer, KernelOptions, expect_count
from graphc.sites import user_site


class ConvOptions(KernelOptions, total=False):
    """The keyword arguments that all convolutional layers take: see `Convolution`."""

    dilation: PerAxis
    activation: ActivationLike
    use_bias: bool
    in_channels: int | None


class Convolution(KernelLayer):
    """The base of layers that slide a kernel over the spatial axes: it knows their windows, and checks what x is.

    Besides the keyword arguments of `KernelLayer` they take `dilation=1`, as `nn.conv` does, `activation=None`, a name
    or a function, `use_bias=True`, and `in_channels=None`: where it is given, x has so many.
    """

    #: Spatial axes.
    spatial: ClassVar[int]

    def __init__(
        self,
        kernel_size: PerAxis,
        strides: PerAxis,
        padding: Padding,
        *,
        dilation: PerAxis = 1,
        activation: ActivationLike = None,
        use_bias: bool = True,
        in_channels: int | None = None,
        **options: Unpack[KernelOptions],
    ):
        super().__init__(activation, use_bias, **options)
        layer = type(self).__name__
        self.kernel_size = positive(layer, "kernel_size", kernel_size, self.spatial)
        self.strides = positive(layer, "strides", strides, self.spatial)
        self.dilation = positive(layer, "dilation", dilation, self.spatial)
        self.padding, self.in_channels = padding, in_channels

    #: The number of parts that channels fall into.
    groups: int = 1

    def shapes(self, channels: int) -> tuple[tuple[int, int], int]:
        """The last two sizes of the kernel, and the bias's size, for an x of so many channels."""
        raise NotImplementedError

    def convolved(self, x: TensorLike) -> Tensor:
        """x convolved with the kernel."""
        raise NotImplementedError

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
        inner, outputs = self.shapes(channels)
        self.make(x, (*self.kernel_size, *inner), (outputs,))

    def __call__(self, x: TensorLike) -> Tensor:
        return self.finish(self.convolved(x))


class Conv(Convolution):
    """activation(conv(x, kernel) + bias): the base of `Conv1D`, `Conv2D` and `Conv3D`.

    `kernel` is [*kernel_size, channels / groups, filters], `bias` [filters]. `kernel_size`, `strides`, `padding` and
    `groups` are those of `nn.conv`; `options` those of `Convolution`: `dilation`, `activation`, `use_bias`,
    `in_channels` and what all layers with a kernel take. Raises `ArgumentError` for sizes that are none, `ShapeError`
    for an x of another rank or channels.

        net = nn.Sequential(nn.Conv2D(6, 5, activation="relu"), nn.MaxPool(2), nn.Flatten(), nn.Dense(10))
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "SAME",
        *,
        groups: int = 1,
        **options: Unpack[ConvOptions],
    ):
        super().__init__(kernel_size, strides, padding, **options)
        expect_count(self, filters=filters, groups=groups)
        if filters % groups:
            message = f"{type(self).__name__}: {filters} filters are not {groups} equal groups"
            raise ArgumentError(message, site=self.site)
        self.filters, self.groups = int(filters), int(groups)

    def shapes(self, channels: int) -> tuple[tuple[int, int], int]:
        return (channels // self.groups, self.filters), self.filters

    def convolved(self, x: TensorLike) -> Tensor:
        return conv(x, self.kernel, self.strides, self.padding, self.dilation, self.groups)


class Conv1D(Conv):
    """A convolution over sequences, [batch, time, channels]: see `Conv`.

        nn.Conv1D(32, 5)        # f32[N, T, 8] -> f32[N, T, 32], with kernel [5, 8, 32]
    """

    spatial: ClassVar[int] = 1


class Conv2D(Conv):
    """A convolution over images, [batch, height, width, channels]: see `Conv`.

        nn.Conv2D(16, 3, strides=2, activation="relu")        # f32[N, 28, 28, 1] -> f32[N, 14, 14, 16]
    """

    spatial: ClassVar[int] = 2


class Conv3D(Conv):
    """A convolution over volumes, [batch, depth, height, width, channels]: see `Conv`.

        nn.Conv3D(8, 3, padding="VALID")        # f32[N, 16, 16, 16, 1] -> f32[N, 14, 14, 14, 8]
    """

    spatial: ClassVar[int] = 3


class ConvTranspose(Conv):
    """activation(conv_transpose(x, kernel) + bias): the base of `ConvTranspose1D` and its like.

    `kernel` is that of the convolution which is transposed, [*kernel_size, filters / groups, channels]. Sizes grow by
    `strides`; `nn.conv_transpose` has them for each `padding`, and `output_padding`. All else is as in `Conv`.

        nn.ConvTranspose2D(16, 3, strides=2)        # f32[N, 7, 7, 32] -> f32[N, 14, 14, 16]
    """

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        strides: PerAxis = 1,
        padding: Padding = "SAME",
        *,
        groups: int = 1,
        output_padding: PerAxis = 0,
        **options: Unpack[ConvOptions],
    ):
        super().__init__(filters, kernel_size, strides, padding, groups=groups, **options)
        self.output_padding = output_padding

    def shapes(self, channels: int) -> tuple[tuple[int, int], int]:
        return (self.filters // self.groups, channels), self.filters

    def convolved(self, x: TensorLike) -> Tensor:
        return conv_transpose(
            x, self.kernel, self.strides, self.padding, self.dilation, self.groups, self.output_padding
        )


class ConvTranspose1D(ConvTranspose):
    """A transposed convolution over sequences, [batch, time, channels]: see `ConvTranspose`."""

    spatial: ClassVar[int] = 1


class ConvTranspose2D(ConvTranspose):
    """A transposed convolution over images, [batch, height, width, channels]: see `ConvTranspose`."""

    spatial: ClassVar[int] = 2


class ConvTranspose3D(ConvTranspose):
    """A transposed convolution over volumes, [batch, depth, height, width, channels]: see `ConvTranspose`."""

    spatial: ClassVar[int] = 3


class DepthwiseConv(Convolution):
    """Each channel convolved by itself, with `multiplier` kernels: the base of `DepthwiseConv1D` and its like.

    `kernel` is [*kernel_size, 1, channels · multiplier], that of `nn.conv` with as many groups as channels; the results
    of one channel stand together. (Keras's kernel is [*kernel_size, channels, multiplier], the same numbers in order.)
    Other arguments are those of `Conv`.

        nn.Sequential(nn.DepthwiseConv2D(3), nn.Conv2D(64, 1))        # a separable convolution
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        multiplier: int = 1,
        strides: PerAxis = 1,
        padding: Padding = "SAME",
        **options: Unpack[ConvOptions],
    ):
        super().__init__(kernel_size, strides, padding, **options)
        expect_count(self, multiplier=multiplier)
        self.multiplier = int(multiplier)

    def shapes(self, channels: int) -> tuple[tuple[int, int], int]:
        return (1, channels * self.multiplier), channels * self.multiplier

    def convolved(self, x: TensorLike) -> Tensor:
        channels: Any = as_tensor(x).type.shape[-1]
        return conv(x, self.kernel, self.strides, self.padding, self.dilation, channels)


class DepthwiseConv1D(DepthwiseConv):
    """A convolution of each channel of sequences, [batch, time, channels]: see `DepthwiseConv`."""

    spatial: ClassVar[int] = 1


class DepthwiseConv2D(DepthwiseConv):
    """A convolution of each channel of images, [batch, height, width, channels]: see `DepthwiseConv`."""

    spatial: ClassVar[int] = 2


class DepthwiseConv3D(DepthwiseConv):
    """A convolution of each channel of volumes, [batch, depth, height, width, channels]: see `DepthwiseConv`."""

    spatial: ClassVar[int] = 3
