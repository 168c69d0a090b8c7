"""What tests of mistakes share: an attempt that fails, and the answer to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from graphc.errors import GraphcError


def answer_to(attempt: Callable[[], object], kind: type[GraphcError] = GraphcError) -> GraphcError:
    """The error of a kind that an attempt raises, which must name a line of the attempt's file."""
    with pytest.raises(kind) as raised:
        attempt()
    site = raised.value.site
    assert site is not None and site.file == inspect.getsourcefile(attempt), raised.value
    return raised.value
