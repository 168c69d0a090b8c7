"""Random numbers from a counter: Threefry-2x32 of a key, a place and an element, so that equal keys give equal numbers.

In an entry `key=None` means the state's counter ("graphc/random", seeded by `init`, one further each call) and this
call's place among the entry's random calls, in `gr.vmap` the index too; numbers are the same on every CPU and in C.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

from graphc import ops
from graphc.errors import ArgumentError, DTypeError, TraceError
from graphc.frontend.api import (
    add,
    argmax,
    argsort,
    broadcast_to,
    cos,
    exp,
    less,
    log,
    moveaxis,
    multiply,
    negative,
    sqrt,
    squeeze,
    stop_gradient,
    take,
    take_along_axis,
    where,
)
from graphc.frontend.manipulation import normal_shape
from graphc.frontend.promotion import apply, as_tensor, broadcast, cast, stretch
from graphc.frontend.recording import Recording, current
from graphc.frontend.reductions import normal_axes
from graphc.frontend.size import is_size
from graphc.frontend.tensor import Shape, Tensor, TensorLike
from graphc.frontend.variable import Initial, Variable
from graphc.ir.dim import Size
from graphc.ir.types import DType, TensorType, f32, f64, i64, u32
from graphc.records import Record
from graphc.sites import user_site
from graphc.suggest import answering

__all__ = [
    "Key", "bernoulli", "beta", "categorical", "exponential", "fold_in", "gamma", "gumbel", "key", "normal",
    "permutation", "randint", "split", "truncated_normal", "uniform",
]  # fmt: skip

#: Marks the streams that make keys, so that they share no block with streams that make numbers.
FOLDING = 0x8000_0000

#: How often `gamma` tries: at worst 4.8% of its attempts fail, so all of them for one number in 10¹⁰.
ATTEMPTS = 8


class Key(Record):
    """64 bits that decide the numbers: two u32 scalars. `stream` tells apart calls that share them."""

    low: Tensor
    high: Tensor
    stream: int = 0


@answering()
def key(seed: TensorLike) -> Key:
    """The key of an integer seed (64 bits of it count)."""
    wide = cast(as_tensor(seed, i64) if isinstance(seed, int) else as_tensor(seed), i64)
    if wide.ndim:
        raise ArgumentError("random.key: the seed is not a scalar", site=user_site())
    return Key(cast(wide, u32), cast(wide >> 32, u32))


@answering()
def fold_in(key: Key, data: TensorLike) -> Key:
    """Another key, from a key and an integer: keys of different integers are independent."""
    count = cast(as_tensor(data, i64) if isinstance(data, int) else as_tensor(data), u32)
    stream = as_tensor(key.stream | FOLDING, u32)
    low, high = (apply(ops.Threefry(word), key.low, key.high, count, stream) for word in (0, 1))
    return Key(low, high)


@answering()
def split(key: Key, num: int = 2) -> tuple[Key, ...]:
    """Independent keys from one."""
    return tuple(fold_in(key, i) for i in range(num))


@answering()
def uniform(
    shape: Shape = (), key: Key | None = None, low: float = 0.0, high: float = 1.0, dtype: DType = f32
) -> Tensor:
    """Uniform on [low, high): as many random bits as the dtype's significand has."""
    unit = unit_interval(normal_shape(shape), chosen(key), dtype)
    return unit if (low, high) == (0.0, 1.0) else add(multiply(unit, high - low), low)


@answering()
def normal(
    shape: Shape = (), key: Key | None = None, mean: float = 0.0, stddev: float = 1.0, dtype: DType = f32
) -> Tensor:
    """Normal, by Box and Muller's √(−2 ln u)·cos 2πv with u in (0, 1] and v in [0, 1), two words an element.

    Box and Muller, "A note on the generation of random normal deviates", 1958. In f32 no |z| exceeds 5.8.
    """
    sizes, key = normal_shape(shape), chosen(key)
    u = 1.0 - unit_interval(sizes, key, dtype.computed, word=0)
    v = unit_interval(sizes, key, dtype.computed, word=1)
    z = multiply(sqrt(-2.0 * log(u)), cos((2.0 * math.pi) * v))
    return cast(z if (mean, stddev) == (0.0, 1.0) else z * stddev + mean, dtype)


@answering()
def truncated_normal(shape: Shape = (), key: Key | None = None, bound: float = 2.0, dtype: DType = f32) -> Tensor:
    """Standard normal given |z| ≤ bound.

    The inverse of its distribution by Winitzki's erf⁻¹ (2008), polished by two Newton steps on erf.
    """
    unit = unit_interval(normal_shape(shape), chosen(key), dtype.computed)
    limit = math.erf(bound / math.sqrt(2.0))
    return cast(inverse_erf((unit * 2.0 - 1.0) * limit) * math.sqrt(2.0), dtype)


def inverse_erf(p: Tensor) -> Tensor:
    """erf⁻¹ of p in (−0.99, 0.99): Winitzki's closed form, then x − (erf x − p)·(√π/2)·exp x²."""
    a = 0.147
    tail = log(1.0 - p * p)
    b = 2.0 / (math.pi * a) + 0.5 * tail
    size = sqrt(sqrt(b * b - tail * (1.0 / a)) - b)
    x = where(p < 0.0, -size, size)
    for _ in range(2):
        x = x - (apply(ops.Erf(), x) - p) * (0.5 * math.sqrt(math.pi)) * apply(ops.Exp(), x * x)
    return x


@answering()
def exponential(shape: Shape = (), key: Key | None = None, scale: TensorLike = 1.0, dtype: DType = f32) -> Tensor:
    """Exponential of mean `scale`: −ln u."""
    return cast(multiply(negative(log(open_interval(normal_shape(shape), chosen(key), dtype))), scale), dtype)


@answering()
def gumbel(shape: Shape = (), key: Key | None = None, dtype: DType = f32) -> Tensor:
    """Standard Gumbel, the distribution of the largest of many: −ln(−ln u)."""
    wait = negative(log(open_interval(normal_shape(shape), chosen(key), dtype)))
    return cast(negative(log(wait)), dtype)


@answering()
def gamma(
    a: TensorLike, shape: Shape | None = None, key: Key | None = None, scale: TensorLike = 1.0, dtype: DType = f32
) -> Tensor:
    """Gamma of shape parameter a > 0, a number or a tensor that broadcasts to `shape`, its own by default."""
    return cast(multiply(exp(log_gamma_sample(a, shape, chosen(key), dtype.computed)), scale), dtype)


@answering()
def beta(
    a: TensorLike, b: TensorLike, shape: Shape | None = None, key: Key | None = None, dtype: DType = f32
) -> Tensor:
    """Beta(a, b) on [0, 1]: of a gamma of a and one of b, the first one's share. a, b > 0 broadcast, as in `gamma`."""
    first, second = split(chosen(key))
    sizes = broadcast("random.beta", as_tensor(a), as_tensor(b))[0].shape if shape is None else shape
    share = log_gamma_sample(a, sizes, first, dtype.computed) - log_gamma_sample(b, sizes, second, dtype.computed)
    return cast(1.0 / (1.0 + exp(negative(share))), dtype)


def log_gamma_sample(a: TensorLike, shape: Shape | None, key: Key, dtype: DType) -> Tensor:
    """The logarithm of a gamma of shape parameter a, which may be too small for its exponential.

    Marsaglia and Tsang, "A simple method for generating gamma variables", 2000: the first of ATTEMPTS that is accepted,
    for a + 1, and to it ln(u) / a. No gradient goes into a.
    """
    given = cast(as_tensor(a, dtype) if isinstance(a, (int, float)) else as_tensor(a), dtype)
    sizes = given.type.shape if shape is None else normal_shape(shape)
    concentration = broadcast_to(stop_gradient(given), given.shape if shape is None else shape)
    tries = (*sizes, ATTEMPTS)
    d = stretch(apply(ops.Reshape((*sizes, 1)), concentration), tries) + (1.0 - 1.0 / 3.0)
    proposals, decisions, boosts = split(key, 3)
    z = normal(tries, proposals, dtype=dtype)
    v = (z / sqrt(9.0 * d) + 1.0) ** 3
    size = log(where(v > 0.0, v, 1.0))
    accepted = (v > 0.0) & (log(open_interval(tries, decisions, dtype)) < 0.5 * z * z + d - d * v + d * size)
    first = argmax(cast(accepted, i64), -1, keepdims=True)
    found = squeeze(take_along_axis(log(d) + size, first, -1), -1)
    return found + log(open_interval(sizes, boosts, dtype)) / concentration


@answering()
def bernoulli(p: TensorLike, shape: Shape | None = None, key: Key | None = None) -> Tensor:
    """True with probability p (to 2⁻²⁴), a scalar or a tensor that broadcasts to the shape: its own by default."""
    chance = as_tensor(p)
    return less(uniform(chance.shape if shape is None else shape, key), p)


@answering()
def categorical(logits: TensorLike, axis: int = -1, shape: Shape | None = None, key: Key | None = None) -> Tensor:
    """i64 places along an axis, each drawn with the probability that softmax gives it.

    `shape` is the result's, which the logits without the axis broadcast to (by default their own). The place of the
    largest of logits with Gumbel noise: Gumbel and Lieblein, "Statistical theory of extreme values", 1954.
    """
    tensor = as_tensor(logits)
    if not tensor.dtype.is_float or not tensor.ndim:
        raise DTypeError(f"random.categorical: {tensor.type} are no logits", site=user_site(), help="floats of an axis")
    last = moveaxis(tensor, axis, -1)
    sizes = last.type.shape[:-1] if shape is None else normal_shape(shape)
    noise = gumbel((*sizes, last.type.shape[-1]), key, dtype=tensor.dtype)
    return argmax(add(last, noise), -1)


@answering()
def permutation(x: int | TensorLike, axis: int = 0, key: Key | None = None) -> Tensor:
    """The slices of x along an axis in random order; of a size n, the numbers 0 … n − 1 (i64).

    The order of 64 random bits for each.
    """
    if is_size(x):
        return shuffled_places(normal_shape((x,))[0], chosen(key))  # type: ignore[arg-type]
    tensor = as_tensor(x)
    (along,) = normal_axes(tensor, axis)
    return take(tensor, shuffled_places(tensor.type.shape[along], chosen(key)), along)


def shuffled_places(size: Size, key: Key) -> Tensor:
    """0 … size − 1 in random order."""
    high, low = (cast(random_bits((size,), key, word), i64) for word in (0, 1))
    return argsort((high << 32) + low)


@answering()
def randint(low: int, high: int, shape: Shape = (), key: Key | None = None, dtype: DType = i64) -> Tensor:
    """Integers in [low, high), high − low ≤ 2³¹: one word modulo the span (bias below span/2³²)."""
    if not 0 < high - low <= 2**31:
        raise ArgumentError(f"random.randint: [{low}, {high}) has no or too many integers", site=user_site())
    bits = random_bits(normal_shape(shape), chosen(key), 0)
    return cast(cast(bits, i64) % (high - low) + low, dtype)


def unit_interval(shape: Sequence[Size], key: Key, dtype: DType, word: int = 0) -> Tensor:
    """Uniform on [0, 1): a multiple of 2⁻ᵖ, where p is the dtype's precision."""
    if not dtype.is_float:
        raise DTypeError(f"random numbers of {dtype}", site=user_site(), help="use a float dtype, or random.randint")
    bits = random_bits(shape, key, word)
    if dtype == f64:
        fine = cast(bits >> 5, f64) * 2.0**26 + cast(random_bits(shape, key, 1 - word) >> 6, f64)
        return fine * 2.0**-53
    return cast(cast(bits >> (32 - dtype.precision), f32) * 2.0**-dtype.precision, dtype)


def open_interval(shape: Sequence[Size], key: Key, dtype: DType) -> Tensor:
    """Uniform on (0, 1): middles of intervals of 2⁻²³ (f64: 2⁻⁵²), so neither 0 nor 1; 16-bit floats as f32."""
    if not dtype.is_float:
        raise DTypeError(f"random numbers of {dtype}", site=user_site(), help="use a float dtype, or random.randint")
    if dtype == f64:
        whole = cast(random_bits(shape, key, 0), f64) * 2.0**20 + cast(random_bits(shape, key, 1) >> 12, f64)
        return (whole + 0.5) * 2.0**-52
    return (cast(random_bits(shape, key, 0) >> 9, f32) + 0.5) * 2.0**-23


def random_bits(shape: Sequence[Size], key: Key, word: int) -> Tensor:
    """u32 words: Threefry of the key at (index of the element in row-major order, stream).

    They are made in one long row, whose vectors are full whatever the last size is.
    """
    row = (math.prod(shape),)
    operands = (key.low, key.high, apply(ops.Iota(u32, row, 0)), as_tensor(key.stream, u32))
    return arranged(apply(ops.Threefry(word), *[stretch(t, row) for t in operands]), tuple(shape))


def arranged(row: Tensor, shape: tuple[Size, ...]) -> Tensor:
    """The elements of a row in a shape."""
    return row if row.type.shape == shape else apply(ops.Reshape(shape), row)


def chosen(key: Key | None) -> Key:
    """The key given; else the state's counter and the place of this call in the entry.

    Raises `TraceError` in `gr.jit`, which has no state.
    """
    if key is not None:
        if not isinstance(key, Key):
            raise ArgumentError(f"{key!r} is not a key", site=user_site(), help="make one: gr.random.key(seed)")
        return key
    recording = current("random numbers")
    if recording.counter is None:
        raise TraceError(
            "random numbers without a key: gr.jit has no state to count in",
            site=user_site(),
            help="give key=gr.random.key(seed), with a seed among the arguments",
        )
    count = Tensor(recording.read(recording.counter))
    recording.random_sites += 1
    key = Key(cast(count, u32), cast(count >> 32, u32), recording.random_sites)
    for index in recording.indices:
        key = fold_in(key, Tensor(index))
    return key


def advance(recording: Recording) -> None:
    """At the end of an entry: if it drew numbers, count the call."""
    if recording.random_sites and recording.counter is not None:
        recording.counter.assign(recording.counter + 1)


def counter() -> Variable:
    """The random state of a Program: 64 bits drawn from the seed, one further each call of an entry that draws."""
    return Variable(Initial(TensorType(i64), first_count), name="graphc/random", trainable=False)


def first_count(key: Key) -> Tensor:
    """64 random bits."""
    low, high = (cast(random_bits((), key, word), i64) for word in (0, 1))
    return low + (high << 32)


def named_key(seed: Key, name: str) -> Key:
    """The key that a Variable's initial value is drawn from: other Variables come and go without changing it."""
    return fold_in(seed, zlib.crc32(name.encode()))
