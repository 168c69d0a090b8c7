"""Figures: the scalars that an entry gives, by name, and their means over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from graphc import suggest
from graphc.frontend.structure import flatten

if TYPE_CHECKING:
    from graphc.runtime.call import BoundEntry

Figures: TypeAlias = dict[str, float]

#: What names of validation figures start with.
VALIDATION = "val_"
#: The name of an output that is an entry's only one and has none, and what its figure is called.
UNNAMED, FIGURE = "out", "loss"


def figure_names(entry: BoundEntry) -> list[str | None]:
    """The figure that each output of an entry is: its name, `loss` for a lone one without; None for arrays."""
    names = [None if output.shape else output.name for output in entry.entry.returned]
    return [FIGURE] if names == [UNNAMED] else names


def figures_of(entry: BoundEntry, outputs: Any) -> Figures:
    """The scalars among what an entry gave, by name."""
    leaves, _ = flatten(outputs)
    pairs = zip(figure_names(entry), leaves, strict=True)
    return {name: float(leaf) for name, leaf in pairs if name is not None}


class Means:
    """Means of figures, weighted by the rows that they are of, in float64."""

    def __init__(self, rows: int = 0, sums: Mapping[str, float] | None = None):
        self.rows, self.sums = rows, dict(sums or {})

    def add(self, figures: Figures, rows: int) -> None:
        """Take in the means over some rows."""
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * rows
        self.rows += rows

    def result(self) -> Figures:
        """The means over all rows so far."""
        return {name: total / self.rows for name, total in self.sums.items()} if self.rows else {}


def nearest(name: str, known: Sequence[str]) -> str:
    """The help of an error: the nearest known name, or all of them."""
    near = suggest.nearest(name, known)
    there = f"there are {', '.join(known)}" if known else "there are none"
    return f"did you mean {near!r}? {there}" if near else there
