"""The C header: clean C99 and C++, every name prefixed, the prototypes of the ABI."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import graphc as gr
from graphc import nn
from graphc.codegen.header import header_text
from graphc.runtime.signature import Entry, Input, Output
from tests.toy import EXPORTS, SIGNATURE

AWKWARD = Entry(
    name="odd",
    symbol="toy_odd",
    pure=False,
    symbols=("int", "N", "rows"),
    inputs=(
        Input("state", "bool", ("N // 2",)),
        Input("for", "f64", ()),
        Input("größe", "u8", ("int",)),
        Input("NULL", "u8", ()),
        Input("linux", "u8", ()),
        Input("n", "f32", ()),
    ),
    outputs=(Output("n", "f32", ()), Output("0/*/loss", "i64", ()), Output("rows", "f32", ())),
    tree=0,
    batch="N",
    repeat=True,
    epoch=True,
)
HEADER = header_text(replace(SIGNATURE, entries=(*SIGNATURE.entries, AWKWARD)))


@pytest.mark.parametrize("compiler", [("cc", "-std=c99", "c"), ("cc", "-std=gnu99", "c"), ("c++", "-std=c++11", "cpp")])
def test_the_header_is_clean(compiler: tuple[str, str, str], tmp_path: Path) -> None:
    program, standard, suffix = compiler
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    (tmp_path / "toy.h").write_text(HEADER)
    source = tmp_path / f"use.{suffix}"
    source.write_text('#include "toy.h"\n#include "toy.h"\nint main(void) { return TOY_OK; }\n')
    flags = [standard, "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
    result = subprocess.run([program, *flags, str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_function_of_the_file_is_declared() -> None:
    assert set(re.findall(r"\b(toy_\w+)\(", header_text(SIGNATURE))) == set(EXPORTS)


def test_the_state_is_const_if_and_only_if_nothing_is_written() -> None:
    assert "int32_t toy_predict(const void *state, void *workspace, size_t workspace_bytes, int64_t N," in HEADER
    assert "int32_t toy_train_step(void *state, " in HEADER
    assert "const int32_t *y, float *loss, int64_t n);" in " ".join(HEADER.split())


def test_macros_and_enumerators_carry_the_prefix() -> None:
    names = re.findall(r"#define (\w+)|\b(\w+) = \d", HEADER)
    assert names and all("".join(pair).startswith("TOY_") for pair in names)
    assert "#define TOY_STATE_BYTES 576" in HEADER and "#define TOY_N_MAX 1048576" in HEADER


def test_bounded_sizes_have_a_workspace_that_always_suffices(tmp_path: Path) -> None:
    program, n, t = gr.Program("bounded"), gr.dim("N", max=40), gr.dim("T", max=7)

    @program.entry
    def scores(x: gr.f32[n, 5]):
        return nn.softmax(x @ gr.ones((5, 9)))

    @program.entry
    def powers(x: gr.f32[n, t], w: gr.f32[t, t]):
        return (x @ w) @ w

    program.build(tmp_path / "bounded.so")
    header = (tmp_path / "bounded.h").read_text()
    most = {name: int(size) for name, size in re.findall(r"#define BOUNDED_(\w+)_WORKSPACE_BYTES_MAX (\d+)", header)}
    library = ctypes.CDLL(str(tmp_path / "bounded.so"))
    for name, arguments in {"scores": [(n,) for n in range(41)], "powers": list(product(range(41), range(8)))}.items():
        needs = library[f"bounded_{name}_workspace_bytes"]
        needs.restype = ctypes.c_size_t
        assert max(needs(*map(ctypes.c_int64, sizes)) for sizes in arguments) == most[name.upper()]
    assert f"#define BOUNDED_WORKSPACE_BYTES_MAX {max(most.values())}" in header
