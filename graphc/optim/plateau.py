"""A learning rate lowered on the host, where a figure such as the validation loss stops improving."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from graphc.errors import ArgumentError
from graphc.optim.schedules import expect_steps
from graphc.optim.style import expect_between
from graphc.sites import user_site
from graphc.suggest import answering_methods


@answering_methods
class Plateau:
    """Multiplies a learning rate by `factor` after `patience` figures without improvement, as far down as `least`.

    `update(value)` returns the rate to use from now on; write it to `compiled.state["adam/learning_rate"]`. In the mode
    "min" a value counts as better when it is less than best·(1 − threshold), in "max" when it is more than
    best·(1 + threshold). After a reduction `cooldown` figures are not counted (PyTorch's `ReduceLROnPlateau`).
    Raises `ArgumentError` for a factor outside (0, 1) and other settings that can't be.

        plateau = optim.Plateau(1e-3, patience=5)
        compiled.state["adam/learning_rate"] = np.float32(plateau.update(validation_loss))
    """

    def __init__(
        self,
        rate: float,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        least: float = 0.0,
        *,
        mode: Literal["min", "max"] = "min",
        cooldown: int = 0,
    ):
        expect_between("Plateau", 0.0, 1.0, factor=factor, threshold=threshold)
        expect_between("Plateau", 0.0, math.inf, rate=rate, least=least)
        expect_steps("Plateau: patience", patience, 0)
        expect_steps("Plateau: cooldown", cooldown, 0)
        if mode not in ("min", "max"):
            raise ArgumentError(f"Plateau: mode={mode!r} is not known", site=user_site(), help="it is min or max")
        self.rate, self.factor, self.threshold, self.least = map(float, (rate, factor, threshold, least))
        self.patience = patience
        self.sign, self.cooldown = (1.0 if mode == "min" else -1.0), cooldown
        self.best, self.bad, self.resting = self.sign * math.inf, 0, 0

    def update(self, value: float | np.floating) -> float:
        """Take the figure of one more epoch. Raises `ArgumentError` where it is no number."""
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise ArgumentError(f"Plateau: the figure {value!r} is not a number", site=user_site(), help="float(loss)")
        if self.sign * value < self.sign * self.best * (1.0 - self.sign * self.threshold):
            self.best, self.bad = float(value), 0
        else:
            self.bad += 1
        if self.resting:
            self.resting, self.bad = self.resting - 1, 0
        if self.bad > self.patience:
            self.rate, self.bad, self.resting = max(self.rate * self.factor, self.least), 0, self.cooldown
        return self.rate
