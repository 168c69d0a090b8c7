"""Every error a user can meet: what was expected, what came, where it was written, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Site(NamedTuple):
    """A place in the user's code."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        name = self.file.rsplit("/", 1)[-1]
        return f"{name}:{self.line}" + (f"   {self.text}" if self.text else "")


class Operand(NamedTuple):
    """A value an error speaks of: its role, how it prints, where it was made."""

    role: str
    value: str
    site: Site | None = None

    def __str__(self) -> str:
        return f"{self.role}  {self.value}" + (f"     {self.site}" if self.site else "")


class GraphcError(Exception):
    """The base of all of graphc's errors."""

    def __init__(
        self, message: str, *, operands: Sequence[Operand] = (), site: Site | None = None, help: str | None = None
    ):
        self.message, self.operands, self.site, self.help = message, tuple(operands), site, help
        super().__init__(self.render())

    def render(self) -> str:
        """The whole message: a headline, the operands, the user's line, the way out."""
        lines = [self.message]
        lines += [f"  {operand}" for operand in self.operands]
        if self.site is not None:
            lines.append(f"  at {self.site}")
        if self.help is not None:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


class ShapeError(GraphcError, ValueError):
    """Shapes, ranks or dimensions do not fit."""


class AxisError(ShapeError, IndexError):
    """An axis that a tensor does not have."""


class DTypeError(GraphcError, TypeError):
    """Element types do not fit."""


class ArgumentError(GraphcError, TypeError):
    """A call has a missing, an extra or an unusable argument."""


class TraceError(GraphcError, TypeError):
    """Python asked a symbolic value for something that it can't answer while tracing."""


class GradientError(GraphcError, ValueError):
    """A derivative that does not exist was asked for."""


class StateError(GraphcError, KeyError):
    """A name, a shape or an image that the state does not have."""

    def __str__(self) -> str:
        return self.render()


class TargetError(GraphcError, ValueError):
    """A CPU, a linker or a format that graphc does not know."""


class UnsupportedError(GraphcError, NotImplementedError):
    """Something graphc does not do; the message names the alternative."""


class MissingNameError(UnsupportedError, AttributeError):
    """A function that graphc does not have; the message names the alternative."""


class BuildError(GraphcError, RuntimeError):
    """A shared object could not be written or loaded."""


class IndexRangeError(GraphcError, IndexError):
    """An index argument holds a value outside its range."""


class NumericsError(GraphcError, FloatingPointError):
    """A float became NaN or infinite in a program that was compiled to check for it; the state is as before."""


class GradientMismatch(GraphcError, AssertionError):
    """Analytic and numeric gradients differ; the message holds a table."""


class InternalError(GraphcError, RuntimeError):
    """A fault of graphc itself: names the pass, the node and the dump."""
