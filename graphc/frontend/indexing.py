"""Reading parts of tensors: basic indexing with numbers and slices, and reads at computed places."""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, ShapeError, UnsupportedError
from graphc.frontend.elementwise import equal
from graphc.frontend.manipulation import moveaxis
from graphc.frontend.promotion import apply, as_tensor, cast, stretch
from graphc.frontend.recording import current, describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.size import SymbolicSize, is_size, to_size
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Dim, Size, known_le, maximum, minimum
from graphc.ir.node import Input, Node
from graphc.ir.types import DType, f32
from graphc.sites import user_site


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]`: whole numbers, slices with a step of at least 1, `...`, None; or one integer tensor (see `take`)."""
    if is_index_array(key):
        return take(x, key, axis=0)
    keys = expanded(x, key if isinstance(key, tuple) else (key,))
    tensor = as_tensor(x)
    starts, stops, steps, shape, axis = [], [], [], list[Size | None](), 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        size = tensor.type.shape[axis]
        start, stop, step = bounds(tensor, k, size, axis)
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
        shape.append(None if isinstance(k, slice) else -1)
    return cut(tensor, tuple(starts), tuple(stops), tuple(steps), shape)


def cut(
    x: Tensor, starts: tuple[Size, ...], stops: tuple[Size, ...], steps: tuple[Size, ...], shape: list[Size | None]
) -> Tensor:
    """A box of x in the shape asked for: None keeps the next axis, −1 drops it, 1 is a new one."""
    whole = all(s == 0 for s in starts) and stops == x.type.shape and all(s == 1 for s in steps)
    box = x if whole else apply(ops.Slice(starts, stops, steps), x)
    sizes = iter(box.type.shape)
    result: list[Size] = []
    for kind in shape:
        if kind == 1:
            result.append(1)
            continue
        size = next(sizes)
        if kind is None:
            result.append(size)
    return box if tuple(result) == box.type.shape else apply(ops.Reshape(tuple(result)), box)


def is_index_array(key: Any) -> bool:
    """Whether an index is an array of places rather than one place or a slice."""
    return isinstance(key, (Tensor, list)) or (isinstance(key, np.ndarray) and key.ndim > 0)


def expanded(x: Tensor, keys: tuple[Any, ...]) -> list[Any]:
    """The keys with `...` written out, one for each axis. Raises where there are too many, or a kind is unknown."""
    for k in keys:
        if not (k is None or isinstance(k, (slice, EllipsisType)) or is_size(k)) or isinstance(k, bool):
            raise UnsupportedError(
                f"indexing {x.type} with {type(k).__name__}",
                operands=[describe("x", x.node)],
                site=user_site(),
                help="gr.take and gr.take_along_axis read at integer places, gr.where chooses by a mask",
            )
    used = sum(1 for k in keys if k is not None and k is not Ellipsis)
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if used > x.ndim or len(dots) > 1:
        raise ShapeError(f"too many indices for {x.type}: {used}", operands=[describe("x", x.node)], site=user_site())
    rest = [slice(None)] * (x.ndim - used)
    place = dots[0] if dots else len(keys)
    return [*keys[:place], *rest, *keys[place + len(dots) :]]


def bounds(x: Tensor, key: Any, size: Size, axis: int) -> tuple[Size, Size, int]:
    """Where one key starts and stops along an axis of a size, and its step."""
    if isinstance(key, slice):
        step = 1 if key.step is None else operator.index(key.step)
        if step < 1:
            raise UnsupportedError(
                f"slicing with step {step}", operands=[describe("x", x.node)], site=user_site(), help="gr.flip reverses"
            )
        start, stop = (bound(x, b, size, default) for b, default in ((key.start, 0), (key.stop, size)))
        return start, maximum(start, stop), step
    place = to_size(key)
    start = place + size if known_le(place, -1) else place
    message = f"index {key} is outside axis {axis} of {x.type}"
    if known_le(size, start) or known_le(start, -1):
        raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
    current().check(size - start, 1, message)
    current().check(start, 0, message)
    return start, start + 1, 1


def bound(x: Tensor, value: Any, size: Size, default: Size) -> Size:
    """An end of a slice, counted from the start and clamped into the axis as Python does."""
    if value is None:
        return default
    if isinstance(value, Tensor):
        raise UnsupportedError(
            "a slice's ends must be known while tracing",
            operands=[describe("x", x.node), describe("end", value.node)],
            site=user_site(),
            help="gr.take reads at computed places",
        )
    place = to_size(value)
    return maximum(place + size, 0) if known_le(place, -1) else minimum(place, size)


def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """The slices along an axis that integer indices name; the axis becomes the indices' axes.

    Index arguments of an entry are range-checked when it is called; computed indices clamp.
    """
    tensor, places = as_tensor(x), integer("take", indices)
    if axis is None:
        if tensor.ndim != 1:
            raise ShapeError("take: an axis is needed", operands=[describe("x", tensor.node)], site=user_site())
        axis = 0
    (along,) = normal_axes(tensor, axis)
    expect_range(places, tensor.type.shape[along])
    return apply(ops.Gather(along), tensor, places)


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int = -1) -> Tensor:
    """result[i, …, j] = x[i, …, indices[i, …, j]]: the indices' other sizes are those of x."""
    tensor, places = as_tensor(x), integer("take_along_axis", indices)
    (along,) = normal_axes(tensor, axis)
    last = tensor.ndim - 1
    expect_range(places, tensor.type.shape[along])
    picked = apply(ops.Gather(last, last), moveaxis(tensor, along, last), moveaxis(places, along, last))
    return moveaxis(picked, last, along)


def one_hot(indices: TensorLike, num_classes: int, dtype: DType = f32) -> Tensor:
    """1 in the place along a new last axis that an index names, else 0; all 0 where it is out of range."""
    return cast(matches(integer("one_hot", indices), num_classes), dtype)


def matches(indices: Tensor, num_classes: Size | SymbolicSize) -> Tensor:
    """Whether each index is the place along a new last axis, bool[..., num_classes]."""
    shape = (*indices.type.shape, to_size(num_classes))
    classes = apply(ops.Iota(indices.dtype, shape, len(shape) - 1))
    return equal(classes, stretch(apply(ops.Reshape((*shape[:-1], 1)), indices), shape))


def integer(name: str, indices: TensorLike) -> Tensor:
    """Indices as a tensor. Raises `DTypeError` unless they are integers."""
    tensor = as_tensor(indices)
    if not tensor.dtype.is_integer:
        raise DTypeError(
            f"{name}: indices are {tensor.dtype}, not integers",
            operands=[describe("indices", tensor.node)],
            site=user_site(),
            help="cast them: indices.astype(gr.i32)",
        )
    return tensor


def expect_range(indices: Tensor, size: Size) -> None:
    """Have the entry refuse index arguments outside an axis; computed indices clamp by themselves."""
    node = argument(indices.node)
    if isinstance(size, Dim) or node is None:
        return
    ranges = current().ranges
    low, high = ranges.get(node, (0, size - 1))
    ranges[node] = max(low, 0), min(high, size - 1)


def argument(node: Node) -> Node | None:
    """The argument of the entry whose elements a node holds unchanged; None where it is computed."""
    while isinstance(node.op, (ops.Reshape, ops.Broadcast, ops.Transpose, ops.Cast)):
        if not node.inputs[0].type.dtype.is_integer:
            return None
        node = node.inputs[0]
    return node if isinstance(node.op, Input) else None
