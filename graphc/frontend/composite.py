"""Composite functions: operations made inside carry the function's name, and 16-bit floats are computed in f32."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any, ParamSpec, TypeVar

from graphc.frontend.promotion import cast, promote
from graphc.frontend.recording import Recording
from graphc.frontend.tensor import Tensor
from graphc.ir.types import DType, f32
from graphc.suggest import answering

P = ParamSpec("P")
R = TypeVar("R")


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """A function made of others: the operations inside carry its name, and it rounds 16-bit floats once, at its end."""
    return answering()(named(in_f32(function)))


def named(function: Callable[P, R]) -> Callable[P, R]:
    """The operations inside carry the function's name, below that of the layer that calls it."""
    name = function.__name__

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        recording = Recording.active.get()
        if recording is None:
            return function(*args, **options)
        before = recording.path
        recording.path = f"{before}/{name}" if before else name
        recording.composites.add(recording.path)
        try:
            return function(*args, **options)
        finally:
            recording.path = before

    return call


def in_f32(function: Callable[P, R]) -> Callable[P, R]:
    """The function on f32 for tensors of 16-bit floats, what it gives rounded to the dtype that they promote to."""

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        tensors = [v for v in (*args, *options.values()) if isinstance(v, Tensor)]
        floats = [t.dtype for t in tensors if t.dtype.is_float]
        if not any(dtype.is_narrow for dtype in floats):
            return function(*args, **options)
        wide: Any = function(*map(widened, args), **{k: widened(v) for k, v in options.items()})
        result: R = rounded(wide, reduce(promote, floats))
        return result

    return call


def widened(value: Any) -> Any:
    """A tensor of 16-bit floats as f32; anything else as it is."""
    return cast(value, value.dtype.computed) if isinstance(value, Tensor) else value


def rounded(result: Any, dtype: DType) -> Any:
    """A function's f32 results in another dtype; other results as they are."""
    if isinstance(result, tuple):
        return tuple(rounded(r, dtype) for r in result)
    return cast(result, dtype) if isinstance(result, Tensor) and dtype.is_narrow and result.dtype == f32 else result
