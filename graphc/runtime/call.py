"""Calling an entry from Python: one call, a loop over the same arguments, an epoch, a map over batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from graphc.errors import ArgumentError, GraphcError, ShapeError, UnsupportedError
from graphc.records import Record
from graphc.runtime.arguments import Array, Cast, bind, check_range, infer_symbols, integer, read_inputs, type_text
from graphc.runtime.artifact import Artifact, Function, epoch_symbols
from graphc.runtime.dims import symbols_of
from graphc.runtime.epochs import KEEP_ORDER, Means, epoch_fault, permuted, work
from graphc.runtime.fast import SHORT_SECONDS, Fast, install
from graphc.runtime.memory import address_of
from graphc.runtime.results import Results, apart, results_for, results_into
from graphc.runtime.signature import Entry
from graphc.runtime.state import State
from graphc.runtime.status import Status, index_error, status_error
from graphc.sites import user_site
from graphc.suggest import answering_methods

#: The variable that counts the epochs shuffled with `shuffle=True`.
EPOCH_COUNTER = "graphc/epoch"
#: How much work an epoch runs before it looks for an interrupt, see `work`: some tens of milliseconds. No measured
#: time, so that the means it combines have the same bits in every run.
EPOCH_CHUNK = 1 << 30
#: Seconds that `repeat` runs before it looks for an interrupt.
REPEAT_SECONDS = 0.05
SIZE_MAX = (1 << 64) - 1


class Call(Record):
    """A call being made: its arguments as compiled code reads them, its dimensions, its results."""

    inputs: list[Array]
    symbols: dict[str, int]
    results: Results

    def part(self, rows: slice | Array, count: int, returned: Sequence[Array]) -> Call:
        """This call with so many rows of the batch, whose results go to some arrays."""
        entry = self.results.entry
        batch, symbols = str(entry.batch), dict(self.symbols)
        symbols[batch] = count
        inputs = [a[rows] if i.shape[:1] == (batch,) else a for a, i in zip(self.inputs, entry.inputs, strict=True)]
        return Call(inputs, symbols, results_into(entry, symbols, returned))


class Origin(Protocol):
    """An entry as it was written, which can be traced again."""

    def values(self, *args: Any, state: Mapping[str, Array] | None, **options: Any) -> dict[str, Array]:
        """What `gr.tap` names in it."""


#: What makes the error of numbers that went bad: of the arguments, the state before the step, and which step it was.
Explain = Callable[[Sequence[Array], Mapping[str, Array], str], GraphcError]


@answering_methods
class BoundEntry:
    """An entry point over one state. It keeps the code and the state alive."""

    #: `_address` sorts first, which makes it the first slot: the trampoline finds the entry's descriptor there.
    __slots__ = (
        "__weakref__", "_address", "_artifact", "_fast", "_function", "_need_of", "cast", "entry", "explain", "origin",
        "printer", "state",
    )  # fmt: skip

    def __init__(self, entry: Entry, state: State, cast: Cast = None):
        self.entry, self.state, self.cast = entry, state, cast
        #: The entry of the Program that it was compiled from; None where it was loaded from a file.
        self.origin: Origin | None = None
        #: Names the operation whose numbers went bad; None where nothing is known but the file.
        self.explain: Explain | None = None
        #: Prints what a call gave for `gr.debug_print`.
        self.printer: Callable[[Sequence[Array]], None] | None = None
        self._artifact: Artifact = state.artifact
        self._function = self._artifact.entry(entry)
        self._need_of = self._artifact.workspace(entry)
        self._fast = Fast(entry, state.cell, self._function)
        self._address = self._fast.address

    def like(self, other: BoundEntry) -> None:
        """Know of its source what the same entry over another state does."""
        self.origin, self.explain, self.printer = other.origin, other.explain, other.printer

    def __repr__(self) -> str:
        takes = ", ".join(f"{i.name}: {type_text(i.dtype, i.shape)}" for i in self.entry.inputs)
        gives = ", ".join(f"{o.name}: {type_text(o.dtype, o.shape)}" for o in self.entry.returned)
        return f"<entry {self.entry.name}({takes}) -> {gives}>"

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Run once. Arguments are arrays (NumPy, DLPack, buffers), by position or name; Python numbers for rank 0.

        `out` has the structure of the outputs: arrays to write into, None where one is to be made. Returns the
        outputs, rank 0 as NumPy scalars.
        """
        return self._call(*args, out=out, **kwargs)

    def _call(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """`__call__` in Python. Where that is the trampoline, it takes short calls and leaves the others to this."""
        call = self._prepare(args, kwargs, out)
        need = self._need(call.symbols)
        with self._alone():
            start = time.perf_counter()
            self._enter(self._function, call, need, self._dims(call.symbols))
            seconds = time.perf_counter() - start
        short = seconds < SHORT_SECONDS and self._fast.eligible and self.printer is None
        if short and trampoline_installed(self):
            self.state.reserve(need)
            self._fast.allow(sum(a.size for a in call.inputs))
        return call.results.tree()

    def repeat(self, n: int, /, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """Run n times on the same arguments in compiled code; returns what the last run does. n is at least 1."""
        self._require("repeat", self.entry.repeat)
        n = positive(n, f"{self.entry.name}.repeat: n")
        call = self._prepare(args, kwargs, out)
        need, dims = self._need(call.symbols), self._dims(call.symbols)
        done, count = 0, 1
        with self._alone():
            for step in range(n) if self.stepwise else ():
                self._enter(self._function, call, need, dims, where=f", step {step} of {n}")
                done = n
            while done < n:
                count = min(count, n - done)
                start = time.perf_counter()
                self._enter(self._artifact.repeat(self.entry), call, need, dims, (count,))
                done += count
                count = next_count(count, time.perf_counter() - start)
        return call.results.tree()

    def epoch(
        self, *args: Any, batch_size: int = 32, shuffle: int | bool | None = None, out: Any = None, **kwargs: Any
    ) -> Any:
        """Run over all rows in minibatches, in compiled code; returns the outputs' means over the rows.

        `shuffle`: None or False keeps the order, an integer is the seed of a permutation, True takes the seed from
        the state's epoch counter and increments that. The last batch may be smaller. Arguments without the batch
        dimension are passed to every batch. An interrupt takes effect between batches.
        """
        return Minibatches(self, args, kwargs, batch_size, out).run(shuffle)

    def minibatches(self, *args: Any, batch_size: int = 32, **kwargs: Any) -> Minibatches:
        """Rows cut into minibatches, whose arguments are checked once: for epochs that are run part by part.

            batches = digits.train_step.minibatches(x, y, batch_size=32)
            for first in range(0, len(batches), 10):
                print(batches.run(shuffle=7, first=first, count=10)["loss"])
        """
        return Minibatches(self, args, kwargs, batch_size)

    def map(self, *args: Any, batch_size: int = 256, **kwargs: Any) -> Any:
        """Run over all rows in batches and concatenate the outputs; for entries that write no state."""
        entry = self.entry
        fault = map_fault(entry)
        if entry.batch is None or fault is not None:
            raise ArgumentError(f"{entry.name}.map: {fault}", site=user_site(), help=f"call {entry.name}(…) itself")
        whole = self._prepare(args, kwargs, None, free=entry.batch)
        rows = whole.symbols[entry.batch]
        batch_size = positive(batch_size, f"{entry.name}.map: batch_size")
        self._batches(rows, batch_size, whole.symbols)
        for start in range(0, rows, batch_size):
            end = min(rows, start + batch_size)
            part = whole.part(slice(start, end), end - start, [a[start:end] for a in whole.results.returned])
            self._run(part, f", batch {start // batch_size}")
        return whole.results.tree()

    def values(self, *args: Any, **kwargs: Any) -> dict[str, Array]:
        """What `gr.tap` names in it, by name, on some arguments and the state as it is, which stays so.

        Compiled when it is first asked for. Raises `UnsupportedError` for a program that was loaded from a file.
        """
        if self.origin is None:
            raise UnsupportedError(
                f"{self.entry.name}.values: a loaded program holds no source to look into",
                site=user_site(),
                help="ask the program that program.compile() gives",
            )
        return self.origin.values(*args, state=self.state, **kwargs)

    def check(self, *args: Any, batch_size: int | None = None, **kwargs: Any) -> None:
        """Raise what a call would that has these arguments, or batches of their rows; run nothing."""
        batch = self.entry.batch if batch_size is not None else None
        call = self._prepare(args, kwargs, None, free=batch)
        if batch is not None and batch_size is not None:
            self._batches(call.symbols[batch], positive(batch_size, f"{self.entry.name}: batch_size"), call.symbols)
        fault = index_error(self.entry, call.inputs)
        if fault is not None:
            raise fault

    @property
    def stepwise(self) -> bool:
        """Whether loops return to Python after each step: to print, or to say which one failed."""
        return self.printer is not None or self.state.signature.check is not None

    # -- parts of a call --------------------------------------------------------------------------------------------

    def _require(self, loop: str, there: bool) -> None:
        """The file has this loop of the entry."""
        if not there:
            fault = epoch_fault(self.entry) if loop == "epoch" else "only entries that write state repeat"
            raise ArgumentError(
                f"{self.entry.name}.{loop}: {fault}",
                site=user_site(),
                help=f"call {self.entry.name}(…)" + (", or .map(…)" if map_fault(self.entry) is None else ""),
            )

    def _prepare(self, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, free: str | None = None) -> Call:
        """Arguments, dimensions and results of a call; no input shares memory with what is written."""
        inputs = read_inputs(self.entry, bind(self.entry, args, kwargs), self.cast)
        symbols = infer_symbols(self.state.signature, self.entry, inputs, free)
        results = results_for(self.entry, symbols, out, self.state.memory)
        return Call(apart(inputs, [results.arrays[i] for i in results.given], self.state.memory), symbols, results)

    def _alone(self) -> AbstractContextManager[None]:
        """Entries that write the state do so one at a time."""
        return nullcontext() if self.entry.pure else self.state.exclusive()

    def _dims(self, symbols: Mapping[str, int]) -> list[int]:
        return [symbols[s] for s in self.entry.symbols]

    def _need(self, symbols: Mapping[str, int]) -> int:
        """The workspace's size at these dimensions."""
        return self._checked(self._need_of(*self._dims(symbols)), symbols)

    def _checked(self, need: int, symbols: Mapping[str, int]) -> int:
        if need == SIZE_MAX:
            raise status_error(Status.SIZE, "a dimension is not one it takes", self.entry, [], symbols)
        return need

    def _batches(self, rows: int, batch_size: int, symbols: Mapping[str, int]) -> int:
        """How many batches the rows make; every one, the last too, has a size that the entry takes."""
        name = str(self.entry.batch)
        if rows == 0 and not self.entry.pure:
            message = f"{self.entry.name}: an epoch needs at least one row"
            raise ShapeError(message, site=user_site(), help="leave the epoch out where there are no rows")
        full, last = divmod(rows, batch_size)
        for size in [batch_size] * (full > 0) + [last] * (last > 0):
            check_range(self.state.signature, self.entry, name, {**symbols, name: size})
        return full + (last > 0)

    def _seed(self, shuffle: int | bool | None) -> int:
        """The seed that a `shuffle` argument means; the caller excludes writers."""
        if shuffle is None or shuffle is False:
            return KEEP_ORDER
        if shuffle is not True:
            return integer(shuffle, f"{self.entry.name}.epoch: shuffle") % KEEP_ORDER
        return int(self.state.read(self.state.variable(EPOCH_COUNTER))) % KEEP_ORDER

    def _run(self, call: Call, where: str) -> None:
        """Run once; `where` is the part of the loop around it."""
        self._enter(self._function, call, self._need(call.symbols), self._dims(call.symbols), where=where)

    def _enter(
        self, function: Function, call: Call, need: int, dims: Sequence[int], tail: Sequence[int] = (), where: str = ""
    ) -> None:
        """Run compiled code without the GIL, print what is to be printed, raise what its status means."""
        workspace, size = self.state.workspaces.at_least(need)
        pointers = [address_of(a) for a in (*call.inputs, *call.results.arrays)]
        status = function(self.state.address, workspace, size, *dims, *pointers, *tail)
        if self.printer is not None and status in (Status.OK, Status.NUMERICS):
            self.printer(call.results.printed)
        if status == Status.NUMERICS and self.explain is not None:
            raise self.explain(call.inputs, {v.name: self.state.read(v) for v in self.state.signature.state}, where)
        if status:
            raise status_error(status, self._artifact.error(status), self.entry, call.inputs, call.symbols)


class Minibatches:
    """Arguments of an entry whose rows are run over in minibatches, in compiled code: an epoch, or some of its batches.

    Its length is the number of batches in an epoch. The arrays are read where they are: they are the caller's.
    """

    def __init__(
        self, bound: BoundEntry, args: Sequence[Any], kwargs: Mapping[str, Any], batch_size: int, out: Any = None
    ):
        entry = bound.entry
        bound._require("epoch", entry.epoch)
        self._bound, self._out = bound, out
        self._call = bound._prepare(args, kwargs, out, free=entry.batch)
        symbols = self._call.symbols
        self.rows = symbols[str(entry.batch)]
        self.batch_size = positive(batch_size, f"{entry.name}.epoch: batch_size")
        self._count = bound._batches(self.rows, self.batch_size, symbols)
        fault = index_error(entry, self._call.inputs)
        if fault is not None:
            raise fault
        self._dims = [symbols[s] for s in epoch_symbols(entry)]
        workspace = bound._artifact.epoch_workspace(entry)
        self._need = bound._checked(workspace(*self._dims, self.rows, self.batch_size), symbols)
        #: How many batches run at once: an interrupt takes effect between them.
        self.chunk = max(1, EPOCH_CHUNK // work(bound.state.signature.state_bytes, self._need, self.batch_size))

    def __len__(self) -> int:
        return self._count

    def rows_in(self, first: int, count: int) -> int:
        """How many rows some batches have: the last may be smaller."""
        return min(self.rows, (first + count) * self.batch_size) - first * self.batch_size

    def run(self, shuffle: int | bool | None = None, first: int = 0, count: int | None = None) -> Any:
        """Run over the batches first … first + count − 1 of an epoch, or all; the outputs' means over their rows.

        `shuffle` as for `epoch`; with True, the counter is incremented where the last batch is among them. Raises
        `ArgumentError` for batches that the epoch does not have.
        """
        bound, call = self._bound, self._call
        last = self._last(first, count)
        results = results_for(bound.entry, call.symbols, self._out, bound.state.memory)
        call, means = Call(call.inputs, call.symbols, results), Means(results, self.rows_in(first, last - first))
        with bound._alone():
            seed = bound._seed(shuffle)
            if bound.stepwise:
                self._one_by_one(results, means, seed, range(first, last))
                first = last
            for start in range(first, last, self.chunk):
                part = min(self.chunk, last - start)
                tail = (self.rows, self.batch_size, seed, start, part)
                bound._enter(bound._artifact.epoch(bound.entry), call, self._need, self._dims, tail)
                means.add(self.rows_in(start, part))
            if shuffle is True and last == len(self):
                counter = bound.state.read(bound.state.variable(EPOCH_COUNTER))
                counter += 1
                bound.state.write({EPOCH_COUNTER: counter})
        means.finish()
        return results.tree()

    def _one_by_one(self, results: Results, means: Means, seed: int, batches: range) -> None:
        """Batches as calls of their own."""
        for number in batches:
            start = number * self.batch_size
            rows = permuted(start, min(start + self.batch_size, self.rows), self.rows, seed)
            part = self._call.part(rows, len(rows), results.returned)
            self._bound._run(part, f", batch {number} of {len(self)}")
            means.add(len(rows))

    def _last(self, first: int, count: int | None) -> int:
        """One past the last of the batches asked for."""
        role = f"{self._bound.entry.name}.epoch"
        start = integer(first, f"{role}: first")
        last = len(self) if count is None else start + positive(count, f"{role}: count")
        if not 0 <= start < last <= len(self):
            message = f"{role}: batches {start} to {last} of {len(self)}"
            raise ArgumentError(message, site=user_site(), help="first and count choose among the epoch's batches")
        return last


class Trampoline:
    """Whether `BoundEntry.__call__` is machine code; None until the first call has tried to make it so."""

    installed: bool | None = None


def trampoline_installed(sample: BoundEntry) -> bool:
    """Whether `__call__` is the trampoline, after trying once a process to make it so."""
    if Trampoline.installed is None:
        Trampoline.installed = install(BoundEntry, sample, sample._address)
    return Trampoline.installed


def map_fault(entry: Entry) -> str | None:
    """Why an entry can't be mapped over batches; None where it can."""
    if not entry.pure or entry.batch is None:
        return "only entries that write no state and have a batch dimension map"
    for value in entry.inputs:
        if any(entry.batch in symbols_of(dim) for dim in value.shape[value.shape[:1] == (entry.batch,) :]):
            return f"{value.name} has the batch dimension elsewhere than in front"
    for result in entry.returned:
        if result.shape[:1] != (entry.batch,):
            return f"{result.name} has no batch dimension to join"
    return None


def positive(value: int, role: str) -> int:
    """A Python or NumPy integer that is at least 1."""
    number = integer(value, role)
    if number < 1:
        raise ArgumentError(f"{role} is {number}, must be at least 1", site=user_site(), help="pass 1 or more")
    return number


def next_count(count: int, seconds: float) -> int:
    """How many runs take about `REPEAT_SECONDS`, if `count` took so long."""
    return max(1, int(count * REPEAT_SECONDS / max(seconds, 1e-9)))
