"""Records where Keras's EarlyStopping stops, and which epoch it takes for the best.

    KERAS_BACKEND=torch python tests/vectors/record_early_stopping.py    # with keras 3 installed

Writes tests/vectors/early_stopping.npz: a row a case. `figures` [cases, epochs] are quarters, so that ties come.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np

CASES, EPOCHS = 300, 12


def recorded(figures: np.ndarray, greater: bool, patience: int, delta: float, baseline: float, start: int) -> list[int]:
    """The epoch that stops (-1: none does), and the best one."""
    stopping = keras.callbacks.EarlyStopping(
        "figure", delta, patience, mode="max" if greater else "min", start_from_epoch=start,
        baseline=None if np.isnan(baseline) else baseline,
    )  # fmt: skip
    model = SimpleNamespace(stop_training=False, metrics=[])
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, figure in enumerate(figures):
        stopping.on_epoch_end(epoch, {"figure": float(figure)})
        if model.stop_training:
            return [epoch, stopping.best_epoch]
    return [-1, stopping.best_epoch]


def main() -> None:
    rng = np.random.default_rng(0)
    cases = {
        "figures": rng.integers(0, 9, (CASES, EPOCHS)) / 4 + np.linspace(1, 0, EPOCHS).round(1),
        "greater": rng.integers(0, 2, CASES).astype(bool),
        "patience": rng.integers(0, 5, CASES),
        "delta": rng.choice([0.0, 0.0, 0.25, 0.5], CASES),
        "baseline": rng.choice([np.nan, np.nan, 0.5, 1.5], CASES),
        "start": rng.choice([0, 0, 1, 4], CASES),
    }
    cases["figures"] = (cases["figures"] * 4).round() / 4
    found = [recorded(*(values[i] for values in cases.values())) for i in range(CASES)]
    np.savez_compressed(Path(__file__).parent / "early_stopping.npz", **cases, found=np.array(found))


if __name__ == "__main__":
    main()
