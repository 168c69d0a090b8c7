"""Copies of tensors in other arrangements: repeated, rolled, cut into pieces, put side by side."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, ShapeError, UnsupportedError
from graphc.frontend.manipulation import concat, expand_dims, flip, listed, reshape, swapaxes
from graphc.frontend.promotion import apply, as_tensor
from graphc.frontend.recording import describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.size import SymbolicSize, UserSize, is_size, to_size
from graphc.frontend.tensor import Axis, Tensor, TensorLike
from graphc.ir.dim import Dim, Size, maximum
from graphc.sites import user_site


def piece(x: Tensor, axis: int, start: Size, stop: Size) -> Tensor:
    """The elements from start to stop of one axis."""
    starts = tuple(start if i == axis else 0 for i in range(x.ndim))
    stops = tuple(stop if i == axis else s for i, s in enumerate(x.type.shape))
    return x if stops == x.type.shape and start == 0 else apply(ops.Slice(starts, stops, (1,) * x.ndim), x)


def several(value: Any) -> list[Any]:
    """One size or a sequence of them, as a list."""
    return [value] if is_size(value) else list(value)


def repeat(x: TensorLike, repeats: UserSize | Sequence[int], axis: int | None = None) -> Tensor:
    """Each element (each slice along an axis) some number of times in a row; flattened first without an axis.

    The counts are numbers, one for all or one an element: a tensor of them would leave the result's size open.
    """
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = ravel(tensor), 0
    (along,) = normal_axes(tensor, axis)
    size = tensor.type.shape[along]
    if isinstance(repeats, Tensor):
        raise unsized("repeat: the counts are a tensor", tensor, "give them as numbers: gr.repeat(x, [2, 0, 3])")
    given = several(repeats)
    if len(given) == 1:
        return fold(spread(expand_dims(tensor, along + 1), along + 1, to_size(given[0])), along)
    counts = np.asarray(given)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or counts.shape[0] != size or (counts < 0).any():
        raise ShapeError(
            f"repeat: {counts.tolist()} is not a count for each of {size} elements",
            operands=[describe("x", tensor.node)],
            site=user_site(),
        )
    return apply(ops.Gather(along), tensor, as_tensor(np.repeat(np.arange(len(counts)), counts)))


def spread(x: Tensor, axis: int, count: Size) -> Tensor:
    """An axis of size 1 repeated."""
    shape = tuple(count if i == axis else s for i, s in enumerate(x.type.shape))
    kept = tuple(i for i in range(x.ndim) if i != axis)
    narrow = apply(ops.Reshape(tuple(x.type.shape[i] for i in kept)), x)
    return apply(ops.Broadcast(shape, kept), narrow)


def fold(x: Tensor, axis: int) -> Tensor:
    """An axis and the next one as one."""
    shape = x.type.shape
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def tile(x: TensorLike, repetitions: UserSize | Sequence[UserSize]) -> Tensor:
    """The whole tensor repeated along its axes; missing axes are put in front."""
    tensor = as_tensor(x)
    given = [to_size(r) for r in several(repetitions)]
    counts = [*(1,) * (tensor.ndim - len(given)), *given]
    tensor = reshape(tensor, (1,) * (len(counts) - tensor.ndim) + tensor.type.shape)
    for axis, count in enumerate(counts):
        if not (isinstance(count, int) and count == 1):
            tensor = fold(spread(expand_dims(tensor, axis), axis, count), axis)
    return tensor


def roll(x: TensorLike, shift: UserSize | Sequence[UserSize], axis: Axis = None) -> Tensor:
    """Elements moved along axes, those that fall off an end put back at the other; flattened first without an axis."""
    tensor = as_tensor(x)
    if axis is None:
        return reshape(roll(ravel(tensor), shift, axis=0), tensor.type.shape)
    axes, shifts = several(axis), several(shift)
    if len(shifts) != len(axes) and 1 not in (len(shifts), len(axes)):
        raise ShapeError(
            f"roll: {len(shifts)} shifts for {len(axes)} axes", operands=[describe("x", tensor.node)], site=user_site()
        )
    count = max(len(shifts), len(axes))
    for amount, a in zip(shifts * (count // len(shifts)), axes * (count // len(axes)), strict=True):
        tensor = rolled(tensor, normal_axes(tensor, a)[0], to_size(amount))
    return tensor


def rolled(x: Tensor, axis: int, shift: Size) -> Tensor:
    """The last `shift` elements of an axis put in front of the others."""
    size = x.type.shape[axis]
    if isinstance(size, int) and size < 2:
        return x
    cut = (-1 * shift) % maximum(size, 1)
    if isinstance(cut, int) and cut == 0:
        return x
    return apply(ops.Concat(axis), piece(x, axis, cut, size), piece(x, axis, 0, cut))


def rot90(x: TensorLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turned by k quarters from the first of two axes toward the second."""
    tensor = as_tensor(x)
    normal_axes(tensor, axes)
    first, second = axes
    turns = operator.index(k) % 4
    if turns == 2:
        return flip(tensor, axes)
    turned = flip(tensor, second if turns == 1 else first) if turns else tensor
    return swapaxes(turned, first, second) if turns else turned


def ravel(x: TensorLike) -> Tensor:
    """The elements in one axis, in row-major order."""
    return reshape(x, (-1,)) if as_tensor(x).ndim != 1 else as_tensor(x)


flatten = ravel


def unstack(x: TensorLike, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, without it. Its size must be a number: `UnsupportedError`."""
    tensor = as_tensor(x)
    (along,) = normal_axes(tensor, axis)
    size = tensor.type.shape[along]
    if isinstance(size, Dim):
        raise unsized(f"unstack: axis {axis} is of symbolic size {size}", tensor, "gr.scan and gr.map run along it")
    shape = tuple(s for i, s in enumerate(tensor.type.shape) if i != along)
    return tuple(reshape(piece(tensor, along, i, i + 1), shape) for i in range(size))


def split(x: TensorLike, indices_or_sections: int | Sequence[UserSize], axis: int = 0) -> list[Tensor]:
    """Pieces along an axis: so many of equal size, or cut before the given indices, as NumPy's."""
    tensor = as_tensor(x)
    (along,) = normal_axes(tensor, axis)
    size = tensor.type.shape[along]
    if is_size(indices_or_sections) and not isinstance(indices_or_sections, SymbolicSize):
        sections = operator.index(indices_or_sections)  # type: ignore[arg-type]
        rest = size % sections if sections > 0 else 1
        if not isinstance(rest, int) or rest:
            raise ShapeError(
                f"split: {size} elements do not make {sections} equal pieces",
                operands=[describe("x", tensor.node)],
                site=user_site(),
                help="gr.array_split takes pieces of unequal size, and indices to cut at",
            )
    return array_split(tensor, indices_or_sections, axis)


def array_split(x: TensorLike, indices_or_sections: int | Sequence[UserSize], axis: int = 0) -> list[Tensor]:
    """As `split`, where the first pieces are longer by one if the size is no multiple."""
    tensor = as_tensor(x)
    (along,) = normal_axes(tensor, axis)
    size = tensor.type.shape[along]
    if is_size(indices_or_sections):
        sections = operator.index(indices_or_sections)  # type: ignore[arg-type]
        if sections < 1:
            raise ArgumentError(f"array_split: {sections} pieces", site=user_site())
        each, longer = size // sections, size % sections
        if isinstance(longer, Dim):
            raise unsized("array_split: pieces of unequal symbolic size", tensor, "give the indices to cut at")
        cuts: list[Size] = [i * each + min(i, longer) for i in range(1, sections)]
    else:
        cuts = [to_size(i) for i in several(indices_or_sections)]
        cuts = [c + size if isinstance(c, int) and c < 0 else c for c in cuts]
        if isinstance(size, int):
            cuts = [min(max(c, 0), size) if isinstance(c, int) else c for c in cuts]
    starts, stops = [0, *cuts], [*cuts, size]
    return [
        piece(tensor, along, a, max(a, b) if isinstance(a, int) and isinstance(b, int) else b)
        for a, b in zip(starts, stops, strict=True)
    ]


def unsized(message: str, x: Tensor, help: str) -> UnsupportedError:
    """The error of a result whose sizes are not known while tracing."""
    return UnsupportedError(message, operands=[describe("x", x.node)], site=user_site(), help=help)


def atleast_1d(x: TensorLike) -> Tensor:
    """With one axis at least."""
    tensor = as_tensor(x)
    return tensor if tensor.ndim else expand_dims(tensor, 0)


def atleast_2d(x: TensorLike) -> Tensor:
    """With two axes at least; new ones are put in front."""
    tensor = atleast_1d(x)
    return tensor if tensor.ndim > 1 else expand_dims(tensor, 0)


def atleast_3d(x: TensorLike) -> Tensor:
    """With three axes at least; new ones are put around a vector, and behind a matrix."""
    tensor = atleast_2d(x)
    return tensor if tensor.ndim > 2 else expand_dims(tensor, 2)


def hstack(arrays: Sequence[TensorLike]) -> Tensor:
    """Joined along the second axis, vectors along their only one."""
    tensors = [atleast_1d(a) for a in listed("hstack", arrays)]
    return concat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(arrays: Sequence[TensorLike]) -> Tensor:
    """Joined along the first axis, vectors as rows."""
    return concat([atleast_2d(a) for a in listed("vstack", arrays)], 0)


def dstack(arrays: Sequence[TensorLike]) -> Tensor:
    """Joined along the third axis, vectors as rows and matrices as planes."""
    return concat([atleast_3d(a) for a in listed("dstack", arrays)], 2)


def column_stack(arrays: Sequence[TensorLike]) -> Tensor:
    """Vectors, and matrices, side by side as columns."""
    tensors = [atleast_1d(a) for a in listed("column_stack", arrays)]
    return concat([expand_dims(t, 1) if t.ndim == 1 else t for t in tensors], 1)


def fliplr(x: TensorLike) -> Tensor:
    """In reverse order along the second axis."""
    return flip(x, 1)


def flipud(x: TensorLike) -> Tensor:
    """In reverse order along the first axis."""
    return flip(x, 0)
