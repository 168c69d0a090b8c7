"""Functions of two variables on which optimizers are watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Surface:
    """f(x, y) of numbers, arrays or tensors; where its minimum is (None: it has none), where to look and to start."""

    name: str
    function: Callable[[Any, Any], Any]
    minimum: tuple[float, float] | None
    window: tuple[float, float, float, float]  # x from, to; y from, to
    start: tuple[float, float]


def beale(x: Any, y: Any) -> Any:
    """Beale (1958): a flat valley with one minimum, f(3, ½) = 0, and steep walls at its corners."""
    first, second, third = 1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y * y * y
    return first * first + second * second + third * third


def rosenbrock(x: Any, y: Any) -> Any:
    """Rosenbrock (1960): a curved valley, f(1, 1) = 0."""
    across, along = y - x * x, 1.0 - x
    return 100.0 * across * across + along * along


def ravine(x: Any, y: Any) -> Any:
    """A long ravine, x² / 20 + y²: twenty times as steep in y as in x."""
    return 0.05 * x * x + y * y


def saddle(x: Any, y: Any) -> Any:
    """x² − y²: a slope that is nothing at the saddle, and a way down on both sides."""
    return x * x - y * y


SURFACES = {
    s.name: s
    for s in (
        Surface("beale", beale, (3.0, 0.5), (-1.0, 4.5, -2.0, 2.0), (1.0, 1.5)),
        Surface("rosenbrock", rosenbrock, (1.0, 1.0), (-2.0, 2.0, -1.0, 3.0), (-1.5, 2.0)),
        Surface("ravine", ravine, (0.0, 0.0), (-10.5, 3.0, -3.0, 3.0), (-10.0, 2.0)),
        Surface("saddle", saddle, None, (-2.0, 2.0, -2.0, 2.0), (-1.8, 0.01)),
    )
}
