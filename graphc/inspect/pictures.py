"""What the pictures have in common: colours and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

INK, BLUE, ORANGE = "#333333", "#3b6ea8", "#d1701f"


def shades_of_water(count: int) -> list[tuple[float, float, float]]:
    """Colours from deep to shallow."""
    deep, middle, shallow = (0.13, 0.40, 0.66), (0.55, 0.80, 0.80), (0.96, 0.98, 0.94)
    places = [2 * i / max(1, count - 1) for i in range(count)]
    return [between(deep, middle, p) if p < 1 else between(middle, shallow, p - 1) for p in places]


def between(a: Sequence[float], b: Sequence[float], part: float) -> tuple[float, float, float]:
    """A colour on the way from one to another."""
    red, green, blue = (x + (y - x) * part for x, y in zip(a, b, strict=True))
    return red, green, blue


def bare(axes: Any, *sides: str) -> None:
    """Axes without a frame but for some sides."""
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(side in sides)
