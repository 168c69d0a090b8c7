"""What the fast call path shares with Python: C structures."""

from __future__ import annotations

import ctypes


class Cell(ctypes.Structure):
    """A state as the fast path sees it: whether a writer is at work, where it lies, its scratch memory."""

    _fields_ = (
        ("busy", ctypes.c_int64),
        ("state", ctypes.c_int64),
        ("state_end", ctypes.c_int64),
        ("workspace", ctypes.c_int64),
        ("workspace_bytes", ctypes.c_int64),
    )
