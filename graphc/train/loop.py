"""`fit` and `evaluate`: an entry over epochs of data, and over data once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import ArgumentError
from graphc.sites import user_site
from graphc.suggest import answering
from graphc.train.callbacks import Callback, expect_count
from graphc.train.checkpoint import Checkpoint
from graphc.train.data import BatchSize, Data, Part, Source, order_seed, source_of, split_off
from graphc.train.figures import VALIDATION, Figures, Means, figure_names, nearest
from graphc.train.history import History
from graphc.train.interrupt import Interrupts
from graphc.train.progress import Progress, progress_for
from graphc.train.run import Run

if TYPE_CHECKING:
    from graphc.runtime.call import BoundEntry
    from graphc.runtime.load import Compiled

#: How it is called.
CALL = "train.fit(compiled, (x, y), epochs=10, batch_size=32, validation_data=(x_val, y_val))"


@answering(
    CALL,
    verbose="progress=False is quiet, True shows how far it is",
    sample_weight='train.supervised(…, weights=gr.f32["N"]), and the data (x, y, weights)',
    class_weight='train.supervised(…, weights=gr.f32["N"]), and the data (x, y, class_weights[y])',
    validation_freq="a train.Callback of your own can call train.evaluate",
    validation_steps="give as much validation_data as is to be seen",
    workers="any iterable of batches may be the data",
    x=CALL,
    y=CALL,
)
def fit(
    compiled: Compiled,
    data: Data,
    *,
    epochs: int = 1,
    batch_size: BatchSize = 32,
    validation_data: Data = None,
    validation_split: float = 0.0,
    validation_batch_size: BatchSize = 256,
    shuffle: bool | int = True,
    callbacks: Sequence[Callback] = (),
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    step: str = "train_step",
    evaluate: str = "evaluate",
    progress: bool | None = None,
    resume: bool = False,
) -> History:
    """Train a compiled program for some epochs; returns the `History` of its figures.

    `data` are the arguments of the entry `step`: a tuple or dict of arrays (memory maps too), cut into minibatches in
    compiled code; or an iterable of batches, each a tuple or dict, iterated again for every epoch; or a function from
    an epoch's number to such an iterable. A generator serves one epoch, or with `steps_per_epoch` any number.
    `batch_size` "full" or None takes all rows at once. `shuffle` True, or a seed, gives each epoch an order of its own
    that depends on the seed and the epoch's number only; iterables have their own order.

    After each epoch the entry `evaluate` is run over `validation_data`, or over the last rows of the arrays, a share of
    `validation_split`; its figures are named `val_…`. Figures are the scalars that entries give, as means over rows.

    `callbacks` are called between batches and epochs. `resume` goes on from the newest checkpoint of the `Checkpoint`
    among them, to the same bits as if the run had never stopped. Ctrl-C ends the run after the batches that compiled
    code is at, and keeps the state; a second one raises `KeyboardInterrupt`. `progress` None shows a bar where stdout
    is a terminal and rich is installed; True prints a line an epoch where it is not.

    Raises `ArgumentError` for entries, arguments and settings that do not fit, `ShapeError` for arrays that do not,
    before anything is trained.

        history = train.fit(digits, (x, y), epochs=20, validation_split=0.1, callbacks=[train.EarlyStopping()])
        print(history["val_loss"][-1])
    """
    stepper, wanted = stepper_of(compiled, step), validation_data is not None or bool(validation_split)
    judge = judge_of(compiled, evaluate, "evaluate") if wanted else None
    if judge is not None and validation_data is None:
        data, validation_data = split_off(stepper, data, validation_split, judge)
    seed = order_seed(shuffle)
    expect_count("fit: epochs", epochs, 0)
    expect_count("fit: initial_epoch", initial_epoch, 0)
    expect_count("fit: steps_per_epoch", 1 if steps_per_epoch is None else steps_per_epoch, 1)
    several = epochs - initial_epoch > 1
    source = source_of(stepper, data, batch_size, seed, steps_per_epoch, several=several)
    validation = None
    if judge is not None:
        validation = source_of(
            judge, validation_data, validation_batch_size, None, role="validation_data", several=several
        )
    expect_callbacks(callbacks)
    run = Run(compiled, epochs, initial_epoch, known_figures(stepper, judge, callbacks))
    run.batches = source.batches
    settings = {"rows": source.rows, "batches": source.batches, "shuffle": seed}
    return Fitting(run, source, validation, callbacks, progress_for(progress, run, source)).fit(settings, resume)


class Fitting:
    """A call of `fit` whose arguments are checked."""

    def __init__(
        self, run: Run, source: Source, validation: Source | None, callbacks: Sequence[Callback], progress: Progress
    ):
        self.run, self.source, self.validation, self.progress = run, source, validation, progress
        #: Checkpoints come last: they keep what the others did.
        self.callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))
        self.watchers = [c for c in self.callbacks if watches_batches(c)]
        self.strides = sorted({c.every for c in self.watchers if c.every is not None})

    def fit(self, settings: dict[str, Any], resume: bool) -> History:
        """All epochs."""
        run = self.run
        checkpoints = [c for c in self.callbacks if isinstance(c, Checkpoint)]
        for checkpoint in checkpoints:
            checkpoint.settings, checkpoint.others = settings, self.callbacks
        folder = newest(checkpoints) if resume else None
        if folder is not None:
            checkpoints[0].read(folder, run)
        self.tell("on_train_begin")
        if folder is not None:
            checkpoints[0].restore_others(folder, run)
        with Interrupts() as interrupts, self.progress:
            self.interrupts = interrupts
            try:
                while run.epoch < run.epochs and not run.stopped and not interrupts.raised:
                    self.epoch()
            finally:
                run.history.steps = run.step
            if interrupts.raised:
                run.history.interrupted = True
                self.tell("on_interrupt")
        self.tell("on_train_end")
        return run.history

    def epoch(self) -> None:
        """One epoch, or the rest of one, with its validation."""
        run = self.run
        if run.batch == 0 and not run.means.rows:
            run.logs = {}
            self.tell("on_epoch_begin")
        self.source.begin(run.epoch, run.batch, run.step)
        while not self.interrupts.raised and not run.stopped:
            part = self.source.advance(self.until_cut())
            if part is None:
                break
            self.count(part)
        else:
            return
        run.batches = run.batch
        if self.validation is not None:
            figures = means_over(self.validation, run.epoch, self.interrupts)
            if self.interrupts.raised:
                return
            run.logs.update({VALIDATION + name: value for name, value in figures.items()})
        run.history.append(run.epoch, run.logs)
        self.tell("on_epoch_end")
        self.progress.epoch_ended(run)
        run.epoch, run.batch, run.means = run.epoch + 1, 0, Means()

    def count(self, part: Part) -> None:
        """Take in what compiled code has done."""
        run = self.run
        run.batch, run.step = run.batch + part.batches, run.step + part.batches
        run.means.add(part.figures, part.rows)
        run.logs.update(run.means.result())
        self.progress.advanced(run, part.batches, part.rows)
        for watcher in self.watchers:
            if watcher.every is None or run.step % watcher.every == 0:
                watcher.on_batch_end(run)

    def until_cut(self) -> int:
        """How many batches may go by until a callback wants to look."""
        return min((stride - self.run.step % stride for stride in self.strides), default=self.source.most)

    def tell(self, moment: str) -> None:
        """Call every callback."""
        for callback in self.callbacks:
            getattr(callback, moment)(self.run)


def newest(checkpoints: Sequence[Checkpoint]) -> Path | None:
    """The checkpoint to resume from; None where none has been written yet."""
    if not checkpoints:
        message = "resume=True needs a checkpoint to go on from"
        raise ArgumentError(message, site=user_site(), help='callbacks=[train.Checkpoint("run")]')
    return checkpoints[0].latest()


@answering("train.evaluate(compiled, (x, y))", verbose="leave it out: it is quiet")
def evaluate(compiled: Compiled, data: Data, *, batch_size: BatchSize = 256, entry: str = "evaluate") -> Figures:
    """The figures of an entry over data, as means over rows: `{"loss": …, "accuracy": …}`.

    `data` are the entry's arguments as for `fit`, in order.

        train.evaluate(digits, (x, y))["accuracy"]
    """
    return means_over(source_of(judge_of(compiled, entry, "entry"), data, batch_size, None))


def means_over(source: Source, epoch: int = 0, interrupts: Interrupts | None = None) -> Figures:
    """The means of what an entry gives, over all rows of an epoch, or those before an interrupt."""
    means = Means()
    source.begin(epoch)
    while not (interrupts and interrupts.raised) and (part := source.advance(source.most)) is not None:
        means.add(part.figures, part.rows)
    return means.result()


def entry_of(compiled: Compiled, name: str, role: str) -> BoundEntry:
    """An entry by name. Raises `ArgumentError` with the names there are."""
    entries = getattr(compiled, "entries", None)
    if entries is None or not hasattr(compiled, "state"):
        raise ArgumentError(
            f"a {type(compiled).__name__} is no compiled program",
            site=user_site(),
            help="pass program.compile(); train.supervised makes a program of a network",
        )
    if not isinstance(name, str):
        message = f"{role} is a {type(name).__name__}, not the name of an entry"
        raise ArgumentError(message, site=user_site(), help=f"there are {', '.join(entries)}")
    if name not in entries:
        message = f"the program has no entry {name!r}"
        raise ArgumentError(message, site=user_site(), help=f"{nearest(name, list(entries))}; {role}= names it")
    found: BoundEntry = entries[name]
    return found


def stepper_of(compiled: Compiled, name: str) -> BoundEntry:
    """The entry that trains. Raises `ArgumentError` where it writes no state."""
    found = entry_of(compiled, name, "step")
    if found.entry.pure:
        there = ", ".join(entry.name for entry in compiled.signature.entries if not entry.pure) or "none"
        message = f"{name} writes no state: it trains nothing"
        raise ArgumentError(message, site=user_site(), help=f"those that do: {there}; step= names one")
    return found


def judge_of(compiled: Compiled, name: str, role: str) -> BoundEntry:
    """The entry that evaluates. Raises `ArgumentError` where it gives no figures."""
    found = entry_of(compiled, name, role)
    if not any(figure_names(found)):
        message = f"{name} gives no figures: none of its outputs is a scalar"
        raise ArgumentError(message, site=user_site(), help=f"{role}= names another entry")
    return found


def known_figures(step: BoundEntry, judge: BoundEntry | None, callbacks: Sequence[Callback]) -> tuple[str, ...]:
    """The figures that an epoch will have."""
    validated = [] if judge is None else [VALIDATION + name for name in figure_names(judge) if name is not None]
    added = [name for callback in callbacks for name in callback.adds]
    return tuple(n for n in (*figure_names(step), *validated, *added) if n is not None)


def watches_batches(callback: Callback) -> bool:
    """Whether a callback says what to do after batches."""
    return getattr(callback.on_batch_end, "__func__", None) is not Callback.on_batch_end


def expect_callbacks(callbacks: Sequence[Callback]) -> None:
    """Raise `ArgumentError` unless all are callbacks."""
    if not isinstance(callbacks, Iterable):
        raise ArgumentError("callbacks is no list", site=user_site(), help="callbacks=[train.EarlyStopping()]")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            message = f"{callback!r} is no train.Callback"
            raise ArgumentError(message, site=user_site(), help="subclass train.Callback, or use train.Lambda")
        expect_count(f"{type(callback).__name__}: every", 1 if callback.every is None else callback.every, 1)
