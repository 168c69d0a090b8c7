"""16-bit floats: conversions of every pattern, ops that compute in f32 and round, and what users meet."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
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


SMOOTH = {
    "tanh": lambda x, y: gr.tanh(x * y),
    "matmul": lambda x, y: x @ y.T,
    "broadcast": lambda x, y: x * gr.sum(y, axis=0) + gr.mean(x),
    "gather": lambda x, y: gr.take(x, gr.asarray(np.int32([0, 0, 1])), axis=0) * 2,
    "softmax": lambda x, y: nn.softmax(x) * y,
    "norm": lambda x, y: (x - gr.mean(x, axis=1, keepdims=True)) / gr.std(x, axis=1, keepdims=True),
}


@every_dtype
@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_f32_to_rounding(name: str, dtype: DType) -> None:
    draw = np.random.default_rng(2)
    x, y = (draw.uniform(-1, 1, (3, 5)).astype(dtype.numpy) for _ in range(2))
    assert gr.check_grads(SMOOTH[name], x, y).worst < 1e-6

    def both(x: gr.Tensor, y: gr.Tensor) -> gr.Tensor:
        return gr.sum(SMOOTH[name](x, y).astype(gr.f32) ** 3)

    narrow = gr.jit(gr.grad(both))(x, y)
    exact = gr.jit(gr.grad(both))(x.astype(np.float32), y.astype(np.float32))
    assert narrow.dtype == dtype.numpy
    assert np.abs(narrow.astype(np.float32) - exact).max() < (0.005 if dtype == gr.f16 else 0.04) * np.abs(exact).max()


def test_a_function_rounds_once() -> None:
    x = np.random.default_rng(3).uniform(-4, 4, (4, 100)).astype(gr.bf16.numpy)
    for function in (nn.softmax, nn.gelu, nn.logsumexp, gr.mean, gr.var, gr.sinh):
        expected = gr.jit(function)(x.astype(np.float32)).astype(x.dtype)
        assert gr.jit(function)(x).tobytes() == expected.tobytes()
    assert gr.jit(gr.mean)(np.full(100_000, 60000, np.float16)) == 60000
    infinite = np.float16([np.inf, -np.inf, np.nan])
    assert gr.jit(gr.nan_to_num)(infinite).tolist() == [65504, -65504, 0]


def test_promotion() -> None:
    dtypes = [(gr.f16, gr.f32, gr.f32), (gr.bf16, gr.f16, gr.f32), (gr.bf16, gr.f64, gr.f64), (gr.f16, gr.i32, gr.f16),
              (gr.bf16, gr.bool, gr.bf16)]  # fmt: skip
    for a, b, expected in dtypes:
        found = gr.jit(lambda x, y: x + y)(np.ones(3, a.numpy), np.ones(3, b.numpy))
        assert found.dtype == expected.numpy
    half = np.float16([1, 2])
    assert gr.jit(lambda x: x * 0.5 + 1)(half).dtype == np.float16
    assert gr.jit(lambda x: x * np.float64(0.5))(half).dtype == np.float16
    assert gr.finfo(gr.bf16).eps == 2.0**-7
    assert gr.finfo(gr.f16).max == 65504.0


def test_a_rounding_is_kept() -> None:
    x = np.float32([1.0009765625, 3.14159274])
    for dtype in (gr.f16, gr.bf16):
        found = gr.jit(lambda x, dtype=dtype: x.astype(dtype).astype(gr.f32))(x)
        assert found.tolist() == x.astype(dtype.numpy).astype(np.float32).tolist()
    crossed = gr.jit(lambda x: x.astype(gr.f16).astype(gr.bf16).astype(gr.f16).astype(gr.f32))(x)
    through = x.astype(np.float16).astype(gr.bf16.numpy).astype(np.float16).astype(np.float32)
    assert crossed.tolist() == through.tolist()


@every_cpu
@every_dtype
def test_a_network_of_16_bit_parameters_trains(dtype: DType, cpu: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Dense(16, activation="relu"), nn.Dense(3))
    opt = optim.Adam(0.02)
    program = gr.Program("small")

    @program.entry
    def predict(x: dtype["N", 7]):  # type: ignore[valid-type]
        return nn.softmax(net(x))

    @program.entry
    def train_step(x: dtype["N", 7], y: gr.i32["N"]):  # type: ignore[valid-type]
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        opt.minimize(loss)
        return {"loss": loss}

    draw = np.random.default_rng(4)
    x, y = draw.standard_normal((90, 7)).astype(dtype.numpy), draw.integers(0, 3, 90).astype(np.int32)
    x[np.arange(90), y] += 3
    compiled = program.compile(cpu=cpu)
    types = {v.name: v.dtype for v in compiled.state.signature.state}
    assert types["dense/kernel"] == dtype.name
    assert types["dense/kernel/adam/m"] == types["adam/learning_rate"] == "f32"
    before = compiled.train_step(x, y)["loss"]
    assert before.dtype == dtype.numpy
    for _ in range(20):
        after = compiled.train_step.epoch(x, y, batch_size=16, shuffle=1)["loss"]
    assert float(after) < 0.3 * float(before)
    assert (compiled.predict.map(x, batch_size=20).astype(np.float32).argmax(1) == y).mean() > 0.9

    kept = compiled.state.copy()
    compiled.save(tmp_path / "state.safetensors")
    compiled.init(seed=9)
    compiled.restore(tmp_path / "state.safetensors")
    assert {k: v.tobytes() for k, v in kept.items()} == {k: v.tobytes() for k, v in compiled.state.items()}
    compiled.build(tmp_path / "small.so", cpu=cpu)
    assert gr.load(tmp_path / "small.so").predict(x).tobytes() == compiled.predict(x).tobytes()
    header = (tmp_path / "small.h").read_text()
    assert "const uint16_t *x" in header
    assert "bits in uint16_t" in header


def test_initial_values_and_random_numbers_have_the_dtype_asked_for() -> None:
    for dtype in (gr.f16, gr.bf16):
        for draw in (gr.random.uniform, gr.random.normal, gr.random.truncated_normal):
            found = gr.jit(lambda draw=draw, dtype=dtype: draw((1000,), key=gr.random.key(1), dtype=dtype))()
            assert found.dtype == dtype.numpy
            assert 0.2 < found.astype(np.float32).std() < 1.2
        unit = gr.jit(lambda dtype=dtype: gr.random.uniform((5000,), key=gr.random.key(2), dtype=dtype))().astype("f4")
        assert 0 <= unit.min() < unit.max() < 1


def test_what_is_not_there_says_so() -> None:
    half = np.float16([1, 2])
    with pytest.raises(gr.DTypeError, match=r"next_?after: not defined on f16"):
        gr.jit(gr.nextafter)(half, half)
    compiled = gr.Program("typed")

    @compiled.entry
    def f(x: gr.bf16["N"]):
        return x

    with pytest.raises(gr.DTypeError, match=r"f16\[2\], expected bf16(.|\n)*ml_dtypes.bfloat16"):
        compiled.compile().f(half)
    assert float(gr.jit(lambda x, s: x * s)(half, np.float16(3))[1]) == 6


def test_without_ml_dtypes_only_arrays_of_bfloat16_are_missing() -> None:
    script = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, graphc as gr
program = gr.Program("p")
@program.entry
def f(x: gr.f16["N"]): return x + 1
print(program.compile().f(np.float16([1, 2])))
other = gr.Program("q")
@other.entry
def g(x: gr.bf16["N"]): return x + 1
try:
    other.compile()
except gr.UnsupportedError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "[2. 3.]" in found
    assert "arrays of bfloat16 need the package ml_dtypes" in found
    assert "pip install 'graphc[bfloat16]'" in found


@every_cpu
@every_dtype
def test_nothing_beside_a_row_is_written(dtype: DType, cpu: str) -> None:
    """17 = 16 + 1: LLVM 22 writes 32 bits for one known lane of a truncated vector."""
    program = gr.Program("narrow_rows")

    @program.entry
    def f(x: gr.f32["N", 4], w: gr.f32[4, 17]):
        return (x @ w).astype(dtype)

    memory = np.full(3 * 17 + 8, 77).astype(dtype.numpy)
    x, w = np.ones((3, 4), np.float32), np.ones((4, 17), np.float32)
    program.compile(cpu=cpu).f(x, w, out=memory[:51].reshape(3, 17))
    assert memory.tolist() == [4.0] * 51 + [77.0] * 8


@every_dtype
def test_control_flow_and_vmap_take_16_bit_floats(dtype: DType) -> None:
    def rounds(x: gr.Tensor) -> tuple[gr.Tensor, gr.Tensor]:
        def step(carry: gr.Tensor, row: gr.Tensor) -> tuple[gr.Tensor, gr.Tensor]:
            carry = gr.tanh(carry * row + 1)
            return carry, carry * 2

        last, all_ = gr.scan(step, x[0], x)
        return gr.cond(gr.sum(last) > 100, lambda: last, lambda: last + 1), all_

    x = np.linspace(-1, 1, 12).reshape(4, 3).astype(dtype.numpy)
    found, expected = gr.jit(rounds)(x), gr.interpret(rounds)(x)
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == dtype.numpy
        assert np.allclose(got.astype(np.float32), np.asarray(wanted, np.float32), rtol=2.0**-7)
    slope = gr.jit(gr.grad(lambda x: gr.sum(rounds(x)[1])))(x)
    exact = gr.jit(gr.grad(lambda x: gr.sum(rounds(x)[1])))(x.astype(np.float32))
    assert slope.dtype == dtype.numpy
    assert np.abs(slope.astype(np.float32) - exact).max() < 0.05 * np.abs(exact).max()

    def each(row: gr.Tensor) -> gr.Tensor:
        return nn.softmax(row) * gr.sum(row)

    mapped = gr.jit(gr.vmap(each))(x)
    assert mapped.tobytes() == np.stack([gr.jit(each)(row) for row in x]).tobytes()


def test_arrays_that_export_buffers_are_taken() -> None:
    program = gr.Program("buffers")

    @program.entry
    def double(x: gr.f16["N"]):
        return x * 2

    assert program.compile().double(memoryview(np.float16([1, 2]))).tolist() == [2, 4]


def test_digits_train_with_bfloat16_parameters_and_activations() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = (digits.data / 16).astype(gr.bf16.numpy), digits.target.astype(np.int32)
    net = nn.Sequential(nn.Dense(64, activation="relu"), nn.Dense(10))
    opt = optim.Adam(3e-3)
    program = gr.Program("digits16")

    @program.entry
    def predict(x: gr.bf16["N", 64]):
        return net(x)

    @program.entry
    def train_step(x: gr.bf16["N", 64], y: gr.i32["N"]):
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        opt.minimize(loss)
        return {"loss": loss}

    compiled = program.compile()
    for _ in range(15):
        compiled.train_step.epoch(x[:1400], y[:1400], batch_size=32, shuffle=True)
    right = compiled.predict(x[1400:]).astype(np.float32).argmax(1) == y[1400:]
    assert right.mean() > 0.9
