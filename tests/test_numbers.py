"""Numbers among settings: what counts as one, and that whatever does not is refused at the user's line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphc as gr
from graphc import augment, errors, inspect, metrics, nn, optim
from graphc.frontend.numbers import is_count, is_number, is_within

IMAGES = np.zeros((2, 4, 4, 1), np.float32)


def test_pythons_and_numpys_numbers_are_numbers() -> None:
    assert all(is_number(x) for x in (0, 1.5, 1e300, np.float32(2), np.int64(3)))
    assert not any(is_number(x) for x in (True, np.True_, math.nan, math.inf, np.float32("nan"), "1", None, 1j))
    assert is_within(np.float32(1), 0, 1) and not is_within(1.1, 0, 1) and not is_within("a", 0, 1)
    assert is_count(np.int64(2), 2) and not any(is_count(x, 2) for x in (1, 2.0, True, "2", None))


def on_images(augmented: Callable[[Any], Any]) -> Callable[[], Any]:
    """An augmentation of some images, to be called."""
    return lambda: gr.jit(augmented)(IMAGES)


MISTAKES: dict[str, Callable[[], Any]] = {
    "LayerNorm: eps='a' is not a number": lambda: nn.LayerNorm(eps="a"),  # type: ignore[arg-type]
    "Confusion: classes=-1 is not": lambda: metrics.Confusion(-1),
    "TopK: k=2.5 is not": lambda: metrics.TopK(2.5),  # type: ignore[arg-type]
    "AUC: 10 bins from a to 1.0": lambda: metrics.AUC(10, low="a"),  # type: ignore[arg-type]
    "top_k_accuracy: k=0 is not": lambda: gr.jit(lambda x: metrics.top_k_accuracy(x, x[..., 0], 0))(IMAGES),
    "OneCycle: pct=1.5": lambda: optim.OneCycle(1.0, 10, pct=1.5),
    "OneCycle: div=0.0": lambda: optim.OneCycle(1.0, 10, div=0.0),
    "CosineRestarts: t_mul=0.5": lambda: optim.CosineRestarts(1.0, 10, t_mul=0.5),
    "Adam: accumulate=1.5 is not a positive integer": lambda: optim.Adam(0.1, accumulate=1.5),  # type: ignore[arg-type]
    "LBFGS: max_iter='a' is no count": lambda: optim.LBFGS(max_iter="a"),  # type: ignore[arg-type]
    "random_affine: shift='a' is not": on_images(lambda x: augment.random_affine(x, shift="a")),  # type: ignore[arg-type]
    "random_affine: scale=1.1": on_images(lambda x: augment.random_affine(x, scale=1.1)),  # type: ignore[arg-type]
    "random_affine: scale=(1, 'a')": on_images(lambda x: augment.random_affine(x, scale=(1, "a"))),  # type: ignore[arg-type]
    "mixup: alpha='a' is no": on_images(lambda x: augment.mixup(x, x, alpha="a")),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("message", MISTAKES)
def test_what_is_no_number_is_refused_at_the_users_line(message: str) -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        MISTAKES[message]()
    assert message in caught.value.message
    assert caught.value.site is not None and caught.value.site.file.endswith(Path(__file__).name)


def test_numpys_numbers_are_settings() -> None:
    optim.Adam(np.float32(0.1), beta1=np.float32(0.8), accumulate=np.int64(2))
    optim.LBFGS(max_iter=np.int64(3), history_size=np.int64(2))
    metrics.AUC(np.int64(5))
    on_images(lambda x: augment.random_shift(x, np.int64(1), key=gr.random.key(0)))()


def test_a_nan_is_among_no_top_predictions() -> None:
    scores = np.float32([[math.nan] * 3, [1, math.nan, 0], [1, 0, 2]])
    found = gr.jit(lambda x, y: metrics.top_k_accuracy(x, y, 2))(scores, np.int32([0, 1, 0]))
    assert found == np.float32(1 / 3)


@pytest.mark.parametrize("steps, pct", [(10, 0.1), (10, 0.0), (3, 0.3), (1, 0.5), (10, 1.0)])
def test_one_cycle_has_a_rate_at_every_step_however_short_the_rise(steps: int, pct: float) -> None:
    rates = gr.jit(optim.OneCycle(1.0, steps, pct=pct))(np.arange(steps + 2, dtype=np.float64))
    assert np.isfinite(rates).all() and (rates > 0).all() and (rates <= 1).all()
    if pct * steps == 1:
        assert rates[0] == 1


def test_who_starts_at_the_minimum_has_arrived_at_step_0() -> None:
    race = inspect.trajectories([optim.SGD(0.01)], "ravine", steps=2, start=(0.0, 0.0))
    assert race.arrival("SGD") == 0
    assert str(race).splitlines()[-1].split()[-1] == "0"
