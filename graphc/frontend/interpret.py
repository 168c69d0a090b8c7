"""`gr.interpret`: an entry's body run on concrete values, so that a debugger and print show numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend.arguments import matched, to_array, type_of
from graphc.frontend.jit import call_by_name
from graphc.frontend.names import Names
from graphc.frontend.program import Entry, Program
from graphc.frontend.signature import annotated, caller_locals, expect_function, name_of, site_of
from graphc.frontend.structure import flatten, map_leaves
from graphc.frontend.trace import TracedEntry, made_anew, trace_function
from graphc.frontend.values import Values
from graphc.ir.binding import bind_symbols
from graphc.ir.interp import evaluate
from graphc.ir.node import Array, Input, Scope
from graphc.ir.types import TensorType
from graphc.runtime.tree import unflatten
from graphc.sites import user_site


class Interpreted:
    """Runs an entry, or a function without state, on the NumPy interpreter; `state` changes from call to call.

    Each call runs the Python body anew, with the sizes of the arguments in place of symbols; a tensor prints its
    value there.
    """

    def __init__(self, target: Entry | Callable[..., Any], seed: int, state: dict[str, Array] | None):
        self.function = target.function if isinstance(target, Entry) else target
        self.program: Program | None = target.program if isinstance(target, Entry) else None
        self.types = target.types if isinstance(target, Entry) else annotated(target, caller_locals())
        if self.program is not None:
            self.program.trace()
        self.state: dict[str, Array] = {}
        if state is None:
            self.init(seed)
        else:
            self.state = state

    def init(self, seed: int = 0) -> None:
        """Give every Variable its initial value for a seed."""
        if self.program is not None:
            self.state = initial_state(self.program, seed)

    def __call__(self, *args: Any, **options: Any) -> Any:
        arrays, types = self.arguments(args, options)
        entry = self.trace(types, arrays)
        for variable in self.program.names.variables.values() if self.program else ():
            if variable not in self.state:
                raise made_anew(variable, entry.name, entry.site)
        result = evaluate(entry.graph, arrays, self.state)
        self.state.update(result.updates)
        return unflatten(entry.tree, [value[()] for value in result.outputs])

    def arguments(self, args: Sequence[Any], options: Mapping[str, Any]) -> tuple[list[Array], dict[str, Any]]:
        """The arguments' leaves as arrays, and their types: in the structure of the arguments, symbols replaced."""
        leaves, tree = flatten(matched(self.function, args, options))
        dtypes = [t.dtype for t in self.types.values()] if self.types else [None] * len(leaves)
        if len(dtypes) != len(leaves):
            raise ArgumentError(
                f"{name_of(self.function)}: {len(leaves)} arrays for {len(dtypes)} arguments", site=user_site()
            )
        arrays = [to_array(leaf, dtype) for leaf, dtype in zip(leaves, dtypes, strict=True)]
        return arrays, bound_types(self.types, arrays) if self.types else map_leaves(type_of, unflatten(tree, arrays))

    def trace(self, types: Mapping[str, Any], arrays: Sequence[Array]) -> TracedEntry:
        """The Python body run on symbolic arguments of known values."""
        return trace_function(
            call_by_name(self.function),
            types,
            name_of(self.function),
            self.program.names if self.program else Names(),
            self.program.counter if self.program else None,
            site_of(self.function),
            watch=lambda inputs: Values(dict(zip(inputs, arrays, strict=True)), self.state),
        )


def interpret(target: Entry | Callable[..., Any], seed: int = 0, state: dict[str, Array] | None = None) -> Interpreted:
    """An entry or a function as a callable on arrays; `state` (by name) is the seeded initial one by default."""
    expect_function("gr.interpret", target)
    return Interpreted(target, seed, state)


def initial_state(program: Program, seed: int = 0) -> dict[str, Array]:
    """Every Variable's initial value for a seed, by name."""
    return evaluate(program.trace().initial(), [np.asarray(seed, np.int64)], {}).updates


def bound_types(types: Mapping[str, TensorType], arrays: list[Array]) -> dict[str, TensorType]:
    """The types with the sizes that arrays have. Raises where they do not fit."""
    scope = Scope()
    parameters = [scope.typed(Input(name), type_) for name, type_ in types.items()]
    try:
        values = bind_symbols(parameters, arrays)
    except (ShapeError, DTypeError) as error:
        raise type(error)(error.message, site=user_site(), help=error.help) from None
    return {name: type_.bind(values) for name, type_ in types.items()}
