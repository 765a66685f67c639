"""Face masks and colours that a training needs are asked for before any training begins."""

import shutil

import pytest

from p3mlib.__main__ import main
from p3mlib.data.datasets import MissingData, open_dataset
from p3mlib.experiments import config, runs
from p3mlib.experiments.needs import check


@pytest.fixture
def released(home, tmp_path, monkeypatch):
    """P3M-10k as it is published at the least: blurred images and mattes of the training set."""
    root = tmp_path / "P3M-10k"
    shutil.copytree(home / "data/smoke/P3M-10k", root)
    for folder in ("fg", "bg", "facemask", "original_image"):
        shutil.rmtree(root / "train" / folder)
    monkeypatch.setenv("P3M_ROOT", str(root))
    return root


def test_without_colours_nothing_is_trained_and_the_cure_is_named(released, home, capsys):
    assert main(["train", "basic", "--profile", "smoke", "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert f"{released / 'train/fg'}: no foreground colours for 16 of 16 training images" in error
    assert f"`python -m p3mlib layers {released}` makes them" in error
    assert not list(home.rglob("train.csv"))


def test_without_face_masks_nothing_is_trained_and_the_row_is_missing_data(released, home, capsys):
    assert main(["layers", str(released), "--jobs", "1"]) == 0
    rows = ["basic", "p3mnet_r34_icp"]
    assert main(["train", *rows, "--profile", "smoke", "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert "train/facemask: no face masks for 16 of 16" in error and "row 'p3mnet_r34_icp' pastes faces there" in error
    assert "p3mlib anonymize" in error and not list(home.rglob("train.csv")), "the base of a row is not trained first either"
    grid = config.load()
    assert [runs.folder(grid.experiment(row, "smoke")) is None for row in rows] == [False, True]


def test_a_network_whose_loss_composes_nothing_needs_no_colours(released):
    grid = config.load()
    portraits = open_dataset("train", released)
    check(grid.experiment("modnet", "smoke"), portraits)
    for row in ("gfm", "p3mnet_r34"):
        with pytest.raises(MissingData, match=f"row '{row}' composes images"):
            check(grid.experiment(row, "smoke"), portraits)


def test_one_image_without_its_face_mask_is_named(home, tmp_path):
    shutil.copytree(home / "data/smoke/P3M-10k", tmp_path / "P3M-10k")
    portraits = open_dataset("train", tmp_path / "P3M-10k")
    (tmp_path / f"P3M-10k/train/facemask/{portraits.names[3]}.png").unlink()
    with pytest.raises(MissingData, match=rf"no face masks for 1 of 16 training images \({portraits.names[3]}\)"):
        check(config.load().experiment("p3mnet_r34_fcp", "smoke"), open_dataset("train", tmp_path / "P3M-10k"))
