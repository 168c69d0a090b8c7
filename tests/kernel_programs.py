"""A program whose kernels are representative: a layer, rows held in registers and long ones, a step, an embedding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import graphc as gr
from graphc import nn, optim
from graphc.passes.pipeline import optimise
from graphc.runtime.targets import Target, target
from graphc.schedule.layout import StateLayout, lay_out, panels_for
from graphc.schedule.program import EntrySchedule, schedule_entry

AVX2 = target("x86-64-v3")

program = gr.Program("representative")
dense = nn.Dense(20)
sgd = optim.SGD(0.125)
table = gr.Variable(np.zeros((50, 16), np.float32), name="table")
count = gr.Variable(np.int32(0), name="count", trainable=False)
before = gr.Variable(np.zeros(20, np.float32), name="before", trainable=False)


@program.entry
def layer(x: gr.f32["N", 8]):
    """A matmul with an epilogue."""
    return gr.tanh(dense(x))


@program.entry
def softmax(x: gr.f32["N", 10]):
    """Rows that fit the registers."""
    return nn.softmax(x)


@program.entry
def long_rows(x: gr.f32[3, "N"]):
    """Three passes over each row, and a reduction of another kind."""
    return nn.softmax(x), gr.argmax(x, axis=-1)


@program.entry
def step(x: gr.f32["N", 8], y: gr.f32["N", 20]):
    """Updates in the epilogues of gradients, a counter, an old value that is kept."""
    before.assign(dense.bias)
    loss = gr.mean(gr.square(dense(x) - y))
    sgd.minimize(loss)
    count.assign(count + 1)
    return {"loss": loss}


@program.entry
def embed(tokens: gr.i32["N"]):
    """A gather, and a scatter into a table."""
    rows = gr.take(table, tokens, axis=0)
    (slope,) = gr.gradients(gr.sum(rows * rows), [table])
    table.assign(table - slope * 0.5)
    return rows


@program.entry
def picture(x: gr.f32["N", 5, 6, 3], kernel: gr.f32[3, 3, 3, 4]):
    """A convolution with an epilogue, and both of its gradients."""
    y = nn.relu(nn.conv(x, kernel, strides=2))
    return y, *gr.gradients(gr.sum(y * y), [x, kernel])


TRACED = program.trace()
GRAPHS = {entry.name: optimise(entry.graph) for entry in TRACED.entries}


def layout() -> StateLayout:
    """The program's state."""
    variables = [(v.name, v.type, v.trainable) for v in TRACED.variables]
    return lay_out(variables, panels_for(list(GRAPHS.values()), {v.name: v.like for v in TRACED.variables}))


def schedules(wanted: Target = AVX2) -> Mapping[str, EntrySchedule]:
    """Each entry's schedule, by name."""
    buffers = layout().buffers
    return {name: schedule_entry(graph, buffers, wanted) for name, graph in GRAPHS.items()}
