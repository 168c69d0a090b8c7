"""A report's picture: a row of histograms for each layer."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from graphc.inspect.pictures import BLUE, INK, ORANGE, bare, figure, written
from graphc.inspect.report import LayerReport
from graphc.ir.node import Array

BINS = 60


def layer_histograms(report: LayerReport, path: str | os.PathLike[str] | None) -> Any:
    """Left the outputs, each on its own scale; right the gradients' sizes, on one."""
    names = list(report.activations)
    sizes = {name: log_sizes(g) for name, g in report.gradients.items()}
    picture = figure(8.5, 0.8 + 0.75 * len(names))
    grid = picture.subplots(len(names), 2 if sizes else 1, squeeze=False, gridspec_kw={"wspace": 0.05})
    low, high = common_range(list(sizes.values()))
    for row, name in zip(grid, names, strict=True):
        outputs = np.asarray(report.activations[name], np.float64)
        draw(row[0], outputs[np.isfinite(outputs)], None, BLUE)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK, fontsize=9)
        if name in sizes:
            draw(row[1], sizes[name], (low, high), ORANGE)
        elif sizes:
            row[1].set_axis_off()
        if sizes:
            row[1].set_xlim(low, high)
            row[1].tick_params(labelbottom=name == names[-1])
    grid[0, 0].set_title("outputs", color=INK, fontsize=10)
    if sizes:
        grid[0, 1].set_title("log₁₀ |∂loss / ∂output|", color=INK, fontsize=10)
    return written(picture, path)


def log_sizes(gradient: Array) -> Array:
    """The decimal logarithms of the elements' sizes; zeros are left out."""
    size = np.abs(np.asarray(gradient, np.float64))
    found: Array = np.log10(size[np.isfinite(size) & (size > 0)])
    return found


def common_range(values: list[Array]) -> tuple[float, float]:
    """A range that holds all but a few of the values."""
    joined = np.concatenate([*values, np.zeros(0)])
    if not joined.size:
        return -1.0, 1.0
    low, high = np.quantile(joined, [0.002, 1.0])
    return float(np.floor(low - 0.2)), float(np.ceil(high + 0.2))


def draw(axes: Any, values: Array, span: tuple[float, float] | None, colour: str) -> None:
    """One histogram, without a vertical scale."""
    axes.hist(values, bins=BINS, range=span, color=colour, alpha=0.85)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, color=INK, labelcolor=INK, length=2)
    bare(axes, "bottom")
