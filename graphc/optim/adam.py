"""Adam and its kin: momentum over a running mean of squares (Kingma and Ba, 2015)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Unpack

from graphc.frontend import api
from graphc.frontend.tensor import Tensor
from graphc.optim.means import running_mean
from graphc.optim.optimizer import Optimizer
from graphc.optim.settings import Rate, Settings
from graphc.optim.style import Style, default, expect_between


class Moments(Optimizer):
    """What the family shares: m ← β₁m + (1 − β₁)g, a second moment, and the number of the step for bias corrections."""

    slots: tuple[str, ...] = ("m", "v")
    counts = True

    def __init__(
        self, learning_rate: Rate, beta1: float, beta2: float, eps: float, name: str | None, style: Style,
        settings: Settings,
    ):  # fmt: skip
        super().__init__(learning_rate, name, style=style, **settings)
        expect_between(type(self).__name__, 0.0, 1.0, beta1=beta1, beta2=beta2)
        expect_between(type(self).__name__, 0.0, math.inf, eps=eps)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def first(self, m: Tensor, gradient: Tensor) -> Tensor:
        """The running mean of gradients."""
        return running_mean(m, gradient, self.beta1)

    def second(self, v: Tensor, gradient: Tensor) -> Tensor:
        """The running mean of squared gradients."""
        return running_mean(v, gradient * gradient, self.beta2)

    def corrections(self, parameter: Tensor) -> tuple[Tensor, Tensor]:
        """1 − β₁ᵗ and 1 − β₂ᵗ at this step, as scalars."""
        count = self.count(parameter.dtype)
        return self.once(count.dtype, lambda: (correction(self.beta1, count), correction(self.beta2, count)))


class Adam(Moments):
    """m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; θ ← θ − η·m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).

    PyTorch's and Optax's form; t is the number of the step, from 1, kept as i64 in `adam/step`. Keras's is
    θ ← θ − η·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m / (√v + ε). ε is 1e-8, in Keras's style 1e-7. With `amsgrad` (Reddi, 2018) the
    largest v so far takes the place of v (Optax: the largest v̂ that of v̂).
    The bias corrections are scalars: an element costs one square root and one division.
    Raises `ArgumentError` for a β outside [0, 1). `settings` are those of `Optimizer`.

        optim.Adam(1e-3, clip_global_norm=1.0)
    """

    def __init__(
        self, learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float | None = None,
        name: str | None = None, *, amsgrad: bool = False, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        chosen = default(eps, style, torch=1e-8, keras=1e-7, optax=1e-8)
        super().__init__(learning_rate, beta1, beta2, chosen, name, style, settings)
        self.amsgrad = amsgrad
        if amsgrad:
            self.slots = (*self.slots, "largest")

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        m, v = self.first(slots[0], gradient), self.second(slots[1], gradient)
        first, second = self.corrections(parameter)
        if self.amsgrad and self.style == "optax":
            largest = api.maximum(slots[2], v / second)
            return parameter - rate / first * m / (api.sqrt(largest) + self.eps), m, v, largest
        largest = api.maximum(slots[2], v) if self.amsgrad else v
        if self.style == "keras":
            change = rate * api.sqrt(second) / first * m / (api.sqrt(largest) + self.eps)
        else:
            scale, spread = self.once((first, rate), lambda: (rate / first, api.rsqrt(second)))
            change = scale * m / (api.sqrt(largest) * spread + self.eps)
        return parameter - change, m, v, *((largest,) if self.amsgrad else ())


class AMSGrad(Adam):
    """`Adam` with `amsgrad=True`: the step never grows because squares are forgotten (Reddi, Kale and Kumar, 2018)."""

    def __init__(
        self, learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float | None = None,
        name: str | None = None, *, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        super().__init__(learning_rate, beta1, beta2, eps, name, amsgrad=True, style=style, **settings)


class AdamW(Adam):
    """θ ← θ·(1 − ηλ), then Adam's step (Loshchilov and Hutter, 2019). λ is 0.01; Keras's is 0.004, Optax's 1e-4.

        optim.AdamW(optim.CosineDecay(1e-3, 10_000, warmup_steps=500), weight_decay=0.05)
    """

    def __init__(
        self, learning_rate: Rate = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float | None = None,
        name: str | None = None, *, amsgrad: bool = False, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        settings.setdefault("weight_decay", default(None, style, torch=0.01, keras=0.004, optax=1e-4))
        settings.setdefault("decoupled", True)
        super().__init__(learning_rate, beta1, beta2, eps, name, amsgrad=amsgrad, style=style, **settings)


class AdaMax(Moments):
    """m as Adam's; u ← max(β₂u, |g| + ε); θ ← θ − η / (1 − β₁ᵗ)·m / u (PyTorch, Optax; Kingma and Ba, 2015, section 7).

    Keras: u ← max(β₂u, |g|), divided by u + ε. η is 2e-3 (Keras 1e-3), ε 1e-8 (Keras 1e-7).
    """

    slots = ("m", "u")

    def __init__(
        self, learning_rate: Rate | None = None, beta1: float = 0.9, beta2: float = 0.999,
        eps: float | None = None, name: str | None = None, *, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        rate = default(None, style, torch=2e-3, keras=1e-3, optax=2e-3) if learning_rate is None else learning_rate
        chosen = default(eps, style, torch=1e-8, keras=1e-7, optax=1e-8)
        super().__init__(rate, beta1, beta2, chosen, name, style, settings)

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        m, size = self.first(slots[0], gradient), api.abs(gradient)
        inside, outside = (0.0, self.eps) if self.style == "keras" else (self.eps, 0.0)
        u = api.maximum(self.beta2 * slots[1], size + inside if inside else size)
        first, _ = self.corrections(parameter)
        return parameter - rate / first * m / (u + outside if outside else u), m, u


class Nadam(Moments):
    """Adam with Nesterov's look-ahead (Dozat, 2016): μₜ = β₁(1 − ½·0.96^(tψ)), Πₜ the product of μ₁ … μₜ,

    θ ← θ − η·(μₜ₊₁m / (1 − Πₜ₊₁) + (1 − μₜ)g / (1 − Πₜ)) / (√v̂ + ε), with η 2e-3, ψ 0.004, ε 1e-8 (PyTorch) or
    η 1e-3, ψ 1, ε 1e-7 (Keras). Optax keeps β₁ constant: η·(β₁m / (1 − β₁ᵗ⁺¹) + (1 − β₁)g / (1 − β₁ᵗ)).
    """

    def __init__(
        self, learning_rate: Rate | None = None, beta1: float = 0.9, beta2: float = 0.999,
        eps: float | None = None, name: str | None = None, *, psi: float | None = None, style: Style = "torch",
        **settings: Unpack[Settings],
    ):  # fmt: skip
        rate = default(None, style, torch=2e-3, keras=1e-3, optax=1e-3) if learning_rate is None else learning_rate
        chosen = default(eps, style, torch=1e-8, keras=1e-7, optax=1e-8)
        super().__init__(rate, beta1, beta2, chosen, name, style, settings)
        self.psi = default(psi, style, torch=0.004, keras=1.0, optax=0.0)
        if style != "optax":
            self.scalars = {"product": 1.0}

    def advance(self, scalars: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {name: old * self._momentum(self.count(old.dtype)) for name, old in scalars.items()}

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        m, v = self.first(slots[0], gradient), self.second(slots[1], gradient)
        count = self.count(parameter.dtype)
        if self.style == "optax":
            old = (1.0 - self.beta1) / correction(self.beta1, count)
            ahead = self.beta1 / correction(self.beta1, count + 1.0)
        else:
            product, now, following = self.scalar("product", parameter.dtype), self._momentum(count), count + 1.0
            old = (1.0 - now) / (1.0 - product)
            ahead = self._momentum(following) / (1.0 - product * self._momentum(following))
        root = api.sqrt(v) * api.rsqrt(correction(self.beta2, count)) + self.eps
        return parameter - (rate * ahead * m + rate * old * gradient) / root, m, v

    def _momentum(self, count: Tensor) -> Tensor:
        """μₜ."""
        return self.beta1 * (1.0 - 0.5 * api.exp(count * (self.psi * math.log(0.96))))


class Lion(Moments):
    """θ ← θ − η·sign(β₁m + (1 − β₁)g); m ← β₂m + (1 − β₂)g (Chen et al., 2023). Weight decay is decoupled.

    η is 1e-4 (Keras 1e-3), β 0.9 and 0.99, λ 0 (Optax 1e-3).
    """

    slots = ("m",)
    counts = False

    def __init__(
        self, learning_rate: Rate | None = None, beta1: float = 0.9, beta2: float = 0.99, name: str | None = None, *,
        style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        rate = default(None, style, torch=1e-4, keras=1e-3, optax=1e-4) if learning_rate is None else learning_rate
        settings.setdefault("weight_decay", default(None, style, torch=0.0, keras=0.0, optax=1e-3))
        settings.setdefault("decoupled", True)
        super().__init__(rate, beta1, beta2, 0.0, name, style, settings)

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        direction = api.sign(self.first(slots[0], gradient))
        return parameter - rate * direction, running_mean(slots[0], gradient, self.beta2)


def correction(beta: float, count: Tensor) -> Tensor:
    """1 − βᵗ as −expm1(t·ln β), which keeps every digit where βᵗ is near 1; 1 where β is 0."""
    return -api.expm1(count * math.log(beta)) if beta else api.ones_like(count)
