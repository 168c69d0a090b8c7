"""The samples that teach learning reach the figures that they print."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import pytest

from tests.documents import ROOT
from tests.test_samples import SAMPLES, environment, run

__all__ = ["environment"]


def output_of(environment: dict[str, str], sample: str) -> str:
    """What a sample prints."""
    return run(environment, sys.executable, SAMPLES / f"{sample}.py")


def figure(output: str, text: str) -> float:
    """The number that follows a text, the last time it is printed."""
    found = re.findall(re.escape(text) + r" +([-+]?\d[\d.]*(?:e[-+]?\d+)?)", output)
    assert found, f"no {text!r} in\n{output}"
    return float(found[-1])


def test_the_list_of_samples_has_them_all() -> None:
    listed = re.findall(r"\(\.\./samples/(\w+)\.py\)", (ROOT / "docs" / "samples.md").read_text())
    assert sorted(listed) == sorted(p.stem for p in SAMPLES.glob("*.py") if p.stem != "pictures")


def test_basis_functions_find_the_curve_and_the_closed_form(environment: dict[str, str]) -> None:
    output = output_of(environment, "regression")
    assert figure(output, "closed form's weights") < 1e-6
    assert figure(output, "distance from the truth") < 8 < 20 < figure(output, "a straight line's")
    if find_spec("sklearn") is not None:
        assert figure(output, "scikit-learn's predictions") < 1e-6
        assert figure(output, "people not seen") > 0.44


def test_logistic_regression_tells_tumours_apart(environment: dict[str, str]) -> None:
    pytest.importorskip("sklearn")
    output = output_of(environment, "logistic")
    assert figure(output, "AUC over all patients") > 0.99
    assert "worst texture" in output


def test_an_ensemble_knows_where_it_does_not_know(environment: dict[str, str]) -> None:
    output = output_of(environment, "ensemble")
    assert figure(output, "where points are   spread") < 0.08
    assert figure(output, "in the gap         spread") > 0.2
    assert figure(output, "beyond the ends    spread") > 0.2
    mean = float(re.findall(r"where points are .*error of the mean ([\d.]+)", output)[0])
    assert mean < figure(output, "one network's error where points are")


@pytest.mark.slow
def test_dropout_and_early_stopping_keep_a_network_from_learning_noise(environment: dict[str, str]) -> None:
    output = output_of(environment, "dropout")
    rows = re.findall(r"^(.+?)  +([\d.]+)% +([\d.]+)% +([\d.]+)$", output, re.MULTILINE)
    learnt, accuracy, loss = ({name: float(row[i]) for name, *row in rows} for i in range(3))
    plain, dropout, stopped, both = (
        "no dropout",
        "dropout 0.5",
        "no dropout, stopped early",
        "dropout 0.5, stopped early",
    )
    assert learnt[plain] == 100.0
    assert accuracy[dropout] > accuracy[plain] + 1 and min(accuracy[stopped], accuracy[both]) > accuracy[plain] + 2
    assert loss[dropout] < 0.6 * loss[plain] and max(loss[stopped], loss[both]) < 0.5 * loss[plain]


def test_optimizers_find_the_minimum_of_beale(environment: dict[str, str]) -> None:
    output = output_of(environment, "optimizers")
    arrived = dict(re.findall(r"^ +([\w-]+), .* (\d+)$", output, re.MULTILINE))
    assert {"SGD", "Momentum", "Nesterov", "Adam", "Nadam"} <= arrived.keys(), output
    assert int(arrived["Adam"]) < int(arrived["Momentum"]) < int(arrived["SGD"])
    assert "first at the minimum: L-BFGS" in output and int(arrived["L-BFGS"]) < 25


@pytest.mark.slow
def test_batch_normalisation_lets_gradients_through(environment: dict[str, str]) -> None:
    output = output_of(environment, "batch_norm")
    assert figure(output, "without: the gradient at the first layer is") < 1e-3
    assert 0.1 < figure(output, "with: the gradient at the first layer is") < 10
    assert "! the gradient vanishes: at activation" in output
    accuracy = dict(re.findall(r"(with\w*): loss .* test accuracy ([\d.]+)%", output))
    assert float(accuracy["without"]) < 50 and float(accuracy["with"]) > 94


@pytest.mark.slow
def test_a_gru_sees_the_wave_through_the_noise(environment: dict[str, str]) -> None:
    output = output_of(environment, "sine_gru")
    assert figure(output, "the network's answer") < 0.08 < figure(output, "a measurement's error")
    assert figure(output, "on its own, first 20") < 0.09 and figure(output, "on its own, last 20 of 60") < 0.25


@pytest.mark.slow
def test_an_lstm_learns_a_story_and_writes(environment: dict[str, str]) -> None:
    output = output_of(environment, "char_lstm")
    assert figure(output, "next letter guessed") > 88
    assert figure(output, "words of the story") > 90


@pytest.mark.slow
def test_a_transformer_sorts(environment: dict[str, str]) -> None:
    output = output_of(environment, "sort_transformer")
    assert figure(output, "rows sorted") > 97
    row, found = (side.split() for side in output.splitlines()[-1].split("→"))
    assert sorted(row) == found


@pytest.mark.slow
def test_networks_on_tables_are_as_good_as_linear_models(environment: dict[str, str]) -> None:
    pytest.importorskip("sklearn")
    output = output_of(environment, "tabular")
    scores = dict(re.findall(r"^(\w+) +([\d.]+) ±", output, re.MULTILINE))
    assert float(scores["iris"]) > 0.94 and float(scores["wine"]) > 0.96 and float(scores["diabetes"]) > 0.46
    assert figure(output, "wine, test accuracy") > 0.95
    assert "wine.so says the same" in output
