"""The samples run as a user would run them, and reach what they promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.documents import ROOT

SAMPLES = ROOT / "samples"
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")

WARNINGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror")


@pytest.fixture(autouse=True, scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cache of the samples' own, empty at first; graphc is found whether it is installed or not."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"GRAPHC_CACHE": str(tmp_path_factory.mktemp("cache")), "PYTHONPATH": path}


def run(environment: dict[str, str], *command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def last_accuracy(output: str) -> float:
    """The last test accuracy printed, in percent."""
    return float(re.findall(r"test accuracy ([\d.]+)%", output)[-1])


def test_digits_trains_checks_and_reloads(environment: dict[str, str], tmp_path: Path) -> None:
    output = run(environment, sys.executable, SAMPLES / "digits.py", tmp_path)
    assert last_accuracy(output) >= 97.0
    assert "predicts the same bits" in output
    for name in ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"):
        assert re.search(rf"^  {name} .*e-\d+ +0$", output, re.MULTILINE), f"no gradients of {name} in\n{output}"
    assert {p.name for p in tmp_path.iterdir()} == {"digits.so", "digits.h"}


def test_digits_train_only_reaches_the_same(environment: dict[str, str]) -> None:
    cold = run(environment, sys.executable, SAMPLES / "digits.py", "--train-only")
    assert last_accuracy(cold) >= 97.0
    assert run(environment, sys.executable, SAMPLES / "digits.py", "--train-only") == cold


def test_a_warm_start_imports_neither_llvmlite_nor_networkx(environment: dict[str, str]) -> None:
    script = (
        "import runpy, sys; sys.argv = ['digits.py', '--train-only']; runpy.run_path(sys.path[0] + '/digits.py', "
        "run_name='__main__'); assert not {'llvmlite', 'networkx'} & sys.modules.keys()"
    )
    script = f"import sys; sys.path.insert(0, {str(SAMPLES)!r}); {script}"
    run(environment, sys.executable, SAMPLES / "digits.py", "--train-only")
    assert last_accuracy(run(environment, sys.executable, "-c", script)) >= 97.0


def test_xor_is_learnt(environment: dict[str, str]) -> None:
    output = run(environment, sys.executable, SAMPLES / "xor.py")
    answers = [float(p) for p in re.findall(r"xor \d = ([\d.]+)", output)]
    assert np.allclose(answers, [0, 1, 1, 0], atol=0.01), output


def test_the_oscillator_obeys_its_equation(environment: dict[str, str]) -> None:
    output = run(environment, sys.executable, SAMPLES / "pinn.py")
    assert float(re.findall(r"largest error ([\d.]+)", output)[-1]) < 0.01, output


def built(environment: dict[str, str], folder: Path, cpu: str) -> Path:
    """train_digits, compiled in a folder."""
    run(environment, sys.executable, SAMPLES / "c" / "prepare.py", folder, cpu)
    program = folder / "train_digits"
    source, library = SAMPLES / "c" / "train_digits.c", folder / "digits.so"
    run(environment, "cc", *WARNINGS, f"-I{folder}", source, library, "-Wl,-rpath,$ORIGIN", "-o", program)
    return program


@needs_cc
def test_c_trains_as_python_does(environment: dict[str, str], tmp_path: Path) -> None:
    program = built(environment, tmp_path, "native")
    output = run(environment, program, tmp_path / "digits.u8")
    python = run(environment, sys.executable, SAMPLES / "digits.py", tmp_path)
    assert output.splitlines() == [line for line in python.splitlines() if line.startswith("epoch")]


@needs_cc
@needs_valgrind
@pytest.mark.parametrize("epochs, accuracy", [(1, 85.0), pytest.param(10, 97.0, marks=pytest.mark.slow)])
def test_c_is_clean_under_valgrind(environment: dict[str, str], tmp_path: Path, epochs: int, accuracy: float) -> None:
    """Built for x86-64-v3: valgrind knows no AVX-512."""
    program = built(environment, tmp_path, "x86-64-v3")
    valgrind = ("valgrind", "-q", "--error-exitcode=9", "--leak-check=full")
    output = run(environment, *valgrind, program, tmp_path / "digits.u8", str(epochs))
    assert last_accuracy(output) >= accuracy


@needs_cc
def test_the_shared_object_needs_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    run(environment, sys.executable, SAMPLES / "c" / "prepare.py", tmp_path)
    if shutil.which("nm") is None or shutil.which("readelf") is None:
        pytest.skip("no binutils")
    assert run(environment, "nm", "-D", "--undefined-only", tmp_path / "digits.so") == ""
    assert "NEEDED" not in run(environment, "readelf", "-d", tmp_path / "digits.so")
