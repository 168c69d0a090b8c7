"""Tracing: array functions mean what NumPy's mean, shapes stay symbolic, calls of `gr.jit` are compiled once."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc as gr
from graphc import errors
from graphc.ir.interp import evaluate
from graphc.ir.verify import verify

A = np.array([[1.5, -2.0, 0.0], [4.0, 0.25, -6.5]], np.float32)
B = np.array([[2.0, 3.0, -1.0]], np.float32)
I = np.array([[3, -4, 5], [0, 7, -9]], np.int32)  # noqa: E741
M = np.array([[True, False, True], [False, False, True]])


def run(function: Callable[..., Any], *args: Any) -> Any:
    """A function on the interpreter."""
    return gr.interpret(function)(*args)


def compiled_types(function: Callable[..., Any], **types: Any) -> Any:
    """The traced entry of a function, verified."""
    program = gr.Program("p")
    function.__name__ = "f"
    program.entry(**types)(function)
    (entry,) = program.trace().entries
    verify(entry.graph)
    return entry


SAME = {
    "add": (lambda x, y: x + y, A, B),
    "radd": (lambda x, y: 2 - x / y, A, B),
    "floor_divide": (lambda x, y: x // y, A, B),
    "remainder": (lambda x, y: x % y, A, B),
    "integers": (lambda x: x // 4 + x % 4 - abs(x), I),
    "square": (lambda x: x**2, A),
    "cube": (lambda x: x**3, A),
    "negative_power": (lambda x: (x + 10) ** -2, A),
    "root": (lambda x: abs(x) ** 0.5, A),
    "power": (lambda x, y: abs(x) ** abs(y), A, B),
    "base": (lambda x: 2.0**x, A),
    "comparison": (lambda x, y: (x < y) & (x != 0) | ~(x >= y), A, B),
    "xor": (lambda x: (x > 0) ^ (x < 1), A),
    "shifts": (lambda x: (x << 2) + (x >> 1), I),
    "bits": (lambda x: (x & 6) | (x ^ 3), I),
    "ufuncs": (lambda x: np.exp(x) + np.sqrt(np.abs(x)) + np.maximum(x, 0) * np.tanh(x), A),
    "log": (lambda x: np.log(np.abs(x) + 1) + np.log1p(np.abs(x)) + np.log2(abs(x) + 1) + np.expm1(x), A),
    "trigonometry": (lambda x: np.sin(x) * np.cos(x) + np.tan(x), A),
    "hyperbolic": (lambda x: (np.sinh(x), np.cosh(x)), A),
    "rounding": (lambda x: np.floor(x) + np.ceil(x) * 10 + np.rint(x) * 100 + np.trunc(x) * 1000, A),
    "sign": (lambda x: np.sign(x) + np.isnan(x) + np.isfinite(x) + np.isinf(x), A),
    "logaddexp": (lambda x, y: np.logaddexp(x, y), A, B),
    "clip": (lambda x: np.clip(x, -1, 2), A),
    "where": (lambda x, m: np.where(m, x, -1), A, M),
    "logical": (lambda m, x: np.logical_and(m, x) ^ np.logical_not(m) | np.logical_or(m, x), M, A),
    "sum": (lambda x: np.sum(x), A),
    "sum_axis": (lambda x: np.sum(x, axis=1, keepdims=True) + x.sum(0), A),
    "mean": (lambda x: np.mean(x, axis=-1), A),
    "var": (lambda x: np.var(x, axis=0) + np.std(x, axis=0, ddof=1), A),
    "extremes": (lambda x: x.max(axis=1) - x.min(), A),
    "prod": (lambda x: np.prod(x, axis=0), A),
    "truth": (lambda m: (m.any(axis=1), m.all(), np.all(m, axis=0)), M),
    "argmax": (lambda x: (np.argmax(x), x.argmin(axis=1), np.argmax(x, axis=0, keepdims=True)), A),
    "matmul": (lambda x, y: x @ y.T, A, B),
    "matvec": (lambda x, y: (x @ y[0], y[0] @ x.T, y[0] @ y[0]), A, B),
    "batched": (lambda x: np.matmul(x[None] * np.ones((4, 1, 1), np.float32), x.T), A),
    "stacked": (lambda x: np.matmul(x, np.ones((2, 3, 5), np.float32)), A),
    "tensordot": (lambda x: (np.tensordot(x, x, axes=2), np.tensordot(x, x, axes=([0], [0]))), A),
    "outer": (lambda x: np.outer(x[0], x[1]), A),
    "reshape": (lambda x: (x.reshape(3, 2), x.reshape(-1), x.reshape((1, -1, 3)), np.reshape(x, (6, 1))), A),
    "transpose": (lambda x: (x.T, x.transpose(1, 0), np.transpose(x), np.expand_dims(x, 1), np.moveaxis(x, 0, 1)), A),
    "squeeze": (lambda y: (y.reshape(1, 3, 1).T, np.squeeze(y), np.squeeze(y, axis=0)), B),
    "joining": (lambda x, y: (np.concatenate([x, y]), np.stack([x, x], axis=-1)), A, B),
    "broadcast_to": (lambda y: np.broadcast_to(y, (4, 2, 3)), B),
    "flip": (lambda x: (np.flip(x, axis=1), np.flip(x)), A),
    "index": (lambda x: (x[0], x[-1, 1:], x[:, ::2], x[..., -2], x[None, :, None, 1], x[1:1], x[-5:1]), A),
    "take": (lambda x, i: (np.take(x, i, axis=1), x[i % 2]), A, np.array([2, 0], np.int32)),
    "take_along_axis": (lambda x: np.take_along_axis(x, np.argmax(x, axis=1)[:, None], axis=1), A),
    "like": (lambda x: np.zeros_like(x) + np.ones_like(x), A),
    "copies": (lambda x: +x - -x, I),
}


@pytest.mark.parametrize("name", SAME)
def test_functions_mean_what_numpys_mean(name: str) -> None:
    function, *args = SAME[name]
    with np.errstate(all="ignore"):
        expected = function(*args)
    found = run(function, *args)
    for one, other in zip(*(v if isinstance(v, tuple) else (v,) for v in (found, expected)), strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    "function, args, dtype",
    [
        (lambda x: x + 1, (A,), np.float32),
        (lambda x: x + np.float64(1), (A,), np.float32),
        (lambda x: x + np.ones(3), (A,), np.float64),
        (lambda x: np.ones(3) + x, (A,), np.float64),
        (lambda x: x + 1, (I,), np.int32),
        (lambda x: x + 1.5, (I,), np.float32),
        (lambda x: x / x, (I,), np.float32),
        (lambda x: x / 2, (I.astype(np.float64),), np.float64),
        (lambda x, y: x * y, (I, A), np.float32),
        (lambda x, y: x * y, (I, A.astype(np.float64)), np.float64),
        (lambda x, y: x + y, (I, I.astype(np.int64)), np.int64),
        (lambda x, y: x + y, (I.astype(np.uint8), I), np.int32),
        (lambda x: x + 1, (I.astype(np.uint8),), np.uint8),
        (lambda x: x + True, (I,), np.int32),
        (lambda m: m + m, (M,), np.bool_),
        (lambda m: m * 0.5, (M,), np.float32),
        (lambda m: m.sum(), (M,), np.int32),
        (lambda m: m.mean(), (M,), np.float32),
        (lambda x: gr.asarray(3) + gr.asarray(2.5), (A,), np.float32),
        (lambda x: gr.sqrt(x), (I,), np.float32),
        (lambda x: x.argmax(), (A,), np.int64),
        (lambda x: x.astype(gr.i32), (A,), np.int32),
    ],
)
def test_promotion(function: Callable[..., Any], args: tuple[Any, ...], dtype: Any) -> None:
    assert run(function, *args).dtype == dtype


def test_scalars_must_be_values_of_the_dtype() -> None:
    with pytest.raises(errors.DTypeError, match="300 is not a value of u8"):
        run(lambda x: x + 300, I.astype(np.uint8))
    with pytest.raises(errors.DTypeError, match="complex128"):
        run(lambda x: x + np.ones(3, complex), A)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 5]), max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_broadcasting_is_numpys(shape: list[int], ones: list[bool]) -> None:
    other = [1 if one else s for s, one in zip(shape, ones, strict=False)]
    x, y = np.arange(np.prod(shape), dtype=np.float32).reshape(shape), np.full(other, 2, np.float32)
    for left, right in ((x, y), (y, x), (x, y[0] if y.ndim and len(y) else y)):
        np.testing.assert_array_equal(run(lambda a, b: a + b, left, right), left + right)


@given(st.data())
def test_slices_are_pythons_on_symbolic_axes_too(data: Any) -> None:
    size = data.draw(st.integers(0, 6))
    end = st.none() | st.integers(-8, 8)
    part = slice(data.draw(end), data.draw(end), data.draw(st.none() | st.integers(1, 3)))
    entry = compiled_types(lambda x: x[part], x=gr.f32["N"])
    x = np.arange(size, dtype=np.float32)
    np.testing.assert_array_equal(evaluate(entry.graph, [x], {}).outputs[0], x[part])


def test_symbolic_shapes() -> None:
    shapes: dict[str, Any] = {}

    def f(x: Any) -> Any:
        n, k = x.shape
        shapes["n"] = n
        shapes["flat"] = x.reshape(-1).shape
        shapes["halves"] = x.reshape(n, 2, -1).shape
        shapes["doubled"] = gr.concat([x, x]).shape
        assert n == n and k == 6 and n * 2 != n * 2 + 1 and n + 1 > n
        return x * n, gr.ones((n, 2)), gr.arange(n), x[: n - 1].sum()

    entry = compiled_types(f, x=gr.f32[gr.dim("N", min=1), 6])
    assert str(shapes) == "{'n': N, 'flat': (6*N,), 'halves': (N, 2, 3), 'doubled': (2*N, 6)}"
    x = np.ones((3, 6), np.float32)
    scaled, ones, count, total = evaluate(entry.graph, [x], {}).outputs
    assert scaled[0, 0] == 3 and ones.shape == (3, 2) and list(count) == [0, 1, 2] and total == 12


def test_bounds_decide_comparisons() -> None:
    def f(x: Any) -> Any:
        assert x.shape[0] != 0 and x.shape[0] >= 1 and not x.shape[0] > 8
        with pytest.raises(errors.TraceError, match="can't be decided"):
            assert x.shape[0] < 8
        return x

    compiled_types(f, x=gr.f32[gr.dim("N", min=1, max=8)])


def test_a_name_is_one_dimension_of_an_entry() -> None:
    entry = compiled_types(lambda x, y: x + y, x=gr.f32[gr.dim("N", min=2)], y=gr.f32["N"])
    (symbol,) = entry.graph.symbols()
    assert symbol.min == 2
    with pytest.raises(errors.ShapeError, match="N is declared twice, differently"):
        compiled_types(lambda x, y: x + y, x=gr.f32[gr.dim("N", min=2)], y=gr.f32[gr.dim("N", min=3)])


def test_reductions_without_identity_check_their_size() -> None:
    entry = compiled_types(lambda x: (x.max(), x.argmin(axis=0)), x=gr.f32["N"])
    assert [(str(c.size), c.minimum) for c in entry.checks] == [("N", 1)]
    with pytest.raises(errors.ShapeError, match="max over an empty axis, its size is 0"):
        run(lambda x: x.max(), A[:0])
    assert compiled_types(lambda x: x.max(), x=gr.f32[gr.dim("N", min=1)]).checks == ()


def test_index_arguments_get_ranges() -> None:
    def f(table: Any, i: Any, j: Any, k: Any) -> Any:
        return gr.take(table, i, axis=0), gr.take(table, i, axis=1), gr.take(table, j + 1, axis=0), k

    inputs = compiled_types(f, table=gr.f32[5, 3], i=gr.i32["N"], j=gr.i32["N"], k=gr.i32["N"]).inputs
    assert [(x.low, x.high) for x in inputs] == [(None, None), (-3, 2), (None, None), (None, None)]


def test_outputs_keep_their_structure() -> None:
    def f(x: Any) -> Any:
        return {"loss": x.sum(), "more": (x, [None, 2.5]), "none": None}

    entry = compiled_types(f, x=gr.f32[2])
    assert entry.tree == {
        "dict": [["loss", 0], ["more", {"tuple": [1, {"list": [{"none": True}, 2]}]}], ["none", {"none": True}]]
    }
    assert entry.outputs == ("loss", "more_0", "more_1_1")
    program = gr.Program("q")
    found = gr.interpret(program.entry(x=gr.f32[2])(f))(np.ones(2, np.float32))
    assert found["loss"] == 2 and found["more"][1] == [None, 2.5] and found["none"] is None
    assert isinstance(found["loss"], np.float32)


def test_annotations_as_text_and_by_keyword() -> None:
    program = gr.Program("p")
    size = 4

    @program.entry
    def f(x: gr.f32["N", size], k: float, flag: bool, i: gr.i64) -> Any:
        return x

    @program.entry(y=gr.f64[2])
    def g(y: Any) -> Any:
        return y

    assert [str(t) for t in f.types.values()] == ["f32[N,4]", "f32[]", "bool[]", "i64[]"]
    assert str(g.types["y"]) == "f64[2]"


def test_jit_compiles_each_type_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    traces = []

    @gr.jit
    def f(params: Any, x: Any) -> Any:
        traces.append(x.shape)
        return {"y": gr.tanh(x @ params["w"] + params["b"]).sum()}

    params = {"w": B.T, "b": np.float32(1)}
    expected = np.tanh(A @ B.T + 1).sum()
    for _ in range(3):
        assert f(params, A)["y"] == pytest.approx(expected, rel=1e-5)
    f(params, A[:1])
    assert len(traces) == 2
    slope = gr.grad(lambda x: gr.sum(x * x))(A)
    np.testing.assert_allclose(slope, 2 * A)


def test_tensors_print_type_layer_and_place() -> None:
    from graphc import nn

    printed: list[str] = []
    net = nn.Dense(128, activation="relu")

    def f(x: Any) -> Any:
        printed.extend([repr(x), repr(net(x)), repr(x + 1), repr(net.bias)])
        return x

    compiled_types(f, x=gr.f32["N", 64])
    here = r" test_frontend.py:\d+"
    import re

    patterns = [r"f32\[N, 64\] x", r"f32\[N, 128\] dense/relu", r"f32\[N, 64\] add", r"Variable f32\[128\] bias"]
    assert all(re.fullmatch(p + here, text) for p, text in zip(patterns, printed, strict=True)), printed


def test_interpreted_tensors_print_their_values() -> None:
    printed: list[str] = []
    run(lambda x: printed.append(repr(x * 2)), np.array([1.0, 2.0], np.float32))
    assert printed[0].endswith("\n[2. 4.]")


def test_compilation_gives_what_interpretation_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    program = gr.Program("p")
    w = gr.Variable(gr.init.normal((3, 2)), name="w")

    @program.entry
    def f(x: gr.f32["N", 3]) -> Any:
        y = gr.tanh(x @ w)
        w.assign(w * 0.5 + gr.random.uniform((3, 2)))
        return {"y": y, "rows": y.shape[0] * gr.ones(()), "half": 1 / y.shape[0]}

    compiled, interpreted = program.compile(), gr.interpret(f)
    for _ in range(3):
        one, other = compiled.f(A), interpreted(A)
        np.testing.assert_allclose(one["y"], other["y"], rtol=1e-5)
        assert one["rows"] == 2 and one["half"] == 0.5
    np.testing.assert_allclose(compiled.state["w"], interpreted.state["w"], rtol=1e-6)


def test_importing_loads_numpy_only() -> None:
    code = "import sys, graphc; print([m for m in sys.modules if m.startswith(('graphc.', 'llvmlite', 'networkx'))])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "['graphc.version']"


def test_every_public_name_resolves() -> None:
    for name in gr.__all__:
        assert getattr(gr, name) is not None or name == "newaxis"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gr.nothing  # noqa: B018


@pytest.mark.parametrize("before", [True, False])
def test_tracing_leaves_the_garbage_collector_as_it_was(before: bool) -> None:
    program, seen = gr.Program("p"), []

    @program.entry
    def wrong(x: gr.f32[3]) -> gr.Tensor:
        seen.append(gc.isenabled())
        return x + gr.ones((2,))

    was = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with pytest.raises(errors.ShapeError):
            program.trace()
        assert seen == [False] and gc.isenabled() is before
    finally:
        (gc.enable if was else gc.disable)()
