"""P3M-Synth on disk: the layouts, seeds that never collide, resuming, and refusing to touch what is not its own."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from p3mlib import anonymize, io, matte
from p3mlib.data import celeba, datasets
from p3mlib.data.verify import verify
from p3mlib.synthetic import dataset

COUNTS = {"train": 4, "P3M-500-P": 3, "P3M-500-NP": 2, "RWP": 2, "CelebA": 3}
SIZE = (56, 48)


def stub_portrait(seed, size, distribution):
    """A disc with a face, or without one for seeds divisible by three; quick, and of the real renderer's form."""
    rng, (height, width) = np.random.default_rng(seed), size
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x - width / 2, y - height / 2)
    alpha = np.clip((0.4 * min(size) - distance) / 3 + 0.5, 0, 1).astype(np.float32)
    fg, bg = rng.random((2, height, width, 3), dtype=np.float32)
    angle, radius = np.linspace(np.pi, 0, 17), 0.2 * min(size)
    points = np.concatenate(
        [np.c_[np.cos(angle), np.sin(angle)], np.c_[np.linspace(-1, 1, 10), np.full(10, -0.5)], np.zeros((41, 2))]
    )
    skin, brow = distance < radius, np.zeros(size, bool)
    brow[height // 2 - 4, width // 2 - 3 : width // 2] = True
    return SimpleNamespace(
        image=matte.composite(fg, bg, alpha), alpha=alpha, fg=fg, bg=bg,
        parts={"skin": skin, "l_brow": brow, "hat": brow & ~brow},
        landmarks=None if seed % 3 == 0 else points * radius + [width / 2, height / 2],
        attributes={"yaw": np.float32(1.5), "hair": "short", "distribution of hair": distribution},
    )  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """Replace the renderer by the stub; the list receives the seed of every image that is drawn."""
    seeds = []

    def render_portrait(seed, size, distribution):
        seeds.append(seed)
        return stub_portrait(seed, size, distribution)

    monkeypatch.setattr(dataset.renderer, "render_portrait", render_portrait)
    monkeypatch.setattr(dataset.renderer, "photograph", lambda portrait, seed: portrait.image)
    return seeds


def write(root, counts=COUNTS, size=SIZE, seed=0, **options):
    return dataset.write_all(root, counts, size, seed, **{"jobs": 1, "progress": False, **options})


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


def test_the_layouts_read_like_the_real_ones(tmp_path, drawn):
    root = write(tmp_path / "synth")
    assert verify(root, progress=False) == []
    for name, domain in (("train", "B"), ("train", "N"), ("P3M-500-P", "B"), ("P3M-500-P", "N"), ("P3M-500-NP", "N")):
        portraits = datasets.open_dataset(name, root / "P3M-10k", domain)
        assert len(portraits) == COUNTS[name] and portraits.synthetic and portraits.names[0] == "p_00000"
        assert portraits[0]["image"].shape == (*SIZE, 3) and portraits.has("facemask")
        assert portraits.has("fg") == portraits.has("bg") == (name == "train") and portraits.has("trimap") == (name != "train")
    rwp = datasets.open_dataset("RWP", root / "RealWorldPortrait-636", "N")
    assert len(rwp) == 2 and rwp.has("trimap") and rwp.synthetic
    faces = celeba.open_faces(root / "CelebAMask-HQ")
    assert len(faces) == 3 and set(faces[0]["parts"]) == {"skin", "l_brow"} and faces[0]["facemask"].any()
    assert io.image_size(celeba.part_path(root / "CelebAMask-HQ", "0", "skin")) == (28, 24)


def test_the_files_are_what_was_drawn(tmp_path, drawn):
    root = write(tmp_path)
    train = datasets.open_dataset("train", root / "P3M-10k", "N")
    figure = stub_portrait(dataset.image_seed(0, "train", 1), SIZE, "P3M")
    item = train[1]
    face, rounding = item["facemask"], 0.501 / 255
    for part in ("alpha", "bg"):
        assert np.abs(item[part] - getattr(figure, part)).max() <= rounding
    assert np.abs(item["fg"] - figure.fg)[~face].max() <= rounding and np.array_equal(item["fg"][face], item["image"][face])
    assert np.abs(item["image"] - figure.image).mean() < 0.05  # a JPEG of noise
    test = datasets.open_dataset("P3M-500-P", root / "P3M-10k", "B")[0]
    assert np.array_equal(test["trimap"], matte.make_trimap(test["alpha"], anonymize.default_kernel(SIZE)))


def test_no_file_but_the_original_image_shows_the_face(tmp_path, drawn):
    root = write(tmp_path) / "P3M-10k"
    for name in ("train", "P3M-500-P"):
        for blurred, normal in zip(*(datasets.open_dataset(name, root, domain) for domain in "BN"), strict=True):
            face = blurred["facemask"]
            for part in {"image", "fg"} & blurred.keys() if face.any() else ():
                away = np.abs(blurred[part] - normal["image"])[face].mean()
                assert away > 0.1 and away > 3 * np.abs(blurred[part] - blurred["image"])[face].mean(), part


def test_blurred_differs_from_original_only_near_the_face(tmp_path, drawn):
    root = write(tmp_path)
    landmarks = json.loads((root / "P3M-10k/train/landmarks.json").read_text())
    pairs = zip(*(datasets.open_dataset("train", root / "P3M-10k", domain) for domain in "BN"), strict=True)
    faces = 0
    for blurred, normal in pairs:
        changed = (blurred["image"] != normal["image"]).any(axis=2)
        if landmarks[blurred["name"]] is None:
            assert not changed.any() and not blurred["facemask"].any()
            continue
        faces += 1
        y, x = np.nonzero(blurred["facemask"])  # a JPEG changes in whole blocks of 8
        assert changed[blurred["facemask"]].mean() > 0.9 and len(landmarks[blurred["name"]]) == 68
        rows, columns = np.nonzero(changed)
        assert rows.min() >= y.min() - 8 and rows.max() <= y.max() + 8 and columns.min() >= x.min() - 8
    assert faces


def test_attributes_tell_how_every_image_was_made(tmp_path, drawn):
    root = write(tmp_path)
    attributes = json.loads((root / "P3M-10k/validation/P3M-500-NP/attributes.json").read_text())
    assert list(attributes) == ["p_00000", "p_00001"]
    seed = dataset.image_seed(0, "P3M-500-NP", 1)
    assert attributes["p_00001"] == {
        "seed": seed,
        "distribution": "NP",
        "yaw": 1.5,
        "hair": "short",
        "distribution of hair": "NP",
    }
    spec = json.loads((root / "synth.json").read_text())
    assert spec == {"version": dataset.SYNTH_VERSION, "size": [56, 48], "seed": 0, "counts": COUNTS}


def test_no_two_images_share_a_seed():
    seeds = [dataset.image_seed(seed, name, index) for seed in (0, 1) for name in dataset.SETS for index in range(500)]
    assert len(set(seeds)) == len(seeds) and all(type(seed) is int and 0 <= seed < 2**53 for seed in seeds)


def test_a_second_call_draws_nothing(tmp_path, drawn):
    before = contents(write(tmp_path))
    drawn.clear()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert contents(write(tmp_path)) == before and drawn == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_a_lost_file_is_drawn_again(tmp_path, drawn):
    before = contents(write(tmp_path))
    drawn.clear()
    for name in ("P3M-10k/train/fg/p_00002.png", "CelebAMask-HQ/CelebAMask-HQ-mask-anno/0/00001_l_brow.png"):
        (tmp_path / name).unlink()
    assert contents(write(tmp_path)) == before
    assert drawn == [dataset.image_seed(0, "train", 2), dataset.image_seed(0, "CelebA", 1)]


def test_counts_can_grow(tmp_path, drawn):
    small = contents(write(tmp_path / "grown"))
    more = {**COUNTS, "train": 6}
    drawn.clear()
    grown = contents(write(tmp_path / "grown", more))
    assert len(drawn) == 2 and grown == contents(write(tmp_path / "new", more))
    assert all(grown[name] == content for name, content in small.items() if not name.endswith(".json"))


def test_sets_can_be_drawn_one_by_one(tmp_path, drawn):
    write(tmp_path / "a", now={"P3M-500-P": 2})
    assert json.loads((tmp_path / "a/synth.json").read_text())["counts"] == dict.fromkeys(COUNTS, 0) | {"P3M-500-P": 2}
    assert len(drawn) == 2 and not (tmp_path / "a/P3M-10k/train").exists()
    for now in ({"P3M-500-P": 1}, {"RWP": 2}, {"RWP": 2, "P3M-500-P": 2}):
        write(tmp_path / "a", now=now)
    assert len(drawn) == 4
    assert contents(write(tmp_path / "a")) == contents(write(tmp_path / "b")) and len(drawn) == 2 * sum(COUNTS.values())
    with pytest.raises(ValueError, match="asked for is"):
        write(tmp_path / "a", {**COUNTS, "train": 3}, now={"RWP": 1})


def test_a_set_that_was_interrupted_waits_while_another_is_drawn(tmp_path, drawn, monkeypatch):
    def interrupted(job, draw=dataset.render):
        if job.name == "p_00002":
            raise KeyboardInterrupt
        return draw(job)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(dataset, "render", interrupted)
        write(tmp_path / "a", now={"train": 4})
    drawn.clear()
    write(tmp_path / "a", now={"RWP": 2})
    assert len(drawn) == 2 and (tmp_path / "a/synth.unfinished.json").exists() and not (tmp_path / "a/synth.json").exists()
    assert datasets.is_synthetic(tmp_path / "a/RealWorldPortrait-636")
    assert contents(write(tmp_path / "a")) == contents(write(tmp_path / "b"))


def test_an_interrupted_call_is_continued(tmp_path, drawn, monkeypatch):
    real, calls = dataset.renderer.render_portrait, []

    def interrupted(seed, size, distribution):
        calls.append(seed)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(seed, size, distribution)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(dataset.renderer, "render_portrait", interrupted)
        write(tmp_path / "a")
    assert not (tmp_path / "a/synth.json").exists() and not list((tmp_path / "a").rglob("*partial*"))
    with pytest.raises(ValueError, match="asked for is"):  # what is begun is not mixed with another seed
        write(tmp_path / "a", seed=1)
    drawn.clear()
    assert contents(write(tmp_path / "a")) == contents(write(tmp_path / "b"))
    assert len(drawn) == 2 * sum(COUNTS.values()) - 5


def test_another_specification_is_refused_or_replaced(tmp_path, drawn):
    write(tmp_path)
    before = contents(tmp_path)
    for change in ({"size": 48}, {"seed": 1}, {"counts": {**COUNTS, "RWP": 1}}):
        with pytest.raises(ValueError, match=r"holds P3M-Synth .*56.*asked for is .*Delete .*force=True"):
            write(tmp_path, **change)
    assert contents(tmp_path) == before
    (tmp_path / "P3M-10k/notes.txt").write_text("of the user")
    write(tmp_path, {"train": 1}, 48, force=True)
    files = contents(tmp_path)
    assert files.pop("P3M-10k/notes.txt") and len(files) == 9 and json.loads(files["synth.json"])["size"] == [48, 48]


def test_foreign_images_are_never_touched(tmp_path, drawn):
    io.write_image(tmp_path / "P3M-10k/train/mask/p_1.png", np.ones((4, 4)))
    for force in (False, True):
        with pytest.raises(ValueError, match="holds images that P3M-Synth did not write"):
            write(tmp_path, force=force)
    assert len(contents(tmp_path)) == 1


def test_single_data_sets(tmp_path, drawn):
    options = {"size": SIZE, "seed": 0, "jobs": 1, "progress": False}
    dataset.write_p3m(tmp_path / "p3m", {name: COUNTS[name] for name in ("train", "P3M-500-P", "P3M-500-NP")}, **options)
    dataset.write_rwp(tmp_path / "rwp", 2, **options)
    dataset.write_celeba(tmp_path / "celeba", 3, **options)
    whole = write(tmp_path / "all")
    names = {"p3m": "P3M-10k", "rwp": "RealWorldPortrait-636", "celeba": "CelebAMask-HQ"}
    for single, folder in names.items():
        files = contents(tmp_path / single)
        assert files.pop("synth.json") and files == contents(whole / folder)
        assert verify(tmp_path / single, progress=False) == []
    assert datasets.open_dataset("RWP", tmp_path / "rwp", "N").synthetic


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": {"val": 1}}, "no set 'val'; there are train, P3M-500-P"),
        ({"counts": {"train": -1}}, "whole numbers, none negative"),
        ({"size": (48, 48, 3)}, "size"),
        ({"size": 1.5}, "whole numbers"),
        ({"seed": -1}, "none negative"),
    ],
)
def test_wrong_arguments(tmp_path, drawn, change, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "new", **change)
    assert not (tmp_path / "new").exists()


def test_thin_parts_survive_halving():
    line = np.zeros((9, 9), bool)
    line[4, 2:6] = True
    assert dataset._half(line).any() and dataset._half(np.ones((9, 9), bool)).all()


def test_bytes_do_not_depend_on_the_number_of_processes(tmp_path):
    """With the real renderer."""
    counts = {"train": 2, "P3M-500-P": 1, "P3M-500-NP": 1, "RWP": 1, "CelebA": 1}
    one, two = (contents(write(tmp_path / str(jobs), counts, 48, jobs=jobs)) for jobs in (1, 2))
    assert one == two and verify(tmp_path / "2", progress=False) == []
