"""State: a `Variable` is a tensor that keeps its value between calls of a compiled program's entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from graphc.errors import ArgumentError, DTypeError, Operand, ShapeError, TraceError
from graphc.frontend.promotion import array_of, as_tensor, is_weak, stretch
from graphc.frontend.recording import Recording, describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Dim, Size
from graphc.ir.node import Array, Node
from graphc.ir.types import FROM_NUMPY, DType, TensorType, f32, i32
from graphc.records import Record
from graphc.sites import user_site
from graphc.suggest import answering_methods

if TYPE_CHECKING:
    from graphc.frontend.names import Named
    from graphc.frontend.random import Key


class Initial(Record):
    """A seeded initial value: the Variable's type, and the graph that draws it from a key."""

    type: TensorType
    draw: Callable[[Key], Tensor]

    def recipe(self) -> str | None:
        """What tells it from others: the function of `init` or the frontend that draws it, and its arguments.

        None for other functions, of which only the graph tells: layers are no part of what a cache knows of graphc.
        """
        draw = self.draw if isinstance(self.draw, partial) else partial(self.draw)
        name = f"{draw.func.__module__}.{getattr(draw.func, '__qualname__', '<')}"
        known = name.startswith(("graphc.init.", "graphc.frontend.")) and "<" not in name
        if not known or any(type(x) not in PLAIN for x in (*draw.args, *draw.keywords.values())):
            return None
        return f"{self.type} {name}{draw.args}{draw.keywords}"


#: Arguments of a draw that their text tells whole.
PLAIN = frozenset((bool, int, float, str, DType, TensorType))


@answering_methods
class Variable(Tensor):
    """A parameter, an optimizer's slot, a running average, a counter: it stands wherever a Tensor may.

    `initial` is an array, a number, or an `Initial` of `graphc.init`; shapes are constant. Reading it in an entry
    gives the newest value; outside one there is no value (state belongs to the compiled program).

    `constraint` is a function that optimizers apply to each new value, such as `nn.MaxNorm(3.0)`; it keeps shape and
    dtype. `.assign` and initial values are not constrained. `regularizer` is a function that gives what a value costs,
    such as `nn.L2(1e-4)`: `net.penalty()` sums it up. Raises `ArgumentError` where one of them can't be called.
    """

    __slots__ = (
        "__weakref__", "_frozen", "_traced", "_trainable", "_type", "constraint", "default_name", "initial",
        "name", "owners", "regularizer", "site",
    )  # fmt: skip

    def __init__(
        self,
        initial: Initial | TensorLike,
        name: str | None = None,
        trainable: bool = True,
        constraint: Callable[[Tensor], Tensor] | None = None,
        regularizer: Callable[[Tensor], Tensor] | None = None,
    ):
        self.site = user_site()
        expect_function("constraint", constraint, "nn.MaxNorm(3.0)")
        expect_function("regularizer", regularizer, "nn.L2(1e-4)")
        self.constraint, self.regularizer = constraint, regularizer
        self.initial: Initial | Array
        if isinstance(initial, Initial):
            self.initial, self._type = initial, initial.type
        elif isinstance(initial, Tensor):
            raise ArgumentError(
                "the initial value of a Variable is a symbolic tensor",
                operands=[describe("initial", initial.node)] if not isinstance(initial, Variable) else [],
                site=self.site,
                help="give an array or an initialiser of graphc.init; in an entry, .assign() the tensor",
            )
        elif callable(initial):
            raise ArgumentError(
                f"the initial value of a Variable is the function {getattr(initial, '__name__', initial)}",
                site=self.site,
                help="call it with a shape: gr.Variable(init.he_normal((64, 10)))",
            )
        else:
            self.initial = initial_array(initial)
            self._type = TensorType(FROM_NUMPY[self.initial.dtype], tuple(self.initial.shape))
        expect_constant(self._type.shape)
        self.name, self._trainable, self._frozen, self._traced = name, trainable, False, False
        self.default_name = "variable"
        self.owners: tuple[Named, ...] = ()

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The newest value in the trace in progress. Raises `TraceError` outside one."""
        recording = Recording.active.get()
        if recording is None:
            raise TraceError(
                "a Variable has no value outside an entry",
                operands=[Operand("variable", f"{self.name or self.default_name}: {self._type}", self.site)],
                site=user_site(),
                help='read the compiled program\'s state: compiled.state["name"]',
            )
        return recording.read(self)

    @property
    def trainable(self) -> bool:
        """Whether optimizers change it by default; settled when a Program that uses it is traced."""
        return self._trainable and not self._frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.expect_changeable(value)
        self._trainable, self._frozen = value, False

    def freeze(self, frozen: bool) -> None:
        """Keep it from being trainable, or give back what it was. Raises `TraceError` where that comes too late."""
        self.expect_freezable(frozen)
        self._frozen = frozen

    def expect_freezable(self, frozen: bool) -> None:
        """Raise `TraceError` where freezing it, or the opposite, comes too late."""
        self.expect_changeable(self._trainable and not frozen)

    def expect_changeable(self, trainable: bool) -> None:
        """Raise `TraceError` where a trace relied on it to be otherwise."""
        if self._traced and trainable != self.trainable:
            raise TraceError(
                f"trainable={trainable} comes too late: a Program with this Variable is compiled already",
                operands=[Operand("variable", f"{self.name or self.default_name}: {self._type}", self.site)],
                site=user_site(),
                help="set it before the Program is traced",
            )

    def start_with(self, value: TensorLike) -> None:
        """Give it another initial value, of its dtype and shape, for programs that are compiled from now on.

        Raises `TraceError` where a Program with it is compiled already, `ShapeError` and `DTypeError` where the value
        does not fit; then it keeps the old.
        """
        self.expect_untraced()
        array = initial_array(value)
        found = TensorType(FROM_NUMPY[array.dtype], tuple(array.shape))
        if found != self._type:
            kind = ShapeError if found.dtype == self.dtype else DTypeError
            raise kind(
                f"the Variable is {self._type}, its initial value {found}",
                operands=[Operand("variable", f"{self.name or self.default_name}: {self._type}", self.site)],
                site=user_site(),
            )
        self.initial = array

    def expect_untraced(self) -> None:
        """Raise `TraceError` where a trace relies on its initial value."""
        if self._traced:
            raise TraceError(
                "an initial value comes too late: a Program with this Variable is compiled already",
                operands=[Operand("variable", f"{self.name or self.default_name}: {self._type}", self.site)],
                site=user_site(),
                help='write the state: compiled.state["name"] = value',
            )

    def settle(self) -> None:
        """A trace relies on `trainable` from now on."""
        self._traced = True

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return self._type

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._type.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._type.rank

    def assign(self, value: TensorLike) -> None:
        """Give it a new value: later reads in the entry see it, and so does the next call.

        Raises `TraceError` outside an entry, `ShapeError` and `DTypeError` where the value does not fit.
        """
        recording = Recording.active.get()
        if recording is None:
            raise TraceError(
                "a Variable is assigned outside an entry",
                operands=[Operand("variable", f"{self.name or self.default_name}: {self._type}", self.site)],
                site=user_site(),
                help='assign inside a function marked with @program.entry, or set compiled.state["name"]',
            )
        recording.read(self)
        tensor = as_tensor(value, self.dtype) if is_weak(value) else as_tensor(value)
        if is_weak(value):
            tensor = stretch(tensor, self._type.shape)
        expect_fit(self, tensor)
        recording.assign(self, tensor.node)

    def __repr__(self) -> str:
        place = f" {self.site._replace(text='')}" if self.site else ""
        return f"Variable {self.dtype}[{', '.join(map(str, self._type.shape))}] {self.name or self.default_name}{place}"


def expect_function(role: str, function: object, example: str) -> None:
    """Raise `ArgumentError` unless a function of a Variable's value is one, or None."""
    if function is not None and not callable(function):
        raise ArgumentError(
            f"the {role} {function!r} is not a function of the value",
            site=user_site(),
            help=f"give a function such as {example}",
        )


def expect_constant(shape: Sequence[Size]) -> None:
    """Raise `ShapeError` where a parameter's shape has a symbol in it."""
    if any(isinstance(s, Dim) for s in shape):
        raise ShapeError(
            f"a Variable of symbolic shape ({', '.join(map(str, shape))})",
            site=user_site(),
            help="parameters need constant sizes; only inputs have symbolic ones",
        )


def expect_fit(variable: Variable, value: Tensor) -> None:
    """Raise unless a value has the Variable's type."""
    if value.type == variable.type:
        return
    kind = ShapeError if value.dtype == variable.dtype else DTypeError
    raise kind(
        f"assign: the Variable is {variable.type}, the value is {value.type}",
        operands=[
            Operand("variable", f"{variable.name or variable.default_name}:  {variable.type}", variable.site),
            describe("value", value.node),
        ],
        site=user_site(),
        help=f"cast it: value.astype(gr.{variable.dtype})" if kind is DTypeError else "shapes must be equal",
    )


def initial_array(value: Any) -> Array:
    """An array of its own, of a dtype that Variables have: Python numbers become f32 and i32."""
    if isinstance(value, (bool, int, float)):
        dtype = f32 if isinstance(value, float) else i32
        value = array_of([value]).reshape(()).astype(bool if isinstance(value, bool) else dtype.numpy)
    array = array_of(value)
    dtype_ = FROM_NUMPY.get(array.dtype.newbyteorder("="))
    if dtype_ is None:
        raise DTypeError(
            f"a Variable of {array.dtype}",
            site=user_site(),
            help="use float16, float32, float64, int32, int64, uint8 or bool",
        )
    return array.astype(dtype_.numpy, copy=True)
