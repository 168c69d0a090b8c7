"""Records ten steps of each optimizer, and the rates of each schedule, in PyTorch, Keras and Optax.

    KERAS_BACKEND=jax python tests/vectors/record_optimizers.py    # with torch 2.13, keras 3, jax and optax installed

Writes tests/vectors/optimizers.npz. Everything is float64, on inputs drawn from NumPy's generator with seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import torch

jax.config.update("jax_enable_x64", True)
keras.backend.set_floatx("float64")
torch.set_default_dtype(torch.float64)

STEPS = 10
RATES = 40  # steps at which schedules are recorded

TORCH: dict[str, tuple[Any, dict[str, Any]]] = {
    "default_SGD": (torch.optim.SGD, {}),
    "default_Momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "default_Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "default_Adagrad": (torch.optim.Adagrad, {}),
    "default_Adadelta": (torch.optim.Adadelta, {}),
    "default_RMSprop": (torch.optim.RMSprop, {}),
    "default_Adam": (torch.optim.Adam, {}),
    "default_AMSGrad": (torch.optim.Adam, {"amsgrad": True}),
    "default_AdamW": (torch.optim.AdamW, {}),
    "default_AdaMax": (torch.optim.Adamax, {}),
    "default_Nadam": (torch.optim.NAdam, {}),
    "sgd_decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "momentum_decay": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    "adagrad_weight_decay": (torch.optim.Adagrad, {"weight_decay": 0.1}),
    "adadelta_decay": (torch.optim.Adadelta, {"weight_decay": 0.1}),
    "rmsprop_decay": (torch.optim.RMSprop, {"weight_decay": 0.1}),
    "rmsprop_centered_plain": (torch.optim.RMSprop, {"centered": True}),
    "adamw_amsgrad": (torch.optim.AdamW, {"amsgrad": True, "weight_decay": 0.2, "lr": 0.05}),
    "adamax_decay": (torch.optim.Adamax, {"weight_decay": 0.1}),
    "nadam_decay": (torch.optim.NAdam, {"weight_decay": 0.1}),
    "nadam_decoupled": (torch.optim.NAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "momentum_damped": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "adagrad_decay": (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.2}),
    "rmsprop_momentum": (torch.optim.RMSprop, {"momentum": 0.9}),
    "rmsprop_centered": (torch.optim.RMSprop, {"centered": True, "momentum": 0.5, "alpha": 0.9}),
    "adam_decay": (torch.optim.Adam, {"weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, {"amsgrad": True, "lr": 0.1, "betas": (0.5, 0.6)}),
}

CLIPPED: dict[str, Callable[[Any], Any]] = {
    "sgd_clip_norm": lambda p: torch.nn.utils.clip_grad_norm_([p], 0.5),
    "sgd_clip_value": lambda p: torch.nn.utils.clip_grad_value_([p], 0.5),
}

KERAS: dict[str, Callable[[], Any]] = {
    "default_SGD": lambda: keras.optimizers.SGD(),
    "default_Momentum": lambda: keras.optimizers.SGD(momentum=0.9),
    "default_Nesterov": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
    "default_Adagrad": lambda: keras.optimizers.Adagrad(),
    "default_Adadelta": lambda: keras.optimizers.Adadelta(),
    "default_RMSprop": lambda: keras.optimizers.RMSprop(),
    "default_Adam": lambda: keras.optimizers.Adam(),
    "default_AMSGrad": lambda: keras.optimizers.Adam(amsgrad=True),
    "default_AdamW": lambda: keras.optimizers.AdamW(),
    "default_AdaMax": lambda: keras.optimizers.Adamax(),
    "default_Nadam": lambda: keras.optimizers.Nadam(),
    "default_Lion": lambda: keras.optimizers.Lion(),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.8, nesterov=True),
    "sgd_decay": lambda: keras.optimizers.SGD(0.1, weight_decay=0.05),
    "adagrad_decay": lambda: keras.optimizers.Adagrad(weight_decay=0.1),
    "adadelta_decay": lambda: keras.optimizers.Adadelta(weight_decay=0.1),
    "rmsprop_decay": lambda: keras.optimizers.RMSprop(weight_decay=0.1),
    "rmsprop_centered_plain": lambda: keras.optimizers.RMSprop(centered=True),
    "rmsprop_momentum": lambda: keras.optimizers.RMSprop(momentum=0.9),
    "rmsprop_centered": lambda: keras.optimizers.RMSprop(centered=True, momentum=0.5),
    "adam_decay": lambda: keras.optimizers.Adam(weight_decay=0.1),
    "amsgrad": lambda: keras.optimizers.Adam(0.1, beta_1=0.5, beta_2=0.6, amsgrad=True),
    "adamax_decay": lambda: keras.optimizers.Adamax(weight_decay=0.1),
    "nadam_decay": lambda: keras.optimizers.Nadam(weight_decay=0.1),
    "lion_decay": lambda: keras.optimizers.Lion(weight_decay=0.1),
    "adam_global_clipnorm": lambda: keras.optimizers.Adam(0.1, global_clipnorm=0.5),
    "adam_clipnorm": lambda: keras.optimizers.Adam(0.1, clipnorm=0.5),
    "sgd_clipvalue": lambda: keras.optimizers.SGD(0.1, clipvalue=0.5),
    "sgd_accumulate": lambda: keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3),
}

OPTAX: dict[str, Callable[[], Any]] = {
    "default_SGD": lambda: optax.sgd(1e-3),
    "default_Momentum": lambda: optax.sgd(1e-3, momentum=0.9),
    "default_Nesterov": lambda: optax.sgd(1e-3, momentum=0.9, nesterov=True),
    "default_Adagrad": lambda: optax.adagrad(1e-3),
    "default_Adadelta": lambda: optax.adadelta(1.0),
    "default_RMSprop": lambda: optax.rmsprop(1e-3),
    "default_Adam": lambda: optax.adam(1e-3),
    "default_AMSGrad": lambda: optax.amsgrad(1e-3),
    "default_AdamW": lambda: optax.adamw(1e-3),
    "default_AdaMax": lambda: optax.adamax(2e-3),
    "default_Nadam": lambda: optax.nadam(1e-3),
    "default_Lion": lambda: optax.lion(1e-4),
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.8, nesterov=True),
    "rmsprop_centered_plain": lambda: optax.rmsprop(1e-3, centered=True),
    "rmsprop_momentum": lambda: optax.rmsprop(1e-3, momentum=0.9),
    "rmsprop_centered": lambda: optax.rmsprop(1e-3, centered=True, momentum=0.5),
    "adam_decay": lambda: optax.chain(optax.add_decayed_weights(0.1), optax.adam(1e-3)),
    "adamw_decay": lambda: optax.adamw(0.05, weight_decay=0.2),
    "nadamw": lambda: optax.nadamw(0.05, weight_decay=0.2),
    "amsgrad": lambda: optax.amsgrad(0.1, b1=0.5, b2=0.6),
    "lion": lambda: optax.lion(1e-4, weight_decay=0.1),
    "sgd_clip_value": lambda: optax.chain(optax.clip(0.5), optax.sgd(0.1)),
    "sgd_clip_norm": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)),
    "sgd_global_norm": lambda: optax.chain(optax.clip_by_global_norm(1.5), optax.sgd(0.1)),
    "sgd_accumulate": lambda: optax.MultiSteps(optax.sgd(0.1, momentum=0.9), 3),
}

decay = keras.optimizers.schedules
SCHEDULES: dict[str, Callable[[int], Any]] = {
    "exponential": decay.ExponentialDecay(0.1, 7, 0.5),
    "exponential_staircase": decay.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    "inverse_time": decay.InverseTimeDecay(0.1, 7, 0.5),
    "inverse_time_staircase": decay.InverseTimeDecay(0.1, 7, 0.5, staircase=True),
    "natural_exp": lambda t: 0.1 * np.exp(-0.5 * t / 7),
    "polynomial": decay.PolynomialDecay(0.1, 15, 0.01, power=2.0),
    "polynomial_cycle": decay.PolynomialDecay(0.1, 15, 0.01, power=0.5, cycle=True),
    "cosine": decay.CosineDecay(0.1, 15, alpha=0.1),
    "cosine_warmup": decay.CosineDecay(0.01, 15, alpha=0.1, warmup_target=0.1, warmup_steps=6),
    "cosine_restarts": decay.CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.8, alpha=0.05),
    "cosine_restarts_equal": decay.CosineDecayRestarts(0.1, 5, t_mul=1.0, m_mul=0.8),
    "piecewise": optax.piecewise_constant_schedule(0.1, {10: 0.5, 25: 0.1}),
    "cosine_optax": optax.cosine_decay_schedule(0.1, 15, alpha=0.1),
    "polynomial_optax": optax.polynomial_schedule(0.1, 0.01, 2.0, 15),
    "exponential_optax": optax.exponential_decay(0.1, 7, 0.5),
    "warmup": optax.warmup_exponential_decay_schedule(0.01, 0.1, 6, 7, 0.5),
    "warmup_constant": optax.warmup_constant_schedule(0.01, 0.1, 6),
}


def torch_rates() -> dict[str, np.ndarray]:
    """Schedules that PyTorch has: the rate at each step of a scheduler."""
    kinds = {
        "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=RATES, cycle_momentum=False),
        "triangular": lambda o: cyclic(o, "triangular", 1.0),
        "triangular2": lambda o: cyclic(o, "triangular2", 1.0),
        "exp_range": lambda o: cyclic(o, "exp_range", 0.95),
        "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.5),
        "piecewise_torch": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 25], 0.5),
        "exponential_torch": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        "restarts_torch": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.01),
        "restarts_equal_torch": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 1),
        "polynomial_torch": lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 15, 2.0),
    }
    rates = {}
    for name, kind in kinds.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler, path = kind(optimizer), []
        for _ in range(RATES):
            path.append(scheduler.get_last_lr()[0])
            optimizer.step()
            if len(path) < RATES:
                scheduler.step()
        rates[f"schedule/{name}"] = np.float64(path)
    return rates


def cyclic(optimizer: Any, mode: str, gamma: float) -> Any:
    """PyTorch's cyclical schedule."""
    return torch.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 6, mode=mode, gamma=gamma, cycle_momentum=False)


def plateau_rates(losses: np.ndarray, **options: Any) -> np.ndarray:
    """The rates of PyTorch's `ReduceLROnPlateau` after each loss."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler, path = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, **options), []
    for loss in losses:
        scheduler.step(loss)
        path.append(optimizer.param_groups[0]["lr"])
    return np.float64(path)


def torch_path(
    kind: Any, options: dict[str, Any], start: np.ndarray, gradients: np.ndarray, clip: Any = lambda p: None
) -> np.ndarray:
    """The parameter after each step."""
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer, path = kind([parameter], **options), []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        clip(parameter)
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.stack(path)


def keras_path(make: Callable[[], Any], start: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The parameter after each step."""
    variable, optimizer, path = keras.Variable(start, dtype="float64"), make(), []
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([jnp.asarray(gradient)])
        path.append(np.asarray(variable.value))
    return np.stack(path)


def optax_path(make: Callable[[], Any], start: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The parameter after each step."""
    optimizer, parameter, path = make(), jnp.asarray(start), []
    state = optimizer.init(parameter)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient), state, parameter)
        parameter = optax.apply_updates(parameter, updates)
        path.append(np.asarray(parameter))
    return np.stack(path)


def main() -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((STEPS, 3, 4))
    gradients[:, 0, 0] *= 1e-6
    gradients[:, 0, 1] = 0.0
    losses = np.abs(rng.standard_normal(30)) + np.linspace(3, 0.5, 30).clip(1.0)
    records = {"start": start, "gradients": gradients, "losses": losses}
    records["schedule/plateau"] = plateau_rates(losses, patience=3)
    records["schedule/plateau_max"] = plateau_rates(
        -losses, patience=1, mode="max", cooldown=2, threshold=0.1, min_lr=0.002
    )
    records |= {f"torch/{n}": torch_path(*case, start, gradients) for n, case in TORCH.items()}
    sgd = torch.optim.SGD, {"lr": 0.1}
    records |= {f"torch/{n}": torch_path(*sgd, start, gradients, clip) for n, clip in CLIPPED.items()}
    records |= {f"keras/{n}": keras_path(make, start, gradients) for n, make in KERAS.items()}
    records |= {f"optax/{n}": optax_path(make, start, gradients) for n, make in OPTAX.items()}
    records |= {f"schedule/{n}": np.float64([float(f(t)) for t in range(RATES)]) for n, f in SCHEDULES.items()}
    versions = {"torch": torch.__version__, "keras": keras.__version__, "optax": optax.__version__}
    path = Path(__file__).parent / "optimizers.npz"
    np.savez_compressed(path, versions=np.array(str(versions)), **records, **torch_rates())


if __name__ == "__main__":
    main()
