"""A line search for the strong Wolfe conditions: bracket a step, then zoom in (Nocedal and Wright, 2006, section 3.5).

PyTorch's form of it, with cubic interpolation, as one loop with one evaluation a round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from graphc.frontend import api
from graphc.frontend.control import while_loop
from graphc.frontend.promotion import as_tensor
from graphc.frontend.tensor import Tensor
from graphc.ir.types import i64

#: Sufficient decrease, and how much flatter the slope must become.
C1, C2 = 1e-4, 0.9


class Point(NamedTuple):
    """A step along a line: its length, the value there, the gradient, and the slope along the line."""

    t: Tensor
    value: Tensor
    gradient: Tensor
    slope: Tensor


Evaluate: TypeAlias = Callable[[Tensor], Point]


def strong_wolfe(
    evaluate: Evaluate, start: Point, first: Tensor, width: Tensor, tolerance: float, most: Tensor, needed: Tensor
) -> tuple[Point, Tensor]:
    """The best point found along a line, and how many were evaluated, in the trace in progress.

    `start` is the point at t = 0, `first` the step to try first, `width` the largest element of the direction: the
    search ends where the bracket times that is below `tolerance`, or `most` steps were tried after the first. Where
    `needed` does not hold nothing is evaluated.
    """
    no = as_tensor(False)
    initial = {
        "a": tuple(start), "b": tuple(start._replace(t=first)), "t": first, "tried": as_tensor(0, i64),
        "zooming": no, "second": as_tensor(True), "stalled": no, "finished": ~needed,
    }  # fmt: skip

    def round_(carry: dict[str, Any]) -> dict[str, Any]:
        a, b = Point(*carry["a"]), Point(*carry["b"])
        new, tried, zooming = evaluate(carry["t"]), carry["tried"], carry["zooming"]
        bracketing = bracketed(start, a, new, tried, most)
        zoomed = narrowed(start, a, b, new, carry["second"])
        a, b = pick(zooming, zoomed.a, bracketing.a), pick(zooming, zoomed.b, bracketing.b)
        second = api.where(zooming, zoomed.second, bracketing.second)
        finished = api.where(zooming, zoomed.finished | (tried >= most), bracketing.finished)
        inside = zooming | bracketing.inside
        narrow = inside & (api.abs(b.t - a.t) * width < tolerance)
        t, stalled = inner(a, b, carry["stalled"] & zooming)
        return {
            "a": tuple(a), "b": tuple(b), "t": api.where(inside, t, bracketing.t), "tried": tried + 1,
            "zooming": inside, "second": second, "stalled": stalled & inside, "finished": finished | narrow,
        }  # fmt: skip

    last = while_loop(lambda carry: ~carry["finished"], round_, initial)
    return pick(last["second"], Point(*last["b"]), Point(*last["a"])), last["tried"]


class Bracket(NamedTuple):
    """Two points, which of them is the better one, and whether the search has ended there.

    `inside`: a good step lies between them; if not, `t` is the next one to try.
    """

    a: Point
    b: Point
    second: Tensor
    finished: Tensor
    inside: Tensor
    t: Tensor


def bracketed(start: Point, previous: Point, new: Point, tried: Tensor, most: Tensor) -> Bracket:
    """After a new point beyond the previous one: a bracket, an end, or a longer step to try."""
    exhausted = tried >= most
    high = is_high(start, new) | ((tried > 1) & (new.value >= previous.value))
    done = ~exhausted & ~high & is_flat(start, new)
    inside = ~exhausted & ~done & (high | (new.slope >= 0.0))
    longer = ~(exhausted | done | inside)
    a = pick(exhausted, start, pick(longer, new, previous))
    t = cubic(previous, new, new.t + 0.01 * (new.t - previous.t), 10.0 * new.t)
    return Bracket(a, new, done | (a.value > new.value), exhausted | done, inside, t)


def narrowed(start: Point, a: Point, b: Point, new: Point, second: Tensor) -> Bracket:
    """After a new point between two others: it takes the place of the worse one, or of the better one."""
    low, high = pick(second, b, a), pick(second, a, b)
    worse = is_high(start, new) | (new.value >= low.value)
    done = ~worse & is_flat(start, new)
    beyond = ~worse & ~done & (new.slope * (high.t - low.t) >= 0.0)
    high = pick(worse, new, pick(beyond, low, high))
    low = pick(worse, low, new)
    first, last = pick(second, high, low), pick(second, low, high)
    better = api.where(worse, first.value > last.value, second)
    return Bracket(first, last, better, done, as_tensor(True), new.t)


def inner(a: Point, b: Point, stalled: Tensor) -> tuple[Tensor, Tensor]:
    """The next step to try between two points, off their ends where those gain little; and whether it is near one."""
    least, most = api.minimum(a.t, b.t), api.maximum(a.t, b.t)
    t = cubic(a, b, least, most)
    margin = 0.1 * (most - least)
    near = api.minimum(most - t, t - least) < margin
    moved = near & (stalled | (t >= most) | (t <= least))
    away = api.where(api.abs(t - most) < api.abs(t - least), most - margin, least + margin)
    return api.where(moved, away, t), near & ~moved


def cubic(p: Point, q: Point, least: Tensor, most: Tensor) -> Tensor:
    """Where the cubic through two points and their slopes is least, within bounds; their middle where it is nowhere."""
    ordered = p.t <= q.t
    left, right = pick(ordered, p, q), pick(ordered, q, p)
    d1 = left.slope + right.slope - 3.0 * (left.value - right.value) / (left.t - right.t)
    square = d1 * d1 - left.slope * right.slope
    d2 = api.sqrt(api.maximum(square, 0.0))
    share = (right.slope + d2 - d1) / (right.slope - left.slope + 2.0 * d2)
    found = api.minimum(api.maximum(right.t - (right.t - left.t) * share, least), most)
    return api.where(square >= 0.0, found, 0.5 * (least + most))


def is_high(start: Point, new: Point) -> Tensor:
    """Whether the value decreases too little (Armijo)."""
    return new.value > start.value + C1 * new.t * start.slope


def is_flat(start: Point, new: Point) -> Tensor:
    """Whether the slope is small enough."""
    return api.abs(new.slope) <= -C2 * start.slope


def pick(choice: Tensor, first: Point, second: Point) -> Point:
    """One of two points."""
    return Point(*(api.where(choice, p, q) for p, q in zip(first, second, strict=True)))
