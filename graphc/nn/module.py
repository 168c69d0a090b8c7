"""`Module`: a layer or a network. It names its Variables, builds them once, and hands down the training mode."""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce, wraps
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from graphc.errors import ArgumentError, Operand, Site, TraceError
from graphc.frontend.eager import compiled_form, tracing
from graphc.frontend.names import Names
from graphc.frontend.numbers import is_count
from graphc.frontend.probe import tensors_in
from graphc.frontend.promotion import as_tensor, is_weak
from graphc.frontend.pure import initial_values, names_in, with_values
from graphc.frontend.recording import current
from graphc.frontend.structure import flatten, map_leaves
from graphc.frontend.tensor import Array, Tensor, TensorLike
from graphc.frontend.variable import Variable
from graphc.ir.types import TensorType, f32
from graphc.nn.arguments import advice, constructing
from graphc.nn.summary import Summary, summarised
from graphc.nn.theirs import ATTRIBUTES
from graphc.sites import user_site
from graphc.suggest import answering_methods, expect_bound, missing_attribute

#: Of layers, those of users too: an `__init__` that answers what it does not take.
constructor = constructing(advice, "; the sizes of what comes in are read off the first x")


@answering_methods
class Module:
    """The base of layers. A layer of your own defines `build(self, x)`, which creates Variables and runs once, and
    `__call__(self, x)`; layers and Variables in its attributes, in lists and dicts too, are its parts.

    Its path in the state is its class's name in snake case, numbered below the layer that calls it first, or `name`.
    Every call takes `training=`; None inherits the enclosing call's mode.
    """

    #: Whether an unnamed one adds nothing to its parts' paths.
    transparent: ClassVar[bool] = False

    name: str | None = None

    @constructor
    def __init__(self, name: str | None = None):
        if name is not None and not (isinstance(name, str) and name):
            raise ArgumentError(
                f"{type(self).__name__}: name={name!r}", site=self.site, help="a name is a text, such as \"encoder\""
            )
        self.name = name

    def __new__(cls, *args: Any, **options: Any) -> Module:
        for theirs in ("forward", "call"):
            if hasattr(cls, theirs) and not any("__call__" in vars(base) for base in cls.__mro__):
                message = f"{cls.__name__} has {theirs}, and no __call__"
                raise TraceError(message, site=user_site(), help=f"name it so: def __call__(self, x), not {theirs}")
        module = super().__new__(cls)
        module.default_name = snake_case(cls.__name__)
        module.site = user_site()
        module.built = False
        return module

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in cls.__dict__:
            cls.__init__ = constructor(cls.__dict__["__init__"])  # type: ignore[method-assign]
        if "__call__" in cls.__dict__:
            cls.__call__ = called(cls.__dict__["__call__"])  # type: ignore[method-assign]
        if "build" in cls.__dict__:
            cls.build = built(cls.__dict__["build"])  # type: ignore[method-assign]

    #: Defined by each layer, with arguments of its own; `training=` is understood by every one.
    __call__: Callable[..., Any]

    if not TYPE_CHECKING:  # type checkers know what a layer has

        def __getattr__(self, name: str) -> Any:
            raise missing_attribute(self, name, ATTRIBUTES)

    default_name: str
    site: Site | None
    built: bool
    frozen: bool = False
    input_types: Any = None  # of its first call, nested as its arguments

    def build(self, *inputs: Any) -> None:
        """Of a layer: create its Variables for inputs like these. For users: create those of a whole network.

        `net.build(gr.f32["N", 64])`, with types instead of tensors and outside an entry, makes the parameters exist
        before the first trace.
        """
        if is_types(inputs):
            names_in(self, inputs)
        elif not tracing():
            raise ArgumentError(
                f"{type(self).__name__}, built: takes types of inputs, not {', '.join(map(repr, inputs)) or 'nothing'}",
                site=user_site(),
                help='give what an entry takes: net.build(gr.f32["N", 64])',
            )

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute in METHODS:
            raise ArgumentError(
                f"{type(self).__name__}: every layer has a method {attribute}, which self.{attribute} = … would hide",
                site=user_site(),
                help="give the attribute another name",
            )
        object.__setattr__(self, attribute, value)
        self._adopt(attribute, value)
        if self.frozen:
            for _, part in named_parts(attribute, value):
                part.freeze(True)

    def _adopt(self, attribute: str, value: Any) -> None:
        """Have the Variables of an attribute named after it, below this layer, and frozen with it."""
        for name, part in named_parts(attribute, value):
            if isinstance(part, Variable) and not part.owners:
                part.owners, part.default_name = (self,), name
                part.freeze(self.frozen)

    @property
    def trainable(self) -> bool:
        """Whether its parameters are trained: False freezes all of them, at any depth, and those still to be made.

        True gives back what they were: running averages stay untrained. Raises `TraceError`, changing nothing, where a
        Program that uses one of them is compiled already. The training mode is another matter: a frozen `BatchNorm`
        called with `training=True` goes on averaging, so call a frozen part with `training=False`.

            base.trainable = False
            opt.minimize(losses.mean_squared_error(head(base(x, training=False)), y))
        """
        return not self.frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ArgumentError(f"trainable = {value!r}", site=user_site(), help="it is True or False")
        self.freeze(not value)

    def freeze(self, frozen: bool) -> None:
        """Set `trainable` to the opposite."""
        modules = list(self.modules())
        variables = [part for module in modules for part in module.parts() if isinstance(part, Variable)]
        for variable in variables:
            variable.expect_freezable(frozen)
        for variable in variables:
            variable.freeze(frozen)
        for module in modules:
            module.frozen = frozen

    def init(self, seed: int = 0) -> dict[str, Array]:
        """The initial values of its Variables for a seed, by name: what `apply` takes. The network must be built."""
        if not is_count(seed, 0):
            message = f"{type(self).__name__}, init: seed={seed!r} is not a whole number of at least 0"
            raise ArgumentError(message, site=user_site(), help="net.init(0), net.init(1): other values for each")
        return initial_values(self.naming(), seed)

    def apply(
        self, params: Mapping[str, TensorLike], *inputs: Any, training: bool | None = None, **options: Any
    ) -> Any:
        """The network as a pure function of its parameters, by name: for `gr.grad`, `gr.vmap` and the like.

        In a trace it becomes part of it; called with arrays it is compiled, as by `gr.jit`. What it assigns to its
        Variables (running averages) is dropped.
        """
        if not tracing():
            return compiled_form(applied, self, training)(params, *inputs, **options)
        return with_values(self.naming(), params, lambda: self(*inputs, training=training, **options))

    def naming(self) -> Names:
        """The names of its Variables, called on its own. Raises `TraceError` before it is built."""
        return names_in(self, self.built_for())

    def built_for(self) -> Any:
        """The types of its first call's arguments. Raises `TraceError` before there was one."""
        self.variables()
        if self.input_types is None:
            raise self.unbuilt("was never called on whole inputs")
        return self.input_types

    def passed_on(self, x: Any) -> Any:
        """What the next layer of a `Sequential` gets of a call: its result; of recurrent layers the outputs alone."""
        return self(x)

    def parts(self) -> Iterator[Module | Variable]:
        """The layers and Variables in its attributes, in order, each once."""
        seen: set[int] = set()
        for attribute, value in vars(self).items():
            for _, part in named_parts(attribute, value):
                if id(part) not in seen:
                    seen.add(id(part))
                    yield part

    def modules(self) -> Iterator[Module]:
        """It and the layers in it, at any depth, each once."""
        seen: dict[Module, None] = {}
        pending: list[Module] = [self]
        while pending:
            module = pending.pop()
            if module not in seen:
                seen[module] = None
                pending.extend(reversed([p for p in module.parts() if isinstance(p, Module)]))
        return iter(seen)

    def variables(self) -> list[Variable]:
        """Every Variable in it, at any depth, in order. Raises `TraceError` before it is built."""
        for module in self.modules():
            if not module.built and type(module).build is not Module.build:
                raise module.unbuilt("has no parameters yet: they are made when it is first called")
        found = [p for module in self.modules() for p in module.parts() if isinstance(p, Variable)]
        return list(dict.fromkeys(found))

    def unbuilt(self, why: str) -> TraceError:
        """The error of a layer that was not called yet."""
        return TraceError(
            f"{type(self).__name__} {why}",
            operands=[Operand("layer", type(self).__name__, self.site)],
            site=user_site(),
            help='build it first: net.build(gr.f32["N", 64])',
        )

    def parameters(self) -> list[Variable]:
        """The trainable Variables in it, in order. Raises `TraceError` before it is built."""
        return [v for v in self.variables() if v.trainable]

    def summary(self, *types: Any) -> Summary:
        """Its layers with their outputs, parameters and work, for inputs of some types; `print` shows a table.

            print(net.summary(gr.f32["N", 64]))

        Types may be nested, as arguments are; without any they are those that it was built for. Raises `TraceError`
        where there are none, `ArgumentError` for what is no type, and whatever a call raises.
        """
        for type_ in flatten(types)[0]:
            if not isinstance(type_, TensorType):
                help = 'give what an entry takes, such as gr.f32["N", 64]'
                raise ArgumentError(f"summary: {type_!r} is not a type", site=user_site(), help=help)
        return summarised(self, types or self.built_for())

    def penalty(self, regularizer: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The sum of what its trainable parameters cost by their regularizers, a scalar; f32 0 where none has one.

        With `regularizer` it counts for those that have none of their own. To be added to the loss, after the network
        was called or built. Raises `TraceError` before it is built.

            loss = losses.mean_squared_error(net(x), y) + net.penalty(nn.L2(1e-4))
        """
        if regularizer is not None and not callable(regularizer):
            raise ArgumentError(
                f"penalty: the regularizer {regularizer!r} is not a function",
                site=user_site(),
                help="give a function of a tensor, such as nn.L2(1e-4)",
            )
        rules = [(v, v.regularizer or regularizer) for v in self.parameters()]
        costs = [rule(v) for v, rule in rules if rule is not None]
        return reduce(operator.add, costs) if costs else as_tensor(0.0, f32)


#: What every layer can be asked, which no attribute may hide.
METHODS = frozenset(name for name, member in vars(Module).items() if callable(member) and name[0] != "_")


def applied(
    network: Module, training: bool | None, params: Mapping[str, TensorLike], *inputs: Any, **options: Any
) -> Any:
    """The network as a pure function, in a trace."""
    return network.apply(params, *inputs, training=training, **options)


def called(call: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's `__call__`, or another way to call it, within its path and mode, its Variables built."""
    signature = inspect.signature(call)
    wants_mode = "training" in signature.parameters
    first_name, takes_tensor = first_of(signature)
    usual = positional_counts(signature)

    @wraps(call)
    def wrapper(self: Module, *args: Any, training: bool | None = None, **options: Any) -> Any:
        recording = current(f"{type(self).__name__} is called")
        modes = {"training": training} if wants_mode else {}
        if options or modes or len(args) not in usual:  # matching them takes longer than tracing a small layer
            expect_bound(f"{type(self).__name__}, called", signature, (self, *args), options | modes)
        if takes_tensor:
            x, *rest = args or [options.pop(first_name)]
            args = (one_tensor(self, x), *rest)
        if self in recording.calls:
            return call(self, *args, **modes, **options)
        path = recording.module_path
        if self.name is not None or not self.transparent:
            path = recording.names.path(self, path)
        with recording.inside(self, path), recording.mode(training):
            if not self.built:
                self.build(*map_leaves(lambda x: x if is_weak(x) else as_tensor(x), args))
                self.built = True
                for attribute, value in vars(self).items():
                    self._adopt(attribute, value)
            if self.input_types is None and call.__name__ == "__call__":
                self.input_types = map_leaves(lambda x: as_tensor(x).type, args)
            if wants_mode:
                options["training"] = recording.training
            result = call(self, *args, **options)
            recording.results.extend(tensors_in(path, result))
            return result

    return wrapper


def one_tensor(layer: Module, x: Any) -> Tensor:
    """x as a tensor. Raises `ArgumentError` for several, such as a recurrent layer gives."""
    if isinstance(x, (tuple, list)) and any(isinstance(part, Tensor) for part in flatten(x)[0]):
        raise ArgumentError(
            f"{type(layer).__name__}: x is a {type(x).__name__} of {len(x)}, not a tensor",
            site=user_site(),
            help="recurrent layers give (ys, state): take ys of it, or put both layers into an nn.Sequential",
        )
    return as_tensor(x)


def first_of(signature: inspect.Signature) -> tuple[str, bool]:
    """The name of a call's first argument, and whether that is a tensor for certain: annotated as `TensorLike`."""
    first = next(islice(signature.parameters.values(), 1, None), None)
    return ("", False) if first is None else (first.name, first.annotation in (TensorLike, "TensorLike"))


def positional_counts(signature: inspect.Signature) -> range:
    """How many arguments a method takes, where all are given by position; none where it has ones by name only."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(signature.parameters.values())[1:]
    if any(p.kind not in kinds for p in parameters):
        return range(0)
    return range(sum(p.default is p.empty for p in parameters), len(parameters) + 1)


def built(build: Callable[..., None]) -> Callable[..., None]:
    """A layer's `build`, which builds the whole network where it is given types."""

    @wraps(build)
    def wrapper(self: Module, *inputs: Any) -> None:
        if is_types(inputs):
            names_in(self, inputs)
        elif tracing():
            build(self, *inputs)
        else:
            Module.build(self, *inputs)

    return wrapper


def is_types(inputs: Sequence[Any]) -> bool:
    """Whether inputs are types that stand for tensors."""
    return bool(inputs) and all(isinstance(x, TensorType) for x in inputs)


def named_parts(name: str, value: Any) -> Iterator[tuple[str, Module | Variable]]:
    """The layers and Variables that an attribute holds, in lists, tuples and dicts too, with a name for each."""
    if isinstance(value, (Module, Variable)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from named_parts(f"{name}_{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from named_parts(f"{name}_{key}", item)


def snake_case(name: str) -> str:
    """`LayerNorm` as `layer_norm`, `GRU` as `gru`, `Conv2D` as `conv2d`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", name).lower()
