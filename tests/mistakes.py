"""What tests of mistakes share: an attempt that fails, the answer to it, and its message whole."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphc as gr
from graphc.errors import GraphcError


def answer_to(attempt: Callable[[], object], kind: type[GraphcError] = GraphcError) -> GraphcError:
    """The error of a kind that an attempt raises, which must name a line of the attempt's file."""
    with pytest.raises(kind) as raised:
        attempt()
    site = raised.value.site
    assert site is not None and site.file == inspect.getsourcefile(attempt), raised.value
    return raised.value


def message(kind: type[Exception], action: Callable[[], object]) -> str:
    """The error that an action raises, with line numbers counted from the start of the calling test."""
    caller = inspect.stack()[1]
    start = caller.frame.f_code.co_firstlineno
    with pytest.raises(kind) as raised:
        action()
    file = re.escape(Path(caller.filename).name)
    return re.sub(rf"{file}:(\d+)", lambda m: f"test.py:{int(m[1]) - start}", str(raised.value))


def traced(function: Callable[..., Any], **types: Any) -> Callable[[], object]:
    """Tracing a function as the only entry of a Program."""

    def action() -> object:
        program = gr.Program("p")
        if function.__name__ == "<lambda>":
            function.__name__ = "f"
        program.entry(**types)(function)
        return program.trace()

    return action
