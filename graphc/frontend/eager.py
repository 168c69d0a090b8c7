"""Transforms called with arrays: the function they stand for, compiled as by `gr.jit`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numpy as np

from graphc.frontend.arguments import to_array
from graphc.frontend.promotion import is_weak
from graphc.frontend.recording import Recording
from graphc.frontend.structure import flatten
from graphc.runtime.tree import unflatten


def tracing() -> bool:
    """Whether a trace is in progress."""
    return Recording.active.get() is not None


@lru_cache(maxsize=256)
def compiled_form(transform: Callable[..., Any], function: Callable[..., Any], *fixed: Any) -> Callable[..., Any]:
    """`transform(function, *fixed, …)` as compiled code, a function of its other arguments; kept for later calls."""
    from graphc.frontend.jit import jit

    def form(*args: Any, **options: Any) -> Any:
        return transform(function, *fixed, *args, **options)

    form.__name__ = getattr(function, "__name__", transform.__name__)
    jitted: Callable[..., Any] = jit(form)
    return jitted


def called(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The function's own value, in a trace."""
    return function(*args, **options)


def strong(value: Any, like: Any) -> Any:
    """A nested value, its Python numbers as arrays of the dtypes of their counterparts in another of its structure."""
    (leaves, tree), (others, _) = flatten(value), flatten(like)
    if len(leaves) != len(others):
        return value
    pairs = zip(leaves, others, strict=True)
    return unflatten(tree, [np.asarray(x, to_array(y).dtype) if is_weak(x) else x for x, y in pairs])


def without_annotations(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `functools.wraps`, for a function whose arguments have other types than those that are annotated."""

    def decorate(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        wrapped = wraps(function)(wrapper)
        wrapped.__signature__ = signature = inspect.signature(function)  # type: ignore[attr-defined]
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        wrapped.__signature__ = signature.replace(parameters=plain, return_annotation=signature.empty)  # type: ignore[attr-defined]
        return wrapped

    return decorate
