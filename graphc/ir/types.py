"""Element types and tensor types: `f32["N", 64]` is the type of a batch of 64 features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from graphc.bfloat16 import AnyDType, NumpyTypes
from graphc.errors import ArgumentError
from graphc.ir.dim import Dim, Size, as_size, evaluate
from graphc.sites import user_site


@dataclass(frozen=True, eq=False)
class DType:
    """An element type; indexing it with dimensions gives a `TensorType`. Each is one object, copied or not."""

    name: str
    kind: str  # "float", "int", "uint" or "bool"
    itemsize: int

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        return dtype_named, (self.name,)

    @property
    def numpy(self) -> AnyDType:
        """The NumPy dtype that holds it; bfloat16's needs ml_dtypes."""
        return NUMPY[self.name]

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_narrow(self) -> bool:
        """A float of 16 bits: what is stored so is computed in f32, and rounded."""
        return self.is_float and self.itemsize == 2

    @property
    def computed(self) -> DType:
        """The dtype that it is computed in: f32 for 16-bit floats, else itself."""
        return f32 if self.is_narrow else self

    @property
    def precision(self) -> int:
        """Bits of a float's significand, the first one included."""
        return FORMATS[self.name][0]

    @property
    def largest_exponent(self) -> int:
        """The exponent of a float's largest numbers; that of its least normal ones is 1 minus it."""
        return FORMATS[self.name][1]

    @property
    def is_integer(self) -> bool:
        """Signed or unsigned, not bool."""
        return self.kind in ("int", "uint")

    def __getitem__(self, dims: str | int | Dim | tuple[str | int | Dim, ...]) -> TensorType:
        sizes = dims if isinstance(dims, tuple) else (dims,)
        return TensorType(self, tuple(as_size(d) for d in sizes))

    def __call__(self, *values: object) -> NoReturn:
        own = f"gr.{self.name}"
        raise ArgumentError(
            f"{self.name} is called: a dtype makes no values",
            site=user_site(),
            help=f'{own}["N", 64] is a type, gr.asarray(3, {own}) a tensor, x.astype({own}) casts',
        )

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


#: Of each float: bits of the significand, the largest exponent.
FORMATS = {"f64": (53, 1023), "f32": (24, 127), "f16": (11, 15), "bf16": (8, 127)}

f32 = DType("f32", "float", 4)
f64 = DType("f64", "float", 8)
f16 = DType("f16", "float", 2)
bf16 = DType("bf16", "float", 2)
i32 = DType("i32", "int", 4)
i64 = DType("i64", "int", 8)
u8 = DType("u8", "uint", 1)
u32 = DType("u32", "uint", 4)
u64 = DType("u64", "uint", 8)
bool_ = DType("bool", "bool", 1)

DTYPES = {t.name: t for t in (f32, f64, f16, bf16, i32, i64, u8, u32, u64, bool_)}


def dtype_named(name: str) -> DType:
    """The element type of a name."""
    return DTYPES[name]


NAMES = {
    "f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16", "i32": "int32", "i64": "int64",
    "u8": "uint8", "u32": "uint32", "u64": "uint64", "bool": "bool",
}  # fmt: skip
NUMPY = NumpyTypes(NAMES)


class FromNumpy(Mapping[AnyDType, DType]):
    """The element types of NumPy's dtypes, of native byte order."""

    def __init__(self) -> None:
        self._by_name = {full: DTYPES[name] for name, full in NAMES.items()}
        self._known = {numpy: DTYPES[name] for name, numpy in NUMPY.items()}

    def __getitem__(self, numpy: AnyDType) -> DType:
        found = self._known.get(numpy)
        if found is None:
            if not numpy.isnative:
                raise KeyError(numpy)
            found = self._known[numpy] = self._by_name[numpy.name]
        return found

    def __iter__(self) -> Iterator[AnyDType]:
        return (NUMPY[name] for name in NAMES)

    def __len__(self) -> int:
        return len(NAMES)


FROM_NUMPY = FromNumpy()


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


#: What the `dtype` of a `TupleType` is: the elements are those of its items.
TUPLE = DType("tuple", "tuple", 0)


class TupleType(TensorType):
    """Several tensors, which a control node gives at once; `Item` takes one of them out."""

    items: tuple[TensorType, ...]

    def __init__(self, items: tuple[TensorType, ...]):
        super().__init__(TUPLE)
        object.__setattr__(self, "items", items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TupleType) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def bind(self, values: Mapping[str, int]) -> TupleType:
        """The type with its symbols replaced by numbers."""
        return TupleType(tuple(t.bind(values) for t in self.items))

    @cached_property
    def text(self) -> str:
        """`(f32[N,64], i64[])`."""
        return f"({', '.join(t.text for t in self.items)})"
