"""How much work a network's parts are, counted in operations on numbers, from a trace."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from graphc.frontend.recording import Recording
from graphc.frontend.structure import flatten
from graphc.frontend.tensor import Tensor
from graphc.ir.dim import Size, parse
from graphc.ir.graph import reachable
from graphc.ir.types import TensorType


def work_by_layer(recording: Recording, result: Any, layers: Iterable[str]) -> dict[str, Size]:
    """The work of each layer, by path, that a trace's result needs; "" has what belongs to none of them.

    An operation belongs to the innermost of these layers it was made in; a loop as a whole to the one it stands in.
    """
    found: dict[str, Size] = {"": 0, **dict.fromkeys(layers, 0)}
    for node in reachable([leaf.node for leaf in flatten(result)[0] if isinstance(leaf, Tensor)]):
        found[innermost(recording.paths.get(node, ""), found)] += node.work()
    return found


def innermost(path: str, layers: Container[str]) -> str:
    """The longest of the layers' paths that a path is, or is below; one of them is the empty path."""
    while path not in layers:
        path = path.rpartition("/")[0]
    return path


def outputs_by_layer(recording: Recording) -> dict[str, list[Tensor]]:
    """What layers gave in their first calls, by path, in the order in which these ended."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in recording.results:
        found.setdefault(name.partition("[")[0], {}).setdefault(name, tensor)
    return {path: list(outputs.values()) for path, outputs in found.items()}


def for_one(size: Size, types: Any) -> Size:
    """A size for one example: where the first symbolic axis 0 among nested types is 1."""
    first = [t.shape[0] for t in flatten(types)[0] if isinstance(t, TensorType) and t.shape]
    batch = next((str(s) for s in first if not isinstance(s, int)), "")
    return parse(str(size), {batch: 1})
