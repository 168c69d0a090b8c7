"""The state as a mapping: snapshots, writes, live views, files; an error leaves it as it was."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphc.errors import (
    ArgumentError,
    DTypeError,
    GraphcError,
    ShapeError,
    StateError,
)
from graphc.runtime.load import Compiled, load
from tests.test_call import W, X, Y, file

__all__ = ["file"]


@pytest.fixture
def toy(file: Path) -> Compiled:
    return load(file)


def test_snapshots_are_logical_and_read_only(toy: Compiled) -> None:
    kernel = np.arange(60, dtype=np.float32).reshape(3, 20)
    toy.state["panels/kernel"] = kernel
    snapshot = toy.state["panels/kernel"]
    np.testing.assert_array_equal(snapshot, kernel)
    assert not snapshot.flags.writeable
    memory = toy.state.memory[128:512].view(np.float32).reshape(2, 3, 16)
    np.testing.assert_array_equal(memory[0], kernel[:, :16])
    np.testing.assert_array_equal(memory[1, :, :4], kernel[:, 16:])
    assert not memory[1, :, 4:].any(), "padding stays zero"


def test_the_state_is_a_mapping(toy: Compiled) -> None:
    assert list(toy.state) == ["w", "panels/kernel", "graphc/epoch"] and len(toy.state) == 3
    assert "w" in toy.state and "v" not in toy.state
    saved = toy.state.copy()
    toy.train_step(X, Y)
    assert toy.state["w"][0] == 0.875
    toy.state.update(saved)
    assert toy.state["w"].tolist() == W.tolist()
    toy.state["graphc/epoch"] = 7
    assert toy.state["graphc/epoch"] == 7


def test_a_view_is_live_and_outlives_the_program(file: Path) -> None:
    toy = load(file)
    view = toy.state.view("w")
    toy.train_step(X, Y)
    assert view[0] == 0.875
    view[0] = 5
    assert toy.state["w"][0] == 5
    with pytest.raises(StateError, match="packed"):
        toy.state.view("panels/kernel")
    del toy
    gc.collect()
    assert view[0] == 5


def test_an_argument_may_be_a_view_of_the_state(toy: Compiled) -> None:
    view = toy.state.view("w").reshape(1, 3)
    assert toy.train_step(view, Y[:1])["loss"] == 1
    with pytest.raises(ArgumentError, match="overlaps"):
        toy.predict(view, out=view)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("v", W, StateError),
        ("w", W.astype(np.float64), DTypeError),
        ("w", W[:2], ShapeError),
        ("w", 1.0, ShapeError),
        ("graphc/epoch", 1.5, DTypeError),
        ("graphc/epoch", 1 << 70, ArgumentError),
        ("w", [1.0, 2.0, 3.0], ArgumentError),
    ],
)
def test_wrong_values_change_nothing(toy: Compiled, name: str, value: Any, kind: type[GraphcError]) -> None:
    before = toy.state.memory.copy()
    with pytest.raises(kind):
        toy.state.update({"panels/kernel": np.ones((3, 20), np.float32), name: value})
    assert (toy.state.memory == before).all()


def test_states_share_code_only(toy: Compiled) -> None:
    other = toy.new_state(seed=4)
    toy.train_step(X, Y)
    assert other.state["w"][0] == 5 and toy.state["w"][0] == 0.875
    toy.init(seed=2)
    assert toy.state["w"][0] == 3
    with pytest.raises(AttributeError, match="update"):
        toy.state = {}


def test_save_and_restore_keep_everything(toy: Compiled, tmp_path: Path) -> None:
    toy.state["panels/kernel"] = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
    toy.train_step.epoch(X, Y, shuffle=True)
    toy.save(tmp_path / "toy.safetensors")
    other = toy.new_state()
    other.restore(tmp_path / "toy.safetensors")
    assert (other.state.memory == toy.state.memory).all()


def test_a_file_that_does_not_fit_changes_nothing(toy: Compiled, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"w": W.astype(np.float64), "panels/kernel": np.ones((20, 3), np.float32), "extra": W}, path)
    before = toy.state.memory.copy()
    with pytest.raises(StateError) as caught:
        toy.restore(path)
    for part in (
        "graphc/epoch: missing",
        "extra: not a variable",
        "w is f64[3]",
        "panels/kernel is f32[3, 20], given f32[20, 3]",
    ):
        assert part in str(caught.value)
    assert caught.value.site is not None and caught.value.site.file == __file__
    toy.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StateError, match="not a whole safetensors file"):
        toy.restore(path)
    with pytest.raises(StateError, match="No such file"):
        toy.restore(tmp_path / "nowhere")
    assert (toy.state.memory == before).all()


def test_a_damaged_header_is_refused_and_init_mends_it(toy: Compiled) -> None:
    toy.state.memory[16] ^= 1
    with pytest.raises(StateError, match="init"):
        toy.predict(X)
    toy.init()
    toy.predict(X)


def test_what_to_assign_is_said_in_python(toy: Compiled) -> None:
    with pytest.raises(DTypeError) as caught:
        toy.state["panels/kernel"] = np.zeros((3, 20))
    assert caught.value.help == "pass value.astype(np.float32)"
