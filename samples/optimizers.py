"""A race of optimizers down Beale's function: flat valleys between steep walls, and a minimum of 0 at (3, ½).

A race is fair if each may choose its rate, so each runs with several, and the one that arrives first counts. Plain
descent must be slow, or the walls throw it out; momentum runs through the bend and comes back; rules that adapt the
rate to each coordinate turn early. L-BFGS guesses the curvature from its own path and gets there in a dozen steps, of a
few looks at the function each; it wants the whole function though, not minibatches of it.

    python samples/optimizers.py
"""

from __future__ import annotations

import numpy as np
from pictures import save

from graphc import inspect, optim

STEPS, RATES = 500, (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

RULES = {
    "SGD": optim.SGD,
    "Momentum": lambda rate: optim.Momentum(rate, 0.9),
    "Nesterov": lambda rate: optim.Nesterov(rate, 0.9),
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    "Adam": optim.Adam,
    "Nadam": optim.Nadam,
    "Lion": optim.Lion,
    "L-BFGS": lambda rate: optim.LBFGS(rate, max_iter=1, max_eval=20),
}


def place(race: inspect.Trajectories, name: str) -> float:
    """What the winner has least of: steps to the minimum; of those who don't arrive, the height in the end."""
    arrival = race.arrival(name)
    return STEPS + np.nan_to_num(race.values(name)[-1], nan=np.inf) if arrival is None else arrival


def main() -> None:
    """Heats for the rates, then the race, from (1, 1.5)."""
    winners = {}
    for name, rule in RULES.items():
        heats = inspect.trajectories({f"{name}, {rate}": rule(rate) for rate in RATES}, "beale", STEPS)
        best = min(RATES, key=lambda rate: place(heats, f"{name}, {rate}"))
        winners[f"{name}, {best}"] = rule(best)
    race = inspect.trajectories(winners, "beale", STEPS)
    print(race)
    first = min(winners, key=lambda name: place(race, name))
    print(f"\nfirst at the minimum: {first}, in {race.arrival(first)} steps")
    save("optimizers.png", race.plot)


if __name__ == "__main__":
    main()
