"""Calls from Python: what arguments mean, where results go, what errors say, how threads and loops behave."""

from __future__ import annotations

import array
import gc
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.codegen.object import emit_object
from graphc.codegen.outputs import write_output
from graphc.errors import (
    ArgumentError,
    DTypeError,
    GraphcError,
    IndexRangeError,
    ShapeError,
)
from graphc.runtime import call
from graphc.runtime.load import Compiled, load
from graphc.runtime.targets import native
from tests.toy import EXPORTS, toy_text

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 9, 3, 4], np.int32)
W = np.array([1, 2, 3], np.float32)
HALF: Any = 0.5


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("call") / "toy.so"
    write_output(emit_object(toy_text(native()), native()), EXPORTS, path)
    return path


@pytest.fixture
def toy(file: Path) -> Compiled:
    return load(file)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_positions_and_keywords_mean_the_same(toy: Compiled) -> None:
    ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((X, Y), {}), ((X,), {"y": Y}), ((), {"y": Y, "x": X})]
    losses = [toy.new_state().train_step(*a, **k)["loss"] for a, k in ways]
    assert losses == [4.5, 4.5, 4.5]
    assert isinstance(losses[0], np.float32)


@pytest.mark.parametrize("rows", [0, 1, 4, 1000])
def test_one_binary_serves_any_batch(toy: Compiled, rows: int) -> None:
    x = np.full((rows, 3), 2, np.float32)
    np.testing.assert_array_equal(toy.predict(x), x * W)


def variants() -> dict[str, Any]:
    raw = np.zeros(X.nbytes + 1, np.uint8)
    misaligned = raw[1:].view(np.float32).reshape(4, 3)
    misaligned[...] = X
    frozen = X.copy()
    frozen.flags.writeable = False
    return {
        "fortran order": np.asfortranarray(X),
        "negative strides": X[::-1, ::-1].copy()[::-1, ::-1],
        "every second": np.repeat(X, 2, axis=0)[::2],
        "broadcast": np.broadcast_to(X[None], (1, 4, 3))[0],
        "misaligned": misaligned,
        "big endian": X.astype(">f4"),
        "read-only": frozen,
        "memoryview": X.data,
        "bytes of an array.array": memoryview(array.array("f", X.ravel())).cast("B").cast("f", (4, 3)),
        "subclass": X.view(type("Sub", (np.ndarray,), {})),
        "dlpack only": type("Tensor", (), {
            "__dlpack__": lambda self, **k: X.__dlpack__(**k), "__dlpack_device__": lambda self: (1, 0),
        })(),
        "array method": type("Frame", (), {"__array__": lambda self, dtype=None, copy=None: X})(),
    }  # fmt: skip


@pytest.mark.parametrize("kind", variants())
def test_any_memory_of_the_right_type_works(toy: Compiled, kind: str) -> None:
    value = variants()[kind]
    np.testing.assert_array_equal(toy.predict(value), X * W)


def test_arguments_are_never_changed(toy: Compiled) -> None:
    x, y = X.copy(), Y.copy()
    toy.train_step(x, y)
    toy.train_step.epoch(x, y, batch_size=2, shuffle=1)
    assert (x == X).all() and (y == Y).all()


def test_the_same_kind_may_be_cast_on_request(file: Path) -> None:
    toy = load(file, cast="same_kind")
    np.testing.assert_array_equal(toy.predict(X.astype(np.float64)), X * W)
    assert toy.train_step(X.astype(np.float16), Y.astype(np.int64))["loss"] == 4.5
    with pytest.raises(DTypeError):
        toy.train_step(X, Y.astype(np.float32))


ERRORS: dict[str, tuple[Callable[[Compiled], Any], type[Exception], str]] = {
    "missing": (lambda t: t.train_step(X), ArgumentError, r"train_step lacks the argument y"),
    "extra": (lambda t: t.predict(X, Y), ArgumentError, r"predict takes 1 arguments, 2 were given"),
    "unknown": (lambda t: t.predict(z=X), ArgumentError, r"has no argument z; lacks the argument x"),
    "twice": (lambda t: t.predict(X, x=X), ArgumentError, r"got x twice"),
    "wrong float": (
        lambda t: t.predict(X.astype(np.float64)),
        DTypeError,
        r"(?s)x is f64\[4, 3\].*x.astype\(np.float32\)",
    ),
    "wrong int": (lambda t: t.train_step(X, Y.astype(np.int64)), DTypeError, r"(?s)expected i32.*y.astype\(np.int32\)"),
    "list": (
        lambda t: t.predict([[1.0, 2.0, 3.0]]),
        ArgumentError,
        r"(?s)list is not.*np.asarray\(x, dtype=np.float32\)",
    ),
    "number": (lambda t: t.predict(1.0), ShapeError, r"(?s)1.0 is not f32, rank 2.*np.full\(shape, 1.0"),
    "None": (lambda t: t.predict(None), ArgumentError, r"NoneType is not an array"),
    "rank": (lambda t: t.predict(X[0]), ShapeError, r"(?s)rank 1, expected 2.*x\[None\] is f32\[1, 3\]"),
    "constant": (lambda t: t.predict(X[:, :2].copy()), ShapeError, r"axis 1 of x is 2, expected 3"),
    "disagree": (
        lambda t: t.train_step(X, Y[:3]),
        ShapeError,
        r"(?s)N is 4 in x but 3 in y.*x .*f32\[4, 3\].*y .*i32\[3\]",
    ),
    "too many": (
        lambda t: t.predict(np.broadcast_to(W, ((1 << 20) + 1, 3))),
        ShapeError,
        r"N is 1048577, must be at least 0 and at most 1048576",
    ),
    "unsolvable": (lambda t: t.stats(np.zeros(4, np.float32)), ShapeError, r"axis 0 of x is 4, expected 2\*N \+ 1"),
    "index": (
        lambda t: t.train_step(X, np.array([1, 2, 10, 99], np.int32)),
        IndexRangeError,
        r"y\[2\] is 10, outside 0..9",
    ),
    "negative index": (lambda t: t.train_step(X, -Y), IndexRangeError, r"y\[1\] is -9, outside 0..9"),
    "epoch index": (lambda t: t.train_step.epoch(X, Y + 1), IndexRangeError, r"y\[1\] is 10"),
    "repeat nothing": (lambda t: t.train_step.repeat(0, X, Y), ArgumentError, r"n is 0, must be at least 1"),
    "repeat a half": (lambda t: t.train_step.repeat(HALF, X, Y), ArgumentError, r"must be an integer"),
    "pure repeat": (lambda t: t.predict.repeat(2, X), ArgumentError, r"only entries that write state repeat"),
    "pure epoch": (lambda t: t.predict.epoch(X), ArgumentError, r"have a batch dimension have epoch"),
    "batch 0": (lambda t: t.train_step.epoch(X, Y, batch_size=0), ArgumentError, r"batch_size is 0"),
    "no rows": (lambda t: t.train_step.epoch(X[:0], Y[:0]), ShapeError, r"at least one row"),
    "map of a step": (lambda t: t.train_step.map(X, Y), ArgumentError, r"only entries that write no state"),
    "map of a sum": (lambda t: t.stats.map(X[0]), ArgumentError, r"x has the batch dimension elsewhere"),
    "no entry": (lambda t: t.forward(X), AttributeError, r"no entry 'forward'; it has predict, train_step, stats"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_came_and_where(toy: Compiled, case: str) -> None:
    attempt, kind, message = ERRORS[case]
    before = toy.state.memory.copy()
    with pytest.raises(kind, match=message) as caught:
        attempt(toy)
    assert (toy.state.memory == before).all(), "an error changes nothing"
    if isinstance(caught.value, GraphcError):
        assert caught.value.site is not None and caught.value.site.file == __file__


# -- results -----------------------------------------------------------------------------------------------------------


def test_outputs_keep_their_structure(toy: Compiled) -> None:
    nothing, (total, count, first) = toy.stats(np.array([5, 1, 1], np.float32))
    assert nothing is None and total == 7 and count == 3 and first.tolist() == [5]
    assert type(total) is np.float32 and type(count) is np.int64


def test_out_arrays_are_written_and_returned(toy: Compiled) -> None:
    out = np.empty((4, 3), np.float32)
    assert toy.predict(X, out=out) is out
    np.testing.assert_array_equal(out, X * W)
    loss = np.zeros((), np.float32)
    assert toy.train_step(X, Y, out={"loss": loss})["loss"] is loss and loss == 4.5
    first = np.zeros(1, np.float32)
    result = toy.stats(X[0], out=(None, [None, None, first]))
    assert result[1][2] is first and first == X[0, 0] and result[1][1] == 3


def test_an_input_may_be_the_output(toy: Compiled) -> None:
    both = X.copy()
    assert toy.predict(both, out=both) is both
    np.testing.assert_array_equal(both, X * W)
    memory = np.zeros(15, np.float32)
    memory[:12] = X.ravel()
    toy.predict(memory[:12].reshape(4, 3), out=memory[3:].reshape(4, 3))
    np.testing.assert_array_equal(memory[3:].reshape(4, 3), X * W)


def frozen(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    ("out", "kind", "message"),
    [
        (np.empty((4, 3)), DTypeError, r"y is f64\[4, 3\].*expected f32\[4, 3\]"),
        (np.empty((4, 3), ">f4"), DTypeError, ">f4"),
        (np.empty((3, 4), np.float32), ShapeError, r"f32\[3, 4\], expected f32\[4, 3\]"),
        (np.empty((3, 4), np.float32).T, ArgumentError, "not contiguous"),
        (frozen(np.empty((4, 3), np.float32)), ArgumentError, "not writable"),
        ([0.0], ArgumentError, "is a list, not a NumPy array"),
    ],
)
def test_out_arrays_must_be_what_is_written(toy: Compiled, out: Any, kind: type[GraphcError], message: str) -> None:
    with pytest.raises(kind, match=message):
        toy.predict(X, out=out)


def test_out_has_the_structure_of_the_outputs(toy: Compiled) -> None:
    for out in ([None], {"other": None}, np.zeros((), np.float32)):
        with pytest.raises(ArgumentError, match=r"(?s)structure.*\{'loss': 'f32'\}"):
            toy.train_step(X, Y, out=out)
    a = np.zeros(2, np.float32)
    with pytest.raises(ArgumentError, match="overlaps"):
        toy.stats(X[0], out=(None, [a[:1].reshape(()), None, a[:1]]))


# -- loops -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 50, np.int64(3)])
def test_repeat_is_n_calls(toy: Compiled, n: int) -> None:
    other = toy.new_state()
    result = toy.train_step.repeat(n, X, Y)
    for _ in range(n):
        expected = other.train_step(X, Y)
    assert result == expected and (toy.state.memory == other.state.memory).all()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("chunk", [1, 2, 1 << 40])
def test_an_epoch_is_a_loop_over_batches(
    toy: Compiled, batch_size: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "EPOCH_CHUNK", chunk)
    monkeypatch.setattr(call, "work", lambda *sizes: 1)
    other = toy.new_state()
    result = toy.train_step.epoch(X, Y, batch_size=batch_size)
    total = 0.0
    for start in range(0, 4, batch_size):
        x, y = X[start : start + batch_size], Y[start : start + batch_size]
        total += float(other.train_step(x, y)["loss"]) * len(x)
    assert result["loss"] == pytest.approx(total / 4, rel=1e-6)
    assert (toy.state.memory == other.state.memory).all()


def test_shuffling_is_by_seed_or_by_the_counter(toy: Compiled) -> None:
    def loss(shuffle: Any) -> float:
        return float(toy.new_state().train_step.epoch(X, Y, batch_size=1, shuffle=shuffle)["loss"])

    assert loss(None) == loss(False) != loss(0) == loss(1) == loss(-1)
    toy.train_step.epoch(X, Y, batch_size=1, shuffle=3)
    assert toy.state["graphc/epoch"] == 0
    toy.train_step.epoch(X, Y, batch_size=1, shuffle=True)
    toy.train_step.epoch(X, Y, batch_size=1, shuffle=True)
    assert toy.state["graphc/epoch"] == 2


def test_an_epoch_out_of_range_of_the_batch_only(toy: Compiled) -> None:
    rows = (1 << 20) + 5
    x, y = np.ones((rows, 3), np.float32), np.zeros(rows, np.int32)
    assert np.isfinite(toy.train_step.epoch(x, y, batch_size=1 << 19)["loss"])
    with pytest.raises(ShapeError, match="at most"):
        toy.train_step.epoch(x, y, batch_size=1 << 21)


def test_an_epoch_can_be_interrupted_between_batches(toy: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = []

    def add(self: call.Means, rows: int) -> None:
        chunks.append(rows)
        if len(chunks) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(call, "EPOCH_CHUNK", 1)
    monkeypatch.setattr(call.Means, "add", add)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    try:
        with pytest.raises(KeyboardInterrupt):
            toy.train_step.epoch(X, Y, batch_size=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert toy.state["w"][0] == 1 - 3 * 0.125
    toy.init()
    assert toy.train_step(X, Y)["loss"] == 4.5, "the state is not left locked"


@pytest.mark.parametrize("batch_size", [1, 3, 4, 256])
def test_map_joins_batches(toy: Compiled, batch_size: int) -> None:
    np.testing.assert_array_equal(toy.predict.map(X, batch_size=batch_size), toy.predict(X))
    assert toy.predict.map(X[:0]).shape == (0, 3)


# -- threads and lifetime ----------------------------------------------------------------------------------------------


def test_writers_of_one_state_take_turns(toy: Compiled) -> None:
    def work() -> None:
        for _ in range(200):
            toy.train_step(X, Y)
            toy.train_step.repeat(5, X, Y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert toy.state["w"][0] == 1 - 0.125 * 4 * 200 * 6


def test_a_call_waits_for_the_writer_at_work(toy: Compiled) -> None:
    x, y = np.ones((1 << 18, 3), np.float32), np.zeros(1 << 18, np.int32)
    toy.train_step(X, Y)
    toy.init()
    thread = threading.Thread(target=lambda: toy.train_step.repeat(64, x, y))
    thread.start()
    deadline = time.monotonic() + 10
    while not toy.state.cell.busy:
        assert time.monotonic() < deadline
    assert toy.train_step(X, Y)["loss"] == (1 - 64 * 0.125) * 4.5
    thread.join()


def test_long_calls_release_the_gil(toy: Compiled) -> None:
    x, y = np.ones((1 << 18, 3), np.float32), np.zeros(1 << 18, np.int32)
    done = threading.Event()

    def work() -> None:
        toy.train_step.repeat(100, x, y)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    turns = 0
    while not done.is_set():
        turns += 1
    thread.join()
    assert turns > 1000


def test_an_entry_keeps_code_and_state_alive(file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path / "copy.so"))
    toy = load(copy)
    predict, artifact = toy.predict, weakref.ref(toy._artifact)
    del toy
    copy.unlink()
    gc.collect()
    np.testing.assert_array_equal(predict(X), X * W)
    del predict
    gc.collect()
    assert artifact() is None and "copy.so" not in Path("/proc/self/maps").read_text()
