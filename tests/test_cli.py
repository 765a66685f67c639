"""The command line, called as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import p3mlib.__main__ as command_line
from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.experiments import config
from p3mlib.models import bases

COMMANDS = {command.name or command.callback.__name__ for command in command_line.app.registered_commands}


def python(*arguments, **environment):
    """A Python of its own with this package, as (exit status, stdout, stderr)."""
    path = os.pathsep.join([str(Path(command_line.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_docstring_names_every_command():
    listed = command_line.__doc__.split("Commands: ")[1].split(".")[0].replace("\n", " ").split(", ")
    assert set(listed) == COMMANDS and len(listed) == len(set(listed))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    about = next(c for c in command_line.app.registered_commands if (c.name or c.callback.__name__) == command)
    assert f"p3mlib {command}" in text and about.callback.__doc__ in text


def test_help_needs_no_pytorch():
    loaded = "import sys; from p3mlib.__main__ import main; status = main(['list', '--help']); "
    status, _, error = python("-c", loaded + "sys.exit(status or int(any(m in sys.modules for m in ('torch', 'papermill'))))")
    assert status == 0, error


def test_the_shell_completes_commands_and_rows():
    script = "import sys; sys.argv = ['p3mlib']; from p3mlib.__main__ import main; main()"
    for words, place, expected in (("p3mlib an", 1, "anonymize"), ("p3mlib train p3mnet_r", 2, "p3mnet_r34")):
        asked = {"_P3MLIB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        assert expected in python("-c", script, **asked)[1].split()


def test_openmp_waits_without_spinning_wherever_the_package_is_imported():
    script = "import os, sys, p3mlib; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    assert python("-c", script, OMP_WAIT_POLICY="ACTIVE")[1] == "ACTIVE\n", "the user's own goes first"
    assert python("-c", f"import os; os.environ.pop('OMP_WAIT_POLICY'); {script}", OMP_WAIT_POLICY="")[1] == "PASSIVE\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["nonsense"], "No such command 'nonsense'"),
        (["list", "--profil", "smoke"], "No such option: --profil"),
        (["synth"], "Missing argument 'FOLDER'"),
        (["synth", "d", "--count", "0"], "'--count'"),
        (["synth", "d", "--seed", "-1"], "'--seed'"),
        (["anonymize", "a", "b", "--method", "melt"], "'melt' is not one of 'blur', 'mosaic', 'mask'"),
        (["predict", "a.jpg", "--weights", "w"], "Missing option '-o' / '--output'"),
        (["bench", "--size", "100"], "100 is not a positive multiple of 32"),
        (["bench", "--rounds", "0"], "'--rounds'"),
        (["layers", "d", "--limit", "-1"], "'--limit'"),
        *(
            (["predict", "a.jpg", "--weights", "w", "-o", "o", "--ratio", r], "'--ratio'")
            for r in ("0", "-1", "nan", "inf", "1000")
        ),
        *((["anonymize", "a", "b", "--strength", s], "'--strength'") for s in ("nan", "inf", "-1", "0", "1e9")),
        *((["anonymize", "a", "b", "--margin", m], "'--margin'") for m in ("nan", "inf", "-0.3", "1e9")),
        *(([c, "d", *more, "--jobs", "0"], "'--jobs'") for c, more in (("synth", ()), ("layers", ()), ("anonymize", ("o",)))),
        *(([c, "--jobs", "-2"], "'--jobs'") for c in ("train", "notebooks")),
    ],
)
def test_wrong_arguments_are_one_line_before_any_work(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1 and "--help" in captured.err
    assert message in captured.err and captured.err.startswith(" ".join(["p3mlib", *arguments[:1]]) + ": ")
    assert not list(tmp_path.iterdir())


def test_what_nobody_caught_is_one_sentence(monkeypatch, capsys):
    def broken(folder):
        raise MemoryError("no room\nfor an array")

    monkeypatch.setattr("p3mlib.data.verify.verify", broken)
    assert main(["verify", "data"]) == 1
    assert capsys.readouterr().err == "p3mlib verify: MemoryError: no room for an array\n"
    monkeypatch.setenv("P3M_TRACEBACK", "1")
    assert main(["verify", "data"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("Traceback") and "in broken" in text and text.endswith("no room for an array\n")


def test_an_interrupt_is_130(monkeypatch, capsys):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("p3mlib.data.verify.verify", interrupted)
    assert main(["verify", "data"]) == 130
    assert capsys.readouterr().err == "interrupted\n", "it begins anew"
    monkeypatch.setattr("p3mlib.data.foreground.write_layers", lambda *_: interrupted(0))
    assert main(["layers", "data"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on from here\n"


@pytest.fixture
def weights(home):
    assert main(["train", "basic", "--profile", "smoke", "--jobs", "1"]) == 0
    return next(home.glob("runs/smoke/basic-*/model.safetensors"))


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


def test_predict_without_weights_takes_those_for_photographs(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr("p3mlib.experiments.predict.load", lambda name: taken.append(name) or bases.load(name))
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]) == 0
    assert taken == [bases.PHOTO] and io.read_matte(tmp_path / "out" / "a_alpha.png")[80:180, 190:270].mean() > 0.9


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
        (["notebooks", "--profile", "huge"], "no profile 'huge'"),
        (["notebooks", "99_none", "--profile", "smoke"], "no notebook ['99_none']"),
        (["verify", "absent"], "absent: there is no such folder"),
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
