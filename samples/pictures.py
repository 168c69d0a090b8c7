"""What the samples share to draw: a picture goes to build/, if matplotlib is there."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parent.parent / "build"


def draw(name: str, paint: Callable[..., None], columns: int = 1, width: float = 5.0, **options: Any) -> None:
    """Have `paint(axes, …)` draw on as many axes as there are columns, and write build/name."""
    if find_spec("matplotlib") is None:
        print("no picture without matplotlib: pip install 'graphc[samples]'")
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(width * columns, 4), layout="constrained", **options)
    paint(*([axes] if columns == 1 else axes))
    BUILD.mkdir(parents=True, exist_ok=True)
    figure.savefig(BUILD / name, dpi=120)
    pyplot.close(figure)
    print(f"picture: build/{name}")
