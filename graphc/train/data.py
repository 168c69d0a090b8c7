"""Where batches come from: arrays that compiled code cuts up, files that are gathered from, iterables of batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.numbers import is_count
from graphc.ir.types import dtype_named
from graphc.order import shuffled
from graphc.sites import user_site
from graphc.train.figures import Figures, figures_of

if TYPE_CHECKING:
    from graphc.runtime.call import BoundEntry

Batch: TypeAlias = Any
"""A tuple or list of an entry's arguments in order, a dict of them by name, or the one argument itself."""
Data: TypeAlias = Any
"""A tuple or dict of arrays, one array, an iterable of batches, or a function that makes one from an epoch's number."""
BatchSize: TypeAlias = int | Literal["full"] | None

#: What to do where batches are used up.
AGAIN = "give a list, a function from an epoch's number to an iterable, or steps_per_epoch for an endless generator"
#: The seed of an epoch that keeps the order; seeds are below it.
SEEDS = (1 << 64) - 1


class Part(NamedTuple):
    """Some batches that an entry has run over: how many, their rows, and the means of its figures over these."""

    batches: int
    rows: int
    figures: Figures


class Source:
    """The base of what feeds an entry. `begin` an epoch, then `advance` until it gives None."""

    #: How many batches an epoch has, and how many rows; None where only trying tells.
    batches: int | None = None
    rows: int | None = None
    #: The most batches that run at once.
    most = 1

    def begin(self, epoch: int, batch: int = 0, step: int = 0) -> None:
        """An epoch is next, from one of its batches on, which is the run's batch number `step`."""
        raise NotImplementedError

    def advance(self, most: int) -> Part | None:
        """Run over the next batches, `most` at most; None where the epoch is over."""
        raise NotImplementedError


class Arrays(Source):
    """Arrays in memory, cut into minibatches in compiled code."""

    def __init__(self, entry: BoundEntry, arguments: Sequence[Any], batch_size: int, seed: int | None):
        self._entry = entry
        self._minibatches = entry.minibatches(*arguments, batch_size=batch_size)
        self.batches, self.rows, self.most = len(self._minibatches), self._minibatches.rows, self._minibatches.chunk
        self._seed = seed

    def begin(self, epoch: int, batch: int = 0, step: int = 0) -> None:
        self._next, self._shuffle = batch, epoch_seed(self._seed, epoch)

    def advance(self, most: int) -> Part | None:
        first = self._next
        count = min(most, self._minibatches.chunk, len(self._minibatches) - first)
        if count < 1:
            return None
        outputs = self._minibatches.run(self._shuffle, first, count)
        self._next += count
        return Part(count, self._minibatches.rows_in(first, count), figures_of(self._entry, outputs))


class Gathered(Source):
    """Arrays of which Python gathers the rows of a batch: files in another form than the entry's, other layouts."""

    def __init__(self, entry: BoundEntry, arguments: Sequence[Any], batch_size: int, seed: int | None):
        self._entry, self._arguments, self._seed, self._size = entry, arguments, seed, batch_size
        self._batched = in_front(entry)
        self.rows = same_rows(entry, arguments)
        self.batches = -(-self.rows // batch_size)
        if any(isinstance(a, np.memmap) for a in arguments):
            entry.check(*self.batch(slice(0, batch_size)))
        else:
            entry.check(*arguments, batch_size=batch_size)

    def batch(self, chosen: Any) -> list[Any]:
        """The arguments with some of their rows."""
        return [a[chosen] if cut else a for a, cut in zip(self._arguments, self._batched, strict=True)]

    def begin(self, epoch: int, batch: int = 0, step: int = 0) -> None:
        self._next, self._shuffle = batch, epoch_seed(self._seed, epoch)

    def advance(self, most: int) -> Part | None:
        rows = self.rows or 0
        first, last = self._next * self._size, min(rows, (self._next + 1) * self._size)
        if first >= rows:
            return None
        self._next += 1
        chosen = slice(first, last) if self._shuffle is None else shuffled(np.arange(first, last), rows, self._shuffle)
        return Part(1, last - first, figures_of(self._entry, self._entry(*self.batch(chosen))))


class Batches(Source):
    """An iterable of batches; iterated again for each epoch, unless it is its own iterator and there is no telling."""

    def __init__(self, entry: BoundEntry, data: Data, steps: int | None, role: str):
        self._entry, self._data, self._steps, self._role = entry, data, steps, role
        self._endless = steps is not None and isinstance(data, Iterator)
        self._started = False
        self.batches = steps if steps is not None else len(data) if hasattr(data, "__len__") else None

    def begin(self, epoch: int, batch: int = 0, step: int = 0) -> None:
        if not (self._endless and self._started):
            self._iterator = self._iterated(epoch)
            for _ in range(step if self._endless else batch):
                next(self._iterator, None)
        self._started = True
        self._epoch, self._next = epoch, batch

    def advance(self, most: int) -> Part | None:
        if self._next == self._steps:
            return None
        batch = next(self._iterator, self)
        if batch is self:
            if self._next == 0 or self._steps is not None:
                raise self.dry()
            return None
        self._next += 1
        args, kwargs = arguments_of(self._entry, batch, self._role)
        figures = figures_of(self._entry, self._entry(*args, **kwargs))
        return Part(1, rows_of(self._entry, args, kwargs), figures)

    def _iterated(self, epoch: int) -> Iterator[Batch]:
        """An epoch's batches from the first."""
        batches = self._data(epoch) if callable(self._data) else self._data
        if not isinstance(batches, Iterable):
            message = f"{self._role} is a function that gave a {type(batches).__name__}, no iterable of batches"
            raise ArgumentError(message, site=user_site(), help="def batches(epoch): yield x, y")
        return iter(batches)

    def dry(self) -> ArgumentError:
        """What to raise where there are fewer batches than there should be."""
        wanted = "" if self._steps is None else f" of {self._steps}"
        return ArgumentError(
            f"{self._role} ran dry: epoch {self._epoch} got {self._next}{wanted} batches",
            site=user_site(),
            help=AGAIN,
        )


class Limited(Source):
    """The first batches of each epoch of another source."""

    def __init__(self, source: Source, batches: int):
        self._source, self.most = source, source.most
        self.batches, self.rows = min(batches, source.batches or batches), source.rows

    def begin(self, epoch: int, batch: int = 0, step: int = 0) -> None:
        self._source.begin(epoch, batch, step)
        self._left = (self.batches or 0) - batch

    def advance(self, most: int) -> Part | None:
        part = self._source.advance(min(most, self._left)) if self._left else None
        self._left -= part.batches if part else 0
        return part


def source_of(
    entry: BoundEntry, data: Data, batch_size: BatchSize, seed: int | None, steps: int | None = None, *,
    role: str = "the data", several: bool = False,
) -> Source:  # fmt: skip
    """What feeds an entry with some data. `seed` None keeps the order; `steps` are the batches of an epoch.

    `several` says that there will be more epochs than one. Raises `ArgumentError` for what is no data, or arguments
    that the entry does not have; `ShapeError` for no rows.
    """
    if not is_arrays(data):
        if not (callable(data) or isinstance(data, Iterable)):
            message = f"{role} is a {type(data).__name__}"
            raise ArgumentError(message, site=user_site(), help="give a tuple of arrays, or an iterable of batches")
        if callable(data):
            expect_epoch_function(data, role)
        if several and steps is None and isinstance(data, Generator):
            raise ArgumentError(f"{role} is a generator, which one epoch uses up", site=user_site(), help=AGAIN)
        return Batches(entry, data, steps, role)
    arguments = bound(entry, data, role)
    rows = same_rows(entry, arguments)
    if not rows:
        raise ShapeError(f"{role} has no rows", site=user_site(), help=f"{entry.entry.name} needs at least one")
    size = whole_size(batch_size, rows)
    compiled = entry.entry.epoch and not any(foreign(entry, i, a) for i, a in enumerate(arguments))
    source: Source = (Arrays if compiled else Gathered)(entry, arguments, size, seed)
    return source if steps is None else Limited(source, steps)


def is_arrays(data: Data) -> bool:
    """Whether data are arrays with all rows, not batches."""
    return isinstance(data, (tuple, dict)) or hasattr(data, "__array__") or hasattr(data, "__dlpack__")


def arguments_of(entry: BoundEntry, batch: Batch, role: str) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """A batch as arguments of a call."""
    if isinstance(batch, Mapping):
        return (), batch
    if isinstance(batch, (tuple, list)):
        return batch, {}
    if len(entry.entry.inputs) != 1:
        names = ", ".join(i.name for i in entry.entry.inputs)
        raise ArgumentError(
            f"{role} gave a {type(batch).__name__} for a batch",
            site=user_site(),
            help=f"a batch is a tuple ({names}) or a dict; whole arrays are given as a tuple, not as a list",
        )
    return (batch,), {}


def bound(entry: BoundEntry, data: Data, role: str) -> list[Any]:
    """Arrays as an entry's arguments, in order."""
    args, kwargs = arguments_of(entry, data, role)
    names = [i.name for i in entry.entry.inputs]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if len(args) > len(names) or sorted(given) != sorted(names):
        have = ", ".join(given) if kwargs else f"{len(args)} arrays"
        raise ArgumentError(
            f"{role} has {have}, {entry.entry.name} takes {', '.join(names)}",
            site=user_site(),
            help="give an array for each argument, in order as a tuple, or by name as a dict",
        )
    return [array_of(given[name], f"{role}: {name}") for name in names]


def array_of(value: Any, role: str) -> Any:
    """A value with a shape, whose rows can be chosen: an array of any library, or what NumPy makes of it."""
    if isinstance(value, np.ndarray) or hasattr(value, "__dlpack__"):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ArgumentError(f"{role} is no array: {error}", site=user_site()) from None


def in_front(entry: BoundEntry) -> list[bool]:
    """Which arguments have the batch dimension, in front."""
    batch = entry.entry.batch
    return [batch is not None and i.shape[:1] == (batch,) for i in entry.entry.inputs]


def same_rows(entry: BoundEntry, arguments: Sequence[Any]) -> int:
    """How many rows arrays have. Raises `ShapeError` where they differ; an entry without a batch takes all as one."""
    counts = {
        i.name: int(a.shape[0]) if len(a.shape) else 0
        for i, a, cut in zip(entry.entry.inputs, arguments, in_front(entry), strict=True) if cut
    }  # fmt: skip
    if len(set(counts.values())) > 1:
        message = "; ".join(f"{name} has {count} rows" for name, count in counts.items())
        raise ShapeError(f"{entry.entry.name}: {message}", site=user_site(), help="give as many of each")
    return next(iter(counts.values()), 1)


def rows_of(entry: BoundEntry, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """How many rows a batch has, which its figures weigh with."""
    for index, (wanted, cut) in enumerate(zip(entry.entry.inputs, in_front(entry), strict=True)):
        value = args[index] if index < len(args) else kwargs.get(wanted.name)
        if cut and value is not None:
            return len(value)
    return 1


def foreign(entry: BoundEntry, index: int, array: Any) -> bool:
    """Whether a file in memory would have to be read whole, for another dtype or another layout."""
    if not isinstance(array, np.memmap):
        return False
    return array.dtype != dtype_named(entry.entry.inputs[index].dtype).numpy or not array.flags.carray


def whole_size(batch_size: BatchSize, rows: int) -> int:
    """Rows of a batch: those asked for, or all."""
    if batch_size is None or batch_size == "full":
        return rows
    if not is_count(batch_size, 1):
        message = f"batch_size={batch_size!r} is not a positive integer"
        raise ArgumentError(message, site=user_site(), help='"full", or None, takes all rows at once')
    return int(batch_size)


def epoch_seed(seed: int | None, epoch: int) -> int | None:
    """The seed of an epoch's order: seed 0 gives epoch e the order of `entry.epoch(…, shuffle=e)`."""
    return None if seed is None else ((seed << 32) + epoch) % SEEDS


def order_seed(shuffle: bool | int) -> int | None:
    """What `shuffle` means: True is seed 0, False keeps the order, an integer is a seed."""
    if isinstance(shuffle, bool):
        return 0 if shuffle else None
    if not isinstance(shuffle, (int, np.integer)):
        raise ArgumentError(f"shuffle={shuffle!r}", site=user_site(), help="True, False, or an integer as a seed")
    return int(shuffle)


def expect_epoch_function(data: Callable[..., Any], role: str) -> None:
    """Raise `ArgumentError` unless a function can be called with the number of an epoch."""
    try:
        inspect.signature(data).bind(0)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{role} is a function that does not take the number of an epoch",
            site=user_site(),
            help="def batches(epoch): ...; it gives that epoch's batches, from the first",
        ) from None


def split_off(
    entry: BoundEntry, data: Data, share: float, other: BoundEntry
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays for an entry without their last rows, and those rows for another one, by the names of its arguments.

    ⌊rows·(1 − share)⌋ stay, as in Keras.
    """
    if not is_arrays(data):
        raise ArgumentError(
            "validation_split needs arrays", site=user_site(), help="for iterables give validation_data"
        )
    if not isinstance(share, float) or not 0 < share < 1:
        raise ArgumentError(f"validation_split={share!r} is not between 0 and 1", site=user_site())
    arguments = bound(entry, data, "the data")
    rows = same_rows(entry, arguments)
    kept = int(rows * (1 - share))
    if not 0 < kept < rows:
        message = f"validation_split={share} of {rows} rows leaves {kept} to train on and {rows - kept} to validate on"
        raise ShapeError(message, site=user_site(), help="give validation_data")
    names = [i.name for i in entry.entry.inputs]
    batched = in_front(entry)
    first = {n: a[:kept] if cut else a for n, a, cut in zip(names, arguments, batched, strict=True)}
    rest = {n: a[kept:] if cut else a for n, a, cut in zip(names, arguments, batched, strict=True)}
    wanted = [i.name for i in other.entry.inputs]
    lacking = [name for name in wanted if name not in rest]
    if lacking:
        message = f"{other.entry.name} takes {', '.join(lacking)}, which {entry.entry.name} does not"
        raise ArgumentError(message, site=user_site(), help="give validation_data instead of validation_split")
    return first, {name: rest[name] for name in wanted}
