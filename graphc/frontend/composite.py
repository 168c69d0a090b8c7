"""Composite functions: operations made inside carry the function's name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from graphc.frontend.recording import Recording

P = ParamSpec("P")
R = TypeVar("R")


def composite(function: Callable[P, R]) -> Callable[P, R]:
    """A function made of others: the operations inside carry its name, below that of the layer that calls it."""
    name = function.__name__

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        recording = Recording.active.get()
        if recording is None:
            return function(*args, **options)
        before = recording.path
        recording.path = f"{before}/{name}" if before else name
        recording.composites.add(recording.path)
        try:
            return function(*args, **options)
        finally:
            recording.path = before

    return call
