"""Groups of parameters with settings of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from graphc.errors import ArgumentError
from graphc.frontend.variable import Variable
from graphc.nn.arguments import in_our_names
from graphc.nn.module import Module
from graphc.sites import user_site
from graphc.suggest import answering_methods

#: What holds Variables: layers, Variables, sequences of both.
Parameters: TypeAlias = Module | Variable | Sequence["Parameters"]

#: Settings that are of all parameters of an optimizer together.
COMMON = ("accumulate", "clip_global_norm", "groups", "name")


@answering_methods
class Group:
    """Parameters for which an optimizer has other settings than for the rest, or which it leaves alone (`frozen`).

    `parameters` is a layer or network, a Variable, a sequence of these, or a function that says of a Variable whether
    it is in the group. `overrides` are arguments of the optimizer, such as `learning_rate` (a number, Tensor or
    schedule), `weight_decay` or `beta1`. The first group of a list that has a parameter counts.

        optim.AdamW(1e-4, groups=[
            optim.Group(net.head, learning_rate=1e-3),
            optim.Group(net.body.stem, frozen=True),
            optim.Group(lambda v: v.ndim < 2, weight_decay=0.0),   # biases and scales
        ])

    A learning rate that is a number is state, `adamw/group/learning_rate`; `name` stands for `group`.
    Raises `ArgumentError` where `parameters` are none of these, or an override is of all parameters together
    (`accumulate`, `clip_global_norm`).
    """

    def __init__(
        self, parameters: Parameters | Callable[[Variable], bool], *, frozen: bool = False, name: str | None = None,
        **overrides: Any,
    ):  # fmt: skip
        self.site = user_site()
        self.parameters, self.frozen, self.name = parameters, frozen, name
        if isinstance(parameters, (Module, Variable)) or not callable(parameters):
            expect_parameters("Group", parameters)
        for key in overrides:
            if key in COMMON:
                raise ArgumentError(
                    f"Group: {key!r} is of all parameters of an optimizer together",
                    site=self.site,
                    help=f"give {key}= to the optimizer",
                )
        self.overrides = overrides

    def __contains__(self, parameter: Variable) -> bool:
        given = self.parameters
        if isinstance(given, (Module, Variable)) or not callable(given):
            return any(v is parameter for v in variables_of(given))
        return bool(given(parameter))

    def arguments(self, rule: type, args: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the group's own rule, from those of the optimizer.

        Raises `ArgumentError` for an override that the optimizer does not take.
        """
        (_, *names), rest = parameters_of(rule)
        for key in self.overrides:
            if key not in names and not rest:
                raise ArgumentError(f"Group: {rule.__name__} takes no {key!r}", site=self.site, help=", ".join(names))
        given = dict(zip(names, args, strict=False)) | dict(options)
        ours = {k: v for k, v in in_our_names(rule.__init__, given).items() if k not in COMMON}  # type: ignore[misc]
        return ours | in_our_names(rule.__init__, self.overrides)  # type: ignore[misc]


def parameters_of(rule: type) -> tuple[list[str], bool]:
    """The names of the constructor's parameters, and whether it takes others by name."""
    found = inspect.signature(rule.__init__).parameters  # type: ignore[misc]
    rest = [name for name, p in found.items() if p.kind is inspect.Parameter.VAR_KEYWORD]
    return [name for name in found if name not in rest], bool(rest)


def variables_of(parameters: Parameters) -> Iterator[Variable]:
    """The Variables that layers have so far, and those given themselves."""
    if isinstance(parameters, Variable):
        yield parameters
    elif isinstance(parameters, Module):
        yield from (p for module in parameters.modules() for p in module.parts() if isinstance(p, Variable))
    else:
        for part in parameters:
            yield from variables_of(part)


def expect_parameters(name: str, given: object) -> None:
    """Raise `ArgumentError` unless something is a layer, a Variable or a sequence of these."""
    if isinstance(given, (Module, Variable)):
        return
    if not isinstance(given, (list, tuple)):
        raise ArgumentError(
            f"{name}: {given!r} has no parameters",
            site=user_site(),
            help="give a layer, a Variable, or a list of them",
        )
    for part in given:
        expect_parameters(name, part)
