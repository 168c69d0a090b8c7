"""Training-step times beside PyTorch and JAX, in one run: `python -m tests.benchmarks.steps [name …]`.

One pinned thread, repeats in turns, medians. A step is forward, loss, backward and update, the loss included; before
anything is timed, the losses of five steps must agree. Needs the extra `bench`.
"""

from __future__ import annotations

import sys

from tests.benchmarks.machine import describe, interleaved, median, pin
from tests.benchmarks.models import MODELS, Model
from tests.benchmarks.peers import FROM_PYTHON, NATIVE, Run

AGREEMENT = 1e-4


def five_losses(run: Run) -> list[float]:
    """The losses of the first five steps."""
    return [run(1) for _ in range(5)]


def compare(model: Model) -> None:
    """Print a table for one model."""
    runs = {name: build(model) for name, build in NATIVE.items()}
    losses = {name: five_losses(run) for name, run in runs.items()}
    expected = losses["graphc"]
    for name, values in losses.items():
        worst = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(values, expected, strict=True))
        if worst > AGREEMENT:
            raise SystemExit(f"{name} disagrees on the losses of {model.name}: {values}, graphc {expected}")
    times = {name: median(values) for name, values in interleaved(runs).items()}
    best = min((t, name) for name, t in times.items() if name != "graphc")
    print(f"\n{model.name}, batch {model.batch}")
    for name, t in times.items():
        print(f"  {name:14} {t * 1e6:10.2f} µs   {t / times['graphc']:8.2f}×")
    ratio = best[0] / times["graphc"]
    print(f"  best peer {best[1]}: {ratio:.2f}× (asked: {model.target}×){'' if ratio >= model.target else '   <<'}")


def compare_calls(model: Model) -> None:
    """Print the times of steps that are called from Python one by one."""
    runs = {name: build(model) for name, build in FROM_PYTHON.items()}
    for run in runs.values():
        five_losses(run)
    ours, theirs = (median(values) for values in interleaved(runs).values())
    print(f"\n{model.name}, batch {model.batch}, called from Python: graphc {ours * 1e6:.2f} µs, "
          f"jax jit {theirs * 1e6:.2f} µs: {theirs / ours:.1f}× (asked: 15×)")  # fmt: skip


def main(names: list[str]) -> None:
    """All models, or those whose names contain one of the arguments."""
    pin()
    print(describe("graphc", "torch", "jax", "optax", "numpy"))
    for model in MODELS:
        if not names or any(n in model.name for n in names):
            compare(model)
    if not names or "calls" in names:
        compare_calls(MODELS[1])


if __name__ == "__main__":
    main(sys.argv[1:])
