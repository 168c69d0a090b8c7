"""`trajectories`: the ways that optimizers take down a surface."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from graphc.errors import ArgumentError
from graphc.frontend.numbers import is_count
from graphc.frontend.program import Program
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Variable
from graphc.gradcheck import table
from graphc.inspect.pictures import INK, bare, shades_of_water
from graphc.inspect.surfaces import SURFACES, Surface
from graphc.ir.node import Array
from graphc.optim.lbfgs import LBFGS
from graphc.optim.optimizer import Optimizer
from graphc.sites import user_site
from graphc.suggest import answering
from graphc.train.plots import new_figure, written

Racer: TypeAlias = Optimizer | LBFGS

#: How near to the minimum counts as there.
NEAR = 1e-2
GRID = 240


@dataclass(frozen=True)
class Trajectories:
    """Points f64[steps + 1, 2] by optimizer, the start first; prints as a table."""

    surface: Surface
    points: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.points[name]

    def values(self, name: str) -> Array:
        """The function along an optimizer's way, f64[steps + 1]."""
        with np.errstate(over="ignore", invalid="ignore"):  # a way may lead to infinity
            found: Array = self.surface.function(*self.points[name].T)
        return found

    def arrival(self, name: str) -> int | None:
        """The step from which on the optimizer stays within 0.01 of the minimum; None where it does not get there."""
        if self.surface.minimum is None:
            return None
        x, y = (self.points[name] - self.surface.minimum).T
        far = ~(np.hypot(x, y) <= NEAR)
        last = int(np.flatnonzero(far)[-1]) if far.any() else -1
        return last + 1 if last + 1 < len(far) else None

    def __str__(self) -> str:
        rows = [("optimizer", "at the end", "f there", f"within {NEAR} from step")]
        for name, path in self.points.items():
            arrival, (x, y) = self.arrival(name), path[-1]
            arrived = "–" if arrival is None else str(arrival)
            rows.append((name, f"({x:.4g}, {y:.4g})", f"{self.values(name)[-1]:.3g}", arrived))
        return table(rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The ways on the surface's contours; written where a path is given. Returns matplotlib's Figure.

        Raises `ArgumentError` where matplotlib is not installed.
        """
        picture = new_figure(7.5, 5.5)
        axes = picture.subplots()
        left, right, bottom, top = self.surface.window
        xs, ys = np.meshgrid(np.linspace(left, right, GRID), np.linspace(bottom, top, GRID))
        heights = self.surface.function(xs, ys)
        levels = np.unique(np.quantile(heights, np.linspace(0, 1, 22) ** 1.5))  # lines of about one density
        shades = shades_of_water(len(levels) - 1)
        axes.contourf(xs, ys, heights, levels=levels, colors=shades, alpha=0.5)
        axes.contour(xs, ys, heights, levels=levels, colors="#8aa0a8", linewidths=0.5, linestyles="solid")
        for i, (name, points) in enumerate(self.points.items()):
            axes.plot(*points.T, color=f"C{i}", linewidth=1.4, marker=".", markersize=2.5, label=name)
            axes.plot(*points[-1], color=f"C{i}", marker="o", markersize=6, markeredgecolor="white")
        axes.plot(*self.points[next(iter(self.points))][0], color=INK, marker="s", markersize=5)
        if self.surface.minimum is not None:
            axes.plot(*self.surface.minimum, color=INK, marker="*", markersize=13, linestyle="")
        axes.set(xlim=(left, right), ylim=(bottom, top), title=self.surface.name)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        bare(axes, "left", "bottom")
        return written(picture, path)


@answering()
def trajectories(
    optimizers: Mapping[str, Racer] | Sequence[Racer],
    surface: str | Surface = "beale",
    steps: int = 100,
    start: tuple[float, float] | None = None,
) -> Trajectories:
    """The points that optimizers come by on a surface, in float64, all compiled in one program.

    `optimizers` by label, or a list that is labelled by class. `surface` is "beale", "rosenbrock", "ravine", "saddle",
    or a `Surface` of your own; `start` is the surface's by default. A step is a call of `minimize`: `LBFGS(max_iter=1,
    max_eval=20)` takes one step in it. Raises `ArgumentError` where there is no such surface, no optimizer, or where
    start and steps are none.

        race = inspect.trajectories({"SGD": optim.SGD(0.01), "Adam": optim.Adam(0.1)}, "beale", steps=300)
        print(race)
        race.plot("beale.png")
    """
    ground = surface_of(surface)
    racers = labelled(optimizers)
    if not is_count(steps, 1):
        raise ArgumentError(f"trajectories: steps={steps!r}", site=user_site(), help="give a number from 1 on")
    origin = np.array(ground.start if start is None else start, np.float64)
    if origin.shape != (2,):
        raise ArgumentError(f"trajectories: start={start!r}", site=user_site(), help="give a point, (x, y)")
    program = Program("race")
    points = {label: Variable(origin) for label in racers}

    @program.entry()
    def step() -> dict[str, Any]:
        for label, optimizer in racers.items():
            point = points[label]
            if isinstance(optimizer, LBFGS):
                optimizer.minimize(partial(height_at, ground, point), [point])
            else:
                optimizer.minimize(height_at(ground, point), [point])
        return dict(points)

    race = program.compile()
    ways = [dict.fromkeys(racers, origin), *(race.step() for _ in range(steps))]
    return Trajectories(ground, {label: np.array([at[label] for at in ways]) for label in racers})


def height_at(ground: Surface, point: Variable) -> Tensor:
    """The function at a point."""
    found: Tensor = ground.function(point[0], point[1])
    return found


def surface_of(surface: str | Surface) -> Surface:
    """A surface by name, or the surface itself."""
    if isinstance(surface, Surface):
        return surface
    if surface not in SURFACES:
        raise ArgumentError(f"no surface {surface!r}", site=user_site(), help=f"there are {', '.join(SURFACES)}")
    return SURFACES[surface]


def labelled(optimizers: Mapping[str, Racer] | Sequence[Racer]) -> dict[str, Racer]:
    """Optimizers by label: the class's name where there is none, numbered where it comes again."""
    if isinstance(optimizers, Mapping):
        found = dict(optimizers)
    else:
        found = {}
        for optimizer in optimizers:
            name = type(optimizer).__name__
            twins = sum(type(o) is type(optimizer) for o in found.values())
            found[f"{name} {twins + 1}" if twins else name] = optimizer
    strangers = [o for o in found.values() if not isinstance(o, (Optimizer, LBFGS))]
    if not found or strangers:
        raise ArgumentError(
            f"trajectories: {strangers[0]!r} is not an optimizer" if strangers else "trajectories: no optimizers",
            site=user_site(),
            help='give a dict of them: {"Adam": optim.Adam(0.1)}',
        )
    return found
