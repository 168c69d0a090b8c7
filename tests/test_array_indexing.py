"""`x[key]`, `x.at[key]` and `take` are NumPy's, with their gradients, at constant and symbolic sizes."""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors

RNG = np.random.default_rng(0)
X = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
ROW, COLUMN = np.array([0, 1, -1]), np.array([[0], [2]])
MASK = np.array([[True, False, False, True], [False] * 4, [False, True, True, False]])
ALL, BACK = slice(None), slice(None, None, -1)

BASIC: tuple[Any, ...] = (
    1, -1, (0, -2), ALL, BACK, (ALL, slice(None, None, -2)), (slice(2, 0, -1), slice(3, None, -2)),
    (..., slice(4, 1, -2)), (..., slice(1, 4, 2)), (None, 0, ..., None), (ALL, slice(-2, None)), slice(5, 1),
    (..., slice(-100, 100)), (..., slice(100, -100, -3)), (ALL, slice(-1, -100, -1)),
)  # fmt: skip
ADVANCED: tuple[Any, ...] = (
    ROW * 0, (ALL, ROW), (ALL, COLUMN, ALL, ROW[:2]), (COLUMN * 0, COLUMN, ALL), (0, ALL, ROW), (ALL, COLUMN, ROW),
    (0, COLUMN), (ROW * 0, None, COLUMN), (ALL, slice(1, None), ROW, BACK), [0, 1, 1], (ALL, [0, -1]), (ALL, MASK),
    (ALL, MASK, 0), (ALL, MASK, ROW[:1]), np.array([True, False]), (..., np.array([True, False, True, False, True])),
    (..., ROW, None), (None, ROW * 0, ..., 2), (ALL, 0, COLUMN, slice(1, 3)), (np.int64(1), np.array(2)), [],
    (ALL, np.zeros((0, 3), int)), (ROW * 0, ALL, ROW, 0), (None, 0, 0, -3, ..., np.array([[-3, 0]])),
)  # fmt: skip
every_key = pytest.mark.parametrize("key", BASIC + ADVANCED, ids=str)

CHANGES: dict[str, Callable[[Any, Any, Any], None]] = {
    "set": lambda x, key, v: x.__setitem__(key, v),
    "add": np.add.at,
    "subtract": np.subtract.at,
    "multiply": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


@every_key
def test_reading(key: Any) -> None:
    np.testing.assert_array_equal(gr.jit(lambda x: x[key])(X), X[key], strict=True)


def is_places(k: Any) -> bool:
    return isinstance(k, np.ndarray) and k.ndim > 0 and k.dtype.kind == "i"


def parts_of(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


@pytest.mark.parametrize("key", [k for k in ADVANCED if any(map(is_places, parts_of(k)))], ids=str)
def test_places_may_be_arguments(key: Any) -> None:
    parts = parts_of(key)
    arrays = [k for k in parts if is_places(k)]

    def read(x: Any, i: Any, j: Any) -> Any:
        given = iter((i, j))
        return x[tuple(next(given) if is_places(k) else k for k in parts)]

    np.testing.assert_array_equal(gr.jit(read)(X, arrays[0], arrays[-1]), X[key], strict=True)


@every_key
def test_changing(key: Any) -> None:
    values = RNG.normal(size=X[key].shape).astype(np.float32)
    changed = gr.jit(lambda x, v: {how: getattr(x.at[key], how)(v) for how in CHANGES})(X, values)
    for how, change in CHANGES.items():
        wanted = X.copy()
        change(wanted, key, values)
        np.testing.assert_allclose(changed[how], wanted, rtol=1e-6, err_msg=how)


@pytest.mark.parametrize("key", [BASIC[6], ADVANCED[0], ADVANCED[2], ADVANCED[11], (ALL, [0, 0, 1])], ids=str)
def test_derivatives(key: Any) -> None:
    x, values = RNG.normal(size=X.shape), RNG.normal(size=X[key].shape)
    gr.check_grads(lambda x: x[key], x)
    for how in (*CHANGES, "divide"):
        gr.check_grads(lambda x, v, how=how: getattr(x.at[key], how)(v), x, values, order=2 if how == "multiply" else 1)


def test_of_several_updates_the_last_stays_and_alone_gets_the_gradient() -> None:
    def f(x: Any, i: Any, v: Any) -> Any:
        y = x.at[i].set(v)
        return y, gr.gradients(gr.sum(y * gr.asarray([1.0, 2.0, 3.0])), [x, v])

    y, (dx, dv) = gr.jit(f)(np.float32([7, 8, 9]), np.array([2, 0, 2]), np.float32([4, 5, 6]))
    np.testing.assert_array_equal(y, [5, 8, 6])
    np.testing.assert_array_equal(dx, [0, 2, 0])
    np.testing.assert_array_equal(dv, [0, 1, 3])


def test_a_product_of_updates_differentiates_where_some_are_zero() -> None:
    def f(x: Any, v: Any) -> Any:
        return gr.gradients(gr.sum(x.at[gr.asarray([0, 0, 1, 1])].multiply(v)), [x, v])

    dx, dv = gr.jit(f)(np.float32([2, 3, 5]), np.float32([0, 4, 0, 0]))
    np.testing.assert_array_equal(dx, [0, 0, 1])
    np.testing.assert_array_equal(dv, [8, 0, 0, 0])


def test_equal_maxima_share_the_gradient() -> None:
    def f(x: Any, v: Any) -> Any:
        return gr.gradients(gr.sum(x.at[gr.asarray([0, 0])].max(v)), [x, v])

    dx, dv = gr.jit(f)(np.float32([2, 3]), np.float32([2, 1]))
    np.testing.assert_array_equal(dx, [0.5, 1])
    np.testing.assert_array_equal(dv, [0.5, 0])


def test_computed_places_count_from_the_end_and_clamp() -> None:
    def f(x: Any, i: Any) -> Any:
        i = i * 2
        return x[i], x[i, i], x.at[i].add(1.0), gr.take(x, i, axis=1)

    x, i = np.arange(12, dtype=np.float32).reshape(3, 4), np.array([-1, 1, 3, -9])
    rows, columns = np.array([1, 2, 2, 0]), np.array([2, 2, 3, 0])
    first, second, third, fourth = gr.jit(f)(x, i)
    np.testing.assert_array_equal(first, x[rows])
    np.testing.assert_array_equal(second, x[rows, columns])
    np.testing.assert_array_equal(third, x + np.array([[1], [1], [2]]))
    np.testing.assert_array_equal(fourth, x[:, columns])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
def test_neighbours_along_a_symbolic_axis_have_one_size(n: int) -> None:
    def steps(x: gr.f64["N"]) -> Any:
        total = gr.sum((x[1:] - x[:-1]) ** 2) + gr.sum(x[3:] * x[:-3]) + gr.sum(x[-2:] * x[:2])
        return total, gr.gradients(total, [x])[0]

    x = np.arange(n) ** 2.0
    apart, far = np.diff(x), np.zeros(n)
    if n > 3:
        far[:-3] += x[3:]
        far[3:] += x[:-3]
    ends = np.zeros(n)
    ends[:2] += x[-2:]
    ends[-2:] += x[:2]
    total, gradient = gr.jit(steps)(x)
    np.testing.assert_allclose(total, (apart**2).sum() + (far @ x + ends @ x) / 2)
    np.testing.assert_allclose(gradient, 2 * (np.append(0, apart)[:n] - np.append(apart, 0)[:n]) + far + ends)


def test_symbolic_sizes() -> None:
    program = gr.Program("symbolic")

    @program.entry
    def f(x: gr.f32["N", 3]):  # type: ignore[name-defined]
        n = x.shape[0]
        return (
            x[::-1] + x, x[::-2], x[1 : n - 1], x[n - 1], x[n - 2 :: -1], x[[0, -1]], x[::-1, [2, 0]],
            x.at[1 : n - 1].set(0), x.at[::2].add(1), x.at[[0, -1, 0]].add(2.0), x.at[x > 0].set(0.0),
        )  # fmt: skip

    compiled = program.compile()
    for n in (2, 3, 4, 17, 33):
        x = RNG.normal(size=(n, 3)).astype(np.float32)
        inner, even, ends = x.copy(), x.copy(), x.copy()
        inner[1 : n - 1] = 0
        even[::2] += 1
        np.add.at(ends, [0, -1, 0], 2)
        wanted = (
            x[::-1] + x, x[::-2], x[1 : n - 1], x[n - 1], x[n - 2 :: -1], x[[0, -1]], x[::-1][:, [2, 0]],
            inner, even, ends, np.minimum(x, 0),
        )  # fmt: skip
        for got, want in zip(compiled.f(x), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
    with pytest.raises(gr.GraphcError, match="outside axis 0"):
        compiled.f(np.zeros((0, 3), np.float32))


@pytest.mark.parametrize("cpu", ["x86-64-v2", "x86-64-v3", "native"])
def test_scatters_on_every_kind_of_cpu(cpu: str) -> None:
    program = gr.Program("scatters")

    @program.entry
    def f(x: gr.f32["N", "K"], i: gr.i32["M"], v: gr.f32["M", "K"]):  # type: ignore[name-defined]
        return {how: getattr(x.at[i], how)(v) for how in CHANGES}

    compiled = program.compile(cpu=cpu)
    for n, k, m in itertools.product((1, 3), (1, 15, 33), (0, 1, 7)):
        x, i = RNG.normal(size=(n, k)).astype(np.float32), RNG.integers(-n, n, m).astype(np.int32)
        v = RNG.normal(size=(m, k)).astype(np.float32)
        found = compiled.f(x, i, v)
        for how, change in CHANGES.items():
            wanted = x.copy()
            change(wanted, i, v)
            np.testing.assert_allclose(found[how], wanted, rtol=1e-6, err_msg=how)


def test_a_table_is_updated_in_place(tmp_path: Path) -> None:
    """Rows are added to the Variable itself: nothing as large as it is copied."""
    program, table = gr.Program("table"), gr.Variable(np.zeros((1000, 64), np.float32), name="table")

    @program.entry
    def bump(i: gr.i32["N"]):  # type: ignore[name-defined]
        table.assign(table.at[i].add(1.0))

    compiled = program.compile()
    compiled.bump(np.array([3, 5, 3, -1], np.int32))
    wanted = np.zeros((1000, 64), np.float32)
    np.add.at(wanted, [3, 5, 3, -1], 1)
    np.testing.assert_array_equal(compiled.state["table"], wanted)
    program.build(tmp_path / "table.so")
    library = ctypes.CDLL(os.fspath(tmp_path / "table.so"))
    library.table_bump_workspace_bytes.restype = ctypes.c_size_t
    assert library.table_bump_workspace_bytes(ctypes.c_int64(4)) < table.dtype.itemsize * 1000 * 64


MISTAKES: dict[str, tuple[type[Exception], str, Callable[[Any], Any]]] = {
    "outside": (errors.ShapeError, "index 5 is outside axis 0", lambda x: x[5]),
    "array outside": (errors.ShapeError, "index -4 is outside axis 1", lambda x: x[:, [0, -4]]),
    "computed mask": (errors.UnsupportedError, "gr.where(mask, x, 0)", lambda x: x[x > 0]),
    "float": (errors.UnsupportedError, "with 1.5", lambda x: x[1.5]),
    "bool": (errors.UnsupportedError, "with True", lambda x: x[True]),
    "text": (errors.UnsupportedError, "with 'a'", lambda x: x["a"]),
    "too many": (errors.ShapeError, "too many indices", lambda x: x[:, :, :, :, 0]),
    "mask of another size": (errors.ShapeError, "does not fit axes 0", lambda x: x[np.ones(3, bool)]),
    "float places": (errors.DTypeError, "x.astype(gr.i32)".replace("x", "indices"), lambda x: x[x]),
    "step 0": (errors.UnsupportedError, "step 0", lambda x: x[::0]),
    "computed end": (errors.UnsupportedError, "gr.take(x, start", lambda x: x[: gr.argmax(x)]),
    "wider values": (errors.DTypeError, "values.astype(gr.f32)", lambda x: x.at[0].set(np.ones(5))),
    "fractions into integers": (errors.DTypeError, "f32 do not fit", lambda x: x.astype(gr.i32).at[0].set(0.5)),
    "values of another shape": (errors.ShapeError, "does not broadcast", lambda x: x.at[0].set(np.float32([1, 2, 3]))),
    "places that differ": (errors.ShapeError, "do not broadcast", lambda x: x[[0, 1], [0, 1, 2]]),
    "assignment": (errors.TraceError, "x.at[key].set", lambda x: x.__setitem__(0, 1)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    kind, words, body = MISTAKES[name]
    with pytest.raises(kind) as raised:
        gr.jit(body)(X)
    assert words in str(raised.value) and "test_array_indexing.py" in str(raised.value)
