"""AlexNet's plan at full size: 62 million parameters, images of 224×224, compiled and trained for a few steps.

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012: five
convolutions, the second, fourth and fifth in two groups (as on the authors' two GPUs), three dense layers, dropout,
momentum and weight decay. There is no ImageNet here: the images are noise of as many colours as there are labels, which
a few steps suffice to notice.

    python samples/alexnet.py
"""

from __future__ import annotations

import time

import numpy as np

import graphc as gr
from graphc import losses, nn, optim

CLASSES, BATCH, STEPS = 1000, 8, 8

net = nn.Sequential(
    nn.Conv2D(96, 11, strides=4, padding=2, activation="relu"),
    nn.MaxPool(3, strides=2),
    nn.Conv2D(256, 5, groups=2, activation="relu"),
    nn.MaxPool(3, strides=2),
    nn.Conv2D(384, 3, activation="relu"),
    nn.Conv2D(384, 3, groups=2, activation="relu"),
    nn.Conv2D(256, 3, groups=2, activation="relu"),
    nn.MaxPool(3, strides=2),
    nn.Flatten(),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dropout(0.5),
    nn.Dense(4096, activation="relu"),
    nn.Dense(CLASSES),
)  # fmt: skip
momentum = optim.Momentum(0.005, 0.9, weight_decay=5e-4)
program = gr.Program("alexnet")


@program.entry
def train_step(x: gr.f32["N", 224, 224, 3], y: gr.i32["N"]):
    """One step of momentum."""
    loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
    momentum.minimize(loss)
    return {"loss": loss}


@program.entry
def predict(x: gr.f32["N", 224, 224, 3]):
    """The likeliest label."""
    return gr.argmax(net(x, training=False), axis=-1)


def main() -> None:
    """Count, compile, step."""
    summary = net.summary(gr.f32["N", 224, 224, 3])
    print(summary)
    work = 3 * BATCH * summary.flops / 1e9  # backwards is twice as much as forwards
    start = time.perf_counter()
    alexnet = program.compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s")
    rng = np.random.default_rng(0)
    y = np.arange(BATCH, dtype=np.int32)
    x = (rng.normal(0, 1, (BATCH, 1, 1, 3)) + rng.normal(0, 0.5, (BATCH, 224, 224, 3))).astype(np.float32)
    for step in range(STEPS):
        start = time.perf_counter()
        loss = alexnet.train_step(x, y)["loss"]
        took = time.perf_counter() - start
        print(f"step {step + 1}: loss {loss:.3f}, {took:.2f} s for {BATCH} images, {work / took:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
