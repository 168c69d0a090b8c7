"""Memory that compiled code works on: aligned, owned by NumPy, one workspace a thread."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from graphc.runtime.signature import ALIGN

Bytes = NDArray[np.uint8]


def aligned_bytes(size: int) -> Bytes:
    """`size` zero bytes that start at a multiple of `ALIGN`."""
    memory = np.zeros(size + ALIGN, np.uint8)
    start = -address_of(memory) % ALIGN
    return memory[start : start + size]


def address_of(array: NDArray[np.generic]) -> int:
    """Where an array's first element lies."""
    return int(array.__array_interface__["data"][0])


class Workspaces(threading.local):
    """Each thread's scratch memory, grown on demand."""

    def __init__(self) -> None:
        self._memory = aligned_bytes(0)

    def at_least(self, size: int) -> tuple[int, int]:
        """The address and the size of this thread's workspace, which has at least `size` bytes, and at least one."""
        if self._memory.size < max(size, 1):
            self._memory = aligned_bytes(max(size, 2 * self._memory.size, 1))
        return address_of(self._memory), self._memory.size
