"""The part of ELF that graphc reads and writes: 64-bit, little-endian; names and numbers of the System V gABI."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from graphc.errors import InternalError, TargetError
from graphc.records import Record

ET_REL, ET_DYN = 1, 3
EM_X86_64, EM_AARCH64 = 62, 183
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_HASH, SHT_DYNAMIC, SHT_NOBITS, SHT_DYNSYM = 1, 2, 3, 4, 5, 6, 8, 11
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS = 1, 2, 4, 16, 32
PT_LOAD, PT_DYNAMIC, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 0x6474E551, 0x6474E552
PF_X, PF_W, PF_R = 1, 2, 4
DT_NULL, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_RELAENT, DT_STRSZ, DT_SYMENT, DT_SONAME = (
    0, 4, 5, 6, 7, 8, 9, 10, 11, 14,
)  # fmt: skip
DT_RELACOUNT = 0x6FFFFFF9
SHN_UNDEF, SHN_LORESERVE = 0, 0xFF00

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELA = struct.Struct("<QQq")
DYNAMIC = struct.Struct("<qQ")
IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)


class Symbol(NamedTuple):
    """A symbol of an object: `section` is 0 where it is undefined, `info` holds binding and type."""

    name: str
    info: int
    section: int
    value: int
    size: int


class Relocation(NamedTuple):
    """At `offset` of its section, put something of a symbol plus `addend`."""

    offset: int
    type: int
    symbol: int
    addend: int


class Section(Record):
    """A section of an object with the relocations that apply to it."""

    index: int
    name: str
    type: int
    flags: int
    align: int
    content: bytes
    relocations: tuple[Relocation, ...] = ()


class Object(Record):
    """A relocatable object: its machine, its sections that occupy memory, its symbols."""

    machine: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def defined(self, name: str) -> Symbol:
        """The global symbol of that name; `InternalError` where the object does not define it."""
        for symbol in self.symbols:
            if symbol.name == name and symbol.section != SHN_UNDEF and symbol.info >> 4:
                return symbol
        raise InternalError(f"the object does not define {name}")


def read_object(content: bytes) -> Object:
    """Parse a relocatable object; `TargetError` where it is something else."""
    if len(content) < HEADER.size or content[:6] != IDENT[:6]:
        raise TargetError("not a 64-bit little-endian ELF object", help="link with linker='cc'")
    _, kind, machine, _, _, _, table, _, _, _, _, _, count, names = HEADER.unpack_from(content)
    if kind != ET_REL:
        raise TargetError("not a relocatable ELF object")
    headers = [SECTION_HEADER.unpack_from(content, table + i * SECTION_HEADER.size) for i in range(count)]
    bodies = [b"" if h[1] == SHT_NOBITS else content[h[4] : h[4] + h[5]] for h in headers]
    symbols: tuple[Symbol, ...] = ()
    relocations: dict[int, tuple[Relocation, ...]] = {}
    for header, body in zip(headers, bodies, strict=True):
        if header[1] == SHT_SYMTAB:
            symbols = tuple(read_symbols(body, bodies[header[6]]))
        elif header[1] == SHT_RELA:
            relocations[header[7]] = tuple(read_relocations(body))
    sections = tuple(
        Section(i, string(bodies[names], h[0]), h[1], h[2], max(1, h[8]), body or bytes(h[5]), relocations.get(i, ()))
        for i, (h, body) in enumerate(zip(headers, bodies, strict=True))
        if h[2] & SHF_ALLOC
    )
    return Object(machine, sections, symbols)


def dynamic_names(content: bytes) -> list[str]:
    """The names that a shared object exports; none where it is not a whole ELF file."""
    try:
        _, _, _, _, _, _, table, _, _, _, _, _, count, _ = HEADER.unpack_from(content)
        headers = [SECTION_HEADER.unpack_from(content, table + i * SECTION_HEADER.size) for i in range(count)]
        for header in headers:
            if header[1] == SHT_DYNSYM:
                strings = headers[header[6]]
                text = content[strings[4] : strings[4] + strings[5]]
                return [s.name for s in read_symbols(content[header[4] : header[4] + header[5]], text) if s.section]
    except (struct.error, ValueError, IndexError):
        pass
    return []


def read_symbols(table: bytes, strings: bytes) -> Iterator[Symbol]:
    """The symbols of a symbol table."""
    for name, info, _, section, value, size in SYMBOL.iter_unpack(table):
        yield Symbol(string(strings, name), info, section, value, size)


def read_relocations(table: bytes) -> Iterator[Relocation]:
    """The entries of a relocation table."""
    for offset, info, addend in RELA.iter_unpack(table):
        yield Relocation(offset, info & 0xFFFFFFFF, info >> 32, addend)


def string(table: bytes, offset: int) -> str:
    """The NUL-terminated string at an offset."""
    return table[offset : table.index(0, offset)].decode()


def hash_sysv(name: str) -> int:
    """The hash of a symbol's name in DT_HASH (System V gABI, figure 5-13)."""
    h = 0
    for c in name.encode():
        h = (h << 4) + c
        high = h & 0xF0000000
        h = (h ^ (high >> 24)) & ~high
    return h
