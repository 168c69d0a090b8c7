"""What the samples share to draw: a picture goes to build/, if matplotlib is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parent.parent / "build"


def save(name: str, write: Callable[[Path], object]) -> None:
    """Have `write(path)` make the picture build/name."""
    if find_spec("matplotlib") is None:
        print("no picture without matplotlib: pip install 'graphc[samples]'")
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    write(BUILD / name)
    print(f"picture: build/{name}")


def draw(
    name: str, paint: Callable[..., None], columns: int = 1, width: float = 5.0, height: float = 4.0, rows: int = 1,
    **options: Any,
) -> None:  # fmt: skip
    """Have `paint(axes, …)` draw on as many axes as there are columns and rows, of a size each; write build/name."""

    def write(path: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        size = width * columns, height * rows
        figure, axes = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)
        paint(*axes.flat)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)

    save(name, write)


def draw_images(name: str, rows: dict[str, Sequence[Any]], width: float = 0.9) -> None:
    """Rows of images, grey [H, W] (1 is black) or coloured [H, W, 3], all in 0..1, with the row's name beside them."""
    columns = max(map(len, rows.values()))

    def paint(*axes: Any) -> None:
        for place, (title, images) in enumerate(rows.items()):
            row = axes[place * columns : (place + 1) * columns]
            row[0].set_ylabel(title, rotation=0, ha="right", va="center")
            for spot, image in zip(row, images, strict=False):
                spot.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            for spot in row:
                spot.set(xticks=[], yticks=[], frame_on=False)

    draw(name, paint, columns, width, width, len(rows))
