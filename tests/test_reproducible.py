"""The same program gives the same file, byte for byte, whatever the process: nothing depends on hashes or addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
