"""e^x and what is made of it: expm1, tanh, sigmoid, erf.

Polynomials: Remez minimax fits by tests/recipes/minimax.py. Bounds are the largest errors, rounded up, that
tests/benchmarks/vecmath.py measured with and without FMA: for f32 over every bit pattern where exp, log, tanh, sigmoid
and erf vary and every seventh for the others, for f64 over random arguments.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from graphc.codegen.llvm_types import Value
from graphc.codegen.vecmath import (
    FORMATS,
    Table,
    clamp_above,
    clamp_below,
    division_residual,
    horner,
    nearest_integer,
    polynomial,
    power_of_two,
    scale,
)

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: (e^r − 1 − r) / r² on |r| ≤ ln(2)/2, the first coefficient fixed at ½.
EXP: Table = {
    "f32": (0.5, 0.1666654795408249, 0.04166685417294502, 0.008366098627448082, 0.0013898239703848958),
    "f64": (0.5, 0.16666666666666677, 0.041666666666666574, 0.00833333333332208, 0.001388888888894303,
            0.00019841269885178042, 2.480158719772111e-05, 2.755724502825465e-06, 2.7557387230630484e-07,
            2.510878825534735e-08, 2.087893553372896e-09),
}  # fmt: skip

#: (tanh(x)/x − 1) / x² in x², x ≤ 1.
TANH: Table = {
    "f32": (-0.33333295583724976, 0.13332344591617584, -0.05387980490922928, 0.021486664190888405,
            -0.007946115918457508, 0.0023013714235275984, -0.00035845398087985814),
    "f64": (-0.333333333333333, 0.13333333333328973, -0.05396825396644813, 0.0218694884980571, -0.008863235048093525,
            0.003592124035168704, -0.0014558112822658082, 0.0005899311304024233, -0.00023883191668767832,
            9.622521789953638e-05, -3.8060127340970476e-05, 1.427612984812661e-05, -4.755463468091583e-06,
            1.2701981712132543e-06, -2.3272050858446022e-07, 2.127107381836116e-08),
}  # fmt: skip

#: erf(x)/x − 1 in x², x ≤ 1.
ERF: Table = {
    "f32": (0.12837916612625122, -0.3761262595653534, 0.1128358542919159, -0.026853812858462334,
            0.005188328679651022, -0.0008010204182937741, 7.853897841414437e-05),
    "f64": (0.1283791670955126, -0.3761263890318375, 0.11283791670954857, -0.0268661706450729, 0.005223977624780927,
            -0.0008548326978745635, 0.00012055331037024385, -1.4925593509882064e-05, 1.6460972864899106e-06,
            -1.6350025728473238e-07, 1.4657883229162708e-08, -1.1365678979349706e-09, 5.945283619337828e-11),
}  # fmt: skip

#: log(1 − erf(x)), 1 ≤ x ≤ 4 and 1 ≤ x ≤ 6, its error weighted by 1 − erf(x).
LOG_ERFC: Table = {
    "f32": (-0.00035160238621756434, -1.1270482540130615, -0.6382124423980713, -0.1030483990907669,
            0.021810390055179596, -0.002940824255347252, 0.00018569301755633205),
    "f64": (3.518721369388687e-08, -1.1283796027966193, -0.636617216285665, -0.10278205617879796,
            0.019153179535049667, 0.00016049710487547355, -0.0016212933088953637, 0.0004979018694424601,
            6.636859906536845e-05, -0.0001400840489677408, 8.054442069969739e-05, -3.122947364342572e-05,
            9.282394974368621e-06, -2.1998241910458383e-06, 4.201929717312655e-07, -6.446931784741625e-08,
            7.835552594283056e-09, -7.35894577617455e-10, 5.1312192258417764e-11, -2.486346714605398e-12,
            7.407160436277783e-14, -1.0077153812516495e-15),
}  # fmt: skip

#: Beyond these e^x is infinite, or rounds to 0.
EXP_RANGE = {"f32": (-104.0, 89.0), "f64": (-746.0, 710.0)}
#: Below this expm1 is −1; above the others tanh and erf are 1.
EXPM1_LOW = {"f32": -20.0, "f64": -40.0}
TANH_HIGH = {"f32": 10.0, "f64": 20.0}
ERF_HIGH = {"f32": 4.0, "f64": 6.0}


class Reduced(NamedTuple):
    """x = k·ln 2 + r, |r| ≤ ln(2)/2."""

    number: Value  # k as a float
    k: Value  # k as integer lanes
    high: Value  # x − k·(ln 2 to some bits), exactly
    r: Value


def reduce(e: Lanes, x: Value) -> Reduced:
    """Cody and Waite's reduction, x within `EXP_RANGE`."""
    form = FORMATS[e.dtype]
    number, k = nearest_integer(e, x, math.log2(math.e))
    high = e.fma(number, e.constant(-form.ln2_high), x)
    return Reduced(number, k, high, less_low(e, number, high))


def less_low(e: Lanes, number: Value, x: Value) -> Value:
    """x − k·(the low part of ln 2)."""
    return e.fma(number, e.constant(-FORMATS[e.dtype].ln2_low), x)


def reduction_error(e: Lanes, reduced: Reduced) -> Value:
    """What rounding took from r."""
    return less_low(e, reduced.number, e.sub(reduced.high, reduced.r))


def exp_tail(e: Lanes, r: Value, lead: Value) -> Value:
    """e^r − 1 − r + lead for |r| ≤ ln(2)/2."""
    return e.fma(e.mul(r, r), polynomial(e, r, EXP[e.dtype]), lead)


def exp_accurate(e: Lanes, x: Value) -> Value:
    """e^x within `EXP_RANGE` to 0.6 ulp (more where the result is subnormal)."""
    reduced = reduce(e, x)
    one = e.constant(1.0)
    lead = e.add(reduced.high, one)
    rest = less_low(e, reduced.number, e.sub(reduced.high, e.sub(lead, one)))
    return scale(e, e.add(lead, exp_tail(e, reduced.r, rest)), reduced.number, reduced.k)


def exp_moderate(e: Lanes, x: Value) -> Value:
    """e^x to an ulp, where it is a normal number; of NaN anything."""
    reduced = reduce(e, x)
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    mantissa = e.add(exp_tail(e, reduced.r, reduced.r), e.constant(1.0))
    exponent = e.builder.binary("shl", reduced.k, integers.constant(form.fraction))
    return integers.bitcast(integers.add(e.bitcast(mantissa, form.integer), exponent), e.dtype)


def exp(e: Lanes, x: Value) -> Value:
    """e^x, results in the subnormal range included; f32 0.8 ulp, f64 0.8."""
    low, high = EXP_RANGE[e.dtype]
    return exp_accurate(e, clamp_above(e, clamp_below(e, x, low), high))


def expm1(e: Lanes, x: Value) -> Value:
    """e^x − 1 as 2·((2^(k−1) − ½) + 2^(k−1)·(e^r − 1)); f32 1.4 ulp, f64 1.4."""
    reduced = reduce(e, clamp_above(e, clamp_below(e, x, EXPM1_LOW[e.dtype]), EXP_RANGE[e.dtype][1]))
    integers = e.of(FORMATS[e.dtype].integer)
    half_power = power_of_two(e, integers.sub(reduced.k, integers.constant(1)))
    half = e.fma(half_power, reduced.r, e.sub(half_power, e.constant(0.5)))
    half = e.fma(half_power, exp_tail(e, reduced.r, reduction_error(e, reduced)), half)
    tiny = e.lt(e.abs(x), e.constant(2.0**-60))  # keeps −0 and subnormal numbers
    return e.select(tiny, x, e.add(half, half))


def tanh(e: Lanes, x: Value) -> Value:
    """x + x³·P(x²) up to |x| = 1, and 1 − 2/(e^2|x| + 1) beyond; f32 1.2 ulp, f64 1.3."""
    size = e.abs(x)
    square = e.mul(size, size)
    near = e.fma(e.mul(size, square), polynomial(e, square, TANH[e.dtype]), size)
    one = e.constant(1.0)
    far = e.sub(one, e.div(e.constant(2.0), e.add(exp_twice(e, clamp_above(e, size, TANH_HIGH[e.dtype])), one)))
    return e.copysign(e.select(e.ge(size, one), far, near), x)


def exp_twice(e: Lanes, x: Value) -> Value:
    """e^2x to 2^-21 (f64 2^-49), where 2x is in 2 ... 40: what tanh needs, whose bits it moves by a quarter at most."""
    form = FORMATS[e.dtype]
    integers = e.of(form.integer)
    shifted = e.fma(x, e.constant(2.0 * math.log2(math.e)), e.constant(form.magic))
    number = e.sub(shifted, e.constant(form.magic))
    r = e.fma(number, e.constant(-math.log(2.0) / 2), x)
    mantissa = horner(e, r, (1.0, 2.0, *(c * 4.0 * 2.0**j for j, c in enumerate(EXP[e.dtype]))))
    exponent = e.builder.binary("shl", e.bitcast(shifted, form.integer), integers.constant(form.fraction))
    return integers.bitcast(integers.add(e.bitcast(mantissa, form.integer), exponent), e.dtype)


def sigmoid(e: Lanes, x: Value) -> Value:
    """1/(1 + t) for x ≥ 0 and t/(1 + t) below, t = e^−|x|; f32 1.5 ulp, f64 1.4."""
    t = exp_accurate(e, clamp_below(e, e.neg(e.abs(x)), EXP_RANGE[e.dtype][0]))
    one = e.constant(1.0)
    divisor = e.add(t, one)
    lost = e.sub(t, e.sub(divisor, one))
    dividend = e.select(e.lt(x, e.constant(0.0)), t, one)
    quotient = e.div(dividend, divisor)
    rest = e.fma(e.neg(quotient), lost, division_residual(e, dividend, divisor, quotient))
    reciprocal = e.fma(t, e.constant(-0.5), e.constant(0.957))  # 1/(1 + t) to 4.3%, which is enough for a correction
    return e.fma(rest, reciprocal, quotient)


def erf(e: Lanes, x: Value) -> Value:
    """x + x·P(x²) up to |x| = 1, and 1 − e^Q(|x|) beyond; f32 1.5 ulp, f64 1.2."""
    size = e.abs(x)
    near = e.fma(size, polynomial(e, e.mul(size, size), ERF[e.dtype]), size)
    one = e.constant(1.0)
    bounded = clamp_above(e, size, ERF_HIGH[e.dtype])
    far = e.sub(one, exp_moderate(e, polynomial(e, bounded, LOG_ERFC[e.dtype])))
    return e.copysign(e.select(e.ge(size, one), far, near), x)
