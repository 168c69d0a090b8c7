"""Recurrent networks in programs: at any length and batch they train as the same network unrolled, by epochs too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from tests.recurrent_case import BATCH, EVERY, HIDDEN, case

FEATURES, UNITS, CLASSES = 5, 19, 3


def network(length: Any, batch: Any, unrolled: bool, cpu: str = "native") -> Any:
    """A recurrent classifier over x: [batch, length, FEATURES], trained with Adam."""
    rng = np.random.default_rng(0)
    shapes = {"w": (FEATURES, UNITS), "u": (UNITS, UNITS), "b": (UNITS,), "v": (UNITS, CLASSES)}
    w, u, b, v = (gr.Variable(rng.normal(0, 0.3, s).astype(np.float32), name=n) for n, s in shapes.items())
    adam = optim.Adam(0.05)
    program = gr.Program("recurrent")

    def states(x: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            h = gr.tanh(x_t @ w + h @ u + b)
            return h, h * 0.5

        sequence = gr.permute_dims(x, (1, 0, 2))
        h = gr.zeros((x.shape[0], UNITS))
        if not unrolled:
            return gr.scan(step, h, sequence)
        ys = []
        for t in range(length):
            h, y = step(h, sequence[t])
            ys.append(y)
        return h, gr.stack(ys)

    @program.entry(x=gr.f32[batch, length, FEATURES])
    def predict(x: Any) -> Any:
        last, every = states(x)
        return {"classes": nn.softmax(last @ v), "states": every}

    @program.entry(x=gr.f32[batch, length, FEATURES], y=gr.i32[batch])
    def train(x: Any, y: Any) -> Any:
        last, every = states(x)
        loss = losses.sparse_softmax_cross_entropy(last @ v, y) + 0.1 * gr.mean(gr.square(every))
        adam.minimize(loss)
        return loss

    return program.compile(cpu=cpu)


def data(rows: int, length: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows + length)
    x = rng.normal(size=(rows, length, FEATURES)).astype(np.float32)
    return x, (x.sum((1, 2)) > 0).astype(np.int32)


@pytest.mark.parametrize("cpu", ["native", "x86-64-v3"])
@pytest.mark.parametrize("length", [1, 6])
def test_a_scan_trains_as_the_unrolled_network(length: int, cpu: str) -> None:
    looped, unrolled = network("T", "N", False, cpu), network(length, "N", True, cpu)
    for rows in (1, 7, 33):
        x, y = data(rows, length)
        for _ in range(3):
            np.testing.assert_allclose(looped.train(x, y), unrolled.train(x, y), rtol=1e-4)
        ours, theirs = looped.predict(x), unrolled.predict(x)
        for key in ours:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-3, atol=1e-4)


def test_epochs_of_a_recurrent_network() -> None:
    looped, unrolled = network(6, "N", False), network(6, "N", True)
    x, y = data(45, 6)
    for _ in range(3):
        a, b = (p.train.epoch(x, y, batch_size=16, shuffle=True) for p in (looped, unrolled))
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_rows_do_not_depend_on_the_batch() -> None:
    program = network("T", "N", False)
    x, _ = data(20, 9)
    whole = program.predict(x)["classes"]
    for rows in (1, 3, 16):
        assert np.array_equal(program.predict(x[:rows])["classes"], whole[:rows])


def test_the_workspace_grows_with_length_and_batch() -> None:
    program = network("T", "N", False)
    entry = program.train.entry
    bytes_of = program.train._artifact.workspace(entry)
    sizes = [bytes_of(*({"N": n, "T": t}[s] for s in entry.symbols)) for n, t in ((8, 10), (8, 1000), (80, 10))]
    assert sizes[0] * 3 < sizes[1]
    assert sizes[0] * 3 < sizes[2]
    x, y = data(2, 1000)
    assert np.isfinite(program.train(x, y))


def checkpointed(length: int, every: int | None) -> Any:
    """A step of gradient descent through a long loop."""
    w = gr.Variable(np.random.default_rng(0).normal(0, 0.1, (16, 16)).astype(np.float32), name="w")
    program = gr.Program("long")

    @program.entry(x=gr.f32[length, 8, 16])
    def train(x: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            return gr.tanh(h @ w + x_t), None

        last, _ = gr.scan(step, gr.zeros((8, 16)), x, checkpoint_every=every)
        loss = gr.sum(gr.square(last))
        (slope,) = gr.gradients(loss, [w])
        w.assign(w - 0.001 * slope)
        return loss

    return program.compile()


def test_memory_of_a_checkpointed_scan_grows_with_the_root_of_the_length() -> None:
    def memory(length: int, every: int | None) -> int:
        step = checkpointed(length, every).train
        return int(step._artifact.workspace(step.entry)())

    assert memory(1600, 40) < 4.5 * memory(100, 10)
    assert memory(1600, 40) < memory(1600, None) / 10


def test_code_does_not_grow_with_the_length(tmp_path: Path) -> None:
    files = [checkpointed(length, None).build(tmp_path / f"f{length}.so", prefix="f") for length in (10, 10_000)]
    small, large = (file.stat().st_size for file in files)
    assert abs(small - large) < 0.05 * small


def test_a_checkpointed_scan_trains_as_the_plain_one() -> None:
    x = np.random.default_rng(1).normal(size=(45, 8, 16)).astype(np.float32)
    programs = [checkpointed(45, every) for every in (None, 1, 7, 45, 100)]
    for _ in range(3):
        first, *others = (p.train(x) for p in programs)
        np.testing.assert_allclose(others, first, rtol=1e-5)
    for program in programs[1:]:
        np.testing.assert_allclose(program.state["w"], programs[0].state["w"], rtol=1e-4, atol=1e-6)


def lstm(state: Any, x: Any, w: Any, u: Any, b: Any) -> Any:
    """PyTorch's LSTM cell: gates i, f, g, o."""
    h, c = state
    i, f, g, o = gr.unstack(gr.reshape(x @ w + h @ u + b, (BATCH, 4, HIDDEN)), axis=1)
    c = nn.functional.sigmoid(f) * c + nn.functional.sigmoid(i) * gr.tanh(g)
    return nn.functional.sigmoid(o) * gr.tanh(c), c


def gru(state: Any, x: Any, w: Any, u: Any, b: Any) -> Any:
    """PyTorch's GRU cell: gates r, z, n."""
    (h,) = state
    a, d = x @ w + b, h @ u
    r, z = (nn.functional.sigmoid(a[:, k : k + HIDDEN] + d[:, k : k + HIDDEN]) for k in (0, HIDDEN))
    new = gr.tanh(a[:, 2 * HIDDEN :] + r * d[:, 2 * HIDDEN :])
    return ((1 - z) * new + z * h,)


@pytest.mark.parametrize(("name", "cell", "states"), [("lstm", lstm, 2), ("gru", gru, 1)])
def test_sixty_four_steps_are_pytorchs(name: str, cell: Any, states: int) -> None:
    x, weight, *weights = case(name)

    def total(x: Any, w: Any, u: Any, b: Any) -> Any:
        start = tuple(gr.zeros((BATCH, HIDDEN)) for _ in range(states))
        last, _ = gr.scan(lambda s, x_t: (cell(s, x_t, w, u, b), None), start, x)
        return gr.sum(last[0] * weight), last[0]

    gradient = gr.jit(gr.value_and_grad(total, argnums=(0, 1, 2, 3), has_aux=True))
    (_, last), found = gradient(x, *weights)
    records = np.load(Path(__file__).parent / "vectors" / "recurrent.npz")
    np.testing.assert_allclose(last.ravel()[::7], records[f"{name}/last"], rtol=1e-5, atol=1e-5)
    for key, value in zip(("x", "input", "hidden", "bias"), found, strict=True):
        expected = records[f"{name}/{key}"]
        np.testing.assert_allclose(value.ravel()[::EVERY], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
