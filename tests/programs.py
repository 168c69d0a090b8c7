"""A small classifier for the tests of compiled programs, and the same network in plain NumPy (float64)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc as gr
from graphc import losses, nn, optim
from graphc.ir.node import Array
from graphc.runtime.load import Compiled

#: Odd sizes: every vector and every panel has a rest.
FEATURES, HIDDEN, CLASSES = 19, 37, 10
RATE = 0.01


def classifier(name: str = "classifier") -> gr.Program:
    """A perceptron with one hidden layer: `predict` (pure) and `train_step` (Adam)."""
    net = nn.Sequential(nn.Dense(HIDDEN, activation="relu"), nn.Dense(CLASSES))
    adam = optim.Adam(RATE)
    program = gr.Program(name)

    def predict(x: Any) -> Any:
        return nn.softmax(net(x))

    def train_step(x: Any, y: Any) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x), y)
        adam.minimize(loss)
        return {"loss": loss}

    program.entry(x=gr.f32["N", FEATURES])(predict)
    program.entry(x=gr.f32["N", FEATURES], y=gr.i32["N"])(train_step)
    return program


def data(rows: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, FEATURES)).astype(np.float32), rng.integers(0, CLASSES, rows).astype(np.int32)


def memory(program: Compiled) -> Array:
    """A copy of the whole state, byte for byte."""
    return np.array(program.state.memory)


@dataclass
class Reference:
    """The same training by hand."""

    parameters: list[Array]
    moments: list[Array] = field(default_factory=list)
    steps: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Array]) -> Reference:
        """With a program's parameters."""
        names = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")
        parameters = [state[n].astype(np.float64) for n in names]
        return cls(parameters, [np.zeros_like(p) for p in (*parameters, *parameters)])

    def predict(self, x: Array) -> tuple[Array, Array]:
        """(hidden activations, probabilities)."""
        w1, b1, w2, b2 = self.parameters
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        e = np.exp(logits - logits.max(1, keepdims=True))
        return hidden, e / e.sum(1, keepdims=True)

    def train_step(self, x: Array, y: Array) -> float:
        """One step of Adam; the loss before it."""
        hidden, p = self.predict(x)
        loss = float(-np.log(p[np.arange(len(y)), y]).mean())
        d = (p - np.eye(CLASSES)[y]) / len(y)
        back = (d @ self.parameters[2].T) * (hidden > 0)
        self.update([x.T @ back, back.sum(0), hidden.T @ d, d.sum(0)])
        return loss

    def update(self, gradients: Sequence[Array]) -> None:
        """Adam, Kingma and Ba (2015)."""
        self.steps += 1
        count = len(gradients)
        for i, g in enumerate(gradients):
            m = self.moments[i] = 0.9 * self.moments[i] + 0.1 * g
            v = self.moments[count + i] = 0.999 * self.moments[count + i] + 0.001 * g * g
            corrected = m / (1 - 0.9**self.steps), v / (1 - 0.999**self.steps)
            self.parameters[i] = self.parameters[i] - RATE * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
