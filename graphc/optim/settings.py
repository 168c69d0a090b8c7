"""What every optimizer takes besides its rule's own hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

from graphc.errors import ArgumentError, ShapeError
from graphc.frontend.numbers import is_count, is_number
from graphc.frontend.tensor import Tensor
from graphc.optim.clipping import expect_limit
from graphc.optim.groups import Group
from graphc.optim.schedules import Schedule
from graphc.optim.style import expect_between
from graphc.sites import user_site

Rate: TypeAlias = float | Tensor | Schedule


class Settings(TypedDict, total=False):
    """`weight_decay` λ (0): added to the gradient as λθ, or with `decoupled` taken from the parameter as ηλθ before its
    step; decoupled by default in Keras's style and for AdamW. `clip_value`, `clip_norm`, `clip_global_norm`: limits of
    each element, of each gradient's norm, of the norm of all. `accumulate` k (1): the mean of k gradients is taken
    every k calls, in between nothing changes but `accumulated`. `groups`: parameters with settings of their own.
    """

    weight_decay: float
    decoupled: bool | None
    clip_value: float | None
    clip_norm: float | None
    clip_global_norm: float | None
    accumulate: int
    groups: Sequence[Group]


DEFAULTS = Settings(
    weight_decay=0.0, decoupled=None, clip_value=None, clip_norm=None, clip_global_norm=None, accumulate=1, groups=()
)


def checked_settings(name: str, given: Settings) -> Settings:
    """All settings, defaults filled in. Raises `ArgumentError` for values that can't be."""
    settings: Settings = {**DEFAULTS, **given}
    expect_between(name, 0.0, float("inf"), weight_decay=settings["weight_decay"])
    for limit in (settings["clip_value"], settings["clip_norm"], settings["clip_global_norm"]):
        if limit is not None:
            expect_limit(name, limit)
    if not is_count(settings["accumulate"], 1):
        message = f"{name}: accumulate={settings['accumulate']!r} is not a positive integer"
        raise ArgumentError(message, site=user_site(), help="give the number of calls that make a step")
    expect_groups(name, settings["groups"])
    return settings


def expect_groups(name: str, groups: object) -> None:
    """Raise `ArgumentError` unless something is a sequence of Groups."""
    if not isinstance(groups, (list, tuple)) or not all(isinstance(g, Group) for g in groups):
        raise ArgumentError(
            f"{name}: groups={groups!r} is no list of groups",
            site=user_site(),
            help="groups=[optim.Group(net.head, learning_rate=1e-2)]",
        )


def expect_scalar_rate(name: str, rate: Tensor) -> None:
    """Raise `ShapeError` unless the learning rate of a step is a scalar."""
    if rate.ndim:
        raise ShapeError(
            f"{name}: the learning rate is {rate.type}, not a scalar",
            site=user_site(),
            help="groups=[optim.Group(layer, learning_rate=...)] gives some parameters another one",
        )


def expect_rate(name: str, rate: object) -> None:
    """Raise `ArgumentError` unless a learning rate is a number of at least 0, a scalar Tensor, or a Schedule."""
    if isinstance(rate, Tensor):
        expect_scalar_rate(name, rate)
    if not isinstance(rate, (Tensor, Schedule)) and not (is_number(rate) and rate >= 0):
        raise ArgumentError(
            f"{name}: learning_rate={rate!r} is not a number of at least 0",
            site=user_site(),
            help="use a number, a Tensor, a Variable or a schedule of graphc.optim; to climb, minimize(-objective)",
        )
