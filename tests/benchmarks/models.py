"""The networks that step times are compared on, with the same weights and data for every library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """A multilayer perceptron, its batch, its optimizer, and the ratio to the best peer that graphc must reach."""

    name: str
    sizes: tuple[int, ...]
    activation: str | None
    optimizer: str  # "sgd" or "adam"
    rate: float
    batch: int
    target: float

    @property
    def regression(self) -> bool:
        """Mean squared error instead of softmax cross-entropy."""
        return self.sizes[-1] == 1

    def weights(self) -> list[tuple[Array, Array]]:
        """(kernel, bias) of each layer."""
        rng = np.random.default_rng(0)
        shapes = zip(self.sizes, self.sizes[1:], strict=False)
        return [
            ((rng.standard_normal((i, o)) / np.sqrt(i)).astype(np.float32), np.zeros(o, np.float32)) for i, o in shapes
        ]

    def data(self) -> tuple[Array, NDArray[np.generic]]:
        """One batch."""
        rng = np.random.default_rng(1)
        x = rng.standard_normal((self.batch, self.sizes[0])).astype(np.float32)
        if self.regression:
            return x, rng.standard_normal((self.batch, 1)).astype(np.float32)
        return x, rng.integers(0, self.sizes[-1], self.batch).astype(np.int32)


MODELS = (
    Model("13-1 linear, SGD", (13, 1), None, "sgd", 1e-2, 32, 2.0),
    Model("2-16-16-1 tanh, Adam", (2, 16, 16, 1), "tanh", "adam", 1e-3, 64, 4.0),
    Model("784-128-10, Adam", (784, 128, 10), "relu", "adam", 1e-3, 32, 1.4),
    Model("784-128-10, Adam", (784, 128, 10), "relu", "adam", 1e-3, 128, 1.2),
    Model("784-1024-1024-10, Adam", (784, 1024, 1024, 10), "relu", "adam", 1e-4, 256, 1.12),
)
