"""Training in compiled code: the losses of plain NumPy; loops, files and resumed runs give the same bits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc.runtime.load import Compiled
from tests.documents import ROOT
from tests.programs import FEATURES, Reference, classifier, data, memory

CPUS = ("native", "x86-64-v3", "x86-64-v2")


@pytest.fixture(scope="module")
def program() -> gr.Program:
    return classifier()


@pytest.fixture
def trained(program: gr.Program) -> Compiled:
    """A compiled program after some steps."""
    compiled = program.compile()
    compiled.train_step.repeat(3, *data(33))
    return compiled


@pytest.mark.parametrize("cpu", CPUS)
def test_losses_are_those_of_numpy(program: gr.Program, cpu: str) -> None:
    compiled = program.compile(cpu=cpu)
    reference = Reference.of(compiled.state)
    for step in range(20):
        x, y = data(32 + step % 3, seed=step % 4)
        loss = compiled.train_step(x, y)["loss"]
        assert loss == pytest.approx(reference.train_step(x, y), abs=1e-4)
    for got, expected in zip(map(compiled.state.__getitem__, NAMES), reference.parameters, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-4)
    np.testing.assert_allclose(compiled.predict(x), reference.predict(x)[1], atol=1e-4)


NAMES = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")


def test_repeat_is_that_many_calls(program: gr.Program) -> None:
    x, y = data(31)
    at_once, one_by_one = program.compile(), program.compile()
    last = at_once.train_step.repeat(7, x, y)["loss"]
    for _ in range(7):
        loss = one_by_one.train_step(x, y)["loss"]
    assert last == loss
    np.testing.assert_array_equal(memory(at_once), memory(one_by_one))


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 100])
def test_an_epoch_in_order_is_a_loop_over_batches(program: gr.Program, rows: int) -> None:
    x, y = data(rows)
    at_once, one_by_one = program.compile(), program.compile()
    mean = at_once.train_step.epoch(x, y, batch_size=32, shuffle=False)["loss"]
    total = 0.0
    for start in range(0, rows, 32):
        batch = slice(start, start + 32)
        total += float(one_by_one.train_step(x[batch], y[batch])["loss"]) * len(x[batch])
    assert mean == pytest.approx(total / rows, rel=1e-6)
    for name in NAMES:
        np.testing.assert_array_equal(at_once.state[name], one_by_one.state[name])


def permutation(rows: int, seed: int) -> list[int]:
    """The order of an epoch, from its definition (graphc/codegen/epoch.py)."""
    word = (1 << 64) - 1
    bits = ((rows - 1) | 1).bit_length()
    half = (bits + 1) // 2
    mask = (1 << half) - 1

    def mix(x: int, number: int) -> int:
        x = (x + (number + 1) * 0x9E3779B97F4A7C15) & word
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ x >> shift) * factor & word
        return x ^ x >> 31

    def walk(at: int) -> int:
        while True:
            left, right = at >> half, at & mask
            for number in range(4):
                left, right = right, left ^ (mix((right + seed) & word, number) & mask)
            at = left << half | right
            if at < rows:
                return at

    return [walk(i) for i in range(rows)]


@pytest.mark.parametrize("rows", [1, 2, 33, 100, 257])
def test_a_shuffled_epoch_is_a_loop_over_a_permutation(program: gr.Program, rows: int) -> None:
    x, y = data(rows)
    order = permutation(rows, seed=5)
    assert sorted(order) == list(range(rows))
    at_once, one_by_one = program.compile(), program.compile()
    at_once.train_step.epoch(x, y, batch_size=32, shuffle=5)
    for start in range(0, rows, 32):
        chosen = order[start : start + 32]
        one_by_one.train_step(x[chosen], y[chosen])
    for name in NAMES:
        np.testing.assert_array_equal(at_once.state[name], one_by_one.state[name])


def test_a_restored_program_goes_on_to_the_bit(trained: Compiled, program: gr.Program, tmp_path: Path) -> None:
    x, y = data(40, seed=8)
    trained.save(tmp_path / "state.safetensors")
    other = program.compile()
    other.restore(tmp_path / "state.safetensors")
    np.testing.assert_array_equal(memory(other), memory(trained))
    for compiled in (trained, other):
        compiled.train_step.epoch(x, y, batch_size=16, shuffle=True)
        compiled.train_step.epoch(x, y, batch_size=16, shuffle=True)
    np.testing.assert_array_equal(memory(other), memory(trained))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_linkers_give_the_same_bits(trained: Compiled, tmp_path: Path) -> None:
    x, y = data(40, seed=8)
    results = []
    for linker in ("own", "cc"):
        loaded = gr.load(trained.build(tmp_path / f"{linker}.so", linker=linker, prefix="classifier"))
        np.testing.assert_array_equal(memory(loaded), memory(trained))
        loaded.train_step.repeat(5, x, y)
        results.append((memory(loaded), loaded.predict(x)))
    trained.train_step.repeat(5, x, y)
    for state, predictions in results:
        np.testing.assert_array_equal(state, memory(trained))
        np.testing.assert_array_equal(predictions, trained.predict(x))


def test_a_new_process_computes_the_same_bits(trained: Compiled, tmp_path: Path) -> None:
    x, y = data(40, seed=8)
    path = trained.build(tmp_path / "classifier.so")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    script = (
        "import sys, numpy as np, graphc as gr; d = np.load(sys.argv[2]); p = gr.load(sys.argv[1])\n"
        "first = p.predict(d['x']); p.train_step.repeat(5, d['x'], d['y'])\n"
        "sys.stdout.buffer.write(first.tobytes() + p.state.memory.tobytes())\n"
        "assert not {'llvmlite', 'networkx'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "data.npz")]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
    expected = trained.predict(x).tobytes()
    trained.train_step.repeat(5, x, y)
    assert output == expected + memory(trained).tobytes()


def test_threads_that_train_states_of_their_own_give_single_thread_bits(program: gr.Program) -> None:
    x, y = data(200)

    def run(compiled: Compiled) -> bytes:
        for seed in range(8):
            compiled.train_step.epoch(x, y, batch_size=16, shuffle=seed)
        return memory(compiled).tobytes()

    compiled = program.compile()
    alone = [run(compiled.new_state(seed)) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(run, [compiled.new_state(seed) for seed in (1, 2)]))
    assert together == alone and alone[0] != alone[1]


@pytest.mark.parametrize("cpu", CPUS)
def test_a_row_is_predicted_alike_whatever_the_batch(program: gr.Program, cpu: str) -> None:
    compiled = program.compile(cpu=cpu)
    x, _ = data(1000, seed=3)
    whole = compiled.predict(x)
    for rows in (0, 1, 2, 31, 32, 33, 1000):
        for start in {0, 1, 7, 1000 - rows}:
            part = x[start : start + rows]
            np.testing.assert_array_equal(compiled.predict(part), whole[start : start + rows])
    order = np.random.default_rng(1).permutation(1000)
    np.testing.assert_array_equal(compiled.predict(x[order]), whole[order])
    assert compiled.predict(np.zeros((0, FEATURES), np.float32)).shape == (0, 10)
