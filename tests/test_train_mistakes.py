"""Mistakes with fit, its callbacks and `supervised`: errors of graphc's own at the user's line, before training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, nn, optim, train
from tests.mistakes import answer_to

X = np.ones((6, 4), np.float32)
Y = np.zeros(6, np.int32)


def program(**options: Any) -> gr.Program:
    """A classifier's."""
    given = {"loss": losses.sparse_softmax_cross_entropy, "optimizer": optim.SGD(), **options}
    return train.supervised(nn.Dense(3), gr.f32["N", 4], gr.i32["N"], **given)


MISTAKES: dict[str, tuple[str, Callable[[], Any]]] = {
    "activation number": ("no activation 3", lambda: program(activation=3)),
    "augment number": ("augment is a int", lambda: program(augment=3)),
    "program's name": ("can't name a Program", lambda: program(name=3)),
    "two lambdas": ("the same name", lambda: program(metrics=[lambda p, t: gr.mean(p), lambda p, t: gr.sum(p)])),
    "step number": ("not the name of an entry", lambda: train.fit(program().compile(), (X, Y), step=3)),
    "steps": ("there are predict", lambda: train.fit(program().compile(), (X, Y), step=["train_step"])),
    "monitor": ("monitor is a NoneType", lambda: train.EarlyStopping(None)),
    "delta": ("min_delta='x'", lambda: train.EarlyStopping(min_delta="x")),
    "baseline": ("baseline='x'", lambda: train.EarlyStopping(baseline="x")),
    "folder": ("folder is a NoneType", lambda: train.Checkpoint(None)),
    "path": ("path is a int", lambda: train.CSVLogger(3)),
    "separator": ("separator=3", lambda: train.CSVLogger("run.csv", 3)),
    "board": ("folder is a int", lambda: train.TensorBoard(3)),
    "picture": ("path is a int", lambda: train.History().plot(3)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered(name: str) -> None:
    words, make = MISTAKES[name]
    assert words in str(answer_to(make, errors.ArgumentError))


def test_predict_takes_an_activation_by_name() -> None:
    probabilities = program(activation="softmax").compile().predict(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)
