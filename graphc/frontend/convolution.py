"""Convolutions of images [batch, spatial ..., channels] with kernels [spatial ..., channels of a group, channels]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.composite import composite
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import apply, promoted
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.windows import Padding, PerAxis, normal_padding, positive, same_padding
from graphc.ir.dim import Size, maximum
from graphc.ir.types import i32
from graphc.sites import user_site

__all__ = ["conv", "conv_transpose"]


@composite
def conv(
    x: TensorLike,
    kernel: TensorLike,
    strides: PerAxis = 1,
    padding: Padding = "SAME",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution as networks mean it (the kernel is not turned round), of one, two or three spatial dimensions.

        y[n, p, j] = Σ x[n, p·stride + t·dilation − front, c] · kernel[t, c, j]     over taps t and channels c

    `x` is [batch, spatial ..., channels], `kernel` [spatial ..., channels / groups, outputs]: NHWC and HWIO, or the
    same with one or three spatial axes. Channels and outputs fall into `groups` parts in order, each of which has to do
    with its like only; with as many groups as channels the convolution is depthwise. `strides` and `dilation` are one
    integer for all spatial axes or one for each. `padding` is "SAME" (size / stride results, rounded up; the smaller
    half of the padding in front), "VALID" (none), an integer for all sides, or one integer or (front, back) for each
    spatial axis; it counts as zeros. Of an image that is smaller than the kernel's reach nothing is left.

        y = nn.conv(x, kernel, strides=2)        # f32[N, 28, 28, 3], f32[5, 5, 3, 16] -> f32[N, 14, 14, 16]

    As `jax.lax.conv_general_dilated` and `keras.ops.conv`; PyTorch's weight has the axes (3, 2, 0, 1) of `kernel`.
    Operands are promoted to one dtype. Raises `ShapeError` where kernel, channels and groups do not fit x,
    `ArgumentError` for arguments that describe no convolution.
    """
    image, window = operands("conv", x, kernel)
    rank, shape = image.ndim - 2, image.type.shape
    steps, spread = positive("conv", "strides", strides, rank), positive("conv", "dilation", dilation, rank)
    parts = expect_groups("conv", groups, image, window)
    if window.type.shape[-2] * parts != shape[-1]:
        raise misfit(
            f"conv: the kernel takes {window.type.shape[-2]} channels of each of {parts} groups, x has {shape[-1]}",
            image, window, "the kernel is [spatial ..., channels / groups, outputs]",
        )  # fmt: skip
    reach = reaches(window, spread)
    pads = normal_padding("conv", padding, shape[1:-1], reach, steps)
    counts = [
        (size + (step - 1)) // step if same_padding(padding) else maximum(front + size + back - span + step, 0) // step
        for size, (front, back), span, step in zip(shape[1:-1], pads, reach, steps, strict=True)
    ]
    return apply(ops.Conv(steps, tuple(front for front, _ in pads), spread, tuple(counts), parts), image, window)


@composite
def conv_transpose(
    x: TensorLike,
    kernel: TensorLike,
    strides: PerAxis = 1,
    padding: Padding = "SAME",
    dilation: PerAxis = 1,
    groups: int = 1,
    output_padding: PerAxis = 0,
) -> Tensor:
    """Transposed convolution: what takes `conv`'s result back to its operand's shape, linearly.

        y[n, q, c] = Σ x[n, p, j] · kernel[t, c, j]     over j and all p, t with p·stride + t·dilation − front = q

    `kernel` is that of the convolution which is transposed, [spatial ..., outputs / groups, channels]: Keras's, and
    JAX's under `transpose_kernel=True`; PyTorch's weight has the axes (3, 2, 0, 1) of it. The spatial sizes are
    size·stride for "SAME", size·stride + max(reach − stride, 0) for "VALID" (as in Keras and JAX), where a kernel's
    reach is (taps − 1)·dilation + 1. A padding in numbers is that of the convolution which is transposed, as in
    PyTorch: the sizes are (size − 1)·stride + reach − front − back. All of them grow by `output_padding`. Other
    arguments are those of `conv`.

        y = nn.conv_transpose(x, kernel, strides=2)        # f32[N, 7, 7, 16], f32[3, 3, 8, 16] -> f32[N, 14, 14, 8]
    """
    name = "conv_transpose"
    image, window = operands(name, x, kernel)
    rank, shape = image.ndim - 2, image.type.shape
    steps, spread = positive(name, "strides", strides, rank), positive(name, "dilation", dilation, rank)
    parts = expect_groups(name, groups, image, window)
    if window.type.shape[-1] != shape[-1]:
        raise misfit(
            f"{name}: the kernel takes {window.type.shape[-1]} channels, x has {shape[-1]}",
            image, window, "the kernel is [spatial ..., outputs / groups, channels]",
        )  # fmt: skip
    reach = reaches(window, spread)
    pads = normal_padding(name, padding, shape[1:-1], reach, steps)
    axes = zip(shape[1:-1], steps, reach, pads, whole(name, output_padding, rank), strict=True)
    low, counts = zip(*(transposed_size(*axis, padding) for axis in axes), strict=True)
    return apply(ops.ConvInput(steps, low, spread, counts, parts), image, window)


def transposed_size(
    size: Size, step: int, reach: int, pads: tuple[Size, Size], more: int, padding: Padding
) -> tuple[Size, Size]:
    """The padding in front of one axis of a transposed convolution's result, and its size."""
    if same_padding(padding):
        return max(reach - step, 0) // 2, size * step + more
    if isinstance(padding, str):
        return 0, size * step + max(reach - step, 0) + more
    front, back = pads
    return front, maximum((size - 1) * step + reach - front - back + more, 0)


def operands(name: str, x: TensorLike, kernel: TensorLike) -> tuple[Tensor, Tensor]:
    """Image and kernel of one dtype. Raises `ShapeError` where their ranks are not those of a convolution."""
    image, window = promoted(x, kernel, least=i32)
    if image.ndim < 3:
        raise misfit(
            f"{name}: {image.type} has no spatial axis", image, window,
            "x is [batch, spatial ..., channels]; x[..., None] is an image of one channel",
        )  # fmt: skip
    if window.ndim != image.ndim:
        message = f"{name}: the kernel has {window.ndim} axes, x has {image.ndim}"
        raise misfit(message, image, window, "both have one axis a spatial dimension, and two more")
    if not all(isinstance(size, int) and size > 0 for size in window.type.shape[:-2]):
        raise misfit(f"{name}: a kernel of {window.type}", image, window, "its spatial sizes are positive numbers")
    if not all(isinstance(size, int) for size in (*window.type.shape, image.type.shape[-1])):
        raise misfit(f"{name}: a number of channels is symbolic", image, window, "only batch and spatial sizes may be")
    return image, window


def expect_groups(name: str, groups: Any, image: Tensor, window: Tensor) -> int:
    """A number of groups that divides the kernel's last axis. Raises where it is none."""
    if not is_count(groups, 1):
        raise ArgumentError(f"{name}: groups={groups!r} is not a positive integer", site=user_site())
    last = window.type.shape[-1]
    if last % int(groups) != 0:
        message = f"{name}: the last axis of the kernel, {last}, is not {groups} equal groups"
        raise misfit(message, image, window, "give another number of groups")
    return int(groups)


def reaches(window: Tensor, dilation: Sequence[int]) -> list[int]:
    """How far the kernel stretches along each spatial axis."""
    return [(int(t) - 1) * d + 1 for t, d in zip(window.type.shape[:-2], dilation, strict=True)]  # type: ignore[arg-type]


def whole(name: str, value: PerAxis, rank: int) -> tuple[int, ...]:
    """An `output_padding` of at least 0 for each spatial axis."""
    values = list(value) if isinstance(value, Sequence) else [value] * rank
    if len(values) != rank or not all(is_count(v, 0) for v in values):
        help = "use one whole number, or one for each spatial axis"
        raise ArgumentError(f"{name}: output_padding={value!r}", site=user_site(), help=help)
    return tuple(int(v) for v in values)


def misfit(message: str, image: Tensor, window: Tensor, help: str) -> ShapeError:
    """The error of an image and a kernel that do not fit."""
    operands = [describe("x", image.node), describe("kernel", window.node)]
    return ShapeError(message, operands=operands, site=user_site(), help=help)
