"""Odd things that real files hold, made by hand: a colour profile of a wide gamut, and EXIF blocks that are broken."""

import io
import struct
from pathlib import Path

from PIL import Image

_ENTRY = "<HHL4s"  # of a TIFF directory: tag, type, count, value
_TIFF = b"Exif\0\0II*\0" + struct.pack("<L", 8)
_NUMBER_IN_TEXT = struct.pack(_ENTRY, 0x011A, 2, 3, b"72\0\0")  # the resolution, which ought to be a fraction
BROKEN_EXIF = {
    "empty": b"Exif\0\0",
    "zeros": b"Exif\0\0" + bytes(32),
    "breaks off": _TIFF + struct.pack("<H", 9) + bytes(5),
    "text for a number": _TIFF + struct.pack("<H", 1) + _NUMBER_IN_TEXT + bytes(4),
    "orientation as text": _TIFF + struct.pack("<H", 1) + struct.pack(_ENTRY, 0x0112, 2, 2, b"6\0\0\0") + bytes(4),
    "orientation 77": _TIFF + struct.pack("<H", 1) + struct.pack(_ENTRY, 0x0112, 3, 1, b"\x4d\0\0\0") + bytes(4),
    "circle": _TIFF + struct.pack("<H", 1) + struct.pack(_ENTRY, 0x8769, 4, 1, struct.pack("<L", 8)) + struct.pack("<L", 8),
}


def turned_and_broken(orientation):
    """EXIF with a sound orientation beside text where a number belongs, which other programs write and viewers forgive."""
    sound = struct.pack(_ENTRY, 0x0112, 3, 1, struct.pack("<HH", orientation, 0))
    return _TIFF + struct.pack("<H", 2) + sound + _NUMBER_IN_TEXT + bytes(4)


def with_exif(path, picture, body):
    """Write a picture as JPEG with a hand-made APP1 segment; returns the path."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    content = stream.getvalue()
    Path(path).write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:])
    return path


def wide_gamut():
    """A colour profile with the primaries of Display P3 (adapted to D50) and gamma 2.2."""

    def xyz(*values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"Wide P3\0" + bytes(78)
    tags = {b"desc": name + bytes(-len(name) % 4), b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz(0.9642, 1, 0.8249)}
    tags |= {b"rXYZ": xyz(0.51512, 0.24120, -0.00105), b"gXYZ": xyz(0.29198, 0.69225, 0.04189)}
    tags |= {b"bXYZ": xyz(0.15710, 0.06657, 0.78407), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body = b"", b""
    for key, data in tags.items():
        table += key + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data
    head = struct.pack(">I", 132 + len(table) + len(body)) + b"lcms" + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acspAPPL" + bytes(24) + xyz(0.9642, 1, 0.8249)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def display_p3(rgb):
    """sRGB in [0, 1] of colours (3,) coded with `wide_gamut`, by its matrices, cut to what sRGB can show."""
    import numpy as np

    linear = np.asarray(rgb, float) ** (round(2.2 * 256) / 256)
    to_xyz = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
    linear = np.clip(np.linalg.solve(srgb, to_xyz @ linear), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def plain(width=60, height=40):
    """A picture of two colours, left and right."""
    picture = Image.new("RGB", (width, height), (200, 60, 60))
    picture.paste((60, 180, 60), (width // 2, 0, width, height))
    return picture
