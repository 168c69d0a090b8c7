"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from graphc.errors import ArgumentError
from graphc.sites import user_site

TEMPORARY = ".tmp-"
"""How names of files being written start."""


def expect_path(path: object) -> Path:
    """A path as users give it. Raises `ArgumentError` for what is none."""
    if isinstance(path, (str, os.PathLike)):
        return Path(path)
    raise ArgumentError(f"{path!r} is not a path", site=user_site(), help='give a text, such as "digits.so", or a Path')


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step, so that readers, and processes that have it loaded, never see half of it.

    `mode` is reduced by the umask. Raises `OSError` where the place can't be written; then nothing is left behind.
    """
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, mode & ~current_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def current_umask() -> int:
    """The process's umask (POSIX offers no way to read it but to set it)."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
