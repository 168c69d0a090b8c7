"""Values from inside an entry: those that `gr.tap` names, what layers gave, and whatever else its trace holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from graphc.errors import ArgumentError, Operand
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import Recording, current, describe
from graphc.frontend.standins import stands_alone
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.frontend.trace import TracedProgram, finished, made_anew, silent, trace_function, variable_infos
from graphc.ir.node import Array, Node, Read
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.frontend.program import Entry
    from graphc.runtime.load import Compiled

#: What to return of a trace, from the trace and what the entry returned.
Selection = Callable[[Recording, Any], Any]


def tap(name: str, x: TensorLike) -> Tensor:
    """x itself, which the entry's `values` gives by this name; costs nothing in the entry's own code.

    Raises `TraceError` outside an entry, `ArgumentError` where a name is no string or is given twice.

        h = gr.tap("hidden", nn.relu(x @ kernel))
        compiled.predict.values(x)["hidden"]
    """
    recording = current("gr.tap")
    tensor = as_tensor(x)
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"gr.tap: the name is {name!r}", site=user_site(), help='gr.tap("hidden", h)')
    if name in recording.taps:
        raise ArgumentError(
            f"gr.tap: the name {name!r} is given twice in one entry",
            operands=[describe("first", recording.taps[name].node)],
            site=user_site(),
            help="choose another name",
        )
    recording.taps[name] = tensor
    return tensor


def probe(
    entry: Entry, select: Selection, args: Sequence[Any], options: Mapping[str, Any], state: Mapping[str, Array] | None
) -> Any:
    """What `select` takes from an entry's trace, on arguments and a state (by name; seed 0's by default).

    The entry's updates are left out: nothing changes, and random numbers are those of the next call on that state.
    """
    program = compiled_probe(entry, select).new_state()
    if state is not None:
        program.state.update({name: state[name] for name in program.state})
    return program.entries[entry.name](*args, **options)


@lru_cache(maxsize=64)
def compiled_probe(entry: Entry, select: Selection) -> Compiled:
    """An entry that returns something else, and changes nothing, as a compiled program of its own."""
    from graphc.compile import compile_program

    return compile_program(probing(entry, select))


def probing(entry: Entry, select: Selection) -> TracedProgram:
    """An entry's trace with other outputs and without updates, over the Variables that these need.

    Raises `TraceError` where the entry makes Variables of its own.
    """
    program = entry.program
    known = {v.name for v in program.trace().variables}

    def body(**arguments: Any) -> Any:
        return select(current(), entry.function(**arguments))

    traced = silent(trace_function(body, entry.types, entry.name, program.names, program.counter, entry.site))
    graph = traced.graph.with_roots(traced.graph.outputs, ())
    read = {node.op.variable for node in graph.nodes() if isinstance(node.op, Read)}
    variables = tuple(v for v in variable_infos(program.names) if v.name in read)
    for variable in variables:
        if variable.name not in known:
            raise made_anew(variable.name, entry.name, entry.site)
    return TracedProgram(program.name, (finished(replace(traced, graph=graph)),), variables)


def tapped(recording: Recording, result: Any) -> dict[str, Tensor]:
    """What `gr.tap` named. Raises `ArgumentError` for what has no value of its own: it changes round by round."""
    for name, tensor in recording.taps.items():
        if not stands_alone(tensor.node):
            raise ArgumentError(
                f"the tap {name!r} is inside a loop, a branch or a transformed function: it has no one value",
                operands=[Operand("tap", name, tensor.node.scope.site_of(tensor.node))],
                site=user_site(),
                help="return it from the function (stacked by gr.scan), and tap what comes out",
            )
    return dict(recording.taps)


def outputs_of_layers(recording: Recording) -> dict[str, Tensor]:
    """What layers and taps gave, by path, in order, where that are tensors with a value of their own.

    A layer called again is numbered, `dense (2)`; a container that gives what its last layer gave is left out.
    """
    found: dict[str, Tensor] = {}
    seen: dict[Node, None] = {}
    for path, tensor in [*recording.results, *recording.taps.items()]:
        if tensor.node not in seen and stands_alone(tensor.node):
            seen[tensor.node] = None
            found[numbered(path, found)] = tensor
    return found


def tensors_in(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a layer gave, in whatever structure, each with the layer's path and what leads to it there."""
    if isinstance(value, Tensor):
        yield path or "network", value
    elif isinstance(value, (Mapping, tuple, list)):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from tensors_in(f"{path or 'network'}[{key}]", part)


def numbered(name: str, taken: Mapping[str, Any]) -> str:
    """The name, or the first of `name (2)`, `name (3)`, … that is free."""
    count, found = 1, name
    while found in taken:
        count += 1
        found = f"{name} ({count})"
    return found
