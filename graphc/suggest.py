"""What to say of a name or an argument that a module, an object or a call lacks: its own for it, or the nearest."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from graphc.errors import ArgumentError, GraphcError, MissingNameError
from graphc.sites import user_site

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

NOTHING: Mapping[str, str] = MappingProxyType({})

#: Arguments of other libraries' functions, by what they are called here.
COUNTERPARTS = {
    "axis": ("dim", "dims"),
    "correction": ("ddof", "unbiased"),
    "eps": ("epsilon",),
    "gain": ("scale",),
    "high": ("maxval", "b"),
    "in_axes": ("in_dims",),
    "keepdims": ("keepdim", "keep_dims"),
    "learning_rate": ("lr",),
    "low": ("minval", "a"),
    "num": ("steps",),
    "out_axes": ("out_dims",),
    "params": ("var_list", "parameters"),
    "reduction": ("size_average", "reduce"),
    "restore_best": ("restore_best_weights",),
    "rtol": ("rel_tol",),
    "shape": ("size",),
    "stddev": ("std", "sigma"),
    "target": ("y_true", "labels", "targets"),
    "trainable": ("requires_grad",),
    "weights": ("weight", "sample_weight"),
    "x": ("input", "a", "arr"),
    "x2": ("other",),
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that another is most like, capitals aside, if there is one."""
    from difflib import get_close_matches  # only mistakes pay for it

    names = {n.lower(): n for n in known}
    near = get_close_matches(name.lower(), names, 1, 0.75)
    return names[near[0]] if near else None


def refusing(module: str, names: Iterable[str], alternatives: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: names it lacks raise `MissingNameError` with what there is instead.

    `alternatives` maps names of other libraries to the answer; for others the nearest of `names` is offered, and
    without one it is Python's own `AttributeError`.
    """
    known = tuple(names)

    def __getattr__(name: str) -> Any:
        near = None if name.startswith("_") else nearest(name, known)
        help = alternatives.get(name) or (f"did you mean {module}.{near}?" if near else None)
        if help is None:
            raise AttributeError(f"module 'graphc.{module}' has no attribute {name!r}")
        raise MissingNameError(f"graphc.{module} has no {name}", site=user_site(), help=help)

    return __getattr__


def missing_attribute(owner: object, name: str, alternatives: Mapping[str, str]) -> AttributeError:
    """The error of an attribute that an object lacks: `MissingNameError` where other libraries' objects have it."""
    kind = type(owner).__name__
    if name not in alternatives:
        return AttributeError(f"{kind!r} object has no attribute {name!r}")
    return MissingNameError(f"{kind} has no {name}", site=user_site(), help=alternatives[name])


def expect_bound(
    name: str, signature: inspect.Signature, args: Sequence[Any], options: Mapping[str, Any],
    example: str | None = None, alternatives: Mapping[str, str] = NOTHING,
) -> None:  # fmt: skip
    """Raise `ArgumentError` unless a function or a method of a signature can be called with such arguments.

    The help is the alternative to the argument it lacks, else its own name for that, the example, or all it takes.
    """
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        names = [p for p in signature.parameters if p != "self"]
        lacking = [option for option in options if option not in names]
        known = [alternatives[option] for option in lacking if option in alternatives]
        known += [f"give {ours}=" for option in lacking if (ours := counterpart(option, names))]
        help = known[0] if known else example or f"it takes {', '.join(names) or 'nothing'}"
        raise ArgumentError(f"{name}: {error}", site=user_site(), help=help) from None


def counterpart(theirs: str, names: Sequence[str]) -> str | None:
    """Which of a function's parameters is what another library calls so, or is nearly called so, if there is one."""
    ours = [name for name in names if theirs in COUNTERPARTS.get(name, ())]
    return ours[0] if ours else nearest(theirs, names)


class Flag(NamedTuple):
    """An argument that is True or False: its name, its place among those by position, whether it may be None."""

    name: str
    place: int
    optional: bool


def flags_of(function: Callable[..., Any]) -> list[Flag]:
    """The arguments of a function that are annotated as `bool`."""
    code = inspect.unwrap(function).__code__
    places = {name: place for place, name in enumerate(code.co_varnames[: code.co_argcount])}
    said = {name: a for name, a in function.__annotations__.items() if name != "return"}
    flags = {name: a == "bool | None" for name, a in said.items() if a is bool or a in ("bool", "bool | None")}
    return [Flag(name, places.get(name, sys.maxsize), optional) for name, optional in flags.items()]


def expect_flags(owner: str, flags: Sequence[Flag], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` for a flag that is given as anything but True and False."""
    for name, place, optional in flags:
        value = options.get(name, args[place] if place < len(args) else True)
        if not isinstance(value, (bool, np.bool_)) and not (optional and value is None):
            raise ArgumentError(f"{owner}: {name}={value!r}", site=user_site(), help="it is True or False")


def answering(example: str | None = None, **alternatives: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function, or a method, that answers arguments it can't take by `ArgumentError`: see `expect_bound`.

    Where it says `bool`, it gets True or False. `example` is how it is called; `alternatives` are keywords of other
    libraries' functions, with the answer to each.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        owner, flags = function.__qualname__.removesuffix(".__init__"), flags_of(function)

        @wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            if flags:
                expect_flags(owner, flags, args, options)
            try:
                return function(*args, **options)
            except GraphcError:
                raise
            except TypeError:  # whose cause may be another: matching beforehand would cost every call
                expect_bound(owner, inspect.signature(function), args, options, example, alternatives)
                raise

        return call

    return decorate


def answering_methods(kind: type[T]) -> type[T]:
    """A class whose constructor and public methods answer arguments they can't take."""
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(kind, name, answering()(method))
    return kind
