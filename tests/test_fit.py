"""`train.fit`: what it trains on, in which order, and what it says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, train
from graphc.order import shuffled
from graphc.runtime.load import Compiled
from tests.documents import ROOT
from tests.fit_programs import ROWS, TEST, X, Y, classifier, compiled, image, program

__all__ = ["compiled", "program"]


@pytest.fixture(scope="module")
def expected(program: gr.Program) -> tuple[bytes, list[float]]:
    """The state and the losses of three epochs, run by hand."""
    by_hand = program.compile()
    found = [float(by_hand.train_step.epoch(X, Y, batch_size=16, shuffle=epoch)["loss"]) for epoch in range(3)]
    return image(by_hand), found


def as_memmap(folder: Path, name: str, array: np.ndarray, dtype: Any) -> np.memmap:
    """An array as a file in memory."""
    stored = np.memmap(folder / name, dtype, "w+", shape=array.shape)
    stored[...] = array
    stored.flush()
    return np.memmap(folder / name, dtype, "r", shape=array.shape)


def batches(epoch: int) -> Iterator[dict[str, np.ndarray]]:
    """The batches of an epoch in the order that `fit` gives to arrays."""
    order = shuffled(np.arange(ROWS), ROWS, epoch)
    for start in range(0, ROWS, 16):
        chosen = order[start : start + 16]
        yield {"x": X[chosen], "y": Y[chosen]}


SOURCES = {
    "arrays": lambda folder: (X, Y),
    "dict": lambda folder: {"y": Y, "x": X},
    "lists": lambda folder: {"y": Y, "x": X[:, ::-1][:, ::-1]},
    "memmap": lambda folder: (as_memmap(folder, "x", X, "<f4"), as_memmap(folder, "y", Y, "<i4")),
    "foreign memmap": lambda folder: (as_memmap(folder, "x", X, ">f4"), as_memmap(folder, "y", Y, ">i4")),
    "function": lambda folder: batches,
    "generator": lambda folder: (batch for epoch in range(3) for batch in batches(epoch)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_trains_alike(
    kind: str, compiled: Compiled, expected: tuple[bytes, list[float]], tmp_path: Path
) -> None:
    steps = 7 if kind == "generator" else None
    history = train.fit(compiled, SOURCES[kind](tmp_path), epochs=3, batch_size=16, steps_per_epoch=steps)
    assert image(compiled) == expected[0]
    assert history["loss"] == pytest.approx(expected[1], rel=1e-6)
    assert history.epochs == [0, 1, 2] and history.steps == 21 and not history.interrupted


def test_epochs_can_be_run_in_parts(compiled: Compiled, expected: tuple[bytes, list[float]]) -> None:
    parts = compiled.train_step.minibatches(X, Y, batch_size=16)
    assert len(parts) == 7 and parts.rows_in(5, 2) == 20
    for epoch in range(3):
        means = [(parts.run(epoch, first, 3 if first < 6 else None)["loss"], first) for first in (0, 3, 6)]
        total = sum(loss * parts.rows_in(first, min(3, 7 - first)) for loss, first in means)
        assert total / ROWS == pytest.approx(expected[1][epoch], rel=1e-6)
    assert image(compiled) == expected[0]
    for first, count in ((7, 1), (-1, 2), (5, 3), (0, 0)):
        with pytest.raises(errors.ArgumentError):
            parts.run(0, first, count)


def test_evaluate_weighs_by_rows(compiled: Compiled) -> None:
    whole = compiled.evaluate(*TEST)
    for size in (5, 36, 256, "full"):
        found = train.evaluate(compiled, TEST, batch_size=size)
        assert found == pytest.approx({name: float(value) for name, value in whole.items()}, rel=1e-6)


def test_the_order_is_that_of_compiled_epochs() -> None:
    for rows in (1, 2, 3, 100, 1025):
        order = shuffled(np.arange(rows), rows, 7)
        assert sorted(order) == list(range(rows))
        assert (shuffled(np.arange(rows)[rows // 2 :], rows, 7) == order[rows // 2 :]).all()


@pytest.mark.parametrize("shuffle, seeds", [
    (True, (0, 1)), (0, (0, 1)), (False, (None, None)), (3, (3 << 32, (3 << 32) + 1)), (-1, (-1 << 32, (-1 << 32) + 1)),
])  # fmt: skip
def test_an_epoch_is_shuffled_by_seed_and_number(
    shuffle: Any, seeds: Any, compiled: Compiled, program: gr.Program
) -> None:
    train.fit(compiled, (X, Y), epochs=2, shuffle=shuffle)
    other = program.compile()
    for seed in seeds:
        other.train_step.epoch(X, Y, shuffle=None if seed is None else seed % ((1 << 64) - 1))
    assert image(other) == image(compiled)


def test_modes_of_batches(compiled: Compiled, program: gr.Program) -> None:
    other = program.compile()
    for size in ("full", None):
        assert train.fit(compiled, (X, Y), epochs=2, batch_size=size, shuffle=False).steps == 2
    for _ in range(4):
        other.train_step(X, Y)
    assert image(other) == image(compiled)
    assert train.fit(compiled, (X, Y), batch_size=1).steps == ROWS
    assert train.fit(compiled, (X, Y), batch_size=32, epochs=2, steps_per_epoch=2).steps == 4
    assert train.fit(compiled, (X, Y), epochs=5, initial_epoch=3).epochs == [3, 4]
    assert train.fit(compiled, (X, Y), epochs=0).epochs == []


def test_the_last_rows_validate(compiled: Compiled, program: gr.Program) -> None:
    history = train.fit(compiled, {"x": X, "y": Y}, epochs=2, validation_split=0.25)
    other = program.compile()
    apart = train.fit(other, (X[:75], Y[:75]), epochs=2, validation_data=(X[75:], Y[75:]))
    assert dict(history) == dict(apart) and image(other) == image(compiled)
    assert history["val_accuracy"][-1] == train.evaluate(compiled, (X[75:], Y[75:]))["accuracy"]


def test_any_program_can_be_driven() -> None:
    """Other names, an argument that is no batch, outputs that are no figures, none that is named."""
    program = gr.Program("custom")
    weight = gr.Variable(np.zeros(4, np.float32), name="weight")
    seen = gr.Variable(np.int32(0), name="seen", trainable=False)

    @program.entry
    def learn(x: gr.f32["N", 4], rate: gr.f32[()]):
        error = gr.mean(x - weight, axis=0)
        weight.assign(weight + rate * error)
        seen.assign(seen + x.shape[0])
        return {"error": (gr.mean(gr.abs(error)), gr.sum(error)), "errors": error, "rows": seen}

    @program.entry
    def test(x: gr.f32["N", 4]):
        return gr.mean(gr.square(x - weight))

    compiled = program.compile()
    rate = np.float32(0.5)
    history = train.fit(
        compiled, (X, rate), epochs=3, validation_split=0.5, step="learn", evaluate="test", batch_size="full"
    )
    assert list(history) == ["error_0", "error_1", "rows", "val_loss"] and history["rows"] == [50, 100, 150]
    np.testing.assert_allclose(compiled.state["weight"], X[:50].mean(0) * 0.875, rtol=1e-5)
    batched = train.fit(compiled, [{"x": X[:10], "rate": rate}, (X[10:13], rate)], step="learn")
    assert batched["rows"] == [pytest.approx((160 * 10 + 163 * 3) / 13)] and batched.steps == 2


def test_a_loaded_program_is_trained_alike(
    compiled: Compiled, expected: tuple[bytes, list[float]], tmp_path: Path
) -> None:
    loaded = gr.load(compiled.build(tmp_path / "blobs.so"))
    history = train.fit(loaded, (X, Y), epochs=np.int64(3), batch_size=np.int32(16), validation_data=TEST)
    assert image(loaded) == expected[0] and history["loss"] == pytest.approx(expected[1], rel=1e-6)


def test_a_file_is_not_read_whole(compiled: Compiled, tmp_path: Path) -> None:
    """80 GB that are not there: only the rows of some batches can have been touched."""
    rows = 1 << 32
    for name, width in (("x", 4), ("y", 1)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(rows * width * 4)
    x = np.memmap(tmp_path / "x", ">f4", "r", shape=(rows, 4))
    y = np.memmap(tmp_path / "y", ">i4", "r", shape=(rows,))
    history = train.fit(compiled, (x, y), batch_size=3, steps_per_epoch=2)
    assert history.steps == 2 and np.isfinite(history["loss"][0])


def test_rows_in_a_file_of_the_right_form_are_gathered_in_place(compiled: Compiled, tmp_path: Path) -> None:
    rows = 1 << 30
    with (tmp_path / "x").open("wb") as file:
        file.truncate(rows * 16)
    program = gr.Program("sums")
    total = gr.Variable(np.float32(0), name="total", trainable=False)

    @program.entry
    def train_step(x: gr.f32["N", 4]):
        total.assign(total + gr.sum(x))

    x = np.memmap(tmp_path / "x", np.float32, "r", shape=(rows, 4))
    assert train.fit(program.compile(), x, batch_size=3, steps_per_epoch=2).steps == 2


def drying() -> Iterator[Any]:
    """Two batches."""
    yield X[:10], Y[:10]
    yield X[10:20], Y[10:20]


FAULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "program": (lambda c: train.fit(classifier(), (X, Y)), errors.ArgumentError, r"program.compile\(\)"),
    "step": (lambda c: train.fit(c, (X, Y), step="trainstep"), errors.ArgumentError, "did you mean 'train_step'"),
    "evaluate": (
        lambda c: train.fit(c, (X, Y), validation_split=0.5, evaluate="eval"), errors.ArgumentError, "no entry 'eval'"
    ),
    "lengths": (lambda c: train.fit(c, (X, Y[:9])), errors.ShapeError, "x has 100 rows; y has 9 rows"),
    "names": (lambda c: train.fit(c, {"x": X, "z": Y}), errors.ArgumentError, "has x, z, train_step takes x, y"),
    "too few": (lambda c: train.fit(c, (X,)), errors.ArgumentError, "the data has 1 arrays"),
    "one array": (lambda c: train.fit(c, X), errors.ArgumentError, "a batch is a tuple|has 1 arrays"),
    "a list": (lambda c: train.fit(c, [X, Y]), errors.ArgumentError, "a tuple, not as a list"),
    "ragged": (lambda c: train.fit(c, ([[1.0], [2.0, 3.0]], Y)), errors.ArgumentError, "the data: x is no array"),
    "pure step": (lambda c: train.fit(c, X, step="predict"), errors.ArgumentError, "those that do: train_step"),
    "no figures": (lambda c: train.evaluate(c, X, entry="predict"), errors.ArgumentError, "gives no figures"),
    "a number of a function": (lambda c: train.fit(c, lambda e: 5), errors.ArgumentError, "gave a int, no iterable"),
    "empty": (lambda c: train.fit(c, (X[:0], Y[:0])), errors.ShapeError, "the data has no rows"),
    "no data": (lambda c: train.fit(c, None), errors.ArgumentError, "the data is a NoneType"),
    "dtype": (lambda c: train.fit(c, (X.astype(np.float64), Y)), errors.DTypeError, "expected f32"),
    "width": (lambda c: train.fit(c, (X[:, :3], Y)), errors.ShapeError, "expected 4"),
    "labels": (lambda c: train.fit(c, (X, Y + 3)), errors.IndexRangeError, "outside 0..2"),
    "batch size": (lambda c: train.fit(c, (X, Y), batch_size=0), errors.ArgumentError, "batch_size=0"),
    "batch word": (lambda c: train.fit(c, (X, Y), batch_size="all"), errors.ArgumentError, '"full", or None'),
    "epochs": (lambda c: train.fit(c, (X, Y), epochs=2.0), errors.ArgumentError, "epochs=2.0"),
    "steps": (lambda c: train.fit(c, (X, Y), steps_per_epoch=0), errors.ArgumentError, "steps_per_epoch=0"),
    "shuffle": (lambda c: train.fit(c, (X, Y), shuffle="yes"), errors.ArgumentError, "shuffle='yes'"),
    "split": (lambda c: train.fit(c, (X, Y), validation_split=1.5), errors.ArgumentError, "validation_split=1.5"),
    "split of few": (
        lambda c: train.fit(c, (X[:2], Y[:2]), validation_split=0.9), errors.ShapeError, "leaves 0 to train on and 2"
    ),
    "split of batches": (
        lambda c: train.fit(c, [(X, Y)], validation_split=0.1), errors.ArgumentError, "needs arrays"
    ),
    "validation": (
        lambda c: train.fit(c, (X, Y), validation_data=(X,)), errors.ArgumentError, "validation_data has 1 arrays"
    ),
    "validation's dtype": (
        lambda c: train.fit(c, (X, Y), validation_data=(X, Y.astype(np.int64))), errors.DTypeError, "expected i32"
    ),
    "validation's labels": (
        lambda c: train.fit(c, (X, Y), validation_data=(X, Y - 1)), errors.IndexRangeError, "outside 0..2"
    ),
    "no batches": (lambda c: train.fit(c, []), errors.ArgumentError, "ran dry: epoch 0 got 0 batches"),
    "used up": (lambda c: train.fit(c, drying(), epochs=2), errors.ArgumentError, "the data is a generator"),
    "used up in validation": (
        lambda c: train.fit(c, (X, Y), epochs=2, validation_data=drying()), errors.ArgumentError, "one epoch uses up"
    ),
    "callback": (lambda c: train.fit(c, (X, Y), callbacks=train.Callback()), errors.ArgumentError, "is no list"),
    "function": (lambda c: train.fit(c, lambda: drying()), errors.ArgumentError, "number of an epoch"),
    "evaluate's entry": (lambda c: train.evaluate(c, (X, Y), entry="loss"), errors.ArgumentError, "entry= names it"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_mistakes_change_nothing(kind: str, compiled: Compiled) -> None:
    mistake, error, message = FAULTS[kind]
    before = image(compiled)
    with pytest.raises(error, match=message) as caught:
        mistake(compiled)
    assert image(compiled) == before
    assert caught.value.site.file == __file__


def test_a_generator_that_runs_dry_says_so(compiled: Compiled) -> None:
    with pytest.raises(errors.ArgumentError, match="ran dry: epoch 1 got 0 batches"):
        train.fit(compiled, iter(list(drying())), epochs=2)
    with pytest.raises(errors.ArgumentError, match="ran dry: epoch 0 got 2 of 3 batches"):
        train.fit(compiled, drying(), epochs=2, steps_per_epoch=3)
    assert train.fit(compiled, drying(), epochs=2, steps_per_epoch=1).steps == 2
    assert train.fit(compiled, list(drying()), epochs=2).steps == 4


def test_lines_are_printed_where_there_is_no_terminal(compiled: Compiled, capsys: pytest.CaptureFixture[str]) -> None:
    train.fit(compiled, (X, Y), epochs=2)
    assert capsys.readouterr().out == ""
    history = train.fit(compiled, (X, Y), epochs=11, validation_data=TEST, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[0].startswith("epoch  1/11   loss ")
    assert f"val_accuracy {history['val_accuracy'][-1]:.4g}" in lines[-1] and lines[-1].endswith(" rows/s")


SCRIPT = """
from graphc import train
from tests.documents import ROOT
from tests.fit_programs import blobs, classifier
data = blobs(200)
train.fit(classifier().compile(), data, epochs=3)
train.fit(classifier().compile(), iter([data] * 3), epochs=3, steps_per_epoch=1)
train.fit(classifier().compile(), [data] * 3, epochs=3, progress=False)
train.fit(classifier().compile(), lambda epoch: [data] * 3, epochs=3, validation_data=data)
"""


def test_a_terminal_shows_a_bar() -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert len(re.findall(r"epoch 3/3 .*loss [\d.]+ .* rows/s 0:00:00\r?\n", text)) == 3, text
    assert text.rstrip().count("val_loss") and "Traceback" not in text
