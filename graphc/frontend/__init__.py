"""Python to graph: symbolic tensors, the array API, Variables, Programs and their entries."""

from graphc.frontend import api

__all__ = ["api"]
