"""`train.fit`: what it trains on, in which order, and what it says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, train
from graphc.runtime.load import Compiled
from graphc.train.order import shuffled
from tests.fit_programs import ROWS, blobs, classifier, image

X, Y = blobs()
TEST = blobs(37, seed=1)


@pytest.fixture(scope="module")
def program() -> gr.Program:
    return classifier()


@pytest.fixture
def compiled(program: gr.Program) -> Compiled:
    return program.compile()


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
