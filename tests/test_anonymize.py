"""Anonymisation: only the face changes, it changes enough, and no file carries the original along."""

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from p3mlib import anonymize, io
from p3mlib.anonymize import face_mask, gaussian, obfuscate, private_area, transition_area

METHODS = ("blur", "mosaic", "mask")


def landmarks(x, y, radius):
    """68 points of a round frontal face: jaw from ear to ear, two brows, the rest within."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.c_[np.cos(angle), np.sin(angle)]
    brows = np.c_[np.linspace(-0.9, 0.9, 10), np.full(10, -0.5)]
    inner = np.random.default_rng(0).uniform(-0.4, 0.4, (41, 2))
    return np.concatenate([jaw, brows, inner]) * radius + [x, y]


@pytest.fixture(scope="module")
def portrait():
    """The astronaut's head at 128 px (public domain), its landmarks set by eye, and a matte with a soft edge."""
    image = io.to_uint8((astronaut() / 255).astype(np.float32))[20:276, 90:346]
    image = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    y, x = np.mgrid[:128, :128]
    alpha = np.clip((50 - np.hypot(x - 66, y - 46)) / 4 + 0.5, 0, 1).astype(np.float32)
    return image, landmarks(66, 46, 26), alpha


def test_private_area_is_the_polygon_of_jaw_and_brows():
    points = landmarks(32, 30, 20)
    area = private_area(points, (64, 64))
    x, y = np.rint(points[:17].mean(axis=0)).astype(int)
    assert area.dtype == bool and area[y, x] and not area[:19].any() and not area[:, :11].any()
    outline = points[[*range(17), *range(26, 16, -1)]]
    u, v = outline.T
    shoelace = abs(np.dot(u, np.roll(v, 1)) - np.dot(v, np.roll(u, 1))) / 2
    assert shoelace < area.sum() < shoelace + np.hypot(*np.diff(outline, axis=0).T).sum() + 10


def test_private_area_of_a_convex_face_is_convex():
    area = private_area(landmarks(32, 30, 20), (64, 64)).astype(np.uint8)
    outer, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.fillConvexPoly(np.zeros_like(area), cv2.convexHull(outer[0]), 1)
    assert len(outer) == 1 and (hull != area).sum() <= 0.02 * area.sum()


def test_hull_contains_the_polygon_and_the_nose_of_a_profile():
    points = landmarks(32, 32, 16)
    points[30] = (58, 34)  # the tip of the nose beyond the far cheek
    paper, hull = (private_area(points, (64, 64), region) for region in ("paper", "hull"))
    assert not paper[34, 58] and hull[34, 58] and not (paper & ~hull).any()


def test_a_crossing_outline_leaves_no_hole():
    points = landmarks(32, 32, 20)
    points[17:27] = points[17:27][::-1]  # brows in the wrong order: the outline crosses itself
    area = private_area(points, (64, 64)).astype(np.uint8)
    holes, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(holes) == len(outer)


def test_points_outside_the_image_are_fine():
    assert private_area(landmarks(0, 0, 20), (64, 64))[:10, :10].any()
    assert not private_area(landmarks(-500, 0, 20), (64, 64)).any()


def test_transition_area_is_left_out(portrait):
    image, points, alpha = portrait
    points = points + [20, 20]  # let the face reach over the matte's edge
    result = anonymize.anonymize(image, points, alpha)
    assert (result.private & result.transition).any()
    assert np.array_equal(result.facemask, result.private & ~result.transition)
    assert np.array_equal(result.facemask, face_mask(points, alpha))
    assert result.transition[(alpha > 0.01) & (alpha < 0.99)].all()
    changed = (result.image != image).any(axis=2)
    assert changed.any() and not changed[~result.facemask].any()


@pytest.mark.parametrize(
    ("shape", "kernel"), [((1311, 1311), 25), ((1080, 1593), 25), ((512, 512), 9), ((64, 64), 3), ((8, 8), 3)]
)
def test_default_kernel_follows_the_image(shape, kernel):
    assert anonymize.default_kernel(shape) == kernel


def test_a_tiny_face_is_not_eaten_up_by_the_transition_area():
    y, x = np.mgrid[:48, :48]
    alpha = np.clip((17 - np.hypot(x - 24, y - 22)) / 2 + 0.5, 0, 1)
    points = landmarks(24, 22, 9)
    assert face_mask(points, alpha).sum() == private_area(points, alpha.shape).sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_outside_is_bit_identical_and_inside_changes(portrait, method, dtype):
    image, points, alpha = portrait
    image, before = image.astype(dtype), image.astype(dtype)
    mask = face_mask(points, alpha)
    result = obfuscate(image, mask, method)
    assert result.dtype == dtype and np.array_equal(result[~mask], image[~mask])
    assert (result[mask] != image[mask]).any(axis=1).mean() > 0.9
    assert result.min() >= 0 and result.max() <= 1 + 1e-6 and np.array_equal(image, before)
    assert np.array_equal(obfuscate(image, np.zeros_like(mask), method), image)


def test_mask_sets_zero(portrait):
    image, points, alpha = portrait
    mask = face_mask(points, alpha)
    assert (obfuscate(image, mask, "mask")[mask] == 0).all()


def test_mosaic_is_the_mean_of_each_cell():
    image = np.random.default_rng(0).random((40, 40, 3))
    mask = np.zeros((40, 40), bool)
    mask[4:36, 8:40] = True
    result = obfuscate(image, mask, "mosaic")  # 32 px wide: cells of 8
    for top in range(4, 36, 8):
        for left in range(8, 40, 8):
            cell = np.s_[top : top + 8, left : left + 8]
            assert np.allclose(result[cell], image[cell].mean(axis=(0, 1)))
    assert len(np.unique(result[4:36, 8:40, 0])) == 16


def test_strength_scales_with_the_face():
    """The same face at twice the size is obfuscated to the same picture at twice the size."""
    image = cv2.GaussianBlur(np.random.default_rng(1).random((64, 64, 3)), (0, 0), 1.5)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    large, large_mask = image.repeat(2, 0).repeat(2, 1), mask.repeat(2, 0).repeat(2, 1)
    for method in ("blur", "mosaic"):
        small, twice = obfuscate(image, mask, method), obfuscate(large, large_mask, method)
        assert np.abs(twice[1::2, 1::2] - small)[mask].max() < 0.02
    noise = np.random.default_rng(2).random((64, 64, 3))
    spreads = [obfuscate(noise, mask, "blur", strength)[mask].std() for strength in (0.02, 0.05, 0.1, 0.2)]
    assert all(np.diff(spreads) < 0)


def test_several_faces_each_at_its_own_size():
    image = np.random.default_rng(3).random((60, 120, 3))
    faces = np.zeros((2, 60, 120), bool)
    faces[0, 10:50, 5:45] = True
    faces[1, 20:30, 100:110] = True
    both = obfuscate(image, faces.any(axis=0), "mosaic")
    for face in faces:
        assert np.array_equal(both[face], obfuscate(image, face, "mosaic")[face])


def test_a_fragment_is_hidden_as_strongly_as_its_face():
    image = np.random.default_rng(4).random((60, 60, 3))
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    mask[10:50, 46:48] = False  # a strand of hair cuts two columns off
    assert obfuscate(image, mask, "blur")[10:50, 48:50].std() < 0.1 * image.std()


def test_the_border_is_not_darkened_and_any_strength_works():
    flat = np.full((40, 50, 3), 0.7, np.float32)
    for mask in (np.ones((40, 50), bool), np.eye(40, 50, dtype=bool)):
        for strength in (0.01, 0.2, 5):
            assert np.allclose(obfuscate(flat, mask, "blur", strength), 0.7, atol=1e-5)
            assert np.allclose(obfuscate(flat, mask, "mosaic", strength), 0.7, atol=1e-6)


@pytest.mark.parametrize("sigma", [5, 16.5, 31.9, 60, 200])
def test_fast_blur_equals_the_plain_one(sigma):
    noise = np.random.default_rng(0).integers(0, 2, (150, 201, 3)).astype(np.float32)
    step = np.zeros((150, 201, 3), np.float32)
    step[60:, 100:] = 1
    for image in (noise, step):
        plain = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        assert np.abs(gaussian(image, sigma) - plain).max() < 1 / 255


@pytest.mark.parametrize("method", METHODS)
def test_what_identifies_a_face_is_gone(portrait, method):
    """Less than a tenth of the detail finer than a fifth of the face, where identity lies, is left."""
    image, points, alpha = portrait
    result = anonymize.anonymize(image, points, alpha, method, region="hull")
    core = cv2.erode(result.facemask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0

    def detail(picture):
        grey = picture.mean(axis=2)
        return (cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 5))[core]

    before, after = detail(image), detail(result.image)
    projection = np.dot(before, after) / np.dot(before, before)  # how much of the original detail is still there
    assert abs(projection) < 0.1
    if method == "blur":
        assert after.var() < 0.05 * before.var()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "swirl"}, "no method 'swirl'; there are blur, mosaic, mask"),
        ({"strength": 0}, "strength must be a positive number, got 0"),
        ({"strength": np.nan}, "strength must be"),
        ({"face_width": -3}, "face_width must be"),
        ({"facemask": np.zeros((8, 9), bool)}, r"facemask must be bool \(8, 8\) like the image, got bool \(8, 9\)"),
        ({"facemask": np.zeros((8, 8))}, "facemask must be bool"),
        ({"image": np.zeros((8, 8, 3), np.uint8)}, "float, got .* uint8; io.read_image"),
        ({"image": np.zeros((8, 8))}, r"\(H, W, 3\)"),
    ],
)
def test_obfuscate_says_what_is_wrong(change, message):
    arguments = {"image": np.zeros((8, 8, 3)), "facemask": np.ones((8, 8), bool), **change}
    with pytest.raises(ValueError, match=message):
        obfuscate(**arguments)


def test_landmarks_are_checked():
    with pytest.raises(ValueError, match=r"must be \(68, 2\).*got \(5, 2\)"):
        private_area(np.zeros((5, 2)), (8, 8))
    with pytest.raises(ValueError, match="NaN"):
        private_area(np.full((68, 2), np.nan), (8, 8))
    with pytest.raises(ValueError, match="no region 'face'; there are paper, hull"):
        private_area(np.zeros((68, 2)), (8, 8), "face")
    with pytest.raises(ValueError, match="must share height and width"):
        anonymize.anonymize(np.zeros((8, 8, 3)), np.zeros((68, 2)), np.zeros((4, 4)))
    assert not transition_area(np.zeros((9, 9))).any()


def tainted(path):
    """A photograph with everything that leaks: EXIF with GPS and a thumbnail, a comment, a colour profile, XMP."""
    image = Image.fromarray(astronaut()[20:148, 150:278])
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    leaks = {"exif": exif.tobytes() + b"THUMBNAIL", "icc_profile": b"SecretProfile" * 20}
    if path.suffix == ".jpg":
        image.save(path, **leaks, comment=b"SecretComment", xmp=b"<x:xmpmeta>SecretPacket</x:xmpmeta>")
    else:
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Comment", "SecretComment")
        text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SecretPacket</x:xmpmeta>")
        image.save(path, **leaks, pnginfo=text)
    assert b"Secret" in path.read_bytes() and Image.open(path).getexif()
    return path


@pytest.mark.parametrize("source", [".jpg", ".png"])
@pytest.mark.parametrize("target", [".jpg", ".png"])
def test_written_files_carry_no_metadata(tmp_path, source, target):
    image = io.read_image(tainted(tmp_path / f"in{source}"))
    mask = np.zeros(image.shape[:2], bool)
    mask[30:90, 30:90] = True
    path = tmp_path / f"out{target}"
    io.write_image(path, obfuscate(image, mask))
    content, picture = path.read_bytes(), Image.open(path)
    for leak in (
        b"Secret",
        b"Exif",
        b"THUMBNAIL",
        b"ICC_PROFILE",
        b"iCCP",
        b"xmp",
        b"tEXt",
        b"iTXt",
        b"eXIf",
        b"\xff\xfe",
    ):
        assert leak not in content[:400] and (leak == b"\xff\xfe" or leak not in content)
    assert not picture.getexif() and not set(picture.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_margin_grows_the_area_on_all_sides():
    points = landmarks(64, 60, 30)
    tight, wide = (private_area(points, (128, 128), "hull", margin) for margin in (0, 0.2))
    assert not (tight & ~wide).any()
    grown = [edge(np.nonzero(wide)[axis]) - edge(np.nonzero(tight)[axis]) for axis in (0, 1) for edge in (np.min, np.max)]
    assert np.allclose(np.abs(grown), 0.2 * anonymize.face_width(points), atol=1.5), grown
    with pytest.raises(ValueError, match="margin must be a number from 0, got -1"):
        private_area(points, (128, 128), margin=-1)


def test_without_a_matte_the_whole_area_is_obfuscated(portrait):
    image, points, _ = portrait
    steps = anonymize.anonymize(image, points, None)
    assert np.array_equal(steps.facemask, steps.private) and not steps.transition.any()
