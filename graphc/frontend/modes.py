"""Layers that train differently from how they predict: values whose mode nobody chose are marked, for `gradients`."""

from __future__ import annotations

from graphc.frontend.recording import current
from graphc.frontend.tensor import Tensor
from graphc.ops import Cast
from graphc.sites import user_site


def undecided(layer: str, x: Tensor) -> Tensor:
    """x as a value of its own, which remembers that nobody chose the mode of a layer it went through."""
    recording = current()
    node = recording.node(Cast(x.dtype), x.node)
    recording.undecided[node] = layer, user_site()
    return Tensor(node)
