"""Pictures as a viewer shows them: turned by EXIF, in sRGB, transparent places over white, the first frame."""

import contextlib
import io

import numpy as np
import psutil
from PIL import Image, ImageCms, features

from p3mlib.io.files import DamagedFile, TooLarge, WrongCoding, check_readable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
if features.check("avif"):
    IMAGE_SUFFIXES += (".avif",)
with contextlib.suppress(ImportError):  # photographs of iPhones, where somebody has installed what reads them
    import pillow_heif

    pillow_heif.register_heif_opener()
    IMAGE_SUFFIXES += (".heic", ".heif")

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_BYTES = 32  # of memory a pixel while a picture becomes floats: decoded, turned, and float32 twice


def check_memory(path, height, width, each=_BYTES):
    """Raise TooLarge where a picture needs more memory than this process can still have.

    Args:
        path: for the message. height, width: of the picture. each: bytes a pixel that the work needs at its peak.
    """
    free = psutil.virtual_memory().available
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        free = free if limit == resource.RLIM_INFINITY else min(free, limit - psutil.Process().memory_info().vms)
    if height * width * each > free:
        raise TooLarge(
            f"{path}: too large for the memory at hand: {width}x{height} px need about {height * width * each / 2**30:.1f} GiB, "
            f"{max(free, 0) / 2**30:.1f} are free; reduce it, or use a machine with more"
        )


@contextlib.contextmanager
def _decoding(path):
    """Whatever a decoder raises becomes TooLarge or DamagedFile with the file's name; what the system says stays."""
    try:
        yield
    except (DamagedFile, TooLarge, WrongCoding):
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        why = "not enough memory for it" if isinstance(error, MemoryError) else error
        raise TooLarge(f"{path}: too large ({why}); reduce it first") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = str(error) or type(error).__name__
        raise DamagedFile(f"{path}: damaged or not an image ({why}); fetch or write it again") from error


def open_picture(path):
    """Decode the first frame of a file completely into a PIL picture, turned as EXIF says.

    Its `info` also has `highest`, the highest value that the file can hold, and `lossy`, whether values are only about right.
    Raises:
        FileNotFoundError: no such file. DamagedFile: it cannot be decoded. TooLarge: it does not fit into memory.
        PrivateFile: it lies in a folder that `forbid` names. OSError: the system does not let it be read.
    """
    path = check_readable(path)
    # Of a path Pillow maps uncompressed grey TIFFs at the size they have when turned, which scrambles them: of a file it reads.
    with _decoding(path), open(path, "rb") as file:
        return _opened(file, path)


def _opened(file, path):
    with Image.open(file) as picture:
        check_memory(path, picture.height, picture.width)
        picture.load()
        turn, found = orientation(picture), {"highest": _highest(picture), "lossy": picture.format in ("JPEG", "MPO", "WEBP")}
        picture = picture.transpose(_TURNS[turn]) if turn in _TURNS else picture.copy()
        picture.info |= found
        return picture


def orientation(picture):
    """EXIF orientation of a PIL picture or a file, 1 to 8; 1 where there is none, and for what no viewer understands."""
    if not isinstance(picture, Image.Image):
        path = check_readable(picture)
        with _decoding(path), Image.open(path) as opened:
            return orientation(opened)
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # a block that breaks off, or text where a number belongs: the pixels are sound
        return 1
    return value if type(value) is int and 1 <= value <= 8 else 1


def image_size(path):
    """(height, width) as `read_image` would return them, from the header alone; raises as `open_picture`."""
    path = check_readable(path)
    with _decoding(path), Image.open(path) as picture:
        width, height = picture.size
        turned = picture.format != "TIFF" and orientation(picture) >= 5  # Pillow turns the size of a TIFF itself
    return (width, height) if turned else (height, width)


def frames(path):
    """Number of pictures in a file; the first is read: pages of a TIFF, frames of an animation, more in a JPEG (MPO)."""
    path = check_readable(path)
    with _decoding(path), Image.open(path) as picture:
        try:
            return int(getattr(picture, "n_frames", 1))
        except Exception:  # a broken table of further frames: there is one that can be read
            return 1


def read_photograph(path):
    """Read a photograph as a viewer shows it.

    Turned by EXIF, unless the tag is broken or absurd; converted to sRGB from an embedded profile, unless that is broken; grey,
    palette, CMYK and 16 bit too; transparent places laid over white, so that what they hide never comes out; the first frame.

    Returns:
        (H, W, 3) float32 in [0, 1], sRGB.
    Raises:
        as `open_picture`. WrongCoding: floats outside [0, 1].
    """
    picture = open_picture(path)
    with _decoding(path):
        return _over_white(picture, path, profile=True)


def decode_photograph(data, name):
    """As `read_photograph`, of a file's bytes that lie in memory; `name` is what messages call it."""
    with _decoding(name):
        return _over_white(_opened(io.BytesIO(data), name), name, profile=True)


def read_image(path, box=None):
    """Read a colour image of a data set: as `read_photograph`, but whatever its profile, as the official code does.

    `box` (left, top, right, bottom) in pixels: only that window becomes floats, which takes most of the time.
    """
    picture = open_picture(path)
    with _decoding(path):
        return _over_white(picture.crop(box) if box else picture, path, profile=False)


def _over_white(picture, path, profile):
    if picture.mode[0] in "IF":
        values, top = samples(picture)
        hidden = values == picture.info["transparency"] if isinstance(picture.info.get("transparency"), int) else None
        grey = unit(values, top, path)
        return np.repeat((grey if hidden is None else np.where(hidden, np.float32(1), grey))[..., None], 3, axis=2)
    alpha = None
    if picture.has_transparency_data:
        own, picture = picture.info.get("icc_profile"), picture.convert("RGBA")
        alpha, picture = picture.getchannel("A"), picture.convert("RGB")
        picture.info["icc_profile"] = own
    picture = _in_srgb(picture) if profile else picture.convert("RGB")
    image = np.asarray(picture).astype(np.float32)
    image /= 255
    if alpha is not None:
        seen = np.asarray(alpha).astype(np.float32)[..., None] / 255
        image *= seen
        image += 1 - seen
    return image


def _in_srgb(picture):
    """RGB picture in sRGB; a profile that is broken, or for other colours, is ignored, as viewers do."""
    profile = picture.info.get("icc_profile")
    picture = picture.convert("RGB") if picture.mode not in ("RGB", "CMYK", "L", "LAB") else picture
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else None
        if own and not (picture.mode == "RGB" and "sRGB" in ImageCms.getProfileDescription(own)):
            return ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return picture.convert("RGB")


def _highest(picture):
    """Highest value that an opened file of one channel can hold: 255, 65535, 2^31 - 1, ..., 1 for floats."""
    if picture.mode != "I":
        return {"F": 1, "I": 65535}.get(picture.mode[0], 255)
    tags = getattr(picture, "tag_v2", {})  # of a TIFF; Pillow has 32 bits in memory whatever the file has
    signed, bits = tags.get(339, (1,))[0] == 2, tags.get(258, (16,))[0]
    return 2 ** (bits - signed) - 1


def samples(picture):
    """Values of a picture of one channel from `open_picture` as stored, (H, W), and the highest value of their type."""
    values, highest = np.asarray(picture.convert("L") if picture.mode == "1" else picture), picture.info["highest"]
    return (values.view(np.uint32) if highest == 2**32 - 1 else values), highest


def unit(values, top, path):
    """(H, W) float32 in [0, 1] of stored values. Raises WrongCoding for floats outside, or NaN."""
    grey = (values / top).astype(np.float32) if top > 65535 else values.astype(np.float32) / np.float32(top)
    low, high = float(grey.min()), float(grey.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise WrongCoding(f"{path}: its numbers span [{low:.4g}, {high:.4g}], expected [0, 1]; divide them, or write 8 bit")
    return grey.clip(0, 1)
