"""Constraints of parameters: what optimizers make of a new value before they keep it.

`gr.Variable(initial, constraint=nn.MaxNorm(3.0))`; layers take `kernel_constraint=`, a constraint or its name. A
constraint is any function of a tensor that keeps shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.numbers import is_number
from graphc.frontend.promotion import as_tensor
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.sites import user_site
from graphc.suggest import answering_methods

Constraint: TypeAlias = Callable[[Tensor], Tensor]
Axes: TypeAlias = int | Sequence[int] | None


class Norm:
    """The base of constraints of norms: over `axis`, by default every axis but the last (a unit's incoming weights)."""

    def __init__(self, axis: Axes = None):
        self.axis = axis

    def norm(self, w: Tensor) -> Tensor:
        """√Σw² over the axes, which stay with size 1."""
        axis = tuple(range(w.ndim - 1)) if self.axis is None else self.axis
        return api.sqrt(api.sum(api.square(w), axis=axis if isinstance(axis, int) else tuple(axis), keepdims=True))


@answering_methods
class MaxNorm(Norm):
    """w·min(1, c/‖w‖): the incoming weights of each unit have an L2 norm of at most c (Srivastava et al., 2014).

    `axis` are the axes that the norm goes over: by default all but the last, which fits kernels of dense layers and
    of convolutions. Raises `ArgumentError` where c is no positive number.

        w = gr.Variable(init.he_normal((64, 128)), constraint=nn.MaxNorm(3.0))
    """

    def __init__(self, limit: float = 2.0, axis: Axes = None):
        if not is_number(limit) or limit <= 0:
            raise ArgumentError(
                f"MaxNorm: the limit {limit!r} is not a positive number", site=user_site(), help="give c > 0"
            )
        super().__init__(axis)
        self.limit = limit

    def __call__(self, w: TensorLike) -> Tensor:
        tensor = as_tensor(w)
        return limited(tensor, self.norm(tensor), self.limit)


def limited(x: Tensor, norm: Tensor, limit: float) -> Tensor:
    """x·min(1, limit/norm), without a division by a norm of zero: x to the bit where its norm is within the limit."""
    if limit > api.finfo(x).max:
        return x
    return x * (limit / api.maximum(norm, limit))


@answering_methods
class UnitNorm(Norm):
    """w/‖w‖, over `axis` as in `MaxNorm`; what is all zeros stays so: `kernel_constraint=nn.UnitNorm()`."""

    def __call__(self, w: TensorLike) -> Tensor:
        tensor = as_tensor(w)
        norm = self.norm(tensor)
        return tensor / api.where(norm > 0.0, norm, 1.0)


class NonNegative:
    """max(w, 0): `nn.Dense(8, kernel_constraint=nn.NonNegative())`."""

    def __call__(self, w: TensorLike) -> Tensor:
        return api.maximum(as_tensor(w), 0.0)


NAMED: dict[str, Callable[[], Constraint]] = {
    "max_norm": MaxNorm,
    "unit_norm": UnitNorm,
    "non_negative": NonNegative,
}


def constraint_function(constraint: str | Constraint | None) -> Constraint | None:
    """A constraint by name, or itself. Raises `ArgumentError` for what is neither a name of one nor a function."""
    if constraint is None or callable(constraint):
        return constraint
    if not isinstance(constraint, str) or constraint not in NAMED:
        help = f"give a function of a tensor, such as nn.MaxNorm(3.0), or {', '.join(map(repr, NAMED))}"
        raise ArgumentError(f"no constraint {constraint!r}", site=user_site(), help=help)
    return NAMED[constraint]()
