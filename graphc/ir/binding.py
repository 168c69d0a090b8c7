"""The values of symbolic dimensions, from the shapes of an entry's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.errors import DTypeError, ShapeError
from graphc.ir.dim import Dim, Symbol, evaluate, symbols_of
from graphc.ir.node import Array, Input, Node
from graphc.ir.types import FROM_NUMPY


def bind_symbols(parameters: Sequence[Node], arguments: Sequence[Array]) -> dict[str, int]:
    """The number each symbol of the parameters' types stands for.

    Raises `DTypeError` and `ShapeError` where arguments do not fit their types, or disagree.
    """
    if len(parameters) != len(arguments):
        raise ShapeError(f"{len(parameters)} arguments expected, got {len(arguments)}")
    pending: list[tuple[Dim, int, Node]] = []
    for parameter, array in zip(parameters, arguments, strict=True):
        expect_type(parameter, array)
        pending += [
            (s, n, parameter) for s, n in zip(parameter.type.shape, array.shape, strict=True) if isinstance(s, Dim)
        ]
    values: dict[str, int] = {}
    while unsolved := [p for p in pending if any(s.name not in values for s in p[0].symbols)]:
        solved = next((s for s in (solve(size, n, values) for size, n, _ in unsolved) if s), None)
        if solved is None:
            raise ShapeError(f"no value of the dimension {unsolved[0][0]} fits {unsolved[0][1]}")
        symbol, value = solved
        expect_fact(symbol, value)
        values[symbol.name] = value
    for size, number, parameter in pending:
        if evaluate(size, values) != number:
            known = ", ".join(f"{s.name} = {values[s.name]}" for s in size.symbols)
            raise ShapeError(f"{name(parameter)}: dimension {size} is {number}, but {known} elsewhere")
    return values


def name(parameter: Node) -> str:
    """An argument as errors call it."""
    return f"argument {parameter.op.name}" if isinstance(parameter.op, Input) else repr(parameter)


def expect_type(parameter: Node, array: Array) -> None:
    """Raise unless an array has the dtype, the rank and the constant sizes of a parameter's type."""
    expected = parameter.type
    if FROM_NUMPY.get(array.dtype.newbyteorder("=")) != expected.dtype:
        raise DTypeError(f"{name(parameter)}: expected {expected}, got an array of {array.dtype}")
    fits = array.ndim == expected.rank and all(
        isinstance(s, Dim) or s == n for s, n in zip(expected.shape, array.shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"{name(parameter)}: expected {expected}, got an array of shape {array.shape}")


def solve(size: Dim, number: int, values: dict[str, int]) -> tuple[Symbol, int] | None:
    """The one unknown symbol of a size that is linear in it, and its value; None where there is no such."""
    unknown = [s for s in symbols_of(size) if s.name not in values]
    if len(unknown) != 1:
        return None
    at = [evaluate(size, {**values, unknown[0].name: n}) for n in (0, 1)]
    slope = at[1] - at[0]
    if not slope or (number - at[0]) % slope:
        return None
    solution = (number - at[0]) // slope
    return (unknown[0], solution) if evaluate(size, {**values, unknown[0].name: solution}) == number else None


def expect_fact(symbol: Symbol, value: int) -> None:
    """Raise `ShapeError` where a symbol's value contradicts what was declared of it."""
    if value < symbol.min or (symbol.max is not None and value > symbol.max) or value % symbol.multiple_of:
        facts = [f"at least {symbol.min}"] + [f"at most {symbol.max}"] * (symbol.max is not None)
        facts += [f"a multiple of {symbol.multiple_of}"] * (symbol.multiple_of != 1)
        raise ShapeError(f"dimension {symbol.name} is {value}, but was declared {', '.join(facts)}")
