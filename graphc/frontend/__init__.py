"""Python to graph: symbolic tensors, the array API, Variables, Programs and their entries."""

import graphc.frontend.api
