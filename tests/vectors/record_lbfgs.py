"""Records ten calls of PyTorch's L-BFGS on three losses.

    python tests/vectors/record_lbfgs.py    # with torch 2.13 installed

Writes tests/vectors/lbfgs.npz: in float64, for each loss and line search the parameters and the loss after each call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

torch.set_default_dtype(torch.float64)

CALLS = 10
RUNS = 150  # with first steps of all lengths: searches that widen, zoom in, and give up


def rosenbrock(w: torch.Tensor) -> torch.Tensor:
    """The chained valley."""
    return (100.0 * (w[1:] - w[:-1] ** 2) ** 2 + (1.0 - w[:-1]) ** 2).sum()


def logistic(x: torch.Tensor, y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Logistic regression with a little decay."""
    return lambda w: torch.nn.functional.softplus(-y * (x @ w)).mean() + 1e-3 * (w**2).sum()


def wavy(w: torch.Tensor) -> torch.Tensor:
    """Bumps on a bowl: the line search has to zoom."""
    return (0.05 * w**2 + torch.sin(3.0 * w) * torch.cos(w.roll(1))).sum()


def path(
    loss: Callable[[torch.Tensor], torch.Tensor], start: np.ndarray, calls: int = CALLS, **options: Any
) -> np.ndarray:
    """Parameters and loss after each call."""
    w = torch.nn.Parameter(torch.tensor(start))
    optimizer, found = torch.optim.LBFGS([w], **options), []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(w)
        value.backward()
        return value

    for _ in range(calls):
        optimizer.step(closure)
        found.append(np.append(w.detach().numpy(), loss(w).item()))
    return np.stack(found)


def ends_from(starts: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Where single calls end; some roundings apart end elsewhere, so a start nearby tells which count."""
    options = {"max_iter": 4, "max_eval": 12, "line_search_fn": "strong_wolfe"}
    return np.stack([path(wavy, s, 1, lr=r, **options)[0] for s, r in zip(starts, rates, strict=True)])


def main() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), np.sign(rng.standard_normal(40))
    losses = {
        "rosenbrock": (rosenbrock, np.array([-1.2, 1.0, -0.5, 0.8])),
        "logistic": (logistic(torch.tensor(x), torch.tensor(y)), np.zeros(5)),
        "wavy": (wavy, np.linspace(-2.0, 3.0, 6)),
    }
    records = {"x": x, "y": y} | {f"{name}/start": start for name, (_, start) in losses.items()}
    wolfe = {"line_search_fn": "strong_wolfe"}
    for name, (loss, start) in losses.items():
        records[f"{name}/wolfe"] = path(loss, start, max_iter=3, history_size=4, **wolfe)
        records[f"{name}/default"] = path(loss, start, **wolfe)
    for name in ("logistic", "wavy"):
        records[f"{name}/fixed"] = path(*losses[name], lr=0.1, max_iter=3, history_size=4)
    starts, rates = rng.uniform(-4, 4, (RUNS, 3)), rng.choice([0.003, 0.1, 1.0, 8.0, 60.0], RUNS)
    ends, near = (ends_from(starts + shift, rates) for shift in (0.0, 4e-15))
    stable = np.abs(ends - near).max(axis=1) < 1e-10
    records |= {"starts": starts[stable], "rates": rates[stable], "ends": ends[stable]}
    np.savez_compressed(Path(__file__).parent / "lbfgs.npz", **records)


if __name__ == "__main__":
    main()
