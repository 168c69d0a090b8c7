"""What to say of a name that a module of graphc lacks: the name it has instead, or the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from graphc.errors import MissingNameError
from graphc.sites import user_site


def refusing(module: str, names: Iterable[str], alternatives: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__`: names it lacks raise `MissingNameError` with what there is instead.

    `alternatives` maps names of other libraries to the answer; for others the nearest of `names` is offered, and
    without one it is Python's own `AttributeError`.
    """
    known = {name.lower(): name for name in names}

    def __getattr__(name: str) -> Any:
        from difflib import get_close_matches  # only mistakes pay for it

        near = get_close_matches(name.lower(), known, 1, 0.75) if not name.startswith("_") else []
        help = alternatives.get(name) or (f"did you mean {module}.{known[near[0]]}?" if near else None)
        if help is None:
            raise AttributeError(f"module 'graphc.{module}' has no attribute {name!r}")
        raise MissingNameError(f"graphc.{module} has no {name}", site=user_site(), help=help)

    return __getattr__
