"""The only reader of the environment. Each function reads at the time of the call, so tests and users may change it."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Where compiled programs are kept: GRAPHC_CACHE, else graphc under XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("GRAPHC_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".cache") / "graphc"


def dump_directory() -> Path | None:
    """GRAPHC_DUMP: where every stage writes its text; None (unset or empty) writes nothing."""
    chosen = os.environ.get("GRAPHC_DUMP")
    return Path(chosen).expanduser() if chosen else None


def verify() -> bool:
    """GRAPHC_VERIFY: whether every stage checks its result (`0` and empty mean no)."""
    return os.environ.get("GRAPHC_VERIFY", "") not in ("", "0")


def skipped_passes() -> frozenset[str]:
    """GRAPHC_SKIP: names of passes to leave out, separated by commas, for bisection."""
    return frozenset(name.strip() for name in os.environ.get("GRAPHC_SKIP", "").split(",") if name.strip())
