"""Sizes as the user sees them: an `int` where constant, else a `SymbolicSize` that refuses to guess.

Whole arithmetic stays a size; with a float or a tensor it is a number of the graph.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

import graphc.frontend.api as api
from graphc.errors import TraceError
from graphc.ir.dim import Dim, excludes_zero, known_le
from graphc.ir.dim import Size as Size
from graphc.sites import user_site


class SymbolicSize:
    """A dimension that is not known while tracing: arithmetic is exact, a comparison is decided or an error."""

    __slots__ = ("dim",)

    def __init__(self, dim: Dim):
        self.dim = dim

    def __add__(self, other: Any) -> Any:
        return user_size(self.dim + to_size(other)) if is_size(other) else self._scalar("add", other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return user_size(self.dim - to_size(other)) if is_size(other) else self._scalar("subtract", other)

    def __rsub__(self, other: Any) -> Any:
        return user_size(to_size(other) - self.dim) if is_size(other) else self._scalar("subtract", other, first=False)

    def __mul__(self, other: Any) -> Any:
        return user_size(self.dim * to_size(other)) if is_size(other) else self._scalar("multiply", other)

    __rmul__ = __mul__

    def __neg__(self) -> UserSize:
        return user_size(-self.dim)

    def __floordiv__(self, other: Any) -> Any:
        return user_size(self.dim // to_size(other)) if is_size(other) else self._scalar("floor_divide", other)

    def __mod__(self, other: Any) -> Any:
        return user_size(self.dim % to_size(other)) if is_size(other) else self._scalar("remainder", other)

    def __truediv__(self, other: Any) -> Any:
        return self._scalar("divide", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._scalar("divide", other, first=False)

    def _scalar(self, function: str, other: Any, first: bool = True) -> Any:
        """The size as a number of the graph, with another; tensors and sizes of their own kind know how."""
        if not is_size(other) and not isinstance(other, float):
            return NotImplemented
        return getattr(api, function)(*((self, other) if first else (other, self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, Dim, SymbolicSize)):
            return NotImplemented
        difference = self.dim - to_size(other)
        if isinstance(difference, int):
            return difference == 0
        if excludes_zero(difference):
            return False
        raise self._undecided("==", other)

    def __hash__(self) -> int:
        return hash(self.dim)

    def __le__(self, other: UserSize) -> bool:
        return self._decide("<=", to_size(other), self.dim, to_size(other))

    def __lt__(self, other: UserSize) -> bool:
        return self._decide("<", to_size(other), self.dim + 1, to_size(other))

    def __ge__(self, other: UserSize) -> bool:
        return self._decide(">=", to_size(other), to_size(other), self.dim)

    def __gt__(self, other: UserSize) -> bool:
        return self._decide(">", to_size(other), to_size(other) + 1, self.dim)

    def __bool__(self) -> bool:
        return self > 0

    def __index__(self) -> int:
        raise TraceError(
            f"the size {self} is symbolic, Python asked for a number",
            site=user_site(),
            help="give the input a constant size, or use the size only in shapes and arithmetic",
        )

    __int__ = __index__

    def __str__(self) -> str:
        return str(self.dim)

    __repr__ = __str__

    def _decide(self, operator: str, other: Size, low: Size, high: Size) -> bool:
        """Whether low <= high, which is what `self operator other` says; an error where bounds can't tell."""
        if known_le(low, high):
            return True
        if known_le(high + 1, low):
            return False
        raise self._undecided(operator, other)

    def _undecided(self, operator: str, other: object) -> TraceError:
        return TraceError(
            f"{self} {operator} {other} can't be decided: the size is symbolic",
            site=user_site(),
            help='declare its bounds with gr.dim("N", min=, max=), or give the input a constant size',
        )


def is_size(value: object) -> bool:
    """Whether a value stands for one size."""
    return isinstance(value, (int, np.integer, Dim, SymbolicSize))


UserSize: TypeAlias = int | Dim | SymbolicSize


def user_size(size: Size) -> int | SymbolicSize:
    """A size of the IR as the user sees it."""
    return SymbolicSize(size) if isinstance(size, Dim) else size


def to_size(size: UserSize) -> Size:
    """The size of the IR that a user's size stands for; anything with `__index__` is a number."""
    if isinstance(size, SymbolicSize):
        return size.dim
    return size if isinstance(size, (int, Dim)) else size.__index__()
