"""A photograph is read as a viewer shows it, whatever its file holds."""

import io as streams

import numpy as np
import odd
import pytest
from PIL import Image

from p3mlib import io
from p3mlib.io import pictures

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_all_kinds_of_file(tmp_path, name, orientation):
    corner = np.zeros((24, 40, 3), np.uint8)
    corner[:8, :8] = 255  # the upper left corner of what is stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner).save(tmp_path / name, exif=exif, quality=95)
    image = io.read_photograph(tmp_path / name)
    assert image.shape[:2] == io.image_size(tmp_path / name) == ((40, 24) if orientation > 4 else (24, 40))
    rows, columns = [[0, -1], [0, -1]]
    bright = {(i, j) for i in rows for j in columns if image[i, j].mean() > 0.9}
    assert bright == {
        {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[orientation]
    }
    assert io.orientation(tmp_path / name) == orientation


@pytest.mark.parametrize("body", odd.BROKEN_EXIF.values(), ids=odd.BROKEN_EXIF)
def test_broken_exif_leaves_the_pixels_alone(tmp_path, body):
    path = odd.with_exif(tmp_path / "a.jpg", odd.plain(), body)
    assert io.read_photograph(path).shape == (40, 60, 3) and io.image_size(path) == (40, 60)


def test_a_sound_orientation_beside_a_broken_tag_counts(tmp_path):
    path = odd.with_exif(tmp_path / "a.jpg", odd.plain(), odd.turned_and_broken(6))
    assert io.read_photograph(path).shape == (60, 40, 3) and io.image_size(path) == (60, 40)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.jpg", "RGB"), ("a.png", "RGB"), ("a.png", "RGBA"), ("a.tif", "RGB"), ("a.webp", "RGB")]
)
def test_a_wide_gamut_comes_out_in_srgb(tmp_path, name, mode):
    options = {"subsampling": 0, "quality": 100} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    odd.plain().convert(mode).save(tmp_path / name, icc_profile=odd.wide_gamut(), **options)
    image = io.read_photograph(tmp_path / name)
    for place, stored in ((5, (200, 60, 60)), (55, (60, 180, 60))):
        assert image[20, place] == pytest.approx(odd.display_p3(np.array(stored) / 255), abs=0.02)
        assert np.abs(io.read_image(tmp_path / name)[20, place] - np.array(stored) / 255).max() < 0.02, "data sets as they are"


def test_profiles_that_are_broken_of_other_colours_or_srgb_change_nothing(tmp_path):
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (b"nonsense", odd.wide_gamut()[:200], srgb):
        odd.plain().save(tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(io.read_photograph(tmp_path / "a.png") * 255, np.asarray(odd.plain()))
    odd.plain().convert("L").save(tmp_path / "grey.png", icc_profile=odd.wide_gamut())
    assert np.allclose(io.read_photograph(tmp_path / "grey.png")[..., 0] * 255, np.asarray(odd.plain().convert("L")))


@pytest.mark.parametrize("name", ["a.png", "a.webp", "la.png", "p.png", "grey16.png", "rgb.png"])
def test_what_transparency_hides_never_comes_out(tmp_path, name):
    colours, alpha = noise(40, 60, 3), np.full((40, 60), 255, np.uint8)
    alpha[20:], options = 0, {"lossless": True, "exact": True} if name == "a.webp" else {}
    picture = Image.fromarray(np.dstack([colours, alpha]))
    if name == "la.png":
        picture = Image.fromarray(np.dstack([colours[..., 0], alpha]))
    elif name in ("p.png", "rgb.png"):
        colours[:20], colours[20:] = 9, (1, 2, 3)
        picture = Image.fromarray(colours)
        picture = picture.quantize(4) if name == "p.png" else picture
        options = {"transparency": picture.getpixel((5, 30))}
    elif name == "grey16.png":
        deep = np.full((40, 60), 900, np.uint16)
        deep[20:], options = 77, {"transparency": 77}
        picture = Image.fromarray(deep)
    picture.save(tmp_path / name, **options)
    image = io.read_photograph(tmp_path / name)
    assert (image[20:] == 1).all(), "white, as a viewer shows it"
    assert not (image[:20] == 1).all()


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (4, 4), (100, 0, 0, 51)).save(tmp_path / "a.png")
    assert io.read_photograph(tmp_path / "a.png")[0, 0] == pytest.approx([0.2 * 100 / 255 + 0.8, 0.8, 0.8], abs=1e-6)


def test_further_frames_are_counted_and_the_first_is_read(tmp_path):
    one, two = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue")
    for name, options in {"a.tif": {}, "a.webp": {"lossless": True}, "a.png": {}}.items():
        one.save(tmp_path / name, save_all=True, append_images=[two], **options)
        assert io.read_photograph(tmp_path / name)[0, 0].tolist() == [1, 0, 0] and io.frames(tmp_path / name) == 2
    one.save(tmp_path / "b.png")
    assert io.frames(tmp_path / "b.png") == 1


@pytest.mark.parametrize("tail", [bytes(10_000), b"\0\0\0\x18ftypmp42" + bytes(500), b"\xff\xd8\xff" + bytes(99)])
def test_data_after_the_end_do_no_harm(tmp_path, tail):
    odd.plain().save(tmp_path / "a.jpg")
    before = io.read_photograph(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes() + tail)
    assert np.array_equal(io.read_photograph(tmp_path / "a.jpg"), before)


def test_a_picture_that_does_not_fit_is_named_before_it_is_decoded(tmp_path, monkeypatch):
    odd.plain().save(tmp_path / "a.png")
    monkeypatch.setattr(pictures.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(io.TooLarge, match=r"a\.png: too large for the memory at hand: 60x40 px need about"):
        io.read_photograph(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "check_memory", lambda *size: None)

    def full(picture):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "copy", full)
    with pytest.raises(io.TooLarge, match=r"a\.png: too large \(not enough memory for it\)"):
        io.read_photograph(tmp_path / "a.png")


def test_a_header_of_absurd_size_is_too_large(tmp_path):
    stream = streams.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    for read in (io.read_photograph, io.image_size):
        with pytest.raises(io.TooLarge, match=r"a\.png: too large \(.*exceeds limit"):
            read(tmp_path / "a.png")


def test_folders_and_closed_files_are_not_called_damaged(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg: a folder, not a file"):
        io.read_photograph(tmp_path / "a.jpg")
    odd.plain().save(tmp_path / "b.jpg")

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", closed)
    with pytest.raises(PermissionError, match="Permission denied"):
        io.read_photograph(tmp_path / "b.jpg")


def test_floats_beyond_one_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 200, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: its numbers span \[200, 200\], expected \[0, 1\]"):
        io.read_photograph(tmp_path / "a.tif")
