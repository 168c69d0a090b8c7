"""Static relocations of the machines that graphc links for: what to write at a place, given where everything lies.

S is the symbol's address, A the addend, P the place (the psABI's letters).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graphc.errors import InternalError, TargetError
from graphc.runtime.elf import EM_AARCH64, EM_X86_64

Apply = Callable[[bytearray, int, int, int], None]
"""(section content, offset in it, S + A, P) -> None: patch the content."""


@dataclass(frozen=True)
class Machine:
    """How one machine is linked: the largest page, relocation types and how each is applied."""

    name: str
    page: int
    absolute: int
    relative: int
    apply: Mapping[int, Apply]


def patch(form: str, value: int, content: bytearray, offset: int) -> None:
    """Write an integer, refusing one that does not fit."""
    try:
        struct.pack_into(form, content, offset, value)
    except struct.error:
        raise InternalError("a relocation does not reach its symbol") from None


def pc32(content: bytearray, offset: int, target: int, place: int) -> None:
    """S + A − P in 32 bits."""
    patch("<i", target - place, content, offset)


def pc64(content: bytearray, offset: int, target: int, place: int) -> None:
    """S + A − P in 64 bits."""
    patch("<q", target - place, content, offset)


def relaxed_got(content: bytearray, offset: int, target: int, place: int) -> None:
    """`mov foo@GOTPCREL(%rip), reg` -> `lea foo(%rip), reg` (x86-64 psABI, B.2): every symbol is our own."""
    if content[offset - 2] != 0x8B:
        raise InternalError("a reference through the GOT that is not a mov")
    content[offset - 2] = 0x8D
    pc32(content, offset, target, place)


def branch26(content: bytearray, offset: int, target: int, place: int) -> None:
    """The word distance of `b` and `bl`."""
    distance = (target - place) >> 2
    if not -(1 << 25) <= distance < 1 << 25:
        raise InternalError("a branch does not reach its target")
    merge(content, offset, distance & 0x3FFFFFF)


def page21(content: bytearray, offset: int, target: int, place: int) -> None:
    """The distance in 4 kB pages of `adrp`: two low bits at 29, nineteen at 5."""
    pages = (target >> 12) - (place >> 12)
    merge(content, offset, (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)


def low12(shift: int) -> Apply:
    """The low 12 bits of the address in units of 2^shift bytes, at bit 10: `add`, and loads and stores."""

    def apply(content: bytearray, offset: int, target: int, place: int) -> None:
        merge(content, offset, (target & 0xFFF) >> shift << 10)

    return apply


def merge(content: bytearray, offset: int, bits: int) -> None:
    """Or bits into an instruction word."""
    patch("<I", struct.unpack_from("<I", content, offset)[0] | bits, content, offset)


X86_64 = Machine(
    "x86-64", 0x1000, absolute=1, relative=8,
    apply={2: pc32, 4: pc32, 24: pc64, 9: relaxed_got, 41: relaxed_got, 42: relaxed_got},
)  # fmt: skip

AARCH64 = Machine(
    "aarch64", 0x10000, absolute=257, relative=1027,
    apply={
        260: pc64, 261: pc32, 275: page21, 276: page21, 277: low12(0), 278: low12(0), 284: low12(1), 285: low12(2),
        286: low12(3), 299: low12(4), 282: branch26, 283: branch26,
    },
)  # fmt: skip

MACHINES = {EM_X86_64: X86_64, EM_AARCH64: AARCH64}


def machine_of(number: int) -> Machine:
    """The machine of an ELF header; `TargetError` for one that graphc does not link for."""
    if number not in MACHINES:
        raise TargetError(f"graphc's linker does not know ELF machine {number}", help="link with linker='cc'")
    return MACHINES[number]
