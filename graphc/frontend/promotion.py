"""From what users write to operands of one type: promotion of dtypes, broadcasting made explicit, ops applied."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.errors import DTypeError, ShapeError, TraceError, UnsupportedError
from graphc.frontend.recording import Recording, current, describe, roles
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Dim, Size
from graphc.ir.node import Array, Constant, Node, Op
from graphc.ir.types import FROM_NUMPY, DType, TensorType, bool_, f32, f64, i32, i64, u32, u64
from graphc.ops.base import limits
from graphc.ops.logic import Cast
from graphc.ops.movement import Broadcast, Reshape
from graphc.ops.size import SizeOf
from graphc.sites import user_site

RANK = {"bool": 0, "uint": 1, "int": 2, "float": 3}


def apply(op: Op, *operands: Tensor) -> Tensor:
    """An op applied to tensors that fit it already."""
    return Tensor(current(op).node(op, *[t.node for t in operands]))


def elementwise(op: Op, *values: TensorLike, least: DType = bool_) -> Tensor:
    """An elementwise op on anything: operands promoted to one dtype, at least that of a kind, and broadcast."""
    recording = current(op)
    tensors = broadcast(op, *promoted(*values, least=least))
    return Tensor(recording.node(op, *[t.node for t in tensors]))


def promoted(*values: TensorLike, least: DType = bool_) -> list[Tensor]:
    """The values as tensors of their common dtype: arrays decide, Python and NumPy scalars follow.

    Where `least` is i32, booleans become i32; where it is f32, whatever is no float becomes f32.
    """
    strong = [as_tensor(v) if isinstance(v, Tensor) or not is_weak(v) else v for v in values]
    dtype = common_dtype(strong)
    if dtype == bool_ or (least.is_float and not dtype.is_float):
        dtype = least
    return [cast(v, dtype) if isinstance(v, Tensor) else as_tensor(v, dtype) for v in strong]


def is_weak(value: object) -> bool:
    """Whether a value takes the dtype of the arrays it meets."""
    return isinstance(value, (bool, int, float, np.generic, SymbolicSize))


def common_dtype(values: Sequence[Tensor | TensorLike | DType]) -> DType:
    """The dtype that tensors (or dtypes) and scalars are promoted to. Raises `DTypeError` for complex scalars."""
    strong: DType | None = None
    kind = "bool"
    for value in values:
        if isinstance(value, (Tensor, DType)):
            dtype = value if isinstance(value, DType) else value.dtype
            strong = dtype if strong is None else promote(strong, dtype)
        else:
            kind = max(kind, weak_kind(value), key=RANK.__getitem__)
    if strong is None:
        return {"bool": bool_, "int": i32, "float": f32}[kind]
    if RANK[kind] > RANK[strong.kind] and not (kind == "int" and strong.kind == "uint"):
        return f32 if kind == "float" else i32
    return strong


def weak_kind(value: object) -> str:
    """bool, int or float: the kind of a scalar."""
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer, SymbolicSize)):
        return "int"
    if isinstance(value, (float, np.floating)) or (isinstance(value, np.generic) and value.dtype in FROM_NUMPY):
        return "float"
    raise DTypeError(f"{value!r} has no dtype that graphc knows", site=user_site(), help="use real numbers or booleans")


def promote(a: DType, b: DType) -> DType:
    """The dtype of two arrays together: floats win over integers, wider over narrower, bool over none.

    f16 and bf16, of which neither holds the other, meet in f32.
    """
    if a == b:
        return a
    if a.is_narrow and b.is_narrow:
        return f32
    low, high = sorted((a, b), key=lambda t: (RANK[t.kind], t.itemsize))
    if low.kind != "uint" or high.kind != "int" or low.itemsize < high.itemsize:
        return high
    return i64 if low == u32 else f64 if low == u64 else high


def as_tensor(value: TensorLike, dtype: DType | None = None) -> Tensor:
    """Anything as a tensor of this trace; scalars take `dtype`, arrays keep theirs.

    Raises `TraceError` for a tensor of another trace, `DTypeError` for values without a dtype here.
    """
    recording = current()
    if isinstance(value, Tensor):
        node = value.node
        if node.scope is not recording.scope:
            raise TraceError(
                f"a tensor of another trace is used here: {value!r}",
                site=user_site(),
                help="return it from its entry, or keep it in a gr.Variable",
            )
        return value if type(value) is Tensor else Tensor(node)
    if isinstance(value, SymbolicSize):
        return Tensor(recording.node(SizeOf(dtype or i32, recording.normal(value.dim))))
    if isinstance(value, (bool, int, float, np.generic)):
        return Tensor(scalar(recording, value, dtype or common_dtype([value])))
    return Tensor(constant(recording, array_of(value)))


def scalar(recording: Recording, value: bool | int | float | np.generic, dtype: DType) -> Node:
    """A scalar constant; an integer must be one of the dtype."""
    if dtype.is_integer:
        least, greatest = limits(dtype)
        if not least <= int(value) <= greatest:
            message = f"{value} is not a value of {dtype}"
            raise DTypeError(message, site=user_site(), help="cast the tensor first: x.astype(gr.i64)")
    return recording.leaf(Constant(np.asarray(value, dtype.numpy).tobytes()), TensorType(dtype))


def constant(recording: Recording, array: Array) -> Node:
    """A constant array."""
    dtype = FROM_NUMPY.get(array.dtype.newbyteorder("="))
    if dtype is None:
        raise DTypeError(
            f"arrays of {array.dtype} can't be used in a graph",
            site=user_site(),
            help="cast it with .astype to float16, float32, float64, int32, int64, uint8 or bool",
        )
    data = np.ascontiguousarray(array, dtype.numpy).tobytes()
    return recording.leaf(Constant(data), TensorType(dtype, tuple(array.shape)))


def array_of(value: object) -> Array:
    """A NumPy array of an array, buffer or nested list; Python numbers become f32 and i32.

    Raises `UnsupportedError` where a list holds tensors, `DTypeError` where there is no array in it.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)):
        if any(isinstance(v, Tensor) for v in value):
            raise UnsupportedError(
                "a list of tensors is not a tensor", site=user_site(), help="join them with gr.stack or gr.concat"
            )
        array = rectangular(value)
        defaults = {"f": f32, "i": i32, "b": bool_}
        if array.dtype.kind in defaults and not any(isinstance(v, (np.ndarray, np.generic)) for v in value):
            return array.astype(defaults[array.dtype.kind].numpy)
    elif hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        array = rectangular(value)
    else:
        raise DTypeError(f"{type(value).__name__} is not a tensor: {value!r}", site=user_site())
    return array


def rectangular(value: object) -> Array:
    """NumPy's array of a value. Raises `DTypeError` where it is ragged or holds other things than numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "fiubc" and array.dtype not in FROM_NUMPY:
        raise DTypeError(f"{type(value).__name__} is not a rectangular array of numbers", site=user_site())
    return array


def cast(x: Tensor, dtype: DType) -> Tensor:
    """The elements in another dtype."""
    return x if x.dtype == dtype else apply(Cast(dtype), x)


def broadcast(op: Op | str, *tensors: Tensor) -> list[Tensor]:
    """The tensors in their common shape, after NumPy's rules; a symbol only meets itself or 1.

    Raises `ShapeError` where sizes do not fit.
    """
    shapes = [t.node.type.shape for t in tensors]
    if shapes.count(shapes[0]) == len(shapes):
        return list(tensors)
    shape = common_shape(op, *tensors)
    return [stretch(t, shape) for t in tensors]


def common_shape(op: Op | str, *tensors: Tensor) -> tuple[Size, ...]:
    """The shape that tensors broadcast to."""
    return common_sizes(op, tensors, [t.type.shape for t in tensors])


def common_sizes(op: Op | str, tensors: Sequence[Tensor], shapes: Sequence[tuple[Size, ...]]) -> tuple[Size, ...]:
    """The shape that shapes broadcast to; an error shows the tensors that they are of."""
    shapes = [s for s in shapes if s]
    if all(s == shapes[0] for s in shapes):
        return shapes[0] if shapes else ()
    rank = max(len(s) for s in shapes)
    shape: list[Size] = [1] * rank
    for i in range(1, rank + 1):
        sizes = [s[-i] for s in shapes if len(s) >= i]
        wide = [s for s in sizes if not (isinstance(s, int) and s == 1)]
        if any(s != wide[0] for s in wide):
            raise unbroadcastable(op, tensors, f"axis {-i}: {' against '.join(map(str, sizes))}")
        if wide:
            shape[-i] = wide[0]
    return tuple(shape)


def unbroadcastable(op: Op | str, tensors: Sequence[Tensor], where: str) -> ShapeError:
    """The error of shapes that do not fit."""
    name = op if isinstance(op, str) else op.mnemonic()
    types = " and ".join(str(t.type) for t in tensors)
    symbolic = any(isinstance(s, Dim) for t in tensors for s in t.type.shape)
    return ShapeError(
        f"{name}: shapes do not broadcast ({types}; {where})",
        operands=[describe(role, t.node) for role, t in zip(roles(len(tensors)), tensors, strict=True)],
        site=user_site(),
        help="a symbolic size broadcasts only against 1 or itself" if symbolic else "sizes must be equal or 1",
    )


def stretch(x: Tensor, shape: tuple[Size, ...]) -> Tensor:
    """A tensor broadcast to a shape that it is known to fit: axes of size 1 are dropped, then repeated."""
    old = x.type.shape
    if old == shape:
        return x
    offset = len(shape) - len(old)
    axes = tuple(i for i in range(len(old)) if old[i] == shape[i + offset])
    if len(axes) < len(old):
        x = apply(Reshape(tuple(old[i] for i in axes)), x)
    return apply(Broadcast(shape, tuple(i + offset for i in axes)), x)


def element_count(shape: Sequence[Size]) -> Size:
    """How many elements a shape has."""
    return math.prod(shape)
