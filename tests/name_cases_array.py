"""Cases of the elementwise functions, and of those that make, arrange and index arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

import graphc as gr
from graphc.ir.types import bool_, i32, i64
from tests.name_cases import ANY, BOX, EMPTY, FLOATS, INTEGERS, MATRIX, NUMBERS, REDUCING, ROW, Case, cases, crossing

PAIRS = [(MATRIX, MATRIX), (MATRIX, (4,)), (ROW, ()), ((3, 1), (1, 4)), ((0, 3), (3,))]
#: Where functions of floats are drawn, and NumPy's if it has none of the name.
REAL: dict[str, tuple[float, float]] = {
    "acos": (-0.9, 0.9), "acosh": (1.1, 4), "asin": (-0.9, 0.9), "asinh": (-3, 3), "atan": (-3, 3),
    "atanh": (-0.9, 0.9), "cbrt": (0.2, 3), "cos": (-3, 3), "cosh": (-3, 3), "deg2rad": (-90, 90), "erf": (-2, 2),
    "digamma": (-3.4, 5), "erfc": (-2, 2), "erfinv": (-0.95, 0.95), "exp": (-3, 3), "exp2": (-3, 3), "expm1": (-3, 3),
    "log": (0.2, 4), "log10": (0.2, 4), "lgamma": (-3.4, 5), "log1p": (-0.5, 4), "log2": (0.2, 4),
    "logit": (0.05, 0.95), "rad2deg": (-3, 3), "reciprocal": (0.3, 3), "rsqrt": (0.3, 3), "sigmoid": (-3, 3),
    "sin": (-3, 3), "sinc": (-2, 2), "sinh": (-3, 3), "sqrt": (0.2, 3), "tan": (-1.2, 1.2), "tanh": (-3, 3),
}  # fmt: skip


def slope_of_lgamma(x: float) -> float:
    """The derivative of ln |Γ|: its asymptotic series far out, and the way back by recurrence."""
    rest = 0.0
    while x < 1000:
        rest, x = rest + 1 / x, x + 1
    return math.log(x) - 1 / (2 * x) - 1 / (12 * x * x) - rest


ELSEWHERE: dict[str, Any] = {
    "erf": np.vectorize(math.erf, otypes=[float]), "erfc": np.vectorize(math.erfc, otypes=[float]),
    "rsqrt": lambda x: 1 / np.sqrt(x), "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "digamma": np.vectorize(slope_of_lgamma, otypes=[float]), "lgamma": np.vectorize(math.lgamma, otypes=[float]),
    "erfinv": np.vectorize(lambda x: NormalDist().inv_cdf(0.5 + 0.5 * x) / math.sqrt(2), otypes=[float]),
    "logit": lambda x: np.log(x / (1 - x)), "xlogy": lambda x, y: x * np.log(y),
    "xlog1py": lambda x, y: x * np.log1p(y),
}  # fmt: skip
SMOOTH_PAIRS: dict[str, tuple[float, float]] = {
    "add": (-3, 3), "subtract": (-3, 3), "multiply": (-3, 3), "maximum": (-3, 3), "minimum": (-3, 3),
}  # fmt: skip
FLOAT_PAIRS: dict[str, tuple[float, float]] = {
    "atan2": (0.3, 3), "copysign": (0.2, 3), "divide": (0.3, 3), "fmax": (-3, 3), "fmin": (-3, 3), "hypot": (0.2, 3),
    "logaddexp": (-3, 3), "logaddexp2": (-3, 3), "pow": (0.3, 3), "xlog1py": (0.3, 3), "xlogy": (0.3, 3),
}  # fmt: skip
COMPARISONS = ("equal", "greater", "greater_equal", "less", "less_equal", "not_equal")
LOGIC = ("logical_and", "logical_or", "logical_xor")
BITS = ("bitwise_and", "bitwise_or", "bitwise_xor")


def first(name: str) -> Any:
    """A function of `gr` that gives several arrays, of which the first is looked at."""
    return lambda *xs, **o: getattr(gr, name)(*xs, **o)[0]


def elementwise() -> Iterator[Case]:
    shapes = [MATRIX, ROW, (), EMPTY]
    for name, (low, high) in REAL.items():
        reference = ELSEWHERE.get(name) or getattr(np, name)
        yield from cases(name, reference, shapes, dtypes=FLOATS, low=low, high=high)
    for name in ("abs", "negative", "positive", "square"):
        yield from cases(name, getattr(np, name), shapes)
    for name in ("ceil", "floor", "round", "sign", "trunc"):
        yield from cases(name, getattr(np, name), shapes, smooth=False)
    for name in ("isfinite", "isinf", "isnan", "isneginf", "isposinf", "logical_not"):
        yield from cases(name, getattr(np, name), shapes, smooth=False)
    yield from cases("signbit", np.signbit, shapes, dtypes=FLOATS, smooth=False)
    yield from cases("nan_to_num", lambda x: np.nan_to_num(1 / x), shapes, dtypes=FLOATS, low=0.3,
                     function=lambda x: gr.nan_to_num(1 / x))  # fmt: skip
    yield from cases("stop_gradient", lambda x: x, shapes, dtypes=FLOATS, smooth=False)
    yield from cases("bitwise_invert", np.bitwise_invert, shapes, dtypes=(*INTEGERS, bool_), smooth=False)
    for names, facts in ((SMOOTH_PAIRS, {}), (FLOAT_PAIRS, {"dtypes": FLOATS})):
        for name, (low, high) in names.items():
            reference = ELSEWHERE.get(name) or getattr(np, name)
            yield from cases(name, reference, PAIRS, low=low, high=high, **facts)
    yield from cases("floor_divide", np.floor_divide, PAIRS, smooth=False, low=1)
    yield from cases("remainder", np.remainder, PAIRS, smooth=False, low=1)
    for name in COMPARISONS:
        yield from cases(name, getattr(np, name), PAIRS, smooth=False)
    for name in LOGIC:
        yield from cases(name, getattr(np, name), PAIRS, dtypes=ANY, smooth=False)
    for name in BITS:
        yield from cases(name, getattr(np, name), PAIRS, dtypes=(*INTEGERS, bool_), smooth=False)
    for name in ("bitwise_left_shift", "bitwise_right_shift"):
        yield from cases(name, getattr(np, name), PAIRS, dtypes=INTEGERS, smooth=False, low=0)
    for name in ("heaviside", "nextafter"):
        yield from cases(name, getattr(np, name), PAIRS, dtypes=FLOATS, smooth=False)
    for name in ("isclose", "allclose"):
        yield from cases(name, getattr(np, name), PAIRS, {"atol": 0.5}, dtypes=FLOATS, smooth=False)
    for o in ({"min": -1, "max": 2}, {"min": -1, "max": None}, {"min": None, "max": 2}):
        yield from cases("clip", np.clip, shapes, o, dtypes=(*FLOATS, i32, i64))
    yield from cases("where", lambda c, x, y: np.where(c > 1, x, y), [(MATRIX, (4,), (3, 1)), (ROW, ROW, ())],
                     function=lambda c, x, y: gr.where(c > 1, x, y))  # fmt: skip


def creation() -> Iterator[Case]:
    made: dict[str, Any] = {"smooth": False, "batches": False, "symbolic": False}
    for name, options, expected, dtypes in (
        ("arange", {"start": 2, "stop": 11, "step": 3}, np.arange(2, 11, 3), NUMBERS),
        ("eye", {"n_rows": 3, "n_cols": 4, "k": 1}, np.eye(3, 4, 1), ANY),
        ("full", {"shape": (2, 3), "fill_value": 1}, np.full((2, 3), 1), ANY),
        ("linspace", {"start": 0.0, "stop": 1.0, "num": 7}, np.linspace(0, 1, 7), FLOATS),
        ("logspace", {"start": 0.0, "stop": 2.0, "num": 5, "base": 2.0}, np.logspace(0, 2, 5, base=2), FLOATS),
        ("ones", {"shape": (2, 3)}, np.ones((2, 3)), ANY),
        ("zeros", {"shape": (2, 0)}, np.zeros((2, 0)), ANY),
        ("empty", {"shape": (2, 3)}, np.zeros((2, 3)), ANY),
    ):
        for dtype in dtypes:
            typed = expected.astype(dtype.numpy)
            yield Case(name, lambda typed=typed, **o: typed, (), options | {"dtype": dtype}, dtypes=(dtype,), **made)
    for name in ("ones_like", "zeros_like"):
        yield from cases(name, getattr(np, name), [MATRIX, ROW], dtypes=ANY, smooth=False)
    yield from cases("empty_like", np.zeros_like, [MATRIX], dtypes=ANY, smooth=False)
    yield from cases("full_like", np.full_like, [MATRIX], {"fill_value": 2}, dtypes=NUMBERS, smooth=False)
    yield from cases("asarray", lambda x: x, [MATRIX], dtypes=ANY)
    yield from cases("from_dlpack", lambda x: x, [MATRIX], dtypes=ANY, smooth=False, batches=False, symbolic=False)
    yield from cases("astype", lambda x, dtype: x.astype(np.float64), [MATRIX], {"dtype": gr.f64}, dtypes=ANY)
    for shapes, o in crossing([MATRIX, BOX], k=(-1, 0, 2)):
        yield from cases("tril", np.tril, shapes, o, dtypes=ANY)
        yield from cases("triu", np.triu, shapes, o, dtypes=ANY)
    yield from cases("meshgrid", lambda x, y: np.meshgrid(x, y)[0], [((3,), (4,))], function=first("meshgrid"),
                     dtypes=ANY)  # fmt: skip
    yield from cases("one_hot", lambda x, num_classes: np.eye(num_classes, dtype=np.float32)[x], [ROW, MATRIX],
                     {"num_classes": 4}, dtypes=(i32, i64), low=0, smooth=False)  # fmt: skip


def arranging() -> Iterator[Case]:
    def of(
        name: str, shapes: list[Any], reference: Any = None, function: Any = None, facts: Any = None, **options: Any
    ) -> Iterator[Case]:
        more = facts or {}
        return cases(name, reference or getattr(np, name), shapes, options, dtypes=ANY, function=function, **more)

    fixed = {"symbolic": False}
    yield from of("broadcast_to", [(4,), (3, 1)], shape=(3, 4), facts=fixed)
    yield from of("broadcast_arrays", [(MATRIX, (4,))], lambda *xs: np.broadcast_arrays(*xs)[1],
                  lambda *xs: gr.broadcast_arrays(*xs)[1])  # fmt: skip
    for axis in (0, -1):
        pair = [((3, 4), (3, 4)), ((2, 3, 4), (2, 3, 4))]
        yield from of("concat", pair, lambda *xs, axis: np.concatenate(xs, axis), lambda *xs, axis: gr.concat(xs, axis),
                      axis=axis)  # fmt: skip
        yield from of("stack", pair, lambda *xs, axis: np.stack(xs, axis), lambda *xs, axis: gr.stack(xs, axis),
                      axis=axis)  # fmt: skip
        yield from of("expand_dims", [MATRIX, ROW], axis=axis)
        yield from of("flip", [MATRIX, ROW, EMPTY], axis=axis)
        yield from of("repeat", [MATRIX, ROW], repeats=2, axis=axis)
        yield from of("take", [BOX], lambda x, axis: np.take(x, [1, 0, 1], axis),
                      lambda x, axis: gr.take(x, np.int32([1, 0, 1]), axis), axis=axis, facts=fixed)  # fmt: skip
        yield from of("roll", [MATRIX, ROW, EMPTY], shift=-2, axis=axis)
        yield from of("unstack", [MATRIX], lambda x, axis: np.take(x, 0, axis), first("unstack"), axis=axis,
                      facts=fixed)  # fmt: skip
        yield from of("split", [(4, 6)], lambda x, axis: np.split(x, 2, axis)[1],
                      lambda x, axis: gr.split(x, 2, axis)[1], axis=axis, facts=fixed)  # fmt: skip
        yield from of("array_split", [(4, 7)], lambda x, axis: np.array_split(x, 3, axis)[0],
                      lambda x, axis: gr.array_split(x, 3, axis)[0], axis=axis, facts=fixed)  # fmt: skip
        yield from of("take_along_axis", [MATRIX], lambda x, axis: np.take_along_axis(x, np.argsort(x, axis), axis),
                      lambda x, axis: gr.take_along_axis(x, gr.argsort(x, axis), axis), axis=axis)  # fmt: skip
    for name in ("hstack", "vstack", "dstack", "column_stack"):
        yield from of(name, [((3, 4), (3, 4))], lambda *xs, n=name: getattr(np, n)(xs),
                      lambda *xs, n=name: getattr(gr, n)(xs))  # fmt: skip
    for name in ("fliplr", "flipud", "rot90", "matrix_transpose"):
        yield from of(name, [MATRIX])
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        yield from of(name, [(), ROW, MATRIX], facts={"batches": False})
    yield from of("ravel", [MATRIX, ROW, EMPTY])
    yield from of("flatten", [MATRIX], np.ravel)
    yield from of("tile", [MATRIX, ROW], lambda x, repetitions: np.tile(x, repetitions), repetitions=(2, 3))
    yield from of("moveaxis", [BOX], source=0, destination=-1)
    yield from of("swapaxes", [BOX], axis1=0, axis2=2)
    yield from of("permute_dims", [BOX], lambda x, axes: np.transpose(x, axes), axes=(2, 0, 1))
    yield from of("reshape", [MATRIX, (12,)], lambda x, shape: np.reshape(x, shape), shape=(2, -1), facts=fixed)
    yield from of("squeeze", [(3, 1, 4), (2, 1)], axis=1)
    yield from of("pad", [MATRIX], lambda x: np.pad(x, ((1, 0), (2, 3))), lambda x: gr.pad(x, ((1, 0), (2, 3))))


CASES = (*REDUCING, *elementwise(), *creation(), *arranging())
