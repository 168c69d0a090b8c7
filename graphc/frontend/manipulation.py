"""Shapes: reshaping, reordering, joining; by the names of the Python array API standard."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from graphc import ops
from graphc.errors import ArgumentError, AxisError, ShapeError
from graphc.frontend.promotion import apply, as_tensor, broadcast, element_count, promoted, stretch
from graphc.frontend.recording import current, describe
from graphc.frontend.reductions import normal_axes
from graphc.frontend.size import is_size, to_size
from graphc.frontend.tensor import Axis, Shape, Tensor, TensorLike
from graphc.ir.dim import Size, exact_quotient, known_le, parse
from graphc.sites import user_site


def normal_shape(shape: Shape, solving: bool = False) -> tuple[Size, ...]:
    """What a user gives as a shape, as sizes of the IR; with `solving` they may be −1. The entry checks when it runs
    that sizes such as N − 3 are not negative.

    Raises `ArgumentError` where one of them is none, `ShapeError` where it is always negative.
    """
    parts = list(shape) if isinstance(shape, Iterable) and not isinstance(shape, str) else [shape]
    for part in parts:
        if isinstance(part, bool) or not (is_size(part) or isinstance(part, str) or hasattr(part, "__index__")):
            raise ArgumentError(
                f"the shape {shape!r}: {part!r} is no size",
                site=user_site(),
                help='sizes are whole numbers, or symbolic: (8, 3), (x.shape[0], 3), ("N", 3)',
            )
    recording = current()
    sizes = tuple(recording.normal(parse(p) if isinstance(p, str) else to_size(p)) for p in parts)
    for size in sizes:
        if not (solving and isinstance(size, int) and size == -1):
            recording.check(size, 0, f"the shape ({', '.join(map(str, sizes))}) has a negative size")
    return sizes


def reshape(x: TensorLike, shape: Shape, *, copy: bool | None = None) -> Tensor:
    """The elements in another shape; one size may be −1, which is solved, symbolically too.

    Tensors never change, so that `copy` says nothing.

    Where symbolic sizes leave open whether the shape fits, as `(N, 8)` to `(N//2, 16)` does, the entry checks it when
    it runs. Raises `ShapeError` where it never fits, or −1 can't be solved.
    """
    tensor = as_tensor(x)
    new = solved(tensor, normal_shape(shape, solving=True))
    if tensor.type.shape == new:
        return tensor
    size, count = tensor.type.size, element_count(new)
    if size == count:
        return apply(ops.Reshape(new), tensor)
    if not current().check_equal(size, count, f"reshape of {tensor.type} to ({', '.join(map(str, new))})"):
        raise unreshapable(tensor, new, f"{size} elements against {count}")
    return apply(ops.Assume(new), tensor)


def solved(x: Tensor, shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """The shape with its −1, if it has one, replaced by the size that is left for it."""
    unknown = [i for i, s in enumerate(shape) if isinstance(s, int) and s == -1]
    if not unknown:
        return shape
    rest = element_count([s for i, s in enumerate(shape) if i != unknown[0]])
    if len(unknown) > 1 or not (exact_quotient(x.type.size, rest) is not None or known_le(1, rest)):
        raise unreshapable(x, shape, "-1 can't be solved")
    quotient = x.type.size // rest
    return tuple(quotient if i == unknown[0] else s for i, s in enumerate(shape))


def unreshapable(x: Tensor, shape: Sequence[Size], why: str) -> ShapeError:
    """The error of a shape with another number of elements."""
    return ShapeError(
        f"reshape: {x.type} has no shape ({', '.join(map(str, shape))}): {why}",
        operands=[describe("x", x.node)],
        site=user_site(),
        help="the number of elements must be equal whatever the symbolic sizes are",
    )


def permute_dims(x: TensorLike, axes: Sequence[int]) -> Tensor:
    """The axes in another order: axis i of the result is axis `axes[i]`."""
    tensor = as_tensor(x)
    order = tuple(a + tensor.ndim if a < 0 else a for a in map(operator.index, axes))
    if sorted(order) != list(range(tensor.ndim)):
        raise ShapeError(
            f"permute_dims: {tuple(axes)} is not an order of {tensor.ndim} axes",
            operands=[describe("x", tensor.node)],
            site=user_site(),
        )
    return tensor if order == tuple(range(tensor.ndim)) else apply(ops.Transpose(order), tensor)


def matrix_transpose(x: TensorLike) -> Tensor:
    """The last two axes exchanged."""
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(
            f"matrix_transpose: {tensor.type} has fewer than two axes",
            operands=[describe("x", tensor.node)],
            site=user_site(),
        )
    return permute_dims(tensor, (*range(tensor.ndim - 2), -1, -2))


def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other places, the others in order."""
    tensor = as_tensor(x)
    starts, ends = ordered_axes(tensor, source), ordered_axes(tensor, destination)
    if len(starts) != len(ends):
        raise ShapeError(
            f"moveaxis: {source} and {destination} are not as many",
            operands=[describe("x", tensor.node)],
            site=user_site(),
        )
    places = dict(zip(ends, starts, strict=True))
    rest = (i for i in range(tensor.ndim) if i not in starts)
    return permute_dims(tensor, [places[i] if i in places else next(rest) for i in range(tensor.ndim)])


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged."""
    tensor = as_tensor(x)
    (a,), (b,) = ordered_axes(tensor, axis1), ordered_axes(tensor, axis2)
    order = list(range(tensor.ndim))
    order[a], order[b] = b, a
    return permute_dims(tensor, order)


def ordered_axes(x: Tensor, axes: int | Sequence[int]) -> list[int]:
    """Axes as numbers from 0, in the order given. Raises as `normal_axes` does."""
    normal_axes(x, axes)
    given = axes if isinstance(axes, Sequence) else [axes]
    return [a + x.ndim if a < 0 else a for a in map(operator.index, given)]


def expand_dims(x: TensorLike, axis: int | Sequence[int] = 0) -> Tensor:
    """New axes of size 1 at places of the result."""
    tensor = as_tensor(x)
    given = list(axis) if isinstance(axis, Sequence) else [axis]
    rank = tensor.ndim + len(given)
    places = [operator.index(a) + (rank if a < 0 else 0) for a in given]
    if len(set(places)) != len(places) or not set(places) <= set(range(rank)):
        raise AxisError(
            f"expand_dims: axis {axis} does not fit", operands=[describe("x", tensor.node)], site=user_site()
        )
    old = iter(tensor.type.shape)
    shape = tuple(1 if i in places else next(old) for i in range(rank))
    return tensor if shape == tensor.type.shape else apply(ops.Reshape(shape), tensor)


def squeeze(x: TensorLike, axis: Axis = None) -> Tensor:
    """Without axes of size 1: the given ones, or all."""
    tensor = as_tensor(x)
    shape = tensor.type.shape
    ones = [i for i, s in enumerate(shape) if isinstance(s, int) and s == 1]
    axes = normal_axes(tensor, ones if axis is None else axis)
    if not set(axes) <= set(ones):
        raise ShapeError(
            f"squeeze: axis {axis} is not of size 1", operands=[describe("x", tensor.node)], site=user_site()
        )
    return reshape(tensor, [s for i, s in enumerate(shape) if i not in axes])


def concat(arrays: Sequence[TensorLike], axis: int | None = 0) -> Tensor:
    """The tensors one after the other along an axis, or flattened first where it is None."""
    tensors = promoted(*listed("concat", arrays))
    if axis is None:
        tensors, axis = [reshape(t, (-1,)) for t in tensors], 0
    return apply(ops.Concat(normal_axes(tensors[0], axis)[0]), *tensors)


def stack(arrays: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    tensors = promoted(*listed("stack", arrays))
    if any(t.type != tensors[0].type for t in tensors):
        raise ShapeError(
            "stack: shapes differ",
            operands=[describe(f"operand {i}", t.node) for i, t in enumerate(tensors)],
            site=user_site(),
        )
    return concat([expand_dims(t, axis) for t in tensors], axis if axis >= 0 else axis + tensors[0].ndim + 1)


def listed(name: str, arrays: Sequence[TensorLike]) -> list[TensorLike]:
    """The operands of a function that takes a list of at least one tensor."""
    if not isinstance(arrays, (list, tuple)) or not arrays:
        raise ArgumentError(f"{name}: takes a list or tuple of at least one tensor", site=user_site())
    return list(arrays)


def broadcast_to(x: TensorLike, shape: Shape) -> Tensor:
    """The tensor repeated to a shape, after NumPy's rules."""
    tensor = as_tensor(x)
    new = normal_shape(shape)
    old = tensor.type.shape
    pairs = zip(old, new[len(new) - len(old) :], strict=False)
    if len(old) > len(new) or any(a != b and not (isinstance(a, int) and a == 1) for a, b in pairs):
        raise ShapeError(
            f"broadcast_to: {tensor.type} does not broadcast to ({', '.join(map(str, new))})",
            operands=[describe("x", tensor.node)],
            site=user_site(),
        )
    return stretch(tensor, new)


def broadcast_arrays(*arrays: TensorLike) -> list[Tensor]:
    """The tensors in their common shape."""
    return broadcast("broadcast_arrays", *[as_tensor(a) for a in arrays])


def flip(x: TensorLike, axis: Axis = None) -> Tensor:
    """The elements in reverse order along axes, all of them by default."""
    tensor = as_tensor(x)
    axes = tuple(a for a in normal_axes(tensor, axis) if tensor.type.shape[a] != 1)
    return apply(ops.Flip(tensor.type.shape, axes), tensor) if axes else tensor
