"""What to say of a name that a module, an object or a call lacks: the name it has instead, or the nearest one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from graphc.errors import ArgumentError, MissingNameError
from graphc.sites import user_site

P = ParamSpec("P")
R = TypeVar("R")


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


def answering(example: str, **alternatives: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that answers arguments it can't take by `ArgumentError`, with an example of how it is called.

    `alternatives` are keywords of other libraries' functions, with the answer to each.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(*args: P.args, **options: P.kwargs) -> R:
            try:
                signature.bind(*args, **options)
            except TypeError as error:
                known = [alternatives[name] for name in options if name in alternatives]
                message = f"{function.__name__}: {error}"
                raise ArgumentError(message, site=user_site(), help=known[0] if known else example) from None
            return function(*args, **options)

        return call

    return decorate
