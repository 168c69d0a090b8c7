"""Training runs that are ended from outside, in processes of their own.

    python -m tests.fit_process run folder epochs [seconds]     one run, with a rest after every batch
    python -m tests.fit_process kill folder epochs kills        runs that are killed at random moments, and resumed

A run resumes from the checkpoints in its folder, prints `go` before it trains, and leaves `result.json` at its end.
`kill` first lets a run finish; later ones must come to the same result. It prints how many runs and kills there were.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from graphc import optim, train
from graphc.runtime.load import Compiled
from tests.fit_programs import blobs, classifier, image

#: Batches of an epoch, and how often a checkpoint is written: no divisor, so that most are in mid-epoch.
BATCH, EVERY = 8, 5


def callbacks(folder: Path) -> list[train.Callback]:
    """All that a checkpoint has to bring back."""
    return [
        train.Checkpoint(folder / "run", every_epochs=2, every_steps=EVERY),
        train.EarlyStopping("val_loss", patience=10_000, restore_best=True),
        train.LearningRate(optim.Plateau(0.02, factor=0.9, patience=1)),
        train.CSVLogger(folder / "run.csv"),
    ]


def trained(compiled: Compiled, folder: Path, epochs: int, *extra: train.Callback) -> None:
    """Train to the end, from wherever the last process came to."""
    history = train.fit(
        compiled, blobs(60), epochs=epochs, batch_size=BATCH, validation_data=blobs(37, seed=1), shuffle=3,
        callbacks=[*callbacks(folder), *extra], resume=True,
    )  # fmt: skip
    result = {
        "state": hashlib.sha256(image(compiled)).hexdigest(),
        "history": dict(history),
        "table": (folder / "run.csv").read_text(),
        "steps": history.steps,
        "interrupted": history.interrupted,
    }
    (folder / "result.json").write_text(json.dumps(result))


def killed(compiled: Compiled, folder: Path, epochs: int, kills: int) -> tuple[int, int]:
    """Runs that are killed some times altogether, and what the one before them left; (runs, kills)."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    child(compiled, folder / "0", epochs, None)
    seconds = time.perf_counter() - start
    expected = (folder / "0" / "result.json").read_text()
    assert json.loads(expected)["steps"] == epochs * 8, expected
    runs = done = 0
    while done < kills or not (folder / str(runs) / "result.json").exists():
        if (folder / str(runs) / "result.json").exists():
            runs += 1
        done += child(compiled, folder / str(runs), epochs, rng.uniform(0, seconds / 2) if done < kills else None)
        whole(compiled, folder / str(runs))
        result = folder / str(runs) / "result.json"
        assert not result.exists() or result.read_text() == expected, f"run {runs} came to another end"
    return runs, done


def child(compiled: Compiled, folder: Path, epochs: int, seconds: float | None) -> bool:
    """A process that trains; whether it was killed."""
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        trained(compiled, folder, epochs)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), f"a run failed: {status}"
    return status == signal.SIGKILL


def whole(compiled: Compiled, folder: Path) -> None:
    """Every file of every checkpoint can be read."""
    for checkpoint in (folder / "run").glob("checkpoint-*"):
        json.loads((checkpoint / "run.json").read_text())
        for state in (checkpoint / "state.safetensors", checkpoint / "EarlyStopping-0"):
            if state.name.startswith("state") or state.exists():
                compiled.new_state().restore(state)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", folder, epochs, *seconds]:
            rest = float(seconds[0]) if seconds else 0.0
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
            program = classifier().compile()
            print("go", flush=True)
            trained(program, Path(folder), int(epochs), train.Lambda(on_batch_end=lambda run: time.sleep(rest)))
        case ["kill", folder, epochs, kills]:
            runs, done = killed(classifier().compile(), Path(folder), int(epochs), int(kills))
            print(f"{runs} runs, {done} kills")
