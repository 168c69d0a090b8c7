"""A small network on digits that it sees turned, shifted and zoomed, beside one that sees them as they are.

The network is a 64-128-10 perceptron both times. Left alone, it knows its 1,437 images by heart after some epochs. What
`gr.augment` does to them is part of the compiled step, and other numbers are drawn in each call.

    python samples/augmentation.py
"""

from __future__ import annotations

import numpy as np
from digits import load_data
from pictures import draw_images

import graphc as gr
from graphc import augment, losses, nn, optim

EPOCHS, BATCH, SEEDS = 150, 32, 3
STEPS = EPOCHS * 45  # in an epoch: 1,437 images, 32 at a time


def as_it_is(x):
    """No augmentation."""
    return x


def moved(x):
    """Up to 0.7 of a pixel each way, 10 degrees, a tenth larger or smaller."""
    return augment.random_affine(x, shift=0.7, rotate=10.0, scale=(0.9, 1.1))


def network(seen):
    """A Program that trains the perceptron on images as `seen`."""
    net = nn.Sequential(nn.Flatten(), nn.Dense(128, activation="relu"), nn.Dense(10))
    adam = optim.Adam(optim.CosineDecay(0.005, STEPS))
    program = gr.Program(seen.__name__)

    @program.entry
    def predict(x: gr.f32["N", 8, 8, 1]):
        """The digit."""
        return gr.argmax(net(x), axis=-1)

    @program.entry
    def train_step(x: gr.f32["N", 8, 8, 1], y: gr.i32["N"]):
        """One step of Adam on images that are drawn anew."""
        loss = losses.sparse_softmax_cross_entropy(net(seen(x)), y)
        adam.minimize(loss)
        return {"loss": loss}

    @program.entry
    def show(x: gr.f32["N", 8, 8, 1]):
        """What the training sees."""
        return seen(x)

    return program


def train(compiled, x, y, seed: int) -> float:
    """Train from a seed; gives the last epoch's loss."""
    compiled.init(seed=seed)
    for epoch in range(EPOCHS):
        loss = compiled.train_step.epoch(x, y, batch_size=BATCH, shuffle=EPOCHS * seed + epoch)["loss"]
    return loss


def main() -> None:
    """Train both ways, from a few seeds each."""
    (x, y), (test_x, test_y) = ((pixels.reshape(-1, 8, 8, 1), labels) for pixels, labels in load_data())
    for seen in (as_it_is, moved):
        compiled = network(seen).compile()
        found = []
        for seed in range(SEEDS):
            loss = train(compiled, x, y, seed)
            found.append(np.mean(compiled.predict(test_x) == test_y))
            print(f"{seen.__name__:9} seed {seed}: last loss {loss:.4f}, test accuracy {found[-1]:.2%}")
        print(f"{seen.__name__:9} mean test accuracy {np.mean(found):.2%}\n")
    looks = {f"moved, {i}": compiled.show(x[:12])[..., 0] for i in range(1, 5)}
    draw_images("augmentation.png", {"as it is": x[:12, ..., 0]} | looks)


if __name__ == "__main__":
    main()
