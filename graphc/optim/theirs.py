"""What optimizers of other libraries take and do, and how that is said here: the answers to those who try it."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.suggest import nearest

RATE = 'compiled.state["adam/learning_rate"], which can be written between steps'

#: Keyword arguments of constructors.
ARGUMENTS = {
    "lr": "give learning_rate=",
    "params": "leave it out: minimize(loss) finds the parameters, and minimize(loss, params) takes them",
    "betas": "give beta1= and beta2=",
    "beta_1": "give beta1=",
    "beta_2": "give beta2=",
    "alpha": "give rho=",
    "momentum": "optim.Momentum(learning_rate, momentum)",
    "nesterov": "optim.Nesterov(learning_rate, momentum)",
    "clipnorm": "give clip_norm=",
    "clipvalue": "give clip_value=",
    "global_clipnorm": "give clip_global_norm=",
    "max_grad_norm": "give clip_global_norm=",
    "gradient_accumulation_steps": "give accumulate=",
    "use_ema": "optim.EMA(net)",
    "ema_momentum": "optim.EMA(net, decay=0.99)",
    "decay": "a schedule as the learning rate, such as optim.InverseTimeDecay, or weight_decay=",
    "lr_decay": "a schedule as the learning rate, such as optim.InverseTimeDecay",
    "maximize": "minimize(-objective)",
}

#: Methods and attributes.
ATTRIBUTES = {
    "zero_grad": "leave it out: gradients are values, which nothing collects",
    **dict.fromkeys(("lr", "learning_rate"), RATE),
    "param_groups": f"groups=[optim.Group(…)] when it is made; {RATE}",
    "add_param_group": "groups=[optim.Group(…)] when it is made",
    **dict.fromkeys(
        ("state_dict", "variables", "get_config"), "slots and counters are in compiled.state, with the parameters"
    ),
    "apply": "optimizer.minimize(loss), or apply_gradients of pairs (gradient, Variable)",
    "update": "optimizer.minimize(loss), or apply_gradients of pairs (gradient, Variable)",
    "init": "nothing: slots are made in the first step",
}


def advice(name: str, names: Sequence[str]) -> str:
    """What to do instead of giving an optimizer an argument of some name."""
    near = nearest(name, names)
    return ARGUMENTS.get(name) or (f"did you mean {near}=?" if near else f"it takes {', '.join(names)}")
