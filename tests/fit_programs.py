"""Programs and data that tests of `train` share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import graphc as gr
from graphc import losses, metrics, nn, optim, train
from graphc.runtime.load import Compiled

ROWS = 100


def blobs(rows: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points f32[rows, 4] around three centres, and which i32[rows]."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows).astype(np.int32)
    centres = np.float32([[2, 0, 0, 1], [0, 2, 0, -1], [0, 0, 2, 0]])
    return (centres[y] + rng.standard_normal((rows, 4))).astype(np.float32), y


def classifier(dropout: float = 0.25) -> gr.Program:
    """A small network with momentum and dropout: slots, counters and random numbers are in its state."""
    net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dropout(dropout), nn.Dense(3))
    return train.supervised(
        net, gr.f32["N", 4], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy, optimizer=optim.Adam(0.02),
        metrics={"accuracy": metrics.accuracy}, name="blobs",
    )  # fmt: skip


X, Y = blobs()
TEST = blobs(37, seed=1)


@pytest.fixture(scope="module")
def program() -> gr.Program:
    return classifier()


@pytest.fixture
def compiled(program: gr.Program) -> Compiled:
    return program.compile()


def image(compiled: object) -> bytes:
    """All the bytes of a compiled program's state."""
    return compiled.state.memory.tobytes()  # type: ignore[attr-defined]


class Figures(train.Callback):
    """Puts figures of one's own into the logs."""

    adds = ("figure",)

    def __init__(self, figures: Sequence[float]):
        self.figures = figures

    def on_epoch_end(self, run: train.Run) -> None:
        run.logs["figure"] = float(self.figures[run.epoch])
