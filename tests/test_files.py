"""Shared objects as files: which are loaded, which are refused, and what a program writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc.errors import BuildError, TargetError, UnsupportedError
from graphc.ir.node import Array
from graphc.runtime.load import Compiled, load
from tests.test_call import X, Y, file, toy
from tests.toy import SIGNATURE

__all__ = ["file", "toy"]


def test_the_same_file_is_loaded_once_and_a_new_one_anew(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "toy.so"
    shutil.copy(file, path)
    first = load(path)
    assert load(path)._artifact is first._artifact
    changed = file.read_bytes().replace(b'"graphc":"0.1.0"', b'"graphc":"0.1.1"')
    path.unlink()
    path.write_bytes(changed)
    second = load(path)
    assert second.signature.graphc == "0.1.1" and first.signature.graphc == "0.1.0"
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n" * 20])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.so"
    path.write_bytes(content)
    with pytest.raises(BuildError):
        load(path)
    with pytest.raises(BuildError, match="No such file"):
        load(tmp_path / "nowhere.so")


def test_build_hands_the_current_state_to_the_builder(toy: Compiled, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no source"):
        toy.build(tmp_path / "copy.so")
    built: list[dict[str, Array]] = []
    toy.builder = lambda path, image, **options: built.append(image) or path
    toy.train_step(X, Y)
    toy.new_state().build(tmp_path / "a", cpu="x86-64-v3")
    toy.build(tmp_path / "b")
    for image, program in zip(built, (toy.new_state(), toy), strict=True):
        assert image.keys() == program.state.keys()
        assert all(np.array_equal(image[name], program.state[name]) for name in image)


def test_some_entries_keep_the_state_that_lies_otherwise_without_the_rest(tmp_path: Path) -> None:
    kernel = gr.Variable(np.arange(40 * 23, dtype=np.float32).reshape(40, 23), name="kernel")
    program = gr.Program("part")

    @program.entry
    def product(x: gr.f32["N", 40]) -> Any:
        return x @ kernel

    @program.entry
    def rows(i: gr.i32["N"]) -> Any:
        return gr.take(kernel, i, axis=0)

    compiled = program.compile()
    compiled.state["kernel"] = -compiled.state["kernel"]
    part = load(compiled.build(tmp_path / "part.so", entries=["product"]))
    assert part.signature.layout_hash != compiled.signature.layout_hash
    np.testing.assert_array_equal(part.state["kernel"], compiled.state["kernel"])


def test_another_abi_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "future.so"
    path.write_bytes(file.read_bytes().replace(b'{"abi":1,', b'{"abi":9,'))
    with pytest.raises(BuildError, match="ABI version 9"):
        load(path)


def test_a_cpu_that_lacks_features_is_named(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = load(file)
    monkeypatch.setattr(toy._artifact, "init", lambda state, seed: 6)
    with pytest.raises(TargetError, match="cpu="):
        toy.init()


def test_the_program_says_what_it_has(toy: Compiled) -> None:
    assert "train_step(x: f32[N, 3], y: i32[N]) -> loss: f32" in repr(toy)
    assert "w: f32[3]" in repr(toy.state)
    assert toy.signature == SIGNATURE
