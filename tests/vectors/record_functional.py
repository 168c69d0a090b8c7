"""Records what PyTorch's functions of networks give, for tests that run without it.

    python tests/vectors/record_functional.py      # with torch 2.13 installed; writes tests/vectors/functional.npz

Everything is float64, on inputs drawn from NumPy's generator with seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ODD = [
    0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 88, -88, 1e4, -1e4, 3, -3, 6, 0.5, -0.5, 1, -1, 0.3, -0.7, 2.3,
    -5.1, -8.0, 12.0, -15.0,
]  # fmt: skip

#: nn's name of a function of one tensor -> PyTorch's.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "celu": F.celu, "elu": F.elu, "gelu": F.gelu, "hard_shrink": F.hardshrink, "hard_sigmoid": F.hardsigmoid,
    "hard_silu": F.hardswish, "hard_tanh": F.hardtanh, "leaky_relu": F.leaky_relu, "log_sigmoid": F.logsigmoid,
    "mish": F.mish, "relu": F.relu, "relu6": F.relu6, "selu": F.selu, "sigmoid": torch.sigmoid, "silu": F.silu,
    "soft_shrink": F.softshrink, "softplus": F.softplus, "softsign": F.softsign, "tanh": torch.tanh,
    "tanh_shrink": F.tanhshrink,
}  # fmt: skip


def channels_last(f: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function of [batch, channels, ...] as one of [batch, ..., channels]."""
    return lambda x, *rest: f(x.movedim(-1, 1), *rest).movedim(1, -1)


#: Name -> (function, shapes of its operands).
FUNCTIONS: dict[str, tuple[Callable[..., torch.Tensor], tuple[tuple[int, ...], ...]]] = {
    "glu": (F.glu, ((3, 6),)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (5,), w, b), ((2, 3, 5), (5,), (5,))),
    "layer_norm_two": (lambda x, w, b: F.layer_norm(x, (3, 5), w, b), ((2, 3, 5), (3, 5), (3, 5))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), ((2, 3, 5), (5,))),
    "batch_norm": (
        channels_last(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)), ((4, 3, 2, 5), (5,), (5,)),
    ),
    "group_norm": (channels_last(lambda x, w, b: F.group_norm(x, 3, w, b)), ((2, 4, 3, 6), (6,), (6,))),
    "instance_norm": (channels_last(F.instance_norm), ((2, 4, 3, 6),)),
    "l2_normalize": (lambda x: F.normalize(x, dim=-1), ((4, 5),)),
    "cosine_similarity": (lambda x, y: F.cosine_similarity(x, y, dim=-1), ((4, 5), (4, 5))),
    "attention": (F.scaled_dot_product_attention, ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))),
    "attention_causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), ((2, 3, 6, 4),) * 3,
    ),
    "attention_mask": (F.scaled_dot_product_attention, ((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6), (2, 1, 5, 7))),
}  # fmt: skip


def activation_records() -> dict[str, np.ndarray]:
    """Values, first and second derivatives at odd places."""
    records = {"odd": np.array(ODD)}
    for name, function in ACTIVATIONS.items():
        x = torch.tensor(ODD, dtype=torch.float64, requires_grad=True)
        y = function(x)
        (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        linear = name == "hard_sigmoid" or not first.requires_grad  # PyTorch does not differentiate hardsigmoid twice
        second = torch.zeros_like(x) if linear else torch.autograd.grad(first.sum(), x)[0]
        records |= {f"{name}/{i}": value.detach().numpy() for i, value in enumerate((y, first, second))}
    return records


def function_records(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Operands, values, and the gradients of ⟨weights, values⟩ with respect to each operand."""
    records = {}
    for name, (function, shapes) in FUNCTIONS.items():
        operands = [torch.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
        y = function(*operands)
        weights = rng.standard_normal(y.shape)
        (y * torch.tensor(weights)).sum().backward()
        records |= {f"{name}/value": y.detach().numpy(), f"{name}/weights": weights}
        for i, operand in enumerate(operands):
            records |= {f"{name}/x{i}": operand.detach().numpy(), f"{name}/gradient{i}": operand.grad.numpy()}
    return records


def main() -> None:
    records = activation_records() | function_records(np.random.default_rng(0))
    path = Path(__file__).parent / "functional.npz"
    np.savez_compressed(path, torch_version=torch.__version__, **records)


if __name__ == "__main__":
    main()
