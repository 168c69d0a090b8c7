"""`Tensor`: a symbolic array. Its operators and methods are the functions of `graphc.frontend.api`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

import graphc.frontend.api as api
from graphc.errors import TraceError
from graphc.frontend.recording import Recording
from graphc.frontend.size import SymbolicSize, UserSize, is_size, user_size
from graphc.ir.node import Array as Array
from graphc.ir.node import Input, Node, Read
from graphc.ir.types import DType, TensorType
from graphc.sites import user_site
from graphc.suggest import answering_methods

if TYPE_CHECKING:
    from graphc.frontend.updates import At


@answering_methods
class Tensor:
    """A value of the graph that is being traced.

    Follows the Python array API standard by name and meaning; `==` is elementwise, the hash is identity.
    """

    __slots__ = ("node",)

    node: Node

    def __init__(self, node: Node):
        self.node = node

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return self.node.type

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.node.type.dtype

    @property
    def shape(self) -> tuple[int | SymbolicSize, ...]:
        """The sizes of the axes: numbers, or symbolic sizes."""
        return tuple(user_size(s) for s in self.type.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.node.type.shape)

    @property
    def size(self) -> int | SymbolicSize:
        """The number of elements."""
        return user_size(self.type.size)

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return api.permute_dims(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return api.matrix_transpose(self)

    def __repr__(self) -> str:
        recording = Recording.active.get()
        site = self.node.scope.site_of(self.node)
        place = f" {site._replace(text='')}" if site else ""
        known = recording.known.of(self.node) if recording is not None and recording.known is not None else None
        value = f"\n{known}" if known is not None else ""
        shape = ", ".join(str(s) for s in self.type.shape)
        return f"{self.dtype}[{shape}] {label(self.node, recording)}{place}{value}"

    # Arithmetic.

    def __add__(self, other: TensorLike) -> Tensor:
        return api.add(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return api.add(other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return api.subtract(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return api.subtract(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return api.multiply(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return api.multiply(other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return api.divide(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return api.divide(other, self)

    def __floordiv__(self, other: TensorLike) -> Tensor:
        return api.floor_divide(self, other)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return api.floor_divide(other, self)

    def __mod__(self, other: TensorLike) -> Tensor:
        return api.remainder(self, other)

    def __rmod__(self, other: TensorLike) -> Tensor:
        return api.remainder(other, self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return api.pow(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return api.pow(other, self)

    def __divmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return api.floor_divide(self, other), api.remainder(self, other)

    def __rdivmod__(self, other: TensorLike) -> tuple[Tensor, Tensor]:
        return api.floor_divide(other, self), api.remainder(other, self)

    def __round__(self) -> Tensor:
        return api.round(self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return api.matmul(self, other)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return api.matmul(other, self)

    def __neg__(self) -> Tensor:
        return api.negative(self)

    def __pos__(self) -> Tensor:
        return api.positive(self)

    def __abs__(self) -> Tensor:
        return api.abs(self)

    # Comparison, elementwise; identity is what hashes and containers use.

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return api.equal(self, other)  # type: ignore[arg-type]

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return api.not_equal(self, other)  # type: ignore[arg-type]

    def __lt__(self, other: TensorLike) -> Tensor:
        return api.less(self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return api.less_equal(self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return api.greater(self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return api.greater_equal(self, other)

    __hash__ = object.__hash__

    # Bits and truth values.

    def __and__(self, other: TensorLike) -> Tensor:
        return api.bitwise_and(self, other)

    def __rand__(self, other: TensorLike) -> Tensor:
        return api.bitwise_and(other, self)

    def __or__(self, other: TensorLike) -> Tensor:
        return api.bitwise_or(self, other)

    def __ror__(self, other: TensorLike) -> Tensor:
        return api.bitwise_or(other, self)

    def __xor__(self, other: TensorLike) -> Tensor:
        return api.bitwise_xor(self, other)

    def __rxor__(self, other: TensorLike) -> Tensor:
        return api.bitwise_xor(other, self)

    def __invert__(self) -> Tensor:
        return api.bitwise_invert(self)

    def __lshift__(self, other: TensorLike) -> Tensor:
        return api.bitwise_left_shift(self, other)

    def __rlshift__(self, other: TensorLike) -> Tensor:
        return api.bitwise_left_shift(other, self)

    def __rshift__(self, other: TensorLike) -> Tensor:
        return api.bitwise_right_shift(self, other)

    def __rrshift__(self, other: TensorLike) -> Tensor:
        return api.bitwise_right_shift(other, self)

    # Methods, as NumPy's arrays have them.

    def __getitem__(self, key: Any) -> Tensor:
        return api.getitem(self, key)

    @property
    def at(self) -> At:
        """`x.at[key].set(values)` is x with some elements changed; add, multiply, max and min are there too."""
        return api.At(self)

    def astype(self, dtype: DType, copy: bool = True) -> Tensor:
        """The elements cast to another type (float to integer saturates)."""
        return api.astype(self, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """The elements in another shape; one −1 is solved, symbolically too."""
        return api.reshape(self, shape[0] if len(shape) == 1 and not is_size(shape[0]) else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes permuted; reversed where no order is given."""
        if not axes:
            return self.T
        return api.permute_dims(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)

    def flatten(self) -> Tensor:
        """The elements in one axis, in row-major order."""
        return api.ravel(self)

    ravel = flatten

    def squeeze(self, axis: Axis = None) -> Tensor:
        """Without axes of size 1: the given ones, or all."""
        return api.squeeze(self, axis)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return api.swapaxes(self, axis1, axis2)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """Each element (each slice along an axis) some number of times in a row."""
        return api.repeat(self, repeats, axis=axis)

    def take(self, indices: TensorLike, axis: int | None = None) -> Tensor:
        """The slices along an axis that integer indices name."""
        return api.take(self, indices, axis=axis)

    def clip(self, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """The elements between bounds."""
        return api.clip(self, min, max)

    def round(self) -> Tensor:
        """The nearest whole numbers, halves to the even one."""
        return api.round(self)

    def dot(self, other: TensorLike) -> Tensor:
        """The matrix product."""
        return api.matmul(self, other)

    def copy(self) -> Tensor:
        """The tensor itself: tensors never change."""
        return self

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over axes (all of them by default)."""
        return api.sum(self, axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over axes."""
        return api.mean(self, axis, keepdims=keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The variance over axes (of a population)."""
        return api.var(self, axis, keepdims=keepdims)

    def std(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The standard deviation over axes (of a population)."""
        return api.std(self, axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The product over axes."""
        return api.prod(self, axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest element over axes."""
        return api.max(self, axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest element over axes."""
        return api.min(self, axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether any element is true (not zero)."""
        return api.any(self, axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether every element is true (not zero)."""
        return api.all(self, axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The index of the first largest element."""
        return api.argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The index of the first smallest element."""
        return api.argmin(self, axis, keepdims=keepdims)

    # What a symbolic value can't answer, or does not have.

    def __getattr__(self, name: str) -> NoReturn:
        from graphc.frontend.absent import missing_method

        error = None if name.startswith("_") else missing_method(name)
        raise error or AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __bool__(self) -> NoReturn:
        raise self._no_value("truth value", "gr.where(condition, x, y) chooses elementwise, gr.cond between branches")

    def __float__(self) -> NoReturn:
        raise self._no_value(
            "number", "return it from the entry to see it; gr.where and gr.cond act on it in the graph"
        )

    def __int__(self) -> NoReturn:
        raise self._no_value(
            "number", "return it from the entry to see it; gr.where and gr.cond act on it in the graph"
        )

    __index__ = __int__

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)

    def __len__(self) -> int:
        if not self.ndim:
            raise TraceError(f"a tensor without axes has no length: {self!r}", site=user_site())
        length = self.type.shape[0]
        if isinstance(length, int):
            return length
        raise self._no_value("length", f"its first axis is symbolic; {length} stands in shapes as x.shape[0]")

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim and not isinstance(self.type.shape[0], int):
            raise self._no_value("sequence of rows", "its first axis is symbolic; write the loop with array operations")
        return iter([self[i] for i in range(len(self))])

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise TraceError(
            f"tensors can't be changed in place: {self!r}",
            site=user_site(),
            help="x.at[key].set(value) gives a new one; a gr.Variable takes a whole new value with .assign()",
        )

    def __array__(self, dtype: object = None, copy: object = None) -> NoReturn:
        raise self._no_value("NumPy array", "use the gr.* function of the same name, or return it from the entry")

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return sys.modules["graphc"]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return api.call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
        return api.call_function(function, args, options)

    def _no_value(self, what: str, help: str) -> TraceError:
        """The error of asking for what only exists at run time."""
        return TraceError(f"a symbolic tensor has no {what} while tracing: {self!r}", site=user_site(), help=help)


def label(node: Node, recording: Recording | None) -> str:
    """What a node is called: an argument's or Variable's name, or the op or composite function below its layer."""
    if isinstance(node.op, Input):
        return node.op.name
    if isinstance(node.op, Read):
        return node.op.variable
    path = recording.paths.get(node, "") if recording is not None else ""
    if recording is not None and path in recording.composites:
        return path
    return f"{path}/{node.op.mnemonic()}" if path else node.op.mnemonic()


Scalar: TypeAlias = bool | int | float | np.generic | SymbolicSize
TensorLike: TypeAlias = Tensor | Array | Scalar | Sequence[Any]
Axis: TypeAlias = int | Sequence[int] | None
Shape: TypeAlias = Sequence[UserSize | str] | UserSize
