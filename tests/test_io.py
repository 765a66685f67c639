"""Files <-> floats: exact round trips, clear errors for damaged files, atomic writing."""

import numpy as np
import pytest
from PIL import Image

from p3mlib import io

RNG = np.random.default_rng(0)


def picture(height=13, width=17):
    return RNG.random((height, width, 3)).astype(np.float32)


def test_png_keeps_every_8_bit_value(tmp_path):
    ramp = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
    io.write_image(tmp_path / "ramp.png", ramp)
    assert np.array_equal(io.read_matte(tmp_path / "ramp.png"), ramp)
    image = io.read_image(tmp_path / "ramp.png")
    assert image.shape == (16, 16, 3) and image.dtype == np.float32 and np.array_equal(image[..., 1], ramp)


def test_colours_keep_their_order_and_place(tmp_path):
    image = np.zeros((4, 6, 3), np.float32)
    image[1, 2] = (1, 0.2, 0.4)
    io.write_image(tmp_path / "new" / "folder" / "a.png", image)
    assert np.allclose(io.read_image(tmp_path / "new" / "folder" / "a.png")[1, 2], (1, 0.2, 0.4), atol=1e-6)


def test_jpeg_is_close_and_full_chroma(tmp_path):
    image = np.zeros((16, 16, 3), np.float32)
    image[:, ::2] = (1, 0, 0)
    image[:, 1::2] = (0, 0, 1)  # chroma subsampling would mix these columns
    io.write_image(tmp_path / "a.jpg", image)
    assert np.abs(io.read_image(tmp_path / "a.jpg") - image).max() < 0.1


def test_masks_and_trimaps(tmp_path):
    mask = RNG.random((9, 11)) > 0.5
    io.write_image(tmp_path / "mask.png", mask)
    assert np.array_equal(io.read_mask(tmp_path / "mask.png"), mask) and io.read_mask(tmp_path / "mask.png").dtype == bool
    trimap = RNG.choice([0, 0.5, 1], (9, 11)).astype(np.float32)
    io.write_image(tmp_path / "trimap.png", trimap)
    assert np.array_equal(np.unique(np.asarray(Image.open(tmp_path / "trimap.png"))), [0, 128, 255])
    assert np.array_equal(io.read_trimap(tmp_path / "trimap.png"), trimap)


def test_sixteen_bit_matte(tmp_path):
    Image.fromarray(np.array([[0, 65535, 32768]], np.uint16)).save(tmp_path / "deep.png")
    assert np.allclose(io.read_matte(tmp_path / "deep.png"), [[0, 1, 32768 / 65535]])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_any_colour_mode_reads_as_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(io.to_uint8(picture())).convert(mode).save(path)
    assert io.read_image(path).shape == (13, 17, 3)


def test_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert io.read_image(tmp_path / "turned.jpg").shape == (20, 10, 3)
    assert io.image_size(tmp_path / "turned.jpg") == (20, 10)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    io.write_image(path, picture(64, 64))
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"not an image"):
        path.write_bytes(damage)
        with pytest.raises(io.DamagedFile, match=rf"a\{suffix}: damaged or not an image"):
            io.read_image(path)


def test_a_file_that_is_not_there():
    for read in (io.read_image, io.read_matte, io.image_size):
        with pytest.raises(FileNotFoundError, match="nowhere.png: no such file"):
            read("nowhere.png")


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), io.atomic_path(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("a.png", np.full((2, 2), 255.0), r"span \[255, 255\], expected floats in \[0, 1\]"),
        ("a.png", np.full((2, 2), np.nan), "expected floats"),
        ("a.gif", np.zeros((2, 2)), "can write .png and .jpg, not '.gif'"),
        ("a.jpg", np.zeros((2, 2, 4)), r"\(H, W, 3\), not \(2, 2, 4\)"),
        ("a.png", np.zeros((1, 2, 2)), r"\(H, W, 3 or 4\), not \(1, 2, 2\)"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, array, message):
    with pytest.raises(ValueError, match=message):
        io.write_image(tmp_path / name, array)
    assert not list(tmp_path.iterdir())


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path):
    for name in ("m" * 251 + ".png", "あ" * 83 + ".png"):
        io.write_image(tmp_path / name, np.ones((3, 3)))
        assert io.read_matte(tmp_path / name).all()
    io.write_text(tmp_path / ("a." + "b" * 200), "text")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_note_is_the_only_metadata(tmp_path):
    io.write_image(tmp_path / "a.png", np.ones((3, 3)), note="of these weights")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info == {"Software": "of these weights"}
    with pytest.raises(ValueError, match="only a PNG takes a note"):
        io.write_image(tmp_path / "a.jpg", np.ones((3, 3)), note="x")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left"), "a.jpg: No space left (free some space and run this again; what is finished is kept)"),
        (PermissionError(13, "Permission denied", "out/.x.partial.png"), "a.jpg: Permission denied in out"),
        (PermissionError(13, "Permission denied", "a.jpg"), "a.jpg: Permission denied"),
        (MemoryError(), "a.jpg: not enough memory for it; reduce it, or use a machine with more"),
        (RuntimeError("can't allocate memory: 9"), "a.jpg: not enough memory for it; reduce it, or use a machine with more"),
        (io.DamagedFile("a.jpg: damaged"), "a.jpg: damaged"),
        (KeyError("x"), "a.jpg: KeyError: 'x'"),
        (ValueError(""), "a.jpg: ValueError: "),
        (ValueError("two\nlines"), "a.jpg: two lines"),
        (ValueError("b\udcfc"), "a.jpg: b\\udcfc"),
    ],
)  # fmt: skip
def test_the_reason_of_one_item_is_one_printable_line(error, text):
    assert io.reason(error, "a.jpg") == text.strip()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", range(1, 9))
def test_grey_tiffs_are_turned_as_their_exif_says(tmp_path, dtype, turn):
    """Pillow maps uncompressed ones at the turned size, which scrambled them."""
    values = np.arange(15, dtype=dtype).reshape(3, 5) * (np.iinfo(dtype).max // 15)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(values).save(tmp_path / "a.tif", exif=exif)
    turned = {1: values, 2: values[:, ::-1], 3: values[::-1, ::-1], 4: values[::-1]}
    turned |= {5: values.T, 6: values[::-1].T, 7: values[::-1, ::-1].T, 8: values[:, ::-1].T}
    picture = io.open_picture(tmp_path / "a.tif")
    assert np.array_equal(np.asarray(picture), turned[turn]) and io.image_size(tmp_path / "a.tif") == turned[turn].shape
