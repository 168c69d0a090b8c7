"""XOR: the smallest function that a perceptron without a hidden layer can't learn."""

from __future__ import annotations

import numpy as np

import graphc as gr
from graphc import losses, nn, optim

net = nn.Sequential(nn.Dense(8, activation="tanh"), nn.Dense(1))
adam = optim.Adam(0.05)
program = gr.Program("xor")


@program.entry
def predict(x: gr.f32["N", 2]):
    """The probability that exactly one of the two is on."""
    return nn.sigmoid(net(x))


@program.entry
def train_step(x: gr.f32["N", 2], y: gr.f32["N", 1]):
    """One step of Adam."""
    loss = losses.sigmoid_cross_entropy(net(x), y)
    adam.minimize(loss)
    return loss


def main():
    """Learn the four cases by heart."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    xor = program.compile()
    for steps in (1, 9, 90, 900):
        print(f"{steps:4} more steps: loss {xor.train_step.repeat(steps, x, y):.6f}")
    for (a, b), probability in zip(x, xor.predict(x), strict=True):
        print(f"{a:.0f} xor {b:.0f} = {probability[0]:.4f}")


if __name__ == "__main__":
    main()
