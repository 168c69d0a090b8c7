"""Symbolic dimensions: integer polynomials over symbols in a normal form; `//`, `%`, `min` and `max` are atoms.

A size is an `int` wherever it is constant, a `Dim` only where it is not; arithmetic keeps that so. Equality and hash
are structural: equal normal forms are equal sizes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import TypeAlias

import numpy as np

from graphc.errors import ShapeError
from graphc.records import Record
from graphc.sites import user_site


class Symbol(Record):
    """A named size with what is known of it; `typical` is what tiling and cost models assume."""

    name: str
    min: int = 0
    max: int | None = None
    multiple_of: int = 1
    typical: int = 32

    def __str__(self) -> str:
        return self.name


class Atom(Record):
    """A non-polynomial function of sizes, opaque to the normal form: `floordiv mod min max`."""

    function: str
    arguments: tuple[Size, ...]

    def __str__(self) -> str:
        a, b = self.arguments
        if self.function in ("min", "max"):
            return f"{self.function}({a}, {b})"
        return f"({factor_text(a)} {'//' if self.function == 'floordiv' else '%'} {factor_text(b)})"


def factor_text(size: Size) -> str:
    """A size as an operand of a division: in parentheses unless it is a name or a number."""
    text = str(size)
    return text if text.isalnum() else f"({text})"


Factor: TypeAlias = Symbol | Atom
Monomial: TypeAlias = tuple[Factor, ...]  # sorted by text; () is the constant term


@dataclass(frozen=True)
class Dim:
    """A polynomial: coefficients by monomial, sorted, none zero, never a mere constant."""

    terms: tuple[tuple[Monomial, int], ...]

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Size) -> Size:
        return polynomial([*self.terms, *terms_of(other)])

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + (-1 * other)

    def __rsub__(self, other: Size) -> Size:
        return -1 * self + other

    def __mul__(self, other: Size) -> Size:
        return polynomial((tuple(sorted(m + n, key=str)), a * b) for m, a in self.terms for n, b in terms_of(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        quotient = exact_quotient(self, other)
        if quotient is not None or not isinstance(other, int) or other == 0:
            return atom("floordiv", self, other) if quotient is None else quotient
        whole, rest = divisible_part(self, other)
        if not isinstance(rest, Dim):
            return whole + rest // other
        common = gcd(other, *(c for _, c in rest.terms))
        return whole + atom("floordiv", rest // common, other // common)

    def __rfloordiv__(self, other: Size) -> Size:
        return atom("floordiv", other, self)

    def __mod__(self, other: Size) -> Size:
        if exact_quotient(self, other) is not None:
            return 0
        return atom("mod", divisible_part(self, other)[1] if isinstance(other, int) and other else self, other)

    def __rmod__(self, other: Size) -> Size:
        return atom("mod", other, self)

    @cached_property
    def text(self) -> str:
        """`2*N*T + 1`: parses back with `parse`."""
        parts = []
        for monomial, coefficient in self.terms:
            factors = [str(f) for f in monomial]
            if coefficient != 1 or not factors:
                factors.insert(0, str(coefficient))
            parts.append("*".join(factors))
        return " + ".join(parts)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbols it depends on, by name."""
        found: dict[str, Symbol] = {}
        for monomial, _ in self.terms:
            for factor in monomial:
                for symbol in [factor] if isinstance(factor, Symbol) else symbols_of(*factor.arguments):
                    found[symbol.name] = symbol
        return tuple(found[name] for name in sorted(found))


Size: TypeAlias = int | Dim


def terms_of(size: Size) -> tuple[tuple[Monomial, int], ...]:
    """The polynomial of any size, constants included."""
    return size.terms if isinstance(size, Dim) else (((), int(size)),)


def polynomial(terms: Iterable[tuple[Monomial, int]]) -> Size:
    """Collect like terms; an `int` where only the constant is left."""
    collected: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        collected[monomial] = collected.get(monomial, 0) + coefficient
    kept = {m: c for m, c in collected.items() if c}
    if all(m == () for m in kept):
        return kept.get((), 0)
    return Dim(tuple(sorted(kept.items(), key=lambda t: (-len(t[0]), [str(f) for f in t[0]]))))


def symbol(name: str, min: int = 0, max: int | None = None, multiple_of: int = 1, typical: int = 32) -> Dim:
    """The dimension that is one symbol, of any value in min..max (None: unbounded) that is a multiple of `multiple_of`.

    Raises `ShapeError` where no size meets that, and for a name that C can't have.
    """
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise ShapeError(
            f"{name!r} can't name a dimension", site=user_site(), help="use letters, digits and _, as in C"
        )
    limits = {"min": min, "max": max, "multiple_of": multiple_of, "typical": typical}
    for limit, value in limits.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= (limit == "multiple_of")
        if not whole and not (limit == "max" and value is None):
            raise ShapeError(
                f"dim({name!r}): no size meets {limit}={value!r}",
                site=user_site(),
                help="sizes are whole numbers of at least 0, multiple_of is at least 1",
            )
    if max is not None and max // multiple_of * multiple_of < min:
        raise ShapeError(
            f"no size meets dim({name!r}, min={min}, max={max}, multiple_of={multiple_of})",
            site=user_site(),
            help="leave a multiple of multiple_of between min and max",
        )
    return Dim((((Symbol(name, min, max, multiple_of, typical),), 1),))


def atom(function: str, a: Size, b: Size) -> Size:
    """A function of two sizes, folded where both are constant."""
    if isinstance(a, int) and isinstance(b, int):
        return FUNCTIONS[function](a, b)
    return Dim((((Atom(function, (a, b)),), 1),))


FUNCTIONS: dict[str, Callable[[int, int], int]] = {
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "min": min,
    "max": max,
}


def minimum(a: Size, b: Size) -> Size:
    """The smaller; decided where the bounds decide it."""
    return a if known_le(a, b) else b if known_le(b, a) else atom("min", a, b)


def maximum(a: Size, b: Size) -> Size:
    """The larger; decided where the bounds decide it."""
    return b if known_le(a, b) else a if known_le(b, a) else atom("max", a, b)


def align_up(size: Size, multiple: int) -> Size:
    """The next multiple of a constant."""
    return (size + (multiple - 1)) // multiple * multiple


def exact_quotient(a: Size, b: Size) -> Size | None:
    """a / b where the division leaves no remainder at any value of the symbols, else None."""
    if isinstance(b, int):
        terms = terms_of(a)
        return polynomial((m, c // b) for m, c in terms) if b and all(c % b == 0 for _, c in terms) else None
    if len(b.terms) != 1:
        return 1 if a == b else None
    (divisor, scale), quotient = b.terms[0], []
    for monomial, coefficient in terms_of(a):
        rest = list(monomial)
        for factor in divisor:
            if factor not in rest:
                return None
            rest.remove(factor)
        if coefficient % scale:
            return None
        quotient.append((tuple(rest), coefficient // scale))
    return polynomial(quotient)


def divisible_part(size: Dim, divisor: int) -> tuple[Size, Size]:
    """(q, r) with size = divisor·q + r, each coefficient of r in [0, divisor): ⌊size / divisor⌋ = q + ⌊r / divisor⌋."""
    quotient = polynomial((m, c // divisor) for m, c in size.terms)
    return quotient, size - divisor * quotient


def lower_bound(size: Size) -> int | None:
    """The least value it can take, or None where that is not known."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size.terms:
        value = coefficient
        for factor in monomial:
            bound = factor_bound(factor, lower=coefficient > 0)
            if bound is None or (coefficient > 0 and bound < 0):
                return None
            value *= bound
        total += value
    return total


def upper_bound(size: Size) -> int | None:
    """The greatest value it can take, or one that it does not reach; None where none is known."""
    bound = lower_bound(-1 * size)
    return None if bound is None else -bound


def factor_bound(factor: Factor, lower: bool) -> int | None:
    """The bound of a symbol or an atom on one side (sizes are never negative)."""
    if isinstance(factor, Symbol):
        return factor.min if lower else factor.max
    if lower:
        bounds = [lower_bound(a) for a in factor.arguments]
        if None in bounds:
            return None
        known = [b for b in bounds if b is not None]
        return {"min": min(known), "max": max(known)}.get(factor.function, 0 if min(known) >= 0 else None)
    least = factor_bound(factor, lower=True)
    return greatest(factor) if least is not None and least >= 0 else None


def greatest(factor: Atom) -> int | None:
    """The upper bound of an atom that is never negative."""
    bounds = [upper_bound(a) for a in factor.arguments]
    known = [b for b in bounds if b is not None]
    divisor = lower_bound(factor.arguments[1])
    match factor.function:
        case "min":
            return min(known, default=None)
        case "max":
            return max(known) if len(known) == 2 else None
        case "mod":
            return None if bounds[1] is None else bounds[1] - 1
    return bounds[0] // divisor if bounds[0] is not None and divisor else None


def known_le(a: Size, b: Size) -> bool:
    """Whether a <= b holds at every value of the symbols, as far as bounds can tell."""
    bound = lower_bound(b - a)
    return bound is not None and bound >= 0


def excludes_zero(size: Size) -> bool:
    """Whether a size can't be zero, as far as its bounds tell."""
    low, high = lower_bound(size), upper_bound(size)
    return (low is not None and low > 0) or (high is not None and high < 0)


def symbols_of(*sizes: Size) -> tuple[Symbol, ...]:
    """The symbols some sizes depend on, by name."""
    found = {s.name: s for size in sizes if isinstance(size, Dim) for s in size.symbols}
    return tuple(found[name] for name in sorted(found))


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The number a size is for given values of its symbols."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, coefficient in size.terms:
        product = coefficient
        for factor in monomial:
            if isinstance(factor, Symbol):
                product *= values[factor.name]
            else:
                a, b = (evaluate(x, values) for x in factor.arguments)
                product *= FUNCTIONS[factor.function](a, b)
        total += product
    return total


def typical(size: Size) -> int:
    """The number a size is at the symbols' typical values."""
    return evaluate(size, {s.name: s.typical for s in symbols_of(size)})


def as_size(given: object) -> Size:
    """A size as users write it: a name or an expression, a whole number, a `Dim`.

    Raises `ShapeError` for anything else, and for numbers below 0.
    """
    size = parse(given) if isinstance(given, str) else int(given) if isinstance(given, np.integer) else given
    if isinstance(size, Dim) or (isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        return size
    raise ShapeError(
        f"{given!r} is not a dimension",
        site=user_site(),
        help='sizes are whole numbers from 0, names such as "N", or gr.dim("N", …)',
    )


def parse(text: str, symbols: Mapping[str, Size] | None = None) -> Size:
    """A size from its text; names not in `symbols` become plain symbols.

    Raises `ShapeError` where the text is not a size.
    """
    known = symbols or {}

    def walk(node: ast.expr) -> Size:
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                return value
            case ast.Name(id=name):
                return known[name] if name in known else symbol(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -1 * walk(operand)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
                return OPERATORS[type(operator)](walk(left), walk(right))
            case ast.Call(func=ast.Name(id="min" | "max" as function), args=[left, right]):
                return (minimum if function == "min" else maximum)(walk(left), walk(right))
        raise not_a_dimension(text)

    try:
        return walk(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        raise (error if isinstance(error, ShapeError) else not_a_dimension(text)) from None


def not_a_dimension(text: str) -> ShapeError:
    """The error of a text that is no size."""
    help = "use names, integers and + - * // % min() max()"
    return ShapeError(f"not a dimension: {text!r}", site=user_site(), help=help)


OPERATORS: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
