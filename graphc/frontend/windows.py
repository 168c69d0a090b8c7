"""Reductions over windows that slide along the spatial axes of images: [batch, spatial ..., channels]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple, TypeAlias

from graphc import ops
from graphc.errors import ArgumentError, GraphcError, ShapeError
from graphc.frontend.elementwise import negative, numeric
from graphc.frontend.logic import bitwise_invert
from graphc.frontend.numbers import is_count
from graphc.frontend.promotion import apply, as_tensor
from graphc.frontend.recording import current, describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Size, known_le, maximum
from graphc.ops.window import lowest
from graphc.sites import user_site

PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]
Reducer: TypeAlias = Literal["max", "min", "sum", "prod"]


class Geometry(NamedTuple):
    """Windows over the spatial axes of a tensor, one value for each axis."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[Size, Size], ...]

    def along(self, axis: int) -> Geometry:
        """The windows of one axis."""
        one = slice(axis, axis + 1)
        return Geometry(self.window[one], self.strides[one], self.dilation[one], self.padding[one])

    @property
    def reach(self) -> tuple[int, ...]:
        """How far a window stretches along each axis."""
        return tuple((w - 1) * d + 1 for w, d in zip(self.window, self.dilation, strict=True))


def reduce_window(
    x: TensorLike,
    op: Reducer,
    window: PerAxis,
    strides: PerAxis | None = None,
    padding: Padding = "VALID",
    dilation: PerAxis = 1,
) -> Tensor:
    """The largest, least, sum or product of each window: [batch, spatial ..., channels] -> the same with fewer places.

    `op` is "max", "min", "sum" or "prod". `window`, `strides` (the window's sizes by default) and `dilation` are one
    integer for all spatial axes or one for each; with three axes there is one spatial axis, and so on. `padding` is
    "VALID" (none), "SAME" (as many windows as strides fit, the smaller half of the padding in front), an integer for
    both ends of all axes, or one integer or (front, back) for each spatial axis. Padding takes no part: a window that
    has nothing else gives the operation's identity. The largest (and least) is the first of equals, which gets the
    whole gradient, and NaN where there is one.

        nn.reduce_window(x, "max", (2, 2))        # f32[N, 28, 28, 6] -> f32[N, 14, 14, 6]

    Raises `ShapeError` where windows do not fit the axes, `ArgumentError` for another operation or padding.
    """
    tensor = numeric(x)
    geometry = normal_geometry("reduce_window", tensor, window, strides, padding, dilation)
    reduce = REDUCERS.get(op)
    if reduce is None:
        raise ArgumentError(f"reduce_window: op={op!r}", site=user_site(), help='use "max", "min", "sum" or "prod"')
    return reduce(tensor, geometry)


def window_max(x: Tensor, geometry: Geometry) -> Tensor:
    """The largest of each window."""
    return windowed(ops.WindowMax, x, geometry, lowest(x.dtype))


def window_min(x: Tensor, geometry: Geometry) -> Tensor:
    """The least of each window: the largest where the order is reversed, without overflow."""
    reverse = negative if x.dtype.is_float else bitwise_invert
    return reverse(window_max(reverse(x), geometry))


def window_sum(x: Tensor, geometry: Geometry) -> Tensor:
    """The sum of each window."""
    return windowed(ops.WindowSum, x, geometry, 0)


def window_prod(x: Tensor, geometry: Geometry) -> Tensor:
    """The product of each window, tap by tap: every derivative is right where elements are 0."""
    padded = pad(x, geometry, 1)
    batch, *sizes, channels = padded.type.shape
    last: list[Size] = []  # where the last window starts
    for size, reach, stride in zip(sizes, geometry.reach, geometry.strides, strict=True):
        current().check(size, reach, "reduce_window: a window is longer than the axis")
        last.append((size - reach) // stride * stride)
    result: Tensor | None = None
    for tap in product(*map(range, geometry.window)):
        starts = [t * d for t, d in zip(tap, geometry.dilation, strict=True)]
        stops = [a + b + 1 for a, b in zip(starts, last, strict=True)]
        factor = apply(ops.Slice((0, *starts, 0), (batch, *stops, channels), (1, *geometry.strides, 1)), padded)
        result = factor if result is None else result * factor
    assert result is not None
    return result


REDUCERS: dict[str, Callable[[Tensor, Geometry], Tensor]] = {
    "max": window_max,
    "min": window_min,
    "sum": window_sum,
    "prod": window_prod,
}


def window_counts(x: Tensor, geometry: Geometry, padding_counts: bool) -> Tensor:
    """How many elements each window has, of x's dtype, as a tensor that broadcasts against the windows of x."""
    result = as_tensor(1, x.dtype)
    for axis, size in enumerate(x.type.shape[1:-1]):
        low, high = geometry.padding[axis]
        shape: list[Size] = [1] * (x.ndim - 1)
        if padding_counts or (known_le(low, 0) and known_le(high, 0)):
            result = result * geometry.window[axis]
            continue
        counts = window_sum(ones_along(x, size), geometry.along(axis))
        shape[axis] = counts.type.shape[1]
        result = result * apply(ops.Reshape(tuple(shape)), counts)
    return result


def ones_along(x: Tensor, size: Size) -> Tensor:
    """Ones of x's dtype, [1, size, 1]."""
    return apply(ops.Broadcast((1, size, 1), ()), as_tensor(1, x.dtype))


def windowed(op: type[ops.Windowed], x: Tensor, geometry: Geometry, fill: float) -> Tensor:
    """An op over windows of the spatial axes; padding in front that depends on a symbolic size is made first."""
    low = [front for front, _ in geometry.padding]
    if not all(isinstance(front, int) for front in low):
        x, geometry = pad(x, geometry, fill), geometry._replace(padding=((0, 0),) * len(low))
    front, back = zip(*geometry.padding, strict=True)
    window, strides, dilation = ((1, *part, 1) for part in (geometry.window, geometry.strides, geometry.dilation))
    return apply(op(window, strides, dilation, (0, *front, 0), (0, *back, 0)), x)


def pad(x: Tensor, geometry: Geometry, fill: float) -> Tensor:
    """x with its padding around it."""
    front, back = zip(*geometry.padding, strict=True)
    if not any((*front, *back)):
        return x
    return apply(ops.Pad((0, *front, 0), (0, *back, 0), (0,) * x.ndim), x, as_tensor(fill, x.dtype))


# Arguments


def normal_geometry(
    name: str, x: Tensor, window: PerAxis, strides: PerAxis | None, padding: Padding, dilation: PerAxis
) -> Geometry:
    """What a user gives as windows, for each spatial axis of x. Raises where it does not fit."""
    rank = x.ndim - 2
    if rank < 1:
        raise ShapeError(
            f"{name}: {x.type} has no spatial axis",
            operands=[describe("x", x.node)],
            site=user_site(),
            help="the axes are batch, one or more spatial ones, channels",
        )
    sizes = positive(name, "window", window, rank)
    steps = sizes if strides is None else positive(name, "strides", strides, rank)
    spread = positive(name, "dilation", dilation, rank)
    reach = [(w - 1) * d + 1 for w, d in zip(sizes, spread, strict=True)]
    spatial = x.type.shape[1:-1]
    pads = normal_padding(name, padding, spatial, reach, steps)
    for size, (front, back) in zip(spatial, pads, strict=True):
        if not same_padding(padding) and not (known_le(front, 0) and known_le(back, 0)):
            current().check(size, 1, f"{name}: an axis that is padded has no elements")
    return Geometry(sizes, steps, spread, pads)


def normal_padding(
    name: str, padding: Padding, sizes: Sequence[Size], reach: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[Size, Size], ...]:
    """The padding in front of and behind each spatial axis."""
    rank = len(sizes)
    if same_padding(padding):
        return tuple(map(same, sizes, reach, strides))
    if isinstance(padding, str):
        if padding.upper() != "VALID":
            raise bad_padding(name, padding, rank)
        return ((0, 0),) * rank
    pairs: list[Any] = list(padding) if isinstance(padding, Sequence) else [padding] * rank
    pads = [tuple(p) if isinstance(p, Sequence) else (p, p) for p in pairs]
    if len(pads) != rank or any(len(p) != 2 or not all(is_count(n, 0) for n in p) for p in pads):
        raise bad_padding(name, padding, rank)
    return tuple((int(front), int(back)) for front, back in pads)


def same_padding(padding: Padding) -> bool:
    """Whether the padding is that of "SAME"."""
    return isinstance(padding, str) and padding.upper() == "SAME"


def same(size: Size, reach: int, stride: int) -> tuple[Size, Size]:
    """The padding with which ⌈size / stride⌉ windows fit an axis; the smaller half in front."""
    count = (size + (stride - 1)) // stride
    total = (count - 1) * stride + reach - size
    total = total if reach >= stride else maximum(total, 0)
    return total // 2, total - total // 2


def bad_padding(name: str, padding: Padding, rank: int) -> GraphcError:
    """The error of a padding that is none."""
    return ArgumentError(
        f"{name}: padding={padding!r} for {rank} spatial {'axes' if rank > 1 else 'axis'}",
        site=user_site(),
        help='use "SAME", "VALID", a whole number, or one (front, back) for each spatial axis',
    )


def positive(name: str, argument: str, value: PerAxis, rank: int) -> tuple[int, ...]:
    """A positive integer for each spatial axis. Raises where it is none."""
    values: list[Any] = list(value) if isinstance(value, Sequence) else [value] * rank
    if len(values) != rank or not all(is_count(v, 1) for v in values):
        raise ArgumentError(
            f"{name}: {argument}={value!r} for {rank} spatial {'axes' if rank > 1 else 'axis'}",
            site=user_site(),
            help="use one positive integer, or one for each spatial axis",
        )
    return tuple(int(v) for v in values)
