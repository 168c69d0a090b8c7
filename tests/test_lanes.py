"""Each arithmetic method of `Lanes` means what NumPy means, save that nothing traps."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.codegen.lanes import Lanes
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.object import emit_object
from graphc.errors import InternalError
from tests.lane_kernels import DTYPES, TARGETS, Kernel

Array = np.ndarray[Any, Any]

FLOATS, SIGNED, UNSIGNED = ("f32", "f64"), ("i32", "i64"), ("u8", "u32", "u64")
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS

every_target = pytest.mark.parametrize("target", TARGETS)


def values(dtype: str) -> Array:
    """Edge cases of a dtype and some plain values."""
    kind = DTYPES[dtype]
    rng = np.random.default_rng(2)
    if dtype == "bool":
        return np.array([False, True])
    if dtype in FLOATS:
        limits = np.finfo(kind)
        edges = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.5, 1.0, -1.0, 0.49999997, 8388607.5, -8388609.0, 3e9, -3e9, 256.7,
                 1e18, -1e19, 2e19, np.inf, -np.inf, np.nan, limits.max, limits.tiny, limits.smallest_subnormal,
                 2147483647.0, 2147483648.0, -2147483648.0, 4294967295.0, 9.2233720368547758e18]  # fmt: skip
        return np.concatenate([np.array(edges, kind), rng.normal(0, 100, 40).astype(kind)])
    limit = np.iinfo(kind)
    edges = [0, 1, 2, 3, 7, limit.max, limit.max - 1, limit.min, limit.min + 1, limit.max // 2]
    edges += [-1, -2, -3, -7] if dtype in SIGNED else []
    return np.concatenate([np.array(edges, kind), rng.integers(limit.min, limit.max, 20, dtype=kind, endpoint=True)])


def pairs(dtype: str) -> tuple[Array, Array]:
    """Every pair of the values."""
    x, y = zip(*itertools.product(values(dtype), repeat=2), strict=True)
    return np.array(x, DTYPES[dtype]), np.array(y, DTYPES[dtype])


def run(name: str, dtype: str, result: str, target: str, *arrays: Array, lanes: int | None = None) -> Array:
    """`Lanes.name` of arrays, in full vectors or the lanes given."""
    lanes = lanes or TARGETS[target].lanes(max(1, np.dtype(DTYPES[dtype]).itemsize))
    kernel = Kernel(lambda e, *x: getattr(e, name)(*x), [dtype] * len(arrays), result, lanes, TARGETS[target])
    return kernel(*arrays)


def floor_divide(x: Array, y: Array) -> Array:
    """NumPy's, which gives 0 for division by 0 and the least integer for its quotient by −1."""
    return np.asarray(np.floor_divide(x, y))


def shift(operation: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A shift that gives 0 where the count is not within the width."""

    def shifted(x: Array, y: Array) -> Array:
        inside = (y >= 0) & (y < x.itemsize * 8)
        return np.where(inside, operation(x, np.where(inside, y, 0).astype(y.dtype)), 0).astype(x.dtype)

    return shifted


#: Methods of two operands that give their dtype: the dtypes, and the meaning.
BINARY: dict[str, tuple[tuple[str, ...], Callable[[Array, Array], Array]]] = {
    "add": (NUMBERS, operator.add),
    "sub": (NUMBERS, operator.sub),
    "mul": (NUMBERS, operator.mul),
    "rem": (NUMBERS, np.remainder),
    "min": (NUMBERS, np.minimum),
    "max": (NUMBERS, np.maximum),
    "bit_and": (INTEGERS, np.bitwise_and),
    "bit_or": (INTEGERS, np.bitwise_or),
    "bit_xor": (INTEGERS, np.bitwise_xor),
    "shl": (INTEGERS, shift(np.left_shift)),
    "shr": (INTEGERS, shift(np.right_shift)),
    "logical_and": (("bool",), np.logical_and),
    "logical_or": (("bool",), np.logical_or),
    "logical_xor": (("bool",), np.logical_xor),
}

UNARY: dict[str, tuple[tuple[str, ...], Callable[[Array], Array]]] = {
    "neg": (NUMBERS, np.negative),
    "abs": (NUMBERS, np.abs),
    "sign": (NUMBERS, np.sign),
    "floor": (NUMBERS, np.floor),
    "ceil": (NUMBERS, np.ceil),
    "round": (NUMBERS, np.round),
    "trunc": (NUMBERS, np.trunc),
    "sqrt": (FLOATS, np.sqrt),
    "rsqrt": (FLOATS, lambda x: np.asarray(1 / np.sqrt(x), x.dtype)),
    "logical_not": (("bool",), np.logical_not),
}


def cases(table: dict[str, tuple[tuple[str, ...], Any]]) -> list[tuple[str, str]]:
    """Method and dtype, all of them."""
    return [(name, dtype) for name, (dtypes, _) in table.items() for dtype in dtypes]


def assert_equal(got: Array, wanted: Array) -> None:
    """Equal, NaN to NaN."""
    np.testing.assert_array_equal(got, wanted.astype(got.dtype))


@every_target
@pytest.mark.parametrize(("name", "dtype"), cases(BINARY))
def test_binary_methods_mean_what_numpy_means(name: str, dtype: str, target: str) -> None:
    x, y = pairs(dtype)
    with np.errstate(all="ignore"):
        wanted = BINARY[name][1](x, y)
    assert_equal(run(name, dtype, dtype, target, x, y), wanted)


@every_target
@pytest.mark.parametrize(("name", "dtype"), cases(UNARY))
def test_unary_methods_mean_what_numpy_means(name: str, dtype: str, target: str) -> None:
    x = values(dtype)
    with np.errstate(all="ignore"):
        wanted = UNARY[name][1](x).astype(x.dtype)
    got = run(name, dtype, dtype, target, x)
    assert_equal(got, wanted)
    if dtype in FLOATS and name != "sign":
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(wanted[number]))


@every_target
@pytest.mark.parametrize("dtype", NUMBERS)
def test_division(dtype: str, target: str) -> None:
    x, y = pairs(dtype)
    with np.errstate(all="ignore"):
        wanted = x / y if dtype in FLOATS else floor_divide(x, y)
    assert_equal(run("div", dtype, dtype, target, x, y), wanted)


@every_target
@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(name: str, dtype: str, target: str) -> None:
    x, y = pairs(dtype)
    assert_equal(run(name, dtype, "bool", target, x, y), getattr(operator, name)(x, y))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_powers_wrap_and_take_the_integer_part(dtype: str) -> None:
    x, y = pairs(dtype)
    if dtype in SIGNED:
        wanted = np.power(x, np.maximum(y, 0))
        odd = np.where(y % 2 == 0, 1, -1)
        wanted = np.where(y < 0, np.where(x == 1, 1, np.where(x == -1, odd, 0)), wanted)
    else:
        wanted = np.power(x, y)
    assert_equal(run("pow", dtype, dtype, list(TARGETS)[-1], x, y), wanted)


def saturated(x: Array, to: str) -> Array:
    """x cut to the range of an integer dtype, exactly; NaN is 0."""
    limits = np.iinfo(DTYPES[to])
    whole = [0 if np.isnan(v) else limits.max if v == np.inf else limits.min if v == -np.inf else int(v) for v in x]
    return np.array([min(max(v, limits.min), limits.max) for v in whole], DTYPES[to])


@every_target
@pytest.mark.parametrize(("dtype", "to"), list(itertools.product((*NUMBERS, "bool"), repeat=2)))
def test_casts_wrap_integers_and_saturate_floats(dtype: str, to: str, target: str) -> None:
    x = values(dtype)
    kernel = Kernel(lambda e, x: e.cast(x, to), [dtype], to, 16, TARGETS[target])
    with np.errstate(all="ignore"):
        wanted = saturated(x, to) if dtype in FLOATS and to in INTEGERS else x.astype(DTYPES[to])
    assert_equal(kernel(x), wanted)
    assert "call" not in kernel.assembly


@every_target
@pytest.mark.parametrize("dtype", FLOATS)
def test_remainder_is_exact_over_the_whole_range(dtype: str, target: str) -> None:
    rng = np.random.default_rng(3)
    spread = 120 if dtype == "f32" else 1000
    x, y = ((rng.normal(size=2000) * np.exp2(rng.uniform(-spread, spread, 2000))).astype(DTYPES[dtype]) for _ in "xy")
    assert_equal(run("rem", dtype, dtype, target, x, y), np.remainder(x, y))


@every_target
@pytest.mark.parametrize("dtype", FLOATS)
def test_fma_rounds_once_where_the_target_has_it(dtype: str, target: str) -> None:
    kind = DTYPES[dtype]
    tiny = np.finfo(kind).eps
    x = np.array([1 + tiny] * 3, kind)
    exact = kind(2) * tiny + kind(tiny * tiny)
    wanted = exact if TARGETS[target].fma else 2 * tiny
    assert_equal(run("fma", dtype, dtype, target, x, x, np.full(3, -1, kind)), np.full(3, wanted, kind))


@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
def test_select_and_constant(dtype: str) -> None:
    x, y = pairs(dtype)
    target = TARGETS[list(TARGETS)[-1]]
    kernel = Kernel(lambda e, x, y: e.select(e.lt(x, y), x, e.constant(1)), [dtype, dtype], dtype, 8, target)
    assert_equal(kernel(x, y), np.where(x < y, x, DTYPES[dtype](1)))


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", ["div", "rem"])
def test_division_gives_the_same_bits_one_lane_at_a_time(name: str, dtype: str) -> None:
    x, y = pairs(dtype)
    target = list(TARGETS)[-1]
    assert_equal(run(name, dtype, dtype, target, x, y, lanes=1), run(name, dtype, dtype, target, x, y))


def test_functions_of_floats_refuse_integers() -> None:
    target = next(iter(TARGETS.values()))
    b = Builder(Module(target.triple), "f", [("i32", "x")])
    with pytest.raises(InternalError, match="exp of i32 lanes"):
        Lanes(b, "i32", 1, target).exp(b.arguments[0])


@every_target
@pytest.mark.parametrize(("dtype", "to"), [("f64", "u8"), ("f32", "u32"), ("f64", "u64"), ("f32", "i32")])
def test_the_least_of_a_converted_float_and_zero_compiles(target: str, dtype: str, to: str) -> None:
    """LLVM takes min(fptoui x, 0) for a conversion to an integer of no bits, and aborts on it."""
    lanes = TARGETS[target].lanes(8)
    module = Module(TARGETS[target].triple, TARGETS[target].feature_text)
    b = Builder(module, "f", [("ptr", "x"), ("ptr", "y")], linkage="")
    e = Lanes(b, dtype, lanes, TARGETS[target])
    whole = e.of(to)
    least = whole.min(e.cast(b.load(e.type, b.arguments[0]), to), whole.constant(0))
    b.store(whole.cast(least, dtype), b.arguments[1])
    b.ret()
    assert emit_object(module.text(), TARGETS[target])
