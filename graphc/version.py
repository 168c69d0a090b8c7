"""The version of the package, in one place; and a fingerprint of its sources, so that a cache never outlives them."""

from __future__ import annotations

import hashlib
import os

VERSION = "0.1.0"

#: Folders whose code only makes graphs of entries or calls what is compiled, or is no source.
OUTSIDE = frozenset({"metrics", "nn", "optim", "train", "inspect", "interop", "__pycache__"})


def fingerprint() -> str:
    """16 hex digits that change when a source file of the package does (by name, size or time).

    Layers and optimizers do not count: they are known by the entries' graphs, which are in the key. The frontend does:
    initial values are known by the names of its functions.
    """
    folders = [os.path.dirname(os.path.abspath(__file__))]
    root, found = len(folders[0]), []
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    found.append(f"{entry.path[root:]} {status.st_size} {status.st_mtime_ns}")
                elif entry.is_dir() and entry.name not in OUTSIDE:
                    folders.append(entry.path)
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


#: That of the sources as they were imported: one that is edited meanwhile is not what runs here.
FINGERPRINT = fingerprint()
