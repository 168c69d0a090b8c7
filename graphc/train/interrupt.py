"""Ctrl-C that waits for compiled code."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """While it is entered, the first SIGINT sets `raised`; the second raises `KeyboardInterrupt` where it comes.

    Outside the main thread, and where the process has a handler of its own, it does nothing.
    """

    def __init__(self) -> None:
        self.raised = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        self._installed = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.raised:
            signal.default_int_handler(number, frame)
        self.raised = True
