"""`predict` on whole folders: whatever one photograph holds, the others are done; what is finished is not done again."""

import os
import shutil

import numpy as np
import odd
import pytest
import torch
from PIL import Image

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.experiments import predict as tool
from p3mlib.models import build_model, save_pretrained


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained network, whose alpha depends on every pixel."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("weights")
    save_pretrained(build_model("modnet", width=0.0625), folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Two photographs, one of them in a sub-folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    (tmp_path / "in" / "trip").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    Image.fromarray(255 - pixels).save(tmp_path / "in" / "trip" / "b.jpg")
    return tmp_path / "in"


def run(inputs, weights, output, **options):
    """What could not be done: name -> reason."""
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return {path.name: why for path, why in tool.predict_files(inputs, weights, output, progress=False, **options).items()}


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_sub_folders_are_searched_and_kept(photos, weights, tmp_path):
    assert run(photos, weights, tmp_path / "out") == {}
    assert written(tmp_path / "out") == ["a_alpha.png", "a_cutout.png", "trip/b_alpha.png", "trip/b_cutout.png"]
    alpha = io.read_matte(tmp_path / "out/a_alpha.png", checked=False)
    cutout = np.asarray(Image.open(tmp_path / "out/a_cutout.png"))
    assert alpha.shape == (50, 70) and np.array_equal(np.rint(alpha * 255), cutout[..., 3])


def test_the_fast_network_is_used_and_gives_what_the_plain_one_gives(photos, weights, tmp_path, monkeypatch):
    from p3mlib.models import from_pretrained
    from p3mlib.models.inference import Fast, predict

    seen = []
    monkeypatch.setattr(tool, "predict", lambda model, *args, **how: seen.append(type(model)) or predict(model, *args, **how))
    run(photos / "a.png", weights, tmp_path / "out")
    image = io.read_photograph(photos / "a.png")
    plain = predict(from_pretrained(weights).eval(), image, ratio=1.0)
    assert seen == [Fast] and np.abs(io.read_matte(tmp_path / "out/a_alpha.png", checked=False) - plain).max() < 0.01


def test_colours_come_out_in_srgb(weights, tmp_path):
    odd.plain().save(tmp_path / "a.png", icc_profile=odd.wide_gamut())
    run(tmp_path / "a.png", weights, tmp_path / "out")
    with Image.open(tmp_path / "out/a_cutout.png") as cutout:
        got = np.median(np.asarray(cutout)[8:32, 4:24, :3].reshape(-1, 3), axis=0) / 255
        assert "icc_profile" not in cutout.info
    assert got == pytest.approx(odd.display_p3(np.array([200, 60, 60]) / 255), abs=0.05)


@pytest.mark.parametrize("side", [1, 40, 900])
def test_a_cutout_has_the_colours_of_the_photograph_and_nothing_of_the_background(side):
    y = np.linspace(0, 1, side, dtype=np.float32)[:, None]
    alpha = np.clip(np.repeat(y, side, 1) * 4 - 1.5, 0, 1)
    image = alpha[..., None] * np.float32([0.9, 0.5, 0.1]) + (1 - alpha[..., None]) * np.float32([0.1, 0.2, 0.9])
    colours = tool._colours(image, alpha)
    assert colours.shape == image.shape
    assert not colours[alpha == 0].any() and np.array_equal(colours[alpha == 1], image[alpha == 1])
    between = (alpha > 0.3) & (alpha < 1)
    assert not between.any() or np.abs(colours[between] - [0.9, 0.5, 0.1]).mean() < 0.1


def test_hidden_pixels_are_not_shown_to_the_network(weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    pixels[1, :30] = pixels[0, :30]
    alpha = np.where(np.arange(50)[:, None, None] < 30, 255, 0).astype(np.uint8).repeat(70, 1)
    for name, colours in zip("ab", pixels, strict=True):
        Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / f"{name}.png")
    run([tmp_path / "a.png", tmp_path / "b.png"], weights, tmp_path / "out")
    assert (tmp_path / "out/a_alpha.png").stat().st_size > 200
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / f"out/{name}_cutout.png")) for name in "ab"))


def test_whatever_goes_wrong_with_one_the_others_are_done(photos, weights, tmp_path, monkeypatch):
    real, broken = (
        tool.io.read_photograph,
        {"1": MemoryError(), "2": RuntimeError("odd"), "3": KeyError("x"), "4": OverflowError("big")},
    )
    for name in broken:
        shutil.copy(photos / "a.png", photos / f"{name}.png")
    (photos / "5.png").write_bytes(b"no picture")
    (photos / "6.gif").write_bytes(b"GIF89a")

    def read(path):
        if path.stem in broken:
            raise broken[path.stem]
        return real(path)

    monkeypatch.setattr(tool.io, "read_photograph", read)
    failed = run(photos, weights, tmp_path / "out")
    assert set(failed) == {*(f"{name}.png" for name in broken), "5.png", "6.gif"} and len(written(tmp_path / "out")) == 4
    assert failed["1.png"].startswith("not enough memory") and failed["2.png"] == "RuntimeError: odd"
    assert failed["5.png"].startswith("damaged or not an image") and "save it as JPEG or PNG" in failed["6.gif"]


def test_a_full_disk_is_named_and_leaves_nothing_half_written(photos, weights, tmp_path, monkeypatch):
    real = Image.Image.save

    def full(picture, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", full)
    failed = run(photos, weights, tmp_path / "out")
    assert len(failed) == 2 and all("No space left on device in " in why for why in failed.values())
    assert written(tmp_path / "out") == []
    monkeypatch.setattr(Image.Image, "save", real)
    assert run(photos, weights, tmp_path / "out") == {} and len(written(tmp_path / "out")) == 4


def test_too_large_for_the_memory_is_said_before_it_is_read(photos, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "_BYTES", 1e12)
    assert all(why.startswith("too large for the memory at hand") for why in run(photos, weights, tmp_path / "out").values())


def test_what_is_finished_is_not_done_again_until_something_changes(photos, weights, tmp_path, monkeypatch):
    real, done = tool._one, []

    def one(photograph, *arguments):
        done.append(photograph.path.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        real(photograph, *arguments)

    monkeypatch.setattr(tool, "_one", one)
    with pytest.raises(KeyboardInterrupt):
        run(photos, weights, tmp_path / "out")
    run(photos, weights, tmp_path / "out")
    assert done == ["a.png", "b.jpg", "b.jpg"], "interrupted, then gone on with"

    def again(**options):
        done[:] = ["counts", "from three"]
        run(photos, options.pop("weights", weights), tmp_path / "out", **options)
        return done[2:]

    assert again() == [] and again(force=True) == ["a.png", "b.jpg"]
    assert again(ratio=0.7) == ["a.png", "b.jpg"] and again(ratio=0.7) == []
    shutil.copy(photos / "trip/b.jpg", tmp_path / "kept.jpg")
    Image.new("RGB", (60, 60)).save(photos / "trip/b.jpg")
    assert again(ratio=0.7) == ["b.jpg"], "the photograph has changed"
    (tmp_path / "out/a_cutout.png").unlink()
    assert again(ratio=0.7) == ["a.png"], "half of it was missing"
    torch.manual_seed(2)
    save_pretrained(build_model("modnet", width=0.0625), tmp_path / "other")
    assert again(ratio=0.7, weights=tmp_path / "other") == ["a.png", "b.jpg"]


def test_a_file_that_is_not_ours_stays_and_a_damaged_one_of_ours_is_made_anew(photos, weights, tmp_path):
    out, grey = tmp_path / "out", Image.new("L", (70, 50), 128)
    out.mkdir()
    grey.save(out / "a_alpha.png")
    before = (out / "a_alpha.png").read_bytes()
    failed = run(photos, weights, out)
    assert list(failed) == ["a.png"] and "a_alpha.png is there and was not written by predict" in failed["a.png"]
    assert (out / "a_alpha.png").read_bytes() == before and written(out) == [
        "a_alpha.png",
        "trip/b_alpha.png",
        "trip/b_cutout.png",
    ]
    assert run(photos, weights, out, force=True) == {}
    whole = (out / "a_alpha.png").read_bytes()
    assert whole != before
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], b"", bytes(flipped)):
        (out / "a_alpha.png").write_bytes(damaged)
        assert run(photos, weights, out) == {} and (out / "a_alpha.png").read_bytes() == whole


def test_results_in_the_folder_of_the_photographs_are_not_taken_for_photographs(photos, weights):
    assert run(photos, weights, photos) == {}
    files = written(photos)
    assert len(files) == 6
    assert run(photos, weights, photos) == {} and written(photos) == files
    assert run(sorted(photos.glob("*.png")), weights, photos) == {} and written(photos) == files, "nor by their names"
    with pytest.raises(ValueError, match="only results of an earlier call"):
        run(photos / "a_alpha.png", weights, photos)


def test_a_folder_of_results_within_that_of_the_photographs(photos, weights):
    for _ in range(2):
        assert run(photos, weights, photos / "out") == {}
        assert written(photos / "out") == ["a_alpha.png", "a_cutout.png", "trip/b_alpha.png", "trip/b_cutout.png"]
    (photos / "out" / ".eaf35f67.99999999.partial.png").touch()
    assert run(photos, weights, photos / "out") == {} and len(written(photos / "out")) == 4, "what a killed call left goes"


def test_two_photographs_never_write_one_file_and_none_overwrites_another(photos, weights, tmp_path):
    shutil.copy(photos / "trip/b.jpg", photos / "a.jpg")
    failed = run(photos, weights, tmp_path / "out")
    assert set(failed) == {"a.jpg", "a.png"} and "would write the same result" in failed["a.jpg"]
    assert written(tmp_path / "out") == ["trip/b_alpha.png", "trip/b_cutout.png"]
    assert set(run([photos / "a.png", photos / "a.png"], weights, tmp_path / "twice")) == set(), "the same file twice is one"
    (photos / "a.jpg").unlink()
    shutil.copy(photos / "a.png", photos / "a_alpha.png")  # in colour: a photograph
    failed = run(photos, weights, photos)
    assert list(failed) == ["a.png"] and "would overwrite the photograph" in failed["a.png"]
    assert np.array_equal(Image.open(photos / "a_alpha.png"), Image.open(photos / "a.png"))


def test_a_second_folder_does_not_overwrite_results_of_the_first(photos, weights, tmp_path):
    second, out = tmp_path / "second", tmp_path / "out"
    second.mkdir()
    Image.new("RGB", (70, 50), "red").save(second / "a.png")
    assert run(photos, weights, out) == {}
    first = (out / "a_alpha.png").read_bytes()
    failed = run(second, weights, out)
    assert "a_alpha.png is of another photograph of this name" in failed["a.png"] and (out / "a_alpha.png").read_bytes() == first
    photos.rename(tmp_path / "moved")
    assert run(tmp_path / "moved", weights, out) == {}, "the same photographs elsewhere are done"
    assert run(second, weights, out, force=True) == {} and (out / "a_alpha.png").read_bytes() != first


def test_inputs_that_are_not_there_or_empty_are_named_and_the_others_done(photos, weights, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    inputs = [str(tmp_path / name) for name in ("nowhere.jpg", "empty", "in")]
    assert main(["predict", *inputs, "--weights", str(weights), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "nowhere.jpg: no such file or folder" in error and "empty: no image in it" in error
    assert len(written(tmp_path / "out")) == 4


def test_odd_names(photos, weights, tmp_path):
    shutil.copy(photos / "a.png", photos / ("m" * 248 + ".png"))
    shutil.copy(photos / "a.png", photos / ("あ" * 78 + ".png"))
    count = 6
    try:
        shutil.copy(photos / "a.png", os.fsencode(photos) + b"/M\xfcller.png")
        count += 2
    except OSError:  # this file system takes UTF-8 names only
        pass
    failed = run(photos, weights, tmp_path / "out")
    assert list(failed) == ["m" * 248 + ".png"] and "ame too long" in next(iter(failed.values()))
    assert len(written(tmp_path / "out")) == count


def test_sizes_that_no_network_was_made_for(weights, tmp_path):
    (tmp_path / "in").mkdir()
    sizes = {"a": (1, 1), "b": (2000, 1), "c": (1, 2000), "d": (7, 9), "e": (3000, 50)}
    for name, size in sizes.items():
        Image.new("RGB", size, (90, 120, 30)).save(tmp_path / "in" / f"{name}.png")
    assert run(tmp_path / "in", weights, tmp_path / "out") == {}
    assert all(Image.open(tmp_path / f"out/{name}_cutout.png").size == size for name, size in sizes.items())


def test_further_pages_are_left_out_with_a_word(weights, tmp_path, caplog):
    one = Image.new("RGB", (60, 60), "red")
    one.save(tmp_path / "a.tif", save_all=True, append_images=[one])
    assert run(tmp_path / "a.tif", weights, tmp_path / "out") == {}
    assert "a.tif: holds 2 pages or frames, of which the first is done" in caplog.text


def test_a_device_that_is_not_there_is_one_sentence(photos, weights, tmp_path):
    for device in ("nonsense", "cuda:7"):
        with pytest.raises(ValueError, match=f"device '{device}': "):
            run(photos, weights, tmp_path / "out", device=device)
    assert run(photos, weights, tmp_path / "out", device="cpu") == {}
