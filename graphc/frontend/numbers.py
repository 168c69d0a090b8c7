"""What is a number among the settings that users give: Python's and NumPy's are, booleans are not."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a real number, and finite."""
    if isinstance(value, (float, np.floating)):
        return math.isfinite(value)
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_within(value: Any, low: float, high: float) -> TypeGuard[float]:
    """Whether a value is a number from `low` to `high`, both included."""
    return is_number(value) and bool(low <= value <= high)


def is_count(value: Any, least: int) -> TypeGuard[int]:
    """Whether a value is a whole number of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)
