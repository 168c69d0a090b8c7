"""Python values as the arrays that compiled code reads: binding, conversion, checks of type and shape."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphc.bfloat16 import NumpyTypes
from graphc.errors import ArgumentError, DTypeError, Operand, ShapeError, TraceError
from graphc.runtime.dims import Dim, evaluate, solve
from graphc.runtime.signature import DTYPES, Entry, Input, Signature
from graphc.sites import user_site

Array = NDArray[Any]
Cast = Literal["same_kind"] | None
CASTS: tuple[Cast, ...] = (None, "same_kind")

#: NumPy's data types by graphc's names.
NUMPY = NumpyTypes({name: numpy for name, (numpy, _, _) in DTYPES.items()})
NAMES = {numpy: name for name, (numpy, _, _) in DTYPES.items()}


def type_text(dtype: str, shape: Sequence[Dim]) -> str:
    """How a type prints: `f32[N, 64]`, `f32` for rank 0."""
    return dtype + (f"[{', '.join(map(str, shape))}]" if shape else "")


def array_text(array: Array) -> str:
    """How an array's type prints."""
    name = array.dtype.name
    return type_text(NAMES.get(name, name), array.shape)


def bind(entry: Entry, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """One value an input, in order; `ArgumentError` for missing, extra, repeated or unknown arguments."""
    names = [i.name for i in entry.inputs]
    if len(args) == len(names) and not kwargs:
        return list(args)
    given = dict(zip(names, args, strict=False))
    faults = []
    if len(args) > len(names):
        faults.append(f"takes {len(names)} arguments, {len(args)} were given")
    faults += [f"got {name} twice" for name in kwargs if name in given]
    faults += [f"has no argument {name}" for name in kwargs if name not in names]
    faults += [f"lacks the argument {name}" for name in names if name not in given and name not in kwargs]
    if faults:
        raise ArgumentError(
            f"{entry.name} {'; '.join(faults)}",
            operands=operands(entry),
            site=user_site(),
            help=f"call {entry.name}({', '.join(names)})",
        )
    given.update(kwargs)
    return [given[name] for name in names]


def operands(entry: Entry) -> list[Operand]:
    """What an entry takes, for messages."""
    return [Operand(i.name, type_text(i.dtype, i.shape)) for i in entry.inputs]


def read_array(value: Any, dtype: str, rank: int, role: str) -> Array:
    """A value as a NumPy array, without a copy where it is one, or exports a buffer or DLPack.

    Python numbers are weak: they stand for a rank-0 array of the wanted dtype.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return read_number(value, dtype, rank, role)
    if isinstance(value, np.generic):
        return np.asarray(value)
    try:
        return read_foreign(value)
    except TraceError as error:
        help = "within a trace call the entry itself, as @program.entry left it"
        raise TraceError(f"{role}: {error.message}", site=user_site(), help=help) from None
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ArgumentError(
            f"{role}: {type(value).__name__} is not an array ({error})",
            operands=[Operand("expected", f"{dtype}, rank {rank}")],
            site=user_site(),
            help=f"pass np.asarray({expression(role)}, dtype={numpy_name(dtype)})",
        ) from None


def read_foreign(value: Any) -> Array:
    """An array of another library; by DLPack, unless that can't name its dtype (JAX's bfloat16)."""
    convertible = hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (TypeError, ValueError, RuntimeError, BufferError):
            if not convertible:
                raise
    return np.asarray(value if convertible else memoryview(value))


def read_number(value: bool | int | float, dtype: str, rank: int, role: str) -> Array:
    """A Python number as a rank-0 array of the wanted dtype, where that loses nothing of its kind."""
    kinds = {bool: "b", int: "iuf", float: "f"}
    kind = next(kinds[t] for t in (bool, int, float) if isinstance(value, t))
    wanted = "f" if dtype == "bf16" else NUMPY[dtype].kind
    if rank or wanted not in kind:
        expected = f"{dtype}" + (f", rank {rank}" if rank else "")
        message = f"{role}: the Python number {value!r} is not {expected}"
        if rank:
            full = f"np.full(shape, {value!r}, {numpy_name(dtype)})"
            raise ShapeError(message, site=user_site(), help=f"numbers do not broadcast here: pass an array, {full}")
        raise DTypeError(message, site=user_site(), help=f"pass {numpy_name(dtype)}({value!r}) to have it converted")
    try:
        return np.array(value, NUMPY[dtype])
    except OverflowError:
        message, help = f"{role}: {value} does not fit {dtype}", "pass a smaller number, or declare a wider dtype"
        raise ArgumentError(message, site=user_site(), help=help) from None


def integer(value: Any, role: str) -> int:
    """A Python or NumPy integer; `ArgumentError` for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        shown = f"a {type(value).__name__}" if hasattr(value, "__len__") and len(value) > 9 else repr(value)
        message = f"{role} is {shown}, must be an integer"
        raise ArgumentError(message, site=user_site(), help="pass a whole number of Python or NumPy") from None


def conform(array: Array, dtype: str, role: str, cast: Cast = None) -> Array:
    """The array with native byte order, C-contiguous and aligned, copied only where it is not so already.

    Another dtype is a `DTypeError` that prints the cast, unless `cast="same_kind"` allows it.
    """
    wanted = NUMPY[dtype]
    if array.dtype == wanted and array.flags.carray:
        return array
    if array.dtype.newbyteorder("=") != wanted and not (cast and np.can_cast(array.dtype, wanted, cast)):
        castable = " argument " in role and np.can_cast(array.dtype, wanted, "same_kind")
        raise DTypeError(
            f"{role} is {array_text(array)}, expected {dtype}",
            site=user_site(),
            help=f"pass {expression(role)}.astype({numpy_name(dtype)})"
            + (", or compile with cast='same_kind'" if castable else ""),
        )
    return np.require(array, wanted, ["C_CONTIGUOUS", "ALIGNED"])


def expression(role: str) -> str:
    """What to write for the value of a role: the name that it ends in, where Python can have that."""
    name = role.rsplit(" ", 1)[-1]
    return name if name.isidentifier() else "value"


def numpy_name(dtype: str) -> str:
    """`np.float32` of `f32`."""
    name = DTYPES[dtype][0]
    return {"bool": "np.bool_", "bfloat16": "ml_dtypes.bfloat16"}.get(name, f"np.{name}")


def read_inputs(entry: Entry, values: Sequence[Any], cast: Cast) -> list[Array]:
    """Every argument as an array of its input's dtype and rank."""
    arrays = []
    for value, wanted in zip(values, entry.inputs, strict=True):
        role = f"{entry.name}: argument {wanted.name}"
        array = conform(read_array(value, wanted.dtype, len(wanted.shape), role), wanted.dtype, role, cast)
        if array.ndim != len(wanted.shape):
            raise ShapeError(
                f"{role} has rank {array.ndim}, expected {len(wanted.shape)}",
                operands=[given(wanted, array)],
                site=user_site(),
                help=rank_help(wanted, array),
            )
        arrays.append(array)
    return arrays


def given(wanted: Input, array: Array) -> Operand:
    """An argument as messages show it: what was expected and what came."""
    return Operand(wanted.name, f"{type_text(wanted.dtype, wanted.shape)}, given {array_text(array)}")


def rank_help(wanted: Input, array: Array) -> str:
    """What to write where a batch dimension is missing, or axes are too many."""
    if array.ndim == len(wanted.shape) - 1:
        return f"add the missing axis: {wanted.name}[None] is {type_text(wanted.dtype, (1, *array.shape))}"
    return f"reshape it to ({', '.join(map(str, wanted.shape))})"


def infer_symbols(
    signature: Signature, entry: Entry, arrays: Sequence[Array], free: str | None = None
) -> dict[str, int]:
    """The value of every symbol of the entry, from its arguments' shapes.

    Raises `ShapeError` where a constant dimension differs, where two arguments disagree on a symbol, or where a value
    is outside the symbol's range; the range of `free` is not checked.
    """
    symbols: dict[str, int] = {}
    origin: dict[str, tuple[Input, Array]] = {}
    pending = []
    for wanted, array in zip(entry.inputs, arrays, strict=True):
        for axis, dim in enumerate(wanted.shape):
            if isinstance(dim, str) and dim.isidentifier():
                bind_symbol(entry, dim, array.shape[axis], (wanted, array), symbols, origin)
            else:
                pending.append((wanted, array, axis, dim))
    for wanted, array, axis, dim in pending:
        size = array.shape[axis]
        solution = solve(dim, size, symbols) if isinstance(dim, str) else None
        if solution is not None:
            bind_symbol(entry, *solution, (wanted, array), symbols, origin)
    for wanted, array, axis, dim in pending:
        if missing_or_wrong(dim, array.shape[axis], symbols):
            involved = [given(*origin[s]) for s in symbols if isinstance(dim, str) and s in origin]
            raise ShapeError(
                f"{entry.name}: axis {axis} of {wanted.name} is {array.shape[axis]}, expected {dim}",
                operands=[given(wanted, array), *[o for o in involved if o.role != wanted.name]],
                site=user_site(),
                help=f"pass {wanted.name} of shape ({', '.join(map(str, wanted.shape))})",
            )
    for name in entry.symbols:
        if name != free:
            check_range(signature, entry, name, symbols, origin.get(name))
    return symbols


def missing_or_wrong(dim: Dim, size: int, symbols: Mapping[str, int]) -> bool:
    """Whether a dimension does not have the size, or can't be evaluated."""
    try:
        return evaluate(dim, symbols) != size
    except (KeyError, ZeroDivisionError):
        return True


def bind_symbol(
    entry: Entry,
    name: str,
    value: int,
    source: tuple[Input, Array],
    symbols: dict[str, int],
    origin: dict[str, tuple[Input, Array]],
) -> None:
    """Give a symbol its value, or find that another argument gave it another one."""
    if symbols.setdefault(name, value) != value:
        first, second = origin[name], source
        message = f"{name} is {symbols[name]} in {first[0].name} but {value} in {second[0].name}"
        raise ShapeError(
            f"{entry.name}: {message}",
            operands=[given(*first), given(*second)],
            site=user_site(),
            help=f"pass arrays that agree on {name}",
        )
    origin.setdefault(name, source)


def check_range(
    signature: Signature,
    entry: Entry,
    name: str,
    symbols: Mapping[str, int],
    origin: tuple[Input, Array] | None = None,
) -> None:
    """`ShapeError` where a symbol has no value or one outside its range."""
    if name not in symbols:
        raise ShapeError(
            f"{entry.name}: no argument determines {name}",
            operands=operands(entry),
            site=user_site(),
            help=f"an argument needs an axis that is {name} alone",
        )
    value, symbol = symbols[name], signature.by_symbol[name]
    low, high, step = symbol.min, symbol.max, symbol.multiple_of
    if value < low or (high is not None and value > high) or value % step:
        limits = [f"at least {low}"] + ([f"at most {high}"] if high is not None else [])
        limits += [f"a multiple of {step}"] if step != 1 else []
        message = f"{entry.name}: {name} is {value}, must be {' and '.join(limits)}"
        help = f"pass as many as that, or declare {name} otherwise with gr.dim"
        raise ShapeError(message, operands=[given(*origin)] if origin else (), site=user_site(), help=help)
