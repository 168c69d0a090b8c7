"""Bridges to other libraries, each imported when it is first used.

    from graphc.interop import GraphClassifier, GraphRegressor      # estimators of scikit-learn
    from graphc.interop import load_torch, from_torch, to_torch     # parameters of PyTorch
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.interop.sklearn import GraphClassifier as GraphClassifier
    from graphc.interop.sklearn import GraphRegressor as GraphRegressor
    from graphc.interop.torch import from_torch as from_torch
    from graphc.interop.torch import load_torch as load_torch
    from graphc.interop.torch import to_torch as to_torch

#: Public names by the module that defines them.
_HOMES = {
    "GraphClassifier": "graphc.interop.sklearn",
    "GraphRegressor": "graphc.interop.sklearn",
    "from_torch": "graphc.interop.torch",
    "load_torch": "graphc.interop.torch",
    "to_torch": "graphc.interop.torch",
}

__all__ = ["GraphClassifier", "GraphRegressor", "from_torch", "load_torch", "to_torch"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
