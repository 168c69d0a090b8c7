"""Summaries of networks, and the work of ops that they count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import nn, ops
from graphc.errors import TraceError
from graphc.ir.node import Op
from graphc.ir.types import TensorType, f64

NET = nn.Sequential(
    nn.Conv2D(8, 3, padding="VALID", use_bias=False),
    nn.BatchNorm(),
    nn.Activation("relu"),
    nn.Residual(nn.Conv2D(8, 3)),
    nn.MaxPool(2),
    lambda x: gr.reshape(x, (x.shape[0], -1)) * 2.0,
    nn.Dropout(0.5),
    nn.Dense(10, name="head"),
)

EXPECTED = """\
layer            class       output        parameters   FLOPs
-------------------------------------------------------------
conv2d           Conv2D      [N, 6, 6, 8]          72   5,184
batch_norm       BatchNorm   [N, 6, 6, 8]          32   1,168
activation       Activation  [N, 6, 6, 8]           0     576
residual         Residual    [N, 6, 6, 8]           0     288
residual/conv2d  Conv2D      [N, 6, 6, 8]         584  41,760
max_pool         MaxPool     [N, 3, 3, 8]           0     288
dropout          Dropout     [N, 72]                0       0
head             Dense       [N, 10]              730   1,450
                 functions                          0      72
-------------------------------------------------------------
total                                           1,418  50,786
trainable 1,402, not trainable 16; FLOPs are those of one example"""


def test_a_summary_is_a_table_of_layers() -> None:
    summary = NET.summary(gr.f32["N", 8, 8, 1])
    assert str(summary) == EXPECTED
    assert summary == NET.summary() and summary.parameters == 1418 and summary.trainable == 1402
    assert summary.rows[4].flops == 2 * 6 * 6 * 8 * 3 * 3 * 8 + 6 * 6 * 8


def test_work_is_an_expression_of_symbolic_sizes_but_the_batch() -> None:
    net = nn.Sequential(nn.Embedding(50, 8), nn.Last(nn.LSTM(4)), nn.Dense(2))
    rows = {row.path: row for row in net.summary(gr.i32["N", "T"]).rows}
    assert rows["lstm"].output.startswith("[N, T, 4]")
    per_step = 2 * (8 + 4) * 16  # its matrix products
    lstm = int(str(rows["lstm"].flops).removesuffix("*T"))
    assert per_step < lstm < 2 * per_step
    assert rows["dense"].flops == 2 * 4 * 2 + 2
    whole = nn.Dense(3).summary(gr.f32[5, 4])
    assert whole.flops == 5 * (2 * 4 * 3 + 3) and whole.rows[0].output == "[5, 3]"


def test_shared_layers_and_parameters_count_once() -> None:
    layer, embedding = nn.Dense(4), nn.Embedding(7, 4)

    class Tied(nn.Module):
        def __init__(self) -> None:
            self.embedding, self.first, self.again = embedding, layer, layer

        def __call__(self, x: Any) -> Any:
            return embedding.attend(self.again(self.first(embedding(x))))

    summary = Tied().summary(gr.i32["N"])
    assert [row.path for row in summary.rows] == ["tied", "tied/embedding", "tied/dense"]
    assert summary.parameters == 7 * 4 + 4 * 4 + 4
    assert summary.rows[2].flops == 2 * (2 * 4 * 4 + 4) and summary.rows[1].flops == 2 * 4 * 7


def test_a_summary_needs_types_or_a_network_that_is_built() -> None:
    with pytest.raises(TraceError, match="no parameters yet"):
        nn.Dense(3).summary()


@pytest.mark.parametrize(
    "op, shapes",
    [
        (ops.DotGeneral((1,), (1,), (0,), (0,)), ((2, 3, 4), (2, 3, 5))),
        (ops.Conv((2, 1), (0, 0), (1, 2), (2, 3), 2), ((3, 5, 5, 4), (2, 2, 2, 6))),
        (ops.ConvInput((2,), (0,), (1,), (7,), 1), ((3, 3, 4), (3, 2, 4))),
        (ops.ConvKernel((1,), (0,), (1,), (2,), 2), ((3, 5, 4), (3, 4, 6))),
    ],
)
def test_products_count_twice(op: Op, shapes: Any) -> None:
    """On ones every product adds one to the sum of the result."""
    types = [TensorType(f64, shape) for shape in shapes]
    result = op.eval(*[np.ones(shape) for shape in shapes])
    assert op.work(op.infer(*types), *types) == 2 * result.sum()


def test_other_work_is_counted_by_elements() -> None:
    x = TensorType(f64, (4, 6))
    for op, operands, expected in (
        (ops.Tanh(), (x,), 24),
        (ops.ReduceSum((0,)), (x,), 24),
        (ops.ArgMax(1), (x,), 24),
        (ops.CumSum(0), (x,), 24),
        (ops.WindowSum((2, 3), (2, 3), (1, 1), (0, 0), (0, 0)), (x,), 24),
        (ops.Transpose((1, 0)), (x,), 0),
        (ops.Cast(f64), (x,), 0),
    ):
        assert op.work(op.infer(*operands), *operands) == expected


def test_loops_and_branches_count_their_bodies() -> None:
    def flops(body: Any) -> Any:
        return nn.Sequential(body).summary(gr.f64["N", 3]).flops

    assert flops(lambda x: gr.scan(lambda c, _: (c + x, None), x, length=7)[0]) == 7 * 3
    assert flops(lambda x: gr.cond(gr.sum(x) > 0, lambda: x + 1.0, lambda: gr.tanh(x) * x)) == 3 + 1 + 6


def test_layers_that_give_states_are_rows_too() -> None:
    net = nn.Sequential(nn.LSTM(4, name="memory"), nn.Last(nn.Bidirectional(nn.GRU(2))), nn.Dense(1))
    rows = {row.path: row for row in net.summary(gr.f32["N", "T", 3]).rows}
    assert rows["memory"].output == "[N, T, 4], [N, 4], [N, 4]" and rows["memory"].parameters == 16 * (3 + 4 + 1)
    assert rows["bidirectional"].output == "[N, T, 4], [N, 2], [N, 2]"
    assert rows["bidirectional/backward"].parameters == 6 * (4 + 2 + 2)
