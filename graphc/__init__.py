"""graphc: a compiler for small neural networks.

    import graphc as gr

Everything is loaded when it is first used: `import graphc` alone loads NumPy and this file.
"""
# ruff: noqa: F401, F403  (what type checkers see is re-exported by name at run time)

from __future__ import annotations

import importlib
import math as _math
from types import FunctionType as _Function
from typing import TYPE_CHECKING, Any

import numpy as _numpy  # the one dependency that every use has

from graphc.version import VERSION

if TYPE_CHECKING:  # `as` exports a name to strict type checkers
    from graphc import augment as augment, errors as errors, init as init, inspect as inspect, interop as interop
    from graphc import losses as losses, metrics as metrics, nn as nn, optim as optim, train as train
    from graphc.errors import (
        ArgumentError as ArgumentError,
        AxisError as AxisError,
        BuildError as BuildError,
        DTypeError as DTypeError,
        GradientError as GradientError,
        GradientMismatch as GradientMismatch,
        GraphcError as GraphcError,
        IndexRangeError as IndexRangeError,
        InternalError as InternalError,
        MissingNameError as MissingNameError,
        NumericsError as NumericsError,
        ShapeError as ShapeError,
        StateError as StateError,
        TargetError as TargetError,
        TraceError as TraceError,
        UnsupportedError as UnsupportedError,
    )
    from graphc.frontend import linalg as linalg, random as random
    from graphc.frontend.api import *
    from graphc.frontend.checkpoint import checkpoint as checkpoint, checkpoint as remat
    from graphc.frontend.control import cond as cond, map as map, scan as scan, while_loop as while_loop
    from graphc.frontend.custom import custom_gradient as custom_gradient, custom_vjp as custom_vjp
    from graphc.frontend.derivatives import (
        hessian as hessian,
        hvp as hvp,
        jacfwd as jacfwd,
        jacobian as jacobian,
        jacrev as jacrev,
        jvp as jvp,
        linearize as linearize,
        vjp as vjp,
    )
    from graphc.frontend.interpret import interpret as interpret
    from graphc.frontend.jit import jit as jit
    from graphc.frontend.printing import debug_print as debug_print
    from graphc.frontend.probe import tap as tap
    from graphc.frontend.program import Entry as Entry, Program as Program
    from graphc.frontend.tensor import Tensor as Tensor
    from graphc.frontend.transforms import grad as grad, gradients as gradients, value_and_grad as value_and_grad
    from graphc.frontend.variable import Initial as Initial, Variable as Variable
    from graphc.frontend.vectorising import vmap as vmap
    from graphc.gradcheck import check_grads as check_grads
    from graphc.ir.dim import symbol
    from graphc.ir.types import (
        DType as DType,
        TensorType as TensorType,
        bf16 as bf16,
        bool_,
        f16 as f16,
        f32 as f32,
        f64 as f64,
        i32 as i32,
        i64 as i64,
        u8 as u8,
    )
    from graphc.runtime.load import load as load

    bool, dim = bool_, symbol

__version__ = VERSION
__array_api_version__ = "2024.12"

pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

#: Public names by the module that defines them.
_NAMES = {
    "graphc.ir.types": ("DType", "TensorType", "bf16", "f16", "f32", "f64", "i32", "i64", "u8"),
    "graphc.errors": (
        "ArgumentError", "AxisError", "BuildError", "DTypeError", "GradientError", "GradientMismatch", "GraphcError",
        "IndexRangeError", "InternalError", "MissingNameError", "NumericsError", "ShapeError", "StateError",
        "TargetError", "TraceError", "UnsupportedError",
    ),
    "graphc.frontend.tensor": ("Tensor",),
    "graphc.frontend.variable": ("Initial", "Variable"),
    "graphc.frontend.program": ("Entry", "Program"),
    "graphc.frontend.jit": ("jit",),
    "graphc.frontend.printing": ("debug_print",),
    "graphc.frontend.probe": ("tap",),
    "graphc.frontend.interpret": ("interpret",),
    "graphc.frontend.transforms": ("grad", "gradients", "value_and_grad"),
    "graphc.frontend.checkpoint": ("checkpoint",),
    "graphc.frontend.custom": ("custom_gradient", "custom_vjp"),
    "graphc.frontend.derivatives": (
        "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "linearize", "vjp",
    ),
    "graphc.frontend.vectorising": ("vmap",),
    "graphc.gradcheck": ("check_grads",),
    "graphc.frontend.control": ("cond", "map", "scan", "while_loop"),
    "graphc.runtime.load": ("load",),
    "graphc.frontend.cumulative": (
        "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "diff",
        "logcumsumexp", "trapezoid",
    ),
    "graphc.frontend.einsum": ("einsum",),
    "graphc.frontend.linalg": ("cross", "diag", "diagonal", "dot", "inner", "kron", "trace", "vdot"),
    "graphc.frontend.reductions": ("count_nonzero",),
    "graphc.frontend.special": ("digamma", "erfinv", "lgamma", "logit", "xlog1py", "xlogy"),
    "graphc.frontend.sorting": ("argsort", "searchsorted", "sort", "top_k"),
    "graphc.frontend.statistics": (
        "average", "median", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar", "percentile",
        "ptp", "quantile",
    ),
    "graphc.frontend.api": (
        "abs", "acos", "acosh", "add", "all", "allclose", "any", "arange", "argmax", "argmin", "array_split",
        "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d", "atleast_3d",
        "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
        "broadcast_arrays", "broadcast_to", "can_cast", "cbrt", "ceil", "clip", "column_stack", "concat", "copysign",
        "cos", "cosh", "deg2rad", "divide", "dstack", "empty", "empty_like", "equal", "erf", "erfc", "exp", "exp2",
        "expand_dims", "expm1", "eye", "finfo", "flatten", "flip", "fliplr", "flipud", "floor", "floor_divide",
        "fmax", "fmin", "from_dlpack", "full", "full_like", "greater", "greater_equal", "heaviside", "hstack",
        "hypot", "iinfo", "isclose", "isdtype", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "less",
        "less_equal", "linspace", "log", "log10", "log1p", "log2", "logaddexp", "logaddexp2", "logical_and",
        "logical_not", "logical_or", "logical_xor", "logspace", "matmul", "matrix_transpose", "max", "maximum", "mean",
        "meshgrid", "min", "minimum", "moveaxis", "multiply", "nan_to_num", "negative", "nextafter", "not_equal",
        "one_hot", "ones", "ones_like", "outer", "pad", "permute_dims", "positive", "pow", "prod", "rad2deg", "ravel",
        "reciprocal", "remainder", "repeat", "reshape", "result_type", "roll", "rot90", "round", "rsqrt", "sigmoid",
        "sign", "signbit", "sin", "sinc", "sinh", "split", "sqrt", "square", "squeeze", "stack", "std",
        "stop_gradient", "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile",
        "tril", "triu", "trunc", "unstack", "var", "vecdot", "vstack", "where", "zeros", "zeros_like",
    ),
}  # fmt: skip
_HOMES = {name: (module, name) for module, names in _NAMES.items() for name in names}
_HOMES |= {"bool": ("graphc.ir.types", "bool_"), "dim": ("graphc.ir.dim", "symbol")}
_HOMES["remat"] = _HOMES["checkpoint"]
_HOMES["__array_namespace_info__"] = ("graphc.frontend.namespace", "NamespaceInfo")
_SUBMODULES = {
    name: f"graphc.{name}"
    for name in ("augment", "errors", "init", "inspect", "interop", "losses", "metrics", "nn", "optim", "train")
}
_SUBMODULES |= {"linalg": "graphc.frontend.linalg", "random": "graphc.frontend.random"}

__all__ = sorted([*(n for n in _HOMES if n[0] != "_"), *_SUBMODULES, "e", "inf", "nan", "newaxis", "pi"])


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        value: Any = importlib.import_module(_SUBMODULES[name])
    elif name in _HOMES:
        module, attribute = _HOMES[name]
        if name == "Program":
            importlib.import_module("graphc.compile")  # who defines a program will compile it: import it by now
        value = getattr(importlib.import_module(module), attribute)
        if isinstance(value, _Function):
            value = importlib.import_module("graphc.suggest").answering()(value)
            value.__module__ = "graphc"  # where pickle finds it
    else:
        error = None if name.startswith("_") else importlib.import_module("graphc.frontend.absent").missing(name)
        raise error or AttributeError(f"module 'graphc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
