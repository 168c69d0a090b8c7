"""Integer tensors that name places: what they may be, and the range that arguments among them keep to."""

from __future__ import annotations

from graphc import ops
from graphc.errors import DTypeError
from graphc.frontend.promotion import as_tensor
from graphc.frontend.recording import current, describe
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.dim import Dim, Size
from graphc.ir.node import Input, Node
from graphc.sites import user_site


def integer(name: str, indices: TensorLike) -> Tensor:
    """Indices as a tensor. Raises `DTypeError` unless they are integers."""
    tensor = as_tensor(indices)
    if not tensor.dtype.is_integer:
        raise DTypeError(
            f"{name}: indices are {tensor.dtype}, not integers",
            operands=[describe("indices", tensor.node)],
            site=user_site(),
            help="cast them: indices.astype(gr.i32)",
        )
    return tensor


def expect_range(indices: Tensor, size: Size, negative: bool = False) -> None:
    """Have the entry refuse index arguments outside an axis (which `negative` ones count back from its end)."""
    node = argument(indices.node)
    if isinstance(size, Dim) or node is None:
        return
    least = -size if negative and node.type.dtype.kind == "int" else 0
    ranges = current().ranges
    low, high = ranges.get(node, (least, size - 1))
    ranges[node] = max(low, least), min(high, size - 1)


def argument(node: Node) -> Node | None:
    """The argument of the entry whose elements a node holds unchanged; None where it is computed."""
    while isinstance(node.op, (ops.Reshape, ops.Broadcast, ops.Transpose, ops.Cast)):
        if not node.inputs[0].type.dtype.is_integer:
            return None
        node = node.inputs[0]
    return node if isinstance(node.op, Input) else None
