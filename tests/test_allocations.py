"""Python calls with `out=` allocate nothing: an interposed malloc counts. (The files have no outside symbol.)"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT

INTERPOSER = r"""
#include <stddef.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static long count;
long allocations(void) { return count; }
void *malloc(size_t n) { count++; return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { count++; return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { count++; return __libc_realloc(p, n); }
"""

#: Counts what 1,000 calls of each kind allocate; the least of several counts, since Python has business of its own.
MEASURE = """
import ctypes, itertools, sys
import numpy as np
from tests.programs import classifier, data

allocations = ctypes.CDLL(None).allocations
allocations.restype = ctypes.c_long
program = classifier().compile()
x, y = data(32)
out, loss = np.empty((32, 10), np.float32), {"loss": np.empty((), np.float32)}
predict, step = program.predict, program.train_step

def calls(n):
    before = allocations()
    for _ in itertools.repeat(None, n):
        predict(x, out=out)
        step(x, y, out=loss)
    return allocations() - before

calls(100)
print(min(calls(1000) for _ in range(5)))
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
def test_python_calls_into_given_arrays_allocate_nothing(tmp_path: Path) -> None:
    source, library = tmp_path / "count.c", tmp_path / "count.so"
    source.write_text(INTERPOSER)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", source, "-o", library], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 0
