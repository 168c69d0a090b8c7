"""A compiled program as users hold it: entries over a state. Files and programs compiled here are the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, SupportsIndex

from graphc.errors import ArgumentError, MissingNameError, UnsupportedError
from graphc.runtime.arguments import CASTS, Cast
from graphc.runtime.artifact import Artifact, open_artifact
from graphc.runtime.call import BoundEntry
from graphc.runtime.signature import Signature
from graphc.runtime.state import State
from graphc.sites import user_site
from graphc.suggest import answering_methods

Builder = Callable[..., Path]
"""(path, image={name: value}, **options) -> the path written."""


@answering_methods
class Compiled:
    """Entries, each an attribute of its name, over one state, in which `init(seed=0)` has run."""

    def __init__(self, artifact: Artifact, seed: int = 0, cast: Cast = None):
        """`cast="same_kind"` converts arguments of a wrong dtype where NumPy's rule of that name allows it.

        Raises `ArgumentError` for another `cast`.
        """
        if cast not in CASTS:
            help = "None refuses other dtypes, 'same_kind' converts by NumPy's rule of that name"
            raise ArgumentError(f"cast={cast!r} is no rule", site=user_site(), help=help)
        self._artifact, self._cast = artifact, cast
        #: What `build` calls with the state's image; None for a program that was loaded from a file.
        self.builder: Builder | None = None
        self._state = State(artifact, seed)
        self.entries = {e.name: BoundEntry(e, self._state, cast) for e in artifact.signature.entries}
        self.__dict__.update(self.entries)

    def __getattr__(self, name: str) -> BoundEntry:
        entries = ", ".join(self.__dict__.get("entries", ()))
        message = f"the program has no entry {name!r}"
        if name.startswith("_"):
            raise AttributeError(message)
        help = "train.fit(compiled, (x, y))" if name == "fit" else f"it has {entries}"
        raise MissingNameError(message, site=user_site(), help=help)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise UnsupportedError(
            f"the program {self.signature.prefix} can't be copied or pickled",
            site=user_site(),
            help="new_state() has the same code; another process compiles it or loads its file, and restores its state",
        )

    def __repr__(self) -> str:
        lines = [f"  {entry!r}" for entry in self.entries.values()]
        return "\n".join([f"<program {self.signature.prefix}", *lines]) + ">"

    @property
    def signature(self) -> Signature:
        """What the file says of itself."""
        return self._artifact.signature

    @property
    def path(self) -> Path:
        """The file that holds the code."""
        return self._artifact.path

    @property
    def state(self) -> State:
        """The program's variables by name."""
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        raise AttributeError("the state can't be replaced; state.update(d) writes its variables")

    def init(self, seed: int = 0) -> None:
        """Set every variable to its initial value under a seed."""
        self._state.init(seed)

    def new_state(self, seed: int = 0) -> Compiled:
        """The same code over a state of its own."""
        other = type(self)(self._artifact, seed, self._cast)
        other.builder = self.builder
        for name, entry in self.entries.items():
            other.entries[name].like(entry)
        return other

    def save(self, path: str | Path) -> None:
        """Write every variable to a safetensors file."""
        self._state.save(path)

    def restore(self, path: str | Path) -> None:
        """Read a file that `save` wrote; where it does not fit, `StateError` lists why and nothing changes."""
        self._state.restore(path)

    def build(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the program as `path` with a header beside it; the current state is what its `init` gives.

        Options are those of `Program.build`. Raises `UnsupportedError` for a program that was itself loaded.
        """
        if self.builder is None:
            message = "a loaded program holds no source to build from"
            raise UnsupportedError(message, site=user_site(), help=f"copy {self.path}, and save() its state")
        return self.builder(path, image=self._state.copy(), **options)


#: Names that an entry can't have, since they are the program's own.
RESERVED = frozenset(name for name in dir(Compiled) if not name.startswith("_")) | {"entries", "builder"}


def load(path: str | os.PathLike[str], cast: Cast = None) -> Compiled:
    """The program of a shared object that graphc has built, with its initial state."""
    return Compiled(open_artifact(path), cast=cast)
