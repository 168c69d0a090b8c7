"""Sweeps of a kernel: values carried from one index of an axis to the next."""

from __future__ import annotations

import numpy as np

from graphc.codegen.emission import Emission, Lane
from graphc.codegen.folds import State
from graphc.codegen.lanes import ELEMENTS
from graphc.codegen.llvm_types import vector_type
from graphc.codegen.loops import counted
from graphc.schedule.kernel import Sweep


def emit_sweep(k: Emission, statement: Sweep) -> None:
    """A counted loop; each carry is as many vectors as the lanes around it take."""
    lanes = k.chunks.lanes if k.chunks else 1
    chunks = len(k.chunks.starts) if k.chunks else 1
    starts: State = ()
    for carry in statement.carries:
        number = np.frombuffer(carry.start, carry.dtype.numpy)[0].item()
        starts += (k.b.constant(vector_type(ELEMENTS[carry.dtype.name], lanes), number),) * chunks

    def step(state: State) -> State:
        for i, carry in enumerate(statement.carries):
            part = state[i * chunks : (i + 1) * chunks]
            k.values[carry.result] = Lane(carry.dtype.name, part, k.chunks is None)
        k.run(statement.body)
        following = [k.values[carry.next] for carry in statement.carries]
        return tuple(k.vector(lane, c) for lane in following for c in range(chunks))

    counted(k, statement.axis, statement.body, starts, step)
