"""What an optimizer is given: parameters, and gradients paired with them, checked at the user's line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.recording import describe
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Variable
from graphc.sites import user_site

Pairs: TypeAlias = Iterable[tuple[Tensor, Variable]]


def in_computed(gradient: Tensor, parameter: Variable) -> tuple[Tensor, Variable]:
    """A pair with the gradient in the dtype that it is computed in: steps on 16-bit parameters are taken in f32."""
    return cast(gradient, gradient.dtype.computed), parameter


def expect_parameters_of(
    params: Variable | Iterable[Variable], chosen: Callable[[Variable], bool] = lambda parameter: True
) -> list[Variable]:
    """The chosen ones of what a loss is minimised over. Raises `ArgumentError` for none, or what is no Variable."""
    if not isinstance(params, Iterable):
        raise ArgumentError(f"params={params!r} is no list", site=user_site(), help="give one: net.parameters()")
    given = [expect_variable("params", p) for p in ([params] if isinstance(params, Variable) else params)]
    found = [p for p in given if chosen(p)]
    if not found:
        raise ArgumentError(
            "there is nothing to minimise over: the loss depends on no trainable Variable",
            site=user_site(),
            help="give params=, or compute the loss from the network's outputs in this entry",
        )
    return found


def expect_pair(pair: Any) -> tuple[Tensor, Variable]:
    """A (gradient, Variable) pair. Raises `ArgumentError` for anything else."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ArgumentError(
            f"apply_gradients: {pair!r} is not a pair", site=user_site(), help="give (gradient, Variable) pairs"
        )
    gradient, parameter = as_tensor(pair[0]), expect_variable("apply_gradients", pair[1])
    if gradient.type.shape != parameter.type.shape:
        raise ShapeError(
            f"apply_gradients: the gradient {gradient.type} of a parameter {parameter.type}",
            operands=[describe("gradient", gradient.node)],
            site=user_site(),
            help="shapes must be equal: nothing broadcasts here",
        )
    if not gradient.dtype.is_float:
        raise DTypeError(
            f"apply_gradients: the gradient is {gradient.type}",
            operands=[describe("gradient", gradient.node)],
            site=user_site(),
            help=f"cast it: .astype(gr.{parameter.dtype})",
        )
    return gradient, parameter


def expect_pairs(pairs: object) -> Iterable[Any]:
    """The pairs. Raises `ArgumentError` for what has none."""
    if isinstance(pairs, Iterable) and not isinstance(pairs, Tensor):
        return pairs
    message = f"apply_gradients: {pairs!r} is no list of pairs"
    raise ArgumentError(message, site=user_site(), help="give (gradient, Variable) pairs")


def expect_variable(role: str, value: object) -> Variable:
    """The value. Raises `ArgumentError` unless it is a Variable."""
    if isinstance(value, Variable):
        return value
    raise ArgumentError(f"{role}: {value!r} is not a Variable", site=user_site(), help="optimizers change gr.Variables")
