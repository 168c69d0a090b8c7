"""Typed values of LLVM IR and the names of their types, as text."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Value(NamedTuple):
    """An SSA value or a literal: its LLVM type and how it is written."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"

    @property
    def literal(self) -> int | None:
        """The integer this is a literal of, or None."""
        text = self.name
        return int(text) if text.lstrip("-").isdigit() else None


def vector_type(element: str, lanes: int) -> str:
    """`<lanes x element>`, or the element itself for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def element_type(type_: str) -> str:
    """`float` of `<16 x float>`; a scalar's own type."""
    return type_[1:-1].split(" x ", 1)[1] if type_[0] == "<" else type_


def lane_count(type_: str) -> int:
    """16 of `<16 x float>`; 1 of a scalar."""
    return int(type_[1:].split(" x ", 1)[0]) if type_[0] == "<" else 1


def suffix(type_: str) -> str:
    """The name an overloaded intrinsic gives a type: `v16f32`, `f64`, `p0`."""
    base = {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}
    element = element_type(type_)
    lanes = lane_count(type_)
    return ("" if lanes == 1 else f"v{lanes}") + base.get(element, element)


def float_text(element: str, value: float) -> str:
    """A float literal: LLVM writes both `float` and `double` as the bits of the double."""
    if element == "float":
        with_nan = struct.unpack("<f", struct.pack("<f", value))[0]
        return f"0x{struct.unpack('<Q', struct.pack('<d', with_nan))[0]:016X}"
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def natural_alignment(type_: str) -> int:
    """The alignment of one element in bytes."""
    sizes = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i16": 2, "half": 2, "bfloat": 2, "ptr": 8}
    return sizes.get(element_type(type_), 1)
