"""The fast call path: C structures that describe an entry to the trampoline, and its installation.

The trampoline (graphc/codegen/trampoline.py) is a method written in machine code. It reads NumPy arrays and Python's
objects at the offsets of their public C headers; `layouts_hold` checks those offsets in this process first. Whatever it
does not take (a copy is due, an argument is wrong, another thread writes the state, the call may be long) it hands to
the method `_call`, which is written in Python and means the same.
"""

from __future__ import annotations

import ctypes
import importlib
import platform
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from graphc.errors import GraphcError
from graphc.runtime.arguments import NUMPY
from graphc.runtime.artifact import Function
from graphc.runtime.cache import Cache, key_of
from graphc.runtime.memory import address_of
from graphc.runtime.signature import Entry, Input, Output
from graphc.runtime.tree import Tree, unflatten

#: Calls shorter than this keep the GIL and take the fast path; it is less than the interpreter itself keeps it (5 ms).
SHORT_SECONDS = 2e-3
#: What the trampoline has room for on its stack.
MAX_VALUES, MAX_SYMBOLS, MAX_RANK = 8, 4, 8

# Offsets in objects, from the public headers object.h, bytesobject.h and numpy/ndarraytypes.h.
OBJECT_TYPE, BYTES_DATA, FIRST_SLOT = 8, 32, 16
ARRAY_DATA, ARRAY_RANK, ARRAY_DIMS, ARRAY_DESCR, ARRAY_FLAGS = 16, 24, 32, 56, 64
DESCR_BYTEORDER, DESCR_TYPE_NUM = 26, 28
C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400

#: Functions of CPython and NumPy (by their index in NumPy's C API) that the trampoline calls.
PYTHON_FUNCTIONS = (
    "PyObject_GetAttr", "PyObject_Vectorcall", "Py_IncRef", "Py_DecRef", "PyTuple_New", "PyTuple_Size",
    "PyTuple_GetItem", "PyTuple_SetItem", "PyList_New", "PyList_SetItem", "PyDict_New", "PyDict_SetItem",
    "PyDict_GetItem", "PyDict_Size",
)  # fmt: skip
NUMPY_FUNCTIONS = {"PyArray_Empty": 184, "PyArray_Scalar": 60}
#: The table of addresses: those functions, then objects.
TABLE = (*PYTHON_FUNCTIONS, *NUMPY_FUNCTIONS, "ndarray", "dict", "name of _call", "name of out")

LEAF, TUPLE, LIST, DICT, NESTED = range(5)


def fields(*names: str) -> tuple[tuple[str, Any], ...]:
    """Fields of a structure, each 64 bits."""
    return tuple((name, ctypes.c_int64) for name in names)


class Cell(ctypes.Structure):
    """A state: whether a writer is at work, where it lies, scratch memory for calls that hold the GIL."""

    _fields_ = fields("busy", "state", "state_end", "workspace", "workspace_bytes")


class Axis(ctypes.Structure):
    """A dimension: a symbol's index, or −1 and a size."""

    _fields_ = fields("symbol", "size")


class Value(ctypes.Structure):
    """An argument or a result: NumPy's type number (and its twin of equal meaning), rank, axes, data type object."""

    _fields_ = fields("type_num", "twin", "itemsize", "rank", "axes", "descr")


class Descriptor(ctypes.Structure):
    """An entry over a state. Calls whose arguments have fewer than `limit` elements in all are known to be short.

    `names` holds the arguments' names; `order` the results' numbers in the order of the returned dict's `keys`, tuple
    or list; a nested structure is made by the function at `keys` from a tuple of the results.
    """

    _fields_ = fields(
        "table", "limit", "cell", "function", "inputs", "outputs", "n_inputs", "n_outputs", "n_symbols", "n_words",
        "names", "kind", "keys", "order",
    )  # fmt: skip


class Fast:
    """The descriptor of one entry over one state, and all memory it points to."""

    def __init__(self, entry: Entry, cell: Cell, function: Function):
        self.cell = cell
        self.descriptor = Descriptor(table=table_address())
        #: What the trampoline finds in the entry's first slot.
        self.address = ctypes.addressof(self.descriptor).to_bytes(8, sys.byteorder)
        self._kept: list[Any] = []
        self.eligible = fits(entry)
        if self.eligible:
            self._describe(entry, function)

    def _describe(self, entry: Entry, function: Function) -> None:
        kind, keys, order = flat_tree(entry.tree, len(entry.outputs)) or (NESTED, [], [*range(len(entry.outputs))])
        build = partial(unflatten, entry.tree)
        self.descriptor.cell = ctypes.addressof(self.cell)
        self.descriptor.function = address(function)
        self.descriptor.inputs = self._array(Value, [self._value(entry, v) for v in entry.inputs])
        self.descriptor.outputs = self._array(Value, [self._value(entry, v) for v in entry.outputs])
        self.descriptor.n_inputs, self.descriptor.n_outputs = len(entry.inputs), len(entry.outputs)
        self.descriptor.n_symbols = len(entry.symbols)
        self.descriptor.n_words = 3 + len(entry.symbols) + len(entry.inputs) + len(entry.outputs)
        names = [sys.intern(value.name) for value in entry.inputs]
        self.descriptor.names = self._array(ctypes.c_int64, [id(name) for name in names])
        self.descriptor.kind = kind
        self.descriptor.keys = id(build) if kind == NESTED else self._array(ctypes.c_int64, [id(key) for key in keys])
        self.descriptor.order = self._array(ctypes.c_int64, order)
        self._kept += [function, names, keys, build]

    def _array(self, type_: Any, items: list[Any]) -> int:
        """The address of a C array that lives as long as this."""
        memory = (type_ * max(1, len(items)))(*items)
        self._kept.append(memory)
        return ctypes.addressof(memory)

    def _value(self, entry: Entry, value: Input | Output) -> Value:
        """An argument or a result for the trampoline."""
        dtype = NUMPY[value.dtype]
        axes = [Axis(entry.symbols.index(d), 0) if isinstance(d, str) else Axis(-1, d) for d in value.shape]
        twin = np.dtype("longlong").num if dtype.num == np.dtype("long").num == np.dtype("int64").num else dtype.num
        self._kept.append(dtype)
        return Value(dtype.num, twin, dtype.itemsize, len(axes), self._array(Axis, axes), id(dtype))

    def allow(self, elements: int) -> None:
        """Calls with at most so many elements are short: they may take the fast path."""
        self.descriptor.limit = max(self.descriptor.limit, elements + 1)


def fits(entry: Entry) -> bool:
    """Whether the trampoline can describe an entry: few arguments, axes that are sizes or symbols."""
    values: list[Input | Output] = [*entry.inputs, *entry.outputs]
    axes = [dim for value in values for dim in value.shape]
    return (
        max(len(entry.inputs), len(entry.outputs)) <= MAX_VALUES
        and len(entry.symbols) <= MAX_SYMBOLS
        and all(len(value.shape) <= MAX_RANK for value in values)
        and all(isinstance(dim, int) or dim in entry.symbols for dim in axes)
    )


def flat_tree(tree: Tree, results: int) -> tuple[int, list[str], list[int]] | None:
    """Kind, keys and order of a leaf, or of one dict, tuple or list of all results; None for any other tree."""
    if isinstance(tree, int):
        return (LEAF, [], [tree]) if results == 1 else None
    kind = DICT if "dict" in tree else TUPLE if "tuple" in tree else LIST
    keys = [key for key, _ in tree.get("dict", ())]
    order = [leaf for _, leaf in tree["dict"]] if kind == DICT else tree.get("tuple", tree.get("list"))
    if order is None or not all(isinstance(leaf, int) for leaf in order) or sorted(order) != [*range(results)]:
        return None
    return kind, keys, order


def address(function: Function) -> int:
    """Where a ctypes function's code lies."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def table_address() -> int:
    """The table of addresses that every descriptor refers to; it lives as long as the process."""
    api = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    numpy_api = ctypes.cast(pointer(api, None), ctypes.POINTER(ctypes.c_int64))
    rows = [address(getattr(ctypes.pythonapi, name)) for name in PYTHON_FUNCTIONS]
    rows += [numpy_api[index] for index in NUMPY_FUNCTIONS.values()]
    rows += [id(np.ndarray), id(dict), id(sys.intern("_call")), id(sys.intern("out"))]
    table = (ctypes.c_int64 * len(rows))(*rows)
    KEPT.append(table)
    return ctypes.addressof(table)


#: What machine code refers to until the process ends.
KEPT: list[Any] = []


class MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p),
    )  # fmt: skip


METH_FASTCALL_KEYWORDS = 0x80 | 0x02


def install(type_: type, sample: object, slot: bytes) -> bool:
    """Make the trampoline the `__call__` of a type, whose first slot holds the address of a descriptor as bytes.

    Returns whether it could: on CPython with a GIL, where objects lie as the headers say, and the trampoline is in
    the cache or can be compiled. `sample` is an instance, with `slot` in its first slot.
    """
    if not layouts_hold(sample, slot):
        return False
    try:
        path = trampoline_path()
    except GraphcError:
        return False
    if path is None:
        return False
    library = ctypes.CDLL(str(path))
    method = MethodDef(
        b"__call__", address(library.graphc_call), METH_FASTCALL_KEYWORDS, (type_.__call__.__doc__ or "").encode()
    )
    KEPT.extend((library, method))
    new_method = ctypes.pythonapi.PyDescr_NewMethod
    new_method.restype, new_method.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.POINTER(MethodDef)]
    type_.__call__ = new_method(type_, method)  # type: ignore[method-assign]
    return True


def trampoline_path() -> Path | None:
    """The trampoline's shared object from the cache; it is compiled only in a process that has a compiler loaded."""
    store = Cache()
    codegen = Path(__file__).parent.parent / "codegen"
    sources = [*sorted(codegen.glob("trampoline*.py")), codegen / "python_objects.py", Path(__file__)]
    key = key_of("trampoline", sys.platform, platform.machine(), *(source.read_bytes() for source in sources))
    found = store.get(key)
    if found is None and "llvmlite" in sys.modules:
        # The one import from runtime to codegen: the trampoline belongs to the caller's side, not to the file's.
        from graphc.codegen.trampoline import trampoline_object

        found = store.put(key, trampoline_object())
    return found


def layouts_hold(sample: object, slot: bytes) -> bool:
    """Whether objects of this process lie as the offsets above say."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    array = np.zeros((3, 5), np.float32)
    words = {
        (id(sample) + FIRST_SLOT): id(slot),
        (id(array) + OBJECT_TYPE): id(np.ndarray),
        (id(array) + ARRAY_DATA): address_of(array),
        (id(array) + ARRAY_DESCR): id(array.dtype),
    }
    if any(ctypes.c_int64.from_address(place).value != value for place, value in words.items()):
        return False
    axes = ctypes.c_int64.from_address(id(array) + ARRAY_DIMS).value
    flags = C_CONTIGUOUS | ALIGNED | WRITEABLE
    return (
        (ctypes.c_int64 * 2).from_address(axes)[:] == [3, 5]
        and ctypes.c_int32.from_address(id(array) + ARRAY_RANK).value == 2
        and ctypes.c_int32.from_address(id(array) + ARRAY_FLAGS).value & flags == flags
        and ctypes.c_int32.from_address(id(array.dtype) + DESCR_TYPE_NUM).value == array.dtype.num
        and ctypes.c_char.from_address(id(array.dtype) + DESCR_BYTEORDER).value == b"="
        and ctypes.string_at(id(slot) + BYTES_DATA, len(slot)) == slot
    )
