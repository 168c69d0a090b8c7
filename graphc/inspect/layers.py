"""`layers`: what each layer of an entry gives on a batch, and the loss's gradient there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from graphc.errors import ArgumentError
from graphc.frontend.probe import Selection, outputs_of_layers, probe
from graphc.frontend.program import Entry
from graphc.frontend.recording import Recording
from graphc.frontend.structure import flatten, leaf_names
from graphc.frontend.tensor import Tensor
from graphc.frontend.transforms import gradients, trainable_in
from graphc.inspect.report import LayerReport
from graphc.ir.graph import reachable
from graphc.ir.node import Array
from graphc.runtime.call import BoundEntry
from graphc.sites import user_site
from graphc.suggest import answering


@answering()
def layers(
    entry: BoundEntry | Entry,
    *args: Any,
    loss: str | None = None,
    state: Mapping[str, Array] | None = None,
    **options: Any,
) -> LayerReport:
    """What the layers of an entry give on some arguments, and how the loss changes with that and with parameters.

    `entry` is one of a compiled program, looked at in that program's state, or one of a Program, in `state` (by name;
    that of seed 0 by default). `loss` names a float scalar among its outputs; by default the output `loss`, else the
    only float scalar; without one there are no gradients. Rows are layers and `gr.tap`s, in the order of calls; a layer
    in a loop's body has no one value and is left out. The state stays as it is.

    Raises `ArgumentError` where the entry came from a file, holds no layers, or has no such loss.

        report = inspect.layers(digits.train_step, x, y)
        report.activations["dense"]          # f32[rows, 128]
        report.gradients["dense"]            # ∂loss/∂that, of the same shape
    """
    written = origin_of(entry)
    found = probe(written, selection(loss), args, options, entry.state if isinstance(entry, BoundEntry) else state)
    if not found["activations"]:
        raise ArgumentError(
            f"{written.name} holds no layers to look at",
            site=user_site(),
            help='call nn layers in it, or name values with gr.tap("name", x)',
        )
    return LayerReport(**found)


def origin_of(entry: BoundEntry | Entry) -> Entry:
    """The entry as it was written. Raises `ArgumentError` for what is none, or came from a file."""
    found = entry.origin if isinstance(entry, BoundEntry) else entry
    if isinstance(found, Entry):
        return found
    came_from_file = isinstance(entry, BoundEntry)
    raise ArgumentError(
        "a loaded program holds no source to look into" if came_from_file else f"{entry!r} is not an entry",
        site=user_site(),
        help="give an entry of a program that program.compile() made: inspect.layers(compiled.train_step, x, y)",
    )


@lru_cache(maxsize=64)
def selection(loss: str | None) -> Selection:
    """What to take from a trace; one object for a loss's name, so that compiled code is found again."""

    def select(recording: Recording, result: Any) -> dict[str, dict[str, Tensor]]:
        scalar = loss_in(recording, result, loss)
        outputs = {k: t for k, t in outputs_of_layers(recording).items() if t.dtype.is_float}
        if scalar is None:
            return {"activations": outputs, "gradients": {}, "parameters": {}, "parameter_gradients": {}}
        nodes = set(reachable([scalar.node]))
        inner = {name: t for name, t in outputs.items() if t.node in nodes and t.node is not scalar.node}
        trained = trainable_in(scalar)
        names = [recording.names.variable(v) for v in trained]
        values = [Tensor(recording.value_in(v, nodes)) for v in trained]
        slopes = gradients(scalar, [*inner.values(), *values])
        return {
            "activations": outputs,
            "gradients": dict(zip(inner, slopes[: len(inner)], strict=True)),
            "parameters": dict(zip(names, values, strict=True)),
            "parameter_gradients": dict(zip(names, slopes[len(inner) :], strict=True)),
        }

    return select


def loss_in(recording: Recording, result: Any, name: str | None) -> Tensor | None:
    """The loss among an entry's outputs; None where nothing looks like one and none is asked for."""
    leaves, _ = flatten(result)
    named = dict(zip(leaf_names("out", result), leaves, strict=True))
    scalars = {k: t for k, t in named.items() if isinstance(t, Tensor) and t.dtype.is_float and not t.ndim}
    if name is None:
        only = next(iter(scalars.values())) if len(scalars) == 1 else None
        return scalars.get("loss", only)
    if name not in scalars:
        raise ArgumentError(
            f"loss={name!r} is no float scalar among the outputs",
            site=user_site(),
            help=f"there are {', '.join(scalars) or 'none'}",
        )
    return scalars[name]
