"""The command line, called as a user calls it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.experiments import config


@pytest.fixture
def weights(home):
    assert main(["train", "basic", "--profile", "smoke", "--jobs", "1"]) == 0
    return next(path for path in home.rglob("model.safetensors") if "_masked" not in path.parent.name)


def test_list(home, capsys):
    assert main(["list", "--profile", "smoke"]) == 0
    text = capsys.readouterr().out
    assert "p3mnet_resnet34" in text and "table  7" in text and "not run" in text


def test_train_is_cached(weights, capsys):
    before = weights.stat().st_mtime_ns
    assert main(["train", "basic", "--profile", "smoke"]) == 0
    assert weights.stat().st_mtime_ns == before
    assert main(["list", "--profile", "smoke"]) == 0
    assert "cached" in capsys.readouterr().out


def test_synth_and_verify(tmp_path, capsys):
    target = tmp_path / "synth"
    assert main(["synth", str(target), "--profile", "smoke", "--count", "4", "--jobs", "1"]) == 0
    assert main(["verify", str(target)]) == 0
    assert "no problems" in capsys.readouterr().out
    mask = next((target / "P3M-10k" / "train" / "mask").glob("*.png"))
    mask.write_bytes(mask.read_bytes()[:50])
    assert main(["verify", str(target)]) == 1
    text = capsys.readouterr().out
    assert "damaged" in text and str(mask) in text


def test_predict_writes_alpha_and_cutout_and_goes_on_past_a_damaged_file(weights, tmp_path, capsys):
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(photos / "turned.jpg", exif=exif)
    picture.convert("L").save(photos / "grey.png")
    (photos / "damaged.jpg").write_bytes(b"\xff\xd8 not a picture")
    assert main(["predict", str(photos), "--weights", str(weights), "-o", str(output)]) == 1
    assert "damaged.jpg" in capsys.readouterr().err
    assert sorted(p.name for p in output.iterdir()) == [f"{n}_{k}.png" for n in ("grey", "turned") for k in ("alpha", "cutout")]
    assert io.read_matte(output / "turned_alpha.png").shape == (90, 50)
    cutout = Image.open(output / "grey_cutout.png")
    assert cutout.mode == "RGBA" and cutout.size == (90, 50)


def odd_pictures():
    """Name -> picture of every odd kind that people have, with the size (height, width) it should come back in."""
    colours = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    plain = Image.fromarray(colours)
    return {
        "grey.png": (plain.convert("L"), (40, 60)),
        "grey16.png": (Image.fromarray(colours[..., 0].astype(np.uint16) * 257), (40, 60)),
        "transparent.png": (plain.convert("RGBA"), (40, 60)),
        "print.jpg": (plain.convert("CMYK"), (40, 60)),
        "palette.png": (plain.convert("P"), (40, 60)),
        "dot.png": (Image.new("RGB", (1, 1), "red"), (1, 1)),
        "strip.png": (Image.new("RGB", (8000, 50), "blue"), (50, 8000)),
        "tower.jpg": (Image.new("RGB", (50, 8000), "blue"), (8000, 50)),
    }


def test_predict_takes_every_odd_picture(weights, tmp_path):
    pictures = odd_pictures()
    (tmp_path / "in").mkdir()
    for name, (picture, _) in pictures.items():
        picture.save(tmp_path / "in" / name)
    cv2.imwrite(str(tmp_path / "in" / "colour16.png"), np.full((30, 20, 3), 40000, np.uint16))
    assert main(["predict", str(tmp_path / "in"), "--weights", str(weights), "-o", str(tmp_path / "out")]) == 0
    for name, (_, shape) in {**pictures, "colour16.png": (None, (30, 20))}.items():
        alpha = io.read_matte(tmp_path / "out" / f"{Path(name).stem}_alpha.png")
        cutout = Image.open(tmp_path / "out" / f"{Path(name).stem}_cutout.png")
        assert alpha.shape == shape and cutout.size == shape[::-1], name


def test_predict_runs_on_real_portraits(weights, tmp_path, real_sample):
    folder = real_sample / "validation" / "P3M-500-P" / "blurred_image"
    assert main(["predict", str(folder), "--weights", str(weights), "-o", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*_alpha.png"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{photo}", "--weights", "none.safetensors", "-o", "out"], "none.safetensors: no such file"),
        (["predict", "absent.jpg", "--weights", "{weights}", "-o", "out"], "absent.jpg: no such file or folder"),
        (["predict", "{empty}", "--weights", "{weights}", "-o", "out"], "no image"),
        (["train", "nobody", "--profile", "smoke"], "no row 'nobody'"),
        (["list", "--profile", "huge"], "no profile 'huge'"),
        (["notebooks", "99_none", "--profile", "smoke"], "no notebook ['99_none']"),
        (["verify", "absent"], "absent: there is no such folder"),
        (["synth", "{empty}", "--count", "0"], "--count 0: at least 1"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments, message, weights, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"photo": weights, "weights": weights, "empty": tmp_path / "empty"}
    assert main([a.format(**places) for a in arguments]) == 1
    assert message in capsys.readouterr().err


def test_weights_of_another_network_are_refused(weights, tmp_path, capsys):
    config = json.loads(weights.with_name("config.json").read_text())
    config["options"]["tfi"] = True
    weights.with_name("config.json").write_text(json.dumps(config))
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "a.png"), "--weights", str(weights), "-o", str(tmp_path)]) == 1
    assert "not the weights that config.json describes" in capsys.readouterr().err


def test_imagenet_weights_that_are_missing_are_one_sentence(home, monkeypatch, capsys):
    grid = config.load()
    smoke = grid.profiles["smoke"]
    changed = smoke.model_copy(update={"train": smoke.train.model_copy(update={"init": "imagenet"})})
    monkeypatch.setitem(grid.profiles, "smoke", changed)
    monkeypatch.setenv("P3M_IMAGENET", str(home))
    assert main(["train", "p3mnet_swin_t", "--profile", "smoke", "--jobs", "1"]) == 1
    assert "(P3M_IMAGENET): no p3mnet_swin_t.safetensors or p3mnet_swin_t.pth in it" in capsys.readouterr().err


def test_two_inputs_never_write_one_file(weights, tmp_path, capsys):
    for suffix in ("png", "jpg"):
        Image.new("RGB", (40, 40)).save(tmp_path / f"same.{suffix}")
    assert main(["predict", str(tmp_path), "--weights", str(weights), "-o", str(tmp_path / "out")]) == 1
    assert "would write the same result" in capsys.readouterr().err
