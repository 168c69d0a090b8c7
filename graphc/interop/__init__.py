"""Bridges to other libraries, each imported when it is first used.

    from graphc.interop import GraphClassifier, GraphRegressor      # estimators of scikit-learn
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.interop.sklearn import GraphClassifier as GraphClassifier
    from graphc.interop.sklearn import GraphRegressor as GraphRegressor

#: Public names by the module that defines them.
_HOMES = {
    "GraphClassifier": "graphc.interop.sklearn",
    "GraphRegressor": "graphc.interop.sklearn",
}

__all__ = ["GraphClassifier", "GraphRegressor"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
