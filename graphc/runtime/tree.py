"""The structure of an entry's outputs: nested dicts, tuples, lists and None over numbered leaves, as JSON.

`{"dict": [[key, tree], …]}`, `{"tuple": [tree, …]}`, `{"list": [tree, …]}`, `{"none": true}`, or a leaf's index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Tree = Any
"""A JSON value of the form above (JSON is not typed further)."""


def unflatten(tree: Tree, leaves: Sequence[object]) -> Any:
    """The nested structure with the leaves in their places."""
    if isinstance(tree, int):
        return leaves[tree]
    if "dict" in tree:
        return {key: unflatten(child, leaves) for key, child in tree["dict"]}
    if "tuple" in tree:
        return tuple(unflatten(child, leaves) for child in tree["tuple"])
    if "list" in tree:
        return [unflatten(child, leaves) for child in tree["list"]]
    return None


def count(tree: Tree) -> int:
    """How many leaves there are."""
    if isinstance(tree, int):
        return 1
    children = [child for _, child in tree["dict"]] if "dict" in tree else tree.get("tuple", tree.get("list", ()))
    return sum(map(count, children))


def flatten(tree: Tree, value: Any, report: Callable[[str], Exception]) -> dict[int, Any]:
    """The leaves of a value of the tree's structure by index; None stands for a whole absent part.

    Raises what `report(path)` returns where the structures differ.
    """
    leaves: dict[int, Any] = {}

    def visit(tree: Tree, value: Any, path: str) -> None:
        if isinstance(tree, int):
            leaves[tree] = value
        elif value is None or "none" in tree:
            if value is not None:
                raise report(path)
        elif "dict" in tree:
            if not isinstance(value, dict) or set(value) - {key for key, _ in tree["dict"]}:
                raise report(path)
            for key, child in tree["dict"]:
                visit(child, value.get(key), f"{path}[{key!r}]")
        else:
            children = tree["tuple"] if "tuple" in tree else tree["list"]
            if not isinstance(value, (tuple, list)) or len(value) != len(children):
                raise report(path)
            for i, (child, part) in enumerate(zip(children, value, strict=True)):
                visit(child, part, f"{path}[{i}]")

    visit(tree, value, "out")
    return leaves
