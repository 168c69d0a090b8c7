"""Callbacks: what looks at a training run, and may steer it, between batches and epochs."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np

from graphc import optim
from graphc.errors import ArgumentError
from graphc.frontend.numbers import is_count, is_number
from graphc.sites import user_site
from graphc.suggest import answering_methods
from graphc.train.figures import nearest
from graphc.train.paths import path_of
from graphc.train.run import Run

if TYPE_CHECKING:
    from graphc.runtime.load import Compiled

Mode: TypeAlias = Literal["auto", "min", "max"]

#: Figures whose names hold one of these words are better when they are greater.
GREATER = frozenset(("acc", "accuracy", "auc", "f1", "precision", "r2", "recall", "score"))


class Callback:
    """The base of callbacks: each method does nothing unless a subclass says what.

        class Rate(train.Callback):
            def on_epoch_end(self, run):
                print(run.epoch, run.logs["loss"], run.compiled.state["adam/learning_rate"])
    """

    #: `on_batch_end` is called whenever so many batches of the run are done; None: whenever compiled code returns.
    every: int | None = 1
    #: Names of figures that it adds to `run.logs`, so that others may monitor them.
    adds: Sequence[str] = ()
    #: Names of attributes that a checkpoint keeps and a resumed run brings back: numbers, strings, lists and dicts.
    remembered: ClassVar[tuple[str, ...]] = ()

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch; what the run begins with is what it was resumed with."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before an epoch's first batch. Not called again where a run is resumed in the midst of an epoch."""

    def on_batch_end(self, run: Run) -> None:
        """After the batch number `run.step`; `run.logs` holds the epoch's means so far."""

    def on_epoch_end(self, run: Run) -> None:
        """After an epoch and its validation."""

    def on_interrupt(self, run: Run) -> None:
        """After the batch that Ctrl-C ended the run with, before `on_train_end`."""

    def on_train_end(self, run: Run) -> None:
        """After the run, also where it was stopped or interrupted."""

    def save(self, path: Path) -> None:
        """Write what a checkpoint needs besides the attributes into a file of the callback's own, if there is any."""

    def restore(self, path: Path, compiled: Compiled) -> None:
        """Read the file that `save` wrote; comes after `on_train_begin`, and after the attributes came back."""


@answering_methods
class Lambda(Callback):
    """Functions of the run as a callback: `train.Lambda(on_epoch_end=lambda run: print(run.logs["loss"]))`.

    `every` is how many batches go by between two calls of `on_batch_end`.
    """

    MOMENTS = ("on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_interrupt", "on_train_end")

    def __init__(self, every: int | None = 1, **functions: Callable[[Run], object]):
        self.every = every
        for moment, function in functions.items():
            if moment not in self.MOMENTS:
                help = nearest(moment, self.MOMENTS)
                raise ArgumentError(f"Lambda: no moment is called {moment!r}", site=user_site(), help=help)
            if not callable(function):
                message = f"Lambda: {moment} is a {type(function).__name__}"
                raise ArgumentError(message, site=user_site(), help="give a function of the run")
            setattr(self, moment, function)


@answering_methods
class Monitor(Callback):
    """The base of callbacks that look at one figure at the end of each epoch.

    `mode` says which way is better; "auto" takes the greater of accuracies, scores and the like, else the smaller.
    A figure is better than another if it is so by more than `min_delta`.
    """

    def __init__(self, monitor: str, mode: Mode = "auto", min_delta: float = 0.0):
        own = type(self).__name__
        if mode not in ("auto", "min", "max"):
            message = f"{own}: mode={mode!r}"
            raise ArgumentError(message, site=user_site(), help='use "auto", "min" or "max"')
        if not isinstance(monitor, str):
            message = f"{own}: monitor is a {type(monitor).__name__}"
            raise ArgumentError(message, site=user_site(), help='give the name of a figure, such as "val_loss"')
        expect_figure(f"{own}: min_delta", min_delta)
        self.monitor, self.site = monitor, user_site()
        self.greater = mode == "max" or (mode == "auto" and not GREATER.isdisjoint(re.split("[_/]", monitor)))
        self.min_delta = abs(min_delta)

    def on_train_begin(self, run: Run) -> None:
        """Raises `ArgumentError` for a figure that the run will not have, before it has cost anything."""
        self.expect_in(run.known)

    def expect_in(self, names: Sequence[str]) -> None:
        """Raise `ArgumentError` unless the figure is among some names."""
        if self.monitor not in names:
            raise ArgumentError(
                f"{type(self).__name__}: the run has no figure {self.monitor!r} to monitor",
                site=self.site,
                help=nearest(self.monitor, names),
            )

    def figure(self, run: Run) -> float:
        """The figure at the end of an epoch."""
        self.expect_in(list(run.logs))
        return run.logs[self.monitor]

    def better(self, value: float, reference: float | None) -> bool:
        """Whether a figure is an improvement on another; it is on none, and on NaN."""
        if reference is None or math.isnan(reference):
            return True
        return value - self.min_delta > reference if self.greater else value + self.min_delta < reference


@answering_methods
class EarlyStopping(Monitor):
    """Stops when a figure has not improved for `patience` epochs, as Keras's callback of that name does.

    With `restore_best` the state is in the end as it was after the best epoch: parameters, slots and counters. With a
    `baseline`, epochs count as improvements only where they are better than it. Before `start_from_epoch` nothing is
    looked at. `best` and `best_epoch` tell what the best figure was, `stopped_epoch` where it stopped (None: nowhere).

        train.EarlyStopping("val_accuracy", patience=5, restore_best=True)
    """

    remembered = ("best", "best_epoch", "wait", "stopped_epoch")

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        restore_best: bool = False,
        baseline: float | None = None,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        expect_count("EarlyStopping: patience", patience, 0)
        expect_count("EarlyStopping: start_from_epoch", start_from_epoch, 0)
        expect_figure("EarlyStopping: baseline", 0.0 if baseline is None else baseline)
        self.patience, self.restore_best, self.baseline = patience, restore_best, baseline
        self.start_from_epoch = start_from_epoch
        self.begin()

    def begin(self) -> None:
        """Nothing has been seen yet."""
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.wait = 0
        self._kept: Compiled | None = None  # the program with the best epoch's state

    def on_train_begin(self, run: Run) -> None:
        super().on_train_begin(run)
        self.begin()

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch < self.start_from_epoch:
            return
        value = self.figure(run)
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self.keep(run)
            if self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and run.epoch > 0:
            self.stopped_epoch = run.epoch
            run.stop()

    def keep(self, run: Run) -> None:
        """This epoch is the best so far."""
        self.best_epoch = run.epoch
        if self.restore_best:
            if self._kept is None:
                self._kept = run.compiled.new_state()
            self._kept.state.update(run.compiled.state.copy())

    def on_train_end(self, run: Run) -> None:
        if self._kept is not None:
            run.compiled.state.update(self._kept.state.copy())

    def save(self, path: Path) -> None:
        if self._kept is not None:
            self._kept.save(path)

    def restore(self, path: Path, compiled: Compiled) -> None:
        self._kept = compiled.new_state()
        self._kept.restore(path)


@answering_methods
class TerminateOnNaN(Monitor):
    """Stops when a figure, the loss by default, is NaN or infinite; looks whenever compiled code returns."""

    every = None

    def __init__(self, monitor: str = "loss"):
        super().__init__(monitor)

    def on_batch_end(self, run: Run) -> None:
        if not math.isfinite(run.logs.get(self.monitor, 0.0)):
            run.stop()


@answering_methods
class LearningRate(Monitor):
    """Writes the optimizer's learning rate: a function of the epoch, before each; or an `optim.Plateau`, after each.

    `variable` is the name in the state, by default the one there is. The rate is among the figures as
    `learning_rate`. Raises `ArgumentError` where the state has no such variable, or several.

        train.LearningRate(lambda epoch: 0.01 * 0.9**epoch)
        train.LearningRate(optim.Plateau(0.01, patience=3), monitor="val_loss")
    """

    adds = ("learning_rate",)
    remembered = ("progress",)

    def __init__(
        self, rate: Callable[[int], float] | optim.Plateau, monitor: str = "val_loss", variable: str | None = None
    ):
        super().__init__(monitor)
        if not callable(rate) and not isinstance(rate, optim.Plateau):
            message = f"LearningRate: {rate!r} is neither a function of the epoch nor an optim.Plateau"
            raise ArgumentError(message, site=self.site, help="a constant is the optimizer's own: optim.Adam(1e-3)")
        self.rate, self.variable = rate, variable

    def on_train_begin(self, run: Run) -> None:
        names = learning_rates(run.compiled)
        if self.variable is None and len(names) != 1:
            raise ArgumentError(
                f"LearningRate: the state has {len(names)} learning rates" + f": {', '.join(names)}" * bool(names),
                site=self.site,
                help="say which: variable=" if names else "a schedule is computed in the step, from its own count",
            )
        self.name = names[0] if self.variable is None else self.variable
        self.dtype = run.compiled.state[self.name].dtype
        if isinstance(self.rate, optim.Plateau):
            super().on_train_begin(run)

    def on_epoch_begin(self, run: Run) -> None:
        if not isinstance(self.rate, optim.Plateau):
            run.compiled.state[self.name] = self.dtype.type(self.number(self.rate(run.epoch)))
        run.logs["learning_rate"] = float(run.compiled.state[self.name])

    def on_epoch_end(self, run: Run) -> None:
        if isinstance(self.rate, optim.Plateau):
            run.compiled.state[self.name] = self.dtype.type(self.rate.update(self.figure(run)))

    def number(self, rate: object) -> float:
        """What a function gave, as a rate. Raises `ArgumentError` where it is no number."""
        if isinstance(rate, (int, float, np.generic, np.ndarray)) and np.ndim(rate) == 0:
            return float(rate)
        raise ArgumentError(f"LearningRate: the function gave {rate!r}, no number", site=self.site)

    @property
    def progress(self) -> dict[str, float]:
        """What a Plateau has come to; nothing of a function."""
        held = vars(self.rate).items() if isinstance(self.rate, optim.Plateau) else ()
        return {name: value for name, value in held if isinstance(value, (int, float))}

    @progress.setter
    def progress(self, values: dict[str, float]) -> None:
        vars(self.rate).update(values)


@answering_methods
class CSVLogger(Callback):
    """Writes the history as a table, a line an epoch; a resumed run goes on with it.

    Raises `ArgumentError` where the file can't be written.

        train.CSVLogger("run.csv")
    """

    def __init__(self, path: str | os.PathLike[str], separator: str = ","):
        self.path, self.separator, self.site = path_of("CSVLogger: path", path), separator, user_site()
        if not isinstance(separator, str) or not separator:
            raise ArgumentError(f"CSVLogger: separator={separator!r}", site=self.site, help='give text, such as ","')
        self._columns: list[str] = []

    def on_train_begin(self, run: Run) -> None:
        self.rewrite(run)

    def on_epoch_end(self, run: Run) -> None:
        if list(run.history) == self._columns:
            self.write("a", self.line(run, -1))
        else:
            self.rewrite(run)

    def rewrite(self, run: Run) -> None:
        """The whole table: it begins, or its columns are others."""
        self._columns = list(run.history)
        header = self.separator.join(("epoch", *self._columns)) + "\n"
        self.write("w", header + "".join(self.line(run, i) for i in range(len(run.history.epochs))))

    def line(self, run: Run, index: int) -> str:
        """One epoch's."""
        row = run.history.rows[index]
        values = (repr(float(row.get(name, math.nan))) for name in self._columns)
        return self.separator.join((str(run.history.epochs[index]), *values)) + "\n"

    def write(self, mode: Literal["a", "w"], text: str) -> None:
        """Add to the file, or make it anew."""
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise ArgumentError(f"{self.path} can't be written: {error.strerror}", site=self.site) from None


def learning_rates(compiled: Compiled) -> list[str]:
    """The names of the optimizers' learning rates in the state."""
    return [name for name in compiled.state if name.rpartition("/")[2] == "learning_rate"]


def expect_count(name: str, value: object, least: int) -> None:
    """Raise `ArgumentError` unless a value is an integer that is large enough."""
    if not is_count(value, least):
        message = f"{name}={value!r} is not an integer of at least {least}"
        raise ArgumentError(message, site=user_site())


def expect_figure(name: str, value: object) -> None:
    """Raise `ArgumentError` unless a value is a finite number."""
    if not is_number(value):
        raise ArgumentError(f"{name}={value!r} is not a number", site=user_site(), help="give a finite one")
