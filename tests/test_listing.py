"""Which files of a folder are photographs."""

import os

import numpy as np
import pytest
from PIL import Image

from p3mlib import io


@pytest.fixture
def folder(tmp_path):
    """A folder as people have them."""
    for name in ("a.jpg", "b.JPG", "c.jfif", "deep/d.png", "deep/er/e.webp", "a folder.jpg/f.tif"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "JPEG" if path.suffix.lower() in (".jpg", ".jfif") else None)
    for name in ("._a.jpg", ".DS_Store", "Thumbs.db", "notes.txt", ".hidden/g.jpg", "data.csv"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"\0\5\26\7 Mac OS X")
    return tmp_path / "in"


def listed(folder):
    found, refused = io.list_photographs(folder)
    return [path.relative_to(folder).as_posix() for path in found], {
        p.relative_to(folder).as_posix(): why for p, why in refused.items()
    }


def test_photographs_are_found_in_depth_and_nothing_else(folder):
    assert listed(folder) == (["a folder.jpg/f.tif", "a.jpg", "b.JPG", "c.jfif", "deep/d.png", "deep/er/e.webp"], {})
    assert io.list_photographs(folder / "a.jpg") == ([folder / "a.jpg"], {})


def test_pictures_that_are_not_read_are_named(folder):
    (folder / "x.gif").write_bytes(b"GIF89a")
    (folder / "x.NEF").write_bytes(b"MM")
    (folder / "x.mov").write_bytes(b"")
    (folder / "without").write_bytes((folder / "a.jpg").read_bytes())
    (folder / "x.jpg_original").write_bytes((folder / "a.jpg").read_bytes())
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    if ".heic" not in io.IMAGE_SUFFIXES:
        (folder / "x.heic").write_bytes(b"")
        assert "install pillow-heif" in listed(folder)[1].pop("x.heic")
        assert io.list_photographs(folder / "x.heic") == ([], {folder / "x.heic": listed(folder)[1]["x.heic"]})
        (folder / "x.heic").unlink()
    found, refused = listed(folder)
    assert len(found) == 6 and set(refused) == {"x.gif", "x.NEF", "x.mov", "without", "x.jpg_original", "broken.png"}
    assert "raw" in refused["x.NEF"] and "a film" in refused["x.mov"] and "leads nowhere" in refused["broken.png"]
    assert refused["without"] == "a JPEG inside, but '' is no suffix of one; rename it"


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"), (b"BM\x99\0\0\0\0\0\0\0\x36\0\0\0", "BMP"), (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
     (b"\0\0\0\x1cftypavif\0\0", "AVIF"), (b"\0\0\0\x18ftypmp42\0\0", "film"), (b"\x1a\x45\xdf\xa3\0\0", "film")],
)  # fmt: skip
def test_pictures_and_films_without_their_suffix_are_named(folder, start, kind):
    (folder / "PXL_2").write_bytes(start + bytes(20))
    (folder / "song.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(20))
    (folder / "BM.txt").write_text("BM is how a bitmap begins, and this sentence too")
    (folder / "photos.zip").write_bytes(b"PK")
    (folder / "elsewhere").symlink_to(folder / "deep")
    _, refused = listed(folder)
    assert refused["PXL_2"].startswith(f"a {kind} inside") and "unpack" in refused["photos.zip"]
    assert "a linked folder" in refused["elsewhere"] and len(refused) == 3


def test_results_beside_their_photographs_are_not_photographs(folder):
    io.write_image(folder / "a_alpha.png", np.ones((4, 4)))
    io.write_image(folder / "a_cutout.png", np.ones((4, 4, 4)))
    io.write_image(folder / "deep/z_alpha.png", np.ones((4, 4)))  # there is no z
    io.write_image(folder / "b_alpha.png", np.ones((4, 4, 3)))  # a colour photograph that is called so
    found, refused = listed(folder)
    assert {"a_alpha.png", "a_cutout.png"}.isdisjoint(found) and {"deep/z_alpha.png", "b_alpha.png"} < set(found) and not refused
    assert io.is_result(folder / "a_alpha.png") and not io.is_result(folder / "b_alpha.png")


def test_names_that_are_not_utf8_survive(folder):
    raw = os.fsencode(folder) + b"/M\xfcller.jpg"
    try:
        os.rename(folder / "a.jpg", raw)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = io.list_photographs(folder)[0]
    assert raw in [os.fsencode(path) for path in found]
    odd = next(path for path in found if os.fsencode(path) == raw)
    assert io.printable(odd).endswith("M\\udcfcller.jpg") and io.read_photograph(odd).shape == (4, 4, 3)
    io.write_text(folder / "report.csv", f"{odd}\n")
    assert "M\\udcfcller.jpg" in (folder / "report.csv").read_text(encoding="utf-8")
    io.write_image(odd.with_suffix(".png"), np.ones((3, 3)))
    assert os.path.isfile(raw[:-4] + b".png")


def test_nothing_found_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="no image in it"):
        io.list_photographs(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        io.list_photographs(tmp_path / "nowhere")
    (tmp_path / "x.gif").write_bytes(b"")
    assert io.list_photographs(tmp_path)[0] == []
