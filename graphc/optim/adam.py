"""Adam (Kingma and Ba, 2015)."""

from __future__ import annotations

import math
from typing import ClassVar

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.tensor import Tensor
from graphc.optim.optimizer import Optimizer, Rate
from graphc.sites import user_site


class Adam(Optimizer):
    """m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; θ ← θ − η·m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).

    PyTorch's and Optax's form; t is the number of the step, from 1, kept as i64 in `adam/step`.
    The bias corrections are scalars: an element costs one square root and one division.
    Raises `ArgumentError` for a β outside (0, 1).
    """

    slots: ClassVar[tuple[str, ...]] = ("m", "v")
    counts: ClassVar[bool] = True

    def __init__(
        self,
        learning_rate: Rate = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        name: str | None = None,
    ):
        super().__init__(learning_rate, name)
        if not (0 < beta1 < 1 and 0 < beta2 < 1):
            raise ArgumentError(f"Adam: beta1={beta1}, beta2={beta2} are not in (0, 1)", site=user_site())
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        m = self.beta1 * slots[0] + (1.0 - self.beta1) * gradient
        v = self.beta2 * slots[1] + (1.0 - self.beta2) * (gradient * gradient)
        count = self.count(parameter.dtype)
        scale = rate / correction(self.beta1, count)
        spread = api.rsqrt(correction(self.beta2, count))
        return parameter - scale * m / (api.sqrt(v) * spread + self.epsilon), m, v


def correction(beta: float, count: Tensor) -> Tensor:
    """1 − βᵗ as −expm1(t·ln β), which keeps every digit where βᵗ is near 1."""
    return -api.expm1(count * math.log(beta))
