"""Gradient descent, plain and with momentum."""

from __future__ import annotations

from typing import Unpack

from graphc.frontend import api
from graphc.frontend.tensor import Tensor
from graphc.optim.optimizer import Optimizer
from graphc.optim.settings import Rate, Settings
from graphc.optim.style import Style, default, expect_between


class SGD(Optimizer):
    """θ ← θ − η·g. η is 1e-3 by default, 1e-2 in Keras's style. `settings` are those of `Optimizer`.

        optim.SGD(optim.StepDecay(0.1, step_size=1000), weight_decay=1e-4, clip_global_norm=1.0)
    """

    def __init__(
        self, learning_rate: Rate | None = None, name: str | None = None, *, style: Style = "torch",
        **settings: Unpack[Settings],
    ):  # fmt: skip
        super().__init__(rate_of(learning_rate, style), name, style=style, **settings)

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        return (parameter - rate * gradient,)


class Momentum(Optimizer):
    """b ← μ·b + (1 − d)·g, b = g at the first step; θ ← θ − η·b, or with `nesterov` θ ← θ − η·(g + μ·b) (PyTorch).

    Keras's style has η inside the buffer: v ← μ·v − η·g; θ ← θ + v, or with `nesterov` θ ← θ + μ·v − η·g. Optax's is
    PyTorch's without damping d. η is 1e-3 by default, 1e-2 in Keras's style.
    Raises `ArgumentError` for μ or d outside [0, 1). `settings` are those of `Optimizer`.

        optim.Momentum(0.1, 0.9, nesterov=True)
    """

    slots = ("momentum",)

    def __init__(
        self, learning_rate: Rate | None = None, momentum: float = 0.9, nesterov: bool = False,
        name: str | None = None, *, dampening: float = 0.0, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        self.counts = dampening != 0
        super().__init__(rate_of(learning_rate, style), name, style=style, **settings)
        expect_between(type(self).__name__, 0.0, 1.0, momentum=momentum, dampening=dampening)
        self.momentum, self.nesterov, self.dampening = momentum, nesterov, dampening

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        if self.style == "keras":
            velocity = self.momentum * slots[0] - rate * gradient
            change = self.momentum * velocity - rate * gradient if self.nesterov else velocity
            return parameter + change, velocity
        buffer = self.momentum * slots[0] + self._damped(gradient)
        direction = gradient + self.momentum * buffer if self.nesterov else buffer
        return parameter - rate * direction, buffer

    def _damped(self, gradient: Tensor) -> Tensor:
        """What the buffer gains: the whole gradient at the first step."""
        if not self.dampening:
            return gradient
        return api.where(self.count(gradient.dtype) == 1.0, gradient, (1.0 - self.dampening) * gradient)


class Nesterov(Momentum):
    """`Momentum` with `nesterov=True`: the gradient looks ahead along the buffer (Nesterov, 1983; Sutskever, 2013)."""

    def __init__(
        self, learning_rate: Rate | None = None, momentum: float = 0.9, name: str | None = None, *,
        style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        super().__init__(learning_rate, momentum, True, name, style=style, **settings)


def rate_of(given: Rate | None, style: Style) -> Rate:
    """The learning rate given, or the style's."""
    return default(None, style, torch=1e-3, keras=1e-2, optax=1e-3) if given is None else given
