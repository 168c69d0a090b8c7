"""Dumps: every stage's text, under GRAPHC_DUMP."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import graphc as gr
from graphc import nn
from graphc.ir.text import parse_graph, print_graph
from graphc.passes.pipeline import PIPELINE, optimise
from graphc.runtime.targets import target
from graphc.schedule.program import schedule_entry
from graphc.schedule.text import print_schedule

program = gr.Program("dumped")


@program.entry
def softmax(x: gr.f32["N", 10]):
    return nn.softmax(x)


@program.entry
def product(x: gr.f32["N", 64], w: gr.f32[64, 10]):
    return gr.tanh(x @ w)


STATEMENTS = {
    "softmax": ["for i0 in N", "reduce_max", "reduce_sum", "store out.0"],
    "product": ["matmul", "in.w", "i0 in N", "tanh %1", "store out.0"],
}


@pytest.mark.parametrize("entry", program.trace().entries, ids=lambda e: e.name)
def test_schedules_read_as_loops(entry: gr.Entry) -> None:
    text = print_schedule(schedule_entry(optimise(entry.graph), {}, target("x86-64-v3")))
    assert all(statement in text for statement in STATEMENTS[entry.name]), text


def test_every_stage_is_dumped_even_from_a_warm_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    program.compile()
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "dump"))
    compiled = program.compile()
    assert np.allclose(compiled.softmax(np.zeros((3, 10), np.float32)), 0.1)
    graphs = [f"{stage}.txt" for stage in ("00-trace", *(f"{i:02}-{p.name}" for i, p in enumerate(PIPELINE, 1)))]
    for entry in ("softmax", "product"):
        folder = tmp_path / "dump" / entry
        assert sorted(p.name for p in folder.iterdir()) == [*graphs, "kernels.ll", "kernels.s", "kernels.txt"]
        for text in (p.read_text() for p in folder.glob("0*.txt")):
            graph = parse_graph(text)
            assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)
        heads = {stage: (folder / f"kernels.{stage}").read_text().splitlines()[0] for stage in ("txt", "ll", "s")}
        assert re.match(r"; schedule: \d+\.\d+ ms, \d+ statements: \d", heads["txt"])
        assert re.match(r"; emit: \d+\.\d+ ms, \d+ instructions: \d", heads["ll"])
        assert re.match(r"# object: \d+\.\d+ ms, \d+ instructions: \d", heads["s"])
        assert "; test_dump.py:" in (folder / "kernels.txt").read_text()
    assert "define i32 @dumped_softmax" in (tmp_path / "dump" / "program.ll").read_text()
    assert "dumped_softmax:" in (tmp_path / "dump" / "program.s").read_text()
