"""The same program gives the same file in every process, and exact programs the same bits on every CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from graphc.runtime import targets

SCRIPT = """
import sys
import graphc as gr
from graphc import losses, nn, optim

net = nn.Sequential(nn.Dense(24, activation="tanh"), nn.Dropout(0.1), nn.Dense(3))
adam = optim.Adam(0.01)
program = gr.Program("net")

@program.entry
def step(x: gr.f32["N", 5], y: gr.i32["N"]):
    loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
    adam.minimize(loss)
    return {"loss": loss}

program.build(sys.argv[1] + "/net.so")
program.build(sys.argv[1] + "/wide.o", cpu="x86-64-v3")
"""


def test_files_are_equal_in_every_process(tmp_path: Path) -> None:
    contents = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], env=environment, check=True)
        contents.append([(folder / name).read_bytes() for name in ("net.so", "net.h", "wide.o", "wide.h")])
    assert contents[0] == contents[1]


CPUS = [c for c in ("x86-64-v2", "x86-64-v3", "x86-64-v4") if {*targets.NAMED[c]} <= {*targets.native().features}]
DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 10, 37).astype(np.int32)


def trained(net: Any, x: gr.TensorType, optimizer: Any) -> gr.Program:
    """A program that trains a network on labels."""
    program = gr.Program("net")

    @program.entry(x=x, y=gr.i32["N"])
    def step(x: gr.Tensor, y: gr.Tensor) -> gr.Tensor:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        optimizer.minimize(loss)
        return loss

    return program


def step(x: gr.Tensor) -> dict[str, gr.Tensor]:
    """What has an order, a polynomial or an instruction of its own."""
    size = gr.abs(x) + 0.01
    return {
        "products": x @ gr.matrix_transpose(x),
        "inner": gr.matrix_transpose(x) @ x,
        "sums": gr.sum(x),
        "columns": gr.mean(x, axis=0),
        "rows": gr.std(x, axis=1),
        "running": gr.cumulative_sum(x, axis=1),
        "softmax": nn.softmax(x),
        "drawn": gr.random.normal((77,)),
        **{f.__name__: f(x) for f in (gr.exp, gr.expm1, gr.tanh, gr.erf, gr.sin, gr.cos, nn.sigmoid, nn.gelu)},
        **{f.__name__: f(size) for f in (gr.log, gr.log1p, gr.sqrt, nn.rsqrt)},
        "power": size**1.7,
    }


def bits(program: gr.Program, cpu: str, arguments: dict[str, Any], exact: bool) -> list[bytes]:
    """All outputs of three calls, and the state after them."""
    compiled = program.compile(cpu=cpu, exact_across_cpus=exact)
    compiled.init(seed=3)
    found: list[bytes] = []
    for _ in range(3):
        outputs = compiled.step(**arguments)
        found += [np.asarray(o).tobytes() for o in (outputs.values() if isinstance(outputs, dict) else [outputs])]
    return [*found, *(compiled.state[name].tobytes() for name in sorted(compiled.state))]


def multilayer() -> tuple[gr.Program, dict[str, Any]]:
    hidden = [nn.Dense(70, activation="tanh"), nn.Dropout(0.2), nn.LayerNorm(), nn.Dense(33, activation="gelu")]
    net = nn.Sequential(*hidden, nn.BatchNorm(), nn.Dense(10))
    x = DRAW.standard_normal((37, 50)).astype(np.float32)
    return trained(net, gr.f32["N", 50], optim.AdamW(0.01)), {"x": x, "y": LABELS}


def convolutional() -> tuple[gr.Program, dict[str, Any]]:
    net = nn.Sequential(nn.Conv2D(6, 5, activation="relu"), nn.MaxPool(2), nn.Conv2D(17, 3), nn.Flatten(), nn.Dense(10))
    x = DRAW.standard_normal((37, 14, 14, 3)).astype(np.float32)
    return trained(net, gr.f32["N", 14, 14, 3], optim.Adam(0.01)), {"x": x, "y": LABELS}


def recurrent() -> tuple[gr.Program, dict[str, Any]]:
    net = nn.Sequential(nn.Last(nn.LSTM(24)), nn.Dense(10))
    x = DRAW.standard_normal((37, 6, 7)).astype(np.float32)
    return trained(net, gr.f32["N", 6, 7], optim.RMSprop(0.01)), {"x": x, "y": LABELS}


def of_functions() -> tuple[gr.Program, dict[str, Any]]:
    program = gr.Program("functions")
    program.entry(x=gr.f32["N", 45])(step)
    return program, {"x": DRAW.standard_normal((29, 45)).astype(np.float32)}


@pytest.mark.skipif(len(CPUS) < 2, reason="takes x86-64-v3 at least")
@pytest.mark.parametrize("make", [multilayer, convolutional, recurrent, of_functions], ids=lambda f: f.__name__)
def test_exact_programs_give_the_same_bits_on_every_cpu(make: Any) -> None:
    program, arguments = make()
    first, *others = [bits(program, cpu, arguments, exact=True) for cpu in CPUS]
    assert all(other == first for other in others)
    assert bits(program, CPUS[1], arguments, exact=False) != first  # whose products are fused: the comparison can fail
