"""Parameters of PyTorch in networks of graphc, and the other way: `load_torch`, `from_torch`, `to_torch`.

    net = nn.Sequential(nn.Conv2D(6, 5), nn.MaxPool(2), nn.Flatten(), nn.Dense(10))
    net.build(gr.f32["N", 28, 28, 1])
    interop.load_torch(net, torch_net.state_dict(), flattened={"dense": (6, 14, 14)})
    compiled = program.compile()                     # starts with them

Each layer takes the module of its name (`encoder.up` that of `net.encoder.up`) where all have one, else the next module
that has such parameters: the second `Dense` the second `Linear`. `names` says for a layer, by its path in the state,
which module it is. Arrays are PyTorch's tensors or NumPy's arrays; PyTorch itself is not needed.

Images are [batch, height, width, channels] here. So the inputs of a `Dense` after a `Flatten` stand in another order,
and `flattened` says, by the layer's path, which [channels, height, width] PyTorch flattened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from graphc import nn
from graphc.errors import ArgumentError, DTypeError, StateError
from graphc.frontend.names import Names
from graphc.frontend.numbers import is_count
from graphc.frontend.program import Program
from graphc.frontend.variable import Variable
from graphc.interop.torch_formats import Arrays, Format, Plain, Values, format_of
from graphc.ir.node import Array
from graphc.nn.module import named_parts
from graphc.runtime.load import Compiled
from graphc.sites import user_site
from graphc.suggest import answering

#: Which shapes of images were flattened, [channels, spatial ...], by layer.
Flattened: TypeAlias = Mapping[str, Sequence[int]] | None

#: What PyTorch counts and graphc does not.
COUNTERS = ("num_batches_tracked",)

#: What tells an attention, whose last projection is a module in it.
ATTENTION = {"in_proj_weight", "q_proj_weight", "in_proj_bias"}


@answering()
def load_torch(
    net: nn.Module,
    state_dict: Mapping[str, Any],
    into: Compiled | None = None,
    *,
    names: Mapping[str, str] | None = None,
    flattened: Flattened = None,
    program: Program | None = None,
) -> None:
    """Have a built network start with PyTorch's parameters, or write them into the state of a compiled program.

    Without `into` they are the initial values of the network's Variables in programs that are compiled from now on.
    Names are those of `from_torch`. Raises `StateError`, which lists every parameter that is missing, that no layer
    takes, or that has another shape, and then nothing is changed; `TraceError` where a program with the network is
    compiled already and `into` is not given.
    """
    if into is not None and not isinstance(into, Compiled):
        help = "into=program.compile(), or leave it out: then programs compiled from now on start with them"
        raise ArgumentError(f"into={into!r} is not a compiled program", site=user_site(), help=help)
    plan = plan_of(net, modules_in(state_dict), names, flattened, program)
    values = dict(plan.read())
    if into is not None:
        into.state.update({plan.naming.variables[variable]: value for variable, value in values.items()})
        return
    for variable in values:
        variable.expect_untraced()
    for variable, value in values.items():
        variable.start_with(value)


@answering()
def from_torch(
    net: nn.Module,
    state_dict: Mapping[str, Any],
    *,
    names: Mapping[str, str] | None = None,
    flattened: Flattened = None,
    program: Program | None = None,
) -> dict[str, Array]:
    """PyTorch's parameters by graphc's names, for `compiled.state.update(…)` or `net.apply(…)`.

    Names are those of the network on its own, or in a `program`, where they differ from these if it has other networks
    of the same classes. Raises `StateError` as `load_torch` does.
    """
    plan = plan_of(net, modules_in(state_dict), names, flattened, program)
    return {plan.naming.variables[variable]: value for variable, value in plan.read()}


@answering()
def to_torch(
    net: nn.Module,
    state: Mapping[str, Any],
    like: Mapping[str, Any] | None = None,
    *,
    names: Mapping[str, str] | None = None,
    flattened: Flattened = None,
    program: Program | None = None,
) -> dict[str, Array]:
    """A network's parameters, from a state or what `net.init()` gives, as NumPy arrays by PyTorch's names.

    With `like`, a `state_dict`, they have the names that it has, so that

        found = interop.to_torch(net, compiled.state, torch_net.state_dict())
        torch_net.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})

    works; without, they are named after the layers' attributes. Raises `StateError` where `like` has other parameters,
    or the state lacks one.
    """
    expect_mapping("state", state, "give compiled.state, or net.init()")
    plan = plan_of(net, None if like is None else modules_in(like), names, flattened, program)
    variables = {plan.naming.variables[variable]: variable for variable in plan.variables()}
    missing = [name for name in variables if name not in state]
    faults = [f"the state lacks {', '.join(missing)}"] if missing else []
    for name, variable in variables.items():
        if name in state and np.shape(state[name]) != variable.type.shape:
            faults.append(f"{name}: {np.shape(state[name])}, the network has {variable.type.shape}")
    if faults:
        raise StateError("\n  ".join(faults), site=user_site(), help="give compiled.state, or net.init()")
    return plan.write(lambda variable: np.asarray(state[plan.naming.variables[variable]]))


#: The names of a module's parameters, with their numbers of axes.
Kind: TypeAlias = frozenset[tuple[str, int]]


@dataclass
class Match:
    """A layer, and the module of PyTorch that it is."""

    path: str  # in the state
    attributes: str  # that lead to it
    format: Format
    prefix: str | None = None  # of the module's parameters

    @cached_property
    def expected(self) -> dict[str, Array]:
        """Arrays like those that the module has."""
        return self.format.write(lambda variable: np.zeros(variable.type.shape, variable.dtype.numpy))  # type: ignore[arg-type]

    def faults(self, arrays: Arrays) -> Iterator[str]:
        """How a module's arrays differ from those."""
        for name, like in self.expected.items():
            whole = joined(self.prefix, name)
            if name in COUNTERS:
                continue
            if name not in arrays:
                yield f"{whole}: missing, the layer {self.path} takes {like.shape}"
            elif arrays[name].shape != like.shape:
                yield f"{whole}: {arrays[name].shape}, the layer {self.path} takes {like.shape}"
        for name in arrays:
            if name not in self.expected and name not in COUNTERS:
                yield f"{joined(self.prefix, name)}: the layer {self.path} has no such parameter"


@dataclass
class Plan:
    """Which layers take which modules."""

    naming: Names
    matches: list[Match]
    modules: Mapping[str, Arrays]

    def variables(self) -> Iterator[Variable]:
        """All Variables that have a place in a module."""
        return (variable for match in self.matches for variable, _ in match.format.read(match.expected))

    def read(self) -> Iterator[tuple[Variable, Array]]:
        """The Variables' values."""
        for match in self.matches:
            for variable, value in match.format.read(self.modules[match.prefix or ""]):
                yield variable, np.array(value, variable.dtype.numpy, order="C")

    def write(self, values: Values) -> dict[str, Array]:
        """The modules' parameters, by their whole names."""
        return {
            joined(match.attributes if match.prefix is None else match.prefix, name): np.array(value, order="C")
            for match in self.matches
            for name, value in match.format.write(values).items()
        }


def plan_of(
    net: nn.Module,
    modules: Mapping[str, Arrays] | None,
    names: Mapping[str, str] | None,
    flattened: Flattened,
    program: Program | None,
) -> Plan:
    """Which layers of a network take which modules, where there are any. Raises what does not fit."""
    expect_mapping("names", names or {}, 'names={"layer": "module"} says which module a layer is')
    images = images_in(flattened or {})
    naming = naming_of(net, program)
    kinds = None if modules is None else {kind_of(arrays) for arrays in modules.values()}
    matches = list(matches_in(net, (), naming, images, kinds, {}))
    faults = [f"flattened: the network has no layer {path}" for path in images if path not in {m.path for m in matches}]
    faults += misfits(matches)
    if modules is not None:
        faults += assigned(matches, modules, names or {})
    if faults:
        raise StateError(
            "the parameters of PyTorch do not fit the network\n" + "\n".join(f"  {fault}" for fault in faults),
            site=user_site(),
            help='names={"layer": "module"} says which module a layer is; leave out what has no place in the network',
        )
    return Plan(naming, matches, modules or {})


def expect_mapping(what: str, given: object, help: str) -> None:
    """Raise `ArgumentError` unless something is given by name."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ArgumentError(f"{what}: {type(given).__name__}, not a dict by name", site=user_site(), help=help)


def images_in(flattened: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The shapes of images by layer. Raises `ArgumentError` where they are none."""
    help = 'flattened={"dense": (channels, height, width)}, as PyTorch had them'
    expect_mapping("flattened", flattened, help)
    for path, image in flattened.items():
        if not isinstance(image, (tuple, list)) or not all(is_count(size, 1) for size in image):
            raise ArgumentError(f"flattened: {image!r} of {path} is no shape", site=user_site(), help=help)
    return {path: tuple(image) for path, image in flattened.items()}


def misfits(matches: Sequence[Match]) -> Iterator[str]:
    """Which layers take other inputs than the image that is said to be flattened; it is taken from them."""
    for match in matches:
        if isinstance(match.format, Plain) and match.format.image is not None and not match.format.fits():
            yield f"flattened: {match.path} does not take the numbers of an image {match.format.image}"
            match.format = replace(match.format, image=None)


def naming_of(net: nn.Module, program: Program | None) -> Names:
    """The names of a network's Variables, on its own or in a program. Raises where it has none of them."""
    help = "load_torch(net, torch_net.state_dict(), program=program)"
    if not isinstance(net, nn.Module):
        raise ArgumentError(f"{net!r} is not a network", site=user_site(), help=help)
    if not (program is None or isinstance(program, Program)):
        raise ArgumentError(f"{program!r} is not a program", site=user_site(), help=help)
    if program is None:
        return net.naming()
    program.trace()
    if not all(variable in program.names.variables for variable in net.variables()):
        raise ArgumentError(f"the program {program.name} does not use all of the network", site=user_site())
    return program.names


def modules_in(state_dict: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    """The parameters of a `state_dict` by module, as NumPy arrays. The projection in an attention is a part of it."""
    expect_mapping("state_dict", state_dict, "give net.state_dict()")
    found: dict[str, dict[str, Array]] = {}
    for whole, value in state_dict.items():
        prefix, _, name = whole.rpartition(".")
        outer, _, inner = prefix.rpartition(".")
        if inner == "out_proj" and ATTENTION & found.get(outer, {}).keys():
            prefix, name = outer, f"{inner}.{name}"
        found.setdefault(prefix, {})[name] = array_of(whole, value)
    return found


def array_of(name: str, value: Any) -> Array:
    """A tensor of PyTorch, or what NumPy reads, as an array. Raises `DTypeError` for what is no real numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        help = "leave out what has no place in the network"
        raise DTypeError(f"{name}: {array.dtype} of the state_dict are no real numbers", site=user_site(), help=help)
    return array


def kind_of(arrays: Arrays) -> Kind:
    """The kind of module that has some parameters."""
    return frozenset((name, array.ndim) for name, array in arrays.items() if name not in COUNTERS)


def matches_in(
    layer: nn.Module,
    attributes: tuple[str, ...],
    naming: Names,
    images: Mapping[str, Sequence[int]],
    kinds: set[Kind] | None,
    seen: dict[nn.Module, None],
) -> Iterator[Match]:
    """The layers of a network, in order, that are modules of PyTorch.

    One made of others is one module where there is one of its kind, else its parts are.
    """
    if layer in seen:
        return
    seen[layer] = None
    path = naming.known(layer) or ".".join(attributes)
    format_ = format_of(layer, images.get(path))
    parts = [(name, part) for a, v in vars(layer).items() for name, part in named_parts(a, v)]
    inner = [(name, part) for name, part in parts if isinstance(part, nn.Module) and part.variables()]
    if format_ is not None:
        match = Match(path, ".".join(attributes), format_)
        if not inner or not format_.whole or kinds is None or kind_of(match.expected) in kinds:
            yield match
            if format_.whole:
                return
    for name, part in inner:
        yield from matches_in(part, (*attributes, name), naming, images, kinds, seen)


def assigned(matches: Sequence[Match], modules: Mapping[str, Arrays], names: Mapping[str, str]) -> list[str]:
    """Give each layer its module; what does not fit."""
    faults = []
    by_path = {match.path: match for match in matches}
    for path, prefix in names.items():
        if path not in by_path or prefix not in modules:
            faults.append(f"names: {f'no module {prefix}' if path in by_path else f'the network has no layer {path}'}")
        else:
            by_path[path].prefix = prefix
    free = {prefix: kind_of(arrays) for prefix, arrays in modules.items() if prefix not in names.values()}
    rest = [match for match in matches if match.prefix is None]
    same = {prefix.replace(".", "_"): prefix for prefix in free}
    own = [match.attributes.replace(".", "_") for match in rest]
    by_name = all(attributes in same for attributes in own)
    for match, attributes in zip(rest, own, strict=True):
        kind = kind_of(match.expected)
        match.prefix = same[attributes] if by_name else next((p for p, k in free.items() if k == kind), None)
        if match.prefix is None:
            wanted = ", ".join(f"{name} {like.shape}" for name, like in match.expected.items() if name not in COUNTERS)
            faults.append(f"{match.path}: no module left that has {wanted}")
        else:
            del free[match.prefix]
    for match in matches:
        if match.prefix is not None:
            faults += match.faults(modules[match.prefix])
    return faults + [f"{joined(p, name)}: no layer takes it" for p in free for name in modules[p]]


def joined(prefix: str | None, name: str) -> str:
    """The whole name of a parameter."""
    return f"{prefix}.{name}" if prefix else name
