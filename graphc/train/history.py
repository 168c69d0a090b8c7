"""What a training run was like: a row of figures for each epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from graphc.errors import StateError
from graphc.sites import user_site
from graphc.suggest import missing_attribute
from graphc.train.figures import Figures, nearest
from graphc.train.paths import path_of


class History(Mapping[str, list[float]]):
    """The figures of each epoch by name: `history["loss"]` is a list as long as `history.epochs`.

    `epochs` are the numbers of the epochs, from 0; `interrupted` says whether Ctrl-C ended the run, `steps` how many
    batches it has seen. A figure that an epoch lacks is NaN. Unknown names raise `StateError`.
    """

    def __init__(self) -> None:
        self.rows: list[Figures] = []
        self.epochs: list[int] = []
        self.steps = 0
        self.interrupted = False

    if not TYPE_CHECKING:  # type checkers know what a History has

        def __getattr__(self, name: str) -> Any:
            raise missing_attribute(self, name, {"history": 'it is the mapping itself: history["loss"]'})

    def append(self, epoch: int, figures: Figures) -> None:
        """Take in an epoch; what is added to the figures later shows here too."""
        self.epochs.append(epoch)
        self.rows.append(figures)

    def __getitem__(self, name: str) -> list[float]:
        if name not in list(self):
            raise StateError(f"the history has no {name!r}", site=user_site(), help=nearest(name, list(self)))
        return [row.get(name, math.nan) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.4g}" for name, value in self.rows[-1].items()) if self.rows else "nothing yet"
        return f"<history of {len(self.epochs)} epochs: {last}>"

    def plot(self, path: str | os.PathLike[str] | None = None) -> object:
        """Draw the learning curves, a panel a figure, training and validation together; returns matplotlib's Figure.

        With a path the picture is written there (.png, .svg, .pdf). Raises `ArgumentError` where matplotlib is not
        installed or there is nothing to draw.
        """
        from graphc.train.plots import learning_curves

        return learning_curves(self, None if path is None else path_of("plot: path", path))
