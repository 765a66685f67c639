"""Whose a file made by hand is, is settled for all photographs at once; what it marks; what a matte may not leave open."""

import json

import numpy as np
import pytest

from p3mlib import io
from p3mlib.anonymize import private_area
from p3mlib.privacy import exposure, faces, gather, hand
from p3mlib.privacy.photograph import Settings


def landmarks(centre=(100, 100), width=60):
    """A made-up face of 68 points on three rings."""
    turn = np.linspace(0, np.pi, 17)
    jaw = np.stack([-np.cos(turn), np.sin(turn)], 1) * width / 2
    brows = np.stack([np.linspace(-0.4, 0.4, 10), np.full(10, -0.3)], 1) * width
    parts = [((0, 0), 9), ((-0.2, -0.15), 6), ((0.2, -0.15), 6), ((0, 0.25), 20)]  # nose, eyes, mouth
    rings = []
    for middle, count in parts:
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        rings.append((np.array(middle) + 0.1 * np.stack([np.cos(angle), np.sin(angle)], 1)) * width)
    return np.concatenate([jaw, brows, *rings]) + centre


@pytest.fixture
def folders(tmp_path):
    """Function: names of photographs, names of files -> (photographs, base, folder of the files)."""

    def make(photographs, files):
        for folder, names in (("in", photographs), ("hand", files)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in names:
                (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / folder / name).write_bytes(b"")
        return [tmp_path / "in" / name for name in photographs], tmp_path / "in", tmp_path / "hand"

    return make


@pytest.mark.parametrize("name", ["a.json", "a.png", "a.PNG", "A.png", "a.jpg.png", "a.jpg", "a.JSON"])
def test_a_file_of_the_photographs_name_is_its_own(folders, name):
    (photo,), base, folder = folders(["a.jpg"], [name])
    assert hand.assign([photo], base, folder, True) == ({photo: (folder / name,)}, {}, {})


def test_every_other_file_is_named(folders):
    names = ["b.png", "a_mask.png", "a.txt", "x/a.png", "x/a.json"]
    photographs, base, folder = folders(["a.jpg"], names)
    assigned = hand.assign(photographs, base, folder, True)
    assert assigned.files == {} and set(assigned.unused) == {folder / name for name in names}
    assert "not a kind of file" in assigned.unused[folder / "a.txt"]
    assert "belongs to no photograph" in assigned.unused[folder / "b.png"]


def test_a_flat_name_that_fits_several_photographs_names_them(folders):
    photographs, base, folder = folders(["x/a.jpg", "y/a.jpg", "b.jpg"], ["a.png", "b.png"])
    assigned = hand.assign(photographs, base, folder, False)
    assert set(assigned.wrong) == set(photographs[:2]) and assigned.files == {photographs[2]: (folder / "b.png",)}
    assert all(str(photo) in assigned.wrong[photographs[0]] for photo in photographs[:2])
    (folder / "x").mkdir()
    (folder / "x/a.png").write_bytes(b"")
    assigned = hand.assign(photographs, base, folder, False)
    assert assigned.wrong == {} and assigned.files[photographs[1]] == (folder / "a.png",)


def test_photographs_are_not_their_own_files(folders):
    photographs, base, _ = folders(["a.png", "b.png", "b.json", "notes.txt"], [])
    assigned = hand.assign(photographs[:2], base, base, True)
    assert assigned == ({photographs[1]: (base / "b.json",)}, {}, {})


@pytest.mark.parametrize("way", ["plain", "dots", "link"])
def test_masks_beside_the_photographs_are_none_whatever_way_leads_there(folders, way, tmp_path):
    _, base, _ = folders(["a.jpg", "marks/a.png"], [])
    (tmp_path / "link").symlink_to(base)
    source = {"plain": base, "dots": base / ".." / base.name, "link": tmp_path / "link"}[way]
    settings = Settings(landmarks=source / "marks")
    images, refused = gather.gather(source, tmp_path / "out", settings)
    assert images == [source / "a.jpg"] and refused == {}
    marks, _, unused = gather.assign(images, source, settings)
    assert marks.files == {source / "a.jpg": (source / "marks/a.png",)} and unused == []


def test_several_marks_add_up_and_two_mattes_are_refused(folders):
    photographs, base, folder = folders(["a.jpg"], ["a.json", "a.png", "a.jpg.png"])
    assert len(hand.assign(photographs, base, folder, True).files[photographs[0]]) == 3
    assert "two mattes" in hand.assign(photographs, base, folder, False).wrong[photographs[0]]


def test_outlines_are_filled_and_sizes_checked(tmp_path):
    ring = np.zeros((60, 80), bool)
    ring[20:40, 30:50] = True
    ring[22:38, 32:48] = False
    io.write_image(tmp_path / "a.png", ring)
    marked = hand.read([tmp_path / "a.png"], (60, 80))
    assert marked.faces == [] and marked.mask.sum() == 400
    with pytest.raises(ValueError, match="a.png: 80x60 px, but its image has 60x80; it fits the stored pixels"):
        hand.read([tmp_path / "a.png"], (80, 60), turn=6)


def test_a_mask_of_the_stored_pixels_hides_both_readings_unless_a_detected_face_decides(tmp_path):
    drawn = np.zeros((200, 200), bool)
    drawn[10:40, 10:40] = True
    io.write_image(tmp_path / "a.png", drawn)
    for turn, other in ((3, (slice(160, 190), slice(160, 190))), (6, (slice(10, 40), slice(160, 190)))):
        both = hand.read([tmp_path / "a.png"], (200, 200), turn)
        assert both.mask[drawn].all() and both.mask[other].all() and both.mask.sum() == 1800 and "Both are hidden" in both.note
    face = faces.Face(landmarks((25, 25), 20), (0, 0, 1, 1), 1.0, "hog")
    assert hand.read([tmp_path / "a.png"], (200, 200), 3, [face]).mask.sum() == 900
    (tmp_path / "a.json").write_text(json.dumps([landmarks((50, 50)).tolist()]))
    turned = hand.read([tmp_path / "a.json"], (200, 300), 8)
    assert len(turned.faces) == 1 and turned.mask.any(), "landmarks may be of the stored pixels too"


def test_what_a_matte_leaves_open_inside_a_person_is_counted():
    points, shape = landmarks(), (200, 200)
    private = private_area(points, shape, "hull")
    mouth = exposure.part_areas(points, shape)["mouth"]
    alpha = np.ones(shape, np.float32)
    alpha[:, :20] = 0
    assert exposure.left_by_matte(points, private, private, alpha, 9) == ""
    words = exposure.left_by_matte(points, private, private & ~mouth, alpha, 9)
    assert "100% of the mouth" in words
    edge = np.where(np.arange(200)[:, None] < 100, np.float32(1), np.float32(0)) * np.ones(shape, np.float32)
    band = abs(np.arange(200) - 100)[:, None] < 5
    assert exposure.left_by_matte(points, private, private & ~band, edge, 9) == "", "along the outline the paper leaves a rim"
