"""Dumps: every stage's text, under GRAPHC_DUMP."""

from __future__ import annotations

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


KERNELS = {
    "softmax": """\
entry softmax(N)
  input in.x: f32[N,10]
  output out.0: f32[N,10]
kernel reduce_max_sub_exp_reduce_sum_div
  for i0 in N:
    for i1 in 10, at once:
      %1 = load in.x[i0, i1] : f32
      %2 = reduce_max %1 over lanes : f32
      %3 = sub %1, %2 : f32
      %4 = exp %3 : f32
      %5 = reduce_sum %4 over lanes : f32
      %6 = div %4, %5 : f32
      store out.0[i0, i1] = %6
arena
  out.0: 64*((40*N + 63) // (64)) bytes at 0
""",
    "product": """\
entry product(N)
  input in.x: f32[N,64]
  input in.w: f32[64,10]
  output out.0: f32[N,10]
kernel dot_general_tanh
  %1 = matmul in.x[N, 64], in.w[64, 10] : f32, for i0 in N i1 in 10, k = 64:
    %2 = tanh %1 : f32
    store out.0[i0, i1] = %2
arena
  out.0: 64*((40*N + 63) // (64)) bytes at 0
""",
}


@pytest.mark.parametrize("entry", program.trace().entries, ids=lambda e: e.name)
def test_schedules_read_as_loops(entry: gr.Entry) -> None:
    schedule = schedule_entry(optimise(entry.graph, dump=None), {}, target("x86-64-v3"))
    lines = print_schedule(schedule).splitlines(keepends=True)
    assert "".join(line for line in lines if not line.lstrip().startswith(";")) == KERNELS[entry.name]


def test_every_stage_is_dumped_even_from_a_warm_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    program.compile()
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "dump"))
    compiled = program.compile()
    assert np.allclose(compiled.softmax(np.zeros((3, 10), np.float32)), 0.1)
    stages = ["00-trace", *(f"{i:02}-{p.name}" for i, p in enumerate(PIPELINE, 1)), "kernels"]
    for entry in ("softmax", "product"):
        folder = tmp_path / "dump" / entry
        assert sorted(p.name for p in folder.iterdir()) == [f"{stage}.txt" for stage in stages]
        for text in (p.read_text() for p in folder.glob("0*.txt")):
            graph = parse_graph(text)
            assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)
    assert "define i32 @dumped_softmax" in (tmp_path / "dump" / "program.ll").read_text()
    assert "dumped_softmax:" in (tmp_path / "dump" / "program.s").read_text()
