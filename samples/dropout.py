"""Dropout and early stopping: a large network on few, noisy examples, and two ways to keep it from learning the noise.

Two crescents lie in the plane, six more inputs mean nothing, and one label in seven is wrong. There are 200 examples:
a network of 28,000 weights learns every one of them by heart, mistakes included, and pays for it on others. Dropout
leaves out half of the hidden units, others in each step, so that none can rely on another. Early stopping ends the
training when the loss on 200 further examples rises, and brings the best network back. (Srivastava et al., "Dropout: a
simple way to prevent neural networks from overfitting", 2014.)

Figures are means over five sets of data, each judged by 5,000 examples whose labels are true.

    python samples/dropout.py
"""

from __future__ import annotations

import numpy as np
from pictures import draw

import graphc as gr
from graphc import losses, metrics, nn, optim, train

INPUTS, ROWS, WRONG = 8, 200, 1 / 7
EPOCHS, SEEDS, RATES = 200, 5, (0.0, 0.5)


def classifier(rate: float):
    """A compiled program that learns to tell the crescents apart, with a share of the hidden units left out."""
    hidden = [layer for _ in range(2) for layer in (nn.Dense(160, activation="relu"), nn.Dropout(rate))]
    return train.supervised(
        nn.Sequential(*hidden, nn.Dense(2)),
        gr.f32["N", INPUTS],
        gr.i32["N"],
        loss=losses.sparse_softmax_cross_entropy,
        optimizer=optim.Adam(1e-3),
        metrics={"accuracy": metrics.accuracy},
        name="crescents",
    ).compile()


def crescents(rng: np.random.Generator, rows: int, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Points f32[rows, 8] and which crescent they are of, i32[rows], a share of them said wrongly."""
    y = rng.integers(0, 2, rows)
    angle = np.pi * rng.random(rows)
    x = rng.standard_normal((rows, INPUTS))
    x[:, 0] = np.where(y, 1 - np.cos(angle), np.cos(angle)) - 0.5
    x[:, 1] = np.where(y, 0.5 - np.sin(angle), np.sin(angle)) - 0.25
    x[:, :2] = 2 * x[:, :2] + 0.2 * rng.standard_normal((rows, 2))
    return x.astype(np.float32), (y ^ (rng.random(rows) < wrong)).astype(np.int32)


def trained(model, seed: int, early: bool) -> tuple[list[float], list[float]]:
    """The validation loss by epoch; in the end the accuracy on examples learnt, that on others, and the loss there."""
    rng = np.random.default_rng(seed)
    few, more, many = crescents(rng, ROWS, WRONG), crescents(rng, ROWS, WRONG), crescents(rng, 5000, 0)
    keep_best = [train.EarlyStopping("val_loss", patience=20, restore_best=True)] if early else []
    model.init(seed)
    history = train.fit(model, few, epochs=EPOCHS, validation_data=more, shuffle=seed, callbacks=keep_best)
    known, new = train.evaluate(model, few), train.evaluate(model, many)
    return history["val_loss"], [known["accuracy"], new["accuracy"], new["loss"]]


def main() -> None:
    """Four ways to train, on five sets of data each."""
    print("                               learnt by heart   test accuracy   test loss")
    curves = {}
    for rate in RATES:
        model, name = classifier(rate), f"dropout {rate}" if rate else "no dropout"
        for early in (False, True):
            runs = [trained(model, seed, early) for seed in range(SEEDS)]
            if not early:
                curves[name] = np.mean([losses for losses, _ in runs], axis=0)
            learnt, accuracy, loss = np.mean([figures for _, figures in runs], axis=0)
            print(f"{name + ', stopped early' * early:30} {learnt:15.1%} {accuracy:15.1%} {loss:11.3f}")

    def paint(axes):
        for name, curve in curves.items():
            axes.plot(np.arange(EPOCHS) + 1, curve, label=name)
        axes.set(xlabel="epoch", ylabel="loss on examples not learnt", ylim=(0.4, 1.4))
        axes.legend()

    draw("dropout.png", paint)


if __name__ == "__main__":
    main()
