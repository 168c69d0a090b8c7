"""What ops cost, roughly."""

from __future__ import annotations

from graphc.ir.node import Op
from graphc.ops.elementwise import Abs, Add, Max, Min, Mul, Neg, Pow, Sub
from graphc.ops.logic import And, Eq, Ge, Gt, Le, Lt, Ne, Not, Or, Select, Xor
from graphc.ops.transcendental import Cos, Sin

#: Elementwise ops of an instruction or two.
CHEAP: frozenset[type[Op]] = frozenset(
    {Abs, Add, And, Eq, Ge, Gt, Le, Lt, Max, Min, Mul, Ne, Neg, Not, Or, Select, Sub, Xor}
)

#: Elementwise ops of some two hundred instructions.
LARGE: frozenset[type[Op]] = frozenset({Cos, Pow, Sin})


def code(op: Op) -> int:
    """How much code an op is, next to others."""
    return 8 if type(op) in LARGE else 1
