"""Files in which a value stands for something: mattes, trimaps, masks. What is ambiguous is refused, saying what is expected."""

import numpy as np

from p3mlib.io.files import WrongCoding
from p3mlib.io.pictures import open_picture, samples, unit

_COLOURS = 8  # how far the channels of a grey picture may lie apart, in 255ths: what a JPEG leaves
_LABELS = 16  # more different values are shades, not labels
_FAINT = 1 / 8  # of the highest shade: what a JPEG leaves around an edge


def _grey(path, what):
    """(values (H, W) as stored, highest value of their type) of a file that shows one grey channel. Raises WrongCoding."""
    picture = open_picture(path)
    mode, expected = picture.mode, f"expected a grey file, {what}"
    if picture.has_transparency_data:
        if picture.mode[0] in "IF" or picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise WrongCoding(f"{path}: is {mode} with an alpha channel that is not opaque; {expected}. Write that channel alone")
        picture = picture.convert("RGB")
    if picture.mode not in ("1", "L") and picture.mode[0] not in "IF":
        channels = np.asarray(picture.convert("RGB")).astype(np.int16)
        apart = int((channels.max(2) - channels.min(2)).max(initial=0))
        if apart > _COLOURS:
            raise WrongCoding(f"{path}: is {mode} and shows colours (channels up to {apart} apart); {expected}")
        return channels[..., 1].astype(np.uint8), 255
    return samples(picture)


def read_matte(path, checked=True):
    """Read an alpha matte: grey, 8, 16 or 32 bit scaled by its own type, or a float TIFF as it is.

    Args:
        checked: False for what `write_image` wrote, where a highest value of 1 is a faint matte.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        as `pictures.open_picture`. WrongCoding: colours, an alpha channel that is not opaque, 0/1 instead of 0/255, values of
        fewer bits than the file has, floats outside [0, 1].
    """
    values, top = _grey(path, "0 outside to 255 inside")
    if checked and top > 1:
        _full_range(path, values, top, f"0 to {top}")
    return unit(values, top, path)


def _full_range(path, values, top, expected):
    """Refuse a file in which nothing reaches a value that its type can show; all zero is no coding, and passes."""
    highest, few = int(values.max(initial=0)), {255: 2, 65535: 255}.get(top, 65535)
    if 0 < highest <= few:
        code = f"0/{highest} instead of 0/{top}" if highest <= 2 else f"values of fewer bits than the file has ({top})"
        raise WrongCoding(f"{path}: its highest value is {highest}: {code}; expected {expected}. Multiply and write it again")


def read_trimap(path):
    """Read a trimap stored as {0, 127 or 128, 255}, or the same share of a deeper type; floats {0, 0.5, 1}.

    Returns:
        (H, W) float32 with values {0, 0.5, 1}.
    Raises:
        as `read_matte`. WrongCoding: any other value; up to five are named.
    """
    values, top = _grey(path, "0 background, 128 unknown, 255 foreground")
    if top > 1:
        _full_range(path, values, top, "0, 128 and 255 (background, unknown, foreground)")
    grey = unit(values, top, path)
    trimap = np.where(abs(grey - 0.5) <= 1 / 255, np.float32(0.5), grey)
    strange = ~np.isin(trimap, (0, 0.5, 1))
    if strange.any():
        found = ", ".join(f"{v:g}" for v in np.unique(values[strange])[:5])
        codes = "0, 128 and 255" if top == 255 else f"0, {top / 2:g} and {top}"
        raise WrongCoding(f"{path}: a trimap has {codes} only (background, unknown, foreground), this one also {found}")
    return trimap


def read_mask(path, released=False):
    """Read a binary mask as annotation tools write it: what they call inside is True.

    Where the alpha channel varies, inside is what is not transparent. Otherwise black is outside and everything else inside: 1,
    255, another grey, the colour of a label, the white of a 1-bit file.

    Args:
        released: a file of a data set, or one that `write_image` wrote: 255 inside, from a half on; it may be empty; 0/1 and
            colours are refused.
    Returns:
        (H, W) bool.
    Raises:
        as `pictures.open_picture`. WrongCoding: empty, no black, or so many shades or colours that it looks like a photograph.
    """
    if released:
        values, top = _grey(path, "255 inside and 0 outside")
        if top > 1:
            _full_range(path, values, top, f"{top} inside and 0 outside")
        return unit(values, top, path) >= 0.5
    picture = open_picture(path)
    mask = _visible(picture) if picture.has_transparency_data and picture.mode[0] not in "IF" else None
    if mask is None:
        mask = _not_black(picture, path)
    if not mask.any():
        raise WrongCoding(f"{path}: the mask is empty (0 everywhere); draw what is inside in white, or leave the file out")
    return mask


def _visible(picture):
    """Where the alpha channel is not 0; None where it is the same everywhere and so says nothing."""
    alpha = np.asarray(picture.convert("RGBA").getchannel("A"))
    return alpha > 0 if alpha.min() != alpha.max() else None


def _not_black(picture, path):
    expected = "expected white (255) or one colour inside on black"
    if picture.mode in ("1", "L") or picture.mode[0] in "IF":
        values = samples(picture)[0]
    else:
        values = np.asarray(picture.convert("RGB")).astype(np.int32)
        apart = int((values.max(2) - values.min(2)).max(initial=0))
        values = values[..., 1] if apart <= _COLOURS else values @ (1 << 16, 1 << 8, 1)
        if apart > _COLOURS and len(np.unique(values)) > _LABELS * _LABELS:
            raise WrongCoding(f"{path}: has {len(np.unique(values)):,} colours and looks like a photograph; {expected}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise WrongCoding(f"{path}: holds numbers that are not finite; {expected}")
    found, highest = np.unique(values), values.max(initial=0)
    if found[0] < 0 or (len(found) > 1 and found[0] > 0 and len(found) <= _LABELS):
        values = ", ".join(f"#{v:06x}" if highest > 65535 else f"{v:g}" for v in found[:5])
        raise WrongCoding(f"{path}: has no black (its values: {values}), so what is outside is not clear; {expected}")
    if len(found) <= _LABELS and not picture.info["lossy"]:
        return values > 0
    between = float(((values > highest * _FAINT) & (values < highest * (1 - _FAINT))).mean())
    if between > 0.25:
        shades = f"{between:.0%} of it are shades between black and its highest value {highest:g}"
        raise WrongCoding(f"{path}: {shades}, which looks like a photograph; {expected}")
    return values > highest * _FAINT
