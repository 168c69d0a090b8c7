"""Shared objects as files: which are loaded, which are refused, and what a program writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from graphc.errors import BuildError, TargetError, UnsupportedError
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
    toy.builder = lambda path, image, **options: path.write_bytes(image) and path
    toy.train_step(X, Y)
    path = toy.new_state().build(tmp_path / "a", cpu="x86-64-v3")
    assert path.read_bytes() == toy.new_state().state.memory.tobytes()
    assert toy.build(tmp_path / "b").read_bytes() == toy.state.memory.tobytes()


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
