"""A recurrent network with all that training has, as a shared object: run from C it is Python's run, to the bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import losses, nn, optim
from tests.documents import ROOT

STEPS, FEATURES, CLASSES = 100, 5, 4
#: Sizes of batches and lengths of sequences, in turn.
SHAPES = ((8, 12), (3, 7), (1, 1), (17, 5))
SEED = 3


def training_program() -> gr.Program:
    """LSTM, dropout, clipping by the global norm, cosine decay with warm-up, AdamW, averages of the parameters."""
    program = gr.Program("speech")
    recurrent = nn.Stack(nn.LSTM(19, recurrent_dropout=0.1), nn.LSTM(16), dropout=0.2)
    net = nn.Sequential(nn.Last(recurrent), nn.Dropout(0.3), nn.Dense(CLASSES))
    rate = optim.CosineDecay(1e-2, decay_steps=80, warmup_steps=10)
    optimizer = optim.AdamW(rate, weight_decay=0.01, clip_global_norm=0.5)
    average = optim.EMA(net, decay=0.95)

    @program.entry
    def train(x: gr.f32["N", "T", FEATURES], y: gr.i32["N"]) -> Any:
        loss = losses.sparse_softmax_cross_entropy(net(x, training=True), y)
        optimizer.minimize(loss)
        average.update()
        return loss

    @program.entry
    def predict(x: gr.f32["N", "T", FEATURES]) -> Any:
        return nn.softmax(average(x))

    return program


def batch(number: int) -> tuple[Any, Any]:
    """The data of a step."""
    rng = np.random.default_rng(number)
    rows, time = SHAPES[number % len(SHAPES)]
    x = rng.standard_normal((rows, time, FEATURES)).astype(np.float32)
    return x, np.argmax(x.sum(1)[:, :CLASSES], axis=1).astype(np.int32)


SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include "speech.h"

static void *aligned(size_t bytes) {
    void *memory = aligned_alloc(SPEECH_ALIGN, (bytes + SPEECH_ALIGN - 1) / SPEECH_ALIGN * SPEECH_ALIGN);
    if (!memory) exit(2);
    return memory;
}

int main(int argc, char **argv) {
    if (argc != 3) return 3;
    FILE *data = fopen(argv[1], "rb"), *end = fopen(argv[2], "wb");
    size_t bytes = speech_workspace_bytes(32, 32);
    void *state = aligned(SPEECH_STATE_BYTES), *workspace = aligned(bytes);
    float x[4096], probabilities[256];
    int32_t y[64], sizes[2];
    if (!data || !end || speech_init(state, SEED)) return 4;
    while (fread(sizes, sizeof(int32_t), 2, data) == 2) {
        size_t rows = (size_t)sizes[0], elements = rows * (size_t)sizes[1] * FEATURES;
        float loss;
        if (fread(x, sizeof(float), elements, data) != elements) return 5;
        if (fread(y, sizeof(int32_t), rows, data) != rows) return 5;
        if (speech_train(state, workspace, bytes, sizes[0], sizes[1], x, y, &loss)) return 6;
        fwrite(&loss, sizeof loss, 1, end);
        if (speech_predict(state, workspace, bytes, sizes[0], sizes[1], x, probabilities)) return 7;
        fwrite(probabilities, sizeof(float), rows * CLASSES, end);
    }
    fwrite(state, 1, SPEECH_STATE_BYTES, end);
    return fclose(end);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_c_trains_a_recurrent_network_as_python_does(tmp_path: Path) -> None:
    program = training_program()
    library = program.build(tmp_path / "speech.so")
    (tmp_path / "main.c").write_text(SOURCE)
    with open(tmp_path / "data", "wb") as file:
        for number in range(STEPS):
            x, y = batch(number)
            file.write(np.int32(x.shape[:2]).tobytes() + x.tobytes() + y.tobytes())
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-DSEED={SEED}"]
    flags += [f"-DFEATURES={FEATURES}", f"-DCLASSES={CLASSES}", f"-I{tmp_path}", "-Wl,-rpath,$ORIGIN"]
    subprocess.run(["cc", *flags, tmp_path / "main.c", library, "-o", tmp_path / "main"], check=True, cwd=ROOT)
    subprocess.run([tmp_path / "main", tmp_path / "data", tmp_path / "end"], check=True)
    found = (tmp_path / "end").read_bytes()

    for python in (program.compile(), gr.load(library)):
        python.init(SEED)
        expected, first = b"", []
        for number in range(STEPS):
            x, y = batch(number)
            first.append(python.train(x, y))
            expected += first[-1].tobytes() + python.predict(x).tobytes()
        assert found.startswith(expected) and len(set(first)) == STEPS
        assert found[len(expected) :] == python.state.memory[: python.signature.state_bytes].tobytes()
        assert np.mean(first[-20:]) < np.mean(first[:20])
        average, last = (python.state[name] for name in ("stack/lstm/kernel/ema", "stack/lstm/kernel"))
        assert not np.array_equal(average, last)
