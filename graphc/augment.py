"""Augmentation in compiled code: images [N, H, W, C] in, images of the same shape out, each changed in its own way.

    @program.entry
    def train_step(x: gr.f32["N", 28, 28, 1], y: gr.i32["N"]):
        x = augment.random_affine(x, shift=2.0, rotate=10.0, scale=(0.9, 1.1))
        loss = losses.sparse_softmax_cross_entropy(net(augment.random_noise(x, 0.05), training=True), y)

`random_shift random_rotate random_scale random_flip` move pixels, `random_affine` does several of these and resamples
once; `random_brightness random_contrast random_noise cutout` change them; `mixup` blends examples and their targets.
`affine` is what those that resample are made of. Integers become f32; floats keep their dtype, and are not clipped.

Images that come in from outside the frame are `fill`: a number, 0 by default, or "edge" for the nearest pixel.

`key=None` draws from the state's counter: other numbers in each call of an entry, the same ones again from the same
seed. With `key=gr.random.key(seed)` a call is a function of its arguments. What image i is given depends on the key and
on i, not on how many images there are (in `mixup` it does: who is blended with whom is a permutation of the batch).

Raises `ShapeError` for what is not [N, H, W, C], `ArgumentError` for an extent that is none, `TraceError` where numbers
are drawn without a key in `gr.jit`.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from graphc.errors import ArgumentError, DTypeError, ShapeError
from graphc.frontend import api, random
from graphc.frontend.composite import composite
from graphc.frontend.numbers import is_count, is_number, is_within
from graphc.frontend.promotion import as_tensor, cast
from graphc.frontend.random import Key
from graphc.frontend.recording import describe
from graphc.frontend.reductions import as_float
from graphc.frontend.size import SymbolicSize
from graphc.frontend.tensor import Tensor, TensorLike
from graphc.ir.types import DType, i64
from graphc.sites import user_site
from graphc.suggest import refusing

__all__ = [
    "affine", "cutout", "mixup", "random_affine", "random_brightness", "random_contrast", "random_flip", "random_noise",
    "random_rotate", "random_scale", "random_shift",
]  # fmt: skip

#: What is outside of an image: a number, or its nearest pixel.
Fill: TypeAlias = float | Literal["edge"]


@composite
def affine(images: TensorLike, matrices: TensorLike, fill: Fill = 0.0) -> Tensor:
    """Resample, bilinearly: the pixel at (y, x) of an image's result is what is at M·(y, x, 1) in the image.

    images [N, H, W, C], matrices [N, 2, 3]; places are in pixels, rows first, from the middle of the image. So
    [[1, 0, 3], [0, 1, 0]] moves the image up by 3. Differentiable in both arguments (Jaderberg et al., "Spatial
    transformer networks", 2015).
    """
    x, m = expect_images("affine", images), as_float(matrices)
    if m.type.shape != (x.type.shape[0], 2, 3):
        raise ShapeError(
            f"affine: matrices are {m.type}, images {x.type}",
            operands=[describe("images", x.node), describe("matrices", m.node)],
            site=user_site(),
            help="there is one matrix [2, 3] for each image",
        )
    _, height, width, _ = x.shape
    top, left = middle(height, x.dtype), middle(width, x.dtype)
    y, z = along(height, 1).astype(x.dtype) - top, along(width, 2).astype(x.dtype) - left
    m = cast(m, x.dtype)[:, :, :, None, None]
    rows = m[:, 0, 0] * y + m[:, 0, 1] * z + (m[:, 0, 2] + top)
    columns = m[:, 1, 0] * y + m[:, 1, 1] * z + (m[:, 1, 2] + left)
    return bilinear(x, rows, columns, fill)


@composite
def random_affine(
    images: TensorLike, *, shift: float = 0.0, rotate: float = 0.0, scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0, fill: Fill = 0.0, key: Key | None = None,
) -> Tensor:  # fmt: skip
    """Shear, zoom, rotate and shift each image, in this order and about its middle, and resample once.

    Uniform: shifts between −`shift` and `shift` pixels along each axis, angles between −`rotate` and `rotate` degrees,
    zooms between the two of `scale`, shears between −`shear` and `shear` (pixels to the right for each pixel down).

        x = augment.random_affine(x, shift=2.0, rotate=10.0, scale=(0.9, 1.1))
    """
    x = expect_images("random_affine", images)
    expect_extents("random_affine", shift=shift, rotate=rotate, shear=shear)
    low, high = expect_zooms("random_affine", scale)
    drawn = random.uniform((x.shape[0], 5), key, -1.0, 1.0, x.dtype)
    angle = drawn[:, 2] * math.radians(rotate)
    zoom = drawn[:, 3] * (0.5 * (high - low)) + 0.5 * (low + high)
    slant = drawn[:, 4] * shear
    c, s = api.cos(angle) / zoom, api.sin(angle) / zoom
    # A result's place back to the image's: less the shift, by rotation and zoom's inverse, then the shear's.
    linear = api.stack([c, s, -slant * c - s, c - slant * s], axis=-1)
    linear = api.reshape(linear, (-1, 2, 2))
    offset = -api.matmul(linear, drawn[:, :2, None] * shift)
    return affine(x, api.concat([linear, offset], axis=2), fill)


@composite
def random_rotate(images: TensorLike, degrees: float, fill: Fill = 0.0, key: Key | None = None) -> Tensor:
    """Each image rotated about its middle by an angle between −`degrees` and `degrees`, bilinearly."""
    return random_affine(images, rotate=degrees, fill=fill, key=key)


@composite
def random_scale(images: TensorLike, low: float, high: float, fill: Fill = 0.0, key: Key | None = None) -> Tensor:
    """Each image magnified about its middle by a factor between `low` and `high`, bilinearly."""
    return random_affine(images, scale=(low, high), fill=fill, key=key)


@composite
def random_shift(images: TensorLike, most: int | tuple[int, int], fill: Fill = 0.0, key: Key | None = None) -> Tensor:
    """Each image shifted by whole pixels, between −`most` and `most` along each axis (or by one extent for each)."""
    x = expect_images("random_shift", images)
    extents = most if isinstance(most, tuple) else (most, most)
    if len(extents) != 2 or not all(is_count(e, 0) for e in extents):
        raise ArgumentError(
            f"random_shift: most={most!r}", site=user_site(), help="whole pixels; random_affine(shift=) takes fractions"
        )
    count, height, width, _ = x.shape
    keys = random.split(random.chosen(key))
    down, right = (random.randint(-e, e + 1, (count, 1, 1), k) for e, k in zip(extents, keys, strict=True))
    return pixels(x, along(height, 1) - down, along(width, 2) - right, fill)


@composite
def random_flip(images: TensorLike, horizontal: bool = True, vertical: bool = False, key: Key | None = None) -> Tensor:
    """Each image mirrored or not, with even odds for each direction that is asked for."""
    x = expect_images("random_flip", images)
    keys = random.split(random.chosen(key))
    for wanted, axis, k in zip((vertical, horizontal), (1, 2), keys, strict=True):
        if wanted:
            x = api.where(random.bernoulli(0.5, (x.shape[0], 1, 1, 1), k), api.flip(x, axis), x)
    return x


@composite
def random_noise(images: TensorLike, stddev: float = 0.1, key: Key | None = None) -> Tensor:
    """Normal noise added to each number."""
    x = expect_images("random_noise", images)
    expect_extents("random_noise", stddev=stddev)
    return x + random.normal(x.shape, key, 0.0, stddev, x.dtype)


@composite
def random_brightness(images: TensorLike, most: float = 0.2, key: Key | None = None) -> Tensor:
    """A number between −`most` and `most` added to each image."""
    x = expect_images("random_brightness", images)
    expect_extents("random_brightness", most=most)
    return x + random.uniform((x.shape[0], 1, 1, 1), key, -most, most, x.dtype)


@composite
def random_contrast(images: TensorLike, most: float = 0.2, key: Key | None = None) -> Tensor:
    """Each image's distance from its channels' means multiplied by a factor between 1 − `most` and 1 + `most`."""
    x = expect_images("random_contrast", images)
    expect_extents("random_contrast", most=most)
    mean = api.mean(x, (1, 2), keepdims=True)
    return mean + random.uniform((x.shape[0], 1, 1, 1), key, 1.0 - most, 1.0 + most, x.dtype) * (x - mean)


@composite
def cutout(images: TensorLike, size: int, fill: float = 0.0, key: Key | None = None) -> Tensor:
    """A square of `size` pixels in each image replaced, its middle anywhere (DeVries and Taylor, 2017)."""
    x = expect_images("cutout", images)
    if not is_count(size, 0):
        raise ArgumentError(f"cutout: size={size!r} is not a number of pixels", site=user_site())
    count, height, width, _ = x.shape
    keys = random.split(random.chosen(key))
    rows, columns = (
        api.floor(random.uniform((count, 1, 1), k) * length).astype(i64) - size // 2
        for length, k in zip((height, width), keys, strict=True)
    )
    y, z = along(height, 1), along(width, 2)
    hidden = (rows <= y) & (y < rows + size) & (columns <= z) & (z < columns + size)
    return api.where(hidden[..., None], fill, x)


@composite
def mixup(x: TensorLike, y: TensorLike, alpha: float = 0.2, key: Key | None = None) -> tuple[Tensor, Tensor]:
    """λx + (1 − λ)x′ and λy + (1 − λ)y′, where (x′, y′) is another example of the batch, and λ is Beta(α, α).

    x [N, ...] and y [N, ...] are floats, such as images and `gr.one_hot(labels, classes)`. λ is drawn for each
    example. Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", 2018.

        x, target = augment.mixup(x, gr.one_hot(y, 10), alpha=0.4)
        loss = losses.softmax_cross_entropy(net(x, training=True), target)

    Raises `DTypeError` for integers, `ShapeError` unless there are as many targets as inputs.
    """
    inputs, targets = as_tensor(x), as_tensor(y)
    if not is_number(alpha) or alpha <= 0.0:
        raise ArgumentError(f"mixup: alpha={alpha!r} is no positive number", site=user_site())
    if not (inputs.dtype.is_float and targets.dtype.is_float):
        raise DTypeError(
            f"mixup: x is {inputs.type}, y {targets.type}",
            operands=[describe("x", inputs.node), describe("y", targets.node)],
            site=user_site(),
            help="labels as distributions can be blended: gr.one_hot(y, classes)",
        )
    if not (inputs.ndim and targets.ndim and inputs.type.shape[0] == targets.type.shape[0]):
        raise ShapeError(
            f"mixup: x is {inputs.type}, y {targets.type}",
            operands=[describe("x", inputs.node), describe("y", targets.node)],
            site=user_site(),
            help="both are batches of as many examples",
        )
    first, second = random.split(random.chosen(key))
    share = random.beta(alpha, alpha, (inputs.shape[0],), first)
    other = random.permutation(inputs.shape[0], key=second)
    return blend(inputs, other, share), blend(targets, other, share)


def blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """λ of each example and 1 − λ of another."""
    part = api.reshape(share.astype(x.dtype), (-1, *[1] * (x.ndim - 1)))
    return part * x + (1.0 - part) * api.take(x, other, axis=0)


def bilinear(x: Tensor, rows: Tensor, columns: Tensor, fill: Fill) -> Tensor:
    """Images at fractional places [N, H, W]: of the four pixels around, each by how near it is."""
    top, left = api.floor(rows), api.floor(columns)
    down, right = rows - top, columns - left
    row, column = top.astype(i64), left.astype(i64)
    upper = (1.0 - right)[..., None] * pixels(x, row, column, fill)
    upper = upper + right[..., None] * pixels(x, row, column + 1, fill)
    lower = (1.0 - right)[..., None] * pixels(x, row + 1, column, fill)
    lower = lower + right[..., None] * pixels(x, row + 1, column + 1, fill)
    return (1.0 - down)[..., None] * upper + down[..., None] * lower


def pixels(x: Tensor, rows: Tensor, columns: Tensor, fill: Fill) -> Tensor:
    """Images [N, H, W, C] at whole places, i64 that broadcast to [N, H, W]."""
    count, height, width, channels = x.shape
    row, column = api.clip(rows, 0, height - 1), api.clip(columns, 0, width - 1)
    first = api.reshape(api.arange(count, dtype=i64), (-1, 1, 1)) * (height * width)
    place = first + row * width + column
    # A gather of whole pixels; of numbers where a pixel is one, which vectorises over pixels.
    if x.type.shape[3] == 1:
        read = api.take(api.reshape(x, (-1,)), place)[..., None]
    else:
        read = api.take(api.reshape(x, (count * height * width, channels)), place, axis=0)
    if fill == "edge":
        return read
    if isinstance(fill, str):
        raise ArgumentError(f"fill={fill!r}", site=user_site(), help='a number, or "edge"')
    inside = (rows == row) & (columns == column)
    return api.where(inside[..., None], read, fill)


def along(size: int | SymbolicSize, axis: int) -> Tensor:
    """The places of pixels along an axis of [N, H, W], i64."""
    return api.reshape(api.arange(size, dtype=i64), (1, -1, 1) if axis == 1 else (1, 1, -1))


def middle(size: int | SymbolicSize, dtype: DType) -> Tensor:
    """Where the middle of an axis is, in pixels."""
    return (as_tensor(size).astype(dtype) - 1.0) * 0.5


def expect_images(name: str, images: TensorLike) -> Tensor:
    """Images as floats. Raises `ShapeError` unless they have four axes."""
    x = as_float(images)
    if x.ndim != 4:
        raise ShapeError(
            f"{name}: {x.type} are not images",
            operands=[describe("images", x.node)],
            site=user_site(),
            help="they are [batch, height, width, channels]: x[..., None] gives grey ones their channel",
        )
    return x


def expect_extents(name: str, **extents: float) -> None:
    """Raise `ArgumentError` unless all are at least 0."""
    for option, value in extents.items():
        if not is_within(value, 0.0, math.inf):
            message = f"{name}: {option}={value!r} is not a number of at least 0"
            raise ArgumentError(message, site=user_site(), help="how far, either way")


def expect_zooms(name: str, scale: object) -> tuple[float, float]:
    """The least and the largest factor. Raises `ArgumentError` unless these are two, above 0 and in order."""
    if isinstance(scale, (tuple, list)) and len(scale) == 2:
        low, high = scale
        if is_number(high) and is_within(low, 0.0, high) and low > 0.0:
            return low, high
    help = "the least and the largest zoom: (0.9, 1.1)"
    raise ArgumentError(f"{name}: scale={scale!r}", site=user_site(), help=help)


#: Names of other libraries, and what does their work here.
ALTERNATIVES = {
    **dict.fromkeys(("RandomTranslation", "translate", "random_translation"), "augment.random_shift"),
    **dict.fromkeys(("RandomRotation", "rotate", "random_rotation"), "augment.random_rotate"),
    **dict.fromkeys(("RandomZoom", "random_zoom", "zoom"), "augment.random_scale"),
    **dict.fromkeys(("RandomAffine", "RandomShear", "random_shear", "RandomPerspective"), "augment.random_affine"),
    **dict.fromkeys(("RandomCrop", "random_crop"), "augment.random_shift, which keeps the size"),
    **dict.fromkeys(("RandomFlip", "RandomHorizontalFlip", "RandomVerticalFlip", "flip"), "augment.random_flip"),
    **dict.fromkeys(("GaussianNoise", "gaussian_noise", "noise"), "augment.random_noise"),
    **dict.fromkeys(("RandomBrightness", "ColorJitter", "brightness"), "augment.random_brightness"),
    **dict.fromkeys(("RandomContrast", "contrast"), "augment.random_contrast"),
    **dict.fromkeys(("RandomErasing", "random_erasing", "CutOut"), "augment.cutout"),
    **dict.fromkeys(("MixUp", "CutMix", "cutmix"), "augment.mixup"),
    **dict.fromkeys(("grid_sample", "affine_grid", "affine_transform", "warp_affine"), "augment.affine(x, matrices)"),
    **dict.fromkeys(("Compose", "compose"), "call one function on what the other gives"),
}

__getattr__ = refusing("augment", __all__, ALTERNATIVES)
