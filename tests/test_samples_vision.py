"""The samples about images run as a user would run them, and reach what they promise."""

from __future__ import annotations

import re
import sys

import pytest

from tests.test_samples import SAMPLES, environment, run

__all__ = ["environment"]


def figures(environment: dict[str, str], sample: str, *patterns: str) -> list[float]:
    """The last number in what a sample prints that each pattern, which has one group, finds."""
    output = run(environment, sys.executable, SAMPLES / f"{sample}.py")
    return [float(re.findall(pattern, output)[-1]) for pattern in patterns]


@pytest.mark.slow
def test_augmentation_is_worth_half_a_percent(environment: dict[str, str]) -> None:
    mean = "mean test accuracy ([\\d.]+)%"
    plain, moved = figures(environment, "augmentation", f"as_it_is +{mean}", f"moved +{mean}")
    assert moved >= max(98.7, plain + 0.5)


@pytest.mark.slow
def test_the_generator_covers_the_ring(environment: dict[str, str]) -> None:
    clouds, share = figures(environment, "gan", r"(\d) of 8 clouds", r"([\d.]+)% of the points")
    assert clouds == 8
    assert share >= 85


@pytest.mark.slow
def test_lenet_reads_digits(environment: dict[str, str]) -> None:
    (accuracy,) = figures(environment, "lenet", r"test accuracy ([\d.]+)%")
    assert accuracy >= 98.5


@pytest.mark.slow
def test_eight_numbers_of_the_autoencoder_hold_more_than_eight_components(environment: dict[str, str]) -> None:
    own, linear = figures(environment, "autoencoder", r"error on the test: ([\d.]+)", r"components: +([\d.]+)")
    assert own < 0.55 * linear


@pytest.mark.slow
def test_the_residual_network_tells_textures(environment: dict[str, str]) -> None:
    accuracy = r": test accuracy ([\d.]+)%"
    dense, residual = figures(environment, "textures", f"dense{accuracy}", f"residual{accuracy}")
    assert residual >= max(95, dense + 25)


@pytest.mark.slow
def test_fine_tuning_beats_beginning(environment: dict[str, str]) -> None:
    tuned, begun = figures(environment, "finetune", r"fine-tuned +([\d.]+)%", r"from nothing +([\d.]+)%")
    assert tuned >= begun + 4


@pytest.mark.slow
def test_alexnet_is_as_large_as_it_was_and_learns(environment: dict[str, str]) -> None:
    output = run(environment, sys.executable, SAMPLES / "alexnet.py")
    assert re.search("^total +60,965,224 ", output, re.MULTILINE)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", output)]
    assert losses[-1] < losses[0] - 0.15
