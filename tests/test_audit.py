"""The audit finds what was put in: metadata by name, a recognisable face, a mask that was never applied, the rim left open."""

import io as streams
import json
import shutil
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.data import astronaut

from p3mlib import anonymize, io
from p3mlib.__main__ import main
from p3mlib.privacy import audit, exposure, faces
from p3mlib.privacy.metadata import leftovers

dlib = pytest.importorskip("dlib")


@pytest.fixture(scope="module")
def photo():
    """The astronaut (public domain), her face and her private area."""
    image = (astronaut()[:230, 110:340] / 255).astype(np.float32)
    (face,) = faces.detect(image)
    return image, anonymize.private_area(face.landmarks, image.shape, "hull")


@pytest.fixture(autouse=True)
def _small_cnn(monkeypatch):
    """The CNN's cost grows with the square of its side; her face is large enough for half of that."""
    monkeypatch.setattr(faces, "_CNN", 300)
    monkeypatch.setattr(faces, "_CNN_TURNED", 240)


@pytest.fixture
def published(tmp_path, photo):
    """Function: strength -> (folder as the anonymiser writes it, folder of originals)."""

    def write(strength, folder="out"):
        image, mask = photo
        result = image if strength is None else anonymize.obfuscate(image, mask, "blur", strength)
        io.write_image(tmp_path / folder / "trip" / "her.jpg", result)
        io.write_image(tmp_path / folder / "facemask" / "trip" / "her.png", mask)
        io.write_image(tmp_path / "before" / "trip" / "her.png", image)
        return tmp_path / folder, tmp_path / "before"

    return write


def names(path):
    return [piece.name for piece in leftovers(path)]


def picture(seed=0, size=(40, 30)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def tainted_jpeg(path):
    thumbnail = streams.BytesIO()
    picture(1, (16, 16)).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0)})
    extras = {"comment": b"at home", "xmp": b"<x:xmpmeta/>", "icc_profile": b"DeviceProfile" * 9}
    picture().save(path, exif=exif.tobytes() + thumbnail.getvalue(), **extras)
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x0c\0\0\0\0\0\4abcd"
    content = path.read_bytes()
    jfxx = b"JFXX\0\x10" + thumbnail.getvalue()
    extra = [(0xED, iptc), (0xE0, jfxx), (0xE7, b"Maker\0secret")]
    segments = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in extra)
    path.write_bytes(content[:2] + segments + content[2:])
    return path


def test_every_piece_of_a_jpeg_is_named(tmp_path):
    path = tainted_jpeg(tmp_path / "photo.jpg")
    assert names(path) == [
        "Photoshop and IPTC data with a thumbnail",
        "thumbnail in JFXX",
        "APP7 segment 'Maker'",
        "EXIF",
        "GPS position in EXIF",
        "thumbnail in EXIF",
        "XMP",
        "comment",
        "colour profile",
    ]
    assert all(piece.size > 0 for piece in leftovers(path))
    assert next(piece.size for piece in leftovers(path) if piece.name == "comment") == len(b"at home")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_what_we_write_is_clean_and_trailing_data_are_found(tmp_path, suffix):
    path = tmp_path / f"clean{suffix}"
    io.write_image(path, np.random.default_rng(0).random((33, 47, 3)))
    assert names(path) == []
    content = path.read_bytes()
    path.write_bytes(content + b"0" * 100)
    assert leftovers(path) == [("data after the end of the image", 100)]
    path.write_bytes(content + content)
    assert leftovers(path) == [("data after the end of the image with a picture", len(content))]


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_skipped_and_srgb_is_harmless(tmp_path, progressive):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("jpg", "png"):
        picture(2, (200, 150)).save(tmp_path / f"a.{suffix}", progressive=progressive, icc_profile=profile)
        assert names(tmp_path / f"a.{suffix}") == []


def test_png_chunks_are_named(tmp_path):
    text, exif = PngInfo(), Image.Exif()
    text.add_text("Author", "somebody")
    text.add_text("Long", "somebody", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    text.add(b"tIME", bytes(7))
    text.add(b"prVt", b"secret")
    exif[0x010F] = "Camera"
    picture().save(tmp_path / "a.png", pnginfo=text, exif=exif, icc_profile=b"DeviceProfile" * 9)
    found = set(names(tmp_path / "a.png"))
    texts = {"text 'Author' (tEXt)", "text 'Long' (zTXt)", "time of the last change", "chunk prVt"}
    assert found == texts | {"XMP", "EXIF", "colour profile"}
    picture().save(tmp_path / "b.png", save_all=True, append_images=[picture(1)])
    assert "further frame" in names(tmp_path / "b.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_files_are_refused_wherever_they_break_off(tmp_path, suffix):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    picture().save(whole)
    content = whole.read_bytes()
    for end in range(10, len(content) - 1, 37):
        path.write_bytes(content[:end])
        with pytest.raises(io.DamagedFile, match="cut.*breaks off or is damaged"):
            leftovers(path)
    path.write_bytes(b"RIFF....WEBP")
    with pytest.raises(io.DamagedFile, match="neither JPEG nor PNG"):
        leftovers(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        leftovers(tmp_path / "nothing.jpg")


@pytest.mark.parametrize(("strength", "leaks"), [(0.05, "recognised"), (0.2, ""), (None, "not obfuscated")])
def test_the_identity_of_a_weakly_blurred_face_leaks(published, capsys, strength, leaks):
    folder, original = published(strength)
    status = main(["audit", str(folder), "--original", str(original), "--json"])
    (report,) = json.loads(capsys.readouterr().out)["images"]
    assert report["name"] == "trip/her.jpg" and report["metadata"] == []
    assert status == bool(leaks) == bool(report["leaks"]) and leaks in " ".join(report["leaks"])
    assert (report["identity"] < 0.6) == bool(leaks) and report["rim_area"] < 2 and report["changed_outside"] < 3
    assert (report["detail"] > 0.9) == (strength is None)


def test_a_mask_never_applied_is_found_without_an_original(published, capsys):
    good, bad = published(0.2)[0], published(None, "bad")[0]
    assert main(["audit", str(good)]) == 0
    assert main(["audit", str(bad)]) == 1
    text = capsys.readouterr().out
    assert "LEAK: the face mask is not obfuscated: inside it is" in text and "total: 1 images, 1 leak" in text


def test_the_released_layout_and_files_that_cannot_be_read(published, tmp_path, capsys):
    folder, _ = published(0.2)
    release = tmp_path / "P3M-500-P"
    (release / "facemask").mkdir(parents=True)
    shutil.copytree(folder / "trip", release / "blurred_image")
    shutil.copy(folder / "facemask" / "trip" / "her.png", release / "facemask")
    shutil.copytree(release / "facemask", release / "mask")
    (release / "blurred_image" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    tainted_jpeg(release / "blurred_image" / "tainted.jpg")
    assert main(["audit", str(release), "--original", str(tmp_path / "before" / "trip")]) == 1
    text = capsys.readouterr().out
    assert "broken.jpg: FAILED: " in text and "breaks off" in text and "LEAK: GPS position in EXIF (" in text
    assert "total: 3 images, 1 leak, 2 could not be audited, 0 unknown; smallest identity distance 0." in text
    assert "tainted.jpg: FAILED: no original of that name in" in text


def test_another_picture_in_the_place_of_the_original_is_no_audit(published, photo):
    folder, original = published(None)  # her open face
    other = np.roll(photo[0][:, ::-1], 60, axis=0)
    io.write_image(original / "trip" / "her.png", other)
    (report,) = audit.audit_folder(folder, original)
    assert report.verdict == "FAILED" and "the original of that name is another picture" in report.failure
    for method in ("blur", "mosaic", "mask"):  # of which the mask was kept back
        io.write_image(folder / "trip" / "her.jpg", anonymize.obfuscate(*photo, method))
        io.write_image(original / "trip" / "her.png", photo[0])
        (folder / "facemask" / "trip" / "her.png").unlink(missing_ok=True)
        (report,) = audit.audit_folder(folder, original)
        assert report.verdict == "ok", method
    io.write_image(folder / "trip" / "her.jpg", photo[0])
    io.write_image(original / "trip" / "her.png", other)
    io.write_image(original / "trip" / "her.jpg", photo[0])
    (report,) = audit.audit_folder(folder, original)
    assert report.verdict == "LEAK", "of two originals the one of the whole name"
    (original / "trip" / "her.jpg").rename(original / "trip" / "her.webp")
    (report,) = audit.audit_folder(folder, original)
    assert report.verdict == "FAILED" and "her.png or " in report.failure and "Leave one of them" in report.failure


def test_no_picture_is_left_out_but_masks_and_mattes_of_pictures(published, photo):
    folder, _ = published(0.2)
    io.write_image(folder / "alpha" / "trip" / "her.png", np.float32(photo[1]))
    io.write_image(folder / "trimap" / "trip" / "her.png", np.where(photo[1], 0.5, 0.0))
    io.write_image(folder / "trip" / "her_alpha.png", np.float32(photo[1]))
    assert [report.name for report in audit.audit_folder(folder)] == ["trip/her.jpg"]
    io.write_image(folder / "trip" / "her_alpha.png", photo[0])
    for name in ("alpha/her.png", "bg/her.jpg", "facemask/trip/she.png", "trip/her_cutout.png"):
        io.write_image(folder / name, np.dstack([photo[0], np.ones(photo[1].shape)]) if "cutout" in name else photo[0])
    (folder / "trip" / "her.jpg.xmp").write_text("<x:xmpmeta/>")
    (folder / "trip" / ".thumbnails").mkdir()
    (folder / "report.csv").write_text("ours")
    for name in ("a.json", "b.json"):
        (folder / "trip" / name).write_text("{}")
    reports = {report.name: report for report in audit.audit_folder(folder)}
    pictures = {"alpha/her.png", "bg/her.jpg", "facemask/trip/she.png"}
    pictures |= {"trip/her.jpg", "trip/her_alpha.png", "trip/her_cutout.png"}
    others = {"trip/her.jpg.xmp": 1, "trip/.thumbnails": 1, "trip/*.json": 2}
    assert set(reports) == pictures | set(others) and {name: reports[name].files for name in others} == others
    told = {name: reports[name].verdict for name in pictures - {"trip/her.jpg"}}
    assert told.pop("facemask/trip/she.png") == "FAILED" and set(told.values()) == {"LEAK"}, "no mask by what it holds"
    assert "total: 6 images, 4 leak, 1 could not be audited, 0 unknown, 4 other files" in audit.as_total(list(reports.values()))


def test_the_rim_of_a_disc():
    y, x = np.mgrid[:200, :200]
    radius = np.hypot(x - 100, y - 100)
    for ring in (4, 10, 20):
        area, width, widest = audit.rim(radius <= 80, radius <= 80 - ring)
        assert area == pytest.approx(100 * (1 - (80 - ring) ** 2 / 80**2), abs=0.6)
        assert width == pytest.approx(ring, abs=1) and widest == pytest.approx(ring, abs=1.5)
    assert audit.rim(radius <= 80, radius <= 80) == (0, 0, 0)
    with pytest.raises(ValueError, match="private area is empty"):
        audit.rim(radius < 0, radius < 0)


def test_detail_is_a_share():
    image = np.random.default_rng(0).random((120, 120, 3))
    area = np.zeros((120, 120), bool)
    area[20:100, 20:100] = True
    flat = np.full_like(image, 0.5)
    for share in (0, 0.3, 1):
        assert audit.detail(share * image + (1 - share) * flat, image, area) == pytest.approx(share, abs=1e-6)
    assert audit.detail(image, flat, area) == 0 and audit.sharpness(flat, area) == pytest.approx(0, abs=1e-6)
    assert audit.sharpness(image, area) == pytest.approx(1, abs=0.1)


def test_what_is_wrong_is_said(published, tmp_path, capsys):
    folder, original = published(0.2)
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        ([], "Name a folder of images, or pass --attack"),
        (["nowhere"], "nowhere: no such folder"),
        ([str(tmp_path / "empty")], "no image in it"),
        ([str(folder), "--original", "nowhere"], "nowhere: no such folder"),
    ]:
        assert main(["audit", *arguments]) == 1
        assert message in capsys.readouterr().err
    io.write_image(original / "trip" / "her.png", np.zeros((8, 8)))
    assert main(["audit", str(folder), "--original", str(original)]) == 1
    assert "is (8, 8) but" in capsys.readouterr().out


def test_an_interrupted_audit_shows_what_it_has_seen(published, monkeypatch, capsys):
    folder, _ = published(None)
    real = audit.audit_folder

    def interrupted(*arguments):
        yield from real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "audit_folder", interrupted)
    assert main(["audit", str(folder)]) == 130
    out, err = capsys.readouterr()
    assert "LEAK: the face mask is not obfuscated" in out and err.endswith("interrupted\n")


def test_a_part_left_open_leaks_whatever_the_mask_says(published, tmp_path, photo):
    folder, original = published(0.2)
    image, mask = photo
    (face,) = faces.detect(image)
    mouth = exposure.part_areas(face.landmarks, mask.shape)["mouth"]
    result = anonymize.obfuscate(image, mask, "blur", 0.2)
    result[mouth] = image[mouth]
    io.write_image(folder / "trip" / "her.jpg", result)
    io.write_image(folder / "facemask" / "trip" / "her.png", mask & ~mouth)
    (report,) = audit.audit_folder(folder, original)
    assert report.verdict == "LEAK" and any("the mouth of the face at" in leak and "left open" in leak for leak in report.leaks)


def test_a_face_outside_the_mask_leaks_without_an_original(published, photo):
    folder, _ = published(None)
    elsewhere = np.zeros(photo[1].shape, bool)
    elsewhere[190:225, 5:40] = True
    io.write_image(folder / "facemask" / "trip" / "her.png", elsewhere)
    (report,) = audit.audit_folder(folder)
    assert report.hits == 1 and any("is open: it is" in leak for leak in report.leaks)


def test_what_was_not_measured_is_unknown_and_what_is_not_read_failed(tmp_path):
    io.write_image(tmp_path / "wall.png", np.full((60, 80, 3), 0.5, np.float32))
    (tmp_path / "film.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    film, wall = audit.audit_folder(tmp_path)
    assert wall.verdict == "unknown" and not wall.leaks and audit.as_dict(wall)["verdict"] == "unknown"
    assert film.verdict == "FAILED" and "HEIC" in film.failure


def test_colours_under_transparent_places_leak(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[20:, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pixels[20:, :, :3] = 7
    Image.fromarray(pixels).save(tmp_path / "b.png")
    bad, good = audit.audit_folder(tmp_path)
    assert [piece.name for piece in bad.metadata] == ["colours under transparent places"] and good.metadata == ()


def test_the_border_of_a_zero_mask_is_no_detail(photo):
    image, mask = photo
    assert audit.detail(anonymize.obfuscate(image, mask, "mask"), image, mask) < 0.1
