"""Detection and what stays open, by size, on portraits made of the astronaut's."""

import numpy as np
import pytest
from skimage.data import astronaut

from p3mlib import io
from p3mlib.privacy import faces, measure
from p3mlib.privacy.photograph import Hidden


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six files of one portrait, and the mask of its skin; the last is a wall."""
    folder = tmp_path_factory.mktemp("portraits")
    photo = np.float32(astronaut()[:320, 60:420] / 255)
    y, x = np.mgrid[:320, :360]
    skin = np.hypot(x - 163, y - 110) < 55
    for n in range(6):
        io.write_image(folder / "image" / f"a{n}.jpg", photo if n < 5 else np.full_like(photo, 0.5))
        io.write_image(folder / "skin" / f"a{n}.png", skin)
    return folder


@pytest.fixture
def no_cnn(monkeypatch):
    monkeypatch.setattr(faces, "_cnn", lambda *_: ())


def test_sizes_views_and_groups(folder, no_cnn):
    rows = [row for names in (("a0",), ("a5",)) for row in measure._task(folder, (100,), names)]
    rows += measure._task(folder, (60,), tuple(f"a{n}" for n in range(6)))
    alone, wall, group = rows[:4], rows[4:8], rows[8:]
    assert [row["view"] for row in alone] == ["upright", "grey", "on its side", "upside down"]
    assert all(row["found"] and not row["extra"] and not row["open"] for row in alone)
    assert all(row["after"] > faces.SAME_PERSON for row in alone if row["outcome"] == "done")
    assert all((row["found"], row["outcome"], row["open"]) == (False, "no face", False) for row in wall)
    assert [row["found"] for row in group] == 5 * [True] + [False] and {row["outcome"] for row in group} == {"done"}


def test_a_face_that_was_not_hidden_is_open(folder, no_cnn, monkeypatch):
    monkeypatch.setattr(measure, "hide", lambda image, *_: Hidden(image, image[..., 0] < 0, None, 0))
    assert all(row["open"] for row in measure._task(folder, (100,), ("a0",)))
    monkeypatch.setattr(measure.faces, "same_place", lambda *_: False)
    assert not any(row["found"] for row in measure._task(folder, (100,), ("a0",)))


def test_the_table_by_size(folder):
    table = measure.by_size(measure.measure(folder, (100,), 1, 1, progress=False))
    assert list(table.columns)[:4] == ["upright", "grey", "on its side", "upside down"]
    assert table.loc[100, "upright"] == 100 and table.loc[100, "left open"] == 0 and table.loc[100, "hits elsewhere"] == 0
    with pytest.raises(FileNotFoundError, match="no image"):
        measure.measure(folder / "image")
