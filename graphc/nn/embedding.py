"""Vectors for whole numbers: tokens, categories, places."""

from __future__ import annotations

from graphc.frontend import api
from graphc.frontend.indices import integer
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import DType, f32
from graphc.nn.module import Module, called
from graphc.nn.weights import ConstraintLike, InitializerLike, RegularizerLike, expect_count, weight


class Embedding(Module):
    """The rows of `table` [count, features] that integers name: i32[...] -> [..., features].

    The table is uniform in ±0.05 unless `table_initializer` says otherwise (PyTorch's is `init.normal` with
    `stddev=1`), and of `dtype`. `table_regularizer` and `table_constraint` are those of `KernelLayer`. Arguments of an
    entry are range-checked when it is called, computed integers clamp. Raises `DTypeError` where x is no integer.

        tokens = nn.Embedding(256, 32)
        hidden = tokens(text)            # i32[N, T] -> f32[N, T, 32]
        logits = tokens.attend(hidden)   # f32[N, T, 32] -> f32[N, T, 256], by the same table
    """

    def __init__(
        self,
        count: int,
        features: int,
        table_initializer: InitializerLike = "uniform",
        table_regularizer: RegularizerLike = None,
        table_constraint: ConstraintLike = None,
        dtype: DType = f32,
        name: str | None = None,
    ):
        super().__init__(name)
        expect_count(self, count=count, features=features)
        self.count, self.features, self.dtype = int(count), int(features), dtype
        self.table_weight = weight(table_initializer, table_regularizer, table_constraint)

    def build(self, x: Tensor) -> None:
        self.table = self.table_weight.variable((self.count, self.features), self.dtype)

    def __call__(self, x: TensorLike) -> Tensor:
        return api.take(self.table, integer("Embedding", x), axis=0)

    @called
    def attend(self, x: TensorLike) -> Tensor:
        """x·tableᵀ, how much x is like each row: [..., features] -> [..., count]."""
        return api.matmul(x, api.matrix_transpose(self.table))
