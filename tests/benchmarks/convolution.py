"""Convolution kernels against the FMA peak of the same run: `python -m tests.benchmarks.convolution [--cpu C] [word]`.

Forward, data gradient and kernel gradient of each layer whose name contains one of the words. Only products that count
are counted: what would meet padding is not. Peak and kernels are measured by turns; each figure is the best of several
medians.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import time
from collections.abc import Callable

import numpy as np

from graphc import ops
from graphc.ir.graph import Graph
from graphc.ir.node import Input, Scope
from graphc.ir.types import TensorType, f32
from graphc.runtime.targets import Target, target
from tests.benchmarks.matmul import by_turns, peak
from tests.compiled import CompiledGraph, aligned, array_of

#: Name -> batch, image, kernel, strides, low padding, sizes of the result, groups.
LAYERS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], int, int, int, int]] = {
    "lenet 1": (64, (28, 28, 1), (5, 5, 1, 6), 1, 2, 28, 1),
    "lenet 2": (64, (14, 14, 6), (5, 5, 6, 16), 1, 0, 10, 1),
    "cifar 1": (32, (32, 32, 3), (3, 3, 3, 32), 1, 1, 32, 1),
    "cifar 2": (32, (32, 32, 32), (3, 3, 32, 32), 1, 1, 32, 1),
    "cifar 3": (32, (16, 16, 32), (3, 3, 32, 64), 1, 1, 16, 1),
    "cifar 4": (32, (16, 16, 64), (3, 3, 64, 64), 1, 1, 16, 1),
    "small 8x8": (32, (8, 8, 64), (3, 3, 64, 64), 1, 1, 8, 1),
    "small 4x4": (32, (4, 4, 128), (3, 3, 128, 128), 1, 1, 4, 1),
    "stride 2": (32, (16, 16, 64), (3, 3, 64, 128), 2, 1, 8, 1),
    "depthwise": (32, (16, 16, 64), (3, 3, 1, 64), 1, 1, 16, 64),
}


def forms(name: str) -> dict[str, tuple[ops.Convolution, tuple[int, ...], tuple[int, ...]]]:
    """The three primitives of a layer, with their operands' shapes."""
    batch, image, kernel, stride, low, size, groups = LAYERS[name]
    common = (stride, stride), (low, low), (1, 1)
    x, y = (batch, *image), (batch, size, size, kernel[-1])
    return {
        "forward": (ops.Conv(*common, (size, size), groups), x, kernel),
        "data": (ops.ConvInput(*common, image[:2], groups), y, kernel),
        "kernel": (ops.ConvKernel(*common, kernel[:2], groups), x, y),
    }


def rate(op: ops.Convolution, *shapes: tuple[int, ...], machine: Target) -> Callable[[], float]:
    """A function that times one primitive: GFLOP/s."""
    scope = Scope()
    types = [TensorType(f32, s) for s in shapes]
    xs = [scope.typed(Input(f"x{i}"), t) for i, t in enumerate(types)]
    y = scope.node(op, *xs)
    code = CompiledGraph(Graph("layer", scope, tuple(xs), (y,)), {}, machine)
    arrays = [array_of(aligned, t) for t in (*types, y.type)]
    for array in arrays:
        array[...] = np.random.default_rng(0).standard_normal(array.shape)
    workspace_of = code.library["workspace"]
    workspace_of.restype = ctypes.c_int64
    workspace = aligned(workspace_of())
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (workspace, workspace, *arrays)]
    flops = 2 * op.eval(*(np.ones(s) for s in shapes)).sum()
    repeat = max(1, int(60_000_000 // flops))
    body = code.library["body"]

    def measure(_alive: object = (code, arrays, workspace)) -> float:
        begin = time.thread_time()
        for _ in range(repeat):
            body(*pointers)
        return float(flops * repeat / (time.thread_time() - begin) / 1e9)

    return measure


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", default="native")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    machine = target(options.cpu)
    top = peak(machine, "f32")
    print(f"{machine.name}: percent of the FMA peak, which is {by_turns([top])[0]:.0f} GFLOP/s")
    print(f"{'':12}" + "".join(f"{form:>10}" for form in ("forward", "data", "kernel")))
    for name in LAYERS:
        if options.words and not any(word in name for word in options.words):
            continue
        rates = [rate(op, *shapes, machine=machine) for op, *shapes in forms(name).values()]
        ceiling, *reached = by_turns([top, *rates], rounds=3, inner=5)
        print(f"{name:12}" + "".join(f"{100 * r / ceiling:10.1f}" for r in reached), flush=True)


if __name__ == "__main__":
    main()
