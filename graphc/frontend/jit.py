"""`gr.jit`: a function of tensors as compiled code, without state."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from graphc.frontend.arguments import matched, to_array, type_of
from graphc.frontend.names import Names
from graphc.frontend.recording import Recording
from graphc.frontend.signature import annotated, caller_locals, expect_function, name_of, site_of
from graphc.frontend.structure import flatten
from graphc.frontend.trace import TracedProgram, finished, trace_function
from graphc.runtime.tree import unflatten


class Jitted:
    """A function compiled for each combination of argument types it meets; in a trace a call inlines it.

    Where every argument is annotated with a tensor type there is one combination, symbolic sizes included. Arguments
    may be nested dicts, tuples and lists of arrays.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]):
        self.function, self._options = function, options
        self._types = annotated(function, caller_locals())
        self._compiled: dict[object, Callable[..., Any]] = {}
        update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **options: Any) -> Any:
        if Recording.active.get() is not None:
            return self.function(*args, **options)
        arguments = matched(self.function, args, options)
        if self._types is not None:
            return self._compiled_for(None, self._types)(**arguments)
        leaves, tree = flatten(arguments)
        arrays = [to_array(leaf) for leaf in leaves]
        types = [type_of(a) for a in arrays]
        return self._compiled_for((str(tree), tuple(types)), unflatten(tree, types))(*arrays)

    def _compiled_for(self, key: object, types: dict[str, Any]) -> Callable[..., Any]:
        """The code for some argument types."""
        if key not in self._compiled:
            from graphc.compile import compile_program

            traced = self.trace(types)
            self._compiled[key] = getattr(compile_program(traced, **self._options), traced.name)
        return self._compiled[key]

    def trace(self, types: dict[str, Any]) -> TracedProgram:
        """The function as a Program of one entry without state."""
        name = identifier(name_of(self.function))
        entry = trace_function(call_by_name(self.function), types, name, Names(), None, site_of(self.function))
        return TracedProgram(name, (finished(entry),), ())


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function of tensors; `options` are those of `Program.compile`. Usable as a decorator."""
    if function is None:
        return lambda decorated: jit(decorated, **options)
    expect_function("gr.jit", function)
    return Jitted(function, options)


def identifier(name: str) -> str:
    """A function's name as one that C accepts: that of a lambda is `function`."""
    return name if name.isidentifier() and name.isascii() else "function"


def call_by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, taking by name what it takes by position."""
    parameters = inspect.signature(function).parameters.values()

    def call(**arguments: Any) -> Any:
        args: list[Any] = []
        for p in parameters:
            if p.name not in arguments or p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD):
                break
            value = arguments.pop(p.name)
            args.extend(value if p.kind is p.VAR_POSITIONAL else (value,))
        return function(*args, **arguments)

    return call
