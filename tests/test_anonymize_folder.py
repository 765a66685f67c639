"""Anonymised folders: faces are gone, files hold pixels alone, nothing is lost, and what was not done is said."""

import errno
import io as streams
import json
import os
import shutil
import struct
import threading
import zlib

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms
from skimage.data import astronaut

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.anonymize import face_width, obfuscate, private_area
from p3mlib.privacy import faces, photograph, records
from p3mlib.privacy import folder as tool
from p3mlib.privacy.folder import Settings, anonymize_folder
from p3mlib.privacy.metadata import leftovers

SECRETS = (b"name of a person", b"a secret comment", b"<x:xmpmeta", b"a secret profile")


@pytest.fixture(scope="module")
def photo():
    """The public-domain astronaut's head and shoulders, 320 px."""
    return (astronaut()[:320, 60:380] / 255).astype(np.float32)


@pytest.fixture(scope="module")
def face(photo):
    (found,) = faces.detect(photo, 48)
    return found


@pytest.fixture
def quick(monkeypatch, face):
    """The detector costs seconds: it finds the astronaut's face in pictures of her size, and none in others."""
    monkeypatch.setattr(faces, "detect", lambda image, *_: [face] if image.shape == (320, 320, 3) and image.std() > 0.1 else [])


@pytest.fixture
def folder(tmp_path, photo):
    """A camera's JPEG with all that cameras leave in it, and a landscape."""
    source = tmp_path / "camera"
    (source / "trip").mkdir(parents=True)
    save_with_metadata(source / "trip/a.jpg", photo)
    io.write_image(source / "field.png", np.full((60, 80, 3), 0.4, np.float32))
    return source


def save_with_metadata(path, photo):
    picture = Image.fromarray(io.to_uint8(photo))
    thumbnail = streams.BytesIO()
    picture.resize((96, 96)).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[0x010E] = SECRETS[0].decode()
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 24.0)  # latitude
    exif.get_ifd(0x8825)[1] = "N"
    body = exif.tobytes()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes() + SECRETS[3]
    picture.save(path, quality=95, exif=body, comment=SECRETS[1], xmp=xmp, icc_profile=profile)
    content = path.read_bytes()
    segment = b"Exif\0\0" + thumbnail.getvalue()
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + content[2:])
    return thumbnail.getvalue()


def run(source, target, **settings):
    return anonymize_folder(source, target, Settings(**settings), jobs=1, progress=False).set_index("image")


def test_the_face_is_found_and_nobody_is_recognised_afterwards(photo, face):
    assert face.detector == "hog" and face.score > 0.5 and face.landmarks.shape == (68, 2)
    left, top, right, bottom = face.box
    middle = face.landmarks[27:].mean(0)
    assert left < middle[0] < right and top < middle[1] < bottom and 90 < middle[0] < 210 and 60 < middle[1] < 190
    own = faces.embedding(photo, face)
    assert faces.identity_distance(own, own) == 0
    double = cv2.resize(photo, None, fx=1.5, fy=1.5)
    larger = face._replace(landmarks=face.landmarks * 1.5, box=tuple(1.5 * v for v in face.box))
    assert faces.identity_distance(own, faces.embedding(double, larger)) < 0.2
    blurred = [obfuscate(photo, private_area(face.landmarks, photo.shape, "hull"), "blur", s) for s in (0.03, 0.2)]
    weak, strong = (faces.identity_distance(own, faces.embedding(picture, face)) for picture in blurred)
    assert weak < faces.SAME_PERSON < strong


def test_nothing_but_pixels_is_written(folder, tmp_path, quick):
    thumbnail = save_with_metadata(folder / "trip/a.jpg", io.read_image(folder / "trip/a.jpg"))
    before = (folder / "trip/a.jpg").read_bytes()
    assert all(secret in before for secret in (*SECRETS, thumbnail, b"Exif")) and len(leftovers(folder / "trip/a.jpg")) >= 5
    report = run(folder, tmp_path / "out")
    assert report.loc["trip/a.jpg", "status"] == "done" and float(report.loc["trip/a.jpg", "identity"]) > 0.6
    assert (folder / "trip/a.jpg").read_bytes() == before
    written = [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".jpg", ".png")]
    assert sorted(p.name for p in written) == ["a.jpg", "a.png"]
    for path in written:
        content = path.read_bytes()
        assert not any(secret in content for secret in (*SECRETS, thumbnail[:40], b"Exif", b"xmp", b"ICC_PROFILE"))
        assert leftovers(path) == [] and dict(Image.open(path).getexif()) == {}
    mask = io.read_mask(tmp_path / "out/facemask/trip/a.png")
    original, result = io.read_image(folder / "trip/a.jpg"), io.read_image(tmp_path / "out/trip/a.jpg")
    away = cv2.dilate(mask.astype(np.uint8), np.ones((17, 17))) == 0
    assert np.abs(original - result)[mask].mean() > 5 * np.abs(original - result)[away].mean()


def test_an_image_without_a_face_needs_a_person(folder, tmp_path, quick):
    report = run(folder, tmp_path / "out")
    assert report.loc["field.png", "status"] == "no face" and "look at it" in report.loc["field.png", "message"]
    assert not (tmp_path / "out/field.png").exists()
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand/field.json").write_text("[]")  # somebody looked
    report = run(folder, tmp_path / "out", landmarks=tmp_path / "hand")
    assert report.loc["field.png", "status"] == "done" and (tmp_path / "out/field.png").exists()
    assert run(folder, tmp_path / "kept", keep_faceless=True).loc["field.png", "status"] == "no face"
    assert (tmp_path / "kept/field.png").exists()


def test_masks_and_landmarks_by_hand(folder, tmp_path, quick, face, photo):
    hand = tmp_path / "hand"
    hand.mkdir()
    drawn = np.zeros((60, 80), bool)
    drawn[20:40, 30:50] = True
    io.write_image(hand / "field.png", drawn)
    moved = (face.landmarks + 3).tolist()
    (hand / "a.json").write_text(json.dumps({"faces": [moved]}))
    report = run(folder, tmp_path / "out", landmarks=hand, method="mask", region="paper")
    assert list(report["detectors"]) == ["mask by hand", "hog"] and list(report["status"]) == ["done", "done"]
    assert not io.read_image(tmp_path / "out/field.png")[drawn].any()
    both = private_area(moved, photo.shape) | private_area(face.landmarks, photo.shape)
    assert np.array_equal(io.read_mask(tmp_path / "out/facemask/trip/a.png"), both), "landmarks by hand add"
    shares, outside = ((face.landmarks / 320).tolist(), (face.landmarks + 999).tolist())
    for text, message in (
        ("[[1, 2]]", "a.json: face 0 has shape"),
        ("{", "a.json: expected a list of faces"),
        (json.dumps([shares]), "expected pixels, not shares"),
        (json.dumps([outside]), "outside the picture of 320x320 px"),
        ("[]", "says that there is no face, but detectors find 1"),
    ):
        (hand / "a.json").write_text(text)
        assert message in run(folder, tmp_path / "out", landmarks=hand).loc["trip/a.jpg", "message"]


def test_the_transition_area_stays_where_a_matte_is_given(folder, tmp_path, quick):
    alpha = np.zeros((320, 320), np.float32)
    alpha[:, :150] = 1  # the border runs through the face
    io.write_image(tmp_path / "mattes/a.png", alpha)
    run(folder, tmp_path / "whole", method="mask")
    report = run(folder, tmp_path / "out", method="mask", alpha=tmp_path / "mattes")
    assert report.loc["trip/a.jpg", "area"] == "without the transition area"
    whole, mask = (io.read_mask(tmp_path / out / "facemask/trip/a.png") for out in ("whole", "out"))
    assert (whole & ~mask)[:, 149:151].any() and not mask[:, 149:151].any() and not (mask & ~whole).any()
    io.write_image(tmp_path / "mattes/a.png", alpha[:100])
    wrong = run(folder, tmp_path / "out", alpha=tmp_path / "mattes").loc["trip/a.jpg"]
    assert wrong["status"] == "not done" and "a.png: 320x100 px, but its image has 320x320" in wrong["message"]


def test_what_is_finished_is_not_done_again(folder, tmp_path, quick, photo, monkeypatch):
    io.write_image(folder / "b.jpg", photo)
    real, calls = tool._one, []

    def stop_at_second(*job):
        calls.append(job[0].path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*job)

    monkeypatch.setattr(tool, "_one", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out", keep_faceless=True)
    rows = pd.read_csv(tmp_path / "out/report.csv").set_index("image")["status"]
    calls += ["no stop"]
    run(folder, tmp_path / "out", keep_faceless=True)
    calls.clear()
    calls += ["no", "stop"]
    run(folder, tmp_path / "out", keep_faceless=True)
    assert dict(rows) == {"b.jpg": "done", "field.png": "not done", "trip/a.jpg": "not done"}
    assert calls[2:] == ["field.png"], "images without a face are looked at again"
    calls[:] = ["no", "stop"]
    run(folder, tmp_path / "out", keep_faceless=True, margin=0.1)
    assert sorted(calls[2:]) == ["a.jpg", "b.jpg", "field.png"]
    assert not list(tmp_path.rglob("*.partial*"))


def test_what_was_changed_since_is_not_done(folder, tmp_path, quick, photo):
    run(folder, tmp_path / "out")
    written = tmp_path / "out/trip/a.jpg"
    before = written.read_bytes()
    shutil.copy(folder / "trip/a.jpg", written)
    for _ in range(2):
        row = run(folder, tmp_path / "out").loc["trip/a.jpg"]
        assert row["status"] == "not done" and "was changed after it was written" in row["message"]
        assert written.read_bytes() == (folder / "trip/a.jpg").read_bytes(), "nothing is lost"
    for damage in (written.unlink, lambda: written.write_bytes(b"")):
        damage()
        assert run(folder, tmp_path / "out").loc["trip/a.jpg", "status"] == "done" and written.read_bytes() == before


def test_two_folders_do_not_share_names_in_one_target(folder, tmp_path, quick, photo):
    other = tmp_path / "other"
    io.write_image(other / "trip/a.jpg", photo[:, ::-1])
    run(folder, tmp_path / "out")
    before = (tmp_path / "out/trip/a.jpg").read_bytes()
    for _ in range(2):
        row = run(other, tmp_path / "out").loc["trip/a.jpg"]
        assert row["status"] == "not done" and "another photograph of that name, in another folder" in row["message"]
        assert (tmp_path / "out/trip/a.jpg").read_bytes() == before
    folder.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", tmp_path / "out").loc["trip/a.jpg", "status"] == "done", "a folder that was moved is the same"


def test_what_is_left_of_a_photograph_that_is_gone_is_named(folder, tmp_path, quick, photo):
    io.write_image(folder / "b.jpg", photo)
    run(folder, tmp_path / "out")
    (folder / "b.jpg").unlink()
    for _ in range(2):
        row = run(folder, tmp_path / "out").loc["b.jpg"]
        assert row["status"] == "not done" and "out/b.jpg" in row["message"] and "facemask/b.png" in row["message"]
    (tmp_path / "out/b.jpg").unlink()
    (tmp_path / "out/facemask/b.png").unlink()
    assert "b.jpg" not in run(folder, tmp_path / "out").index


def test_faceless_photographs_that_are_kept_say_so_each_time(folder, tmp_path, quick, capsys):
    for _ in range(2):
        row = run(folder, tmp_path / "out", keep_faceless=True).loc["field.png"]
        assert row["area"] == "none" and "removed" not in row["message"] and (tmp_path / "out/field.png").exists()


def test_weak_strengths_are_refused(folder, tmp_path, quick, capsys):
    assert main(["anonymize", str(folder), str(tmp_path / "out"), "--strength", "0.05"]) == 1
    assert "below 0.1 of the face's size a blur leaves people recognisable" in capsys.readouterr().err
    assert run(folder, tmp_path / "out", strength=0.03, force=True).loc["trip/a.jpg", "status"] == "done"


def test_a_face_that_is_still_recognised_is_not_written(folder, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(photograph, "WEAKEST", {})
    row = run(folder, tmp_path / "out", strength=0.02).loc["trip/a.jpg"]
    assert row["status"] == "not done" and not (tmp_path / "out/trip/a.jpg").exists()
    assert "left open" in row["message"] or "still recognises" in row["message"]


def test_bad_files_are_named_and_the_others_done(folder, tmp_path, quick, monkeypatch):
    (folder / "cut.jpg").write_bytes((folder / "trip/a.jpg").read_bytes()[:3000])
    (folder / "text.jpg").write_text("not an image")
    (folder / "notes.txt").write_text("no photograph")
    (folder / "film.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "elsewhere").symlink_to(tmp_path)
    io.write_image(folder / "trip/a.png", np.zeros((8, 8, 3), np.float32))
    (folder / "link.jpg").symlink_to(folder / "trip/a.jpg")
    size = b"IHDR" + struct.pack(">IIBBBBB", 20000, 10000, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    (folder / "huge.png").write_bytes(header + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    report = run(folder, tmp_path / "out")
    assert report.loc["trip/a.jpg", "status"] == "done" and "notes.txt" not in report.index
    expected = {
        "cut.jpg": "damaged or not an image",
        "text.jpg": "damaged or not an image",
        "link.jpg": "a symbolic link",
        "huge.png": "too large",
        "film.heic": "HEIC is not read here",
        "elsewhere": "a linked folder",
        "trip/a.png": "would write the same face mask",
    }
    for name, words in expected.items():
        assert (
            report.loc[name, "status"] == "not done"
            and words in report.loc[name, "message"]
            and name in report.loc[name, "message"]
        )
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["facemask", "report.csv", "trip"]


def test_a_large_image_is_refused_by_its_header(folder, tmp_path, quick, monkeypatch):
    monkeypatch.setattr(tool, "MEGAPIXELS", 0.05)
    assert "0 megapixels, at most 0.05 are read" in run(folder, tmp_path / "out").loc["trip/a.jpg", "message"]


def test_a_full_disk_leaves_nothing_half_written(folder, tmp_path, quick, monkeypatch):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    run(folder, tmp_path / "out", keep_faceless=True)
    monkeypatch.setattr(io, "write_image", full)
    report = run(folder, tmp_path / "out", keep_faceless=True, margin=0.1)
    assert "No space left on device in " in report.loc["trip/a.jpg", "message"]
    assert not list((tmp_path / "out").rglob("*partial*")) and not list((tmp_path / "out").rglob("a.*"))


def test_folders_that_cannot_be(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for source, target, words in (
        (folder, folder / "out", "neither may lie within the other"),
        (folder / "trip", folder, "neither may lie within the other"),
        (tmp_path / "none", tmp_path / "out", "no such file or folder"),
        (folder, tmp_path / "file" / "out", "cannot be written"),
        (folder / "trip/a.jpg", folder / "trip", "would be overwritten"),
    ):
        assert main(["anonymize", str(source), str(target)]) == 1
        error = capsys.readouterr().err.strip()
        assert words in error and len(error.splitlines()) == 1, error
    io.write_image(folder / "facemask/b.png", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ValueError, match="face masks are written into a folder of that name"):
        run(folder, tmp_path / "out")


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "I;16"])
def test_colour_modes_and_orientation(tmp_path, photo, quick, mode):
    source = tmp_path / "in"
    source.mkdir()
    if mode == "I;16":
        Image.fromarray((photo.mean(2) * 65535).astype(np.uint16)).save(source / "p.png")
    else:
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        suffix = ".png" if mode == "RGBA" else ".jpg"
        turned = Image.fromarray(io.to_uint8(np.rot90(photo))).convert(mode)
        turned.save(source / f"p{suffix}", exif=exif)
    report = run(source, tmp_path / "out", method="mask")
    assert list(report["status"]) == ["done"]
    (written,) = (p for p in (tmp_path / "out").iterdir() if p.stem == "p")
    result, mask = io.read_image(written), io.read_mask(tmp_path / "out/facemask/p.png")
    grey = np.abs(result.mean(2) - photo.mean(2))[~cv2.dilate(mask.astype(np.uint8), np.ones((17, 17))).astype(bool)]
    assert grey.mean() < 0.05 and leftovers(written) == []


def hand_over(folder, tmp_path, **settings):
    """Statuses after the photographs of a folder were handed over one at a time."""
    for path in sorted(folder.rglob("*.*g")):
        run(path, tmp_path / "out", **settings)
    return dict(pd.read_csv(tmp_path / "out/report.csv", dtype=str).set_index("image")["status"])


def test_the_report_keeps_the_rows_of_earlier_calls(folder, tmp_path, quick):
    assert hand_over(folder, tmp_path) == {"a.jpg": "done", "field.png": "no face"}
    assert set(run(folder / "field.png", tmp_path / "out").index) == {"field.png"}, "a call returns its own rows"


def test_a_refused_photograph_leaves_no_older_result(folder, tmp_path, quick):
    first = run(folder, tmp_path / "out", keep_faceless=True, strength=0.03, force=True)
    assert set(first["status"]) == {"done", "no face"} and len(list((tmp_path / "out").rglob("*.*g"))) == 4
    (folder / "trip/a.jpg").write_bytes(b"damaged later")
    report = run(folder, tmp_path / "out")
    assert dict(report["status"]) == {"trip/a.jpg": "not done", "field.png": "no face"}
    assert all("earlier call wrote of it is removed" in message for message in report["message"])
    assert not list((tmp_path / "out").rglob("*.*g"))


def test_files_of_others_stay(folder, tmp_path, quick):
    io.write_image(tmp_path / "out/trip/a.jpg", np.zeros((9, 9, 3), np.float32))
    own = (tmp_path / "out/trip/a.jpg").read_bytes()
    for _ in range(2):
        row = run(folder, tmp_path / "out").loc["trip/a.jpg"]
        assert row["status"] == "not done" and "would be overwritten" in row["message"]
        assert (tmp_path / "out/trip/a.jpg").read_bytes() == own
    for i, content in enumerate((b"name,score\na,1\n", b"", b"\0\1\n\xff", b'image,status\n"a.jp')):
        report = tmp_path / f"other{i}" / "report.csv"
        report.parent.mkdir()
        report.write_bytes(content)
        with pytest.raises(ValueError, match="report.csv: is no report of `anonymize`"):
            run(folder, report.parent)
        assert report.read_bytes() == content


def test_two_calls_wait_for_each_other(folder, tmp_path, quick, caplog):
    (tmp_path / "out").mkdir()
    with records.alone(tmp_path / "out"):
        other = threading.Thread(target=run, args=(folder, tmp_path / "out"))
        other.start()
        other.join(2)
        assert other.is_alive() and "this one waits" in caplog.text and not (tmp_path / "out/report.csv").exists()
    other.join(60)
    assert len(pd.read_csv(tmp_path / "out/report.csv")) == 2


def test_any_exception_becomes_the_row_of_its_photograph(folder, tmp_path, quick, monkeypatch):
    real = io.read_photograph
    errors = {"not enough memory": MemoryError(), "RuntimeError: odd": RuntimeError("odd"), "TypeError": TypeError()}
    for words, error in errors.items():

        def fail(path, error=error):
            if path.name == "a.jpg":
                raise error
            return real(path)

        monkeypatch.setattr(io, "read_photograph", fail)
        report = run(folder, tmp_path / "out", keep_faceless=True)
        assert words in report.loc["trip/a.jpg", "message"] and report.loc["trip/a.jpg", "status"] == "not done"
        assert (tmp_path / "out/field.png").is_file()


def test_a_process_that_dies_takes_one_photograph_with_it(folder, tmp_path, monkeypatch):
    jobs = [tool.Job(folder / name, folder, tmp_path, Settings(), (), None, "") for name in ("field.png", "x.png", "trip/a.jpg")]

    def pooled(left, count):  # the second photograph ends whatever process it comes to
        for name in list(left):
            if name == "x.png":
                return
            yield name, left.pop(name).row("done")

    monkeypatch.setattr(tool, "_pooled", pooled)
    rows = dict(tool._results(jobs, 2))
    assert {name: row["status"] for name, row in rows.items()} == {"field.png": "done", "x.png": "not done", "trip/a.jpg": "done"}
    assert "its process died" in rows["x.png"]["message"]


def test_names_that_are_not_utf8(folder, tmp_path, quick):
    odd = os.fsencode(folder) + b"/M\xfcller.jpg"
    shutil.copy(folder / "trip/a.jpg", odd)
    report = run(folder, tmp_path / "out")
    assert list(report["status"]).count("done") == 2 and (tmp_path / "out" / os.fsdecode(b"M\xfcller.jpg")).is_file()
    assert len(run(folder, tmp_path / "out")) == 3 and len(pd.read_csv(tmp_path / "out/report.csv")) == 3


def test_what_transparency_hides_is_not_written(tmp_path, photo, quick):
    pixels = np.dstack([io.to_uint8(photo), np.full((320, 320), 255, np.uint8)])
    pixels[220:, :, 3] = 0
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in/a.png")
    assert list(run(tmp_path / "in", tmp_path / "out")["status"]) == ["done"]
    assert (io.read_image(tmp_path / "out/a.png")[220:] == 1).all()


def test_further_frames_are_named(tmp_path, quick):
    one = Image.new("RGB", (60, 60), (90, 90, 90))
    (tmp_path / "in").mkdir()
    one.save(tmp_path / "in/a.tif", save_all=True, append_images=[one])
    assert "holds 2 pictures" in run(tmp_path / "in", tmp_path / "out", keep_faceless=True).loc["a.tif", "message"]


def test_every_face_is_reported(folder, tmp_path, quick, photo, face, monkeypatch):
    width = face_width(face.landmarks)
    row = run(folder, tmp_path / "out", smallest=30).loc["trip/a.jpg"]
    assert row["faces"] == "1" and row["sizes"] == f"{width:.0f}" and row["seen_from"] == "30, turned 75"
    for wrong in (5, float("nan"), 1e9):
        with pytest.raises(ValueError, match="smallest face"):
            Settings(smallest=wrong).checked()
    for field in ("strength", "margin"):
        with pytest.raises(ValueError, match=field):
            Settings(**{field: float("nan")}).checked()


def test_the_real_sample_has_no_visible_face(real_sample, tmp_path):
    source = real_sample / "validation/P3M-500-NP/original_image"  # seen from behind or hidden
    report = anonymize_folder(source, tmp_path / "out", jobs=1, progress=False)
    assert set(report["status"]) <= {"no face", "not done"}, "what looks like one stays a face to dlib"
    assert len(report) == 4 and not list((tmp_path / "out").glob("*.jpg"))
