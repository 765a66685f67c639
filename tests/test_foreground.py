"""Foreground and background layers for the released folder layout, which has none."""

import shutil
from concurrent.futures import Future

import numpy as np
import pytest

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.data import datasets, foreground
from p3mlib.data.datasets import LAYOUTS


@pytest.fixture
def released(home, tmp_path):
    """The smoke profile's P3M-10k without its layers, as the real one is published."""
    folder = tmp_path / "P3M-10k"
    shutil.copytree(home / "data" / "smoke" / "P3M-10k", folder)
    train = folder / LAYOUTS["train"].folder
    for layer in ("fg", "bg"):
        shutil.rmtree(train / layer)
    return folder


def test_layers_explain_the_image_and_training_finds_them(released):
    assert "fg" not in datasets.open_dataset("train", released, "B")[0]
    assert main(["layers", str(released), "--jobs", "2"]) == 0
    portraits = datasets.open_dataset("train", released, "B")
    assert len(portraits) == 16
    for i in range(len(portraits)):
        sample = portraits[i]
        alpha = sample["alpha"][..., None]
        composite = alpha * sample["fg"] + (1 - alpha) * sample["bg"]
        assert np.abs(composite - sample["image"]).mean() < 0.01
        solid = sample["alpha"] == 1
        assert np.abs(sample["fg"] - sample["image"])[solid].mean() < 0.01


def test_an_interrupted_call_goes_on_and_a_damaged_image_is_named(released, capsys):
    train = released / LAYOUTS["train"].folder
    assert main(["layers", str(released), "--jobs", "1", "--limit", "2"]) == 0
    first = sorted((train / "fg").iterdir())
    assert len(first) == 2
    before = first[0].stat().st_mtime_ns
    names = datasets.open_dataset("train", released, "B").names
    io.write_image(train / "mask" / f"{names[5]}.png", np.zeros((8, 8), np.float32))
    assert main(["layers", str(released), "--jobs", "1"]) == 1
    error = capsys.readouterr().err
    assert names[5] in error and "(8, 8)" in error
    assert len(list((train / "fg").iterdir())) == len(list((train / "bg").iterdir())) == 15
    assert first[0].stat().st_mtime_ns == before, "what was there is kept"
    (train / "bg" / first[0].name).unlink()
    first[0].rename(first[0].with_suffix(".webp"))  # whatever its format is
    main(["layers", str(released), "--jobs", "1", "--limit", "2"])
    assert (train / "bg" / first[0].name).exists() and not first[0].exists(), "only what lacked"


def test_whatever_goes_wrong_with_one_image_the_others_are_done(released, monkeypatch):
    def submit(pool, function, image, alpha, targets):
        task = Future()
        try:
            task.set_result(function(image, alpha, targets) if image.stem != bad else 1 // 0)
        except Exception as error:
            task.set_exception(error)
        return task

    portraits = datasets.open_dataset("train", released, "B")
    bad = portraits.names[1]
    monkeypatch.setattr(foreground.ProcessPoolExecutor, "submit", submit)
    failed = foreground.write_layers(released, jobs=1, limit=3, progress=False)
    assert list(failed) == [bad] and "ZeroDivisionError" in failed[bad] and bad in failed[bad]
    assert len(list((released / LAYOUTS["train"].folder / "fg").iterdir())) == 2


def test_a_folder_without_training_images(tmp_path, capsys):
    assert main(["layers", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
