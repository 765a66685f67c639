"""Image files <-> float arrays in [0, 1]: the only place that converts, that says what a file means, and that writes images.

`files`: writing, errors, what may be read. `pictures`: what a viewer shows of a file. `coded`: masks, mattes and trimaps, where a
value stands for something. `listing`: which files of a folder are photographs. Imports nothing of ours. Used from outside: what
stands here, as `io.NAME`.
"""

from p3mlib.io.coded import read_mask, read_matte, read_trimap
from p3mlib.io.files import (
    DamagedFile,
    PrivateFile,
    TooLarge,
    WrongCoding,
    atomic_path,
    forbid,
    printable,
    reason,
    sweep,
    to_uint8,
    write_image,
    write_text,
)
from p3mlib.io.listing import RESULTS, is_result, list_photographs
from p3mlib.io.pictures import (
    IMAGE_SUFFIXES,
    check_memory,
    decode_photograph,
    frames,
    image_size,
    open_picture,
    orientation,
    read_image,
    read_photograph,
)

__all__ = [
    "IMAGE_SUFFIXES", "RESULTS", "DamagedFile", "PrivateFile", "TooLarge", "WrongCoding", "atomic_path", "check_memory",
    "decode_photograph", "forbid", "frames", "image_size", "is_result", "list_photographs", "open_picture", "orientation",
    "printable", "read_image", "read_mask", "read_matte", "read_photograph", "read_trimap", "reason", "sweep", "to_uint8",
    "write_image", "write_text",
]  # fmt: skip
