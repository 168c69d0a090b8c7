"""Augmentation against SciPy's resampling and definitions in NumPy, in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage, stats

import graphc as gr
from graphc import augment, errors

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((6, 9, 7, 2))
KINDS: dict[str, Callable[..., Any]] = {
    "affine": lambda x, key: augment.random_affine(x, shift=2.0, rotate=30.0, scale=(0.7, 1.3), shear=0.2, key=key),
    "rotate": lambda x, key: augment.random_rotate(x, 20.0, "edge", key),
    "scale": lambda x, key: augment.random_scale(x, 0.5, 2.0, key=key),
    "shift": lambda x, key: augment.random_shift(x, (2, 3), key=key),
    "flip": lambda x, key: augment.random_flip(x, True, True, key),
    "noise": lambda x, key: augment.random_noise(x, 0.3, key),
    "brightness": lambda x, key: augment.random_brightness(x, 0.3, key),
    "contrast": lambda x, key: augment.random_contrast(x, 0.3, key),
    "cutout": lambda x, key: augment.cutout(x, 4, key=key),
}


def keyed(kind: str) -> Any:
    """One kind as a compiled function of images of any size and a seed."""

    @gr.jit
    def run(x: gr.f32["N", "H", "W", "C"], seed: gr.i64):
        return KINDS[kind](x, gr.random.key(seed))

    return lambda x, seed: run(np.ascontiguousarray(x, np.float32), seed)


def resampled(image: Any, matrix: Any, fill: Any) -> Any:
    """SciPy's: places from the corner, one channel at a time."""
    middle = (np.array(image.shape[:2]) - 1) / 2
    offset = matrix[:, 2] + middle - matrix[:, :2] @ middle
    mode: dict[str, Any] = {"mode": "nearest"} if fill == "edge" else {"mode": "grid-constant", "cval": fill}
    planes = [
        ndimage.affine_transform(image[..., c], matrix[:, :2], offset, order=1, **mode) for c in range(image.shape[2])
    ]
    return np.stack(planes, -1)


@pytest.mark.parametrize("fill", [0.0, 1.5, "edge"])
@pytest.mark.parametrize("channels", [1, 2])
def test_affine_is_scipys(fill: Any, channels: int) -> None:
    x = IMAGES[..., :channels]
    matrices = RNG.uniform(-1.5, 1.5, (6, 2, 3)) + np.float64([[1, 0, 0], [0, 1, 0]])
    expected = np.stack([resampled(image, m, fill) for image, m in zip(x, matrices, strict=True)])

    @gr.jit
    def run(x: gr.f64["N", "H", "W", channels], m: gr.f64["N", 2, 3]):
        return augment.affine(x, m, fill), augment.affine(x.astype(gr.f32), m, fill)

    double, single = run(x, matrices)
    np.testing.assert_allclose(double, expected, atol=1e-12)
    np.testing.assert_allclose(single, expected, atol=3e-5)
    assert single.dtype == np.float32


def test_a_quarter_turn_is_exact() -> None:
    square = np.ascontiguousarray(IMAGES[:, :7], np.float32)
    turn = np.tile(np.float32([[0, 1, 0], [-1, 0, 0]]), (6, 1, 1))
    np.testing.assert_array_equal(gr.jit(augment.affine)(square, turn), np.rot90(square, axes=(1, 2)))


def test_affine_differentiates_in_images_and_matrices() -> None:
    matrices = RNG.uniform(-0.3, 0.3, (2, 2, 3)) + np.float64([[1, 0, 0], [0, 1, 0]])
    for fill in (0.5, "edge"):
        gr.check_grads(lambda x, m, fill=fill: augment.affine(x, m, fill), IMAGES[:2, :4, :3], matrices)


def test_random_affine_is_the_product_of_its_parts() -> None:
    def drawn(seed: Any) -> Any:
        return gr.random.uniform((6, 5), gr.random.key(seed), -1.0, 1.0)

    u = gr.jit(drawn)(5)
    expected = []
    for image, (y, x, angle, zoom, slant) in zip(IMAGES, u.astype(np.float64), strict=True):
        shear = np.array([[1, 0], [0.2 * slant, 1]])
        c, s = np.cos(np.deg2rad(30 * angle)), np.sin(np.deg2rad(30 * angle))
        forward = (1 + 0.3 * zoom) * np.array([[c, -s], [s, c]]) @ shear
        inverse = np.linalg.inv(forward)
        expected.append(resampled(image, np.c_[inverse, -inverse @ (2 * y, 2 * x)], 0.0))
    np.testing.assert_allclose(keyed("affine")(IMAGES, 5), expected, atol=3e-5)


def test_rotation_turns_as_scipys() -> None:
    """A shear, a zoom, a shift of nothing leave the rotation: the angles are the third number drawn."""
    angles = gr.jit(lambda seed: gr.random.uniform((6, 5), gr.random.key(seed), -1.0, 1.0)[:, 2] * 20.0)(1)
    expected = [
        ndimage.rotate(image, float(angle), reshape=False, order=1, mode="nearest")
        for image, angle in zip(IMAGES, angles, strict=True)
    ]
    np.testing.assert_allclose(keyed("rotate")(IMAGES, 1), expected, atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_come_from_the_key_and_the_place(kind: str) -> None:
    run = keyed(kind)
    first = run(IMAGES, 3)
    assert first.shape == IMAGES.shape and first.dtype == np.float32
    np.testing.assert_array_equal(run(IMAGES, 3), first)
    assert (run(IMAGES, 4) != first).any()
    np.testing.assert_array_equal(run(IMAGES[:4], 3), first[:4])
    same = run(np.tile(IMAGES[:1], (40, 1, 1, 1)), 3)
    assert len(np.unique(same.reshape(40, -1), axis=0)) > 1 + (kind != "flip") * 10
    assert run(IMAGES[:0], 3).shape == (0, 9, 7, 2)


def all_of(images: Any, choices: list[Any]) -> None:
    """Each image is one of the choices, and each choice comes about."""
    found = [[np.array_equal(image, choice) for choice in choices] for image in images]
    assert all(map(any, found)) and all(map(any, zip(*found, strict=True)))


def test_shifts_are_whole_and_all_come_about() -> None:
    image = np.float32(IMAGES[0])
    for fill, mode in ((0.0, "constant"), ("edge", "edge")):
        padded = np.pad(image, ((1, 1), (2, 2), (0, 0)), mode=mode)
        choices = [padded[1 - d : 10 - d, 2 - r : 9 - r] for d in (-1, 0, 1) for r in (-2, -1, 0, 1, 2)]

        @gr.jit
        def run(x: gr.f32["N", 9, 7, 2], fill: Any = fill):
            return augment.random_shift(x, (1, 2), fill, gr.random.key(0))

        all_of(run(np.tile(image, (200, 1, 1, 1))), choices)


def test_flips_are_all_four() -> None:
    image = np.float32(IMAGES[0])
    all_of(keyed("flip")(np.tile(image, (60, 1, 1, 1)), 0), [image[::a, ::b] for a in (1, -1) for b in (1, -1)])
    across = gr.jit(lambda x: augment.random_flip(x, key=gr.random.key(0)))(np.tile(image, (60, 1, 1, 1)))
    all_of(across, [image, image[:, ::-1]])


def test_numbers_change_as_they_should() -> None:
    x = np.tile(np.float32(IMAGES[:1]), (2000, 1, 1, 1))
    noise = keyed("noise")(x, 0) - x
    assert abs(noise.mean()) < 0.005 and abs(noise.std() - 0.3) < 0.005
    added = keyed("brightness")(x, 0) - x
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1, :1], x.shape), atol=1e-6)
    assert stats.kstest(added[:, 0, 0, 0] / 0.6 + 0.5, "uniform").pvalue > 0.01
    mean = x.mean((1, 2), keepdims=True)
    factor = (keyed("contrast")(x, 0) - mean) / (x - mean)
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :1, :1], x.shape), atol=1e-3)
    assert stats.kstest((factor[:, 0, 0, 0] - 0.7) / 0.6, "uniform").pvalue > 0.01


def test_cutout_hides_a_square_at_the_edges_less() -> None:
    x = np.ones((500, 9, 7, 2), np.float32)
    hidden = keyed("cutout")(x, 0) == 0
    assert (hidden[..., 0] == hidden[..., 1]).all()
    rows, columns = hidden[..., 0].any(2).sum(1), hidden[..., 0].any(1).sum(1)
    np.testing.assert_array_equal(hidden[..., 0].sum((1, 2)), rows * columns)
    assert set(rows) == {2, 3, 4} == set(columns)


def test_mixup_blends_a_permutation() -> None:
    x, y = np.float32(IMAGES), np.eye(6, dtype=np.float32)
    mixed, targets = gr.jit(lambda x, y: augment.mixup(x, y, 1.0, gr.random.key(2)))(x, y)
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed, np.einsum("ij,jhwc->ihwc", targets, x), atol=1e-6)
    share = np.diag(targets)
    partners = (targets * (1 - np.eye(6)) > 0).argmax(1)[share < 1]
    assert len(np.unique(partners)) == len(partners) > 1
    assert len(np.unique(share)) > 3


@pytest.mark.parametrize("a, b", [(0.2, 0.2), (1.0, 1.0), (0.5, 3.0), (8.0, 2.0)])
def test_gamma_and_beta_have_their_distributions(a: float, b: float) -> None:
    @gr.jit
    def draw(seed: gr.i64):
        key = gr.random.key(seed)
        return gr.random.gamma(a, (20_000,), key, 2.0), gr.random.beta(a, b, (20_000,), key, gr.f64)

    gammas, betas = draw(7)
    assert gammas.dtype == np.float32 and betas.dtype == np.float64
    assert stats.kstest(gammas, stats.gamma(a, scale=2.0).cdf).pvalue > 0.01
    assert stats.kstest(betas, stats.beta(a, b).cdf).pvalue > 0.01


def test_beta_broadcasts_and_rows_keep_their_numbers() -> None:
    def draw(a: Any, b: Any) -> Any:
        return gr.random.beta(a, b, key=gr.random.key(1))

    a, b = np.linspace(0.5, 5, 40, dtype=np.float32), np.float32([[1], [1], [9]])
    values = gr.jit(draw)(a, b)
    assert values.shape == (3, 40) and ((values >= 0) & (values <= 1)).all()
    np.testing.assert_array_equal(gr.jit(draw)(a, b[:2]), values[:2])


def test_an_entry_draws_anew_and_ships(tmp_path: Path) -> None:
    program = gr.Program("shifted")

    @program.entry
    def shift(x: gr.f32["N", 9, 7, 2]):
        mixed, _ = augment.mixup(augment.random_shift(x, 2), x)
        return augment.random_affine(augment.random_shift(x, 2), rotate=9.0) + mixed

    x = np.float32(IMAGES)
    compiled = program.compile()
    first, second = compiled.shift(x), compiled.shift(x)
    assert (first != second).any()
    loaded = gr.load(program.build(tmp_path / "shifted.so"))
    np.testing.assert_array_equal(loaded.shift(x), first)
    np.testing.assert_array_equal(loaded.shift(x), second)


def test_bytes_and_halves_are_images() -> None:
    whole = RNG.integers(0, 255, (2, 4, 4, 1)).astype(np.uint8)
    same = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (2, 1, 1))
    result = gr.jit(augment.affine)(whole, same)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, whole)
    np.testing.assert_array_equal(gr.jit(augment.affine)(whole.astype(np.float16), same), whole.astype(np.float16))


MISTAKES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "three axes": (lambda x: augment.random_shift(x[0], 1), errors.ShapeError, "are not images"),
    "one matrix": (lambda x: augment.affine(x, np.eye(2, 3)), errors.ShapeError, "matrices are"),
    "half a pixel": (lambda x: augment.random_shift(x, 0.5), errors.ArgumentError, "most=0.5"),
    "negative": (lambda x: augment.random_rotate(x, -3.0), errors.ArgumentError, "rotate=-3.0 is not a number"),
    "inverted scale": (lambda x: augment.random_scale(x, 1.1, 0.9), errors.ArgumentError, "scale="),
    "no fill": (lambda x: augment.affine(x, np.zeros((6, 2, 3)), "mirror"), errors.ArgumentError, "mirror"),
    "labels": (lambda x: augment.mixup(x, np.arange(6)), errors.DTypeError, "y i64"),
    "other batch": (lambda x: augment.mixup(x, np.ones((5, 2), np.float32)), errors.ShapeError, "y f32"),
    "no alpha": (lambda x: augment.mixup(x, x, 0.0), errors.ArgumentError, "alpha=0.0"),
    "size": (lambda x: augment.cutout(x, -1), errors.ArgumentError, "size=-1"),
    "no key": (lambda x: augment.random_noise(x), errors.TraceError, "no state"),
    "no such key": (lambda x: augment.random_flip(x, key=3), errors.ArgumentError, "not a key"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_shown_where_they_are(case: str) -> None:
    function, kind, text = MISTAKES[case]
    with pytest.raises(kind, match=text) as caught:
        gr.jit(function)(np.float32(IMAGES))
    assert caught.value.site is not None and caught.value.site.file == __file__


def test_names_of_other_libraries_are_answered() -> None:
    for name, answer in (("RandomRotation", "random_rotate"), ("random_shfit", "random_shift"), ("CutMix", "mixup")):
        with pytest.raises(errors.MissingNameError) as caught:
            getattr(augment, name)
        assert answer in str(caught.value.help)
