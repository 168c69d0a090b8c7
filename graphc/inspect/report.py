"""`LayerReport`: figures of layers and parameters, what they say about training, and histograms of them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from graphc.errors import ArgumentError
from graphc.gradcheck import table
from graphc.ir.node import Array
from graphc.sites import user_site

#: A gradient this much smaller than at a later layer has vanished; one that much larger has exploded.
VANISHED, EXPLODED = 1e-3, 1e3
#: A unit whose outputs on a batch lie within this part of the layer's largest output gives the same for every row.
CONSTANT = 1e-6


@dataclass(frozen=True)
class LayerFigures:
    """One layer's outputs on a batch: `dead` of its `units` (the last axis) give the same for every row.

    `zeros` is the share of exact zeros, `broken` the number of NaNs and infinities, which the other figures leave
    out. `gradient` is the norm of the loss's gradient with respect to all outputs, None where the loss does not
    depend on them.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float
    zeros: float
    dead: int
    units: int
    broken: int
    gradient: float | None


@dataclass(frozen=True)
class ParameterFigures:
    """One parameter: the norms of its value and of the loss's gradient."""

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float

    @property
    def ratio(self) -> float:
        """The gradient's norm in relation to the parameter's; NaN for a parameter of zeros."""
        return self.gradient / self.norm if self.norm else float("nan")


@dataclass(frozen=True)
class LayerReport:
    """What layers gave on a batch, by path in the order of calls, and gradients of the loss; prints as tables.

    `activations` and `gradients` (of the loss, with respect to these) are arrays of the layers' shapes; `parameters`
    and `parameter_gradients` are by name.
    """

    activations: dict[str, Array]
    gradients: dict[str, Array]
    parameters: dict[str, Array]
    parameter_gradients: dict[str, Array]

    @cached_property
    def layers(self) -> tuple[LayerFigures, ...]:
        """Figures of each layer, in the order of calls."""
        return tuple(layer_figures(name, x, self.gradients.get(name)) for name, x in self.activations.items())

    @cached_property
    def weights(self) -> tuple[ParameterFigures, ...]:
        """Figures of each parameter that the loss depends on."""
        return tuple(
            ParameterFigures(name, np.shape(w), norm(w), norm(self.parameter_gradients[name]))
            for name, w in self.parameters.items()
        )

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What looks wrong, a line each: values that are not finite, dead units, vanishing and exploding gradients."""
        return (*broken_layers(self.layers), *dead_layers(self.layers), *lost_gradients(self.layers))

    def __str__(self) -> str:
        rows = [("layer", "outputs", "mean", "std", "zeros", "dead units", "gradient norm")]
        for f in self.layers:
            gradient = "–" if f.gradient is None else f"{f.gradient:.2e}"
            dead = f"{f.dead} of {f.units}"
            figures = f"{f.mean:.3g}", f"{f.std:.3g}", f"{f.zeros:.0%}"
            rows.append((f.name, shape_text(f.shape), *figures, dead, gradient))
        parts = [table(rows)]
        if self.weights:
            heads = ("parameter", "shape", "norm", "gradient norm", "ratio")
            parts.append(table([heads, *(weight_row(w) for w in self.weights)]))
        parts.append("\n".join(f"! {line}" for line in self.warnings) or "nothing looks wrong")
        return "\n\n".join(parts)

    def only(self, pattern: str) -> LayerReport:
        """The report of the layers and parameters that match a pattern: `"block_1/*"`, `"activation*"`.

        Raises `ArgumentError` where there is no such layer.
        """
        layers, parameters = fnmatch.filter(self.activations, pattern), fnmatch.filter(self.parameters, pattern)
        if not layers:
            names = ", ".join(self.activations)
            raise ArgumentError(f"no layer matches {pattern!r}", site=user_site(), help=f"there are {names}")
        return LayerReport(
            {name: self.activations[name] for name in layers},
            {name: self.gradients[name] for name in layers if name in self.gradients},
            {name: self.parameters[name] for name in parameters},
            {name: self.parameter_gradients[name] for name in parameters},
        )

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Histograms, a row for each layer: its outputs, and the sizes of the gradients there on one common scale.

        Writes the picture where a path is given (png, svg, pdf); returns matplotlib's Figure. Raises `ArgumentError`
        where matplotlib is not installed.
        """
        from graphc.inspect.histograms import layer_histograms

        return layer_histograms(self, path)


def layer_figures(name: str, outputs: Array, gradient: Array | None) -> LayerFigures:
    """Figures of a layer's outputs."""
    x = np.asarray(outputs, np.float64)
    finite = np.isfinite(x)
    known = x[finite]
    units = x.shape[-1] if x.ndim else 1
    return LayerFigures(
        name,
        x.shape,
        mean=float(known.mean()) if known.size else float("nan"),
        std=float(known.std()) if known.size else float("nan"),
        zeros=float((known == 0).mean()) if known.size else 0.0,
        dead=dead_units(x) if finite.all() else 0,
        units=units,
        broken=int(x.size - known.size),
        gradient=None if gradient is None else norm(gradient),
    )


def dead_units(x: Array) -> int:
    """How many units, indices of the last axis, give the same for every row; 0 where there is one row only."""
    if x.ndim < 2 or x.shape[0] < 2 or not x.size:
        return 0
    by_unit = x.reshape(-1, x.shape[-1])
    return int((np.ptp(by_unit, axis=0) <= CONSTANT * np.abs(x).max()).sum())


def norm(x: Array) -> float:
    """The root of the sum of squares, in float64."""
    return float(np.sqrt(np.sum(np.square(np.asarray(x, np.float64)))))


def broken_layers(layers: tuple[LayerFigures, ...]) -> Iterator[str]:
    """Layers whose outputs or gradients are not finite."""
    for f in layers:
        if f.broken:
            yield f"{f.name}: {f.broken} of {np.prod(f.shape)} outputs are NaN or infinite"
        if f.gradient is not None and not np.isfinite(f.gradient):
            yield f"{f.name}: the gradient is not finite"


def dead_layers(layers: tuple[LayerFigures, ...]) -> Iterator[str]:
    """Layers with units that tell rows apart no more."""
    for f in layers:
        if f.dead:
            yield f"{f.name}: {f.dead} of {f.units} units give the same for every row"


def lost_gradients(layers: tuple[LayerFigures, ...]) -> Iterator[str]:
    """The earliest layer where gradients have vanished, and that where they have exploded, beside the last."""
    flow = [(f.name, f.gradient) for f in layers if f.gradient is not None and np.isfinite(f.gradient)]
    if len(flow) < 2 or not flow[-1][1]:
        return
    last, reference = flow[-1]
    ratios = [(name, gradient / reference) for name, gradient in flow[:-1]]
    vanished = [(name, "vanishes", ratio) for name, ratio in ratios if ratio < VANISHED]
    exploded = [(name, "explodes", ratio) for name, ratio in ratios if ratio > EXPLODED]
    for name, what, ratio in (*vanished[:1], *exploded[:1]):
        yield f"the gradient {what}: at {name} it is {ratio:.1e} of that at {last}"


def weight_row(w: ParameterFigures) -> tuple[str, ...]:
    """A parameter as a row of the table."""
    return w.name, shape_text(w.shape), f"{w.norm:.3g}", f"{w.gradient:.2e}", f"{w.ratio:.1e}" if w.norm else "–"


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape, as tables show it."""
    return "×".join(map(str, shape)) or "scalar"
