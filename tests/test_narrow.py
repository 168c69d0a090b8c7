"""16-bit floats: conversions of every pattern, ops that compute in f32 and round, and what users meet."""

from __future__ import annotations

import math

import numpy as np
import pytest

import graphc as gr
from graphc.ir.narrow import narrowed
from graphc.ir.node import Array
from graphc.ir.types import DType
from graphc.runtime import targets

CPUS = [name for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4")
        if set(targets.target(name).features) <= set(targets.native().features)]  # fmt: skip
every_cpu = pytest.mark.parametrize("cpu", CPUS)
every_dtype = pytest.mark.parametrize("dtype", [gr.f16, gr.bf16], ids=str)


def patterns(dtype: DType) -> Array:
    """Every value of a 16-bit dtype."""
    return np.arange(1 << 16, dtype=np.uint16).view(dtype.numpy)


def near(dtype: DType) -> Array:
    """f32 values at, next to and half-way between those of a 16-bit dtype, and random ones."""
    exact = patterns(dtype).astype(np.float32).view(np.uint32).astype(np.int64)
    half = 1 << (12 if dtype == gr.f16 else 15)
    bits = np.concatenate([exact + offset for offset in (0, 1, -1, half - 1, half, half + 1, 1 << 11)])
    random = np.random.default_rng(0).integers(0, 1 << 32, 200_000)
    return np.concatenate([bits, random]).astype(np.uint64).astype(np.uint32).view(np.float32)


def same(got: Array, expected: Array) -> bool:
    """Whether arrays are equal bit by bit, but for the payload of NaNs."""
    assert got.dtype == expected.dtype
    word = np.dtype(f"u{got.dtype.itemsize}")
    nan = np.isnan(expected)
    signs = np.signbit(got) == np.signbit(expected)
    return bool(np.where(nan, np.isnan(got) & signs, got.view(word) == expected.view(word)).all())


@every_cpu
@every_dtype
def test_conversions_of_every_pattern_are_exact_and_of_others_correctly_rounded(dtype: DType, cpu: str) -> None:
    program = gr.Program("convert")

    @program.entry
    def widened(x: dtype["N"]):  # type: ignore[valid-type]
        return x.astype(gr.f32), x.astype(gr.f64), x.astype(gr.bool)

    @program.entry
    def rounded(x: gr.f32["N"], y: gr.f64["N"], n: gr.i32["N"]):
        return x.astype(dtype), y.astype(dtype), n.astype(dtype)

    compiled = program.compile(cpu=cpu)
    every, x = patterns(dtype), near(dtype)
    single, double, true = compiled.widened(every)
    with np.errstate(all="ignore"):
        assert same(single, every.astype(np.float32))
        assert same(double, every.astype(np.float64))
        assert (true == (every.astype(np.float32) != 0)).all()
        y = x.astype(np.float64) * (1 + 2.0**-40 * np.arange(-1, 2)[np.arange(len(x)) % 3])
        n = x.view(np.int32)
        of_single, of_double, of_integer = compiled.rounded(x, y, n)
        assert same(of_single, x.astype(dtype.numpy))
        assert same(of_double, y.astype(np.float16) if dtype == gr.f16 else narrowed(y, dtype))
        assert same(of_integer, n.astype(np.float32).astype(dtype.numpy))


def test_float64_is_rounded_once() -> None:
    above_tie = np.array([1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-8, 1 - 2.0**-9 - 2.0**-40])
    assert narrowed(above_tie, gr.bf16).tolist() == [1 + 2.0**-7, 1.0, 1 - 2.0**-8]
    edges = np.array([1e300, -1e300, 1e-300, -0.0, math.nan, math.inf, 65519.999999999, 65520.0])
    with np.errstate(all="ignore"):
        assert same(narrowed(edges, gr.f16), edges.astype(np.float16))


OPS = {
    "add": lambda x, y: x + y,
    "mul_add": lambda x, y: x * y + x,
    "divide": lambda x, y: x / y,
    "exp": lambda x, y: gr.exp(x),
    "maximum": lambda x, y: gr.maximum(x, y),
    "where": lambda x, y: gr.where(x < y, x, y),
    "weak": lambda x, y: 2.5 * x - 1,
    "sum": lambda x, y: gr.sum(x, axis=1),
    "max": lambda x, y: gr.max(x, axis=0),
    "argmax": lambda x, y: gr.argmax(x, axis=1),
    "matmul": lambda x, y: x @ y.T,
    "moved": lambda x, y: gr.flip(gr.concat([x.T, y.T], axis=1), axis=0),
    "gathered": lambda x, y: gr.take(x, gr.argmax(y, axis=1), axis=0),
}


@every_cpu
@every_dtype
@pytest.mark.parametrize("name", OPS)
def test_ops_compute_in_f32_and_round(name: str, dtype: DType, cpu: str) -> None:
    program = gr.Program("ops")

    @program.entry
    def f(x: dtype["N", 33], y: dtype["N", 33]):  # type: ignore[valid-type]
        return OPS[name](x, y)

    compiled = program.compile(cpu=cpu)
    draw = np.random.default_rng(1)
    for rows in (1, 2, 17):
        x, y = (draw.standard_normal((rows, 33)).astype(dtype.numpy) for _ in range(2))
        got, expected = compiled.f(x, y), gr.interpret(f)(x, y)
        assert got.dtype == expected.dtype
        unit = 2.0**-10 if dtype == gr.f16 else 2.0**-7
        assert np.allclose(got.astype(np.float64), np.asarray(expected, np.float64), rtol=unit, atol=unit)
        if name in ("add", "maximum", "where", "weak", "divide", "max", "argmax", "moved", "gathered"):
            assert got.tobytes() == expected.tobytes()
