"""Functions that read Variables, as pure functions of their values; and networks called without an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend.names import Names
from graphc.frontend.promotion import as_tensor
from graphc.frontend.random import counter
from graphc.frontend.recording import Recording, current, describe
from graphc.frontend.structure import map_leaves
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.trace import trace_init, variable_infos
from graphc.frontend.variable import Variable
from graphc.ir.node import Array, Input
from graphc.ir.types import TensorType
from graphc.sites import user_site


def names_in(function: Callable[..., Any], types: Sequence[Any]) -> Names:
    """The names of the Variables that a function uses when it is called on tensors of some types, traced on its own."""
    return called_on(function, types)[0].names


def called_on(function: Callable[..., Any], types: Sequence[Any]) -> tuple[Recording, Any]:
    """A trace of its own of a function that is called on tensors of some types, and what the function gives.

    Types may be nested, as arguments are: in dicts, tuples and lists, with None.
    """
    recording = Recording(Names(), counter())
    number = count()

    def stand_in(type_: TensorType) -> Tensor:
        return Tensor(recording.leaf(Input(f"x{next(number)}"), type_))

    with recording.running():
        return recording, function(*map_leaves(stand_in, tuple(types)))


def initial_values(names: Names, seed: int) -> dict[str, Array]:
    """The Variables' initial values for a seed, by name; the random counter is no part of them."""
    from graphc.ir.interp import evaluate  # not needed to compile, which starts faster without it

    infos = [v for v in variable_infos(names) if v.name != "graphc/random"]
    return evaluate(trace_init(infos), [np.asarray(seed, np.int64)], {}).updates


def with_values(names: Names, values: Mapping[str, TensorLike], function: Callable[[], Any]) -> Any:
    """What a function gives when its Variables have these values (by name), in the trace in progress.

    What it assigns to them is dropped. Raises `ArgumentError` where names are missing or unknown.
    """
    recording = current()
    if not isinstance(values, Mapping):
        raise ArgumentError(
            f"the parameters are {type(values).__name__}, not values by name",
            site=user_site(),
            help="net.init() gives such; a state's are compiled.state.copy()",
        )
    variables = {name: v for v, name in names.variables.items() if name != "graphc/random"}
    if set(values) != set(variables):
        raise ArgumentError(
            "the parameters are not those of the network",
            site=user_site(),
            help=f"missing: {sorted(set(variables) - set(values))}, unknown: {sorted(set(values) - set(variables))}",
        )
    replaced = {variables[name]: fitting(variables[name], name, value) for name, value in values.items()}
    with recording.replacing({v: t.node for v, t in replaced.items()}):
        return function()


def fitting(variable: Variable, name: str, value: TensorLike) -> Tensor:
    """A value as a tensor of a Variable's type. Raises where it has another."""
    tensor = as_tensor(value)
    if tensor.type == variable.type:
        return tensor
    kind = DTypeError if tensor.dtype != variable.dtype else ShapeError
    raise kind(
        f"the parameter {name} is {variable.type}, the value is {tensor.type}",
        operands=[describe("value", tensor.node)],
        site=user_site(),
    )
