"""`gr.pad`: a tensor with a margin of constants, or of its own elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import ops
from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.arrangement import piece, several, spread
from graphc.frontend.manipulation import flip
from graphc.frontend.promotion import apply, as_tensor, cast
from graphc.frontend.recording import current, describe
from graphc.frontend.size import UserSize, is_size, to_size
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Size, known_le
from graphc.sites import user_site

PadWidth = UserSize | Sequence[Any]


def pad(x: TensorLike, pad_width: PadWidth, mode: str = "constant", *, constant_values: TensorLike = 0) -> Tensor:
    """The tensor with `pad_width` elements before and after, as NumPy's `pad`.

    `pad_width` is n, (before, after), or such a pair an axis. Modes: `constant` (with `constant_values`, a scalar),
    `edge` (the outermost element), `reflect` (mirrored, the edge once), `symmetric` (the edge twice), `wrap`.
    Raises `ArgumentError` for other modes, `ShapeError` for widths that do not fit.

        gr.pad(x, ((0, 0), (1, 1)), mode="reflect")
    """
    tensor = as_tensor(x)
    widths = pairs(tensor, pad_width)
    if mode == "constant":
        return filled(tensor, widths, constant_values)
    if mode not in MARGINS:
        names = ", ".join(["constant", *MARGINS])
        raise ArgumentError(f"pad: mode {mode!r} is not known", site=user_site(), help=f"one of {names}")
    for axis, (low, high) in enumerate(widths):
        tensor = extended(tensor, axis, low, high, mode)
    return tensor


def pairs(x: Tensor, pad_width: PadWidth) -> list[tuple[Size, Size]]:
    """(before, after) for each axis."""
    one = several(pad_width)
    if all(is_size(w) for w in one):
        axes: list[Any] = [one] * x.ndim
    else:
        axes = [[w] if is_size(w) else list(w) for w in one] * (x.ndim if len(one) == 1 else 1)
    if len(axes) != x.ndim or any(len(a) not in (1, 2) for a in axes):
        raise unpaddable(x, f"{pad_width} is not a pair of widths for each of {x.ndim} axes")
    widths = [(to_size(a[0]), to_size(a[-1])) for a in axes]
    if any(known_le(w, -1) for pair in widths for w in pair):
        raise unpaddable(x, f"{pad_width} has a negative width")
    for width in (w for pair in widths for w in pair):
        current().check(width, 0, f"pad by {width}")
    return widths


def unpaddable(x: Tensor, why: str) -> ShapeError:
    """The error of widths that do not fit."""
    return ShapeError(f"pad: {why}", operands=[describe("x", x.node)], site=user_site())


def filled(x: Tensor, widths: Sequence[tuple[Size, Size]], value: TensorLike) -> Tensor:
    """A margin of one scalar."""
    filler = as_tensor(value, x.dtype) if not isinstance(value, Tensor) else cast(value, x.dtype)
    if filler.ndim:
        raise unpaddable(x, "constant_values is not one scalar")
    if all(isinstance(w, int) and w == 0 for pair in widths for w in pair):
        return x
    low, high = (tuple(pair[i] for pair in widths) for i in (0, 1))
    return apply(ops.Pad(low, high, (0,) * x.ndim), x, filler)


def extended(x: Tensor, axis: int, low: Size, high: Size, mode: str) -> Tensor:
    """A margin of the axis's own elements."""
    if all(isinstance(w, int) and w == 0 for w in (low, high)):
        return x
    size = x.type.shape[axis]
    current().check(size, 1, f"pad with mode {mode!r} of an empty axis")
    unused, margins = MARGINS[mode]
    if unused is not None:
        if isinstance(size, int) and isinstance(low, int) and isinstance(high, int) and max(low, high) > size - unused:
            indices = np.pad(np.arange(size), (low, high), mode=mode)  # type: ignore[call-overload]
            return apply(ops.Gather(axis), x, as_tensor(indices))
        for width in (low, high):
            current().check(size - unused - width, 0, f"pad with mode {mode!r} by more than the axis has")
    before, after = margins(x, axis, low, high)
    return apply(ops.Concat(axis), *[t for t in (before, x, after) if t.type.shape[axis] != 0])


def edge(x: Tensor, axis: int, low: Size, high: Size) -> tuple[Tensor, Tensor]:
    """The outermost elements, repeated."""
    size = x.type.shape[axis]
    return spread(piece(x, axis, 0, 1), axis, low), spread(piece(x, axis, size - 1, size), axis, high)


def reflect(x: Tensor, axis: int, low: Size, high: Size) -> tuple[Tensor, Tensor]:
    """The neighbours of the outermost elements, mirrored."""
    size = x.type.shape[axis]
    return flip(piece(x, axis, 1, low + 1), axis), flip(piece(x, axis, size - 1 - high, size - 1), axis)


def symmetric(x: Tensor, axis: int, low: Size, high: Size) -> tuple[Tensor, Tensor]:
    """The outermost elements, mirrored."""
    size = x.type.shape[axis]
    return flip(piece(x, axis, 0, low), axis), flip(piece(x, axis, size - high, size), axis)


def wrap(x: Tensor, axis: int, low: Size, high: Size) -> tuple[Tensor, Tensor]:
    """The elements of the other end."""
    size = x.type.shape[axis]
    return piece(x, axis, size - low, size), piece(x, axis, 0, high)


Margin = Callable[[Tensor, int, Size, Size], tuple[Tensor, Tensor]]

#: For each mode how many of an axis's elements a margin can't use (None: it may be of any width), and the margins.
MARGINS: dict[str, tuple[int | None, Margin]] = {
    "edge": (None, edge),
    "reflect": (1, reflect),
    "symmetric": (0, symmetric),
    "wrap": (0, wrap),
}
