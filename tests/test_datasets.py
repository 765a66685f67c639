"""The readers of the released layouts, their messages, and verification."""

import multiprocessing
import shutil

import numpy as np
import pytest
from PIL import Image

from p3mlib import io, matte
from p3mlib.data import datasets
from p3mlib.data.celeba import face_below_brows, open_faces
from p3mlib.data.datasets import MissingData, open_dataset
from p3mlib.data.verify import KINDS, verify

RNG = np.random.default_rng(0)
SIZE = (48, 40)


def layers():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    alpha = np.clip((14 - np.hypot(x - 20, y - 24)) / 3 + 0.5, 0, 1)
    fg, bg = RNG.random((2, *SIZE, 3))
    photo = matte.composite(fg, bg, alpha)
    return {
        "original_image": photo, "blurred_image": photo / 2, "image": photo, "mask": alpha, "alpha": alpha,
        "fg": fg, "bg": bg, "trimap": matte.make_trimap(alpha, 3), "facemask": np.hypot(x - 20, y - 24) < 5,
    }  # fmt: skip


def write_set(folder, names, folders):
    for name in names:
        content = layers()
        for part in folders.split():
            io.write_image(folder / part / f"{name}.{'jpg' if 'image' in part else 'png'}", content[part])


@pytest.fixture
def p3m(tmp_path):
    """A small folder with everything, also what the public release lacks."""
    root = tmp_path / "P3M-10k"
    write_set(root / "train", ["p_b", "p_a", "p_c"], "blurred_image original_image mask facemask fg bg")
    write_set(root / "validation/P3M-500-P", ["p_1", "p_2"], "blurred_image original_image mask trimap facemask")
    write_set(root / "validation/P3M-500-NP", ["p_1"], "original_image mask trimap facemask")
    return root


@pytest.fixture
def rwp(tmp_path):
    write_set(tmp_path / "RWP", ["x"], "image alpha trimap")
    return tmp_path / "RWP"


@pytest.fixture
def celeba(tmp_path):
    root = tmp_path / "CelebAMask-HQ"
    skin = np.zeros((16, 16), bool)
    skin[2:14, 3:13] = True
    left, right = np.zeros_like(skin), np.zeros_like(skin)
    left[6, 4:7], right[5:7, 8:11] = True, True
    for number in (0, 2, 10, 2001):
        io.write_image(root / "CelebA-HQ-img" / f"{number}.jpg", RNG.random((32, 32, 3)))
        for part, mask in (("skin", skin), ("l_brow", left), ("r_brow", right)):
            io.write_image(root / f"CelebAMask-HQ-mask-anno/{number // 2000}/{number:05d}_{part}.png", mask)
    return root


@pytest.mark.parametrize("domain", ["B", "N"])
def test_windows_are_crops_of_the_whole(p3m, domain):
    """In domain N `fg` is made from the image inside the face mask, so it is read whole."""
    portraits, parts, crop = open_dataset("train", p3m, domain), ("image", "alpha", "fg", "bg"), (slice(5, 30), slice(9, 34))
    for source in (portraits, datasets.InMemory(portraits)):
        whole, windows = source[1], source.windows(1, parts)
        assert windows["name"] == "p_b" and windows.keys() == {"name", *parts}
        for part in parts:
            assert windows[part].shape == whole[part].shape and np.array_equal(windows[part][crop], whole[part][crop])
    assert open_dataset("train", p3m, domain).windows(0, ("image", "alpha", "facemask"))["facemask"].dtype == bool


def test_an_item_holds_everything_there_is(p3m):
    train = open_dataset("train", p3m, "B")
    assert train.names == ["p_a", "p_b", "p_c"] and len(train) == 3 and (train.name, train.domain) == ("train", "B")
    item = train[0]
    assert set(item) == {"name", "image", "alpha", "facemask", "fg", "bg"} and item["name"] == "p_a"
    for part in ("image", "fg", "bg"):
        assert (
            item[part].shape == (*SIZE, 3) and item[part].dtype == np.float32 and 0 <= item[part].min() <= item[part].max() <= 1
        )
    assert item["alpha"].shape == SIZE and item["alpha"].dtype == np.float32 and item["facemask"].dtype == bool
    assert train.has("fg") and not train.has("trimap") and not train.synthetic
    assert train.paths(0)["image"] == p3m / "train/blurred_image/p_a.jpg"
    test = open_dataset("P3M-500-P", p3m, "B")
    assert set(np.unique(test[0]["trimap"])) == {0, 0.5, 1} and test[-1]["name"] == "p_2"


def test_domains_read_their_own_images(p3m):
    blurred, normal = (open_dataset("P3M-500-P", p3m, domain)[0]["image"] for domain in "BN")
    assert normal.mean() > 1.5 * blurred.mean()
    assert open_dataset("P3M-500-NP", p3m, "N").paths(0)["image"].parent.name == "original_image"


def test_obfuscations_change_the_face_alone(p3m):
    normal, *others = (open_dataset("P3M-500-P", p3m, domain)[0] for domain in ("N", "Mosaic", "Mask"))
    face = normal["facemask"]
    mosaic, mask = (other["image"] for other in others)
    assert np.array_equal(mosaic[~face], normal["image"][~face]) and (mosaic[face] != normal["image"][face]).any()
    blurred = open_dataset("P3M-500-P", p3m, "B")[0]["image"]
    assert np.array_equal(mask[~face], blurred[~face]) and not mask[face].any() and face.any()
    shutil.rmtree(p3m / "validation/P3M-500-P/original_image")  # as released
    assert len(open_dataset("P3M-500-P", p3m, "Mask"))
    with pytest.raises(MissingData, match="never published"):
        open_dataset("P3M-500-P", p3m, "Mosaic")
    (p3m / "validation/P3M-500-P/facemask/p_2.png").unlink()
    with pytest.raises(MissingData, match="no face mask for p_2"):
        open_dataset("P3M-500-P", p3m, "Mask")


def test_forbidden_folders_cannot_be_read(p3m):
    normal = open_dataset("P3M-500-P", p3m, "N")
    with io.forbid("original_image"):
        assert open_dataset("P3M-500-P", p3m, "B")[0]
        with pytest.raises(io.PrivateFile, match="original_image.*must not be read"):
            normal[0]
        with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(io.PrivateFile):
            pool.apply(io.read_image, (normal.paths(0)["image"],))
    assert normal[0]


def test_sets_are_sequences(p3m):
    train = open_dataset("train", p3m)
    assert [item["name"] for item in train] == train.names  # iteration ends by itself
    assert train.subset(2).names == train[:2].names == open_dataset("train", p3m, limit=2).names == ["p_a", "p_b"]
    with pytest.raises(IndexError):
        train[3]


def test_portraits_in_memory_are_decoded_once(p3m, monkeypatch):
    portraits = open_dataset("train", p3m, "N")
    kept = datasets.InMemory(portraits)
    first = [kept[i] for i in range(len(kept))]
    monkeypatch.setattr(datasets, "READERS", {})  # nothing can be read any more
    for i, sample in enumerate(kept):
        assert all(np.array_equal(sample[key], first[i][key]) for key in portraits.paths(i))
    assert kept.names == portraits.names and kept.folders() == portraits.folders() and len(kept) == 3
    with pytest.raises(IndexError):
        kept[3]


def test_what_is_kept_in_memory_is_the_same_in_a_quarter_of_the_space():
    levels = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
    fine = levels * np.float32(0.999)
    kept = datasets.InMemory([{"name": "a", "image": levels, "alpha": fine, "facemask": levels > 0.5}])
    for _ in range(2):
        sample = kept[0]
        assert np.array_equal(sample["image"], levels) and sample["image"].dtype == np.float32
        assert np.array_equal(sample["alpha"], fine) and sample["facemask"].dtype == bool and sample["name"] == "a"
    stored = kept._samples[0]
    assert stored["image"].dtype == np.uint8 and stored["alpha"].dtype == np.float32


def test_real_world_portraits(rwp):
    item = open_dataset("RWP", rwp, "N")[0]
    assert set(item) == {"name", "image", "alpha", "trimap"}
    shutil.rmtree(rwp / "trimap")
    assert set(open_dataset("RWP", rwp, "N")[0]) == {"name", "image", "alpha"}


def test_png_images_hidden_files_and_strangers(p3m):
    folder = p3m / "validation/P3M-500-NP/original_image"
    Image.open(folder / "p_1.jpg").save(folder / "p_1.png")
    (folder / "p_1.jpg").unlink()
    (folder / "._p_1.jpg").write_bytes(b"left by another system")
    (folder / "notes.txt").write_text("not an image")
    portraits = open_dataset("P3M-500-NP", p3m, "N")
    assert portraits.names == ["p_1"] and portraits[0]["image"].shape == (*SIZE, 3) and verify(p3m, False) == []


def test_fingerprint_follows_the_files(p3m):
    before = open_dataset("train", p3m)
    images = before.fingerprint()
    assert images == open_dataset("train", p3m).fingerprint() != open_dataset("train", p3m, "N").fingerprint()
    assert images != before.subset(2).fingerprint() and images != open_dataset("P3M-500-P", p3m).fingerprint()
    shutil.copytree(p3m, p3m.parent / "copy")
    assert open_dataset("train", p3m.parent / "copy").fingerprint() == images  # wherever it lies
    (p3m / "train/bg/p_a.png").unlink()
    assert open_dataset("train", p3m).fingerprint() != images


def test_np_has_no_blurred_images(p3m):
    for name in ("P3M-500-NP", "RWP"):
        with pytest.raises(ValueError, match=f"{name} exists only un-blurred: open it with domain='N'"):
            open_dataset(name, p3m, "B")
    with pytest.raises(ValueError, match="no set 'val'; there are train, P3M-500-P, P3M-500-NP, RWP"):
        open_dataset("val", p3m)
    with pytest.raises(ValueError, match="no domain 'blurred'; there are B"):
        open_dataset("train", p3m, "blurred")


def test_a_wrong_root_says_what_was_expected_and_how_to_get_it(tmp_path):
    with pytest.raises(MissingData) as caught:
        open_dataset("P3M-500-P", tmp_path / "nowhere")
    message = str(caught.value)
    assert str(tmp_path / "nowhere") in message and "there is no such folder" in message
    assert message.count(" missing") == 2 and "validation/P3M-500-P/blurred_image/" in message and "Did you mean" not in message
    for hint in ("release agreement", "JizhiziLi/P3M", "ViTAE-Transformer/P3M-Net", "python -m p3mlib synth DIR"):
        assert hint in message
    with pytest.raises(MissingData, match="yucornetto/MGMatting"):
        open_dataset("RWP", tmp_path, "N")
    with pytest.raises(MissingData, match="switchablenorms/CelebAMask-HQ"):
        open_faces(tmp_path)


@pytest.mark.parametrize("wrong", ["..", "validation", "train/mask", "typo"])
def test_the_right_root_is_suggested(p3m, wrong):
    with pytest.raises(MissingData, match="Did you mean ") as caught:
        open_dataset("P3M-500-P", (p3m / wrong).resolve())
    assert f"Did you mean {p3m}?" in str(caught.value)


def test_normal_images_that_were_never_published(p3m):
    shutil.rmtree(p3m / "train/original_image")
    with pytest.raises(MissingData, match="never published .*P3M-Synth has them"):
        open_dataset("train", p3m, "N")
    assert len(open_dataset("train", p3m, "B")) == 3
    for part in ("fg", "bg", "facemask"):
        shutil.rmtree(p3m / "train" / part)
    assert set(open_dataset("train", p3m)[0]) == {"name", "image", "alpha"} and verify(p3m, False) == []


def test_an_image_without_its_matte(p3m):
    (p3m / "train/mask/p_b.png").unlink()
    with pytest.raises(MissingData, match=r"mask: no matte for 1 of 3 images \(p_b\)"):
        open_dataset("train", p3m)


def test_different_sizes_name_both_files(p3m):
    io.write_image(p3m / "train/mask/p_a.png", np.zeros((20, 30)))
    with pytest.raises(ValueError, match=r"mask.p_a\.png is 30x20 px .*blurred_image.p_a\.jpg is 40x48"):
        open_dataset("train", p3m)[0]


def test_faces(celeba):
    faces = open_faces(celeba)
    assert faces.names == ["0", "2", "10", "2001"] and faces.subset(1).names == ["0"]
    face = faces[3]
    assert set(face["parts"]) == {"skin", "l_brow", "r_brow"} and face["parts"]["skin"].shape == (32, 32)
    assert face["image"].shape == (32, 32, 3) and face["facemask"].dtype == bool
    skin = np.zeros((32, 32), bool)
    skin[10:28, 6:26] = True  # the higher brow begins in row 5 of 16, i.e. row 10 of 32
    assert np.array_equal(face["facemask"], skin)
    assert faces.fingerprint() == open_faces(celeba).fingerprint() != faces.subset(2).fingerprint()


def test_faces_without_brows():
    skin, eye = np.ones((10, 6), bool), np.zeros((10, 6), bool)
    eye[4:6, 1:3] = True
    nothing = np.zeros_like(eye)
    assert np.flatnonzero(face_below_brows({"skin": skin, "r_eye": eye, "l_brow": nothing}, skin.shape).any(1))[0] == 4
    assert face_below_brows({"skin": skin, "hair": eye}, skin.shape).all()
    assert not face_below_brows({"hair": eye}, skin.shape).any() and skin.all()


def problems(root):
    found = verify(root, progress=False)
    assert all(problem.kind in KINDS and problem.message for problem in found)
    return {(problem.path.relative_to(root).as_posix(), problem.kind) for problem in found}


def test_clean_folders_have_no_problems(p3m, rwp, celeba, tmp_path):
    for root in (p3m, rwp, celeba, tmp_path):  # tmp_path holds all three
        assert verify(root, progress=False) == []


def test_verify_finds_damage_in_every_layout(p3m, rwp, celeba, tmp_path):
    cut = ["P3M-10k/train/blurred_image/p_a.jpg", "RWP/alpha/x.png", "CelebAMask-HQ/CelebA-HQ-img/10.jpg"]
    for name in cut:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - 40])
    ending = tmp_path / "P3M-10k/train/blurred_image/p_b.jpg"
    ending.write_bytes(ending.read_bytes()[:-2])
    flipped = tmp_path / "P3M-10k/train/mask/p_c.png"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    expected = [*cut, "P3M-10k/train/blurred_image/p_b.jpg", "P3M-10k/train/mask/p_c.png"]
    assert problems(tmp_path) == {(name, "damaged") for name in expected}


def test_verify_finds_what_is_missing_and_what_is_too_much(p3m):
    (p3m / "train/mask/p_a.png").unlink()
    (p3m / "train/fg/p_b.png").unlink()
    (p3m / "validation/P3M-500-NP/original_image/p_1.jpg").unlink()
    shutil.copy(p3m / "train/blurred_image/p_c.jpg", p3m / "train/blurred_image/p_c.png")
    orphans = (f"validation/P3M-500-NP/{part}/p_1.png" for part in ("mask", "trimap", "facemask"))
    assert problems(p3m) == {
        ("train/mask/p_a.png", "missing"), ("train/fg/p_b.png", "missing"),
        ("train/blurred_image/p_c.jpg", "mismatched"), ("validation/P3M-500-NP", "missing"),
        *((name, "mismatched") for name in orphans),
    }  # fmt: skip


def test_verify_finds_wrong_sizes_and_modes(p3m):
    io.write_image(p3m / "train/mask/p_a.png", np.ones((20, 30)))
    io.write_image(p3m / "train/blurred_image/p_b.jpg", np.ones(SIZE))
    assert problems(p3m) == {("train/mask/p_a.png", "mis-sized"), ("train/blurred_image/p_b.jpg", "mismatched")}


def test_verify_finds_files_that_contradict_each_other(p3m):
    folder = p3m / "validation/P3M-500-P"
    trimap = layers()["trimap"]
    moved = np.roll(trimap, 9, axis=1)
    grey = trimap.copy()
    grey[0, 0] = 0.3
    io.write_image(folder / "trimap/p_1.png", moved)
    io.write_image(folder / "trimap/p_2.png", grey)
    io.write_image(p3m / "validation/P3M-500-NP/trimap/p_1.png", (layers()["alpha"] >= 0.5).astype(float))
    io.write_image(p3m / "train/mask/p_a.png", np.zeros(SIZE))
    io.write_image(p3m / "train/facemask/p_b.png", layers()["alpha"] == 0)
    assert problems(p3m) == {
        ("validation/P3M-500-P/trimap/p_1.png", "mismatched"), ("validation/P3M-500-P/trimap/p_2.png", "mismatched"),
        ("validation/P3M-500-NP/trimap/p_1.png", "mismatched"), ("train/mask/p_a.png", "mismatched"),
        ("train/facemask/p_a.png", "mismatched"), ("train/facemask/p_b.png", "mismatched"),
    }  # fmt: skip
    messages = {problem.message for problem in verify(p3m, False)}
    assert any("known foreground" in m for m in messages) and any("also 76" in m for m in messages)


def test_verify_tolerates_a_seam_of_one_pixel(p3m):
    path = p3m / "validation/P3M-500-P/trimap/p_1.png"
    alpha = layers()["alpha"]
    tight = np.where(alpha >= 0.9, 1, np.where(alpha <= 0.1, 0, 0.5))
    io.write_image(path, np.roll(tight, 2, axis=1))
    assert verify(p3m, False) == []


def test_verify_knows_the_names_of_face_parts(celeba):
    folder = celeba / "CelebAMask-HQ-mask-anno"
    for name in ("0/00000_beard.png", "1/00002_hair.png", "0/00007_hair.png"):
        io.write_image(folder / name, np.ones((16, 16), bool))
    io.write_image(folder / "0/00002_hat.png", np.ones((16, 20), bool))
    for part in ("skin", "l_brow", "r_brow"):
        (folder / f"0/00010_{part}.png").unlink()
    anno = "CelebAMask-HQ-mask-anno/"
    assert problems(celeba) == {
        (anno + "0/00000_beard.png", "mismatched"), (anno + "1/00002_hair.png", "mismatched"),
        (anno + "0/00007_hair.png", "mismatched"), (anno + "0/00002_hat.png", "mis-sized"),
        (anno + "0/00010_skin.png", "missing"),
    }  # fmt: skip


def test_verify_needs_a_data_set(tmp_path):
    with pytest.raises(MissingData, match="nothing here looks like a data set; looked for .*CelebA-HQ-img"):
        verify(tmp_path)
    with pytest.raises(MissingData, match="there is no such folder"):
        verify(tmp_path / "nowhere")


def test_the_real_sample(real_sample):
    assert verify(real_sample, progress=False) == []
    blurred, normal = open_dataset("P3M-500-P", real_sample, "B"), open_dataset("P3M-500-NP", real_sample, "N")
    assert len(blurred) == 3 and len(normal) == 4 and blurred.has("trimap") and not blurred.has("facemask")
    assert not datasets.is_synthetic(real_sample)
    item = blurred[0]
    assert item["image"].shape[:2] == item["alpha"].shape == item["trimap"].shape and item["image"].size / 3 > 1e6
    with pytest.raises(MissingData, match="never published"):
        open_dataset("P3M-500-P", real_sample, "N")


def save(path, array, **options):
    """Write an array or a PIL picture as it is."""
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **options)


GREY = io.to_uint8(layers()["alpha"])
VOC = Image.frombytes("P", SIZE[::-1], (GREY >= 128).astype(np.uint8).tobytes())
VOC.putpalette([0, 0, 0, 128, 0, 0])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train/mask/p_a.png", np.dstack([GREY] * 3 + [GREY]), "is RGBA with an alpha channel that is not opaque"),
        ("train/mask/p_a.png", (GREY >= 128).astype(np.uint8), "0/1 instead of 0/255"),
        ("train/mask/p_a.png", VOC, "is P and shows colours"),
        ("train/mask/p_a.png", GREY.astype(np.uint16), "fewer bits than the file has"),
        ("train/mask/p_a.png", 0 * GREY, "a matte with nobody in it: its highest value is 0, expected 255"),
        ("train/mask/p_a.png", np.uint8(100 / 255 * GREY), "a matte with nobody in it: its highest value is 100"),
        ("train/mask/p_a.png", 0 * GREY + 255, "a matte without background: its lowest value is 255, expected 0"),
        ("train/facemask/p_a.png", io.to_uint8(layers()["facemask"]) // 255, "0/1 instead of 0/255"),
        ("validation/P3M-500-P/trimap/p_1.png", np.uint8(2 * layers()["trimap"]), "0/2 instead of 0/255"),
        ("validation/P3M-500-P/trimap/p_1.png", np.uint8(200 * layers()["trimap"]), "this one also 100, 200"),
    ],
)
def test_what_training_refuses_verify_names_and_the_other_way_round(p3m, file, content, message):
    save(p3m / file, content)
    found = [problem for problem in verify(p3m, False) if problem.path == p3m / file]
    assert [(problem.kind, message in problem.message) for problem in found] == [("mismatched", True)]
    name = "train" if "train" in file else "P3M-500-P"
    with pytest.raises(ValueError, match=f"{(p3m / file).name}.*{message}"):
        open_dataset(name, p3m)[0]


def test_mattes_of_other_depths_are_the_same_matte(p3m):
    expected = open_dataset("train", p3m)[0]["alpha"]
    save(p3m / "train/mask/p_a.png", GREY.astype(np.uint16) * 257)
    assert np.array_equal(open_dataset("train", p3m)[0]["alpha"], expected) and verify(p3m, False) == []
    (p3m / "train/mask/p_a.png").unlink()
    for content in (GREY.astype(np.float32) / 255, GREY.astype(np.int32) * (2**31 // 256)):
        save(p3m / "train/mask/p_a.tif", content)
        assert np.abs(open_dataset("train", p3m)[0]["alpha"] - expected).max() < 0.005 and verify(p3m, False) == []


def test_verify_notices_a_matte_upside_down(p3m):
    shutil.rmtree(p3m / "train/facemask")
    save(p3m / "train/mask/p_a.png", 255 - GREY)
    assert [problem.path.name for problem in verify(p3m, False) if "looks inverted" in problem.message] == ["p_a.png"]


@pytest.mark.parametrize("orientation", [3, 6])
def test_files_turned_by_exif_differently(p3m, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = p3m / "train/blurred_image/p_a.jpg"
    picture = Image.open(path).convert("RGB")
    picture.save(path, exif=exif)
    words = "has EXIF orientation 1, but 3 in" if orientation == 3 else r"is 40x48 px .* is 48x40 \(turned by EXIF 6\)"
    with pytest.raises(ValueError, match=words):
        open_dataset("train", p3m)[0]
    assert ("train/mask/p_a.png", "mismatched" if orientation == 3 else "mis-sized") in problems(p3m)
    shutil.rmtree(p3m / "train/original_image")
    for folder in ("mask", "facemask", "fg", "bg"):  # all of them turned alike belong together again
        file = p3m / f"train/{folder}/p_a.png"
        Image.open(file).copy().save(file, exif=exif)
    assert open_dataset("train", p3m)[0] and verify(p3m, False) == []


def test_verify_does_not_mind_what_follows_the_end_of_a_jpeg(p3m):
    path, rng = p3m / "train/blurred_image/p_a.jpg", np.random.default_rng(0)
    whole = path.read_bytes()
    film = b"\0\0\0\x18ftypmp42" + bytes(20_000)
    for tail in (bytes(10_000), rng.bytes(100_000), film, whole, b"\xff\xff\xd8"):
        path.write_bytes(whole + tail)
        assert verify(p3m, False) == []
    picture = Image.open(path).convert("RGB")
    picture.save(path, "MPO", save_all=True, append_images=[picture.resize((16, 16))])
    assert verify(p3m, False) == []
    for end in (len(whole) - 2, len(whole) * 2 // 3, 3):
        path.write_bytes(whole[:end])
        assert problems(p3m) == {("train/blurred_image/p_a.jpg", "damaged")}


def test_files_of_macos_and_folders_that_look_like_files_do_no_harm(p3m, celeba):
    for path in (p3m / "train/mask/._p_a.png", p3m / "train/blurred_image/._p_a.jpg", p3m / "train/.DS_Store"):
        path.write_bytes(b"\0\5\26\7 Mac OS X")
    (celeba / "CelebAMask-HQ-mask-anno/0/._00000_skin.png").write_bytes(b"\0\5\26\7 Mac OS X")
    (p3m / "train/blurred_image/p_z.jpg").mkdir()
    assert verify(p3m, False) == verify(celeba, False) == [] and open_dataset("train", p3m).names == ["p_a", "p_b", "p_c"]


def test_one_file_that_no_decoder_foresaw_is_a_problem_of_its_own(p3m, monkeypatch):
    from p3mlib.data import verify as module

    real = io.open_picture

    def read(path):
        if path.name == "p_b.jpg":
            raise OverflowError("odd")
        return real(path)

    monkeypatch.setattr(module.io, "open_picture", read)
    found = verify(p3m, False)
    assert {(problem.path.name, problem.kind, problem.message) for problem in found} == {
        ("p_b.jpg", "damaged", "OverflowError: odd")
    }
