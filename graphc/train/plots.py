"""Pictures of training, drawn with matplotlib, an extra."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import ArgumentError
from graphc.sites import user_site
from graphc.train.figures import VALIDATION

if TYPE_CHECKING:
    from graphc.train.history import History

BLUE, ORANGE = "#2a78b5", "#d9722e"


def learning_curves(history: History, path: Path | None) -> Any:
    """A panel for each figure of a history, its validation beside it; matplotlib's Figure, written where a path is.

    Raises `ArgumentError` where matplotlib is not installed, nothing is there to draw, or the file can't be written.
    """
    names = [n for n in history if not (n.startswith(VALIDATION) and n.removeprefix(VALIDATION) in history)]
    if not names:
        raise ArgumentError("the history has no figures to draw", site=user_site(), help="train for an epoch first")
    figure = new_figure(4.2 * len(names), 3.2)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw(axes, history, name)
    return written(figure, path)


def new_figure(width: float, height: float) -> Any:
    """An empty picture, its size in inches, of no global state of matplotlib's."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        message = "pictures are drawn by matplotlib, which is not installed"
        raise ArgumentError(message, site=user_site(), help="pip install 'graphc[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def draw(axes: Any, history: History, name: str) -> None:
    """One figure over the epochs, counted from 1."""
    epochs = [epoch + 1 for epoch in history.epochs]
    marker = {"marker": "o", "markersize": 3} if len(epochs) < 20 else {}
    axes.plot(epochs, history[name], color=BLUE, label="training", **marker)
    if VALIDATION + name in history:
        axes.plot(epochs, history[VALIDATION + name], color=ORANGE, label="validation", **marker)
        axes.legend(frameon=False)
    values = [v for key in (name, VALIDATION + name) if key in history for v in history[key]]
    if min(values) > 0 and max(values) > 50 * min(values):
        axes.set_yscale("log")
    axes.set_title(name.replace("_", " "), fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def written(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """The picture, in a file if there is a path."""
    if path is not None:
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise ArgumentError(f"{path} can't be written: {error}", site=user_site()) from None
    return figure
