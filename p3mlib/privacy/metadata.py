"""What an image file carries besides its pixels, read from the bytes of JPEG segments and PNG chunks.

Libraries show what they understand; a leak is what they skip. Hence whatever is not needed to decode the picture is named.
"""

import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from p3mlib.io import DamagedFile

_PICTURE = b"\xff\xd8\xff"  # how a JPEG begins, wherever it hides
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_PNG = b"\x89PNG\r\n\x1a\n"
_HARMLESS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"hIST", b"pHYs"}
_HARMLESS |= {b"cICP", b"mDCV", b"cLLI"}
_FRAMES = {b"acTL", b"fcTL", b"fdAT"}


class Piece(NamedTuple):
    """Something in a file that is not the picture: name in plain words, size in bytes."""

    name: str
    size: int


def leftovers(path):
    """Everything in a JPEG or PNG file that decoding does not need.

    EXIF (GPS and thumbnails are named on their own), thumbnails in JFIF, JFXX and Photoshop segments, XMP, IPTC, colour profiles
    other than sRGB, comments, text chunks, further frames, unknown segments and chunks, and data after the end of the image.
    The type is told from the content. Not looked into: the pixels themselves.

    Args:
        path: the file.
    Returns:
        list of Piece, in the order of the file; empty for a file that `io.write_image` wrote.
    Raises:
        FileNotFoundError: no such file. io.DamagedFile: it breaks off, or is neither JPEG nor PNG.
    Source:
        ITU-T T.81 Annex B and JFIF 1.02 (JPEG), PNG third edition (W3C 2025).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    content = path.read_bytes()
    read = _jpeg if content.startswith(_PICTURE) else _png if content.startswith(_PNG) else None
    if read is None:
        raise DamagedFile(f"{path}: neither JPEG nor PNG inside, so its metadata cannot be checked; write it as one of them")
    try:
        return list(read(content))
    except (struct.error, IndexError, zlib.error) as error:
        raise DamagedFile(f"{path}: the file breaks off or is damaged ({error}); fetch or write it again") from error


def _jpeg(content):
    """Pieces of a JPEG, segment by segment."""
    at, profile = 2, b""
    while content[at + 1] != 0xD9:  # end of image
        if content[at] != 0xFF:
            raise IndexError(f"no marker at byte {at}")
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (size,) = struct.unpack_from(">H", content, at + 2)
        body, at = content[at + 4 : at + 2 + size], at + 2 + size
        if marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile += body[14:]
        elif 0xE0 <= marker <= 0xEF:
            yield from _application(marker - 0xE0, body)
        elif marker == 0xFE:
            yield Piece("comment", len(body))
        elif marker == 0xDA:
            at = _scan_end(content, at)
    yield from _colours(profile)
    yield from _trailing(content[at + 2 :])


def _scan_end(content, at):
    """Where the next marker stands after compressed data (FF00 is data, FFD0 to FFD7 are restarts)."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            raise IndexError("no end of image")
        if content[at + 1] not in (0x00, *range(0xD0, 0xD8)):
            return at
        at += 2


def _application(number, body):
    """Pieces of an APPn segment."""
    if number == 0 and body.startswith(b"JFIF\0"):
        yield from [Piece("thumbnail in JFIF", len(body) - 14)] if len(body) > 14 else []
    elif number == 0 and body.startswith(b"JFXX\0"):
        yield Piece("thumbnail in JFXX", len(body))
    elif number == 1 and body.startswith(b"Exif\0"):
        yield from _exif(body[6:])
    elif number == 1 and body.startswith((_XMP, _XMP_MORE)):
        yield from _xmp(body)
    elif number == 13 and body.startswith(b"Photoshop 3.0\0"):
        inside = b"8BIM\x04\x0c" in body or b"8BIM\x04\x09" in body
        yield Piece("Photoshop and IPTC data" + " with a thumbnail" * inside, len(body))
    elif number != 14 or not body.startswith(b"Adobe") or len(body) > 12:  # APP14 says how colours are coded
        label = body[:24].split(b"\0")[0].decode("ascii", "replace")
        yield Piece(f"APP{number} segment '{label if label.isprintable() else '?'}'", len(body))


def _exif(body):
    """EXIF as a whole, then GPS and thumbnail in it; a damaged block is still searched for a picture."""
    yield Piece("EXIF", len(body))
    exif, places, small = Image.Exif(), {}, {}
    with suppress(
        ValueError, OSError, SyntaxError, LookupError, TypeError, struct.error
    ):  # damaged EXIF is a leftover all the same
        exif.load(body)
        places, small = exif.get_ifd(0x8825), exif.get_ifd(1)
    if places:
        yield Piece("GPS position in EXIF", sum(len(str(value)) for value in places.values()))
    start = body.find(_PICTURE)
    if small or start >= 0:
        yield Piece("thumbnail in EXIF", int(small.get(0x0202, 0)) or (len(body) - start if start >= 0 else len(body)))


def _xmp(body):
    inside = b"xmpGImg:image" in body or b"xmp:Thumbnails" in body
    yield Piece("XMP" + " with a thumbnail" * inside, len(body))


def _colours(profile):
    """A colour profile that is not sRGB names the device; sRGB is what the picture has anyway."""
    if profile and b"sRGB" not in profile and "sRGB".encode("utf-16-be") not in profile:
        yield Piece("colour profile", len(profile))


def _trailing(rest):
    if rest:
        inside = " with a picture" * (_PICTURE in rest or _PNG in rest)
        yield Piece(f"data after the end of the image{inside}", len(rest))


def _png(content):
    """Pieces of a PNG, chunk by chunk."""
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", content, at)
        body, at = content[at + 8 : at + 8 + size], at + 12 + size
        if at > len(content):
            raise IndexError(f"chunk {kind.decode('latin-1')} is cut off")
        if kind not in _HARMLESS:
            yield from _chunk(kind, body)
    yield from _trailing(content[at:])


def _chunk(kind, body):
    name = kind.decode("latin-1")
    keyword = body.split(b"\0", 1)[0].decode("latin-1")
    if kind in (b"tEXt", b"zTXt", b"iTXt"):
        yield from _xmp(body) if keyword == "XML:com.adobe.xmp" else [Piece(f"text '{keyword}' ({name})", len(body))]
    elif kind == b"eXIf":
        yield from _exif(body)
    elif kind == b"iCCP":
        yield from _colours(zlib.decompress(body.split(b"\0", 1)[1][1:]))
    elif kind == b"tIME":
        yield Piece("time of the last change", len(body))
    else:
        yield Piece("further frame" if kind in _FRAMES else f"chunk {name}", len(body))
