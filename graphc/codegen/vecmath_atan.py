"""The inverse tangent of a quotient, from which the other inverse trigonometric functions are made.

Polynomial: a Remez minimax fit by tests/recipes/minimax.py. Bounds: as for vecmath_exp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from graphc.codegen.llvm_types import Value
from graphc.codegen.vecmath import Table, polynomial

if TYPE_CHECKING:
    from graphc.codegen.lanes import Lanes

#: (atan(t)/t − 1) / t² in t², t ≤ 1.
ATAN: Table = {
    "f32": (-0.33333298563957214, 0.19998548924922943, -0.14264243841171265, 0.10952194780111313, -0.08403477817773819,
            0.057958077639341354, -0.03117833100259304, 0.01091486681252718, -0.001793679897673428),
    "f64": (-0.3333333333333186, 0.1999999999975511, -0.1428571427133915, 0.11111110678858736, -0.09090901237091262,
            0.07692212948003066, -0.06665860489209531, 0.05877308433246542, -0.05239235592107554, 0.04673957285936167,
            -0.04092655624421677, 0.03406811386447139, -0.025827201174479404, 0.016978446143830796,
            -0.009184869835262672, 0.0038561447947420007, -0.0011641351459851959, 0.00022303683293325337,
            -2.0260065787753994e-05),
}  # fmt: skip

#: π/2 and π as sums of two floats; twice the low part of one is that of the other.
HALF_PI = {"f32": (1.5707963705062866, -4.371139000186241e-08), "f64": (math.pi / 2, 6.123233995736766e-17)}


def atan2(e: Lanes, y: Value, x: Value) -> Value:
    """The angle of (x, y) by octants, with the special values of C99, section F.9.1.4; f32 1.6 ulp, f64 3.2.

    t = min/max of the magnitudes, and atan t = t + t³·P(t²), which π/2 and π turn into the other octants.
    """
    zero, one = e.constant(0.0), e.constant(1.0)
    high, low = (e.constant(c) for c in HALF_PI[e.dtype])
    width, height = e.abs(x), e.abs(y)
    small, large = e.min(width, height), e.max(width, height)
    t = e.div(small, large)
    t = e.select(e.eq(large, zero), zero, e.select(e.eq(small, e.constant(math.inf)), one, t))
    square = e.mul(t, t)
    angle = e.fma(e.mul(t, square), polynomial(e, square, ATAN[e.dtype]), t)
    steep = e.add(e.sub(high, angle), low)
    angle = e.select(e.gt(height, width), steep, angle)
    back = e.add(e.sub(e.add(high, high), angle), e.add(low, low))
    return e.copysign(e.select(e.signbit(x), back, angle), y)
