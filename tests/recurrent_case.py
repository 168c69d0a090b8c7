"""A recurrent layer over 64 steps: the weights and data that PyTorch's and graphc's are compared on."""

from __future__ import annotations

import numpy as np

from graphc.ir.node import Array

STEPS, BATCH, FEATURES, HIDDEN = 64, 32, 16, 128
GATES = {"lstm": 4, "gru": 3}
#: Of gradients every so many-th element is recorded.
EVERY = 37


def case(cell: str) -> tuple[Array, ...]:
    """x, what the last state is weighted with, and the weights: of the input, of the state, the bias."""
    rng = np.random.default_rng(5)
    columns = GATES[cell] * HIDDEN
    shapes = [(STEPS, BATCH, FEATURES), (BATCH, HIDDEN), (FEATURES, columns), (HIDDEN, columns), (columns,)]
    scales = (1.0, 1.0, 0.1, 0.1, 0.1)
    return tuple((rng.standard_normal(s) * scale).astype(np.float32) for s, scale in zip(shapes, scales, strict=True))
