"""Records moving averages of parameters in PyTorch and Optax, and steps of PyTorch's parameter groups.

    python tests/vectors/record_averages.py    # with torch 2.13, jax and optax installed

Writes tests/vectors/averages.npz, in float64, from the start and the gradients of optimizers.npz.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

FOLDER = Path(__file__).parent


class Holder(torch.nn.Module):
    """A module of one parameter."""

    def __init__(self, start: np.ndarray):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(start))


def torch_averages(start: np.ndarray, gradients: np.ndarray, decay: float) -> np.ndarray:
    """The averages along ten steps of SGD(0.1)."""
    model = Holder(start)
    average, optimizer = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)), torch.optim.SGD([model.w], 0.1)
    path = []
    for gradient in gradients:
        model.w.grad = torch.tensor(gradient)
        optimizer.step()
        average.update_parameters(model)
        path.append(average.module.w.detach().numpy().copy())
    return np.stack(path)


def optax_averages(start: np.ndarray, gradients: np.ndarray, decay: float) -> np.ndarray:
    """The debiased averages along ten steps of SGD(0.1)."""
    ema, w, path = optax.ema(decay, debias=True), jnp.asarray(start), []
    state = ema.init(w)
    for gradient in gradients:
        w = w - 0.1 * jnp.asarray(gradient)
        average, state = ema.update(w, state)
        path.append(np.asarray(average))
    return np.stack(path)


def torch_groups(start: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Both parameters along ten steps of AdamW, the second with settings of its own, clipped together."""
    a, b = (torch.nn.Parameter(torch.tensor(start)) for _ in range(2))
    groups = [{"params": [a]}, {"params": [b], "lr": 0.05, "weight_decay": 0.0, "betas": (0.5, 0.9)}]
    optimizer, path = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1), []
    for gradient in gradients:
        a.grad, b.grad = torch.tensor(gradient), torch.tensor(gradient * 0.5)
        torch.nn.utils.clip_grad_norm_([a, b], 2.0)
        optimizer.step()
        path.append(np.stack([p.detach().numpy() for p in (a, b)]))
    return np.stack(path)


def main() -> None:
    vectors = np.load(FOLDER / "optimizers.npz")
    start, gradients = vectors["start"], vectors["gradients"]
    np.savez_compressed(
        FOLDER / "averages.npz",
        torch=torch_averages(start, gradients, 0.9),
        optax=optax_averages(start, gradients, 0.9),
        groups=torch_groups(start, gradients),
    )


if __name__ == "__main__":
    main()
