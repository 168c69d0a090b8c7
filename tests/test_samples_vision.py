"""The samples about images run as a user would run them, and reach what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Runs samples, with a folder for their pictures."""
    return Sample(tmp_path)


class Sample:
    """Runs a sample in a process of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, name: str) -> str:
        """What it prints. It succeeds, and draws its picture."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(ROOT / "samples" / f"{name}.py"), str(self.folder)]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (self.folder / f"{name}.png").stat().st_size > 1000
        return done.stdout


def figures(output: str, pattern: str) -> list[float]:
    """The numbers that a pattern with one group finds."""
    return [float(number) for number in re.findall(pattern, output)]


@pytest.mark.slow
def test_augmentation_is_worth_a_percent(sample: Sample) -> None:
    plain, augmented = figures(sample("augmentation"), r"mean test accuracy ([\d.]+)%")
    assert augmented >= max(98.7, plain + 0.5)


@pytest.mark.slow
def test_the_generator_covers_the_ring(sample: Sample) -> None:
    output = sample("gan")
    assert figures(output, r"(\d) of 8 clouds")[-1] == 8
    assert figures(output, r"([\d.]+)% of the points")[-1] >= 85
