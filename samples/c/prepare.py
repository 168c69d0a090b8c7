"""Write what samples/c/train_digits.c needs into a folder: digits.so, digits.h, and the images as digits.u8.

python samples/c/prepare.py [folder] [cpu]      folder: build/, cpu: native (or x86-64-v3, for valgrind)

digits.u8 is 1,797 records of 65 bytes: 64 pixels of 0 to 16, then the label.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SAMPLES))

from digits import program  # noqa: E402  (found through the line above)


def prepare(folder: Path, cpu: str):
    """Write the three files. The program is built untrained: `digits_init` draws the parameters from its seed."""
    folder.mkdir(parents=True, exist_ok=True)
    print(program.build(folder / "digits.so", cpu=cpu))
    with np.load(SAMPLES / "data" / "digits.npz") as data:
        records = np.hstack([data["pixels"].reshape(-1, 64), data["labels"][:, None]])
    records.tofile(folder / "digits.u8")
    print(folder / "digits.u8")


if __name__ == "__main__":
    folder, cpu, *_ = [*sys.argv[1:], *[SAMPLES.parent / "build", "native"][len(sys.argv) - 1 :]]
    prepare(Path(folder), str(cpu))
