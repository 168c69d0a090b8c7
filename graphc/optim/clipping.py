"""Gradient clipping: by value, by the norm of each gradient, by the norm of all together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.numbers import is_number
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.nn.constraints import limited
from graphc.optim.style import Style, expect_style
from graphc.sites import user_site
from graphc.suggest import answering


@answering()
def clip_by_value(gradients: Sequence[TensorLike], limit: float) -> list[Tensor]:
    """Each element clipped to [−limit, limit]."""
    expect_limit("clip_by_value", limit)
    expect_gradients("clip_by_value", gradients)
    return [api.clip(as_tensor(g), -limit, limit) for g in gradients]


@answering()
def clip_by_norm(gradients: Sequence[TensorLike], limit: float, style: Style = "optax") -> list[Tensor]:
    """Each gradient scaled to an L2 norm of at most `limit`.

    `style="torch"` scales by min(1, limit / (norm + 1e-6)), as `torch.nn.utils.clip_grad_norm_` does; the others
    leave gradients that are short enough as they are, to the bit.
    """
    expect_limit("clip_by_norm", limit)
    expect_gradients("clip_by_norm", gradients)
    expect_style("clip_by_norm", style)
    return [scaled(g, global_norm([g]), limit, style) for g in gradients]


@answering()
def clip_by_global_norm(gradients: Sequence[TensorLike], limit: float, style: Style = "optax") -> list[Tensor]:
    """All gradients scaled by one factor, so that their joint L2 norm is at most `limit`; `style` as in `clip_by_norm`.

        pairs = opt.compute_gradients(loss)
        clipped = optim.clip_by_global_norm([g for g, _ in pairs], 1.0)
        opt.apply_gradients(zip(clipped, [p for _, p in pairs]))
    """
    expect_limit("clip_by_global_norm", limit)
    expect_gradients("clip_by_global_norm", gradients)
    expect_style("clip_by_global_norm", style)
    given = list(gradients)
    norm = global_norm(given)
    return [scaled(g, norm, limit, style) for g in given]


@answering()
def global_norm(gradients: Sequence[TensorLike]) -> Tensor:
    """The L2 norm of all elements of some gradients, in the widest of their dtypes.

    Raises `ArgumentError` where there are none.
    """
    expect_gradients("global_norm", gradients)
    tensors = [as_tensor(g) for g in gradients]
    if not tensors:
        raise ArgumentError("global_norm: no gradients", site=user_site(), help="give a list of at least one")
    dtype = max((t.dtype.computed for t in tensors), key=lambda t: t.itemsize)
    total = sum_of([cast(api.sum(api.square(t)), dtype) for t in tensors])
    return api.sqrt(total)


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """The sum of at least one term, from the left."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def scaled(gradient: TensorLike, norm: Tensor, limit: float, style: Style) -> Tensor:
    """A gradient scaled so that the norm becomes the limit, where it is larger."""
    tensor = as_tensor(gradient)
    size = cast(norm, tensor.dtype)
    return limited(tensor, size + 1e-6 if style == "torch" else size, limit)


def expect_limit(name: str, limit: object) -> None:
    """Raise `ArgumentError` unless a limit is a positive number."""
    if limit != math.inf and not (is_number(limit) and limit > 0):
        message = f"{name}: the limit {limit!r} is not a positive number"
        raise ArgumentError(message, site=user_site(), help="give one; an optimizer without limits takes None")


def expect_gradients(name: str, gradients: object) -> None:
    """Raise `ArgumentError` unless gradients come as a sequence."""
    if isinstance(gradients, Tensor) or not isinstance(gradients, Iterable):
        message = f"{name}: {gradients!r} is no list of gradients"
        raise ArgumentError(message, site=user_site(), help="for a single one give [gradient]")
