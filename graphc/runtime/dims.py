"""Dimension expressions of a signature: `64`, `"N"`, `"2*N + 1"`, `"max(N - 2, 0)"`; read, evaluated, solved."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache

from graphc.errors import BuildError

Dim = int | str
"""A number, or an expression over symbols with + - * // % min(,) max(,)."""

Evaluate = Callable[[Mapping[str, int]], int]

OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., int]] = {"min": min, "max": max}


def evaluate(dim: Dim, symbols: Mapping[str, int]) -> int:
    """The dimension's value; `KeyError` for a symbol without one."""
    return dim if isinstance(dim, int) else parsed(dim)(symbols)


@cache
def symbols_of(dim: Dim) -> frozenset[str]:
    """The symbols a dimension depends on."""
    if isinstance(dim, int):
        return frozenset()
    tree = ast.parse(dim, mode="eval")
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id not in FUNCTIONS)


@cache
def parsed(text: str) -> Evaluate:
    """The expression as a function of its symbols; `BuildError` where a signature holds anything else."""
    try:
        return closure(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError, TypeError):
        raise BuildError(f"a signature holds the dimension {text!r}, which is not one") from None


def closure(node: ast.expr) -> Evaluate:
    """An expression's evaluator, made of its operands'."""
    match node:
        case ast.Constant(value=int(value)):
            return lambda symbols: value
        case ast.Name(id=name):
            return lambda symbols: symbols[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = closure(operand)
            return lambda symbols: -inner(symbols)
        case ast.BinOp(left=left, op=op, right=right):
            apply, x, y = OPERATORS[type(op)], closure(left), closure(right)
            return lambda symbols: apply(x(symbols), y(symbols))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if arguments:
            function, parts = FUNCTIONS[name], [closure(a) for a in arguments]
            return lambda symbols: function(*(part(symbols) for part in parts))
    raise TypeError(ast.dump(node))


def solve(dim: Dim, value: int, symbols: Mapping[str, int]) -> tuple[str, int] | None:
    """The one unknown symbol of an affine dimension and what it must be for the dimension to have the value.

    None where the dimension has several unknowns or none, or is not affine with a whole solution.
    """
    unknown = [s for s in symbols_of(dim) if s not in symbols]
    if len(unknown) != 1:
        return None
    name = unknown[0]
    at = [evaluate(dim, {**symbols, name: n}) for n in (0, 1)]
    slope = at[1] - at[0]
    if slope == 0 or (value - at[0]) % slope:
        return None
    solution = (value - at[0]) // slope
    return (name, solution) if evaluate(dim, {**symbols, name: solution}) == value else None
