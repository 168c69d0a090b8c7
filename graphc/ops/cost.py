"""What ops cost, roughly."""

from __future__ import annotations

from graphc.ir.node import Op
from graphc.ops.elementwise import Abs, Add, Max, Min, Mul, Neg, Sub
from graphc.ops.logic import And, Eq, Ge, Gt, Le, Lt, Ne, Not, Or, Select, Xor

#: Elementwise ops of an instruction or two.
CHEAP: frozenset[type[Op]] = frozenset(
    {Abs, Add, And, Eq, Ge, Gt, Le, Lt, Max, Min, Mul, Ne, Neg, Not, Or, Select, Sub, Xor}
)
