"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from typing import ClassVar

from graphc.frontend.tensor import Tensor
from graphc.optim.optimizer import Optimizer, Rate


class SGD(Optimizer):
    """θ ← θ − η·g."""

    def __init__(self, learning_rate: Rate = 1e-3, name: str | None = None):
        super().__init__(learning_rate, name)

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        return (parameter - rate * gradient,)


class Momentum(Optimizer):
    """b ← μ·b + g; θ ← θ − η·b, or with `nesterov` θ ← θ − η·(g + μ·b) (PyTorch's form, η outside the buffer)."""

    slots: ClassVar[tuple[str, ...]] = ("momentum",)

    def __init__(
        self, learning_rate: Rate = 1e-3, momentum: float = 0.9, nesterov: bool = False, name: str | None = None
    ):
        super().__init__(learning_rate, name)
        self.momentum, self.nesterov = momentum, nesterov

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        buffer = self.momentum * slots[0] + gradient
        direction = gradient + self.momentum * buffer if self.nesterov else buffer
        return parameter - rate * direction, buffer
