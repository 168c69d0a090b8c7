"""Where in the user's code we are: the nearest frame outside graphc."""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import sys
from types import FrameType

from graphc.errors import Site

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

#: Between two frames of graphc where a `with` of its own ends, or a property is computed that it keeps.
BETWEEN = frozenset((contextlib.__file__, functools.__file__))

_sites: dict[tuple[str, int], Site] = {}


class _Ours(dict[str, bool]):
    """Whether a file is graphc's: asked for every frame of every operation, so each answer is kept."""

    def __missing__(self, file: str) -> bool:
        ours = self[file] = file.startswith(PACKAGE) or file in BETWEEN
        return ours


_ours = _Ours()


def user_frame() -> FrameType | None:
    """The innermost call that is not in graphc; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _ours[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def user_site() -> Site | None:
    """The file, line and text of the innermost call that is not in graphc; None where there is none."""
    frame = user_frame()
    if frame is None:
        return None
    key = frame.f_code.co_filename, frame.f_lineno
    site = _sites.get(key)
    if site is None:
        site = _sites[key] = Site(*key, linecache.getline(*key).strip())
    return site
