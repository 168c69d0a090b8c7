"""Write digits.npz from the copy of the UCI file that scikit-learn carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

bunch = load_digits()
pixels, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
assert (pixels == bunch.images).all(), "the file holds small whole numbers"
np.savez_compressed(Path(__file__).with_name("digits.npz"), pixels=pixels, labels=labels)
