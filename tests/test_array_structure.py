"""Creation and manipulation against NumPy: negative axes, several axes, empty ones, symbolic sizes, derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
MODES = ("edge", "reflect", "symmetric", "wrap")

#: Functions of a tensor and a namespace, either NumPy's or graphc's.
CASES: dict[str, Callable[[Any, Any], Any]] = {
    "repeat": lambda x, xp: (
        xp.repeat(x, 2, axis=1), xp.repeat(x, 3), xp.repeat(x, [2, 0, 1], axis=1), xp.repeat(x, [2], axis=-1),
        xp.repeat(x, 0, axis=0),
    ),
    "tile": lambda x, xp: (xp.tile(x, 2), xp.tile(x, (2, 1, 3)), xp.tile(x, (2, 1, 1, 2)), xp.tile(x, 0)),
    "roll": lambda x, xp: (
        xp.roll(x, 1), xp.roll(x, -7), xp.roll(x, (1, 2), axis=(0, -1)), xp.roll(x, 5, axis=1),
        xp.roll(x, 2, axis=(0, 1)), xp.roll(x[:0], 1, axis=0),
    ),
    "rot90": lambda x, xp: [xp.rot90(x, k, axes=axes) for k in range(-1, 5) for axes in ((1, 2), (2, 0))],
    "moving axes": lambda x, xp: (
        xp.swapaxes(x, 0, -1), xp.moveaxis(x, (0, 1), (-1, 0)), xp.moveaxis(x, 0, 1), xp.permute_dims(x, (2, 0, -2)),
        xp.squeeze(xp.expand_dims(x, (0, -1))), xp.squeeze(x[:, None, :1], axis=(1, -2)), xp.expand_dims(x, (1, 3)),
    ),
    "cutting": lambda x, xp: (
        *xp.split(x, 2, axis=2), *xp.array_split(x, 3, axis=2), *xp.split(x, [1, 2], axis=1),
        *xp.array_split(x, [3, 1, 9], axis=2), *xp.unstack(x, axis=-2), *xp.array_split(x, [-1], axis=0),
    ),
    "joining": lambda x, xp: (
        xp.hstack([x, x]), xp.vstack([x, x]), xp.column_stack([x[0, 0], x[0, 1]]), xp.vstack([x[0, 0], x[0, 1]]),
        xp.hstack([x[0, 0], x[0, 1]]), xp.atleast_1d(x[0, 0, 0]), xp.atleast_2d(x[0, 0]), xp.stack([x, x], axis=-1),
        xp.concat([x, x[:, :0], x[:, :1]], axis=-2), xp.concat([x, x[0, 0]], axis=None), xp.stack([x], axis=2),
    ),
    "reversing": lambda x, xp: (
        xp.flip(x), xp.flip(x, 0), xp.flip(x, axis=(0, 2)), xp.fliplr(x), xp.flipud(x), xp.flip(x, -1),
        xp.flip(x[:, :0]), xp.flip(x, axis=1) + x,
    ),
    "padding": lambda x, xp: (
        xp.pad(x, 1), xp.pad(x, ((0, 1), (2, 0), (1, 1)), constant_values=3.5), xp.pad(x, (1, 2)), xp.pad(x, 0),
        *(xp.pad(x, ((1, 0), (2, 1), (3, 2)), mode=mode) for mode in MODES),
        *(xp.pad(x, ((7, 5), (0, 0), (6, 9)), mode=mode) for mode in MODES),
    ),
    "triangles": lambda x, xp: (xp.tril(x), xp.triu(x, k=1), xp.tril(x, k=-1), xp.triu(x[0, :, :0])),
    "ranges": lambda x, xp: (
        xp.arange(5), xp.arange(1, 10, 3), xp.arange(10, 0, -3), xp.arange(0.0, 1, 0.3), xp.arange(5, 0),
        xp.linspace(0, 1, 5), xp.linspace(2, -1, 4, endpoint=False), xp.linspace(0, 1, 1), xp.linspace(0, 1, 0),
        xp.eye(3), xp.eye(3, 4, k=1), xp.eye(2, 4, k=-1), xp.eye(0), xp.full((2, 0), 7), xp.full(3, True),
    ),
    "grids": lambda x, xp: (
        *xp.meshgrid(x[0, 0], x[0, :, 0]), *xp.meshgrid(x[0, 0], x[0, :, 0], x[:, 0, 0], indexing="ij"),
        *xp.meshgrid(x[0, 0]), *xp.broadcast_arrays(x, x[0, :, :1], 2.0), xp.broadcast_to(x[:, :1], (3, 2, 5, 4)),
    ),
}  # fmt: skip


class NumPy:
    """NumPy's namespace, with the functions that older versions lack."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def unstack(x: Any, axis: int) -> Any:
        return tuple(np.moveaxis(x, axis, 0))

    @staticmethod
    def permute_dims(x: Any, axes: Any) -> Any:
        return np.transpose(x, axes)


@pytest.mark.parametrize("name", CASES)
def test_functions_of_structure(name: str) -> None:
    found = gr.jit(lambda x: tuple(CASES[name](x, gr)))(X)
    for i, (got, wanted) in enumerate(zip(found, CASES[name](X, NumPy()), strict=True)):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=f"{name} {i}")
        assert np.shape(got) == np.shape(wanted), f"{name} {i}"


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("ranges",)])
def test_their_derivatives(name: str) -> None:
    gr.check_grads(lambda x: gr.concat([gr.ravel(y) for y in CASES[name](x, gr)]), X.astype(np.float64))


def test_symbolic_sizes() -> None:
    program = gr.Program("symbolic_structure")

    @program.entry
    def f(x: gr.f32["N", 3]):  # type: ignore[name-defined]
        n = x.shape[0]
        return (
            gr.tile(x, (2, 1)), gr.repeat(x, 2, axis=0), gr.roll(x, 1, axis=0), gr.roll(x, n - 1, axis=0),
            gr.flip(x, 0), *(gr.pad(x, ((1, 1), (0, 0)), mode=mode) for mode in MODES), gr.arange(n),
            gr.arange(1, n, 2), gr.linspace(0, 1, n), gr.eye(n, k=1), gr.tril(x), gr.tile(x, (n, 1)),
            *gr.array_split(x, [1, 2]), gr.meshgrid(gr.arange(n), x[0])[1],
        )  # fmt: skip

    compiled = program.compile()
    for n in (2, 3, 4, 17):
        x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        wanted = (
            np.tile(x, (2, 1)), np.repeat(x, 2, 0), np.roll(x, 1, 0), np.roll(x, -1, 0), x[::-1],
            *(np.pad(x, ((1, 1), (0, 0)), mode) for mode in MODES), np.arange(n), np.arange(1, n, 2),  # type: ignore[arg-type]
            np.linspace(0, 1, n), np.eye(n, k=1), np.tril(x), np.tile(x, (n, 1)), x[:1], x[1:2], x[2:],
            np.meshgrid(np.arange(n), x[0])[1],
        )  # fmt: skip
        for i, (got, want) in enumerate(zip(compiled.f(x), wanted, strict=True)):
            np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=str(i))


def test_dtypes_of_new_tensors() -> None:
    found = gr.jit(
        lambda x: (
            gr.zeros(2), gr.ones(2, gr.i64), gr.full(2, 1), gr.full(2, 1.0), gr.full(2, True), gr.empty((0,), gr.u8),
            gr.arange(3), gr.arange(3, dtype=gr.f64), gr.arange(3.0), gr.zeros_like(x), gr.ones_like(x, gr.bool),
            gr.full_like(x, 3), gr.asarray([1, 2]), gr.asarray([1.5]), gr.asarray(np.arange(2)),
            gr.eye(2, dtype=gr.i32), gr.linspace(0, 1, 3, dtype=gr.f64), gr.empty_like(x), x.astype(np.float64),
            gr.asarray(x, dtype=gr.i64),
        )
    )(np.zeros(2, np.uint8))  # fmt: skip
    names = "f4 i8 i4 f4 b1 u1 i4 f8 f4 u1 b1 u1 i4 f4 i8 i4 f8 u1 f8 i8"
    assert [np.asarray(x).dtype for x in found] == [np.dtype(n) for n in names.split()]


MISTAKES: dict[str, tuple[type[Exception], str, Callable[[Any], Any]]] = {
    "tensor counts": (errors.UnsupportedError, "gr.repeat(x, [2, 0, 3])", lambda x: gr.repeat(x, x.astype(gr.i32))),
    "too few counts": (errors.ShapeError, "not a count for each of 3", lambda x: gr.repeat(x, [1, 2], axis=1)),
    "unequal pieces": (errors.ShapeError, "gr.array_split", lambda x: gr.split(x, 2, axis=1)),
    "unknown mode": (errors.ArgumentError, "one of constant, edge", lambda x: gr.pad(x, 1, mode="mean")),
    "widths": (errors.ShapeError, "each of 3 axes", lambda x: gr.pad(x, ((1, 1), (1, 1)))),
    "negative width": (errors.ShapeError, "negative", lambda x: gr.pad(x, -1)),
    "empty edge": (errors.ShapeError, "empty axis", lambda x: gr.pad(x[:0], 1, mode="edge")),
    "repeated axis": (errors.ShapeError, "does not fit", lambda x: gr.flip(x, (0, 0))),
    "axis of expand_dims": (errors.ShapeError, "does not fit", lambda x: gr.expand_dims(x, 5)),
    "axes of permute_dims": (errors.ShapeError, "not an order", lambda x: gr.permute_dims(x, (0, 1))),
    "moves": (errors.ShapeError, "not as many", lambda x: gr.moveaxis(x, (0, 1), 0)),
    "device": (errors.UnsupportedError, "computes on the CPU", lambda x: gr.zeros(3, device="cuda")),
    "step 0": (errors.ArgumentError, "step is 0", lambda x: gr.arange(0, 5, 0)),
    "computed range": (errors.ArgumentError, "gr.arange(n) + x", lambda x: gr.arange(x[0, 0, 0])),
    "triangle of a vector": (errors.ShapeError, "fewer than two axes", lambda x: gr.tril(x[0, 0])),
    "indexing": (errors.ArgumentError, "neither 'xy' nor 'ij'", lambda x: gr.meshgrid(x[0, 0], indexing="yx")),
    "no dtype": (errors.DTypeError, "is not a dtype", lambda x: gr.zeros(3, dtype="float")),
    "where alone": (errors.UnsupportedError, "gr.where(condition, x1, x2)", lambda x: gr.where(x > 0)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    kind, words, body = MISTAKES[name]
    with pytest.raises(kind) as raised:
        gr.jit(body)(X)
    assert words in str(raised.value) and "test_array_structure.py" in str(raised.value)
