"""Linking: our own shared objects load, export what they should and nothing else, as the system linker's do."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from graphc.codegen.link import link_shared
from graphc.codegen.llvm import Builder, Module
from graphc.codegen.llvm_types import Value
from graphc.codegen.object import emit_assembly, emit_object
from graphc.codegen.outputs import archive, link_with_cc, write_output
from graphc.errors import BuildError, InternalError, TargetError
from graphc.runtime import elf
from graphc.runtime.signature import ALIGN, Signature
from graphc.runtime.targets import Target, native
from tests.toy import EXPORTS, SIGNATURE, STATE_BYTES, toy_text

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_binutils = pytest.mark.skipif(shutil.which("readelf") is None, reason="no binutils")

APP = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int32_t toy_init(void *, uint64_t);
int32_t toy_predict(const void *, void *, size_t, int64_t, const float *, float *);
int main(void) {
    void *state = aligned_alloc(64, 576), *workspace = aligned_alloc(64, 256);
    float x[3] = {1, 1, 1}, y[3];
    int bad = toy_init(state, 0) || toy_predict(state, workspace, 256, 1, x, y);
    printf("%d %g %g %g\\n", bad, y[0], y[1], y[2]);
    return 0;
}
"""


@pytest.fixture(scope="module")
def object_bytes() -> bytes:
    return emit_object(toy_text(native()), native())


@pytest.fixture(scope="module")
def shared(object_bytes: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("link") / "toy.so"
    write_output(object_bytes, EXPORTS, path, linker="own")
    return path


def run(*command: str | Path) -> str:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout


def predict_once(path: Path) -> list[float]:
    library = ctypes.CDLL(str(path))
    memory = ctypes.create_string_buffer(STATE_BYTES + 256 + 2 * ALIGN)
    state = -(-ctypes.addressof(memory) // ALIGN) * ALIGN
    workspace = state + STATE_BYTES
    assert library.toy_init(ctypes.c_void_p(state), ctypes.c_uint64(0)) == 0
    x, y = (ctypes.c_float * 3)(1, 1, 1), (ctypes.c_float * 3)()
    size, n = ctypes.c_size_t(256), ctypes.c_int64(1)
    assert library.toy_predict(ctypes.c_void_p(state), ctypes.c_void_p(workspace), size, n, x, y) == 0
    return list(y)


def test_our_file_loads_and_runs(shared: Path) -> None:
    assert predict_once(shared) == [1.0, 2.0, 3.0]


def test_the_signature_survives_the_file(shared: Path) -> None:
    library = ctypes.CDLL(str(shared))
    library.toy_signature.restype = ctypes.c_char_p
    assert Signature.from_json(library.toy_signature()) == SIGNATURE


@needs_binutils
def test_only_the_exports_are_dynamic_and_nothing_is_needed(shared: Path) -> None:
    assert run("nm", "-D", "--undefined-only", shared) == ""
    assert sorted(line.split()[2] for line in run("nm", "-D", shared).splitlines()) == sorted(EXPORTS)
    dynamic = run("readelf", "-dW", shared)
    assert "NEEDED" not in dynamic and "[toy.so]" in dynamic


@needs_binutils
def test_no_segment_is_writable_and_executable(shared: Path) -> None:
    result = subprocess.run(["readelf", "-lW", str(shared)], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    flags = [
        line[60:].split("0x")[0] for line in result.stdout.splitlines() if line.strip().startswith(("LOAD", "GNU_S"))
    ]
    assert len(flags) == 4 and not any("W" in f and "E" in f for f in flags)


@needs_cc
def test_a_c_program_links_against_our_file(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "app.c").write_text(APP)
    run("cc", tmp_path / "app.c", shared, "-o", tmp_path / "app", f"-Wl,-rpath,{shared.parent}")
    assert run(tmp_path / "app") == "0 1 2 3\n"


@needs_cc
@pytest.mark.parametrize("suffix", [".o", ".a"])
def test_a_c_program_links_objects_and_archives(object_bytes: bytes, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "app.c").write_text(APP)
    library = tmp_path / f"a_rather_long_name_for_a_library{suffix}"
    write_output(object_bytes, EXPORTS, library)
    run("cc", tmp_path / "app.c", library, "-o", tmp_path / "app")
    assert run(tmp_path / "app") == "0 1 2 3\n"


@needs_cc
def test_the_system_linker_makes_the_same_interface(object_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "toy.so"
    write_output(object_bytes, EXPORTS, path, linker="cc")
    assert predict_once(path) == [1.0, 2.0, 3.0]
    assert sorted(line.split()[2] for line in run("nm", "-D", path).splitlines()) == sorted(EXPORTS)


def test_linking_is_deterministic(object_bytes: bytes) -> None:
    assert link_shared(object_bytes, EXPORTS, "a.so") == link_shared(object_bytes, EXPORTS, "a.so")


def test_pointers_in_constants_are_relocated(tmp_path: Path) -> None:
    """A table of strings needs R_X86_64_RELATIVE; a far symbol access through the GOT is relaxed."""
    module = Module(native().triple)
    for name, text in (("a", b"first\0"), ("b", b"second\0")):
        module.constant_bytes(name, text)
    module.data["table"] = "@table = constant [2 x ptr] [ptr @a, ptr @b]"
    b = Builder(module, "text_of", [("i64", "i")], "ptr", linkage="")
    b.ret(b.load("ptr", b.gep("ptr", Value("ptr", "@table"), b.arguments[0])))
    path = tmp_path / "table.so"
    write_output(emit_object(module.text(), native()), ["text_of", "table"], path, linker="own")
    text_of = ctypes.CDLL(str(path)).text_of
    text_of.restype, text_of.argtypes = ctypes.c_char_p, [ctypes.c_int64]
    assert [text_of(0), text_of(1)] == [b"first", b"second"]


def test_an_outside_symbol_is_named() -> None:
    module = Module(native().triple)
    module.declare("memcpy", "ptr", ["ptr"])
    b = Builder(module, "f", [("ptr", "p")], "ptr", linkage="")
    b.ret(b.call("memcpy", "ptr", b.arguments[0]))
    with pytest.raises(InternalError, match="memcpy"):
        link_shared(emit_object(module.text(), native()), ["f"], "f.so")


def test_a_global_variable_is_refused() -> None:
    text = "@counter = global i64 7\ndefine ptr @f() {\n  ret ptr @counter\n}\n"
    with pytest.raises(InternalError, match="global"):
        link_shared(emit_object(text, native()), ["f"], "f.so")


def test_a_missing_export_is_named(object_bytes: bytes) -> None:
    with pytest.raises(InternalError, match="toy_nothing"):
        link_shared(object_bytes, ["toy_nothing"], "toy.so")


def test_what_we_cannot_link_is_a_target_error(object_bytes: bytes, tmp_path: Path) -> None:
    riscv = object_bytes[:18] + (243).to_bytes(2, "little") + object_bytes[20:]
    with pytest.raises(TargetError, match="243"):
        link_shared(riscv, EXPORTS, "toy.so")
    with pytest.raises(TargetError, match="not a 64-bit"):
        link_shared(b"MZ", EXPORTS, "toy.so")
    with pytest.raises(TargetError, match="unknown linker"):
        write_output(object_bytes, EXPORTS, tmp_path / "toy.so", linker="gold")
    with pytest.raises(TargetError, match="names no kind of file"):
        write_output(object_bytes, EXPORTS, tmp_path / "toy.h")


def test_an_unwritable_place_is_a_build_error(object_bytes: bytes, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="No such file"):
        write_output(object_bytes, EXPORTS, tmp_path / "nowhere" / "toy.so")


def test_malformed_text_is_an_internal_error() -> None:
    with pytest.raises(InternalError, match="malformed"):
        emit_object("define i32 @f() {\n  ret i64 0\n}\n", native())


def test_archives_have_an_index_of_the_exports(object_bytes: bytes) -> None:
    content = archive(object_bytes, ["f", "gg"], "x.o")
    assert content.startswith(b"!<arch>\n/ ") and b"f\0gg\0" in content[:100]
    offset = int.from_bytes(content[72:76], "big")
    assert content[offset : offset + 2] == b"/0" and content[offset + 60 :].startswith(object_bytes[:16])


def test_the_hash_is_the_gabi_one() -> None:
    assert elf.hash_sysv("printf") == 0x077905A6
    assert elf.hash_sysv("flapenguin.me") == 0x03987915


def test_aarch64_relocations_reach_their_symbols() -> None:
    """The adrp/ldr pair of a constant load, decoded again, gives the constant's address."""
    target = Target("arm", "aarch64-unknown-linux-gnu", ("neon",), 16, 32, True)
    module = Module(target.triple, target.feature_text)
    module.constant_bytes("values", bytes(range(64)))
    b = Builder(module, "values_of", [], "ptr", linkage="")
    b.ret(Value("ptr", "@values"))
    b = Builder(module, "caller", [], "ptr", linkage="")
    b.line("call ptr @values_of()")
    b.ret(Value("ptr", "null"))
    image = link_shared(emit_object(module.text(), target), ["values_of", "caller"], "arm.so")
    assert "adrp" in emit_assembly(module.text(), target)
    place = text_address(image)
    offset = place % 0x10000
    adrp, add = (int.from_bytes(image[offset + i : offset + i + 4], "little") for i in (0, 4))
    pages = (adrp >> 5 & 0x7FFFF) << 2 | adrp >> 29 & 3
    address = ((place >> 12) + pages - ((pages >> 20) << 21) << 12) + (add >> 10 & 0xFFF)
    assert image[address : address + 64] == bytes(range(64))


def text_address(image: bytes) -> int:
    """The address of the executable segment."""
    count = int.from_bytes(image[56:58], "little")
    rows = [elf.PROGRAM_HEADER.unpack_from(image, 64 + i * elf.PROGRAM_HEADER.size) for i in range(count)]
    return int(next(row[3] for row in rows if row[0] == elf.PT_LOAD and row[1] & elf.PF_X))


@needs_cc
def test_a_linker_failure_carries_its_message(object_bytes: bytes) -> None:
    with pytest.raises(BuildError, match="could not link"):
        link_with_cc(b"not an object", EXPORTS, "toy.so")
