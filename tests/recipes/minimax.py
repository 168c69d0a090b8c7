"""Derives the polynomials of graphc's vector math: `python tests/recipes/minimax.py` (needs mpmath) prints its tables.

The Remez exchange algorithm (E. Remez, 1934; J.-M. Muller, Elementary Functions, 3rd ed., section 3.6) in 50 digits.
The error printed is that of the coefficients rounded to their format.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpmath import mp, mpf  # type: ignore[import-not-found]

mp.dps = 50
Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """Minimise max |weight(x) · (target(x) − Σ cⱼ·argument(x)ʲ)| over low ≤ x ≤ high."""

    name: str
    target: Function
    weight: Function
    argument: Function
    low: mpf
    high: mpf
    degrees: tuple[int, int]  # for f32 and f64; 0 for none

    def table(self, width: int) -> tuple[list[float], float]:
        """Coefficients in the format (32 or 64 bits), lowest degree first, and log2 of the largest weighted error."""
        powers = range(self.degrees[width == 64] + 1)
        points = [chebyshev(self.low, self.high, i, 600) for i in range(600)]
        z = [self.argument(x) for x in points]
        w = [self.weight(x) for x in points]
        target = [self.target(x) for x in points]
        rounded = [in_format(c, width) for c in remez(z, w, target, powers)]
        error = max(abs(v * (t - mp.polyval(rounded[::-1], u))) for u, v, t in zip(z, w, target, strict=True))
        return rounded, float(mp.log(error, 2))


def chebyshev(low: mpf, high: mpf, index: int, count: int) -> mpf:
    """The index-th of `count` points over an interval, dense at its ends, never on them."""
    return (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (index + mpf(1) / 2) / count)


def in_format(value: mpf, width: int) -> float:
    """The nearest float of 32 or 64 bits."""
    return struct.unpack("f", struct.pack("f", float(value)))[0] if width == 32 else float(value)


def remez(z: Sequence[mpf], w: Sequence[mpf], target: Sequence[mpf], powers: range) -> list[mpf]:
    """The best coefficients of the given powers of z on a grid."""
    unknowns = len(powers) + 1
    nodes = [min(len(z) - 1, int((i + 0.5) * len(z) / unknowns)) for i in range(unknowns)]
    for _ in range(30):
        system = mp.matrix(unknowns, unknowns)
        for row, node in enumerate(nodes):
            for column, power in enumerate(powers):
                system[row, column] = z[node] ** power
            system[row, unknowns - 1] = (-1) ** row / w[node]
        solution = mp.lu_solve(system, mp.matrix([target[n] for n in nodes]))
        coefficients = list(solution)[:-1]
        residual = [v * (t - mp.polyval(coefficients[::-1], u)) for u, v, t in zip(z, w, target, strict=True)]
        extrema = alternating(residual, unknowns)
        if extrema == nodes or len(extrema) < unknowns:
            break
        nodes = extrema
    return coefficients


def alternating(residual: Sequence[mpf], count: int) -> list[int]:
    """The largest point of each run of one sign; of more than `count`, those that remain after dropping the ends."""
    runs: list[int] = []
    for i, r in enumerate(residual):
        if runs and (residual[runs[-1]] > 0) == (r > 0):
            if abs(r) > abs(residual[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > count:
        runs.pop(0 if abs(residual[runs[0]]) < abs(residual[runs[-1]]) else -1)
    return runs


def square(x: mpf) -> mpf:
    """x², the argument of odd and even functions' polynomials."""
    return x * x


def identity(x: mpf) -> mpf:
    """x itself."""
    return x


LN2_HALF = mp.log(2) / 2 * mpf("1.001")
FITS = (
    Fit("EXP", lambda r: (mp.expm1(r) - r - r**2 / 2) / r**3, lambda r: abs(r**3 / mp.expm1(r)), identity,
        -LN2_HALF, LN2_HALF, (3, 9)),
    Fit("LOG", lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: f**3 / mp.log1p(f), identity,
        mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1, (8, 20)),
    Fit("TANH", lambda x: (mp.tanh(x) / x - 1) / x**2, lambda x: x**3 / mp.tanh(x), square,
        mpf(0), mpf(1), (6, 15)),
    Fit("ERF", lambda x: mp.erf(x) / x - 1, lambda x: x / mp.erf(x), square, mpf(0), mpf(1), (6, 12)),
    Fit("LOG_ERFC", lambda x: mp.log(mp.erfc(x)), mp.erfc, identity, mpf("0.999"), mpf(4), (6, 0)),
    Fit("LOG_ERFC", lambda x: mp.log(mp.erfc(x)), mp.erfc, identity, mpf("0.999"), mpf(6), (0, 21)),
    Fit("SIN", lambda t: (mp.sin(t) / t - 1) / t**2, lambda t: t**3 / mp.sin(t), square,
        mpf(0), mp.pi / 4 * mpf("1.001"), (3, 6)),
    Fit("COS", lambda t: (mp.cos(t) - 1 + t**2 / 2) / t**4, lambda t: t**4 / mp.cos(t), square,
        mpf(0), mp.pi / 4 * mpf("1.001"), (2, 6)),
    Fit("ATANH", lambda s: (2 * mp.atanh(s) - 2 * s - 2 * s**3 / 3) / s**5, lambda s: s**5 / mp.atanh(s), square,
        mpf(0), mpf("0.1716"), (3, 8)),
    Fit("ATAN", lambda t: (mp.atan(t) / t - 1) / t**2, lambda t: t**3 / mp.atan(t), square,
        mpf(0), mpf(1), (8, 18)),
)  # fmt: skip


def main(names: Sequence[str]) -> None:
    """Print the tables of the fits named, or of all."""
    for fit in FITS:
        if not names or fit.name in names:
            for width in (w for w, degree in zip((32, 64), fit.degrees, strict=True) if degree):
                coefficients, error = fit.table(width)
                print(f"{fit.name}  f{width}  2^{error:.1f}\n    {', '.join(map(repr, coefficients))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
