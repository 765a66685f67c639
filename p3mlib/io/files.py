"""Files as such: atomic writing, what may not be read, errors and how they are told."""

import errno
import os
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_NO_MEMORY = ("t allocate memory", "out of memory", "nsufficient memory")  # how torch and OpenCV say it
_FORBIDDEN = "P3M_FORBIDDEN"  # in the environment, so that the processes that load data obey too


class DamagedFile(ValueError):
    """A file that exists and cannot be decoded; the message names it."""


class TooLarge(ValueError):
    """A picture that does not fit into memory, or is larger than any photograph; the message names it."""


class WrongCoding(ValueError):
    """A file that decodes, but whose values do not mean what they should; the message says what was found and expected."""


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


def check_readable(path):
    """The path as a Path. Raises FileNotFoundError where it is no file, PrivateFile inside a folder that `forbid` names."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    forbidden = os.environ.get(_FORBIDDEN)
    if forbidden and forbidden in (*path.absolute().parts, *path.resolve().parts):
        raise PrivateFile(f"{path}: '{forbidden}' must not be read here; training under PPT (train: B) sees blurred images only")
    return path


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error nothing is left behind.

    Args:
        path: file to write; its folder is made when missing. Its name may be as long as the file system allows.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if len(path.suffix) <= 16 else ""
    partial = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.partial{suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sweep(folder, deep=True):
    """Delete what processes of this machine that no longer run, as after kill -9, left half written in a folder, or below it."""
    for path in (Path(folder).rglob if deep else Path(folder).glob)(".*.*.partial*"):
        writer = path.name.split(".")[2]
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            path.unlink(missing_ok=True)


def to_uint8(array):
    """Float [0, 1] or bool -> uint8 0..255, rounded to nearest. Raises ValueError outside [-0.01, 1.01] or for NaN."""
    array = np.asarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    low, high = array.min(initial=0), array.max(initial=0)
    if not (low >= -0.01 and high <= 1.01):
        raise ValueError(f"values span [{array.min():.3g}, {array.max():.3g}], expected floats in [0, 1]")
    values = (array if low >= 0 and high <= 1 else np.clip(array, 0, 1)) * 255
    return np.rint(values, out=values).astype(np.uint8)  # in place: of 12 megapixels a copy takes 200 MB


def write_image(path, array, quality=95, note=None):
    """Write an image, matte, trimap {0, 0.5, 1} or mask as 8 bit, atomically and without any metadata but `note`.

    Args:
        path:    the suffix chooses the format: .png (lossless) or .jpg.
        array:   (H, W), (H, W, 3) or (H, W, 4) float in [0, 1], or (H, W) bool.
        quality: of a JPEG, written without chroma subsampling.
        note:    text for the field `Software` of a PNG; None writes none.
    Raises:
        ValueError: values outside [0, 1], another shape, an alpha channel or a note for a JPEG, or another suffix.
        OSError: the disk is full, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    options = {".png": {"format": "PNG", "compress_level": 4}}
    jpeg = {"format": "JPEG", "quality": quality, "subsampling": 0}
    options |= {".jpg": jpeg, ".jpeg": jpeg, ".jfif": jpeg}
    if suffix not in options:
        raise ValueError(f"{path}: can write .png and .jpg, not '{suffix}'")
    channels = (3,) if suffix != ".png" else (3, 4)
    if np.ndim(array) != 2 and (np.ndim(array) != 3 or array.shape[2] not in channels):
        raise ValueError(
            f"{path}: a {suffix} image is (H, W) or (H, W, {' or '.join(map(str, channels))}), not {np.shape(array)}"
        )
    if note is not None and suffix != ".png":
        raise ValueError(f"{path}: only a PNG takes a note")
    picture, info = Image.fromarray(to_uint8(array)), PngInfo()
    if note is not None:
        info.add_text("Software", note)
    with atomic_path(path) as partial:
        picture.save(partial, **options[suffix], **({"pnginfo": info} if suffix == ".png" else {}))


def write_text(path, text):
    """Write a text file atomically, in UTF-8; what of a file's name is not UTF-8 comes out as `printable`."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")


def printable(text):
    """A path or text in one line that any terminal and file takes: line feeds, other controls and what is not UTF-8 in a name
    come out as backslash and number."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def reason(error, path=""):
    """Why one item of many failed, in one printable line that names the file.

    Args:
        error: any Exception, a MemoryError too. path: of the item, for errors that do not name it.
    """
    if isinstance(error, OSError) and error.strerror:
        full = " (free some space and run this again; what is finished is kept)" * (error.errno == errno.ENOSPC)
        place = os.path.dirname(error.filename) if isinstance(error.filename, (str, os.PathLike)) else ""
        elsewhere = bool(path and place) and place != os.path.dirname(path)  # where something is written of the item
        at = f" in {place}" * elsewhere
        text = f"{error.strerror}{at}{full}"
        path = path or error.filename or ""
    elif isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        text = "not enough memory for it; reduce it, or use a machine with more"
    else:
        text = str(error) if isinstance(error, (ValueError, OSError)) and str(error) else f"{type(error).__name__}: {error}"
    text = text if not path or str(path) in text else f"{path}: {text}"
    return printable(" ".join(text.split()))
