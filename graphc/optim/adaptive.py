"""Rates of each element's own: Adagrad, Adadelta, RMSprop."""

from __future__ import annotations

import math
from typing import Unpack

from graphc.frontend import api
from graphc.frontend.tensor import Tensor
from graphc.optim.means import running_mean
from graphc.optim.optimizer import Optimizer
from graphc.optim.settings import Rate, Settings
from graphc.optim.style import Style, default, expect_between


class Adagrad(Optimizer):
    """a ← a + g²; θ ← θ − η / (1 + (t − 1)·d)·g / (√a + ε) (PyTorch; Duchi, Hazan and Singer, 2011).

    Keras: g / √(a + ε); Optax: the same, 0 where a is 0; neither has the decay d. Defaults: η 1e-2, a₀ 0, ε 1e-10
    (PyTorch); η 1e-3, a₀ 0.1, ε 1e-7 (Keras, Optax).
    """

    slots = ("sum",)

    def __init__(
        self, learning_rate: Rate | None = None, initial_accumulator: float | None = None,
        eps: float | None = None, name: str | None = None, *, decay: float = 0.0, style: Style = "torch",
        **settings: Unpack[Settings],
    ):  # fmt: skip
        self.counts = decay != 0
        rate = default(None, style, torch=1e-2, keras=1e-3, optax=1e-3) if learning_rate is None else learning_rate
        super().__init__(rate, name, style=style, **settings)
        initial = default(initial_accumulator, style, torch=0.0, keras=0.1, optax=0.1)
        self.eps = default(eps, style, torch=1e-10, keras=1e-7, optax=1e-7)
        expect_between(
            type(self).__name__, 0.0, math.inf, initial_accumulator=initial, eps=self.eps, decay=decay
        )
        self.initial_slots, self.decay = {"sum": initial}, decay

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        total = slots[0] + gradient * gradient
        if self.decay:
            rate = rate / (1.0 + (self.count(parameter.dtype) - 1.0) * self.decay)
        match self.style:
            case "torch":
                scaled = gradient / (api.sqrt(total) + self.eps)
            case "keras":
                scaled = gradient / api.sqrt(total + self.eps)
            case "optax":
                scaled = api.where(total > 0.0, gradient / api.sqrt(total + self.eps), 0.0)
        return parameter - rate * scaled, total


class Adadelta(Optimizer):
    """Δ = g·√(E_Δ + ε) / √(E_g + ε), both E running means (ρ) of squares; θ ← θ − η·Δ (Zeiler, 2012).

    Defaults: η 1, ρ 0.9, ε 1e-6 (PyTorch, Optax); η 1e-3, ρ 0.95, ε 1e-7 (Keras).
    """

    slots = ("square", "change")

    def __init__(
        self, learning_rate: Rate | None = None, rho: float | None = None, eps: float | None = None,
        name: str | None = None, *, style: Style = "torch", **settings: Unpack[Settings],
    ):  # fmt: skip
        rate = default(None, style, torch=1.0, keras=1e-3, optax=1.0) if learning_rate is None else learning_rate
        super().__init__(rate, name, style=style, **settings)
        self.rho = default(rho, style, torch=0.9, keras=0.95, optax=0.9)
        self.eps = default(eps, style, torch=1e-6, keras=1e-7, optax=1e-6)
        expect_between(type(self).__name__, 0.0, 1.0, rho=self.rho)
        expect_between(type(self).__name__, 0.0, math.inf, eps=self.eps)

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        square = running_mean(slots[0], gradient * gradient, self.rho)
        delta = gradient * api.sqrt(slots[1] + self.eps) / api.sqrt(square + self.eps)
        return parameter - rate * delta, square, running_mean(slots[1], delta * delta, self.rho)


class RMSprop(Optimizer):
    """v ← ρv + (1 − ρ)g²; θ ← θ − η·g / (√v + ε) (PyTorch; Hinton, 2012). Keras and Optax: g / √(v + ε).

    `centered` subtracts the square of the gradients' running mean from v. With `momentum` μ the scaled gradient goes
    through a buffer b ← μb + ĝ, which in Keras's and Optax's styles holds η·ĝ.
    Defaults: η 1e-2, ρ 0.99, ε 1e-8 (PyTorch); η 1e-3, ρ 0.9, ε 1e-7 (Keras); η 1e-3, ρ 0.9, ε 1e-8 (Optax).
    """

    def __init__(
        self, learning_rate: Rate | None = None, rho: float | None = None, momentum: float = 0.0,
        eps: float | None = None, centered: bool = False, name: str | None = None, *, style: Style = "torch",
        **settings: Unpack[Settings],
    ):  # fmt: skip
        rate = default(None, style, torch=1e-2, keras=1e-3, optax=1e-3) if learning_rate is None else learning_rate
        super().__init__(rate, name, style=style, **settings)
        self.rho = default(rho, style, torch=0.99, keras=0.9, optax=0.9)
        self.eps = default(eps, style, torch=1e-8, keras=1e-7, optax=1e-8)
        expect_between(type(self).__name__, 0.0, 1.0, rho=self.rho, momentum=momentum)
        expect_between(type(self).__name__, 0.0, math.inf, eps=self.eps)
        self.momentum, self.centered = momentum, centered
        self.slots = ("square", *(("mean",) if centered else ()), *(("momentum",) if momentum else ()))

    def step(self, parameter: Tensor, gradient: Tensor, rate: Tensor, *slots: Tensor) -> tuple[Tensor, ...]:
        old = dict(zip(self.slots, slots, strict=True))
        new = {"square": running_mean(old["square"], gradient * gradient, self.rho)}
        spread = new["square"]
        if self.centered:
            new["mean"] = running_mean(old["mean"], gradient, self.rho)
            spread = spread - api.square(new["mean"])
        torch = self.style == "torch"
        root = api.sqrt(spread) + self.eps if torch else api.sqrt(spread + self.eps)
        change = gradient / root if torch else rate * gradient / root
        if self.momentum:
            change = new["momentum"] = self.momentum * old["momentum"] + change
        return parameter - (rate * change if torch else change), *(new[name] for name in self.slots)
