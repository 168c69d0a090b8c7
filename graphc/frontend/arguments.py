"""Arrays given to a function: matched with its parameters, their types read off."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import ArgumentError
from graphc.frontend.promotion import array_of
from graphc.frontend.signature import name_of, site_of
from graphc.ir.node import Array
from graphc.ir.types import FROM_NUMPY, DType, TensorType, bool_, f32, i32
from graphc.sites import user_site
from graphc.suggest import expect_bound


def matched(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are given, by parameter and in order. Raises `ArgumentError` where the call does not fit."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **options)
    except TypeError as error:
        raise ArgumentError(
            f"{name_of(function)}: {error}",
            site=user_site(),
            help=f"it is {name_of(function)}{signature}, {site_of(function)}",
        ) from None
    return flat_parameters(signature, bound.arguments)


def body_result(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """What a function that a loop or a branch was given returns.

    `what` is how it is called. Raises `ArgumentError` where it can't be called so.
    """
    try:
        return function(*args)
    except TypeError:  # whose cause may be another
        expect_bound(f"{what}: {name_of(function)}", inspect.signature(function), args, {}, f"it is called as {what}")
        raise


def flat_parameters(signature: inspect.Signature, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with those of `**options` among the others."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    return found


def to_array(value: Any, dtype: DType | None = None) -> Array:
    """An argument as an array: Python numbers take the dtype asked for (else f32, i32, bool), arrays keep theirs."""
    if isinstance(value, (bool, int, float)):
        default = bool_ if isinstance(value, bool) else i32 if isinstance(value, int) else f32
        return np.asarray(value, (dtype or default).numpy)
    array = np.asarray(value) if isinstance(value, np.generic) else array_of(value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def type_of(array: Array) -> TensorType:
    """The type of a concrete array. Raises `ArgumentError` for dtypes that graphc lacks."""
    dtype = FROM_NUMPY.get(array.dtype)
    if dtype is None:
        raise ArgumentError(
            f"an argument of {array.dtype}",
            site=user_site(),
            help="cast it with .astype to float16, float32, float64, int32, int64, uint8 or bool",
        )
    return TensorType(dtype, tuple(array.shape))
