"""Element types and tensor types: `f32["N", 64]` is the type of a batch of 64 features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graphc.ir.dim import Dim, Size, evaluate, parse


@dataclass(frozen=True, eq=False)
class DType:
    """An element type; indexing it with dimensions gives a `TensorType`. Each is one object, copied or not."""

    name: str
    kind: str  # "float", "int", "uint" or "bool"
    itemsize: int

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        return dtype_named, (self.name,)

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy dtype that holds it."""
        return NUMPY[self.name]

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """Signed or unsigned, not bool."""
        return self.kind in ("int", "uint")

    def __getitem__(self, dims: str | int | Dim | tuple[str | int | Dim, ...]) -> TensorType:
        sizes = dims if isinstance(dims, tuple) else (dims,)
        return TensorType(self, tuple(parse(d) if isinstance(d, str) else d for d in sizes))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


f32 = DType("f32", "float", 4)
f64 = DType("f64", "float", 8)
i32 = DType("i32", "int", 4)
i64 = DType("i64", "int", 8)
u8 = DType("u8", "uint", 1)
u32 = DType("u32", "uint", 4)
u64 = DType("u64", "uint", 8)
bool_ = DType("bool", "bool", 1)

DTYPES = {t.name: t for t in (f32, f64, i32, i64, u8, u32, u64, bool_)}


def dtype_named(name: str) -> DType:
    """The element type of a name."""
    return DTYPES[name]


NUMPY: dict[str, np.dtype[np.generic]] = {
    name: np.dtype(full)
    for name, full in {
        "f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64",
        "u8": "uint8", "u32": "uint32", "u64": "uint64", "bool": "bool",
    }.items()
}  # fmt: skip
FROM_NUMPY = {numpy: DTYPES[name] for name, numpy in NUMPY.items()}


@dataclass(frozen=True)
class TensorType:
    """An element type and a shape of constant or symbolic sizes."""

    dtype: DType
    shape: tuple[Size, ...] = ()

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Size:
        """The number of elements."""
        return math.prod(self.shape)

    def with_shape(self, shape: tuple[Size, ...]) -> TensorType:
        """The same elements in another shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape of other elements."""
        return TensorType(dtype, self.shape)

    def bind(self, values: Mapping[str, int]) -> TensorType:
        """The type with its symbols replaced by numbers."""
        return TensorType(self.dtype, tuple(evaluate(s, values) for s in self.shape))

    @cached_property
    def text(self) -> str:
        """`f32[N,64]`."""
        return f"{self.dtype.name}[{','.join([str(s) for s in self.shape])}]"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text
