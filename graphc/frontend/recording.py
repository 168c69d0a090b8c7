"""One trace in progress: the nodes so far, the newest value of each Variable, and what was learned on the way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from graphc.errors import ArgumentError, DTypeError, Operand, ShapeError, Site, TraceError
from graphc.frontend.names import Names
from graphc.ir.dim import Dim, Size, Symbol, excludes_zero, known_le, parse, symbol, symbols_of
from graphc.ir.node import Constant, Input, Node, Op, Read, Scope
from graphc.ir.types import TensorType
from graphc.records import Record
from graphc.runtime.tree import Tree
from graphc.sites import user_site

if TYPE_CHECKING:
    from graphc.frontend.tensor import Tensor
    from graphc.frontend.values import Values
    from graphc.frontend.variable import Variable

K = TypeVar("K")
V = TypeVar("V")


class Check(Record):
    """A condition that the entry's prologue verifies: `size` is at least `minimum`."""

    size: Size
    minimum: int
    message: str
    site: Site | None = None


class Print(Record):
    """What `gr.debug_print` was given: a template, and a tree of (arguments, named ones) over leaves."""

    template: str
    tree: Tree
    leaves: tuple[Any, ...]
    site: Site | None


class Recording:
    """What tracing one function collects. `counter` is the Program's random state, None where there is no state."""

    active: ClassVar[ContextVar[Recording | None]] = ContextVar("recording", default=None)

    def __init__(self, names: Names | None = None, counter: Variable | None = None):
        self.scope = Scope()
        self.names = names if names is not None else Names()
        self.counter = counter
        self.values: dict[Variable, Node] = {}
        self.history: dict[Variable, list[Node]] = {}  # the values so far, the newest last
        self.assigned: dict[Variable, Site | None] = {}
        self.optimized: dict[Variable, tuple[object, Site | None]] = {}
        self.ranges: dict[Node, tuple[int, int]] = {}
        self.checks: dict[tuple[Size, int], Check] = {}
        self.paths: dict[Node, str] = {}
        self.undecided: dict[Node, tuple[str, Site | None]] = {}
        self.path = ""  # of the layer or composite function that operations belong to
        self.module_path = ""  # of the layer that is being called
        self.composites: set[str] = set()  # the paths that end in a composite function
        self.calls: list[object] = []  # the layers that are being called, the innermost last
        self.training: bool | None = None
        self.random_sites = 0
        self.taps: dict[str, Tensor] = {}  # what `gr.tap` named
        self.prints: list[Print] = []
        self.bodies = 0  # of loops and branches that operations are inside of
        self.results: list[tuple[str, Tensor]] = []  # what layers gave, by path, in the order of calls' ends
        self.indices: list[Node] = []  # of the vmaps that operations are inside of: scalars, the innermost last
        self.known: Values | None = None
        self._symbols: dict[str, Dim] = {}
        self._closed = False

    @contextmanager
    def running(self) -> Iterator[Recording]:
        """Operations inside are recorded here."""
        token = self.active.set(self)
        try:
            yield self
        finally:
            self.active.reset(token)

    @contextmanager
    def inside(self, layer: object, path: str) -> Iterator[None]:
        """Operations inside belong to a layer."""
        before = self.path, self.module_path
        self.path = self.module_path = path
        self.calls.append(layer)
        try:
            yield
        finally:
            self.calls.pop()
            self.path, self.module_path = before

    @contextmanager
    def mode(self, training: bool | None) -> Iterator[None]:
        """Calls inside inherit this training mode; None keeps the enclosing one. Raises `ArgumentError` for another."""
        if training is not None and not isinstance(training, bool):
            raise ArgumentError(
                f"training={training!r} is not a mode",
                site=user_site(),
                help="it is True, False, or None; one entry trains, another predicts",
            )
        before = self.training
        self.training = before if training is None else training
        try:
            yield
        finally:
            self.training = before

    @contextmanager
    def replacing(self, values: Mapping[Variable, Node]) -> Iterator[None]:
        """Inside, Variables have these values; what is assigned to them there is dropped."""
        before = dict(self.values), dict(self.history), dict(self.assigned)
        for variable, value in values.items():
            self.values[variable] = value
            self.history[variable] = [value]
        try:
            yield
        finally:
            restore(self.values, before[0], values)
            restore(self.history, before[1], values)
            restore(self.assigned, before[2], values)

    def node(self, op: Op, *operands: Node) -> Node:
        """An op applied to nodes, at the user's line; errors of the type rule name operands and lines."""
        scope = self.scope
        scope.site = site = user_site()
        try:
            made = scope.node(op, *operands)
        except (ShapeError, DTypeError) as error:
            raise explained(error, op, operands, site) from None
        if self.path:
            self.paths.setdefault(made, self.path)
        return made

    def leaf(self, op: Op, type_: TensorType) -> Node:
        """A leaf of a given type, at the user's line."""
        self.scope.site = user_site()
        return self.scope.typed(op, type_)

    def resemble(self, new: Node, old: Node) -> None:
        """A node that a transform made of another is what that one was known to be."""
        if new is old:
            return
        if old in self.paths:
            self.paths.setdefault(new, self.paths[old])
        if old in self.undecided:
            self.undecided.setdefault(new, self.undecided[old])

    def read(self, variable: Variable) -> Node:
        """The newest value of a Variable; the state's where it was not assigned yet."""
        value = self.values.get(variable)
        if value is None:
            if self.counter is None:
                raise TraceError(
                    "gr.jit has no state: a Variable can't be read here",
                    operands=[Operand("variable", str(variable.type), variable.site)],
                    site=user_site(),
                    help="pass its value as an argument, or make the function an entry of a gr.Program",
                )
            value = self.leaf(Read(self.names.variable(variable)), variable.type)
            self.values[variable] = value
            self.history[variable] = [value]
        return value

    def value_in(self, variable: Variable, nodes: Container[Node]) -> Node:
        """The newest value of a Variable among some nodes; its newest of all where none is."""
        newest = self.read(variable)
        return next((value for value in reversed(self.history[variable]) if value in nodes), newest)

    def assign(self, variable: Variable, value: Node) -> None:
        """Later reads of the Variable see this value."""
        self.read(variable)
        self.values[variable] = value
        self.history[variable].append(value)
        self.assigned.setdefault(variable, user_site())

    def check(self, size: Size, minimum: int, message: str) -> None:
        """Require a size to be at least `minimum`: an error now if it never is, else a check when the entry runs."""
        if known_le(minimum, size):
            return
        site = user_site()
        if known_le(size, minimum - 1):
            raise ShapeError(f"{message}, its size is {size}", site=site, help=f"it must be at least {minimum}")
        self.checks.setdefault((size, minimum), Check(size, minimum, message, site))

    def check_equal(self, a: Size, b: Size, message: str) -> bool:
        """Require two sizes to be equal when the entry runs; False where they never are. Equal ones need no check."""
        difference = a - b
        if isinstance(difference, int) or excludes_zero(difference):
            return difference == 0
        self.check(difference, 0, message)
        self.check(-difference, 0, message)
        return True

    def normal(self, size: Size) -> Size:
        """A size in which one name is one symbol: facts declared with `gr.dim` hold wherever the name occurs.

        Raises `ShapeError` where two declarations disagree, and for a name that no input has once they are closed.
        """
        if not isinstance(size, Dim):
            return size
        for s in size.symbols:
            self._declare(s)
        known = {s.name: self._symbols[s.name] for s in size.symbols}
        if all(known[s.name].symbols == (s,) for s in size.symbols):
            return size
        return parse(str(size), known)

    def close_inputs(self) -> None:
        """There are no more inputs: the sizes that have names are those that they have."""
        self._closed = True

    def _declare(self, new: Symbol) -> None:
        dim = self._symbols.get(new.name)
        if dim is None and self._closed:
            raise ShapeError(
                f"no input has the size {new.name}",
                site=user_site(),
                help=f"the inputs' sizes with a name: {', '.join(self._symbols) or 'none'}",
            )
        plain = Symbol(new.name)
        if dim is None or dim.symbols == (plain,):
            self._symbols[new.name] = symbol(new.name, new.min, new.max, new.multiple_of, new.typical)
        elif new not in (plain, *symbols_of(dim)):
            raise ShapeError(
                f"the dimension {new.name} is declared twice, differently",
                site=user_site(),
                help="use one gr.dim object for it",
            )


def restore(table: dict[K, V], before: Mapping[K, V], keys: Iterable[K]) -> None:
    """Give some keys of a table what they had before."""
    for key in keys:
        table.pop(key, None)
        if key in before:
            table[key] = before[key]


def current(action: Op | str = "an operation on symbolic tensors") -> Recording:
    """The trace in progress; `TraceError` outside one."""
    recording = Recording.active.get()
    if recording is None:
        action = action if isinstance(action, str) else action.mnemonic()
        raise TraceError(
            f"{action} outside an entry",
            site=user_site(),
            help="call it inside a function marked with @program.entry or given to gr.jit or gr.interpret",
        )
    return recording


@contextmanager
def recording_in(scope: Scope) -> Iterator[Recording]:
    """A trace whose operations become nodes of a scope: the one in progress, or one with its names and state."""
    active = Recording.active.get()
    if active is not None and active.scope is scope:
        yield active
        return
    made = Recording(active.names, active.counter) if active is not None else Recording()
    made.scope = scope
    with made.running():
        yield made


def explained(
    error: ShapeError | DTypeError, op: Op, operands: tuple[Node, ...], site: Site | None
) -> ShapeError | DTypeError:
    """A type rule's error with its operands and the user's line."""
    described = [describe(role, node) for role, node in zip(roles(len(operands)), operands, strict=True)]
    return type(error)(error.message, operands=described, site=site, help=error.help)


def roles(count: int) -> list[str]:
    """What an error calls the operands of an op."""
    return {1: ["x"], 2: ["lhs", "rhs"]}.get(count, [f"operand {i}" for i in range(count)])


def describe(role: str, node: Node) -> Operand:
    """A node as an operand of an error: its name in the user's code, its type, its line."""
    site = node.scope.site_of(node)
    name = name_of(node, site)
    return Operand(role, f"{name}:  {node.type}" if name else str(node.type), site)


def name_of(node: Node, site: Site | None) -> str | None:
    """What the user calls a node: its argument's or Variable's name, or the target of its line's assignment."""
    match node.op:
        case Input(name=name) | Read(variable=name) if not name.startswith("#"):
            return name
        case Constant():
            return None
    target, equals, _ = (site.text if site else "").partition(" = ")
    return target if equals and target.isidentifier() else None
