"""What users read when they err: each message in full, with the line they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim
from tests.mistakes import message, traced


def test_wrong_inner_dimension() -> None:
    w = gr.Variable(np.zeros((128, 10), np.float32), name="w")

    def f(x: Any) -> Any:
        h = x.reshape(-1, 784)
        return h @ w

    assert message(errors.ShapeError, traced(f, x=gr.f32["N", 28, 28])) == (
        "matmul: inner dimensions differ (784 != 128)\n"
        "  lhs  h:  f32[N,784]     test.py:4   h = x.reshape(-1, 784)\n"
        "  rhs  w:  f32[128,10]     test.py:5   return h @ w\n"
        "  at test.py:5   return h @ w\n"
        "  help: the rhs needs 784 rows, or the lhs 128 columns"
    )


def test_shapes_that_do_not_broadcast() -> None:
    def f(x: Any, y: Any) -> Any:
        return x + y

    text = message(errors.ShapeError, traced(f, x=gr.f32["N", 3], y=gr.f32["M", 3]))
    assert text.startswith(
        "add: shapes do not broadcast (f32[N,3] and f32[M,3]; axis -2: N against M)\n  lhs  x:  f32[N,3]"
    )
    assert text.endswith("  at test.py:2   return x + y\n  help: a symbolic size broadcasts only against 1 or itself")


def test_a_truth_value() -> None:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x
        return -x

    assert message(errors.TraceError, traced(f, x=gr.f32[3])) == (
        "a symbolic tensor has no truth value while tracing: bool[] gt test.py:2\n"
        "  at test.py:2   if x.sum() > 0:\n"
        "  help: gr.where(condition, x, y) chooses elementwise, gr.cond between branches"
    )


@pytest.mark.parametrize(
    "ask, what",
    [
        (lambda x: float(x), "number"),
        (lambda x: int(x), "number"),
        (lambda x: np.asarray(x), "NumPy array"),
        (lambda x: len(x), "length"),
        (lambda x: list(x), "sequence of rows"),
    ],
)
def test_values_that_do_not_exist_yet(ask: Callable[[Any], Any], what: str) -> None:
    with pytest.raises(errors.TraceError, match=f"a symbolic tensor has no {what} while tracing") as raised:
        traced(ask, x=gr.f32["N"])()
    assert "at test_errors.py:" in str(raised.value)


def test_a_numpy_function_that_is_not_supported() -> None:
    def f(x: Any) -> Any:
        return np.linalg.svd(x)

    assert message(errors.UnsupportedError, traced(f, x=gr.f32[3, 3])) == (
        "np.linalg.svd is not supported on symbolic tensors\n"
        "  at test.py:2   return np.linalg.svd(x)\n"
        "  help: write it with gr.* functions (the Python array API), or apply NumPy outside the entry"
    )


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda x: np.add.reduce(x), "np.add.reduce"),
        (lambda x: np.add(x, x, out=np.zeros(3)), "np.add with out="),
        (lambda x: np.sum(x, dtype=np.float64), "np.sum with dtype="),
        (lambda x: np.interp(x, [0.0], [1.0]), "np.interp"),
        (lambda x: np.spacing(x), "np.spacing"),
    ],
)
def test_numpy_calls_without_a_counterpart(call: Callable[[Any], Any], name: str) -> None:
    with pytest.raises(errors.UnsupportedError, match=f"^{name} is not supported on symbolic tensors"):
        traced(call, x=gr.f32[3])()


def test_the_gradient_of_an_integer() -> None:
    def f(x: Any) -> Any:
        hits = gr.sum(x > 0)
        return gr.gradients(hits, x)

    assert message(errors.GradientError, traced(f, x=gr.f32[3])) == (
        "the gradient of i32[]: only floats have derivatives\n"
        "  y  hits:  i32[]     test.py:2   hits = gr.sum(x > 0)\n"
        "  at test.py:3   return gr.gradients(hits, x)\n"
        "  help: differentiate the float that it was made from; comparisons and argmax have no derivative"
    )


def test_the_gradient_with_respect_to_an_integer() -> None:
    def f(x: Any, i: Any) -> Any:
        return gr.gradients(gr.sum(x * i), [x, i])

    text = message(errors.GradientError, traced(f, x=gr.f32[3], i=gr.i32[3]))
    assert text.startswith("the gradient with respect to i32[3]: only floats have derivatives\n  x  i:  i32[3]")
    assert "at test.py:2   return gr.gradients(gr.sum(x * i), [x, i])" in text


def test_the_gradient_of_a_vector() -> None:
    text = message(errors.GradientError, traced(lambda x: gr.gradients(x * 2, x), x=gr.f32[3]))
    assert text.startswith("the gradient of f32[3]: y is not a scalar")
    assert "gr.mean(y) or gr.sum(y)" in text


def test_differentiating_through_an_undecided_dropout() -> None:
    net = nn.Sequential(nn.Dense(3), nn.Dropout(0.5))

    def f(x: Any) -> None:
        loss = gr.mean(net(x))
        optim.SGD(0.1).minimize(loss)

    text = message(errors.GradientError, traced(f, x=gr.f32["N", 2]))
    assert text == (
        "a gradient through Dropout, whose mode was never given\n"
        "  layer  Dropout     test.py:4   loss = gr.mean(net(x))\n"
        "  at test.py:5   optim.SGD(0.1).minimize(loss)\n"
        "  help: call the network with training=True (or False) where the loss is computed"
    )


@pytest.mark.parametrize("value", [[[1], [2, 3]], ["a"], [None]])
def test_values_that_are_no_arrays(value: Any) -> None:
    with pytest.raises(errors.DTypeError, match="list is not a rectangular array of numbers"):
        gr.Variable(value)


def test_mixed_traces() -> None:
    kept: list[Any] = []
    traced(lambda x: kept.append(x), x=gr.f32[3])()
    text = message(errors.TraceError, traced(lambda x: x + kept[0], x=gr.f32[3]))
    assert text.startswith("a tensor of another trace is used here")


def test_undecidable_sizes() -> None:
    def f(x: Any) -> Any:
        return x if x.shape[0] == 4 else -x

    assert message(errors.TraceError, traced(f, x=gr.f32["N"])) == (
        "N == 4 can't be decided: the size is symbolic\n"
        "  at test.py:2   return x if x.shape[0] == 4 else -x\n"
        '  help: declare its bounds with gr.dim("N", min=, max=), or give the input a constant size'
    )


def test_reshapes_that_do_not_fit() -> None:
    text = message(errors.ShapeError, traced(lambda x: x.reshape(-1, -1), x=gr.f32["N", 3]))
    assert text.startswith("reshape: f32[N,3] has no shape (-1, -1): -1 can't be solved\n  x  x:  f32[N,3]")
    text = message(errors.ShapeError, traced(lambda x: x.reshape(3 * x.shape[0] + 1), x=gr.f32["N", 3]))
    assert text.startswith("reshape: f32[N,3] has no shape (3*N + 1): 3*N elements against 3*N + 1\n")


def test_writing_into_a_tensor() -> None:
    def f(x: Any) -> Any:
        x[0] = 1.0
        return x

    assert "x.at[key].set(value) gives a new one" in message(errors.TraceError, traced(f, x=gr.f32[3]))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A compiled program with one parameter."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRAPHC_CACHE", str(tmp_path_factory.mktemp("cache")))
    program = gr.Program("errors")
    net = nn.Dense(2)
    sgd = optim.SGD(0.1)

    @program.entry
    def train(x: gr.f32["N", 3], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        sgd.minimize(loss)
        return loss

    yield program.compile()
    patch.undo()


X, Y = np.zeros((4, 3), np.float32), np.zeros(4, np.int32)


@pytest.mark.parametrize(
    "kind, call, parts",
    [
        (errors.DTypeError, lambda c: c.train(X.astype(np.float64), Y), ["x", "float64", "x.astype(np.float32)"]),
        (errors.ShapeError, lambda c: c.train(X[0], Y), ["x", "[3]"]),
        (errors.ShapeError, lambda c: c.train(X[:, :2], Y), ["x", "2"]),
        (errors.ShapeError, lambda c: c.train(X, Y[:3]), ["N", "x", "4", "y", "3"]),
        (errors.ArgumentError, lambda c: c.train(X), ["y"]),
        (errors.ArgumentError, lambda c: c.train(X, Y, X), ["train"]),
        (errors.ArgumentError, lambda c: c.train(X, Y, z=X), ["z"]),
        (errors.IndexRangeError, lambda c: c.train(X, Y + 2), ["y", "2"]),
    ],
)
def test_calls_that_do_not_fit(
    compiled: Any, kind: type[Exception], call: Callable[[Any], Any], parts: list[str]
) -> None:
    with pytest.raises(kind) as raised:
        call(compiled)
    text = str(raised.value)
    assert all(part in text for part in parts), text
    assert "at test_errors.py:" in text, text


def test_unknown_names_in_restore(compiled: Any, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    compiled.save(tmp_path / "state.safetensors")
    before = compiled.state.copy()
    save_file({**before, "dense/colonel": np.zeros(2, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(errors.StateError, match="dense/colonel") as raised:
        compiled.restore(tmp_path / "other.safetensors")
    assert "at test_errors.py:" in str(raised.value)
    compiled.restore(tmp_path / "state.safetensors")
    assert all(np.array_equal(before[k], compiled.state[k]) for k in before)
