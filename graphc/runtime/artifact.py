"""A compiled file in this process: its code, its signature, its functions."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphc.errors import BuildError
from graphc.runtime.elf import dynamic_names
from graphc.runtime.files import expect_path
from graphc.runtime.signature import Entry, Signature
from graphc.sites import user_site

PTR, SIZE, I32, I64, U64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32, ctypes.c_int64, ctypes.c_uint64
HEAD = (PTR, PTR, SIZE)

Function = Any
"""A ctypes function; its types are not known to type checkers."""


class Artifact:
    """One loaded file. The code stays in memory as long as this object, which every bound entry holds."""

    def __init__(self, path: Path, prefix: str):
        try:
            self.library = ctypes.CDLL(str(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise BuildError(f"{path} can't be loaded", site=user_site(), help=str(error)) from None
        weakref.finalize(self, _ctypes.dlclose, self.library._handle).atexit = False
        self.path = path
        self._functions: dict[str, Function] = {}
        text = self.function(f"{prefix}_signature", (), ctypes.c_char_p)()
        self.signature = Signature.from_json(text)
        self._error = self.function(f"{prefix}_error", (ctypes.c_int,), ctypes.c_char_p)
        self.init = self.function(f"{prefix}_init", (PTR, U64))
        self.export = self.function(f"{prefix}_export", (PTR, ctypes.c_char_p, PTR, SIZE))
        self.import_ = self.function(f"{prefix}_import", (PTR, ctypes.c_char_p, PTR, SIZE))

    def function(self, name: str, arguments: Sequence[Any], result: Any = I32) -> Function:
        """A function of the file, with its C types; calls release the GIL."""
        if name not in self._functions:
            try:
                function = self.library[name]
            except AttributeError:
                raise BuildError(f"{self.library._name} lacks the function {name}") from None
            function.argtypes, function.restype = list(arguments), result
            self._functions[name] = function
        return self._functions[name]

    def entry(self, entry: Entry) -> Function:
        """state, workspace, its size, dimensions, inputs, outputs -> status."""
        return self.function(entry.symbol, call_types(entry, entry.symbols))

    def repeat(self, entry: Entry) -> Function:
        """The entry's arguments and a count -> status."""
        return self.function(f"{entry.symbol}_repeat", (*call_types(entry, entry.symbols), I64))

    def epoch(self, entry: Entry) -> Function:
        """The entry's arguments without the batch dimension, rows, batch, seed, first, count -> status."""
        types = call_types(entry, epoch_symbols(entry))
        return self.function(f"{entry.symbol}_epoch", (*types, I64, I64, U64, I64, I64))

    def workspace(self, entry: Entry) -> Function:
        """Dimensions -> bytes."""
        return self.function(f"{entry.symbol}_workspace_bytes", [I64] * len(entry.symbols), SIZE)

    def epoch_workspace(self, entry: Entry) -> Function:
        """Dimensions without the batch, rows, batch -> bytes."""
        types = [I64] * (len(epoch_symbols(entry)) + 2)
        return self.function(f"{entry.symbol}_epoch_workspace_bytes", types, SIZE)

    def error(self, code: int) -> str:
        """What the file says of a status."""
        return bytes(self._error(code)).decode()


def call_types(entry: Entry, symbols: Sequence[str]) -> tuple[Any, ...]:
    """The C types of an entry's arguments."""
    return (*HEAD, *[I64] * len(symbols), *[PTR] * (len(entry.inputs) + len(entry.outputs)))


def epoch_symbols(entry: Entry) -> tuple[str, ...]:
    """The dimensions that an epoch takes as they are."""
    return tuple(s for s in entry.symbols if s != entry.batch)


loaded: weakref.WeakValueDictionary[str, Artifact] = weakref.WeakValueDictionary()
identities: dict[str, tuple[int, int, int]] = {}


def open_artifact(path: str | os.PathLike[str]) -> Artifact:
    """The file's artifact; one for all who load the same file. `BuildError` where it is not one of graphc's.

    The system's loader takes a path that it has loaded before for the same file, whatever has replaced it since;
    a replaced file is therefore loaded under another name.
    """
    place = expect_path(path).resolve()
    try:
        status = place.stat()
        prefix = prefix_of(place)
    except OSError as error:
        message, help = f"{path} can't be loaded: {error.strerror}", "give a file that program.build(path) has written"
        raise BuildError(message, site=user_site(), help=help) from None
    identity = (status.st_dev, status.st_ino, status.st_mtime_ns)
    known = loaded.get(str(place))
    if known is not None and identities[str(place)] == identity:
        return known
    artifact = Artifact(place, prefix) if known is None else renamed(place, prefix)
    loaded[str(place)], identities[str(place)] = artifact, identity
    return artifact


def prefix_of(path: Path) -> str:
    """The prefix of the file's functions."""
    names = set(dynamic_names(path.read_bytes()))
    for name in sorted(names):
        prefix = name.removesuffix("_signature")
        if {f"{prefix}_{f}" for f in ("signature", "init", "error", "export", "import")} <= names:
            return prefix
    raise BuildError(
        f"{path} is not a whole file that graphc has built",
        site=user_site(),
        help="give a shared object that program.build(path) has written",
    )


def renamed(path: Path, prefix: str) -> Artifact:
    """The artifact of a copy, which is gone from the file system once it is loaded."""
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="graphc-") as folder:
        return Artifact(Path(shutil.copy(path, folder)), prefix)
