"""Learning-rate schedules: functions of the number of steps taken, computed in the compiled step.

A schedule stands where a learning rate may: `optim.Adam(optim.CosineDecay(1e-3, 10_000))`. Calling it with a step (a
float scalar, 0 at the first one) gives the rate, so schedules can be combined by ordinary functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from graphc.errors import ArgumentError
from graphc.frontend import api
from graphc.frontend.numbers import is_count, is_number
from graphc.frontend.promotion import cast
from graphc.frontend.tensor import Tensor
from graphc.ir.types import f64
from graphc.records import Record
from graphc.sites import user_site

#: Fields that are lengths in steps.
LENGTHS = ("decay_steps", "first_decay_steps", "step_size", "total_steps", "steps")


class Schedule(Record):
    """A learning rate that depends on the step t, from 0. Raises `ArgumentError` for settings that can't be."""

    def __init__(self, *values: Any, **named: Any) -> None:
        try:
            super().__init__(*values, **named)
        except TypeError as error:
            raise ArgumentError(str(error), site=user_site(), help=f"it is {signature(type(self))}") from None
        self.validate()

    def validate(self) -> None:
        """Raise `ArgumentError` for lengths that are not positive and numbers that are none."""
        for field in fields(self):
            value, name = getattr(self, field.name), f"{type(self).__name__}: {field.name}"
            if field.type == "int":
                expect_steps(name, value, 1 if field.name in LENGTHS else 0)
            elif field.type == "float":
                expect_number(name, value)

    def __call__(self, t: Tensor) -> Tensor:
        """The rate at a step, a float scalar of the step's dtype."""
        raise NotImplementedError


def signature(kind: type[Schedule]) -> str:
    """How a schedule is made: its fields and their defaults."""
    given = (f"{f.name}={getattr(kind, f.name)!r}" if hasattr(kind, f.name) else f.name for f in fields(kind))
    return f"{kind.__name__}({', '.join(given)})"


def expect_steps(name: str, value: object, least: int) -> None:
    """Raise `ArgumentError` unless a value is a number of steps."""
    if not is_count(value, least):
        raise ArgumentError(
            f"{name}={value!r} is not a number of steps", site=user_site(), help=f"give an integer of at least {least}"
        )


def expect_number(name: str, value: object) -> None:
    """Raise `ArgumentError` unless a value is a finite number."""
    if not is_number(value):
        raise ArgumentError(f"{name}={value!r} is not a number", site=user_site(), help="give a finite number")


def expect(name: str, value: object, holds: bool, help: str) -> None:
    """Raise `ArgumentError` about a value unless something holds of it."""
    if not holds:
        raise ArgumentError(f"{name}={value!r} can't be", site=user_site(), help=help)


class Function(Schedule):
    """A schedule of the user's: `optim.schedule(lambda t: 0.1 / gr.sqrt(t + 1))`."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, t: Tensor) -> Tensor:
        return self.function(t)


def schedule(function: Callable[[Tensor], Tensor]) -> Schedule:
    """A function of the step, a float scalar from 0, as a schedule."""
    if not callable(function):
        raise ArgumentError(
            f"schedule: {function!r} is not a function of the step",
            site=user_site(),
            help="optim.schedule(lambda t: 0.1 / gr.sqrt(t + 1)); a constant rate needs none",
        )
    return Function(function)


class Decay(Schedule):
    """The base of rates that are η₀ times a function of t/T, which `staircase` floors."""

    initial: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __call__(self, t: Tensor) -> Tensor:
        return self.initial * self.share(progress(t, self.decay_steps, self.staircase))

    def share(self, done: Tensor) -> Tensor:
        """What is left of η₀ after so many times T."""
        raise NotImplementedError


class ExponentialDecay(Decay):
    """η₀·r^(t/T); `staircase` floors the exponent.

    `optim.ExponentialDecay(initial=0.1, decay_steps=1000, decay_rate=0.5)`: half the rate after a thousand steps.
    """

    def share(self, done: Tensor) -> Tensor:
        return self.decay_rate**done


class InverseTimeDecay(Decay):
    """η₀ / (1 + k·t/T); `staircase` floors t/T."""

    def share(self, done: Tensor) -> Tensor:
        return 1.0 / (1.0 + self.decay_rate * done)


class NaturalExpDecay(Decay):
    """η₀·e^(−k·t/T); `staircase` floors t/T."""

    def share(self, done: Tensor) -> Tensor:
        return api.exp(-self.decay_rate * done)


class PiecewiseConstant(Schedule):
    """`values[i]` from `boundaries[i − 1]` on: at a boundary the new value holds (PyTorch; Keras: the old one)."""

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def validate(self) -> None:
        sequences = isinstance(self.boundaries, Sequence) and isinstance(self.values, Sequence)
        message = f"PiecewiseConstant: boundaries={self.boundaries!r}, values"
        expect(message, self.values, sequences, "give sequences: PiecewiseConstant((1000, 2000), (0.1, 0.01, 0.001))")
        for value in self.values:
            expect_number("PiecewiseConstant: values", value)
        for boundary in self.boundaries:
            expect_steps("PiecewiseConstant: boundaries", boundary, 0)
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(set(self.boundaries)):
            raise ArgumentError(
                f"PiecewiseConstant: {len(self.boundaries)} boundaries with {len(self.values)} values",
                site=user_site(),
                help="give increasing boundaries and one value more than there are boundaries",
            )

    def __call__(self, t: Tensor) -> Tensor:
        rate = t * 0.0 + self.values[0]
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = api.where(t >= boundary, value, rate)
        return rate


class PolynomialDecay(Schedule):
    """(η₀ − ηₑ)·(1 − t/T)^p + ηₑ up to T, ηₑ after it; with `cycle` T is stretched to T·⌈t/T⌉ (Keras)."""

    initial: float
    decay_steps: int
    end: float = 1e-4
    power: float = 1.0
    cycle: bool = False

    def validate(self) -> None:
        super().validate()
        expect("PolynomialDecay: power", self.power, self.power >= 0.0, "at the end a power below 0 is infinite")

    def __call__(self, t: Tensor) -> Tensor:
        if self.cycle:
            length = self.decay_steps * api.maximum(api.ceil(t / self.decay_steps), 1.0)
            rest = 1.0 - t / length
        else:
            rest = 1.0 - api.minimum(t, float(self.decay_steps)) / self.decay_steps
        return (self.initial - self.end) * rest**self.power + self.end


class CosineDecay(Schedule):
    """η₀·[(1 − α)·½(1 + cos πt/T) + α], constant after T; before it a linear warm-up from `warmup_start` to η₀.

    The warm-up takes `warmup_steps`, and t counts from its end (Keras).
    """

    initial: float
    decay_steps: int
    alpha: float = 0.0
    warmup_steps: int = 0
    warmup_start: float = 0.0

    def __call__(self, t: Tensor) -> Tensor:
        decayed = self.initial * cosine(api.clip((t - self.warmup_steps) / self.decay_steps, 0.0, 1.0), self.alpha)
        if not self.warmup_steps:
            return decayed
        rising = self.warmup_start + (self.initial - self.warmup_start) * (t / self.warmup_steps)
        return api.where(t < self.warmup_steps, rising, decayed)


class CosineRestarts(Schedule):
    """Cosine decay that restarts: periods of T, T·t_mul, T·t_mul², …; their tops fall by m_mul (SGDR, 2017; Keras).

    A restart is at its very step: the number of the period is computed in f64, and where rounding leaves its logarithm
    just below a whole number (which in Keras delays the restart by a step) that number is taken.
    """

    initial: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def validate(self) -> None:
        super().validate()
        expect("CosineRestarts: t_mul", self.t_mul, self.t_mul >= 1.0, "periods stay as long as they are, or grow")

    def __call__(self, t: Tensor) -> Tensor:
        done = cast(t, f64) / self.first_decay_steps
        if self.t_mul == 1.0:
            period, fraction = api.floor(done), done - api.floor(done)
        else:
            exact = api.log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul)
            period = api.floor(exact + ROUNDING * api.maximum(exact, 1.0))
            passed = (1.0 - self.t_mul**period) / (1.0 - self.t_mul)
            fraction = (done - passed) / self.t_mul**period
        return cast(self.initial * cosine(fraction, self.alpha, self.m_mul**period), (t * 1.0).dtype)


#: What the logarithm of a number of periods may be wrong by, relatively: some units in the last place of f64.
ROUNDING = 2.0**-49


class Cyclical(Schedule):
    """Between `low` and `high` in triangles of 2·`step_size` steps (Smith, 2017).

    `mode`: "triangular" keeps the height, "triangular2" halves it each cycle, "exp_range" scales it by γᵗ.
    """

    low: float
    high: float
    step_size: int
    mode: str = "triangular"
    gamma: float = 1.0

    def __call__(self, t: Tensor) -> Tensor:
        cycle = api.floor(1.0 + t / (2 * self.step_size))
        x = api.abs(t / self.step_size - 2.0 * cycle + 1.0)
        return self.low + (self.high - self.low) * api.maximum(1.0 - x, 0.0) * HEIGHTS[self.mode](self, t, cycle)

    def validate(self) -> None:
        super().validate()
        if not isinstance(self.mode, str) or self.mode not in HEIGHTS:
            raise ArgumentError(
                f"Cyclical: mode={self.mode!r} is not known",
                site=user_site(),
                help=f"it is one of {', '.join(HEIGHTS)}",
            )


#: The height of a cyclical schedule's triangle, by its mode.
HEIGHTS: dict[str, Callable[[Cyclical, Tensor, Tensor], Tensor | float]] = {
    "triangular": lambda schedule, t, cycle: 1.0,
    "triangular2": lambda schedule, t, cycle: 0.5 ** (cycle - 1.0),
    "exp_range": lambda schedule, t, cycle: schedule.gamma**t,
}


class OneCycle(Schedule):
    """From `highest`/`div` up to `highest`, then down to `highest`/(`div`·`final_div`), along cosines (Smith, 2018).

    The rise takes the fraction `pct` of `total_steps`; PyTorch's two-phase form.
    """

    highest: float
    total_steps: int
    pct: float = 0.3
    div: float = 25.0
    final_div: float = 1e4

    def validate(self) -> None:
        super().validate()
        expect("OneCycle: pct", self.pct, 0.0 <= self.pct <= 1.0, "it is a share of the steps, from 0 to 1")
        expect("OneCycle: div", self.div, self.div > 0.0, "it divides: give a number above 0")
        expect("OneCycle: final_div", self.final_div, self.final_div > 0.0, "it divides: give a number above 0")

    def __call__(self, t: Tensor) -> Tensor:
        first = self.highest / self.div
        top = self.pct * self.total_steps - 1.0
        last = self.total_steps - 1.0
        fraction = api.minimum((t - top) / (last - top), 1.0) if top < last else api.ones_like(t)
        down = annealed(self.highest, first / self.final_div, fraction)
        return api.where(t <= top, annealed(first, self.highest, t / top), down) if top > 0.0 else down


class StepDecay(Schedule):
    """max(η_min, η₀·r^⌊t/T⌋)."""

    initial: float
    step_size: int
    rate: float = 0.1
    least: float = 0.0

    def __call__(self, t: Tensor) -> Tensor:
        return api.maximum(self.initial * self.rate ** progress(t, self.step_size, True), self.least)


class Warmup(Schedule):
    """A linear rise from `start` to the first rate of another schedule (or a constant) over some steps, then that."""

    after: Schedule | float
    steps: int
    start: float = 0.0

    def validate(self) -> None:
        super().validate()
        if not isinstance(self.after, Schedule):
            expect_number("Warmup: after", self.after)

    def __call__(self, t: Tensor) -> Tensor:
        zero = t * 0.0
        top = self.after(zero) if isinstance(self.after, Schedule) else zero + self.after
        later = self.after(api.maximum(t - self.steps, 0.0)) if isinstance(self.after, Schedule) else top
        return api.where(t < self.steps, self.start + (top - self.start) * (t / self.steps), later)


def progress(t: Tensor, steps: int, staircase: bool) -> Tensor:
    """t/T, floored for a staircase."""
    return api.floor(t / steps) if staircase else t / steps


def cosine(fraction: Tensor, alpha: float, height: Tensor | float = 1.0) -> Tensor:
    """(1 − α)·½(1 + cos π·fraction)·height + α."""
    return (1.0 - alpha) * (0.5 * (1.0 + api.cos(math.pi * fraction)) * height) + alpha


def annealed(start: float, end: float, fraction: Tensor) -> Tensor:
    """From start to end along half a cosine."""
    return end + (start - end) / 2.0 * (1.0 + api.cos(math.pi * fraction))
