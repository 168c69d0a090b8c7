"""The functions of `Lanes` keep to their stated errors on every target, and a lane's bits depend on nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.lane_kernels import TARGETS, Kernel, named
from tests.vecmath_reference import FUNCTIONS, angle_sample, domain, patterns, power_sample, reference, ulp_error

Floats = np.ndarray[Any, Any]

#: Largest error in ulp of f32 and f64, with FMA and without: what the functions' docstrings state.
BOUNDS = {
    "exp": (0.8, 0.8), "expm1": (1.4, 1.4), "log": (0.9, 0.8), "log1p": (1.6, 1.5), "tanh": (1.2, 1.2),
    "sigmoid": (1.5, 1.4), "erf": (1.5, 1.2), "sin": (1.6, 0.8), "cos": (1.6, 0.8), "pow": (0.6, 1.1),
    "atan2": (1.6, 3.2),
}  # fmt: skip
DTYPES: dict[str, Any] = {"f32": np.float32, "f64": np.float64}
INF, NAN = np.inf, np.nan

both = pytest.mark.parametrize("dtype", DTYPES)
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_target = pytest.mark.parametrize("target", TARGETS)


def lanes_of(dtype: str, target: str) -> int:
    """A full vector."""
    return TARGETS[target].lanes(4 if dtype == "f32" else 8)


@cache
def boundaries(dtype: str) -> Floats:
    """Values around which functions change their ways: powers of two, ends of formats, overflow and underflow."""
    kind = DTYPES[dtype]
    limits = np.finfo(kind)
    powers = np.exp2(np.arange(-30, 31).astype(kind))
    ends = np.array([limits.max, limits.tiny, limits.smallest_subnormal, limits.tiny / 2, limits.max / 2], kind)
    turns = np.array([87.3366, 88.72284, 103.2789, 103.97208, 104, 709.7827, 745.1332, 8.664339, 3.9192059], kind)
    angles = (np.arange(1, 2000) * (np.pi / 4)).astype(kind)
    hard = np.array([16367173 * 2.0**72, 6381956970095103 * 2.0 ** (797 if dtype == "f64" else 60)], kind)
    lengths = np.array([np.sqrt(0.5), np.sqrt(2) - 1, np.log(2) / 2, np.sqrt(0.5) - 1], kind)
    centre = np.concatenate([powers, ends, turns, angles, hard, np.abs(lengths)])
    bits = centre.view(np.int32 if dtype == "f32" else np.int64)
    positive = np.concatenate([np.maximum(bits + offset, 0) for offset in (-2, -1, 0, 1, 2)]).view(kind)
    return np.concatenate([positive, -positive, np.array([0.0, -0.0, INF, -INF, NAN], kind)])


@cache
def arguments(name: str, dtype: str) -> tuple[Floats, Floats]:
    """Arguments, boundaries included, and the exact results."""
    sample = patterns(0, 1 << 32, 4099) if dtype == "f32" else domain(name, 30_000)
    x = np.concatenate([boundaries(dtype), sample])
    return x, reference(name, x)


@both
@every_function
@every_target
def test_errors_stay_within_the_stated_bound(name: str, dtype: str, target: str) -> None:
    x, exact = arguments(name, dtype)
    error = ulp_error(named(name, dtype, lanes_of(dtype, target), target)(x), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS[name][dtype == "f64"], f"{name}({float(x[worst])!r})"


@both
@every_function
@every_target
def test_no_function_becomes_a_call(name: str, dtype: str, target: str) -> None:
    assert "call" not in named(name, dtype, lanes_of(dtype, target), target).assembly


SPECIAL = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (-1e5, 0.0), (1e5, INF)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (-1e5, -1.0), (1e5, INF), (-1e-38, -1e-38)],
    "log": [(INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1.0, NAN)],
    "log1p": [(INF, INF), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-2.0, NAN), (1e-38, 1e-38)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e5, 1.0), (-1e5, -1.0), (1e-38, 1e-38)],
    "sigmoid": [(INF, 1.0), (-INF, 0.0), (0.0, 0.5), (-0.0, 0.5), (1e5, 1.0), (-1e5, 0.0)],
    "erf": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (1e5, 1.0), (-1e5, -1.0)],
    "sin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (1e-38, 1e-38)],
    "cos": [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0), (1e-38, 1.0)],
}


@both
@every_function
@every_target
def test_special_values_are_exact(name: str, dtype: str, target: str) -> None:
    x, wanted = np.array([*SPECIAL[name], (NAN, NAN), (-NAN, NAN)], DTYPES[dtype]).T.copy()
    got = named(name, dtype, lanes_of(dtype, target), target)(x)
    np.testing.assert_array_equal(got, wanted)
    number = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(wanted[number]))


def bits(values: Floats) -> Floats:
    """The bits of floats, of every NaN the same."""
    unsigned = np.uint32 if values.dtype == np.float32 else np.uint64
    return np.where(np.isnan(values), unsigned(0), values.view(unsigned))


@both
@pytest.mark.parametrize("name", [*FUNCTIONS, "sqrt", "rsqrt", "floor", "round"])
def test_bits_do_not_depend_on_the_number_of_lanes(name: str, dtype: str) -> None:
    x = arguments("exp", dtype)[0][:3000]
    for target in list(TARGETS)[-2:]:
        results = [bits(named(name, dtype, lanes, target)(x)) for lanes in (1, 4, 8, 16)]
        for other in results[1:]:
            np.testing.assert_array_equal(other, results[0])


@both
@every_function
def test_without_fma_all_targets_give_the_same_bits(name: str, dtype: str) -> None:
    x = arguments(name, dtype)[0][:3000]
    results = []
    for target in TARGETS.values():
        lanes = target.lanes(4 if dtype == "f32" else 8)
        kernel = Kernel(lambda e, x: getattr(e, name)(x), [dtype], dtype, lanes, replace(target, fma=False))
        results.append(bits(kernel(x)))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@both
@every_target
def test_power_stays_within_its_bound(dtype: str, target: str) -> None:
    x, y, exact = power_sample(dtype, 20_000)
    got = named("pow", dtype, lanes_of(dtype, target), target, operands=2)(x, y)
    assert ulp_error(got, exact).max() <= BOUNDS["pow"][dtype == "f64"]


@both
@every_target
def test_power_has_the_special_values_of_c(dtype: str, target: str) -> None:
    kind = DTYPES[dtype]
    values = np.array(
        [0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, -1.5, 1e9, -1e9, 1e38, -1e38, 1e-38, INF, -INF, NAN], kind
    )
    x, y = (np.array(column, kind) for column in zip(*itertools.product(values, values), strict=True))
    with np.errstate(all="ignore"):
        exact = np.power(x, y)
    got = named("pow", dtype, lanes_of(dtype, target), target, operands=2)(x, y)
    special = np.isnan(exact) | np.isinf(exact) | (exact == 0) | (np.abs(exact) == 1)
    np.testing.assert_array_equal(got[special], exact[special])
    kept = special & ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(got[kept]), np.signbit(exact[kept]))
    np.testing.assert_allclose(got[~special], exact[~special], rtol=2 * np.finfo(kind).eps)


@both
@every_target
def test_the_angle_of_a_point_stays_within_its_bound(dtype: str, target: str) -> None:
    y, x, exact = angle_sample(dtype, 20_000)
    got = named("atan2", dtype, lanes_of(dtype, target), target, operands=2)(y, x)
    assert ulp_error(got, exact).max() <= BOUNDS["atan2"][dtype == "f64"]


def test_threefry_gives_the_blocks_of_the_random123_test_vectors() -> None:
    key = [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x13198A2E, 0x03707344)]
    counter = [(0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x243F6A88, 0x85A308D3)]
    wanted = [(0x6B200159, 0x99BA4EFE), (0x1CB996FC, 0xBB002BE7), (0xC4923A9C, 0x483DF7A0)]
    operands = [np.array(column, np.uint32) for pairs in (key, counter) for column in zip(*pairs, strict=True)]
    for word in (0, 1):
        for lanes in (1, 8):
            kernel = Kernel(
                lambda e, *operands, word=word: e.threefry(*operands, word), ["u32"] * 4, "u32", lanes,
                next(iter(TARGETS.values())),
            )  # fmt: skip
            np.testing.assert_array_equal(kernel(*operands), np.array([w[word] for w in wanted], np.uint32))


#: Every how manieth float32 the slow run looks at: an odd number meets all exponents and all low bits.
STRIDE = 37


@pytest.mark.slow
@every_function
def test_errors_over_a_part_of_all_float32(name: str) -> None:
    target = list(TARGETS)[-1]
    kernel = named(name, "f32", lanes_of("f32", target), target)
    for start in range(0, 1 << 32, STRIDE << 20):
        x = patterns(start, min(start + (STRIDE << 20), 1 << 32), STRIDE)
        assert ulp_error(kernel(x), reference(name, x)).max() <= BOUNDS[name][0]
