"""The state of a compiled program: parameters, slots, counters, in one buffer that only compiled code writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graphc.errors import ArgumentError, BuildError, GraphcError, InternalError, ShapeError, StateError, TargetError
from graphc.runtime import targets
from graphc.runtime.arguments import NUMPY, Array, array_text, conform, integer, read_array, type_text
from graphc.runtime.artifact import Artifact
from graphc.runtime.fast import Cell
from graphc.runtime.files import expect_path, write_atomically
from graphc.runtime.memory import Workspaces, address_of, aligned_bytes
from graphc.runtime.signature import DTYPES, StateVariable
from graphc.sites import user_site
from graphc.suggest import answering_methods

E_CPU = 6

SAVED = "give a file that save(path) has written"


@answering_methods
class State(Mapping[str, Array]):
    """A mapping from variable names to read-only snapshots in logical layout; assigning writes a variable.

    Writes, and calls of entries that write, exclude one another. Equality is identity.
    """

    def __init__(self, artifact: Artifact, seed: int = 0):
        self.artifact, self.signature = artifact, artifact.signature
        self.memory = aligned_bytes(self.signature.state_bytes)
        self.address = address_of(self.memory)
        self.workspaces = Workspaces()
        self.cell = Cell(state=self.address, state_end=self.address + self.memory.size)
        self._lock = threading.Lock()
        self.init(seed)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """No other thread writes this state meanwhile."""
        with self._lock:
            try:
                self.cell.busy = 1
                yield
            finally:
                self.cell.busy = 0

    def init(self, seed: int = 0) -> None:
        """Give every variable its initial value under a seed, any integer modulo 2⁶⁴.

        Raises `ArgumentError` for another seed, `TargetError` where the CPU lacks what the code uses.
        """
        number = integer(seed, f"{self.signature.prefix}.init: seed")
        with self.exclusive():
            status = self.artifact.init(self.address, number % (1 << 64))
        if status == E_CPU:
            flags = targets.cpu_flags()
            lacking = [f for f in self.signature.features if targets.CPUINFO.get(f, f) not in flags]
            raise TargetError(
                f"{self.artifact.path} needs a CPU with {', '.join(lacking) or 'features that this one lacks'}",
                site=user_site(),
                help="build it again with a cpu= that this machine has, such as cpu='x86-64-v3'",
            )
        if status:
            raise InternalError(f"init failed: {self.artifact.error(status)}")

    def reserve(self, size: int) -> None:
        """Workspace for calls on the fast path, which hold the GIL, so that one serves all threads and entries."""
        if size > self.cell.workspace_bytes or not self.cell.workspace:
            self._fast_workspace = aligned_bytes(max(size, 1))
            self.cell.workspace, self.cell.workspace_bytes = address_of(self._fast_workspace), max(size, 1)

    # -- reading ----------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Array:
        variable = self.variable(name)
        with self.exclusive():
            array = self.read(variable)
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.signature.by_variable)

    def __len__(self) -> int:
        return len(self.signature.state)

    def __repr__(self) -> str:
        lines = [f"  {v.name}: {type_text(v.dtype, v.shape)}" for v in self.signature.state]
        return "\n".join([f"<state of {self.signature.prefix}", *lines]) + ">"

    def variable(self, name: str) -> StateVariable:
        """The variable of a name; `StateError` names those there are."""
        found = self.signature.by_variable.get(name)
        if found is None:
            names = ", ".join(self.signature.by_variable) or "no variables"
            raise StateError(f"the state has no variable {name!r}", site=user_site(), help=f"it has {names}")
        return found

    def read(self, variable: StateVariable) -> Array:
        """The variable's value; the caller excludes writers."""
        array = np.empty(variable.shape, NUMPY[variable.dtype])
        name = variable.name.encode()
        self.succeed(self.artifact.export(self.address, name, address_of(array), array.nbytes), variable)
        return array

    def view(self, name: str) -> Array:
        """The variable itself: what compiled code writes shows in the array, and the other way round.

        Raises `StateError` for a variable that lies packed in the state.
        """
        variable = self.variable(name)
        if variable.layout.kind != "row":
            message = f"{name} is packed in {variable.layout.kind}s of {variable.layout.width}, it has no live view"
            raise StateError(message, site=user_site(), help=f"state[{name!r}] is a snapshot; assign to it to write")
        return np.ndarray(variable.shape, NUMPY[variable.dtype], self.memory, variable.offset)

    def copy(self) -> dict[str, Array]:
        """A snapshot of every variable, taken at one time; `update` writes it back."""
        with self.exclusive():
            return {v.name: self.read(v) for v in self.signature.state}

    # -- writing ----------------------------------------------------------------------------------------------------

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Write several variables; where one of them does not fit, none is written."""
        if not isinstance(values, Mapping):
            message = f"update: {type(values).__name__} is no mapping of names to arrays"
            raise ArgumentError(message, site=user_site(), help="state.copy() gives one, and so does a dict")
        arrays = {name: self.fitting(self.variable(name), value) for name, value in values.items()}
        with self.exclusive():
            self.write(arrays)

    def write(self, arrays: Mapping[str, Array]) -> None:
        """Write arrays that fit; the caller excludes other writers."""
        for name, array in arrays.items():
            status = self.artifact.import_(self.address, name.encode(), address_of(array), array.nbytes)
            self.succeed(status, self.variable(name))

    def fitting(self, variable: StateVariable, value: Any) -> Array:
        """A value as an array of the variable's dtype and shape, or the error that says what differs."""
        role = f"variable {variable.name}"
        array = conform(read_array(value, variable.dtype, len(variable.shape), role), variable.dtype, role)
        if array.shape != variable.shape:
            expected = type_text(variable.dtype, variable.shape)
            message, help = f"{role} is {expected}, given {array_text(array)}", "nothing broadcasts into the state"
            raise ShapeError(message, site=user_site(), help=help)
        return array.copy() if np.may_share_memory(array, self.memory) else array

    def succeed(self, status: int, variable: StateVariable) -> None:
        """Raise what a status of export or import means."""
        if status:
            raise StateError(f"{variable.name}: {self.artifact.error(status)}", site=user_site())

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write every variable in logical layout to a safetensors file, which appears whole or not at all."""
        from safetensors.numpy import save

        place = expect_path(path)
        content = save(self.copy(), {"graphc": self.signature.graphc, "program": self.signature.prefix})
        try:
            write_atomically(place, content)
        except OSError as error:
            message, help = f"could not write {path}: {error.strerror}", "give a path in a directory that exists"
            raise BuildError(message, site=user_site(), help=help) from None

    def restore(self, path: str | Path) -> None:
        """Read what `save` wrote. `StateError` lists every unknown, missing or unfitting name; then none changes."""
        from safetensors import SafetensorError, deserialize

        place = expect_path(path)
        try:
            content = place.read_bytes()
            tensors = deserialize(content)  # type: ignore[no-untyped-call]
            values = {name: stored_array(tensor) for name, tensor in tensors}
        except OSError as error:
            message = f"{path} can't be read: {error.strerror}"
            raise StateError(message, site=user_site(), help=SAVED) from None
        except (SafetensorError, ValueError) as error:
            message = f"{path} is not a whole safetensors file: {error}"
            raise StateError(message, site=user_site(), help=SAVED) from None
        faults = [f"{name}: missing in the file" for name in self if name not in values]
        faults += [f"{name}: not a variable of this program" for name in values if name not in self]
        for name in self:
            if name in values:
                faults += self.misfit(name, values[name])
        if faults:
            message = f"{path} does not fit {self.signature.prefix}\n" + "\n".join(f"  {fault}" for fault in faults)
            raise StateError(message, site=user_site(), help="the state is unchanged")
        self.update(values)

    def misfit(self, name: str, value: Array) -> list[str]:
        """The first line of the error that writing a value would raise."""
        try:
            self.fitting(self.variable(name), value)
        except GraphcError as error:
            return [error.message]
        return []


def stored_array(tensor: Mapping[str, Any]) -> Array:
    """An array of a safetensors file (whose own reader for NumPy knows no bfloat16)."""
    dtype = tensor["dtype"].lower()
    if dtype not in DTYPES:
        raise ValueError(f"graphc has no dtype {tensor['dtype']}")
    return np.frombuffer(tensor["data"], NUMPY[dtype]).reshape(tensor["shape"])
