"""Mattes, trimaps and masks: what a value means, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from p3mlib import io

Y, X = np.mgrid[:40, :50]
DISC = np.hypot(X - 20, Y - 18) < 12
RAMP = np.clip((14 - np.hypot(X - 20, Y - 18)) / 6, 0, 1)
GREY = np.rint(RAMP * 255).astype(np.uint8)


def palette(colours, index=DISC):
    picture = Image.frombytes("P", index.shape[::-1], index.astype(np.uint8).tobytes())
    picture.putpalette(colours)
    return picture


def saved(path, content, **options):
    (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path, **options)
    return path


MATTES = {
    "8 bit": ("a.png", GREY), "RGB that is grey": ("a.png", np.dstack([GREY] * 3)),
    "opaque RGBA": ("a.png", np.dstack([GREY] * 3 + [0 * GREY + 255])),
    "16 bit": ("a.png", (RAMP * 65535).astype(np.uint16)), "16 bit TIFF": ("a.tif", (RAMP * 65535).astype(np.uint16)),
    "32 bit TIFF": ("a.tif", np.floor(RAMP * (2**31 - 1)).astype(np.int32)), "float TIFF": ("a.tif", RAMP.astype(np.float32)),
    "grey palette": ("a.png", Image.fromarray(GREY).convert("P")), "rounding": ("a.tif", (RAMP * 1.0002).astype(np.float32)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MATTES)
def test_a_matte_is_scaled_by_its_own_type(tmp_path, kind):
    matte = io.read_matte(saved(tmp_path / MATTES[kind][0], MATTES[kind][1]))
    assert matte.dtype == np.float32 and np.abs(matte - RAMP).max() < 0.0021 and matte.max() <= 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", np.dstack([0 * GREY] * 3 + [GREY]), "is RGBA with an alpha channel that is not opaque; expected a grey file"),
        ("a.png", np.dstack([0 * GREY + 255, GREY]), "is LA with an alpha channel"),
        ("a.png", np.dstack([GREY] * 3 + [0 * GREY]), "is RGBA with an alpha channel"),
        ("a.png", palette([0, 0, 0, 128, 0, 0]), "is P and shows colours"),
        ("a.png", np.dstack([GREY, 0 * GREY, GREY]), r"is RGB and shows colours \(channels up to 255 apart\)"),
        ("a.png", (GREY > 128).astype(np.uint8), "its highest value is 1: 0/1 instead of 0/255; expected 0 to 255"),
        ("a.png", 2 * (GREY > 128).astype(np.uint8), "its highest value is 2: 0/2 instead of 0/255"),
        ("a.png", GREY.astype(np.uint16), r"its highest value is 255: values of fewer bits than the file has \(65535\)"),
        ("a.tif", GREY.astype(np.int32), r"its highest value is 255: values of fewer bits than the file has \(2147483647\)"),
        ("a.tif", GREY.astype(np.float32), r"its numbers span \[0, 255\], expected \[0, 1\]"),
        ("a.tif", np.full((4, 4), np.nan, np.float32), r"its numbers span \[nan, nan\]"),
    ],
)
def test_a_matte_of_another_coding_is_refused(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=rf"{name}: {message}"):
        io.read_matte(saved(tmp_path / name, content))


def test_a_faint_matte_of_our_own_can_be_read(tmp_path):
    io.write_image(tmp_path / "a.png", RAMP / 255)
    assert io.read_matte(tmp_path / "a.png", checked=False).max() == np.float32(1 / 255)
    with pytest.raises(io.WrongCoding):
        io.read_matte(tmp_path / "a.png")


def test_trimaps_of_every_depth(tmp_path):
    labels = np.where(RAMP == 0, 0, np.where(RAMP == 1, 2, 1))
    for name, codes in {
        "a.png": np.array([0, 128, 255], np.uint8), "b.png": np.array([0, 127, 255], np.uint8),
        "c.png": np.array([0, 32768, 65535], np.uint16), "d.png": np.array([0, 32896, 65535], np.uint16),
        "e.tif": np.array([0, 0.5, 1], np.float32),
    }.items():  # fmt: skip
        assert np.array_equal(io.read_trimap(saved(tmp_path / name, codes[labels])), labels / 2), name


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([0, 1, 2], "its highest value is 2: 0/2 instead of 0/255; expected 0, 128 and 255"),
        ([0, 1, 1], "its highest value is 1: 0/1 instead of 0/255"),
        ([0, 100, 255], "a trimap has 0, 128 and 255 only .*, this one also 100"),
        ([3, 128, 253], "a trimap has 0, 128 and 255 only .*, this one also 3, 253"),
    ],
)
def test_a_trimap_of_another_code_is_refused(tmp_path, codes, message):
    labels = np.where(RAMP == 0, 0, np.where(RAMP == 1, 2, 1))
    with pytest.raises(io.WrongCoding, match=rf"a\.png: {message}"):
        io.read_trimap(saved(tmp_path / "a.png", np.array(codes, np.uint8)[labels]))


M = DISC.astype(np.uint8)
MASKS = {
    "0/255": 255 * M, "0/1": M, "grey 100": 100 * M, "one bit": Image.fromarray(255 * M).convert("1"),
    "16 bit 0/1": M.astype(np.uint16), "16 bit": 65535 * M.astype(np.uint16), "VOC palette": palette([0, 0, 0, 128, 0, 0]),
    "two labels": palette([0, 0, 0, 128, 0, 0, 0, 128, 0], M + (M & (X > 20))), "labels 0 to 2": M + (M & (X > 20)),
    "palette white first": palette([255, 255, 255, 0, 0, 0], 1 - M), "red": np.dstack([200 * M, 0 * M, 0 * M]),
    "drawn in black, RGBA": np.dstack([0 * M] * 3 + [255 * M]), "drawn in white, RGBA": np.dstack([0 * M + 255] * 3 + [255 * M]),
    "LA": np.dstack([0 * M, 255 * M]), "opaque RGBA": np.dstack([255 * M] * 3 + [0 * M + 255]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKS)
def test_whatever_a_tool_writes_as_inside_counts(tmp_path, kind):
    mask = io.read_mask(saved(tmp_path / "a.png", MASKS[kind]))
    assert mask.dtype == bool and np.array_equal(mask, DISC)


def test_floats_jpegs_and_soft_edges(tmp_path):
    assert np.array_equal(io.read_mask(saved(tmp_path / "a.tif", DISC.astype(np.float32))), DISC)
    for name, content, quality in (
        ("a.jpg", 255 * M, 60),
        ("b.jpg", 255 * M, 95),
        ("c.webp", 255 * M, 60),
        ("soft.png", GREY, 95),
    ):
        mask = io.read_mask(saved(tmp_path / name, content, quality=quality))
        inner, outer = (np.hypot(X - 20, Y - 18) < radius for radius in (11, 15))
        assert mask[inner].all() and not mask[~outer].any(), name
    assert io.read_mask(saved(tmp_path / "all.png", 0 * M + 255)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (0 * M, r"the mask is empty \(0 everywhere\)"),
        (palette([0, 0, 0, 0, 0, 0]), "the mask is empty"),
        (np.dstack([0 * M] * 3 + [0 * M]), "the mask is empty"),
        (M + 1, r"has no black \(its values: 1, 2\), so what is outside is not clear"),
        (palette([255, 255, 255, 255, 0, 0]), r"has no black \(its values: #ff0000, #ffffff\)"),
        (np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8), "colours and looks like a photograph"),
        (np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8), "shades between black and its highest value 255"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, content, message):
    with pytest.raises(io.WrongCoding, match=rf"a\.png: .*{message}"):
        io.read_mask(saved(tmp_path / "a.png", content))


def test_masks_of_data_sets_are_255_and_may_be_empty(tmp_path):
    assert not io.read_mask(saved(tmp_path / "a.png", 0 * M), released=True).any()
    assert np.array_equal(io.read_mask(saved(tmp_path / "a.png", GREY), released=True), GREY >= 128)
    for content, message in (
        (M, "0/1 instead of 0/255"),
        (MASKS["VOC palette"], "is P and shows colours"),
        (MASKS["LA"], "is LA with"),
    ):
        with pytest.raises(io.WrongCoding, match=message):
            io.read_mask(saved(tmp_path / "a.png", content), released=True)


def test_a_mask_is_turned_by_its_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(io.read_mask(saved(tmp_path / "a.png", 255 * M, exif=exif)), np.rot90(DISC, -1))
