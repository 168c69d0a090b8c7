"""Optimizers, written in the DSL: what a user could write with `gr.gradients` and `.assign`."""

from graphc.optim.adam import Adam, AdaMax, AdamW, AMSGrad, Lion, Nadam
from graphc.optim.adaptive import Adadelta, Adagrad, RMSprop
from graphc.optim.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from graphc.optim.ema import EMA
from graphc.optim.groups import Group
from graphc.optim.lbfgs import LBFGS
from graphc.optim.optimizer import Optimizer
from graphc.optim.plateau import Plateau
from graphc.optim.schedules import (
    CosineDecay,
    CosineRestarts,
    Cyclical,
    ExponentialDecay,
    InverseTimeDecay,
    NaturalExpDecay,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
    Warmup,
    schedule,
)
from graphc.optim.sgd import SGD, Momentum, Nesterov
from graphc.suggest import refusing

__all__ = [
    "EMA", "LBFGS", "SGD", "AMSGrad", "AdaMax", "Adadelta", "Adagrad", "Adam", "AdamW", "CosineDecay",
    "CosineRestarts", "Cyclical", "ExponentialDecay", "Group", "InverseTimeDecay", "Lion", "Momentum", "Nadam",
    "NaturalExpDecay", "Nesterov", "OneCycle", "Optimizer", "PiecewiseConstant", "Plateau", "PolynomialDecay",
    "RMSprop", "Schedule", "StepDecay", "Warmup", "clip_by_global_norm", "clip_by_norm", "clip_by_value",
    "global_norm", "schedule",
]  # fmt: skip

#: Names of other libraries.
ALTERNATIVES = {
    "NAdam": "optim.Nadam",
    **dict.fromkeys(("AveragedModel", "ExponentialMovingAverage", "SWA"), "optim.EMA(net, decay=0.999)"),
    "ReduceLROnPlateau": "optim.Plateau(rate)",
    **dict.fromkeys(("MultiStepLR", "PiecewiseConstantDecay"), "optim.PiecewiseConstant(boundaries, values)"),
    **dict.fromkeys(("CosineAnnealingLR", "cosine_decay_schedule"), "optim.CosineDecay(initial, decay_steps)"),
    **dict.fromkeys(("CosineAnnealingWarmRestarts", "CosineDecayRestarts"), "optim.CosineRestarts"),
    "StepLR": "optim.StepDecay",
    "ExponentialLR": "optim.ExponentialDecay(initial, 1, decay_rate)",
    "OneCycleLR": "optim.OneCycle",
    "CyclicLR": "optim.Cyclical",
    "LinearLR": "optim.Warmup(schedule, steps)",
    **dict.fromkeys(("clip_grad_norm_", "clip_grad_norm"), "clip_global_norm= of the optimizer"),
    "lr_scheduler": "schedules are in optim itself: optim.Adam(optim.CosineDecay(1e-3, 10_000))",
}

__getattr__ = refusing("optim", __all__, ALTERNATIVES)
