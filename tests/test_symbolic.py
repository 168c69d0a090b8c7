"""Symbolic dimensions: several at once, arithmetic on them, constraints, what is checked when an entry runs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import ShapeError

N, T = gr.dim("N"), gr.dim("T")


def ones(*shape: int) -> Any:
    """Ascending numbers, so that every element's place shows."""
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(("n", "t"), [(0, 3), (3, 0), (1, 1), (2, 3), (17, 5), (33, 31)])
def test_batch_and_time_are_symbolic_at_once(n: int, t: int) -> None:
    @gr.jit
    def f(x: gr.f32["N", "T", 4], w: gr.f32[4, 3]) -> Any:
        rows = gr.reshape(x, (N * T, 4))
        return gr.reshape(rows @ w, (N, T, 3)), gr.sum(x, axis=1), gr.reshape(x, (x.shape[0], -1))

    x, w = ones(n, t, 4), ones(4, 3) / 7
    product, total, flat = f(x, w)
    np.testing.assert_allclose(product, x @ w, rtol=1e-5)
    np.testing.assert_allclose(total, x.sum(1), rtol=1e-6)
    np.testing.assert_array_equal(flat, x.reshape(n, t * 4))


@pytest.mark.parametrize("n", [2, 4, 30, 34])
def test_a_reshape_that_fits_at_some_sizes_only_is_checked_when_it_runs(n: int) -> None:
    @gr.jit
    def f(x: gr.f32["N", 8]) -> Any:
        half = x.shape[0] // 2
        return gr.reshape(x, (half, 2, 8)) * 2, gr.reshape(x, (-1, 16))

    x = ones(n, 8)
    pairs, joined = f(x)
    np.testing.assert_array_equal(pairs, x.reshape(n // 2, 2, 8) * 2)
    np.testing.assert_array_equal(joined, x.reshape(-1, 16))
    with pytest.raises(ShapeError, match=r"f can't run at N = \d+: reshape of f32\[N,8\] to \(\(N // 2\), 2, 8\)"):
        f(ones(n + 1, 8))


def test_a_reshape_to_another_symbol_says_that_they_are_one_size() -> None:
    @gr.jit
    def f(x: gr.f32["N"], y: gr.f32["M"]) -> Any:
        return x + gr.reshape(y, x.shape)

    np.testing.assert_array_equal(f(ones(5), ones(5)), 2 * ones(5))
    with pytest.raises(ShapeError, match=r"f can't run at N = 5, M = 4: reshape of f32\[M\] to \(N\)"):
        f(ones(5), ones(4))


def test_gradients_go_through_a_checked_reshape() -> None:
    program = gr.Program("checked")

    @program.entry
    def f(x: gr.f64["N", 3]) -> Any:
        return gr.sum(gr.reshape(gr.sin(x), (-1, 2))[:, 1])

    gr.check_grads(f, np.linspace(-1, 1, 18).reshape(6, 3))
    compiled = program.compile()
    with pytest.raises(ShapeError, match="N = 3"):
        compiled.f(np.ones((3, 3)))


def test_affine_sizes_are_solved_and_refused() -> None:
    @gr.jit
    def f(x: gr.f32["2*N + 1"]) -> Any:
        return x[:N], x[N:], x[::2]

    first, rest, even = f(ones(7))
    assert (first.shape, rest.shape, even.shape) == ((3,), (4,), (4,))
    with pytest.raises(ShapeError, match=r"axis 0 of x is 8, expected 2\*N \+ 1"):
        f(ones(8))


@pytest.mark.parametrize("size", [7, 0, 5000])
def test_constraints_are_checked_with_dimension_and_argument_named(size: int) -> None:
    M = gr.dim("M", min=1, max=4096, multiple_of=8)

    @gr.jit
    def f(x: gr.f32[M, 4]) -> Any:
        return gr.max(x, axis=0), gr.concat([x, x[1:]], axis=0)

    largest, joined = f(ones(8, 4))
    np.testing.assert_array_equal(largest, ones(8, 4)[-1])
    assert joined.shape == (15, 4)
    expected = rf"M is {size}, must be at least 1 and at most 4096 and a multiple of 8"
    with pytest.raises(ShapeError, match=expected) as error:
        f(ones(size, 4))
    assert f"f32[M, 4], given f32[{size}, 4]" in str(error.value)


SHAPED: dict[str, tuple[Callable[[gr.Tensor], gr.Tensor], float]] = {
    "ones": (lambda x: gr.sum(gr.ones((x.shape[0] - 5,))), 4.0),
    "broadcast": (lambda x: gr.sum(gr.reshape(gr.broadcast_to(x[0], (x.shape[0] - 5, 3)), (-1,))), 12.0),
    "product of two": (lambda x: gr.sum(gr.ones((x.shape[0] - 5, 2, x.shape[0] - 5))), 32.0),
    "eye": (lambda x: gr.sum(gr.eye(x.shape[0] - 5)), 4.0),
    "repeat": (lambda x: gr.sum(gr.repeat(x, x.shape[0] - 5)), 36.0),
    "one_hot": (lambda x: gr.sum(gr.one_hot(gr.arange(9), x.shape[0] - 5)), 4.0),
    "pad": (lambda x: gr.sum(gr.pad(x, (0, x.shape[0] - 5), constant_values=1)), 13.0),
    "scan": (lambda x: gr.scan(lambda c, _: (c + 1, None), x[0], length=x.shape[0] - 5)[0], 5.0),
}


@pytest.mark.parametrize("name", SHAPED)
def test_sizes_that_would_be_negative_are_refused_in_the_prologue(name: str) -> None:
    body, expected = SHAPED[name]
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N"]):
        return body(x)

    compiled = program.compile()
    assert compiled.f(np.ones(9, np.float32)) == expected
    for size in (4, 3, 1):
        with pytest.raises(gr.ShapeError, match=f"f can't run at N = {size}: "):
            compiled.f(np.ones(size, np.float32))


def test_c_can_not_give_an_argument_a_negative_size() -> None:
    program = gr.Program("p")

    @program.entry
    def f(x: gr.f32["N - 3"]):
        return gr.sum(x)

    compiled = program.compile()
    assert compiled.f(np.ones(2, np.float32)) == 2.0
    need = ctypes.CDLL(str(compiled.path)).p_f_workspace_bytes
    need.restype, need.argtypes = ctypes.c_size_t, [ctypes.c_int64]
    assert need(3) < 1 << 20 and need(2) == (1 << 64) - 1


@pytest.mark.parametrize("shape", [(-1, 2), (2, -3), -1])
def test_constant_sizes_are_not_negative(shape: Any) -> None:
    with pytest.raises(gr.ShapeError, match="has a negative size"):
        gr.jit(lambda: gr.sum(gr.ones(shape)))()


@pytest.mark.parametrize("narrow_first", [True, False])
def test_each_entry_has_its_own_limits(narrow_first: bool) -> None:
    program = gr.Program("p")
    narrow, wide = gr.f32[gr.dim("N", min=2, max=8, multiple_of=2)], gr.f32[gr.dim("N", min=1, max=90, multiple_of=3)]

    def f(x: Any) -> Any:
        return x + 1

    def g(x: Any) -> Any:
        return x + 2

    types = [(f, narrow), (g, wide)]
    for function, type_ in types if narrow_first else types[::-1]:
        program.entry(x=type_)(function)
    compiled = program.compile()
    for n in (2, 4, 8):
        assert compiled.f(ones(n)).shape == (n,)
    for n in (3, 9, 90):
        assert compiled.g(ones(n)).shape == (n,)
    for entry, sizes in ((compiled.f, (0, 1, 3, 9)), (compiled.g, (0, 1, 8, 93))):
        for n in sizes:
            with pytest.raises(ShapeError, match=f"N is {n}, must be|can't run at N = {n}: a dimension"):
                entry(ones(n))
