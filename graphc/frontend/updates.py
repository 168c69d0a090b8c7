"""`x.at[key].set(v)` and its like: a tensor with some of its elements changed, as a new tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from graphc import ops
from graphc.errors import DTypeError, UnsupportedError
from graphc.frontend import elementwise, logic
from graphc.frontend.indexing import Box, Entry, along_one_axis, box_of, getitem, has_places, indexed, parsed
from graphc.frontend.manipulation import broadcast_to, flip, permute_dims, reshape
from graphc.frontend.promotion import apply, as_tensor, cast, common_dtype, is_weak, promote, stretch
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Size
from graphc.ir.node import Constant
from graphc.ir.types import bool_
from graphc.ops.movement import dilated_size
from graphc.sites import user_site
from graphc.suggest import answering_methods


class At:
    """`x.at`: indexing it gives the place whose elements are to change."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor):
        self.tensor = tensor

    def __getitem__(self, key: Any) -> Place:
        return Place(as_tensor(self.tensor), key)


@answering_methods
class Place:
    """`x.at[key]`: some elements of a tensor. Each method gives the whole tensor with them changed.

    Keys are those of indexing, and boolean masks that are computed. Values broadcast to the elements and take the
    tensor's dtype. Where an array names an element twice, every update counts (`add`, `multiply`, `max`, …), and the
    last one stays (`set`). Negative places count from the end; computed ones outside the tensor clamp.

        x.at[2:5].set(0)        x.at[:, [0, 0]].add(1)        x.at[x < 0].multiply(0.1)
    """

    __slots__ = ("key", "tensor")

    def __init__(self, tensor: Tensor, key: Any):
        self.tensor, self.key = tensor, key

    def get(self) -> Tensor:
        """The elements: `x[key]`."""
        return getitem(self.tensor, self.key)

    def set(self, values: TensorLike) -> Tensor:
        """The elements replaced."""
        return self._updated(SET, values)

    def add(self, values: TensorLike) -> Tensor:
        """The elements with values added."""
        return self._updated(ADD, values)

    def subtract(self, values: TensorLike) -> Tensor:
        """The elements with values subtracted."""
        return self._updated(ADD, elementwise.negative(fitting("subtract", self.tensor, values)))

    def multiply(self, values: TensorLike) -> Tensor:
        """The elements multiplied by values."""
        return self._updated(MULTIPLY, values)

    mul = multiply

    def divide(self, values: TensorLike) -> Tensor:
        """The elements divided by values. Raises `DTypeError` for integers."""
        if not self.tensor.dtype.is_float:
            raise DTypeError(
                f"at[].divide: not defined on {self.tensor.dtype}",
                operands=[describe("x", self.tensor.node)],
                site=user_site(),
                help="cast it: x.astype(gr.f32)",
            )
        ones = stretch(as_tensor(1, self.tensor.dtype), self.tensor.type.shape)
        return elementwise.divide(self.tensor, Place(ones, self.key).multiply(values))

    def max(self, values: TensorLike) -> Tensor:
        """The larger of the elements and values."""
        return self._updated(MAX, values)

    def min(self, values: TensorLike) -> Tensor:
        """The smaller of the elements and values."""
        mirror = elementwise.negative if self.tensor.dtype.is_float else logic.bitwise_invert
        mirrored = mirror(fitting("min", self.tensor, values))
        return mirror(Place(mirror(self.tensor), self.key)._updated(MAX, mirrored))

    def _updated(self, kind: Kind, values: TensorLike) -> Tensor:
        x, value = self.tensor, fitting(kind.name, self.tensor, values)
        if isinstance(self.key, Tensor) and self.key.dtype == bool_ and not isinstance(self.key.node.op, Constant):
            return where_masked(kind, x, self.key, value)
        keys = parsed(x, self.key)
        box = box_of(x, keys)
        region = box.read(x)
        if has_places(keys):
            return put_back(box, x, scattered(kind, region, keys, value))
        return put_back(box, x, kind.combine(region, broadcast_to(value, region.type.shape)))


class Kind(NamedTuple):
    """How updates change elements: as a function of both, and as a scatter."""

    name: str
    combine: Callable[[Tensor, Tensor], Tensor]
    scatter: Callable[[int], ops.Scatter]


SET = Kind("set", lambda old, new: new, ops.ScatterSet)
ADD = Kind("add", elementwise.add, ops.ScatterAdd)
MULTIPLY = Kind("multiply", elementwise.multiply, ops.ScatterMul)
MAX = Kind("max", elementwise.maximum, ops.ScatterMax)


def fitting(name: str, x: Tensor, values: TensorLike) -> Tensor:
    """Values in the tensor's dtype. Raises `DTypeError` where it can't hold them."""
    weak = is_weak(values)
    value = as_tensor(values, x.dtype) if weak and common_dtype([x, values]) == x.dtype else as_tensor(values)
    if (not weak and promote(value.dtype, x.dtype) != x.dtype) or (weak and value.dtype != x.dtype):
        raise DTypeError(
            f"at[].{name}: values of {value.dtype} do not fit a tensor of {x.dtype}",
            operands=[describe("x", x.node), describe("values", value.node)],
            site=user_site(),
            help=f"cast them: values.astype(gr.{x.dtype})",
        )
    return cast(value, x.dtype)


def where_masked(kind: Kind, x: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    """The elements where a computed mask over the first axes is true, changed by the same value (or row) everywhere."""
    if mask.type.shape != x.type.shape[: mask.ndim] or value.ndim > x.ndim - mask.ndim:
        raise UnsupportedError(
            "a computed mask can only set one value (or row) everywhere",
            operands=[describe("x", x.node), describe("mask", mask.node), describe("values", value.node)],
            site=user_site(),
            help="the mask has x's first axes, the values the rest; gr.where(mask, values, x) takes values for all",
        )
    wide = reshape(mask, (*mask.type.shape, *(1,) * (x.ndim - mask.ndim)))
    return elementwise.where(wide, kind.combine(x, broadcast_to(value, x.type.shape)), x)


def scattered(kind: Kind, region: Tensor, keys: list[Entry], value: Tensor) -> Tensor:
    """A key's box with values put at its arrays of places."""
    axes, places, apart = indexed(region, keys)
    merged, axis, index = along_one_axis(region, axes, places, apart)
    op = kind.scatter(axis)
    shape = (*merged.type.shape[:axis], *index.type.shape, *merged.type.shape[axis + 1 :])
    put = apply(op, merged, index, broadcast_to(value, shape))
    if len(axes) == 1:
        return put
    order = [*axes, *(a for a in range(region.ndim) if a not in axes)] if apart else list(range(region.ndim))
    back = reshape(put, tuple(region.type.shape[a] for a in order))
    return permute_dims(back, np.argsort(order).tolist())


def put_back(box: Box, x: Tensor, region: Tensor) -> Tensor:
    """x with a box replaced."""
    sizes = box.sizes()
    inner = reshape(region, sizes)
    inner = flip(inner, box.flipped) if box.flipped else inner
    partial = [a for a, n in enumerate(x.type.shape) if sizes[a] != n or box.steps[a] != 1]
    if not partial:
        return inner
    if len(partial) == 1 and box.steps[partial[0]] == 1:
        return spliced(x, inner, partial[0], box.starts[partial[0]], box.stops[partial[0]])
    covered = map(dilated_size, sizes, (s - 1 for s in box.steps))
    high = tuple(n - a - c for n, a, c in zip(x.type.shape, box.starts, covered, strict=True))
    pad = ops.Pad(box.starts, high, tuple(s - 1 for s in box.steps))
    inside = apply(pad, stretch(as_tensor(True), sizes), as_tensor(False))
    return elementwise.where(inside, apply(pad, inner, as_tensor(0, x.dtype)), x)


def spliced(x: Tensor, inner: Tensor, axis: int, start: Size, stop: Size) -> Tensor:
    """x with the elements from start to stop of one axis replaced."""

    def piece(a: Size, b: Size) -> Tensor:
        starts = tuple(a if i == axis else 0 for i in range(x.ndim))
        stops = tuple(b if i == axis else s for i, s in enumerate(x.type.shape))
        return apply(ops.Slice(starts, stops, (1,) * x.ndim), x)

    pieces = [piece(0, start), inner, piece(stop, x.type.shape[axis])]
    return apply(ops.Concat(axis), *[p for p in pieces if p.type.shape[axis] != 0])
