"""What `train.fit` costs over bare compiled epochs, on the digits sample's network.

    python -m tests.benchmarks.fit

Prints milliseconds of CPU time an epoch, over rounds that take turns: bare `epoch` calls; fit; the same evaluation by
hand after each epoch, and fit with validation and early stopping.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from graphc import losses, metrics, nn, optim, train
from graphc.runtime.load import Compiled
from tests.documents import ROOT

sys.path.insert(0, str(ROOT / "samples"))
import digits

import graphc as gr

EPOCHS, ROUNDS, BATCH = 40, 15, 32


def network() -> Compiled:
    """64-128-10 with Adam, as in samples/digits.py."""
    net = nn.Sequential(nn.Dense(128, activation="relu"), nn.Dense(10))
    return train.supervised(
        net, gr.f32["N", 64], gr.i32["N"], loss=losses.sparse_softmax_cross_entropy, optimizer=optim.Adam(1e-3),
        metrics={"accuracy": metrics.accuracy}, name="digits",
    ).compile()  # fmt: skip


def main() -> None:
    compiled = network()
    (x, y), test = digits.load_data()

    def bare() -> None:
        for epoch in range(EPOCHS):
            compiled.train_step.epoch(x, y, batch_size=BATCH, shuffle=epoch)

    def fitted() -> None:
        train.fit(compiled, (x, y), epochs=EPOCHS, batch_size=BATCH)

    def bare_validated() -> None:
        for epoch in range(EPOCHS):
            compiled.train_step.epoch(x, y, batch_size=BATCH, shuffle=epoch)
            for start in range(0, len(test[0]), 256):
                compiled.evaluate(test[0][start : start + 256], test[1][start : start + 256])

    def fitted_validated() -> None:
        callbacks = [train.EarlyStopping(patience=EPOCHS)]
        train.fit(compiled, (x, y), epochs=EPOCHS, batch_size=BATCH, validation_data=test, callbacks=callbacks)

    ways: dict[str, Callable[[], None]] = {
        "epoch": bare, "fit": fitted, "epoch, evaluate": bare_validated, "fit, validation": fitted_validated,
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            compiled.init()
            start = time.process_time()
            way()
            times[name].append((time.process_time() - start) / EPOCHS * 1e3)
    for name, found in times.items():
        print(f"{name:16} {statistics.median(found):7.3f} ms   least {min(found):7.3f} ms")
    for plain, with_fit in (("epoch", "fit"), ("epoch, evaluate", "fit, validation")):
        ratio = statistics.median(f / b for f, b in zip(times[with_fit], times[plain], strict=True))
        print(f"{with_fit} over {plain}: {ratio - 1:+.1%}")


if __name__ == "__main__":
    main()
