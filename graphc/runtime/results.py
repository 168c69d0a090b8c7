"""Where compiled code writes its results: new arrays, or the ones that the caller gave as `out=`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.runtime.arguments import NUMPY, Array, array_text, numpy_name, type_text
from graphc.runtime.dims import evaluate
from graphc.runtime.memory import Bytes
from graphc.runtime.signature import Entry, Output
from graphc.runtime.tree import flatten, unflatten
from graphc.sites import user_site


@dataclass
class Results:
    """The arrays of one call; `given` are the indices of those that the caller owns."""

    entry: Entry
    arrays: list[Array]
    given: frozenset[int]

    @property
    def returned(self) -> list[Array]:
        """Those that the caller gets."""
        return self.arrays[: len(self.entry.returned)]

    @property
    def printed(self) -> list[Array]:
        """Those that are printed."""
        return self.arrays[len(self.entry.returned) :]

    def tree(self) -> Any:
        """The entry's structure: rank 0 as a NumPy scalar, except in the caller's arrays."""
        leaves = [a if a.ndim or i in self.given else a[()] for i, a in enumerate(self.arrays)]
        return unflatten(self.entry.tree, leaves)


def results_for(entry: Entry, symbols: Mapping[str, int], out: Any, state: Bytes) -> Results:
    """Arrays for every output at these dimensions; `out` has the entry's structure, None where we allocate.

    Raises for an array that is not exactly what the code writes, that overlaps another or the state.
    """
    shapes = [output_shape(entry, output, symbols) for output in entry.outputs]
    given: dict[int, Any] = {}
    if out is not None:
        given = {i: a for i, a in flatten(entry.tree, out, structure_error(entry)).items() if a is not None}
    arrays = []
    for i, (output, shape) in enumerate(zip(entry.outputs, shapes, strict=True)):
        if i in given:
            check_out(entry, output, shape, given[i])
            arrays.append(given[i])
        else:
            arrays.append(new_array(entry, output, shape))
    check_apart(entry, [arrays[i] for i in given], state)
    return Results(entry, arrays, frozenset(given))


def results_into(entry: Entry, symbols: Mapping[str, int], returned: Sequence[Array]) -> Results:
    """Results that go to some arrays; what is only printed gets new ones."""
    printed = entry.outputs[len(returned) :]
    own = [new_array(entry, output, output_shape(entry, output, symbols)) for output in printed]
    return Results(entry, [*returned, *own], frozenset())


def output_shape(entry: Entry, output: Output, symbols: Mapping[str, int]) -> tuple[int, ...]:
    """An output's shape at these dimensions."""
    shape = tuple(evaluate(dim, symbols) for dim in output.shape)
    if any(size < 0 for size in shape):
        at = ", ".join(f"{name} = {value}" for name, value in symbols.items())
        message = f"{entry.name}: {output.name} would have shape {shape} at {at}"
        raise ShapeError(message, site=user_site(), help="pass arguments of other sizes")
    return shape


def new_array(entry: Entry, output: Output, shape: tuple[int, ...]) -> Array:
    """Memory for an output. Raises `ShapeError` for more bytes than an address can count."""
    try:
        return np.empty(shape, NUMPY[output.dtype])
    except ValueError:
        message = f"{entry.name}: {output.name} is {type_text(output.dtype, shape)}, which no memory holds"
        raise ShapeError(message, site=user_site(), help="pass arguments of other sizes") from None


def structure_error(entry: Entry) -> Any:
    """What to raise where `out` does not have the structure of the outputs."""
    template = unflatten(entry.tree, [type_text(o.dtype, o.shape) for o in entry.outputs])

    def report(path: str) -> ArgumentError:
        message = f"{entry.name}: {path} does not have the structure of the outputs"
        return ArgumentError(message, site=user_site(), help=f"the outputs are {template}")

    return report


def check_out(entry: Entry, output: Output, shape: tuple[int, ...], array: Any) -> None:
    """An `out` array is what the code writes to as it is."""
    role = f"{entry.name}: out array {output.name}"
    wanted = type_text(output.dtype, shape)
    fresh = f"use np.empty({shape}, {numpy_name(output.dtype)})"
    if not isinstance(array, np.ndarray):
        message = f"{role} is a {type(array).__name__}, not a NumPy array"
        raise ArgumentError(message, site=user_site(), help=fresh)
    if array.dtype != NUMPY[output.dtype]:
        message = f"{role} is {array_text(array)} ({array.dtype.str}), expected {wanted}"
        raise DTypeError(message, site=user_site(), help=fresh)
    if array.shape != shape:
        raise ShapeError(f"{role} is {array_text(array)}, expected {wanted}", site=user_site(), help=fresh)
    flags = array.flags
    lacking = [n for n, good in (("contiguous", flags.c_contiguous), ("aligned", flags.aligned)) if not good]
    lacking += [] if flags.writeable else ["writable"]
    if lacking:
        raise ArgumentError(f"{role} is not {' or '.join(lacking)}", site=user_site(), help=fresh)


def check_apart(entry: Entry, arrays: Sequence[Array], state: Bytes) -> None:
    """No two `out` arrays share memory, and none shares the state's."""
    for i, array in enumerate(arrays):
        if any(np.may_share_memory(array, other) for other in (*arrays[:i], state)):
            message = f"{entry.name}: an out array overlaps another one, or the state"
            raise ArgumentError(message, site=user_site(), help="give each result memory of its own")


def apart(inputs: Sequence[Array], outputs: Sequence[Array], state: Bytes) -> list[Array]:
    """The inputs, those copied that share memory with an output or with the state."""
    return [a.copy() if any(np.may_share_memory(a, o) for o in (*outputs, state)) else a for a in inputs]
