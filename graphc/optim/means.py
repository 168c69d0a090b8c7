"""Running means: how optimizers remember."""

from __future__ import annotations

from graphc.frontend.tensor import Tensor


def running_mean(mean: Tensor, value: Tensor, decay: float) -> Tensor:
    """decay·mean + (1 − decay)·value, from the nearer of both on: as PyTorch's `lerp`.

    That is one product and not two, the mean of equal values is that value to the bit, and a decay of 0 or 1 is exact.
    """
    if decay >= 0.5:
        return mean + (1.0 - decay) * (value - mean)
    return value + decay * (mean - value)
