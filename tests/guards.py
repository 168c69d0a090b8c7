"""Memory that stops the process when code touches a byte beside it: allocations between two guard pages."""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass, field

import numpy as np

from graphc.ir.node import Array

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class GuardedMemory:
    """Gives out bytes that lie flush with a guard page: at their end, or (`at_start`) at their start.

    The other side of an allocation is guarded too, within a page of it. Memory is freed with the object.
    """

    at_start: bool = False
    _maps: list[mmap.mmap] = field(default_factory=list)

    def __call__(self, size: int) -> Array:
        """`size` bytes, filled with a pattern; their start is aligned as far as `size` is, or to a page."""
        pages = -(-size // PAGE)
        area = mmap.mmap(-1, (pages + 2) * PAGE)
        self._maps.append(area)
        base = ctypes.addressof(ctypes.c_char.from_buffer(area))
        for guard in (base, base + (pages + 1) * PAGE):
            if LIBC.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = PAGE if self.at_start else (pages + 1) * PAGE - size
        given: Array = np.ndarray((size,), np.uint8, area, offset)  # a slice would lose the place where it is empty
        given[:] = 0xA5
        return given
