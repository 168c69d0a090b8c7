"""Which entries can run over minibatches, and the state that shuffling them keeps."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.dim import Dim, Size
from graphc.ir.types import TensorType, i64

#: The Variable that counts the epochs shuffled with `shuffle=True`: (name, type, trainable); it starts at 0.
EPOCH_COUNTER = ("graphc/epoch", TensorType(i64), False)


def runs_epochs(inputs: Sequence[TensorType], outputs: Sequence[TensorType], batch: str | None) -> bool:
    """Whether rows can be cut from the inputs along the batch dimension, and the outputs averaged over batches.

    The batch must be the whole first size of some inputs and appear nowhere else; outputs must be floats.
    """
    first = [t.shape[0] for t in inputs if depends(t.shape[:1], batch)]
    later = [size for t in inputs for size in t.shape[1:]]
    return (
        bool(first)
        and all(isinstance(size, Dim) and size.text == batch for size in first)
        and not depends(later, batch)
        and all(t.dtype.is_float and not depends(t.shape, batch) for t in outputs)
    )


def depends(sizes: Sequence[Size], symbol: str | None) -> bool:
    """Whether any of the sizes changes with the symbol."""
    return any(isinstance(s, Dim) and any(f.name == symbol for f in s.symbols) for s in sizes)
