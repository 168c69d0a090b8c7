"""Checkpoints: a run that was killed, stopped or interrupted goes on to the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import errors, optim, train
from graphc.runtime.load import Compiled
from tests.documents import ROOT
from tests.fit_process import trained
from tests.fit_programs import ROWS, TEST, Figures, X, Y, compiled, image, program

__all__ = ["compiled", "program"]


def process(*arguments: object) -> subprocess.Popen[str]:
    """A process of tests/fit_process.py."""
    command = [sys.executable, "-m", "tests.fit_process", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


def finished(running: subprocess.Popen[str]) -> str:
    """What a process prints until its end, which is a good one."""
    output, errors = running.communicate(timeout=300)
    assert running.returncode == 0, errors
    return output


@pytest.mark.parametrize("epochs, kills", [(6, 3), pytest.param(12, 50, marks=pytest.mark.slow)])
def test_killed_runs_come_to_the_same_end(epochs: int, kills: int, tmp_path: Path) -> None:
    assert finished(process("kill", tmp_path, epochs, kills)).endswith(f" {kills} kills\n")


def test_ctrl_c_ends_a_run_cleanly_and_it_can_be_resumed(program: gr.Program, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    watch = train.Lambda(on_batch_end=lambda run: None)  # as in that process: the same batches at once
    trained(program.compile(), tmp_path / "whole", 6, watch)
    cut = process("run", tmp_path / "cut", 6, 0.02)
    assert cut.stdout is not None and cut.stdout.readline() == "go\n"
    while not list((tmp_path / "cut" / "run").glob("checkpoint-*")):
        assert cut.poll() is None
    cut.send_signal(signal.SIGINT)
    finished(cut)
    result = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert result["interrupted"] and 0 < result["steps"] < 48
    trained(program.compile(), tmp_path / "cut", 6, watch)
    assert (tmp_path / "cut" / "result.json").read_text() == (tmp_path / "whole" / "result.json").read_text()


class Interrupt(train.Callback):
    """Ctrl-C in the midst of a run."""

    def __init__(self, step: int, times: int = 1):
        self.step, self.times = step, times

    def on_batch_end(self, run: train.Run) -> None:
        for _ in range(self.times if run.step == self.step else 0):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, which a shell's background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "fit leaves another handler"
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_keeps_its_state(compiled: Compiled, program: gr.Program) -> None:
    told: list[str] = []
    watch = train.Lambda(on_interrupt=lambda run: told.append("interrupt"), on_train_end=lambda run: told.append("end"))
    history = train.fit(compiled, (X, Y), epochs=9, batch_size=10, callbacks=[Interrupt(13), watch])
    assert history.interrupted and history.epochs == [0] and history.steps == 13 and told == ["interrupt", "end"]
    other = program.compile()
    other.train_step.epoch(X, Y, batch_size=10, shuffle=0)
    other.train_step.minibatches(X, Y, batch_size=10).run(1, 0, 3)
    assert image(other) == image(compiled)


@pytest.mark.usefixtures("interruptible")
def test_a_second_interrupt_is_not_waited_for(compiled: Compiled) -> None:
    with pytest.raises(KeyboardInterrupt):
        train.fit(compiled, (X, Y), epochs=9, batch_size=10, callbacks=[Interrupt(3, times=2)])
    assert train.fit(compiled, (X, Y)).steps == 4, "the state is not left locked"


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_validation_is_heeded(compiled: Compiled) -> None:
    def validation(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in range(1000):
            signal.raise_signal(signal.SIGINT)
            yield TEST

    history = train.fit(compiled, (X, Y), epochs=2, validation_data=validation)
    assert history.interrupted and history.epochs == [] and history.steps == 4


def test_other_threads_train_too(compiled: Compiled) -> None:
    found: list[train.History] = []
    thread = threading.Thread(target=lambda: found.append(train.fit(compiled, (X, Y), epochs=2)))
    thread.start()
    thread.join()
    assert found[0].epochs == [0, 1]


@pytest.mark.parametrize("data", [(X, Y), [(X[:40], Y[:40]), (X[40:], Y[40:])]], ids=["arrays", "batches"])
def test_more_epochs_go_on_where_fewer_ended(
    data: object, compiled: Compiled, program: gr.Program, tmp_path: Path
) -> None:
    whole = train.fit(compiled, data, epochs=5)
    other = program.compile()
    for epochs in (1, 1, 4, 5):
        history = train.fit(other, data, epochs=epochs, callbacks=[train.Checkpoint(tmp_path)], resume=True)
        other = other.new_state(seed=7)
    other.restore(train.Checkpoint(tmp_path).latest() / "state.safetensors")
    assert image(other) == image(compiled)
    assert dict(history) == dict(whole) and history.epochs == whole.epochs and history.steps == whole.steps


def test_callbacks_remember(program: gr.Program, tmp_path: Path) -> None:
    """Early stopping its best state and its patience, a plateau its rate: runs in parts end as one in one piece."""

    def run(compiled: Compiled, folder: Path, epochs: int) -> tuple[Any, ...]:
        stopping = train.EarlyStopping("figure", patience=4, restore_best=True)
        rate = train.LearningRate(optim.Plateau(0.02, factor=0.5, patience=1), monitor="figure")
        callbacks = [train.Checkpoint(folder), Figures([3, 1, 2, 2, 2, 2, 0]), stopping, rate]
        history = train.fit(compiled, (X, Y), epochs=epochs, callbacks=callbacks, resume=True)
        return dict(history), stopping.best, stopping.best_epoch, stopping.stopped_epoch, image(compiled)

    whole = run(program.compile(), tmp_path / "whole", 7)
    assert whole[1:4] == (1.0, 1, 5)
    for epochs in (2, 4, 5, 7):
        parts = run(program.compile(), tmp_path / "parts", epochs)
    assert parts == whole


@pytest.mark.usefixtures("interruptible")
def test_a_generator_is_drawn_from_again_to_where_it_was(
    compiled: Compiled, program: gr.Program, tmp_path: Path
) -> None:
    def drawn() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(0)
        while True:
            chosen = rng.integers(0, ROWS, 16)
            yield X[chosen], Y[chosen]

    train.fit(compiled, drawn(), epochs=3, steps_per_epoch=7)
    other = program.compile()
    options = {"steps_per_epoch": 7, "resume": True}
    train.fit(other, drawn(), epochs=3, callbacks=[train.Checkpoint(tmp_path), Interrupt(10)], **options)
    again = program.compile()
    path = train.Checkpoint(tmp_path).latest() / "run.json"
    content = json.loads(path.read_text())
    assert (content["epoch"], content["batch"], content["step"]) == (1, 3, 10)
    train.fit(again, drawn(), epochs=3, callbacks=[train.Checkpoint(tmp_path)], **options)
    assert image(again) == image(compiled)


def test_a_run_that_was_stopped_stays_so(compiled: Compiled, tmp_path: Path) -> None:
    """Killed between its last checkpoint and its end, a run must not go on where it had stopped."""
    stop = train.Lambda(on_epoch_end=train.Run.stop)
    train.fit(compiled, (X, Y), epochs=5, callbacks=[stop, train.Checkpoint(tmp_path)])
    history = train.fit(compiled, (X, Y), epochs=5, callbacks=[train.Checkpoint(tmp_path)], resume=True)
    assert history.epochs == [0]


def test_the_newest_stay(compiled: Compiled, tmp_path: Path) -> None:
    (tmp_path / ".tmp-left").mkdir()
    train.fit(compiled, (X, Y), epochs=7, callbacks=[train.Checkpoint(tmp_path, every_epochs=2, keep=2)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-000002", "checkpoint-000003"]
    train.fit(compiled, (X, Y), epochs=2, callbacks=[train.Checkpoint(tmp_path, keep=None)])
    assert len(list(tmp_path.iterdir())) == 4


def test_only_the_best_are_kept(compiled: Compiled, tmp_path: Path) -> None:
    figures = iter([3.0, 1.0, 2.0, 0.5])
    figure = train.Lambda(on_epoch_end=lambda run: run.logs.update(figure=next(figures)))
    figure.adds = ("figure",)
    best = train.Checkpoint(tmp_path, keep=None, save_best_only=True, monitor="figure")
    train.fit(compiled, (X, Y), epochs=4, callbacks=[best, figure])
    epochs = [json.loads((p / "run.json").read_text())["epoch"] for p in sorted(tmp_path.iterdir())]
    assert epochs == [1, 2, 4] and best.best == 0.5


def test_mistakes_leave_the_program_as_it_was(compiled: Compiled, tmp_path: Path) -> None:
    checkpoint = train.Checkpoint(tmp_path / "run")
    train.fit(compiled, (X, Y), callbacks=[checkpoint])
    before = image(compiled)
    (tmp_path / "file").touch()
    for options, message in (
        ({"callbacks": []}, "needs a checkpoint"),
        ({"callbacks": [checkpoint], "shuffle": 5, "epochs": 2}, "shuffle was 0, is 5"),
        ({"callbacks": [checkpoint], "batch_size": 5, "epochs": 2}, "batches was 4, is 20"),
        ({"callbacks": [train.Checkpoint(tmp_path / "file")]}, "no folder to write to"),
    ):
        with pytest.raises(errors.ArgumentError, match=message):
            train.fit(compiled, (X, Y), **{"resume": True, **options})
    (checkpoint.latest() / "run.json").write_text("{")
    with pytest.raises(errors.StateError, match="is no checkpoint"):
        train.fit(compiled, (X, Y), callbacks=[checkpoint], resume=True)
    assert image(compiled) == before
