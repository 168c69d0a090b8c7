"""What a status of compiled code means, as the error that a user of Python meets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from graphc.errors import GraphcError, IndexRangeError, InternalError, NumericsError, ShapeError, StateError
from graphc.runtime.arguments import Array
from graphc.runtime.dims import evaluate
from graphc.runtime.signature import Entry
from graphc.sites import user_site


class Status(IntEnum):
    """The codes of the C ABI."""

    OK = 0
    NULL = 1
    SIZE = 2
    ALIGN = 3
    STATE = 4
    INDEX = 5
    CPU = 6
    NUMERICS = 7  # of programs that check their numbers only


def status_error(
    status: int, text: str, entry: Entry, arrays: Sequence[Array], symbols: Mapping[str, int]
) -> GraphcError:
    """The error of a call that did not return OK; `text` is what the file says of the status."""
    if status == Status.INDEX:
        return index_error(entry, arrays) or InternalError(f"{entry.name} refused an index in range", site=user_site())
    if status == Status.SIZE:
        at = ", ".join(f"{name} = {value}" for name, value in symbols.items()) or "these arguments"
        failed = (c.reason for c in entry.checks if evaluate(c.size, symbols) < c.minimum)
        message = f"{entry.name} can't run at {at}: {next(failed, text)}"
        return ShapeError(message, site=user_site(), help="pass arguments of other sizes")
    if status == Status.NUMERICS:
        return NumericsError(
            f"{entry.name}: {text}", site=user_site(), help="program.compile(check=…) in Python names the operation"
        )
    if status == Status.STATE:
        return StateError(f"{entry.name}: {text}", site=user_site(), help="init() or restore() makes it whole")
    return InternalError(f"{entry.name} returned status {status}: {text}", site=user_site())


def index_error(entry: Entry, arrays: Sequence[Array]) -> IndexRangeError | None:
    """The first argument that holds an index outside its range, the range and the first such value.

    None where every index is in its range.
    """
    for wanted, array in zip(entry.inputs, arrays, strict=True):
        if wanted.low is None and wanted.high is None:
            continue
        low = -np.inf if wanted.low is None else wanted.low
        high = np.inf if wanted.high is None else wanted.high
        outside = (array < low) | (array > high)
        if outside.any():
            place = np.unravel_index(int(np.argmax(outside)), array.shape)
            index = f"[{', '.join(str(int(i)) for i in place)}]" if place else ""
            message = f"{entry.name}: {wanted.name}{index} is {array[place]}, outside {wanted.low}..{wanted.high}"
            help = "indices count from 0; gr.clip in the entry would bring others into the range"
            return IndexRangeError(message, site=user_site(), help=help)
    return None
