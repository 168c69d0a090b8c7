"""Paths that users give."""

from __future__ import annotations

import os
from pathlib import Path

from graphc.errors import ArgumentError
from graphc.sites import user_site


def path_of(name: str, value: str | os.PathLike[str]) -> Path:
    """A path. Raises `ArgumentError` for what names no file."""
    if not isinstance(value, (str, os.PathLike)):
        message = f"{name} is a {type(value).__name__}"
        raise ArgumentError(message, site=user_site(), help="give a path, as text or a Path")
    return Path(value)
