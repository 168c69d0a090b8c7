"""What a network consists of: its layers, their outputs, parameters and work, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from graphc.frontend.pure import called_on
from graphc.frontend.recording import Recording
from graphc.frontend.size import Size
from graphc.frontend.variable import Variable
from graphc.frontend.work import for_one, outputs_by_layer, work_by_layer

if TYPE_CHECKING:
    from graphc.nn.module import Module


class Row(NamedTuple):
    """One layer; `parameters` and `flops`, for one example, are its own, without those of layers in it."""

    path: str
    layer: str
    output: str
    parameters: Size
    flops: Size


class Summary(NamedTuple):
    """A network's layers, in the order in which they are first called, and totals; its text is a table.

    `flops` counts the operations on numbers of a prediction for one example: two for each product that is summed, one
    for each element of everything else that computes. It is a number, or an expression of symbolic sizes.
    """

    rows: tuple[Row, ...]
    parameters: Size
    trainable: Size
    flops: Size

    def __str__(self) -> str:
        head = ("layer", "class", "output", "parameters", "FLOPs")
        rows = [(r.path, r.layer, r.output, counted(r.parameters), counted(r.flops)) for r in self.rows]
        total = ("total", "", "", counted(self.parameters), counted(self.flops))
        widths = [max(map(len, column)) for column in zip(head, *rows, total, strict=True)]
        line = "-" * (sum(widths) + 2 * (len(widths) - 1))
        table = [aligned(head, widths), line, *(aligned(row, widths) for row in rows), line, aligned(total, widths)]
        rest = counted(self.parameters - self.trainable)
        table.append(f"trainable {counted(self.trainable)}, not trainable {rest}; FLOPs are those of one example")
        return "\n".join(table)


def counted(size: Size) -> str:
    """A number with commas, or an expression."""
    return f"{size:,}" if isinstance(size, int) else str(size)


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A line of a table: text to the left, the last two columns to the right."""
    left = [cell.ljust(width) for cell, width in zip(cells[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()


def summarised(network: Module, types: Sequence[Any]) -> Summary:
    """The summary of a network that is called on tensors of some types."""
    recording, result = called_on(network, types)
    outputs = outputs_by_layer(recording)
    layers = layers_by_path(network, recording)
    called = [path for path in outputs if path in layers]
    work = work_by_layer(recording, result, called)
    rows, known = [], set[Variable]()
    for path in in_order(called):
        own = [p for p in layers[path].parts() if isinstance(p, Variable) and p not in known]
        known.update(own)
        shapes = ", ".join(f"[{', '.join(map(str, t.type.shape))}]" for t in outputs[path])
        rows.append(Row(path, type(layers[path]).__name__, shapes, elements(own), for_one(work[path], types)))
    if work[""]:
        rows.append(Row("", "functions", "", 0, for_one(work[""], types)))
    total = sum((row.flops for row in rows), start=0)
    return Summary(tuple(rows), elements(network.variables()), elements(network.parameters()), total)


def elements(variables: Sequence[Variable]) -> Size:
    """How many numbers Variables hold."""
    return sum((v.type.size for v in variables), start=0)


def layers_by_path(network: Module, recording: Recording) -> dict[str, Module]:
    """Its layers by their paths, without those that add nothing to their parts' paths."""
    return {recording.names.path(m): m for m in network.modules() if m.name is not None or not m.transparent}


def in_order(ended: Sequence[str]) -> list[str]:
    """Layers' paths in the order in which calls began, from that in which they ended: a layer before those in it."""
    order: list[str] = []
    for path in ended:
        inner = (i for i, other in enumerate(order) if other.startswith(f"{path}/"))
        order.insert(next(inner, len(order)), path)
    return order
