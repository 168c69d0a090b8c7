"""What to say of a name or an argument that a module, an object or a call lacks: its own for it, or the nearest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from graphc.errors import ArgumentError, MissingNameError
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


def answering(example: str | None = None, **alternatives: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function, or a method, that answers arguments it can't take by `ArgumentError`: see `expect_bound`.

    `example` is how it is called; `alternatives` are keywords of other libraries' functions, with the answer to each.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            try:
                return function(*args, **options)
            except TypeError:  # whose cause may be another: matching beforehand would cost every call
                owner = function.__qualname__.removesuffix(".__init__")
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
