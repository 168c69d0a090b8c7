"""`TensorBoard`: a run's figures and histograms as files that TensorBoard reads, through tensorboardX, an extra."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphc.errors import ArgumentError
from graphc.frontend.tensor import Array
from graphc.sites import user_site
from graphc.suggest import answering_methods
from graphc.train.callbacks import Callback, expect_count, learning_rates
from graphc.train.figures import VALIDATION
from graphc.train.paths import path_of
from graphc.train.run import Run

if TYPE_CHECKING:
    from graphc.runtime.load import Compiled

#: The folders of figures of training and of validation: TensorBoard draws both in one chart.
TRAINING_RUN, VALIDATION_RUN = "train", "validation"
#: Values of a run's settings that TensorBoard can show.
Setting = bool | int | float | str


@answering_methods
class TensorBoard(Callback):
    """Writes figures, learning rates and histograms of parameters for TensorBoard, epoch by epoch.

    `train` and `validation` in `folder` hold the figures, by the same names (`loss`, `accuracy`), so that they share a
    chart. Learning rates are those in the state, `adam/learning_rate`. `histograms` is how many epochs go by between
    two histograms of every trainable parameter (0: none). `watch` gives more arrays to make histograms of, by name, at
    the same times. `every_steps` also writes the epoch's means so far as `steps/loss` and so on, every so many
    batches. `hparams` are settings of this run, which TensorBoard compares across runs with the last epoch's figures,
    `hparam/loss` and so on.

    Raises `ArgumentError` where tensorboardX is not installed, or a setting is no number and no string.

        board = train.TensorBoard("runs/wide", hparams={"units": 256, "rate": 1e-3})
        train.fit(digits, data, epochs=20, validation_data=test, callbacks=[board])

        tensorboard --logdir runs                                      # in a shell
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        histograms: int = 1,
        watch: Callable[[Compiled], Mapping[str, Array]] | None = None,
        every_steps: int | None = None,
        hparams: Mapping[str, Setting] | None = None,
    ):
        expect_count("TensorBoard: histograms", histograms, 0)
        expect_count("TensorBoard: every_steps", 1 if every_steps is None else every_steps, 1)
        for name, value in (hparams or {}).items():
            if not isinstance(value, (bool, int, float, str)):
                message = f"TensorBoard: the setting {name} is a {type(value).__name__}"
                raise ArgumentError(message, site=user_site(), help="give numbers, booleans and strings")
        self.folder = path_of("TensorBoard: folder", folder)
        self.histograms, self.watch, self.every = histograms, watch, every_steps
        self.hparams = dict(hparams or {})
        self._writer_class = writer_class()
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, run: Run) -> None:
        """Opens the files; those of a resumed run go on where it was, and hide what came after that."""
        self._writers = {}
        self._first = run.epoch
        self._writer(TRAINING_RUN)

    def on_batch_end(self, run: Run) -> None:
        if self.every is not None:
            for name, value in run.logs.items():
                self._writer(TRAINING_RUN).add_scalar(f"steps/{name}", value, run.step)

    def on_epoch_end(self, run: Run) -> None:
        for name, value in run.logs.items():
            kind = VALIDATION_RUN if name.startswith(VALIDATION) else TRAINING_RUN
            self._writer(kind).add_scalar(name.removeprefix(VALIDATION), value, run.epoch)
        training = self._writer(TRAINING_RUN)
        for name in learning_rates(run.compiled):
            training.add_scalar(name, float(run.compiled.state[name]), run.epoch)
        if self.histograms and (run.epoch - self._first) % self.histograms == 0:
            for name, values in self._arrays(run.compiled).items():
                finite = values[np.isfinite(values)]
                if finite.size:
                    training.add_histogram(name, finite, run.epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, run: Run) -> None:
        if self.hparams:
            self._write_settings(run)
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _arrays(self, compiled: Compiled) -> dict[str, Array]:
        """What to make histograms of: the parameters, and what is watched besides."""
        trained = [v.name for v in compiled.signature.state if v.trainable]
        found = {name: compiled.state[name] for name in trained}
        if self.watch is not None:
            found.update({f"watch/{name}": np.asarray(values) for name, values in self.watch(compiled).items()})
        return found

    def _writer(self, kind: str) -> Any:
        """The file of training or of validation, opened at its first use."""
        if kind not in self._writers:
            purge = self._first if self._first else None
            own = f".{time.time_ns():020}"  # files of one second, too, have names of their own, in order
            self._writers[kind] = self._writer_class(str(self.folder / kind), purge_step=purge, filename_suffix=own)
        return self._writers[kind]

    def _write_settings(self, run: Run) -> None:
        """The settings, and the figures that they led to, in the form of TensorBoard's hparams."""
        from tensorboardX.summary import hparams

        last = run.history.rows[-1] if run.history.rows else {}
        figures = {f"hparam/{name}": value for name, value in last.items()}
        writer = self._writer(TRAINING_RUN)
        for summary in hparams(self.hparams, figures):
            writer.file_writer.add_summary(summary)
        for name, value in figures.items():
            writer.add_scalar(name, value, run.history.epochs[-1])


def writer_class() -> Any:
    """tensorboardX's writer. Raises `ArgumentError` where it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        message = "TensorBoard's files are written by tensorboardX, which is not installed"
        raise ArgumentError(message, site=user_site(), help="pip install 'graphc[tensorboard]'") from None
    return SummaryWriter
