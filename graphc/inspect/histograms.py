"""A report's picture: a row of histograms for each layer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.inspect.pictures import BLUE, INK, ORANGE, bare
from graphc.inspect.report import LayerReport
from graphc.ir.node import Array
from graphc.suggest import answering
from graphc.train.plots import new_figure, written

BINS = 60


@answering()
def layer_histograms(report: LayerReport, path: str | os.PathLike[str] | None) -> Any:
    """Left the outputs, each on its own scale; right the gradients' sizes, on one. Zeros are told, not drawn."""
    names, gradients = list(report.activations), report.gradients
    span = common_range([sizes(g) for g in gradients.values()])
    picture = new_figure(8.5, 0.8 + 0.75 * len(names))
    grid = picture.subplots(len(names), 2 if gradients else 1, squeeze=False, gridspec_kw={"wspace": 0.05})
    for row, name in zip(grid, names, strict=True):
        draw(row[0], report.activations[name], not_zero, None, BLUE)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK, fontsize=9)
        if name in gradients:
            draw(row[1], gradients[name], sizes, span, ORANGE)
        elif gradients:
            row[1].set_axis_off()
        if gradients:
            row[1].set_xlim(*span)
            row[1].tick_params(labelbottom=name == names[-1])
    grid[0, 0].set_title("outputs", color=INK, fontsize=10)
    if gradients:
        grid[0, 1].set_title("log₁₀ |∂loss / ∂output|", color=INK, fontsize=10)
    return written(picture, path)


def not_zero(values: Array) -> Array:
    """The elements that are finite and not 0."""
    wide = np.asarray(values, np.float64)
    found: Array = wide[np.isfinite(wide) & (wide != 0)]
    return found


def sizes(values: Array) -> Array:
    """The decimal logarithms of the sizes of elements that have one."""
    found: Array = np.log10(np.abs(not_zero(values)))
    return found


def common_range(values: list[Array]) -> tuple[float, float]:
    """A range that holds all but a few of the values."""
    joined = np.concatenate([*values, np.zeros(0)])
    if not joined.size:
        return -1.0, 1.0
    low, high = np.quantile(joined, [0.002, 1.0])
    return float(np.floor(low - 0.2)), float(np.ceil(high + 0.2))


def draw(
    axes: Any, values: Array, shown: Callable[[Array], Array], span: tuple[float, float] | None, colour: str
) -> None:
    """One histogram, without a vertical scale."""
    axes.hist(shown(values), bins=BINS, range=span, color=colour, alpha=0.85)
    zeros = np.mean(np.asarray(values) == 0) if np.size(values) else 0.0
    if zeros:
        place = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.995, 0.95, f"{zeros:.0%} are 0", color=INK, fontsize=7, **place)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, color=INK, labelcolor=INK, length=2)
    bare(axes, "bottom")
