"""What optimizers keep from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from graphc import init
from graphc.frontend.names import Named
from graphc.frontend.recording import Recording
from graphc.frontend.variable import Initial, Variable


def kept(initial: np.ndarray | Initial, stem: str, *owners: Named) -> Variable:
    """A Variable named below its owners: an optimizer, or a parameter and an optimizer."""
    variable = Variable(initial, trainable=False)
    variable.default_name, variable.owners = stem, owners
    return variable


def slot(parameter: Variable, stem: str, *owners: Named, initial: float = 0.0) -> Variable:
    """State of a parameter's shape, in the dtype that it is computed in."""
    values = init.constant(static_shape(parameter), parameter.dtype.computed, value=initial)
    return kept(values, stem, parameter, *owners)


def static_shape(variable: Variable) -> list[int]:
    """The sizes of a Variable's axes; they are constant."""
    return [int(s) for s in variable.type.shape]  # type: ignore[arg-type]


@contextmanager
def belonging(recording: Recording, thing: Named) -> Iterator[None]:
    """Operations inside belong to an optimizer."""
    before, recording.path = recording.path, recording.names.path(thing)
    try:
        yield
    finally:
        recording.path = before
