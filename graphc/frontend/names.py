"""Names of layers, optimizers and Variables: paths, numbered per parent within one Program, never per process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from graphc.errors import ArgumentError, Operand, Site

if TYPE_CHECKING:
    from graphc.frontend.variable import Variable


class Named(Protocol):
    """A thing with a name in the state: `name` is the user's choice, `default_name` what it is called otherwise."""

    name: str | None
    default_name: str
    site: Site | None


class Names:
    """The names of one Program, given in order of first use."""

    def __init__(self) -> None:
        self._paths: dict[Named, str] = {}
        self._owners: dict[str, Named] = {}
        self.variables: dict[Variable, str] = {}

    def path(self, thing: Named, parent: str = "") -> str:
        """The path of a thing; a new one below `parent` at first use.

        Raises `ArgumentError` where the user's name is taken.
        """
        found = self._paths.get(thing)
        if found is None:
            prefix = f"{parent}/" if parent else ""
            free = thing.name is None
            found = prefix + (self._free(prefix, thing.default_name) if free else self._given(prefix, thing))
            self._paths[thing] = found
            self._owners[found] = thing
        return found

    def known(self, thing: Named) -> str | None:
        """The path of a thing, None where it was not used."""
        return self._paths.get(thing)

    def variable(self, variable: Variable) -> str:
        """The full name of a Variable: below its layer, or below the parameter and optimizer that it is a slot of."""
        found = self.variables.get(variable)
        if found is None:
            parent = "/".join(self._below(owner) for owner in variable.owners)
            found = self.variables[variable] = self.path(variable, parent)
        return found

    def _below(self, owner: Named | Variable) -> str:
        """The path of something that owns a Variable."""
        if owner in self.variables:
            return self.variables[owner]  # type: ignore[index]
        owners = getattr(owner, "owners", None)
        return self.path(owner) if owners is None else self.variable(owner)  # type: ignore[arg-type]

    def _free(self, prefix: str, stem: str) -> str:
        """`dense`, `dense_1`, …: the first that is not taken."""
        name, count = stem, 0
        while prefix + name in self._owners:
            count += 1
            name = f"{stem}_{count}"
        return name

    def _given(self, prefix: str, thing: Named) -> str:
        """The user's name, unless something else has it."""
        assert thing.name is not None
        if not isinstance(thing.name, str) or not thing.name:
            raise ArgumentError(
                f"name={thing.name!r} is no name", site=thing.site, help="give a string, or leave it out to be numbered"
            )
        other = self._owners.get(prefix + thing.name)
        if other is not None:
            raise ArgumentError(
                f"the name {prefix + thing.name!r} is given twice in one Program",
                operands=[Operand("first", type(other).__name__, other.site)],
                site=thing.site,
                help="choose another name=, or leave it out to have it numbered",
            )
        return thing.name
