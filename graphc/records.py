"""Values with named fields, made without generating code: some fifty classes are defined before a program starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from operator import attrgetter
from typing import Any, ClassVar, Never, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Subclasses are as if decorated with `dataclass(frozen=True)`: annotated names are fields, those of bases first.

    Records are equal where class and fields are. `fields`, `replace`, `asdict` and `match` work as on any dataclass;
    the methods below serve all, whereas `dataclass` compiles six for each class (0.3 ms, on every import).
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()
    _values: ClassVar[Callable[[Any], Any]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False)(cls)
        names = cls.__match_args__
        cls._values = attrgetter(*names) if names else empty

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.__match_args__
        if named or len(values) != len(names):
            values = completed(type(self), values, named)
        if values:
            self.__dict__.update(zip(names, values, strict=True))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is not self.__class__:
            return NotImplemented
        values = type(self)._values
        return bool(values(self) == values(other))

    def __hash__(self) -> int:
        return hash(type(self)._values(self))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({given})"

    def __setattr__(self, name: str, value: Never) -> Never:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> Never:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


def empty(record: Record) -> tuple[()]:
    """The values of a record without fields."""
    return ()


def completed(cls: type[Record], values: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
    """A value for each field: given in order, by name, or the class's default. Raises `TypeError` where that fails."""
    names = cls.__match_args__
    if not values and tuple(named) == names:
        return tuple(named.values())
    later = names[len(values) :]
    if len(values) > len(names) or not named.keys() <= set(later):
        raise TypeError(f"{cls.__name__}: takes {', '.join(names) or 'nothing'}, each once")
    try:
        return *values, *(named[name] if name in named else getattr(cls, name) for name in later)
    except AttributeError as error:
        raise TypeError(f"{cls.__name__}: no value for {error.name}") from None
