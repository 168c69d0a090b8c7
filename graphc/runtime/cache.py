"""The cache of compiled programs: a directory of the owner's alone, whose entries prove their content.

An entry is the shared object followed by a trailer, the SHA-256 of it and a magic; loaders ignore the trailer. What is
truncated, altered, a symlink or another user's counts as absent and is written again. Files are replaced in one step,
so any number of processes may share the directory.

A directory that is a symlink, belongs to somebody else, or can be written by the group or by others is never used:
`CacheWarning` tells, and this process keeps its entries in a private temporary directory. The same happens where the
directory can't be made or written.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import stat
import time
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

from graphc import config
from graphc.errors import InternalError
from graphc.runtime.files import TEMPORARY, write_atomically

MAGIC = b"graphc-cache-01\n"
TRAILER = 32 + len(MAGIC)
#: What the directory may hold, in bytes; the entries unused for longest go first.
LIMIT = 1 << 29
#: Seconds after which a temporary file must be one that a killed process left.
STALE = 3600


class CacheWarning(UserWarning):
    """The cache directory can't be used."""


def key_of(*parts: str | bytes) -> str:
    """A key that differs whenever any part does."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


class Cache:
    """Entries by key in one directory."""

    def __init__(self, directory: Path | None = None):
        """`directory` is by default what the environment says at each use."""
        self._directory = directory

    def directory(self) -> Path:
        """The directory, made if need be and found safe; otherwise this process's private one."""
        chosen = self._directory or config.cache_directory()
        try:
            chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
            fault = directory_fault(chosen)
        except OSError as error:
            fault = error.strerror or str(error)
        if fault is None:
            return chosen
        return private_directory(str(chosen), fault)

    def get(self, key: str) -> Path | None:
        """The entry's file if it is there and whole."""
        path = self.directory() / file_name(key)
        content = read_own(path)
        if content is None or not is_whole(content):
            return None
        with suppress(FileNotFoundError):
            os.utime(path)
        return path

    def put(self, key: str, content: bytes) -> Path:
        """Write an entry, replacing what was there; returns its file."""
        entry = content + hashlib.sha256(content).digest() + MAGIC
        directory = self.directory()
        try:
            write_atomically(directory / file_name(key), entry, 0o700)
        except OSError as error:
            directory = private_directory(str(directory), error.strerror or str(error))
            write_atomically(directory / file_name(key), entry, 0o700)
        evict(directory, LIMIT)
        return directory / file_name(key)


def file_name(key: str) -> str:
    """The file of a key; keys are hexadecimal, so that none can name another place."""
    if not key or set(key) - set("0123456789abcdef"):
        raise InternalError(f"{key!r} is not a cache key")
    return f"{key}.so"


def directory_fault(path: Path) -> str | None:
    """Why a directory can't be trusted with code to run; None where it can."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            return "it belongs to another user"
        if status.st_mode & 0o022:
            return "others may write to it (chmod 700 makes it usable)"
    return None if os.access(path, os.W_OK | os.X_OK) else "it can't be written"


@cache
def private_directory(instead_of: str, fault: str) -> Path:
    """A temporary directory of this process, removed at its end; warns once a directory and reason."""
    warnings.warn(f"graphc does not use the cache directory {instead_of}: {fault}", CacheWarning, stacklevel=4)
    import shutil
    import tempfile

    path = tempfile.mkdtemp(prefix="graphc-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


def read_own(path: Path) -> bytes | None:
    """The content of a regular file of ours that others can't write, never through a symlink; None otherwise."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    status = os.fstat(handle)
    foreign = hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022)
    if foreign or not stat.S_ISREG(status.st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read()


def is_whole(entry: bytes) -> bool:
    """Whether an entry's trailer is there and fits its content."""
    digest, magic = entry[-TRAILER : -len(MAGIC)], entry[-len(MAGIC) :]
    return magic == MAGIC and hashlib.sha256(memoryview(entry)[:-TRAILER]).digest() == digest


def evict(directory: Path, limit: int) -> None:
    """Remove the entries unused for longest until the rest fits, and what killed processes left half-written.

    Files that another process removes meanwhile are none of our concern; loaded ones live on unlinked.
    """
    found = []
    for item in os.scandir(directory):
        try:
            status = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if item.name.startswith(TEMPORARY):
            if status.st_mtime < time.time() - STALE:
                Path(item.path).unlink(missing_ok=True)
        elif item.name.endswith(".so"):
            found.append((status.st_mtime, status.st_size, item.path))
    excess = sum(size for _, size, _ in found) - limit
    for _, size, path in sorted(found)[:-1]:
        if excess <= 0:
            break
        Path(path).unlink(missing_ok=True)
        excess -= size
