"""`train.supervised`: its program is the one that would be written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, losses, metrics, nn, optim, train
from tests.fit_programs import blobs, image

X, Y = blobs()


def network() -> nn.Module:
    return nn.Sequential(
        nn.Dense(8, activation="tanh", kernel_regularizer=nn.L2(0.01)), nn.Dropout(0.5), nn.Dense(3)
    )


def program(**options: Any) -> gr.Program:
    """A classifier of the network above."""
    required = {"loss": losses.sparse_softmax_cross_entropy, "optimizer": optim.SGD(0.1)}
    return train.supervised(network(), gr.f32["N", 4], gr.i32["N"], **{**required, **options})


def written_out() -> gr.Program:
    """The same by hand, with augmentation by a shift."""
    net, sgd, model = network(), optim.SGD(0.1), gr.Program("model")

    def figures(logits: Any, y: Any) -> dict[str, Any]:
        loss = losses.sparse_softmax_cross_entropy(logits, y) + net.penalty()
        return {"loss": loss, "accuracy": metrics.accuracy(logits, y)}

    @model.entry
    def predict(x: gr.f32["N", 4]):
        return nn.softmax(net(x, training=False))

    @model.entry
    def train_step(x: gr.f32["N", 4], y: gr.i32["N"]):
        found = figures(net(x + 1.0, training=True), y)
        sgd.minimize(found["loss"])
        return found

    @model.entry
    def evaluate(x: gr.f32["N", 4], y: gr.i32["N"]):
        return figures(net(x, training=False), y)

    return model


@pytest.mark.parametrize("given", [{"accuracy": metrics.accuracy}, [metrics.accuracy]])
@pytest.mark.parametrize("augment", [lambda x: x + 1.0, lambda x, y: (x + 1.0, y)])
def test_it_is_the_program_written_out(given: Any, augment: Any) -> None:
    short = program(metrics=given, augment=augment, activation=nn.softmax).compile()
    long = written_out().compile()
    assert train.fit(short, (X, Y), epochs=2)["loss"] == train.fit(long, (X, Y), epochs=2)["loss"]
    assert image(short) == image(long)
    assert (short.predict(X) == long.predict(X)).all()
    assert train.evaluate(short, (X, Y)) == train.evaluate(long, (X, Y))


def test_rows_have_weights() -> None:
    weighted = program(weights=gr.f32["N"], metrics=[metrics.accuracy]).compile()
    plain = program(metrics=[metrics.accuracy]).compile()
    ones = np.ones(len(X), np.float32)
    assert train.fit(weighted, (X, Y, ones), epochs=2)["loss"] == train.fit(plain, (X, Y), epochs=2)["loss"]
    assert image(weighted) == image(plain)
    first = (np.arange(len(X)) < 10).astype(np.float32) * len(X) / 10
    penalty = train.evaluate(plain, (X, Y, ones)[:2])["loss"] - mean_loss(plain, X, Y)
    found = train.evaluate(weighted, (X, Y, first), batch_size="full")
    assert found["loss"] == pytest.approx(mean_loss(plain, X[:10], Y[:10]) + penalty, rel=1e-5)


def mean_loss(compiled: Any, x: Any, y: Any) -> float:
    """The loss of predictions, without a penalty."""
    return float(gr.jit(losses.sparse_softmax_cross_entropy)(compiled.predict(x), y))


def test_the_loss_has_the_penalty() -> None:
    compiled = program().compile()
    bare = mean_loss(compiled, X, Y)
    penalty = 0.01 * float((compiled.state["dense/kernel"] ** 2).sum())
    assert train.evaluate(compiled, (X, Y))["loss"] == pytest.approx(bare + penalty, rel=1e-5)


@pytest.mark.parametrize("mistake, message", [
    (lambda: program(metrics={"loss": metrics.accuracy}), "can't be named loss"),
    (lambda: program(metrics={"accuracy": "accuracy"}), "the metric accuracy is a str"),
    (lambda: program(loss="mse"), "loss is a str"),
    (lambda: program(weights=X), "weights is a ndarray"),
    (lambda: program(weights=gr.f32["N"], loss=lambda output, target: output), "(output, target, weights=)"),
    (lambda: program(optimizer=None), "optimizer is a NoneType"),
    (lambda: train.supervised(network(), X, Y, loss=None, optimizer=None), "x is a ndarray"),
])  # fmt: skip
def test_mistakes_are_answered(mistake: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        mistake()


def test_a_regression_in_f64() -> None:
    net = nn.Dense(1)
    line = train.supervised(
        net, gr.f64["N", 4], gr.f64["N", 1], loss=losses.mean_squared_error, optimizer=optim.SGD(0.1), name="line"
    ).compile()
    target = X.astype(np.float64) @ np.array([[1.0], [2.0], [3.0], [4.0]])
    history = train.fit(line, (X.astype(np.float64), target), epochs=60)
    assert history["loss"][-1] < 1e-6 and line.state["dense/kernel"].dtype == np.float64
