"""Elementwise functions against NumPy on special values of every dtype, and their derivatives of two orders."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors


def words(text: str) -> list[str]:
    """Names apart."""
    return text.split()


FLOATS = np.array([
    0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -3, 1e-3, -1e-3, 1e-8, 1e-30, 1e-40, 10, -10, 20.7, 50, 88, -88,
    100, -100, 1e4, -1e4, 1e10, -1e10, 1e20, -1e20, 3e38, -3e38, np.inf, -np.inf, np.nan, 0.99999, -0.99999, 1.00001,
    np.pi, np.pi / 2, 2.0**60, -(2.0**60),
])  # fmt: skip
SPECIAL: dict[str, Any] = {
    "float32": FLOATS.astype(np.float32),
    "float64": FLOATS,
    "int32": np.array([0, 1, -1, 2, -2, 3, -3, 7, -7, 31, 32, 100, -100, 2**31 - 1, -(2**31)], np.int32),
    "int64": np.array([0, 1, -1, 2, -2, 3, -3, 7, -7, 63, 64, 2**63 - 1, -(2**63)], np.int64),
    "uint8": np.array([0, 1, 2, 3, 7, 31, 100, 200, 255], np.uint8),
    "bool": np.array([True, False]),
}
UNARY = words(
    "acos acosh asin asinh atan atanh cbrt ceil cos cosh deg2rad exp exp2 expm1 floor isfinite isinf isnan "
    "isneginf isposinf log log10 log1p log2 logical_not nan_to_num negative positive rad2deg round sign "
    "signbit sin sinc sinh sqrt square tan tanh trunc abs"
)
BINARY = words(
    "add subtract multiply divide floor_divide remainder maximum minimum fmax fmin equal not_equal less "
    "less_equal greater greater_equal logical_and logical_or logical_xor isclose heaviside"
)
FLOATING = words("pow atan2 hypot copysign nextafter logaddexp logaddexp2")
WHOLE = words("bitwise_and bitwise_or bitwise_xor")
INTEGERS = {"int32", "int64", "uint8"}
#: What booleans are promoted to is graphc's own where NumPy has 8-bit integers, or refuses.
NOT_OF_BOOL = {"negative", "subtract", "sign", "positive", "floor_divide", "remainder", "square", "abs", "nan_to_num"}
NUMPY = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh",
    "atan2": "arctan2", "pow": "power", "round": "rint", "bitwise_invert": "invert",
}  # fmt: skip


def agree(name: str, got: Any, exact: Any, *operands: Any) -> None:
    """Equal, to a few units in the last place; signs of zeros too."""
    wanted = np.asarray(exact)
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted, err_msg=name)
        return
    wanted = wanted.astype(got.dtype)
    slack = {"float32": 2e-6, "float64": 2e-14}[str(got.dtype)]
    tiny = np.finfo(got.dtype).smallest_subnormal
    with np.errstate(all="ignore"):
        close = (
            (got == wanted)
            | (np.isnan(got) & np.isnan(wanted))
            | (np.abs(got - wanted) <= slack * np.abs(wanted) + tiny)
        )
        wrong = ~close | ((np.signbit(got) != np.signbit(wanted)) & (wanted == 0) & ~np.isin(name, ["fmax", "fmin"]))
    at = tuple(np.argwhere(wrong)[0]) if wrong.any() else ()
    shown = [np.broadcast_to(x, got.shape)[at] for x in operands]
    assert not wrong.any(), f"{name}{tuple(shown)} gives {got[at]}, not {wanted[at]}"


def reference(name: str, *operands: Any) -> Any:
    """NumPy's function: of integers in double precision where it is one of floats."""
    if name in FLOATING or (name in UNARY and operands[0].dtype.kind in "iub"):
        exact = {"ceil", "floor", "round", "trunc", "negative", "positive", "abs", "square", "sign", "nan_to_num"}
        if name not in exact and operands[0].dtype.kind in "iub" and name != "logical_not":
            operands = tuple(x.astype(np.float32).astype(np.float64) for x in operands)
    return getattr(np, NUMPY.get(name, name))(*operands)


@pytest.mark.parametrize("dtype", SPECIAL)
def test_functions_of_one_operand(dtype: str) -> None:
    x = SPECIAL[dtype]
    names = [n for n in UNARY if not ((dtype == "bool" and n in NOT_OF_BOOL) or (n == "sinc" and dtype[0] != "f"))]
    found = gr.jit(lambda x: {n: getattr(gr, n)(x) for n in names})(x)
    with np.errstate(all="ignore"):
        for name in names:
            agree(name, found[name], reference(name, x), x)


@pytest.mark.parametrize("dtype", SPECIAL)
def test_functions_of_two_operands(dtype: str) -> None:
    x, y = SPECIAL[dtype][:, None], SPECIAL[dtype][None, :]
    names = BINARY + (WHOLE if dtype in INTEGERS | {"bool"} else []) + (FLOATING if dtype[0] == "f" else [])
    names = [n for n in names if not (dtype == "bool" and n in NOT_OF_BOOL)]
    found = gr.jit(lambda x, y: {n: getattr(gr, n)(x, y) for n in names})(x, y)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            if name == "divide" and dtype in INTEGERS | {"bool"}:
                exact = x.astype(np.float32) / y.astype(np.float32)
            elif name in ("heaviside", "isclose") and dtype[0] != "f":
                exact = getattr(np, name)(x.astype(np.float32), y.astype(np.float32))
            else:
                exact = reference(name, x, y)
            agree(name, found[name], exact, x, y)


def test_integer_powers_and_shifts() -> None:
    x, y = np.arange(-5, 6, dtype=np.int32)[:, None], np.arange(0, 9, dtype=np.int32)
    power, left, right, invert = gr.jit(lambda x, y: (x**y, x << y, x >> y, ~x))(x, y)
    np.testing.assert_array_equal(power, x**y)
    np.testing.assert_array_equal(left, x << y)
    np.testing.assert_array_equal(right, x >> y)
    np.testing.assert_array_equal(invert, ~x)
    negative = gr.jit(lambda x, y: x ** (-1 - y))(x, y)
    np.testing.assert_array_equal(negative, np.where(x == 1, 1, np.where(x == -1, (-1) ** (1 + y), 0)))


@pytest.mark.parametrize(("dtype", "range_"), [(np.float16, 2), (np.float32, 9), (np.float64, 9)])
def test_whole_quotients_of_any_size_are_numpys(dtype: Any, range_: int) -> None:
    rng = np.random.default_rng(0)
    x, y = ((rng.normal(size=50_000) * 10.0 ** rng.uniform(-range_, range_, 50_000)).astype(dtype) for _ in range(2))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gr.jit(lambda x, y: x // y)(x, y), x // y, strict=True)


def test_booleans_are_a_lattice() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    found = gr.jit(lambda a, b: (a + b, a * b, gr.maximum(a, b), gr.minimum(a, b), a + 1, a * 0.5))(a, b)
    for got, wanted in zip(found, (a | b, a & b, a | b, a & b, a + 1, a * 0.5), strict=True):
        np.testing.assert_array_equal(got, wanted)
    for wrong in (lambda a: a - a, lambda a: -a):
        with pytest.raises(errors.DTypeError, match="not defined on bool"):
            gr.jit(wrong)(a)


def test_clip_takes_missing_and_tensor_bounds() -> None:
    x = np.float32([-2, -0.5, np.nan, 0.5, 2])
    low = np.float32([-1, 0, 0, 1, 1])
    found = gr.jit(lambda x, low: (gr.clip(x), gr.clip(x, -1), gr.clip(x, max=1), x.clip(low, 1.0), gr.clip(x, 1, -1)))
    for got, bounds in zip(found(x, low), ((None, None), (-1, None), (None, 1), (low, 1), (1, -1)), strict=True):
        np.testing.assert_array_equal(got, np.clip(x, *bounds) if any(b is not None for b in bounds) else x)


INTERIOR: dict[str, tuple[float, float]] = {
    **dict.fromkeys(["acos", "asin", "atanh"], (-0.9, 0.9)),
    "acosh": (1.1, 5),
    **dict.fromkeys(["log", "log2", "log10", "sqrt", "reciprocal", "rsqrt"], (0.2, 4)),
    "log1p": (-0.8, 3),
}
SMOOTH = words(
    "acos acosh asin asinh atan atanh cbrt cos cosh deg2rad erf erfc exp exp2 expm1 log log10 log1p log2 "
    "negative rad2deg reciprocal rsqrt sigmoid sin sinc sinh sqrt square tan tanh abs nan_to_num"
)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_functions_of_one_operand(name: str) -> None:
    x = np.random.default_rng(1).uniform(*INTERIOR.get(name, (-1.3, 1.3)), 9)
    gr.check_grads(lambda x: getattr(gr, name)(x), x, order=2)


@pytest.mark.parametrize("name", [*FLOATING, "fmax", "fmin", "heaviside", "remainder", "maximum", "clip"])
def test_derivatives_of_functions_of_two_operands(name: str) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0.5, 3, (3, 1)), rng.uniform(0.5, 3, 4)
    gr.check_grads(lambda x, y: getattr(gr, name)(x, y), x, y, order=2)


LIMITS: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "asin at its ends": (lambda x: gr.asin(x), [-1, 0, 1], [np.inf, 1, np.inf]),
    "acos at its ends": (lambda x: gr.acos(x), [-1, 0, 1], [-np.inf, -1, -np.inf]),
    "asinh": (lambda x: gr.asinh(x), [0.0, -0.0, 1e20, -1e20, np.inf], [1, 1, 1e-20, 1e-20, 0]),
    "acosh": (lambda x: gr.acosh(x), [1, 1e20, np.inf], [np.inf, 1e-20, 0]),
    "atan": (lambda x: gr.atan(x), [0, 1e30, np.inf, -np.inf], [1, 0, 0, 0]),
    "atan2 of nothing": (lambda x: gr.atan2(x, x), [0.0, 1.0], [0, 0]),
    "hypot": (lambda x: gr.hypot(x, 0.0), [0.0, 3.0, -3.0], [0, 1, -1]),
    "sinc": (lambda x: gr.sinc(x), [0.0, 1e-8], [0, -3.28986813e-8]),
    "power of 0": (lambda x: x ** gr.asarray(np.float64(0)), [0.0, np.nan], [0, 0]),
    "copysign": (lambda x: gr.copysign(x, -1.0), [2.0, -2.0], [-1, 1]),
}


@pytest.mark.parametrize("name", LIMITS)
def test_derivatives_at_limits(name: str) -> None:
    function, x, wanted = LIMITS[name]
    got = gr.jit(lambda x: gr.gradients(gr.sum(function(x)), [x])[0])(np.array(x, np.float64))
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-19)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 17)])
def test_odd_shapes(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32)
    found = gr.jit(lambda x: {n: getattr(gr, n)(x) for n in SMOOTH})(x)
    for name, got in found.items():
        assert np.shape(got) == shape, name


EDGES: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "erfinv": (lambda x: gr.erfinv(x), [0.0, 1, -1, 1.5, np.nan, 1 - 1e-12],
               [0, np.inf, -np.inf, np.nan, np.nan, 5.042031898572696]),
    "lgamma": (lambda x: gr.lgamma(x), [0.0, -1, -2, 1, 2, np.inf, -np.inf, np.nan, 1e300, 0.5],
               [np.inf] * 3 + [0, 0, np.inf, np.inf, np.nan, 6.897755278982137e302, 0.5723649429247001]),
    "digamma": (lambda x: gr.digamma(x), [0.0, -0.0, -1, 1, np.inf, -np.inf, np.nan],
                [-np.inf, np.inf, np.nan, -0.5772156649015329, np.inf, np.nan, np.nan]),
    "logit": (lambda x: gr.logit(x), [0.0, 1, 0.5, -0.1, 1.1], [-np.inf, np.inf, 0, np.nan, np.nan]),
    "logit within": (lambda x: gr.logit(x, eps=0.25), [0.0, 1, 0.5], [-np.log(3), np.log(3), 0]),
    "xlogy of 0": (lambda x: gr.xlogy(0.0, x), [0.0, -1, np.inf, np.nan, 2], [0, 0, 0, np.nan, 0]),
    "xlogy at 0": (lambda x: gr.xlogy(x, 0.0), [0.0, 1, -1], [0, -np.inf, np.inf]),
    "xlog1py of 0": (lambda x: gr.xlog1py(0.0, x), [-1.0, -2, np.inf, np.nan, 2], [0, 0, 0, np.nan, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_special_functions_at_their_edges(name: str) -> None:
    function, x, wanted = EDGES[name]
    np.testing.assert_allclose(gr.jit(function)(np.array(x)), wanted, rtol=1e-14, atol=2e-15)


def test_special_functions_have_derivatives_at_their_edges() -> None:
    def slopes(x: Any) -> Any:
        made = (gr.erfinv(x), gr.lgamma(x + 1.5), gr.xlogy(x, 0.0 * x + 2.0), gr.xlogy(x, x))
        return [gr.gradients(gr.sum(y), [x])[0] for y in made]

    erfinv, lgamma, first, both = gr.jit(slopes)(np.array([0.0, 0.5]))
    np.testing.assert_allclose(erfinv, [np.sqrt(np.pi) / 2, np.sqrt(np.pi) / 2 * np.exp(0.4769362762044699**2)])
    np.testing.assert_allclose(lgamma, [0.03648997397857652, 0.4227843350984671])
    np.testing.assert_allclose(first, [np.log(2)] * 2)
    np.testing.assert_allclose(both, [0, np.log(0.5) + 1])
