"""From Python to graphs: what tracing a Program's entries gives, and hands to the compiler."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphc.errors import ArgumentError, GraphcError, InternalError, Operand, Site, TraceError
from graphc.frontend.printing import no_one_value, tensors_of
from graphc.frontend.promotion import as_tensor, constant
from graphc.frontend.random import Key, advance, key, named_key
from graphc.frontend.recording import Check, Print, Recording
from graphc.frontend.standins import stands_alone
from graphc.frontend.structure import flatten, leaf_names, leaf_paths
from graphc.frontend.tensor import Tensor
from graphc.frontend.variable import Initial, Variable
from graphc.ir.dim import Dim
from graphc.ir.graph import Graph, every_node, with_bodies
from graphc.ir.node import Array, Input, Node, Read
from graphc.ir.types import TensorType, i64
from graphc.ops.order import Custom, without_rules
from graphc.records import Record
from graphc.runtime.tree import Tree, count, unflatten
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.frontend.names import Names
    from graphc.frontend.program import Program
    from graphc.frontend.values import Values


class InputInfo(Record):
    """An argument; `low` and `high` (inclusive) are the range of one that is used as an index, else None."""

    name: str
    type: TensorType
    low: int | None = None
    high: int | None = None


class VariableInfo(Record):
    """A Variable of the state. `like` names the parameter that an optimizer's slot belongs to, of equal shape."""

    name: str
    type: TensorType
    trainable: bool
    initial: Initial | Array
    like: str | None = None


class TracedEntry(Record):
    """One entry as a pure graph, its signature, and the checks its prologue makes.

    `tree` is the structure of what is returned over the numbers of the graph's outputs; `outputs` names these. After
    what is returned come the tensors of `prints`, in order. `paths` says which layer or composite function a node came
    from.
    """

    name: str
    graph: Graph
    inputs: tuple[InputInfo, ...]
    outputs: tuple[str, ...]
    tree: Tree
    checks: tuple[Check, ...]
    paths: Mapping[Node, str]
    site: Site | None = None
    prints: tuple[Print, ...] = ()

    @property
    def returned(self) -> int:
        """How many of the outputs are returned."""
        return count(self.tree)

    @property
    def pure(self) -> bool:
        """Whether it leaves the state alone."""
        return not self.graph.updates

    @property
    def batch(self) -> str | None:
        """The symbol that is the first size of the first argument that has axes, where that is a lone symbol."""
        first = next((i.type.shape[0] for i in self.inputs if i.type.shape), None)
        if isinstance(first, Dim) and len(first.symbols) == 1 and first.text == first.symbols[0].name:
            return first.text
        return None


class TracedProgram(Record):
    """A Program as graphs: the compiler's input. Variables are in order of first use."""

    name: str
    entries: tuple[TracedEntry, ...]
    variables: tuple[VariableInfo, ...]

    def initial(self) -> Graph:
        """The graph of `init`: from the i64 scalar `seed` the value of each Variable, as updates in order."""
        return trace_init(self.variables)

    def recipes(self) -> list[str | bytes] | None:
        """What tells initial values from others without tracing `initial`; None where it takes that."""
        found = [v.initial.recipe() if isinstance(v.initial, Initial) else text_of(v.initial) for v in self.variables]
        return None if None in found else found  # type: ignore[return-value]


def text_of(array: Array) -> bytes:
    """An array's dtype, shape and elements as bytes."""
    return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for garbage inside: what a compiler makes is none while it works, and to walk it all takes long.

    Tracing takes half the time, and compiling saves the 20 ms of one walk through all that was imported.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@collector_paused()
def trace(program: Program) -> TracedProgram:
    """Run each entry once on symbolic arguments."""
    entries = tuple(
        finished(trace_function(e.function, e.types, e.name, program.names, program.counter, e.site))
        for e in program.entries.values()
    )
    for variable in program.names.variables:
        variable.settle()
    return TracedProgram(program.name, entries, variable_infos(program.names))


def trace_function(
    function: Callable[..., Any],
    types: Mapping[str, Any],
    name: str,
    names: Names,
    state: Variable | None,
    site: Site | None = None,
    watch: Callable[[Sequence[Node]], Values] | None = None,
) -> TracedEntry:
    """Run a function on symbolic arguments of the given types (each a type, or nested dicts and sequences of them).

    `state` is the Program's random counter; without one the function has no state. With `watch`,
    which gets the inputs, tensors print their values while the function runs.
    """
    recording = Recording(names, state)
    with recording.running():
        arguments, infos = symbolic_arguments(recording, types, site or user_site())
        recording.close_inputs()
        if watch is not None:
            recording.known = watch([node for node, _ in infos])
        result = function(**arguments)
        leaves, tree = flatten(result)
        outputs = [output(leaf, name, site).node for leaf in leaves]
        outputs += printed(recording)
        advance(recording)
        updates = changed(recording)
    graph = Graph(name, recording.scope, tuple(node for node, _ in infos), tuple(outputs), updates)
    inputs = tuple(InputInfo(label, n.type, *recording.ranges.get(n, (None, None))) for n, label in infos)
    labels = (*leaf_names("out", result), *(f"printed {i}" for i in range(len(outputs) - len(leaves))))
    checks, prints = tuple(recording.checks.values()), tuple(recording.prints)
    return TracedEntry(name, graph, inputs, labels, tree, checks, recording.paths, site, prints)


def printed(recording: Recording) -> list[Node]:
    """What `gr.debug_print` is to print. Raises `ArgumentError` for what has no value of its own."""
    for made in recording.prints:
        if not all(stands_alone(x.node) for x in tensors_of(made)):
            raise no_one_value(made)
    return [x.node for made in recording.prints for x in tensors_of(made)]


def silent(entry: TracedEntry) -> TracedEntry:
    """The entry without what it prints."""
    if not entry.prints:
        return entry
    graph = entry.graph.with_roots(entry.graph.outputs[: entry.returned], entry.graph.updates)
    return replace(entry, graph=graph, outputs=entry.outputs[: entry.returned], prints=())


def made_anew(variable: str, entry: str, site: Site | None) -> TraceError:
    """The error of an entry whose body makes Variables: it has others each time that it is traced."""
    return TraceError(
        f"{entry} makes the Variable {variable} anew each time it runs",
        operands=[Operand("entry", entry, site)],
        site=user_site(),
        help="make Variables, layers and optimizers outside the entry",
    )


def finished(entry: TracedEntry) -> TracedEntry:
    """The entry as nothing will differentiate it any more: functions with derivatives of their own are plain nodes.

    Raises `TraceError` where a tensor of a transformed function was used outside of it.
    """
    nodes = entry.graph.nodes()
    for node in nodes:
        if isinstance(node.op, Input) and node.op.name.startswith("#"):
            raise TraceError(
                f"{entry.name}: a tensor from inside a function given to gr.grad, gr.vmap or the like is used outside",
                operands=[Operand("tensor", str(node.type), entry.graph.scope.site_of(node))],
                site=entry.site,
                help="return it from the function (has_aux=True for gr.grad)",
            )
    if not any(isinstance(node.op, Custom) for node in every_node(entry.graph)):
        return entry
    return replace(entry, graph=plain(entry.graph))


def plain(graph: Graph) -> Graph:
    """The graph, and those of its control flow, without derivatives of their own."""

    def rule(node: Node) -> Node:
        op = with_bodies(node.op, plain)
        return without_rules(node if op is node.op else node.scope.typed(op, node.type, *node.inputs))

    return graph.rewrite(rule)


def symbolic_arguments(
    recording: Recording, types: Mapping[str, Any], site: Site | None
) -> tuple[dict[str, Any], list[tuple[Node, str]]]:
    """The arguments to call a function with, and their `Input` nodes with names, in order, made where `site` says."""
    inputs: list[tuple[Node, str]] = []
    arguments: dict[str, Any] = {}
    for name, value in types.items():
        nodes = []
        leaves, tree = flatten(value)
        for path, type_ in zip(leaf_paths(value), leaves, strict=True):
            label = "_".join((name, *path))
            shape = tuple(recording.normal(s) for s in type_.shape)
            for size in shape:
                recording.check(size, 0, f"{label} has a negative size")
            with recording.scope.at(site):
                nodes.append(recording.scope.typed(Input(label), type_.with_shape(shape)))
            inputs.append((nodes[-1], label))
        arguments[name] = unflatten(tree, [Tensor(n) for n in nodes])
    return arguments, inputs


def output(leaf: Any, name: str, site: Site | None) -> Tensor:
    """A leaf of an entry's result as a tensor. Raises `ArgumentError` for what is none."""
    try:
        return as_tensor(leaf)
    except GraphcError as error:
        raise ArgumentError(
            f"{name}: can't return {type(leaf).__name__}: {error.message}",
            operands=[Operand("entry", name, site), *error.operands],
            help="return tensors, numbers, None, or dicts, tuples and lists of them",
        ) from None


def changed(recording: Recording) -> tuple[tuple[str, Node], ...]:
    """The Variables that have another value at the end, in order of first assignment."""
    newest = ((v, recording.names.variable(v), recording.values[v]) for v in recording.assigned)
    return tuple((name, node) for v, name, node in newest if node.op != Read(name))


def variable_infos(names: Names) -> tuple[VariableInfo, ...]:
    """The Variables that traces have met."""
    return tuple(
        VariableInfo(name, v.type, v.trainable, v.initial, parameter_of(v, names))
        for v, name in names.variables.items()
    )


def parameter_of(variable: Variable, names: Names) -> str | None:
    """The name of the parameter that a Variable is a slot of."""
    owner = variable.owners[0] if variable.owners else None
    if isinstance(owner, Variable) and owner.type.shape == variable.type.shape:
        return names.variable(owner)
    return None


def trace_init(variables: Iterable[VariableInfo]) -> Graph:
    """The graph that draws each Variable's initial value, keyed by (seed, name)."""
    recording = Recording()
    with recording.running():
        seed = recording.leaf(Input("seed"), TensorType(i64))
        root = key(Tensor(seed))
        updates = tuple((v.name, initial_value(recording, v, root)) for v in variables)
    return Graph("init", recording.scope, (seed,), (), updates)


def initial_value(recording: Recording, variable: VariableInfo, seed: Key) -> Node:
    """A Variable's initial value: its array, or a draw."""
    if not isinstance(variable.initial, Initial):
        return constant(recording, variable.initial)
    value = variable.initial.draw(named_key(seed, variable.name)).node
    if value.type != variable.type:
        raise InternalError(f"the initial value of {variable.name} is {value.type}, not {variable.type}")
    return value
