"""`tiles`: the weights of a first layer as little pictures side by side."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from graphc.errors import ArgumentError, ShapeError
from graphc.ir.node import Array
from graphc.sites import user_site
from graphc.suggest import answering
from graphc.train.plots import new_figure, written


@answering()
def tiles(
    kernel: Array,
    image: Sequence[int] | None = None,
    columns: int | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Array:
    """A kernel as one picture of a tile for each unit, f32[rows, columns] or [rows, columns, 3], in 0 … 1.

    A Dense kernel [inputs, units] wants `image`, the shape of what the layer sees: (height, width) or (height, width,
    3). A convolution's [height, width, channels, filters] has tiles in colour for 3 channels; for other numbers one
    for each channel and filter. Each tile is scaled by its largest weight: 0.5 is a weight of 0. `columns` tiles stand
    in a row, by default as many as make a square. With `path` the picture is written too, which needs matplotlib.
    Raises `ShapeError` where a kernel is neither, or does not fit the image.

        inspect.tiles(digits.state["dense/kernel"], (8, 8), path="weights.png")
    """
    pictures = tiles_of(np.asarray(kernel, np.float32), image)
    count, height, width = pictures.shape[:3]
    across = columns if columns is not None else math.ceil(math.sqrt(count))
    if across < 1:
        raise ArgumentError(f"tiles: columns={columns}", site=user_site(), help="give at least 1")
    down = math.ceil(count / across)
    largest = np.abs(pictures).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * pictures / np.where(largest > 0, largest, 1)
    sheet = np.ones((down * (height + 1) - 1, across * (width + 1) - 1, pictures.shape[3]), np.float32)
    for i, tile in enumerate(scaled):
        top, left = i // across * (height + 1), i % across * (width + 1)
        sheet[top : top + height, left : left + width] = tile
    montage = sheet if sheet.shape[2] == 3 else sheet[:, :, 0]
    if path is not None:
        draw(montage, path)
    return montage


def tiles_of(kernel: Array, image: Sequence[int] | None) -> Array:
    """The tiles, [number, height, width, 1 or 3]."""
    if kernel.ndim == 2 and image is not None:
        shape = tuple(image) if len(image) == 3 else (*image, 1)
        if math.prod(shape) == kernel.shape[0] and shape[2:] in ((1,), (3,)):
            return kernel.T.reshape(-1, *shape)
    if kernel.ndim == 4:
        height, width, channels, filters = kernel.shape
        by_filter = kernel.transpose(3, 0, 1, 2)
        if channels == 3:
            return by_filter
        return by_filter.transpose(3, 0, 1, 2).reshape(channels * filters, height, width, 1)
    raise ShapeError(
        f"tiles: no pictures in a kernel of shape {kernel.shape}" + (f" for images {tuple(image)}" if image else ""),
        site=user_site(),
        help="give [height, width, channels, filters], or [inputs, units] and image=(height, width) of as many inputs",
    )


def draw(montage: Array, path: str | os.PathLike[str]) -> None:
    """The picture, grey or coloured, each weight a square."""
    height, width = montage.shape[:2]
    picture = new_figure(6.0, 6.0 * height / width)
    axes = picture.subplots()
    axes.imshow(montage, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    written(picture, path)
