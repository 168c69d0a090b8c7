"""How far a training run is: a live bar on terminals, a line an epoch elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from graphc.train.data import Source
from graphc.train.figures import Figures
from graphc.train.run import Run

#: Seconds between two updates of a bar: training does not wait for it.
REST = 0.05


class Progress:
    """Shows nothing; the base of those that show something."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run is over."""

    def advanced(self, run: Run, batches: int, rows: int) -> None:
        """Some batches are done."""

    def epoch_ended(self, run: Run) -> None:
        """An epoch and its validation are done."""


class Lines(Progress):
    """A line an epoch on stdout: figures, and rows per second."""

    def __init__(self) -> None:
        self._since, self._rows = time.perf_counter(), 0

    def advanced(self, run: Run, batches: int, rows: int) -> None:
        self._rows += rows

    def epoch_ended(self, run: Run) -> None:
        now = time.perf_counter()
        rate = rate_text(self._rows / max(now - self._since, 1e-9))
        print(f"epoch {epoch_text(run.epoch, run.epochs)}   {figures_text(run.logs)}   {rate}", flush=True)
        self._since, self._rows = now, 0


class Bar(Progress):
    """rich's live bar: epoch, figures, rate, and the time that is left."""

    def __init__(self, run: Run, source: Source):
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Live

        columns = (
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(bar_width=24), TextColumn("{task.fields[figures]}"),
            TextColumn("{task.fields[rate]}", style="dim"), TimeRemainingColumn(),
        )  # fmt: skip
        self._live = Live(*columns, refresh_per_second=8)
        self._batches, self._rows, self._done = source.batches, 0, 0
        self._begun, self._shown = time.perf_counter(), 0.0
        self._task = self._live.add_task(
            "", total=self.total(run), epoch=epoch_text(run.epoch, run.epochs), figures="", rate=""
        )

    def total(self, run: Run) -> int | None:
        """Batches from here to the end; None where no epoch has told how many it has."""
        return None if self._batches is None else self._batches * (run.epochs - run.epoch) - run.batch

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.stop()

    def advanced(self, run: Run, batches: int, rows: int) -> None:
        self._rows += rows
        self._done += batches
        if time.perf_counter() - self._shown >= REST:
            self.show(run)

    def epoch_ended(self, run: Run) -> None:
        if self._batches is None:
            self._batches = run.batch
            self._live.update(self._task, total=run.batch * run.epochs)
        if time.perf_counter() - self._shown >= REST or run.epoch + 1 == run.epochs or run.stopped:
            self.show(run)

    def show(self, run: Run) -> None:
        """The run as it is now."""
        self._shown = time.perf_counter()
        rate = self._rows / max(self._shown - self._begun, 1e-9)
        self._live.update(
            self._task, completed=self._done, epoch=epoch_text(run.epoch, run.epochs), figures=figures_text(run.logs),
            rate=rate_text(rate),
        )  # fmt: skip


def progress_for(wanted: bool | None, run: Run, source: Source) -> Progress:
    """The progress that `fit(progress=)` asks for, here."""
    if wanted is False:
        return Progress()
    if sys.stdout.isatty() and find_spec("rich") is not None:
        return Bar(run, source)
    return Lines() if wanted else Progress()


def epoch_text(epoch: int, epochs: int) -> str:
    """` 3/20`, from 1."""
    return f"{min(epoch + 1, epochs):{len(str(epochs))}}/{epochs}"


def figures_text(figures: Figures) -> str:
    """`loss 0.1234  val_accuracy 0.9700`."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def rate_text(rate: float) -> str:
    """`1,234 rows/s`, with three digits that count."""
    return f"{float(f'{rate:.3g}'):,.0f} rows/s"
