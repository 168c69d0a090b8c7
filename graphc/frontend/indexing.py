"""Reading parts of tensors: `x[key]` with numbers, slices, arrays and masks; reads at computed places.

A key is taken apart into one entry an axis. Numbers and slices are a box of the tensor (`Slice`, `Flip`); integer
arrays, a number among them, are one `Gather` along the axes they index, which are merged first if they are several.
"""

from __future__ import annotations

import math
import operator
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, ShapeError, UnsupportedError
from graphc.frontend.elementwise import equal, less, maximum, minimum, where
from graphc.frontend.indices import expect_range, integer
from graphc.frontend.manipulation import flip, moveaxis, permute_dims, reshape
from graphc.frontend.promotion import apply, array_of, as_tensor, broadcast, cast, stretch
from graphc.frontend.recording import current, describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.size import SymbolicSize, is_size, to_size
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir import dim
from graphc.ir.dim import Dim, Size, known_le
from graphc.ir.node import Array, Constant
from graphc.ir.types import DType, bool_, f32, i64
from graphc.ops.movement import slice_size
from graphc.ops.size import SizeOf
from graphc.sites import user_site


def getitem(x: Tensor, key: Any) -> Tensor:
    """`x[key]` as NumPy's: whole numbers, slices, `...`, None, integer arrays and tensors, constant boolean masks.

    Negative places count from the end. Numbers outside an axis are an error; so are index arguments of the entry, when
    it is called; computed indices clamp. Raises `UnsupportedError` for a computed mask: its result has no fixed size.
    """
    tensor = as_tensor(x)
    keys = parsed(tensor, key)
    region = box_of(tensor, keys).read(tensor)
    return gathered(region, *indexed(region, keys)) if has_places(keys) else region


# Keys


class Places(NamedTuple):
    """Integer places along an axis: of an array, or of a tensor."""

    value: Array | Tensor


#: One entry of a key: a new axis, one place, a range, an array of places; or `...` where it stands for no axis.
Entry = None | Size | slice | Places | EllipsisType


def parsed(x: Tensor, key: Any) -> list[Entry]:
    """The key with `...` written out and masks as places: one entry an axis, and the Nones between."""
    parts = key if isinstance(key, tuple) else (key,)
    used = [axes_of(k) for k in parts]
    dots = [i for i, k in enumerate(parts) if k is Ellipsis]
    if sum(used) > x.ndim or len(dots) > 1:
        message = f"too many indices for {x.type}: {sum(used)}"
        raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
    place = dots[0] if dots else len(parts)
    before = [e for i in range(place) for e in entries_of(x, parts[i], sum(used[:i]))]
    rest: list[Entry] = [slice(None)] * (x.ndim - sum(used))
    rest = rest or [...] * len(dots)
    after = [e for i in range(place + 1, len(parts)) for e in entries_of(x, parts[i], x.ndim - sum(used[i:]))]
    entries = [*before, *rest, *after]
    return [placed(x, entries, i) for i in range(len(entries))] if has_places(entries) else entries


def axes_of(k: Any) -> int:
    """How many axes a part of a key stands for: a mask has one for each of its own."""
    if k is None or k is Ellipsis:
        return 0
    is_mask = k.dtype in (bool_, np.bool_) if isinstance(k, (Tensor, np.ndarray)) else False
    return k.ndim if is_mask else 1


def has_places(keys: list[Entry]) -> bool:
    """Whether a key holds arrays of places."""
    return any(isinstance(k, Places) for k in keys)


def entries_of(x: Tensor, k: Any, axis: int) -> list[Entry]:
    """What one part of a key stands for, which begins at an axis."""
    if k is None or isinstance(k, slice):
        return [k]
    if is_size(k) and not isinstance(k, bool):
        return [to_size(k)]
    if isinstance(k, Tensor):
        if k.dtype == bool_:
            return masked(x, array_behind(k), axis)
        return [Places(integer("indexing", k))]
    if isinstance(k, (list, tuple, np.ndarray)):
        array = np.zeros(0, np.int64) if isinstance(k, (list, tuple)) and not k else array_of(k)
        if array.dtype.kind == "b":
            return masked(x, array, axis)
        if array.dtype.kind in "iu":
            return [Places(array)] if array.ndim else [int(array)]
    raise UnsupportedError(
        f"indexing {x.type} with {k!r}" if np.isscalar(k) else f"indexing {x.type} with {type(k).__name__}",
        operands=[describe("x", x.node)],
        site=user_site(),
        help="places are whole numbers, slices, None, ..., integer tensors and arrays, or constant boolean masks",
    )


def array_behind(mask: Tensor) -> Array:
    """A constant mask's array. Raises `UnsupportedError` for a computed one."""
    if isinstance(mask.node.op, Constant):
        return mask.node.op.array(mask.type)
    raise UnsupportedError(
        "a computed boolean mask selects no fixed number of elements",
        operands=[describe("mask", mask.node)],
        site=user_site(),
        help="gr.where(mask, x, 0) keeps the shape; x.at[mask].set(v) changes elements; NumPy masks are constants",
    )


def masked(x: Tensor, mask: Array, axis: int) -> list[Entry]:
    """A mask over one or more axes as the places where it is true."""
    for size, length in zip(x.type.shape[axis : axis + mask.ndim], mask.shape, strict=True):
        if not current().check_equal(size, length, f"a mask of {length} places along an axis of {size}"):
            raise ShapeError(
                f"a mask of shape {mask.shape} does not fit axes {axis} and on of {x.type}",
                operands=[describe("x", x.node)],
                site=user_site(),
            )
    return [Places(p) for p in np.nonzero(mask)] if mask.ndim else [None, Places(np.flatnonzero(mask))]


# Numbers and slices


class Box(NamedTuple):
    """The part of a tensor that numbers and slices name; axes with arrays of places are whole in it."""

    starts: tuple[Size, ...]
    stops: tuple[Size, ...]
    steps: tuple[int, ...]
    flipped: tuple[int, ...]  # axes whose slices run backward
    kinds: tuple[str, ...]  # what becomes of the axes: "keep", "drop", or "new" for one of size 1

    def sizes(self) -> tuple[Size, ...]:
        """How many places it has along each axis."""
        return tuple(map(slice_size, self.starts, self.stops, self.steps))

    def cut(self, x: Tensor) -> Tensor:
        """The box, with all of its axes."""
        whole = all(s == 0 for s in self.starts) and self.stops == x.type.shape and all(s == 1 for s in self.steps)
        box = x if whole else apply(ops.Slice(self.starts, self.stops, self.steps), x)
        return flip(box, self.flipped) if self.flipped else box

    def read(self, x: Tensor) -> Tensor:
        """The box with the axes that the key asks for."""
        box = self.cut(x)
        sizes = iter(box.type.shape)
        shape: list[Size] = []
        for kind in self.kinds:
            size = 1 if kind == "new" else next(sizes)
            if kind != "drop":
                shape.append(size)
        return box if tuple(shape) == box.type.shape else apply(ops.Reshape(tuple(shape)), box)


def box_of(x: Tensor, keys: list[Entry]) -> Box:
    """The box that a key names."""
    ranges = [slice(None) if isinstance(k, Places) else k for k in keys if not isinstance(k, EllipsisType)]
    sized = [r for r in ranges if r is not None]
    spans = [span(x, r, x.type.shape[axis], axis) for axis, r in enumerate(sized)]
    return Box(
        tuple(s.start for s in spans),
        tuple(s.stop for s in spans),
        tuple(abs(s.step) for s in spans),
        tuple(axis for axis, s in enumerate(spans) if s.step < 0),
        tuple("new" if r is None else "keep" if isinstance(r, slice) else "drop" for r in ranges),
    )


class Span(NamedTuple):
    """start, stop and step of a slice of increasing places; a negative step says that they are read backward."""

    start: Size
    stop: Size
    step: int


def span(x: Tensor, key: slice | Size, size: Size, axis: int) -> Span:
    """The places along an axis that a number or a slice names."""
    if isinstance(key, slice):
        step = 1 if key.step is None else step_of(x, key.step)
        if step > 0:
            start, stop = bound(x, key.start, size, 0), bound(x, key.stop, size, size)
            if key.start is not None and key.stop is None:
                start = seen_from_end(x, to_size(key.start), start, size)
            return Span(start, dim.maximum(start, stop), step)
        last = bound(x, key.start, size - 1, size - 1, least=-1, count=size)
        before = bound(x, key.stop, size - 1, -1, least=-1, count=size)
        if step == -1:
            return Span(before + 1, dim.maximum(before, last) + 1, step)
        steps = dim.maximum((last - before + (-step - 1)) // -step, 0)
        first = dim.maximum(last + (steps - 1) * step, 0) if not (isinstance(steps, int) and steps == 0) else 0
        return Span(first, first + dim.maximum((steps - 1) * -step + 1, 0), step)
    start = key + size if known_le(key, -1) else key
    message = f"index {key} is outside axis {axis} of {x.type}"
    if known_le(size, start) or known_le(start, -1):
        raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
    current().check(size - start, 1, message)
    current().check(start, 0, message)
    return Span(start, start + 1, 1)


def step_of(x: Tensor, step: Any) -> int:
    """A slice's step. Raises `UnsupportedError` where it is 0 or not known while tracing."""
    try:
        known = operator.index(step)
    except TypeError:
        known = 0
    if known == 0:
        raise UnsupportedError(
            f"slicing with step {step}",
            operands=[describe("x", x.node)],
            site=user_site(),
            help="steps are whole numbers other than 0",
        )
    return known


def bound(x: Tensor, value: Any, limit: Size, default: Size, least: int = 0, count: Size | None = None) -> Size:
    """An end of a slice, counted from the start of `count` places and clamped to least … limit, as Python does."""
    if value is None:
        return default
    if isinstance(value, Tensor) or not (is_size(value) or hasattr(value, "__index__")):
        operands = [describe("x", x.node), *([describe("end", value.node)] if isinstance(value, Tensor) else [])]
        raise UnsupportedError(
            "a slice's ends must be whole numbers known while tracing",
            operands=operands,
            site=user_site(),
            help="gr.take(x, start + gr.arange(n), axis=0) reads n places at a computed start",
        )
    place = to_size(value)
    if known_le(place, -1):
        return dim.maximum(place + (limit if count is None else count), least)
    return dim.minimum(place, limit)


def seen_from_end(x: Tensor, place: Size, start: Size, size: Size) -> Size:
    """The start of a slice that runs to the end, so written that x[1:] has the size of x[:-1]; x[-1:] that of x[:1]."""
    decided = known_le(1, place) or known_le(place, -1)
    return size - bound(x, -1 * place, size, 0) if decided else start


# Arrays of places


def placed(x: Tensor, keys: list[Entry], position: int) -> Entry:
    """An entry beside arrays of places: a number is one of rank 0."""
    k = keys[position]
    if k is None or isinstance(k, (slice, Places, EllipsisType)):
        return k
    axis = sum(e is not None and e is not Ellipsis for e in keys[:position])
    start = span(x, k, x.type.shape[axis], axis).start
    return Places(as_tensor(SymbolicSize(start) if isinstance(start, Dim) else start, i64))


def indexed(region: Tensor, keys: list[Entry]) -> tuple[list[int], list[Tensor], bool]:
    """The axes of a key's box that places index, the places, and whether other entries stand between them."""
    spots = [i for i, k in enumerate(keys) if isinstance(k, Places)]
    entries = [k for k in keys if k is not Ellipsis]
    found = [(i, k) for i, k in enumerate(entries) if isinstance(k, Places)]
    values = [index_tensor(region, k, i) for i, k in found]
    return [i for i, _ in found], values, spots[-1] - spots[0] >= len(spots)


def gathered(x: Tensor, axes: list[int], places: list[Tensor], apart: bool) -> Tensor:
    """The elements at places along axes, which become the places' axes: where they were, or in front if `apart`."""
    merged, axis, index = along_one_axis(x, axes, places, apart)
    return apply(ops.Gather(axis), merged, index)


def along_one_axis(x: Tensor, axes: list[int], places: list[Tensor], apart: bool) -> tuple[Tensor, int, Tensor]:
    """x with indexed axes as one (moved to the front if `apart`), which axis that is, and the places along it."""
    if len(axes) == 1:
        return x, axes[0], places[0]
    places = broadcast("indexing", *places)
    sizes = [x.type.shape[a] for a in axes]
    if apart:
        x = permute_dims(x, [*axes, *(a for a in range(x.ndim) if a not in axes)])
    axis = 0 if apart else axes[0]
    shape = x.type.shape
    merged = apply(ops.Reshape((*shape[:axis], math.prod(sizes), *shape[axis + len(axes) :])), x)
    flat = within(places[0], sizes[0])
    for place, size in zip(places[1:], sizes[1:], strict=True):
        flat = flat * size_tensor(size) + within(place, size)
    return merged, axis, flat


def within(place: Tensor, size: Size) -> Tensor:
    """Places as i64 inside an axis: negative ones counted from the end, all clamped."""
    if isinstance(place.node.op, Constant) and isinstance(size, int):
        return place
    wide, count = cast(place, i64), size_tensor(size)
    return minimum(maximum(where(less(wide, 0), wide + count, wide), 0), count - 1)


def size_tensor(size: Size) -> Tensor:
    """A size as a scalar i64."""
    return as_tensor(size, i64) if isinstance(size, int) else apply(SizeOf(i64, size))


def index_tensor(x: Tensor, places: Places, axis: int) -> Tensor:
    """Places along an axis as a tensor: constants are checked here, arguments when the entry is called."""
    size = x.type.shape[axis]
    value = places.value
    if isinstance(value, Tensor) and isinstance(value.node.op, Constant):
        value = value.node.op.array(value.type)
    if isinstance(value, Tensor):
        expect_range(value, size, negative=True)
        return value
    wide = value.astype(np.int64)
    if wide.size:
        low, high = int(wide.min()), int(wide.max())
        message = f"index {low if low < 0 and known_le(size + low, -1) else high} is outside axis {axis} of {x.type}"
        if known_le(size, high) or known_le(size + low, -1):
            raise ShapeError(message, operands=[describe("x", x.node)], site=user_site())
        current().check(size, max(high + 1, -low), message)
    return as_tensor(np.where(wide < 0, wide + size, wide) if isinstance(size, int) else wide)


def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Tensor:
    """The slices along an axis that integer indices name; the axis becomes the indices' axes.

    Negative indices count from the end. Index arguments of an entry are range-checked when it is called, constants
    here; computed indices clamp. Without an axis, a tensor of several axes is flattened first, as NumPy's.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = reshape(tensor, (-1,)), 0
    (along,) = normal_axes(tensor, axis)
    places = index_tensor(tensor, Places(integer("take", indices)), along)
    return apply(ops.Gather(along), tensor, places)


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int = -1) -> Tensor:
    """result[i, …, j] = x[i, …, indices[i, …, j]]: the indices' other sizes are those of x, or broadcast with them."""
    tensor, given = as_tensor(x), integer("take_along_axis", indices)
    (along,) = normal_axes(tensor, axis)
    if given.ndim != tensor.ndim:
        raise ShapeError(
            f"take_along_axis: {given.type} does not have the {tensor.ndim} axes of {tensor.type}",
            operands=[describe("x", tensor.node), describe("indices", given.node)],
            site=user_site(),
        )
    last = tensor.ndim - 1
    rows, picks = moveaxis(tensor, along, last), moveaxis(index_tensor(tensor, Places(given), along), along, last)
    shared: tuple[Size, ...] = tuple(
        p if n == 1 else n for n, p in zip(rows.type.shape[:-1], picks.type.shape[:-1], strict=True)
    )
    if any(p not in (1, n) for n, p in zip(shared, picks.type.shape[:-1], strict=True)):
        raise ShapeError(
            f"take_along_axis: {given.type} and {tensor.type} do not broadcast off axis {along}",
            operands=[describe("x", tensor.node), describe("indices", given.node)],
            site=user_site(),
        )
    rows, picks = (stretch(t, (*shared, t.type.shape[-1])) for t in (rows, picks))
    return moveaxis(apply(ops.Gather(last, last), rows, picks), last, along)


def one_hot(indices: TensorLike, num_classes: int, dtype: DType = f32) -> Tensor:
    """1 in the place along a new last axis that an index names, else 0; all 0 where it is out of range.

    Raises `ArgumentError` where the number of classes is negative or no size.
    """
    if not is_size(num_classes) or known_le(to_size(num_classes), -1):
        raise ArgumentError(
            f"one_hot: num_classes={num_classes!r} is not a number of classes",
            site=user_site(),
            help="give it as an integer: a shape can't depend on the largest index",
        )
    current("gr.one_hot").check(to_size(num_classes), 0, f"one_hot of {num_classes} classes")
    return cast(matches(integer("one_hot", indices), num_classes), dtype)


def matches(indices: Tensor, num_classes: Size | SymbolicSize) -> Tensor:
    """Whether each index is the place along a new last axis, bool[..., num_classes]."""
    shape = (*indices.type.shape, to_size(num_classes))
    classes = apply(ops.Iota(indices.dtype, shape, len(shape) - 1))
    return equal(classes, stretch(apply(ops.Reshape((*shape[:-1], 1)), indices), shape))
