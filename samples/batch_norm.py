"""Batch normalisation against none, on a network of eight sigmoid layers.

A sigmoid's slope is a quarter at most, so the loss's gradient shrinks on its way back through each layer: at the first
it is more than ten thousand times weaker than at the last, and the network hardly learns. Batch normalisation gives
what each unit sees mean 0 and variance 1 over the batch, with a scale and shift that are learnt: the gradient gets
through. The pictures have histograms of it. (Ioffe, Szegedy, "Batch normalization: accelerating deep network training
by reducing internal covariate shift", 2015.)

    python samples/batch_norm.py
"""

from __future__ import annotations

from digits import load_data
from pictures import save

import graphc as gr
from graphc import inspect, losses, metrics, nn, optim, train

LAYERS, WIDTH, EPOCHS = 8, 64, 15


def deep(normalised: bool):
    """A compiled program: eight sigmoid layers, with or without normalisation before each sigmoid."""
    layers = []
    for _ in range(LAYERS):
        normalisation = [nn.BatchNorm()] if normalised else []
        layers += [nn.Dense(WIDTH, use_bias=not normalised), *normalisation, nn.Activation("sigmoid")]
    return train.supervised(
        nn.Sequential(*layers, nn.Dense(10)),
        gr.f32["N", 64],
        gr.i32["N"],
        loss=losses.sparse_softmax_cross_entropy,
        optimizer=optim.Adam(1e-3),
        metrics={"accuracy": metrics.accuracy},
    ).compile()


def main() -> None:
    """Look at the gradients before training, then train."""
    training, test = load_data()
    for name, normalised in (("without", False), ("with", True)):
        model = deep(normalised)
        report = inspect.layers(model.train_step, *(values[:256] for values in training)).only("activation*")
        print(f"\n{name} batch normalisation, before training:\n{report}")
        first, *_, last = report.layers
        print(f"{name}: the gradient at the first layer is {first.gradient / last.gradient:.1e} of that at the last")
        save(f"batch_norm_{name}.png", report.plot)
        history = train.fit(model, training, epochs=EPOCHS, validation_data=test)
        print(f"{name}: loss {history['loss'][-1]:.3f}, test accuracy {history['val_accuracy'][-1]:.1%}")


if __name__ == "__main__":
    main()
