"""Laws of symbolic sizes: the normal form, evaluation, bounds and text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.errors import ShapeError
from graphc.ir.dim import (
    Dim,
    Size,
    align_up,
    evaluate,
    exact_quotient,
    known_le,
    lower_bound,
    maximum,
    minimum,
    parse,
    symbol,
    symbols_of,
    typical,
    upper_bound,
)

N, T, M = symbol("N"), symbol("T", min=1), symbol("M", min=2, max=9, typical=4)
SYMBOLS = {"N": N, "T": T, "M": M}

leaves = st.one_of(st.integers(-6, 12), st.sampled_from([N, T, M]))
polynomials = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda f, a, b: f(a, b), st.sampled_from([operator.add, operator.sub, operator.mul]), inner, inner
    ),
    max_leaves=5,
)
divisors = st.one_of(st.integers(1, 8), st.sampled_from([T, M]))
sizes = st.one_of(
    polynomials,
    st.builds(lambda f, a, b: f(a, b), st.sampled_from([operator.floordiv, operator.mod]), polynomials, divisors),
    st.builds(lambda f, a, b: f(a, b), st.sampled_from([minimum, maximum]), polynomials, polynomials),
)
values = st.fixed_dictionaries({"N": st.integers(0, 40), "T": st.integers(1, 40), "M": st.integers(2, 9)})


@given(sizes, sizes, values)
def test_arithmetic_is_that_of_integers(a: Size, b: Size, at: dict[str, int]) -> None:
    for f in (operator.add, operator.sub, operator.mul):
        assert evaluate(f(a, b), at) == f(evaluate(a, at), evaluate(b, at))


@given(polynomials, divisors, values)
def test_division_is_that_of_integers(a: Size, b: Size, at: dict[str, int]) -> None:
    x, y = evaluate(a, at), evaluate(b, at)
    assert evaluate(a // b, at) == x // y
    assert evaluate(a % b, at) == x % y


@given(sizes, sizes, values)
def test_extremes_are_those_of_integers(a: Size, b: Size, at: dict[str, int]) -> None:
    assert evaluate(minimum(a, b), at) == min(evaluate(a, at), evaluate(b, at))
    assert evaluate(maximum(a, b), at) == max(evaluate(a, at), evaluate(b, at))


@given(sizes, sizes, sizes)
def test_the_normal_form_makes_equal_polynomials_equal(a: Size, b: Size, c: Size) -> None:
    assert a + b == b + a and a * b == b * a
    assert (a + b) + c == a + (b + c) and (a * b) * c == a * (b * c)
    assert a * (b + c) == a * b + a * c
    assert a - a == 0 and a + 0 == a and a * 1 == a and a * 0 == 0
    assert hash(a + b) == hash(b + a)


@given(polynomials, st.one_of(st.integers(1, 8), st.sampled_from([N, T, M])))
def test_a_product_divides_exactly(a: Size, b: Size) -> None:
    product = a * b
    if isinstance(product, Dim):
        assert exact_quotient(product, b) == a
        assert product // b == a and product % b == 0


@given(polynomials, st.integers(1, 8), st.integers(0, 7))
def test_division_takes_the_divisible_part_out(a: Size, divisor: int, rest: int) -> None:
    if rest < divisor and isinstance(a * divisor, Dim):
        assert (a * divisor + rest) // divisor == a
        assert (a * divisor + rest) % divisor == rest


@given(sizes, values)
def test_the_lower_bound_is_one(a: Size, at: dict[str, int]) -> None:
    bound = lower_bound(a)
    assert bound is None or bound <= evaluate(a, at)


@given(sizes, st.integers(1, 9), st.integers(0, 20), st.integers(3, 9))
def test_the_upper_bound_is_one(a: Size, most: int, n: int, t: int) -> None:
    bounded = parse(str(a), {**SYMBOLS, "N": symbol("N", max=most), "T": symbol("T", 3, 9)})
    bound = upper_bound(bounded)
    assert bound is None or bound >= evaluate(bounded, {"N": min(n, most), "T": t, "M": 8})


def test_the_upper_bound_of_what_grows_is_its_value_at_the_maximum() -> None:
    n, t = symbol("N", max=100), symbol("T", 1, 7)
    assert upper_bound(align_up(4 * n * t + 4, 64)) == 2816
    assert upper_bound(maximum(n, t) + minimum(n, M) - t) == 108
    assert upper_bound(n % 8) == 7
    assert upper_bound((n * 3) // t) == 300
    assert upper_bound(n + T) is None


@given(sizes, sizes, values)
def test_known_order_holds(a: Size, b: Size, at: dict[str, int]) -> None:
    if known_le(a, b):
        assert evaluate(a, at) <= evaluate(b, at)


@given(sizes)
def test_text_reads_back(a: Size) -> None:
    assert parse(str(a), SYMBOLS) == a


@given(polynomials, st.sampled_from([8, 16, 64]), values)
def test_align_up_gives_the_next_multiple(a: Size, multiple: int, at: dict[str, int]) -> None:
    aligned, exact = evaluate(align_up(a, multiple), at), evaluate(a, at)
    assert aligned % multiple == 0 and exact <= aligned < exact + multiple


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (N * 2 + 3, "2*N + 3"),
        (N * T - T * N + 4, "4"),
        ((N + 1) // 2, "((N + 1) // 2)"),
        ((N + 15) // 16 * 16, "16*((N + 15) // 16)"),
        ((4 * N + 6) // 4, "N + 1"),
        (maximum(N, 3), "max(N, 3)"),
        (maximum(M, 2), "M"),
        (N % 1, "0"),
    ],
)  # fmt: skip
def test_text_of_sizes(size: Size, text: str) -> None:
    assert str(size) == text


def test_typical_and_symbols() -> None:
    assert typical(N * M + 1) == 32 * 4 + 1
    assert [s.name for s in symbols_of(N * T, M // 2)] == ["M", "N", "T"]


@pytest.mark.parametrize("text", ["N +", "f(N)", "N / 2", "1.5", "'N'", "", "N[0]"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ShapeError, match="not a dimension"):
        parse(text)


@pytest.mark.parametrize("f", [lambda: N // 0, lambda: N % 0])
def test_division_by_zero_does_not_fold(f: Callable[[], Any]) -> None:
    assert isinstance(f(), Dim)
