"""Optimizers, written in the DSL: what a user could write with `gr.gradients` and `.assign`."""

from graphc.optim.adam import Adam
from graphc.optim.optimizer import Optimizer
from graphc.optim.sgd import SGD, Momentum

__all__ = ["SGD", "Adam", "Momentum", "Optimizer"]
