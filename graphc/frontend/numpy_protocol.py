"""NumPy's functions called on tensors: the graphc function of the same meaning, or an error that names the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.errors import UnsupportedError
from graphc.sites import user_site

#: NumPy's names that are not graphc's.
RENAMED = {
    "absolute": "abs", "fabs": "abs", "power": "pow", "true_divide": "divide", "mod": "remainder",
    "rint": "round", "around": "round", "round_": "round", "invert": "bitwise_invert", "bitwise_not": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift", "conjugate": "positive",
    "concatenate": "concat", "transpose": "permute_dims", "amax": "max", "amin": "min", "dot": "matmul",
    "float_power": "pow", "fix": "trunc", "degrees": "rad2deg", "radians": "deg2rad",
    "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh",
}  # fmt: skip
#: NumPy's functions whose results are something else than graphc's of the same name.
DIFFERENT = {"fmod"}
#: NumPy's names of arguments that are not graphc's.
ARGUMENTS = {"a": "x", "ddof": "correction", "a_min": "min", "a_max": "max"}
#: Keywords of NumPy that say nothing here when they have their default.
IGNORED: Mapping[str, Any] = {
    "out": None,
    "dtype": None,
    "where": True,
    "initial": None,
    "order": None,
    "casting": None,
}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """`np.add(x, y)` and its like."""
    if method != "__call__":
        raise unsupported(f"np.{ufunc.__name__}.{method}")
    return call_function(ufunc, inputs, options)


def call_function(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """A NumPy function that got a tensor. Raises `UnsupportedError` where graphc has none with its meaning."""
    name = f"np.{qualified_name(function)}"
    target = counterpart(function)
    if target is None:
        raise unsupported(name)
    kept = {}
    for key, value in options.items():
        if key in IGNORED and value is not np._NoValue and value != IGNORED[key]:
            raise unsupported(f"{name} with {key}=")
        if key not in IGNORED and value is not np._NoValue:
            kept[ARGUMENTS.get(key, key)] = value
    if function is np.transpose and len(args) == 1 and not kept:
        return args[0].T
    try:
        return target(*args, **kept)
    except TypeError as error:
        if isinstance(error, UnsupportedError) or hasattr(error, "render"):
            raise
        raise unsupported(f"{name} with these arguments ({error})") from None


def counterpart(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """The graphc function of the same meaning."""
    from graphc.frontend import api

    name = function.__name__
    module = getattr(function, "__module__", "numpy") or "numpy"
    if not module.startswith("numpy") or module.startswith("numpy.linalg") or name in DIFFERENT:
        return None
    known = RENAMED.get(name, name)
    return getattr(api, known) if known in api.__all__ and not known.startswith("call_") else None


def qualified_name(function: Callable[..., Any]) -> str:
    """The function's name below `numpy`."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{function.__name__}".removeprefix("numpy.")


def unsupported(what: str) -> UnsupportedError:
    """The error of a NumPy call that has no meaning for symbolic tensors."""
    return UnsupportedError(
        f"{what} is not supported on symbolic tensors",
        site=user_site(),
        help="write it with gr.* functions (the Python array API), or apply NumPy outside the entry",
    )
