"""graphc's own ELF linker: one relocatable object in, one shared object out, with no outside symbol and no library.

Memory is three segments: headers and read-only data (R), code (R+X), and relocated constants with the dynamic section
(R+W until the loader has relocated them, then R). Nothing is ever writable and executable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from graphc.codegen.relocate import Machine, machine_of
from graphc.errors import InternalError
from graphc.runtime import elf


@dataclass
class Part:
    """One section of the output: its bytes and, once laid out, its place in the file and in memory."""

    name: str
    type: int
    flags: int
    content: bytearray
    align: int = 8
    entry_size: int = 0
    link: str = ""
    info: int = 0
    offset: int = 0
    address: int = 0


@dataclass
class Segment:
    """Consecutive parts that share a protection."""

    flags: int
    parts: list[Part] = field(default_factory=list)
    memory_end: int = 0

    @property
    def file_size(self) -> int:
        """Bytes from the first part's start to the last one's end."""
        return self.parts[-1].offset + len(self.parts[-1].content) - self.parts[0].offset


def link_shared(object_bytes: bytes, exports: Sequence[str], soname: str) -> bytes:
    """Link one object into a shared object that exports exactly the given names.

    Raises `InternalError` for an undefined symbol, a missing export or writable data (emitted code has no globals),
    `TargetError` for a machine that this linker does not know.
    """
    source = elf.read_object(object_bytes)
    machine = machine_of(source.machine)
    refuse_outside(source)
    return Linker(source, machine, exports, soname).write()


def refuse_outside(source: elf.Object) -> None:
    """Emitted code stands alone: no symbol from outside, no global variable."""
    missing = [s.name for s in source.symbols[1:] if s.section == elf.SHN_UNDEF]
    if missing:
        raise InternalError(f"the emitted code refers to outside symbols: {', '.join(missing)}")
    for section in source.sections:
        if section.flags & elf.SHF_WRITE and section.content and not section.name.startswith(".data.rel.ro"):
            raise InternalError(f"the emitted code has global variables in {section.name}")


class Linker:
    """One link: parts are made with their final sizes, laid out, then filled."""

    def __init__(self, source: elf.Object, machine: Machine, exports: Sequence[str], soname: str):
        self.source, self.machine, self.soname = source, machine, soname
        self.exports = [source.defined(name) for name in exports]
        self.moved = {s.index: part_of(s) for s in source.sections if s.content and s.name != ".eh_frame"}
        self.pointers = [
            (s.index, r)
            for s in source.sections
            if s.index in self.moved
            for r in s.relocations
            if r.type == machine.absolute
        ]
        self.strings = bytearray(b"\0")
        self.dynsym = Part(".dynsym", elf.SHT_DYNSYM, elf.SHF_ALLOC, bytearray(), 8, elf.SYMBOL.size, ".dynstr", 1)
        self.dynsym.content = bytearray(elf.SYMBOL.size * (1 + len(exports)))
        self.names = [self.intern(name) for name in exports]
        self.soname_offset = self.intern(soname) if soname else 0
        self.hash = Part(".hash", elf.SHT_HASH, elf.SHF_ALLOC, hash_table(exports), 8, 4, ".dynsym")
        self.dynstr = Part(".dynstr", elf.SHT_STRTAB, elf.SHF_ALLOC, self.strings, 1)
        rela_bytes = bytearray(elf.RELA.size * len(self.pointers))
        self.rela = Part(".rela.dyn", elf.SHT_RELA, elf.SHF_ALLOC, rela_bytes, 8, elf.RELA.size, ".dynsym")
        flags = elf.SHF_ALLOC | elf.SHF_WRITE
        self.dynamic = Part(".dynamic", elf.SHT_DYNAMIC, flags, bytearray(), 8, elf.DYNAMIC.size, ".dynstr")
        self.dynamic.content = self.dynamic_table()
        self.segments = self.arrange()

    def intern(self, name: str) -> int:
        """Append a string to .dynstr; returns its offset."""
        offset = len(self.strings)
        self.strings += name.encode() + b"\0"
        return offset

    def arrange(self) -> list[Segment]:
        """Which part goes to which segment."""
        read, code, relocated = Segment(elf.PF_R), Segment(elf.PF_R | elf.PF_X), Segment(elf.PF_R | elf.PF_W)
        read.parts = [self.hash, self.dynsym, self.dynstr] + ([self.rela] if self.pointers else [])
        for part in self.moved.values():
            if part.flags & elf.SHF_EXECINSTR:
                code.parts.append(part)
            elif part.flags & elf.SHF_WRITE:
                relocated.parts.append(part)
            else:
                read.parts.append(part)
        relocated.parts.append(self.dynamic)
        return [segment for segment in (read, code, relocated) if segment.parts]

    def write(self) -> bytes:
        """The bytes of the shared object."""
        program_headers = len(self.segments) + 3
        end = self.lay_out(elf.HEADER.size + program_headers * elf.PROGRAM_HEADER.size)
        self.fill_symbols()
        self.relocate()
        self.dynamic.content[:] = self.dynamic_table()
        parts = [part for segment in self.segments for part in segment.parts]
        names = Part(".shstrtab", elf.SHT_STRTAB, 0, bytearray(), 1, offset=end)
        headers = section_headers([*parts, names])
        table = aligned(end + len(names.content), 8)
        image = bytearray(table)
        image[: elf.HEADER.size] = elf.HEADER.pack(
            elf.IDENT, elf.ET_DYN, self.source.machine, 1, 0, elf.HEADER.size, table, 0, elf.HEADER.size,
            elf.PROGRAM_HEADER.size, program_headers, elf.SECTION_HEADER.size, len(parts) + 2, len(parts) + 1,
        )  # fmt: skip
        program = self.program_headers()
        image[elf.HEADER.size : elf.HEADER.size + len(program)] = program
        for part in [*parts, names]:
            image[part.offset : part.offset + len(part.content)] = part.content
        return bytes(image + headers)

    def lay_out(self, offset: int) -> int:
        """Give every part its offset and address; returns the offset after the last one.

        File and memory offsets agree modulo the page, so that segments follow one another in the file without gaps.
        """
        address = offset
        for segment in self.segments:
            for part in segment.parts:
                address += aligned(offset, part.align) - offset
                offset = aligned(offset, part.align)
                part.offset, part.address = offset, address
                offset, address = offset + len(part.content), address + len(part.content)
            segment.memory_end = aligned(address, self.machine.page) if segment.flags & elf.PF_W else address
            address = aligned(segment.memory_end, self.machine.page) + offset % self.machine.page
        return offset

    def program_headers(self) -> bytes:
        """One PT_LOAD a segment, the dynamic section, what becomes read-only after relocation, a stack without code."""
        page, rows = self.machine.page, []
        for segment in self.segments:
            start, size = (segment.parts[0].offset, segment.parts[0].address), segment.file_size
            if segment is self.segments[0]:
                start, size = (0, 0), segment.file_size + segment.parts[0].offset
            memory = segment.memory_end - start[1]
            rows.append((elf.PT_LOAD, segment.flags, *start, start[1], size, memory, page))
            if segment.flags & elf.PF_W:
                relro = (elf.PT_GNU_RELRO, elf.PF_R, *start, start[1], size, memory, 1)
        place, size = self.dynamic.address, len(self.dynamic.content)
        rows.append((elf.PT_DYNAMIC, elf.PF_R | elf.PF_W, self.dynamic.offset, place, place, size, size, 8))
        rows += [relro, (elf.PT_GNU_STACK, elf.PF_R | elf.PF_W, 0, 0, 0, 0, 0, 16)]
        return b"".join(elf.PROGRAM_HEADER.pack(*row) for row in rows)

    def address(self, symbol: elf.Symbol) -> int:
        """Where a symbol of the object lies in the output."""
        return self.moved[symbol.section].address + symbol.value

    def fill_symbols(self) -> None:
        """.dynsym: the exported names, global, with their section's index."""
        parts = [part for segment in self.segments for part in segment.parts]
        for i, (symbol, name) in enumerate(zip(self.exports, self.names, strict=True), start=1):
            section = 1 + parts.index(self.moved[symbol.section])
            row = (name, symbol.info, 0, section, self.address(symbol), symbol.size)
            elf.SYMBOL.pack_into(self.dynsym.content, i * elf.SYMBOL.size, *row)

    def relocate(self) -> None:
        """Apply what is known now; an absolute address is left to the loader as base + constant."""
        for section in self.source.sections:
            part = self.moved.get(section.index)
            for r in section.relocations if part else ():
                if r.type == self.machine.absolute or part is None:
                    continue
                apply = self.machine.apply.get(r.type)
                if apply is None:
                    raise InternalError(f"relocation {r.type} of {self.machine.name} in {section.name}")
                target = self.address(self.source.symbols[r.symbol]) + r.addend
                apply(part.content, r.offset, target, part.address + r.offset)
        for i, (index, r) in enumerate(self.pointers):
            if not self.moved[index].flags & elf.SHF_WRITE:
                raise InternalError(f"an absolute address in {self.moved[index].name}")
            target = self.address(self.source.symbols[r.symbol]) + r.addend
            place = self.moved[index].address + r.offset
            elf.RELA.pack_into(self.rela.content, i * elf.RELA.size, place, self.machine.relative, target)

    def dynamic_table(self) -> bytearray:
        """What the loader reads: where the tables are; no DT_NEEDED."""
        rows = [(elf.DT_SONAME, self.soname_offset)] if self.soname else []
        rows += [
            (elf.DT_HASH, self.hash.address),
            (elf.DT_STRTAB, self.dynstr.address),
            (elf.DT_SYMTAB, self.dynsym.address),
            (elf.DT_STRSZ, len(self.strings)),
            (elf.DT_SYMENT, elf.SYMBOL.size),
        ]
        if self.pointers:
            count = len(self.pointers)
            rows += [(elf.DT_RELA, self.rela.address), (elf.DT_RELASZ, count * elf.RELA.size)]
            rows += [(elf.DT_RELAENT, elf.RELA.size), (elf.DT_RELACOUNT, count)]
        rows.append((elf.DT_NULL, 0))
        return bytearray(b"".join(elf.DYNAMIC.pack(*row) for row in rows))


def part_of(section: elf.Section) -> Part:
    """An object's section as a part of the output."""
    flags = section.flags & (elf.SHF_ALLOC | elf.SHF_WRITE | elf.SHF_EXECINSTR)
    return Part(section.name, elf.SHT_PROGBITS, flags, bytearray(section.content), section.align)


def hash_table(names: Sequence[str]) -> bytearray:
    """DT_HASH: buckets and chains over the dynamic symbols, which are 1 … n in the order of the names."""
    buckets = [0] * max(1, len(names))
    chains = [0] * (1 + len(names))
    for i, name in enumerate(names, start=1):
        bucket = elf.hash_sysv(name) % len(buckets)
        chains[i], buckets[bucket] = buckets[bucket], i
    words = [len(buckets), len(chains), *buckets, *chains]
    return bytearray(b"".join(word.to_bytes(4, "little") for word in words))


def section_headers(parts: Sequence[Part]) -> bytes:
    """The section header table of the parts (the last one holds the names, which this fills)."""
    strings = parts[-1].content
    strings += b"\0"
    index = {part.name: i for i, part in enumerate(parts, start=1)}
    rows = [bytes(elf.SECTION_HEADER.size)]
    name_offsets = []
    for part in parts:
        name_offsets.append(len(strings))
        strings += part.name.encode() + b"\0"
    for part, name in zip(parts, name_offsets, strict=True):
        rows.append(
            elf.SECTION_HEADER.pack(
                name, part.type, part.flags, part.address, part.offset, len(part.content), index.get(part.link, 0),
                part.info, part.align, part.entry_size,
            )
        )  # fmt: skip
    return b"".join(rows)


def aligned(value: int, to: int) -> int:
    """The smallest multiple of `to` that is at least `value`."""
    return (value + to - 1) // to * to
