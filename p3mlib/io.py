"""Image files <-> float arrays in [0, 1]: the only place that converts, and the only place that writes images."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


_FORBIDDEN = "P3M_FORBIDDEN"  # in the environment, so that the processes that load data obey too


class DamagedFile(ValueError):
    """A file that exists and cannot be decoded; the message names it."""


class PrivateFile(PermissionError):
    """A picture in a folder that may not be opened now; the message names it."""


@contextmanager
def forbid(folder):
    """While this lasts, reading a picture in a folder of this name (at any depth) raises PrivateFile, in child processes too."""
    before = os.environ.get(_FORBIDDEN)
    os.environ[_FORBIDDEN] = folder
    try:
        yield
    finally:
        os.environ.pop(_FORBIDDEN)
        os.environ.update({_FORBIDDEN: before} if before else {})


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error nothing is left behind.

    Args:
        path: file to write; its folder is made when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def open_picture(path):
    """Decode a file completely into a PIL picture, EXIF orientation applied; raises as `read_image`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    forbidden = os.environ.get(_FORBIDDEN)
    if forbidden and forbidden in (*path.absolute().parts, *path.resolve().parts):
        raise PrivateFile(f"{path}: '{forbidden}' must not be read here; training under PPT (train: B) sees blurred images only")
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFile(f"{path}: damaged or not an image ({error}); fetch or write it again") from error


def _grey(path):
    picture = open_picture(path)
    if picture.mode.startswith("I"):
        return np.asarray(picture, np.float32) / 65535
    return np.asarray(picture.convert("L"), np.float32) / 255


def read_image(path):
    """Read a colour image; EXIF orientation is applied, grey is repeated, an alpha channel is dropped.

    Returns:
        (H, W, 3) float32 in [0, 1], RGB.
    Raises:
        FileNotFoundError: no such file. DamagedFile: it cannot be decoded.
    """
    picture = open_picture(path)
    if picture.mode.startswith("I"):
        return np.repeat((np.asarray(picture, np.float32) / 65535)[..., None], 3, axis=2)
    return np.asarray(picture.convert("RGB"), np.float32) / 255


def read_matte(path):
    """Read an alpha matte (8 or 16 bit). Returns (H, W) float32 in [0, 1]; raises as `read_image`."""
    return _grey(path)


def read_mask(path):
    """Read a binary mask, e.g. a face mask. Returns (H, W) bool; raises as `read_image`."""
    return _grey(path) >= 0.5


def read_trimap(path):
    """Read a trimap stored as {0, 128, 255}; any grey in between counts as unknown.

    Returns:
        (H, W) float32 with values {0, 0.5, 1}; raises as `read_image`.
    """
    grey = _grey(path)
    return np.where(grey <= 0, 0, np.where(grey >= 1, 1, 0.5)).astype(np.float32)


def image_size(path):
    """(height, width) as `read_image` would return them, from the header alone; raises as `read_image`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedFile(f"{path}: damaged or not an image ({error})") from error
    return (width, height) if turned else (height, width)


def to_uint8(array):
    """Float [0, 1] or bool -> uint8 0..255, rounded to nearest. Raises ValueError outside [-0.01, 1.01] or for NaN."""
    array = np.asarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not (array.min(initial=0) >= -0.01 and array.max(initial=0) <= 1.01):
        raise ValueError(f"values span [{array.min():.3g}, {array.max():.3g}], expected floats in [0, 1]")
    return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)


def write_image(path, array, quality=95):
    """Write an image, matte, trimap {0, 0.5, 1} or mask as 8 bit, atomically and without any metadata.

    Args:
        path:    the suffix chooses the format: .png (lossless) or .jpg.
        array:   (H, W), (H, W, 3) or (H, W, 4) float in [0, 1], or (H, W) bool.
        quality: of a JPEG, written without chroma subsampling.
    Raises:
        ValueError: values outside [0, 1], another shape, an alpha channel for a JPEG, or another suffix.
    """
    suffix = Path(path).suffix.lower()
    options = {".png": {"format": "PNG", "compress_level": 4}}
    options[".jpg"] = options[".jpeg"] = {"format": "JPEG", "quality": quality, "subsampling": 0}
    if suffix not in options:
        raise ValueError(f"{path}: can write .png and .jpg, not '{suffix}'")
    channels = (3,) if suffix != ".png" else (3, 4)
    if np.ndim(array) != 2 and (np.ndim(array) != 3 or array.shape[2] not in channels):
        raise ValueError(
            f"{path}: a {suffix} image is (H, W) or (H, W, {' or '.join(map(str, channels))}), not {np.shape(array)}"
        )
    picture = Image.fromarray(to_uint8(array))
    with atomic_path(path) as partial:
        picture.save(partial, **options[suffix])


def write_text(path, text):
    """Write a text file atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
