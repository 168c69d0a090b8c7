"""Whose form of an update rule: PyTorch's, Keras's or Optax's; they differ in details and in defaults."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from graphc.errors import ArgumentError
from graphc.frontend.numbers import is_number
from graphc.sites import user_site

Style: TypeAlias = Literal["torch", "keras", "optax"]


def expect_style(name: str, style: str) -> None:
    """Raise `ArgumentError` for a style that is none."""
    if style not in get_args(Style):
        styles = ", ".join(repr(s) for s in get_args(Style))
        raise ArgumentError(f"{name}: style={style!r} is not known", site=user_site(), help=f"it is one of {styles}")


def default(given: float | None, style: Style, torch: float, keras: float, optax: float) -> float:
    """What was given, or the default of the style's library; any for a style that is none, which is refused later."""
    return given if given is not None else keras if style == "keras" else optax if style == "optax" else torch


def expect_between(name: str, low: float, high: float, **values: float) -> None:
    """Raise `ArgumentError` for a hyper-parameter that does not lie in [low, high)."""
    for key, value in values.items():
        if not is_number(value) or not low <= value < high:
            raise ArgumentError(
                f"{name}: {key}={value!r} does not lie between {low:g} and {high:g}",
                site=user_site(),
                help=f"give a number from {low:g} to less than {high:g}",
            )
