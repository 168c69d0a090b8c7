"""Records what PyTorch computes, for tests that run without it.

    python tests/vectors/record.py        # with torch 2.13 installed; writes tests/vectors/torch.npz

Everything is float64 unless its name says f32, on inputs drawn from NumPy's generator with seed 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

STEPS = 10

#: Name of the record -> (torch optimizer, its options).
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 1e-3}),
    "adam_large": (torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3}),
}

ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "log_sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "logsumexp": lambda x: torch.logsumexp(x, -1),
}


def optimizer_records(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Parameters after each of ten steps along given gradients."""
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))
    gradients[:, 0, 0] *= 1e-6
    gradients[:, 0, 1] = 0.0
    records = {"optim/start": start, "optim/gradients": gradients}
    for name, (kind, options) in OPTIMIZERS.items():
        for label, dtype in (("", torch.float64), ("_f32", torch.float32)):
            parameter = torch.nn.Parameter(torch.tensor(start, dtype=dtype))
            optimizer = kind([parameter], **options)
            path = []
            for gradient in gradients:
                parameter.grad = torch.tensor(gradient, dtype=dtype)
                optimizer.step()
                path.append(parameter.detach().numpy().copy())
            records[f"optim/{name}{label}"] = np.stack(path)
    return records


def loss_records(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Losses by element, and the gradients of their means with respect to the prediction."""
    prediction = rng.standard_normal((6, 5)) * 3
    target = rng.standard_normal((6, 5))
    labels = rng.integers(0, 5, 6)
    zero_one = rng.uniform(size=(6, 5))
    distribution = zero_one / zero_one.sum(1, keepdims=True)
    prediction[0, :2] = [300.0, -300.0]
    records = {
        "loss/prediction": prediction, "loss/target": target, "loss/labels": labels, "loss/zero_one": zero_one,
        "loss/distribution": distribution,
    }  # fmt: skip
    t = {name.removeprefix("loss/"): torch.tensor(value) for name, value in records.items()}
    losses = {
        "mean_squared_error": lambda x, r: F.mse_loss(x, t["target"], reduction=r),
        "mean_absolute_error": lambda x, r: F.l1_loss(x, t["target"], reduction=r),
        "huber": lambda x, r: F.huber_loss(x, t["target"], delta=0.7, reduction=r),
        "sigmoid_cross_entropy": lambda x, r: F.binary_cross_entropy_with_logits(x, t["zero_one"], reduction=r),
        "softmax_cross_entropy": lambda x, r: F.cross_entropy(x, t["distribution"], reduction=r),
        "sparse_softmax_cross_entropy": lambda x, r: F.cross_entropy(x, t["labels"], reduction=r),
    }
    for name, loss in losses.items():
        x = torch.tensor(prediction, requires_grad=True)
        loss(x, "mean").backward()
        records[f"loss/{name}/mean"] = loss(x, "mean").detach().numpy()
        records[f"loss/{name}/sum"] = loss(x, "sum").detach().numpy()
        records[f"loss/{name}/none"] = loss(x, "none").detach().numpy()
        records[f"loss/{name}/gradient"] = x.grad.numpy()
    return records


def activation_records(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values and the gradients of ⟨weights, values⟩."""
    x = np.concatenate([rng.standard_normal((4, 6)) * 2, [[0.0, -0.5, 30.0, -30.0, 1e-8, 5.5]]])
    records = {"activation/x": x}
    for name, function in ACTIVATIONS.items():
        leaf = torch.tensor(x, requires_grad=True)
        y = function(leaf)
        weights = rng.standard_normal(y.shape)
        (y * torch.tensor(weights)).sum().backward()
        records |= {
            f"activation/{name}": y.detach().numpy(), f"activation/{name}/weights": weights,
            f"activation/{name}/gradient": leaf.grad.numpy(),
        }  # fmt: skip
    return records


def main() -> None:
    rng = np.random.default_rng(0)
    records = optimizer_records(rng) | loss_records(rng) | activation_records(rng)
    np.savez_compressed(Path(__file__).parent / "torch.npz", torch_version=torch.__version__, **records)


if __name__ == "__main__":
    main()
