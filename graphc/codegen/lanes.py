"""What an elementwise op emits: arithmetic on one vector (or one scalar) of lanes of a graphc dtype.

The meaning is NumPy's, without its traps: integer division by zero gives 0, float to integer saturates and takes NaN
to 0, integer shifts by the width or more give 0. A lane's bits depend on that lane's operands only, never on the
number of lanes.
"""

from __future__ import annotations

from graphc.codegen import halves, vecmath_atan, vecmath_exp, vecmath_log, vecmath_pow, vecmath_random, vecmath_trig
from graphc.codegen.arithmetic import (
    integer_divide,
    integer_power,
    modulo,
    nearest,
    negative_bits,
    next_toward,
    saturate,
)
from graphc.codegen.llvm import Builder
from graphc.codegen.llvm_types import Value, suffix, vector_type
from graphc.errors import InternalError
from graphc.runtime.targets import Target

#: LLVM's element type of each dtype, as held in registers.
ELEMENTS = {
    "f32": "float", "f64": "double", "f16": "i16", "bf16": "i16",
    "i32": "i32", "i64": "i64", "u8": "i8", "u32": "i32", "u64": "i64", "bool": "i1",
}  # fmt: skip


class Lanes:
    """Emits operations on `lanes` values of one dtype; operands are LLVM values of type `self.type`."""

    def __init__(self, builder: Builder, dtype: str, lanes: int, target: Target):
        self.builder, self.dtype, self.lanes, self.target = builder, dtype, lanes, target
        self.type = vector_type(ELEMENTS[dtype], lanes)

    # -- types and constants ----------------------------------------------------------------------------------------

    @property
    def floating(self) -> bool:
        """Whether the lanes hold floats to compute with; 16-bit ones are only moved and converted."""
        return self.dtype in ("f32", "f64")

    @property
    def signed(self) -> bool:
        """Whether the lanes hold signed integers."""
        return self.dtype[0] == "i"

    @property
    def bits(self) -> int:
        """The width of one lane in bits (1 for bool)."""
        return 1 if self.dtype == "bool" else int(self.dtype[1:])

    def of(self, dtype: str) -> Lanes:
        """The same lanes holding another dtype."""
        return Lanes(self.builder, dtype, self.lanes, self.target)

    def constant(self, value: float | int | bool) -> Value:
        """A literal in every lane."""
        return self.builder.constant(self.type, value)

    def bitcast(self, x: Value, dtype: str) -> Value:
        """The same bits as another dtype of the same width."""
        return self.builder.cast("bitcast", x, self.of(dtype).type)

    def intrinsic(self, name: str, *operands: Value) -> Value:
        """An LLVM intrinsic overloaded on this type alone: `llvm.name.v16f32`."""
        return self.builder.intrinsic(f"llvm.{name}.{suffix(self.type)}", self.type, *operands)

    def _either(self, float_opcode: str, integer_opcode: str, x: Value, y: Value) -> Value:
        return self.builder.binary(float_opcode if self.floating else integer_opcode, x, y)

    def _floats_only(self, name: str) -> None:
        if not self.floating:
            raise InternalError(f"{name} of {self.dtype} lanes", help="the op's type rule must ask for floats")

    # -- arithmetic -------------------------------------------------------------------------------------------------

    def add(self, x: Value, y: Value) -> Value:
        """x + y; integers wrap."""
        return self._either("fadd", "add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        """x − y; integers wrap."""
        return self._either("fsub", "sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        """x · y; integers wrap."""
        return self._either("fmul", "mul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        """x / y; for integers rounded down, 0 where y is 0."""
        return self.builder.binary("fdiv", x, y) if self.floating else integer_divide(self, x, y)[0]

    def rem(self, x: Value, y: Value) -> Value:
        """x − y·floor(x/y), exact, with y's sign; 0 for an integer y of 0, NaN for a float one."""
        return modulo(self, x, y) if self.floating else integer_divide(self, x, y)[1]

    def neg(self, x: Value) -> Value:
        """−x."""
        if self.floating:
            return self.builder.emit(self.type, f"fneg {x}")
        return self.builder.binary("sub", self.constant(0), x)

    def abs(self, x: Value) -> Value:
        """|x|; the least integer stays itself."""
        if self.floating:
            return self.intrinsic("fabs", x)
        if not self.signed:
            return x
        return self.select(self.lt(x, self.constant(0)), self.neg(x), x)

    def sign(self, x: Value) -> Value:
        """−1, 0 (of either zero) or 1; NaN of NaN."""
        zero = self.constant(0)
        neither = self.add(x, zero) if self.floating else zero
        positive = self.select(self.gt(x, zero), self.constant(1), neither)
        return self.select(self.lt(x, zero), self.constant(-1), positive) if self.signed or self.floating else positive

    def min(self, x: Value, y: Value) -> Value:
        """The smaller; NaN if either is."""
        return self._extremum(self.lt(x, y), x, y)

    def max(self, x: Value, y: Value) -> Value:
        """The larger; NaN if either is."""
        return self._extremum(self.gt(x, y), x, y)

    def _extremum(self, better: Value, x: Value, y: Value) -> Value:
        chosen = self.select(better, x, y)
        return self.select(self.is_nan(x), x, chosen) if self.floating else chosen

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """x·y + z; for floats rounded once where the target has FMA, and twice elsewhere."""
        if self.floating and self.target.fma:
            return self.builder.fma(x, y, z)
        return self.add(self.mul(x, y), z)

    def signbit(self, x: Value) -> Value:
        """Whether the sign bit of floats is set, of zeros and NaNs too."""
        self._floats_only("signbit")
        return negative_bits(self, x)

    def nextafter(self, x: Value, y: Value) -> Value:
        """The next float from x toward y."""
        self._floats_only("nextafter")
        return next_toward(self, x, y)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        """The magnitude of one with the sign of the other (floats)."""
        return self.intrinsic("copysign", magnitude, sign)

    # -- roots and rounding -----------------------------------------------------------------------------------------

    def sqrt(self, x: Value) -> Value:
        """√x, correctly rounded."""
        self._floats_only("sqrt")
        return self.intrinsic("sqrt", x)

    def rsqrt(self, x: Value) -> Value:
        """1/√x by a root and a division, at most 1.0 ulp."""
        return self.div(self.constant(1.0), self.sqrt(x))

    def floor(self, x: Value) -> Value:
        """The integer at or below x; integers are their own."""
        return nearest(self, "floor", x)

    def ceil(self, x: Value) -> Value:
        """The integer at or above x; integers are their own."""
        return nearest(self, "ceil", x)

    def round(self, x: Value) -> Value:
        """The nearest integer, ties to even; integers are their own."""
        return nearest(self, "roundeven", x)

    def trunc(self, x: Value) -> Value:
        """The integer part; integers are their own."""
        return nearest(self, "trunc", x)

    # -- comparison and choice --------------------------------------------------------------------------------------

    def _compare(self, predicate: str, x: Value, y: Value) -> Value:
        if self.floating:
            return self.builder.fcmp("une" if predicate == "ne" else f"o{predicate}", x, y)
        ordered = predicate not in ("eq", "ne")
        return self.builder.icmp(("s" if self.signed else "u") + predicate if ordered else predicate, x, y)

    def eq(self, x: Value, y: Value) -> Value:
        """x = y, as i1 lanes."""
        return self._compare("eq", x, y)

    def ne(self, x: Value, y: Value) -> Value:
        """x ≠ y; true if either is NaN."""
        return self._compare("ne", x, y)

    def lt(self, x: Value, y: Value) -> Value:
        """x < y."""
        return self._compare("lt", x, y)

    def le(self, x: Value, y: Value) -> Value:
        """x ≤ y."""
        return self._compare("le", x, y)

    def gt(self, x: Value, y: Value) -> Value:
        """x > y."""
        return self._compare("gt", x, y)

    def ge(self, x: Value, y: Value) -> Value:
        """x ≥ y."""
        return self._compare("ge", x, y)

    def is_nan(self, x: Value) -> Value:
        """Whether x (floats) is NaN."""
        return self.builder.fcmp("uno", x, x)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """x where the condition (i1 lanes) holds, else y; operands may be of any one type."""
        return self.builder.select(condition, x, y)

    # -- logic and bits ---------------------------------------------------------------------------------------------

    def logical_and(self, x: Value, y: Value) -> Value:
        """Both (bool lanes)."""
        return self.builder.binary("and", x, y)

    def logical_or(self, x: Value, y: Value) -> Value:
        """Either (bool lanes)."""
        return self.builder.binary("or", x, y)

    def logical_xor(self, x: Value, y: Value) -> Value:
        """One of the two (bool lanes)."""
        return self.builder.binary("xor", x, y)

    def logical_not(self, x: Value) -> Value:
        """Not (bool lanes)."""
        return self.builder.binary("xor", x, self.builder.constant(x.type, True))

    def bit_and(self, x: Value, y: Value) -> Value:
        """Bitwise and."""
        return self.builder.binary("and", x, y)

    def bit_or(self, x: Value, y: Value) -> Value:
        """Bitwise or."""
        return self.builder.binary("or", x, y)

    def bit_xor(self, x: Value, y: Value) -> Value:
        """Bitwise exclusive or."""
        return self.builder.binary("xor", x, y)

    def shl(self, x: Value, y: Value) -> Value:
        """x·2^y; 0 where y is negative or the width or more."""
        return self._shift("shl", x, y)

    def shr(self, x: Value, y: Value) -> Value:
        """floor(x/2^y), keeping the sign of signed integers; 0 where y is negative or the width or more."""
        return self._shift("ashr" if self.signed else "lshr", x, y)

    def _shift(self, opcode: str, x: Value, y: Value) -> Value:
        inside = self.builder.icmp("ult", y, self.constant(self.bits))
        count = self.select(inside, y, self.constant(0))
        return self.select(inside, self.builder.binary(opcode, x, count), self.constant(0))

    # -- conversion -------------------------------------------------------------------------------------------------

    def cast(self, x: Value, to_dtype: str) -> Value:
        """x as another dtype: to integers floats saturate and others wrap; to bool is ≠ 0; to 16-bit floats rounds."""
        to = self.of(to_dtype)
        if to_dtype == self.dtype:
            return x
        if self.dtype in halves.NARROW:
            return self.of("f32").cast(halves.widen(self, x), to_dtype)
        if to_dtype in halves.NARROW:
            single = halves.to_odd(self, x) if self.dtype == "f64" else self.cast(x, "f32")
            return halves.narrow(self.of("f32"), single, to_dtype)
        if to_dtype == "bool":
            return self.ne(x, self.constant(0))
        if self.floating and to.floating:
            return self.builder.cast("fpext" if to.bits > self.bits else "fptrunc", x, to.type)
        if self.floating:
            return saturate(self, x, to)
        if to.floating:
            return self.builder.cast("sitofp" if self.signed else "uitofp", x, to.type)
        if to.bits <= self.bits:
            return self.builder.cast("trunc", x, to.type)
        return self.builder.cast("sext" if self.signed else "zext", x, to.type)

    # -- functions: bounds and sources stand where they are emitted -------------------------------------------------

    def exp(self, x: Value) -> Value:
        """e^x."""
        self._floats_only("exp")
        return vecmath_exp.exp(self, x)

    def expm1(self, x: Value) -> Value:
        """e^x − 1."""
        self._floats_only("expm1")
        return vecmath_exp.expm1(self, x)

    def tanh(self, x: Value) -> Value:
        """Hyperbolic tangent."""
        self._floats_only("tanh")
        return vecmath_exp.tanh(self, x)

    def sigmoid(self, x: Value) -> Value:
        """1 / (1 + e^−x)."""
        self._floats_only("sigmoid")
        return vecmath_exp.sigmoid(self, x)

    def erf(self, x: Value) -> Value:
        """The error function."""
        self._floats_only("erf")
        return vecmath_exp.erf(self, x)

    def log(self, x: Value) -> Value:
        """Natural logarithm."""
        self._floats_only("log")
        return vecmath_log.log(self, x)

    def log1p(self, x: Value) -> Value:
        """log(1 + x)."""
        self._floats_only("log1p")
        return vecmath_log.log1p(self, x)

    def sin(self, x: Value) -> Value:
        """Sine of x radians."""
        self._floats_only("sin")
        return vecmath_trig.sin(self, x)

    def cos(self, x: Value) -> Value:
        """Cosine of x radians."""
        self._floats_only("cos")
        return vecmath_trig.cos(self, x)

    def atan2(self, y: Value, x: Value) -> Value:
        """The angle of the point (x, y)."""
        self._floats_only("atan2")
        return vecmath_atan.atan2(self, y, x)

    def pow(self, x: Value, y: Value) -> Value:
        """x^y; a negative integer exponent gives the integer part."""
        return vecmath_pow.power(self, x, y) if self.floating else integer_power(self, x, y)

    def threefry(self, k0: Value, k1: Value, c0: Value, c1: Value, word: int) -> Value:
        """Word 0 or 1 of the random block of a key and a counter (u32 lanes)."""
        return vecmath_random.threefry(self, (k0, k1), (c0, c1))[word]
