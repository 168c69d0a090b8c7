"""The arguments of an entry and their types, from annotations or from `@program.entry(x=…)`."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from graphc.errors import ArgumentError, Site
from graphc.ir.types import DType, TensorType, bool_, f32, i32
from graphc.sites import PACKAGE, user_frame, user_site

#: Python's types as annotations of scalars.
SCALARS: dict[object, TensorType] = {float: TensorType(f32), int: TensorType(i32), bool: TensorType(bool_)}


def site_of(function: Callable[..., Any]) -> Site | None:
    """Where a function is defined; one of graphc's own, where it is asked for."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and code.co_filename.startswith(PACKAGE):
        return user_site()
    return Site(code.co_filename, code.co_firstlineno, f"def {code.co_name}(…)") if code is not None else None


def expect_function(what: str, function: object) -> None:
    """Raise `ArgumentError` where `what` got something that is not a function or an entry to trace."""
    from graphc.runtime.call import BoundEntry

    compiled = isinstance(function, BoundEntry)
    if callable(function) and not compiled:
        return
    kind = "a compiled entry" if compiled else f"a {type(function).__name__}"
    raise ArgumentError(
        f"{what}: takes a function of tensors or an entry, not {kind}",
        site=user_site(),
        help="give the entry itself, as @program.entry left it" if compiled else "give the function, not its result",
    )


def argument_types(
    function: Callable[..., Any], given: Mapping[str, Any], names: Mapping[str, Any]
) -> dict[str, TensorType]:
    """The type of each argument, in order: the given one, else the annotation.

    Annotations that are text may use `names`, beside what the function's module and closure have.
    Raises `ArgumentError` for arguments without one, for `*args` and for names the function lacks.
    """
    parameters = inspect.signature(function).parameters
    site = site_of(function)
    unknown = [name for name in given if name not in parameters]
    if unknown:
        raise ArgumentError(
            f"{name_of(function)}: has no argument {unknown[0]!r}", site=site, help=f"it has {', '.join(parameters)}"
        )
    return {name: argument_type(function, p, given, names, site) for name, p in parameters.items()}


def argument_type(
    function: Callable[..., Any],
    parameter: inspect.Parameter,
    given: Mapping[str, Any],
    names: Mapping[str, Any],
    site: Site | None,
) -> TensorType:
    """The type of one argument."""
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ArgumentError(f"{name_of(function)}: an entry's arguments are fixed, {parameter} is not", site=site)
    annotation = given.get(name, parameter.annotation)
    if annotation is parameter.empty:
        raise ArgumentError(
            f"{name_of(function)}: the argument {name!r} has no type",
            site=site,
            help=f'annotate it, {name}: gr.f32["N", 64], or say @program.entry({name}=gr.f32["N", 64])',
        )
    return tensor_type(resolved(function, name, annotation, names, site), name, site)


def caller_locals() -> Mapping[str, Any]:
    """The variables of the user's function that is running: annotations inside it may name them."""
    frame = user_frame()
    return frame.f_locals if frame is not None else {}


def annotated(function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, TensorType] | None:
    """The types of a function whose arguments are all annotated with tensor types; None of another.

    `names` as in `argument_types`.
    """
    parameters = inspect.signature(function).parameters.values()
    if not parameters or any(p.annotation is p.empty for p in parameters):
        return None
    try:
        return argument_types(function, {}, names)
    except ArgumentError:
        return None


def resolved(
    function: Callable[..., Any], name: str, annotation: object, names: Mapping[str, Any], site: Site | None
) -> object:
    """An annotation that is text (`from __future__ import annotations`) as what it stands for."""
    if not isinstance(annotation, str):
        return annotation
    plain = inspect.unwrap(function)
    closure = inspect.getclosurevars(plain).nonlocals if inspect.isfunction(plain) else {}
    try:
        return eval(annotation, {**vars(builtins), **getattr(plain, "__globals__", {})}, {**names, **closure})
    except Exception as error:
        raise ArgumentError(
            f"{name_of(function)}: the annotation of {name!r} can't be resolved: {annotation} ({error})",
            site=site,
            help=f"say it as a value: @program.entry({name}={annotation})",
        ) from None


def tensor_type(value: object, name: str, site: Site | None) -> TensorType:
    """The tensor type that an annotation stands for."""
    if isinstance(value, TensorType):
        return value
    if isinstance(value, DType):
        return TensorType(value)
    if isinstance(value, type) and value in SCALARS:
        return SCALARS[value]
    raise ArgumentError(
        f"the type of {name!r} is {value!r}, not a tensor type", site=site, help='write gr.f32["N", 64], gr.i32["N"], …'
    )


def name_of(function: Callable[..., Any]) -> str:
    """What errors call a function."""
    return getattr(function, "__name__", type(function).__name__)
