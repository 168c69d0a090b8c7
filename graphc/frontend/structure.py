"""Nested values of users (dicts, tuples, lists, None) as leaves and a structure, in the form of `runtime.tree`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from graphc.errors import ArgumentError
from graphc.runtime.tree import Tree
from graphc.runtime.tree import unflatten as unflatten
from graphc.sites import user_site

Leaf = TypeVar("Leaf")


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """The leaves in order, and the structure over their numbers. Raises `ArgumentError` for keys that are no names."""
    leaves: list[Any] = []

    def visit(part: Any) -> Tree:
        if part is None:
            return {"none": True}
        if isinstance(part, Mapping):
            if not all(isinstance(key, str) for key in part):
                raise ArgumentError("a dict whose keys are not strings", site=user_site(), help="use names as keys")
            return {"dict": [[key, visit(child)] for key, child in part.items()]}
        if isinstance(part, tuple):
            return {"tuple": [visit(child) for child in part]}
        if isinstance(part, list):
            return {"list": [visit(child) for child in part]}
        leaves.append(part)
        return len(leaves) - 1

    return leaves, visit(value)


def map_leaves(function: Callable[[Any], Leaf], value: Any) -> Any:
    """The same structure with each leaf replaced."""
    leaves, tree = flatten(value)
    return unflatten(tree, [function(leaf) for leaf in leaves])


def leaf_names(name: str, value: Any) -> list[str]:
    """A name for each leaf: `name` for a lone one, else the keys and numbers that lead to it, joined by `_`."""
    found = ["_".join(path) or name for path in leaf_paths(value)]
    return [f"{name}_{path}" if path[0].isdigit() else path for path in found]


def leaf_paths(value: Any) -> list[tuple[str, ...]]:
    """The keys and numbers that lead to each leaf."""
    if value is None:
        return []
    if not isinstance(value, (Mapping, tuple, list)):
        return [()]
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    return [(str(key), *path) for key, child in parts for path in leaf_paths(child)]
