"""Checkpoints: a run's state and its place in the data, in folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graphc.errors import ArgumentError, StateError
from graphc.sites import user_site
from graphc.suggest import answering_methods
from graphc.train.callbacks import Callback, Mode, Monitor, expect_count
from graphc.train.figures import Means
from graphc.train.paths import path_of
from graphc.train.run import Run

#: Names of checkpoints and of their files.
NAME, NUMBERED = "checkpoint-{:06d}", re.compile(r"checkpoint-(\d+)$")
STATE, RUN = "state.safetensors", "run.json"
#: How names of folders begin that are being written, or removed.
TEMPORARY = ".tmp-"


@answering_methods
class Checkpoint(Monitor):
    """Writes the run into folders `checkpoint-000001` … of a folder, after every so many epochs, batches or both.

    A checkpoint is written beside the others, flushed to the disk and renamed: whatever ends the process, each folder
    of that name is whole. `fit(..., resume=True)` goes on from the newest to the same bits as if nothing had happened:
    it holds the state (parameters, slots, counters, random numbers), the place in the epoch, the history, and what
    the other callbacks remember. `state.safetensors` in it is what `compiled.restore` reads. The newest `keep` stay
    (None: all). `save_best_only` writes at the end of epochs whose `monitor` is better than that of all before.

        train.fit(digits, data, epochs=50, callbacks=[train.Checkpoint("run", every_steps=1000)], resume=True)
    """

    remembered = ("best",)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        keep: int | None = 2,
        save_best_only: bool = False,
        monitor: str = "val_loss",
        mode: Mode = "auto",
    ):
        super().__init__(monitor, mode)
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("keep", keep)):
            expect_count(f"Checkpoint: {name}", 1 if value is None else value, 1)
        self.folder, self.every_epochs, self.keep = path_of("Checkpoint: folder", folder), every_epochs, keep
        self.every = every_steps or (1 << 62)
        self.save_best_only = save_best_only
        self.best: float | None = None
        self.settings: dict[str, Any] = {}
        self.others: Sequence[Callback] = ()

    def on_train_begin(self, run: Run) -> None:
        """Raises `ArgumentError` where the folder can't be written."""
        if self.save_best_only:
            super().on_train_begin(run)
        self.best = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(TEMPORARY + "*"):
                shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise ArgumentError(f"{self.folder} is no folder to write to: {error.strerror}", site=self.site) from None

    def on_batch_end(self, run: Run) -> None:
        if not self.save_best_only:
            self.write(run)

    def on_epoch_end(self, run: Run) -> None:
        if self.save_best_only:
            if self.better(self.figure(run), self.best):
                self.best = self.figure(run)
                self.write(run)
        elif self.every_epochs is not None and (run.epoch + 1) % self.every_epochs == 0:
            self.write(run)

    def on_interrupt(self, run: Run) -> None:
        if not self.save_best_only:
            self.write(run)

    # -- files ------------------------------------------------------------------------------------------------------

    def numbered(self) -> dict[int, Path]:
        """The checkpoints there are, by number, the oldest first."""
        found = {int(m[1]): path for path in self.folder.glob("checkpoint-*") if (m := NUMBERED.match(path.name))}
        return dict(sorted(found.items()))

    def latest(self) -> Path | None:
        """The newest checkpoint; None where there is none."""
        return next(reversed(self.numbered().values()), None)

    def write(self, run: Run) -> Path:
        """Write a checkpoint of the run as it is now; returns its folder."""
        there = self.numbered()
        path = self.folder / NAME.format(max(there, default=0) + 1)
        try:
            new = Path(tempfile.mkdtemp(dir=self.folder, prefix=TEMPORARY))
            try:
                self.fill(new, run)
                new.rename(path)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            flush_one(self.folder)
            for old in [*there.values(), path][: -self.keep] if self.keep else []:
                gone = old.rename(old.with_name(TEMPORARY + old.name))
                shutil.rmtree(gone, ignore_errors=True)
        except OSError as error:
            raise ArgumentError(f"{path} can't be written: {error.strerror}", site=self.site) from None
        return path

    def fill(self, folder: Path, run: Run) -> None:
        """Write a checkpoint's files, and have them on the disk."""
        run.compiled.save(folder / STATE)
        try:
            content = json.dumps(self.described(run), default=float)
        except TypeError as error:
            message = f"a callback remembers, or logs, what is no JSON value: {error}"
            raise ArgumentError(message, site=self.site, help="use numbers, strings, lists and dicts") from None
        (folder / RUN).write_text(content)
        for name, callback in named(self.others):
            callback.save(folder / name)
        flush(folder)

    def described(self, run: Run) -> dict[str, Any]:
        """The run, but for the program's state, as JSON values. The next batch is that of the next epoch at an end."""
        place = {"epoch": run.epoch + run.ended, "batch": 0, "sums": {}, "rows": 0, "logs": {}}
        if not run.ended:
            place |= {"batch": run.batch, "sums": run.means.sums, "rows": run.means.rows, "logs": run.logs}
        history = {"epochs": run.history.epochs, "rows": run.history.rows}
        remembered = {name: {a: getattr(c, a) for a in c.remembered} for name, c in named(self.others) if c.remembered}
        return {
            **place, "step": run.step, "stopped": run.stopped, "history": history, "settings": self.settings,
            "callbacks": remembered,
        }  # fmt: skip

    def read(self, folder: Path, run: Run) -> None:
        """Have a run go on where a checkpoint was written. Raises `ArgumentError` where it is of another run."""
        content = described_in(folder)
        faults = [
            f"{name} was {content['settings'].get(name)!r}, is {value!r}"
            for name, value in self.settings.items() if content["settings"].get(name) != value
        ]  # fmt: skip
        if faults:
            raise ArgumentError(
                f"{folder} is of a run with other data or settings: {'; '.join(faults)}",
                site=user_site(),
                help=f'go on as before; or compiled.restore("{folder / STATE}"), and fit with initial_epoch=',
            )
        run.compiled.restore(folder / STATE)
        run.epoch, run.batch, run.step = content["epoch"], content["batch"], content["step"]
        run.means, run.logs = Means(content["rows"], content["sums"]), content["logs"]
        run.stopped = content["stopped"]
        run.history.rows, run.history.epochs = content["history"]["rows"], content["history"]["epochs"]

    def restore_others(self, folder: Path, run: Run) -> None:
        """Give the callbacks what they had remembered; those that are new begin anew."""
        remembered = described_in(folder)["callbacks"]
        for name, callback in named(self.others):
            for attribute, value in remembered.get(name, {}).items():
                setattr(callback, attribute, value)
            if (folder / name).exists():
                callback.restore(folder / name, run.compiled)


def described_in(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its run. Raises `StateError` where it can't be read."""
    try:
        content: dict[str, Any] = json.loads((folder / RUN).read_text())
    except (OSError, ValueError) as error:
        raise StateError(f"{folder} is no checkpoint: {error}", site=user_site()) from None
    return content


def named(callbacks: Sequence[Callback]) -> Iterator[tuple[str, Callback]]:
    """Callbacks with names for their parts of a checkpoint: the class's, numbered."""
    counts: dict[str, int] = {}
    for callback in callbacks:
        kind = type(callback).__name__
        counts[kind] = counts.get(kind, -1) + 1
        yield f"{kind}-{counts[kind]}", callback


def flush(folder: Path) -> None:
    """Have a folder and all in it on the disk."""
    for path in folder.iterdir():
        flush_one(path)
    flush_one(folder)


def flush_one(path: Path) -> None:
    """Have a file, or a folder's list of names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
