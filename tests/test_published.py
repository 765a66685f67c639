"""The names of P3M-10k: what a copy lacks is told apart from what was never published; other folders are left alone."""

import shutil

import numpy as np
import pytest

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.data import published
from p3mlib.data.verify import remarks, verify

FOLDERS = {"train": ("train", "blurred_image"), "P3M-500-P": ("validation/P3M-500-P", "blurred_image")}


def write(root, name, stems):
    """Images and mattes of a set, as small as can be."""
    folder, images = FOLDERS[name]
    y, x = np.mgrid[:24, :20]
    alpha = np.clip(6 - np.hypot(x - 10, y - 12), 0, 1)
    for i, stem in enumerate(stems):
        for part, array in ((f"{images}/{stem}.jpg", np.full((24, 20, 3), 0.4)), (f"mask/{stem}.png", alpha)):
            path = root / folder / part
            if i == 0:
                io.write_image(path, array)
            else:
                shutil.copyfile(path.with_stem(stems[0]), path)


def test_every_name_is_there_once():
    found = published.names()
    assert {name: len(stems) for name, stems in found.items()} == {"train": 9421, "P3M-500-P": 500, "P3M-500-NP": 500}
    assert len(frozenset().union(*found.values())) == 10421
    assert all(len(stem) == 10 and stem.startswith("p_") for stems in found.values() for stem in stems)


def test_what_a_whole_set_lacks_is_named_and_what_was_never_published_is_no_fault(tmp_path, capsys):
    stems = sorted(published.names()["P3M-500-P"])
    write(tmp_path, "P3M-500-P", stems[3:])
    assert main(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    gone = [line for line in lines if line.startswith("missing")]
    assert len(gone) == 3 and all(f"blurred_image/{stem}.jpg" in line for stem, line in zip(stems, gone, strict=False))
    assert "note        train: none of the 9,421 published images is here" in lines
    assert "note        P3M-500-P: original_image/ is not here because it was never published" in lines
    assert lines[-1].endswith("3 problems")


def test_many_are_one_line(tmp_path):
    stems = sorted(published.names()["P3M-500-P"])
    write(tmp_path, "P3M-500-P", stems[200:])
    (problem,) = verify(tmp_path, progress=False)
    assert problem.kind == "missing" and problem.path.name == "blurred_image"
    assert problem.message.startswith(f"200 of the 500 published images are not here ({stems[0]}, ")


def test_an_image_of_another_set_is_found(tmp_path):
    stems = [*sorted(published.names()["train"])[:3], *sorted(published.names()["P3M-500-NP"])[:1]]
    write(tmp_path, "train", stems)
    (problem,) = verify(tmp_path, progress=False)
    assert problem.kind == "mismatched" and problem.message == f"{stems[-1]} belongs to P3M-500-NP, not to train"
    assert "train: 3 of the 9,421 published images are here, 9,418 lack" in remarks(tmp_path)


@pytest.mark.parametrize("stems", [["p_00000", "p_00001"], ["mine", "yours", "p_000202b0"]])
def test_other_folders_are_left_alone(tmp_path, stems):
    write(tmp_path, "train", stems)
    assert verify(tmp_path, progress=False) == [] == remarks(tmp_path)


def test_p3m_synth_is_left_alone(tmp_path):
    write(tmp_path / "P3M-10k", "P3M-500-P", sorted(published.names()["P3M-500-P"])[:3])
    assert remarks(tmp_path)
    (tmp_path / "synth.json").write_text("{}")
    assert remarks(tmp_path) == []


def test_a_sample_says_in_one_line_a_set_how_much_of_it_it_is(real_sample, capsys):
    assert main(["verify", str(real_sample)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "note        P3M-500-P: 3 of the 500 published images are here, 497 lack" in lines
    assert "note        P3M-500-NP: 3 of the 500 published images are here, 497 lack" in lines
    assert "note        P3M-500-NP: p_bd6af989 belongs to P3M-500-P, not to P3M-500-NP" in lines
    assert len(lines) == 6 and lines[-1].endswith("no problems")
