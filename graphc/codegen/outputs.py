"""The files an object becomes, by their suffix: a shared object (own linker or the system's), `.o`, `.a`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from graphc.codegen.link import link_shared
from graphc.codegen.relocate import MACHINES
from graphc.errors import BuildError, TargetError
from graphc.runtime import elf
from graphc.runtime.files import write_atomically
from graphc.sites import user_site

LINKERS = ("auto", "own", "cc")
#: Suffixes of what is linked; a version may follow, as in `libdigits.so.1`.
LINKED = (".so", ".dylib")


def expect_output(path: Path, linker: str) -> None:
    """Raise `TargetError` for a linker or a kind of file that there is not."""
    if linker not in LINKERS:
        help = f"use one of {', '.join(LINKERS)}"
        raise TargetError(f"unknown linker {linker!r}", site=user_site(), help=help)
    if path.suffix not in (".o", ".a") and not any(suffix in LINKED for suffix in path.suffixes):
        message = f"{path} names no kind of file that graphc writes"
        raise TargetError(message, site=user_site(), help="end it in .so, .o or .a; the header is written beside it")


def write_output(object_bytes: bytes, exports: Sequence[str], path: Path, linker: str = "auto") -> None:
    """Write `path` from an object: `.o` as it is, `.a` as a static library, `.so` linked.

    The file appears whole or not at all, so that a program which has the old one loaded goes on.
    """
    expect_output(path, linker)
    if path.suffix == ".o":
        content = object_bytes
    elif path.suffix == ".a":
        content = archive(object_bytes, exports, path.stem + ".o")
    else:
        content = link(object_bytes, exports, path.name, linker)
    write_file(path, content, 0o644 if path.suffix in (".o", ".a") else 0o755)


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file, whole or not at all. Raises `BuildError` where the place can't be written."""
    try:
        write_atomically(path, content, mode)
    except OSError as error:
        message, help = f"could not write {path}: {error.strerror}", "give a path in a directory that you may write to"
        raise BuildError(message, site=user_site(), help=help) from None


def link(object_bytes: bytes, exports: Sequence[str], soname: str, linker: str = "auto") -> bytes:
    """The shared object: `auto` is graphc's own linker wherever it knows the machine, else the system's `cc`."""
    if linker == "own" or (linker == "auto" and links_itself(object_bytes)):
        return link_shared(object_bytes, exports, soname)
    return link_with_cc(object_bytes, exports, soname)


def links_itself(object_bytes: bytes) -> bool:
    """Whether graphc's own linker knows the object's format and machine."""
    if object_bytes[:6] != elf.IDENT[:6]:
        return False
    return int.from_bytes(object_bytes[18:20], "little") in MACHINES


def link_with_cc(object_bytes: bytes, exports: Sequence[str], soname: str) -> bytes:
    """The same shared object by the system's C compiler; `BuildError` where there is none or it fails."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise BuildError("no C compiler to link with", site=user_site(), help="install cc, or use linker='own'")
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder:
        source, script, output = Path(folder, "code.o"), Path(folder, "exports.map"), Path(folder, "code.so")
        source.write_bytes(object_bytes)
        script.write_text("{ global: " + "".join(f"{name}; " for name in exports) + "local: *; };\n")
        command = [compiler, "-shared", "-nostdlib", f"-Wl,--version-script={script}", f"-Wl,-soname={soname}"]
        command += ["-Wl,-z,noexecstack", "-Wl,-z,defs", "-o", str(output), str(source)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            message, help = f"{compiler} could not link {soname}", result.stderr.strip() or "use linker='own'"
            raise BuildError(message, site=user_site(), help=help)
        return output.read_bytes()


def archive(object_bytes: bytes, exports: Sequence[str], member: str) -> bytes:
    """A static library of one object, with the symbol index that linkers want (System V / GNU `ar`)."""
    names = b"".join(name.encode() + b"\0" for name in exports)
    long_names = (member + "/\n").encode()
    table = ar_member("//", long_names)
    index_size = 4 * (1 + len(exports)) + len(names)
    first = len(AR_MAGIC) + AR_HEADER + index_size + index_size % 2 + len(table)
    index = len(exports).to_bytes(4, "big") + first.to_bytes(4, "big") * len(exports) + names
    return AR_MAGIC + ar_member("/", index) + table + ar_member("/0", object_bytes)


AR_MAGIC, AR_HEADER = b"!<arch>\n", 60


def ar_member(name: str, content: bytes) -> bytes:
    """A member with its header, without time or owner; padded to an even size."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)
