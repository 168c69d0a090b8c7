"""A training run as callbacks see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphc.train.figures import Figures, Means
from graphc.train.history import History

if TYPE_CHECKING:
    from graphc.runtime.load import Compiled


class Run:
    """A training run in progress. Callbacks read it, may add to `logs`, write `compiled.state`, and `stop()` it."""

    def __init__(self, compiled: Compiled, epochs: int, epoch: int, known: tuple[str, ...]):
        #: The program that is trained.
        self.compiled = compiled
        #: Where the training ends, and the number of the epoch it is at, from 0.
        self.epochs, self.epoch = epochs, epoch
        #: How many batches of this epoch are done, and of all epochs; how many an epoch has (None: not known yet).
        self.batch = self.step = 0
        self.batches: int | None = None
        #: What this epoch's figures are made of.
        self.means = Means()
        #: The figures of this epoch so far, by name: `loss`, `accuracy`, at its end `val_loss` and the like.
        self.logs: Figures = {}
        #: The epochs that are done.
        self.history = History()
        #: The figures that `logs` will hold at an epoch's end, as far as entries and callbacks say.
        self.known = known
        #: Whether a callback has stopped the run.
        self.stopped = False

    @property
    def rows(self) -> int:
        """How many rows this epoch has trained."""
        return self.means.rows

    @property
    def ended(self) -> bool:
        """Whether this epoch is in the history."""
        return self.history.epochs[-1:] == [self.epoch]

    def stop(self) -> None:
        """End the run: after this epoch, or after this batch where a callback says so in `on_batch_end`."""
        self.stopped = True
