"""Which files of a folder are photographs: one rule for all commands."""

import os
from pathlib import Path

from PIL import Image

from p3mlib.io.pictures import IMAGE_SUFFIXES

RESULTS = ("_alpha", "_cutout")  # what `predict` adds to the name of a photograph
_REASONS = {
    "HEIC is not read here; install pillow-heif, or save it as JPEG": ".heic .heif .hif",
    "AVIF is not read by this Pillow; save it as JPEG": ".avif",
    "this kind of picture is not read; save it as JPEG or PNG": ".gif .apng .jxl .jp2 .j2k .psd .psb .xcf .svg .tga .pcx .ppm "
    ".pgm .pnm .pbm .ico .exr .hdr .eps .pdf .mpo .jps",
    "a raw photograph; develop it into JPEG or TIFF first": ".cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .dng .raf .orf .rw2 .pef "
    ".srw .3fr .erf .kdc .mrw .x3f .raw .iiq",
    "a film; only single photographs are read": ".mp4 .mov .m4v .avi .mkv .webm .3gp .mts .mpg .mpeg .wmv",
}
_OTHERS = {suffix: why for why, suffixes in _REASONS.items() for suffix in suffixes.split()}
_STARTS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"GIF8": "GIF"}


def list_photographs(source):
    """Photographs in a folder, searched in depth, or the one file that is named.

    Left out without a word: files and folders whose names begin with a dot (macOS puts `._a.jpg` beside `a.jpg`), folders whose
    names look like files, what is no picture (.txt, Thumbs.db), and results of `predict` (`a_alpha.png`, `a_cutout.png`) beside
    their photograph. A file that is named itself is taken whatever its name, unless that says it is of a kind that is not read.

    Args:
        source: folder or file. Names that are not UTF-8 survive as Python's surrogates; `files.printable` shows them.
    Returns:
        (list of Path, sorted; dict Path -> why it is not read: HEIC, GIF, raw photographs, films, a picture without its suffix, a
        link that leads nowhere, a folder that cannot be opened).
    Raises:
        FileNotFoundError: no such file or folder. ValueError: not a single picture, read or not.
    """
    source = Path(source)
    if source.is_file():
        why = None if source.suffix.lower() in IMAGE_SUFFIXES else _OTHERS.get(source.suffix.lower())
        return ([], {source: why}) if why else ([source], {})
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    found, refused = [], {}
    for folder, folders, names in os.walk(source, onerror=lambda error: refused.update({Path(error.filename): error.strerror})):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        inside = {Path(name).stem for name in names if Path(name).suffix.lower() in (*IMAGE_SUFFIXES, *_OTHERS)}
        for path in (Path(folder, name) for name in sorted(names) if name[0] != "."):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_file():
                refused[path] = "a link that leads nowhere" if path.is_symlink() else "not a file"
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                found += [] if is_result(path, inside) else [path]
            elif why := _OTHERS.get(path.suffix.lower()) or _unnamed(path):
                refused[path] = why
    if not found and not refused:
        raise ValueError(f"{source}: no image in it ({', '.join(IMAGE_SUFFIXES)})")
    return sorted(found), refused


def is_result(path, stems=None):
    """True for `a_alpha.png` (grey) and `a_cutout.png` (RGBA) where there is a photograph `a` beside it.

    Args:
        path: the file. stems: names without suffix of the pictures in its folder; None looks.
    """
    end = next((end for end in RESULTS if path.stem.endswith(end)), None)
    if end is None or path.suffix.lower() != ".png":
        return False
    if stems is None:
        stems = {other.stem for other in path.parent.iterdir() if other.suffix.lower() in (*IMAGE_SUFFIXES, *_OTHERS)}
    if path.stem[: -len(end)] not in stems:
        return False
    try:
        with Image.open(path) as picture:
            return picture.mode == {"_alpha": "L", "_cutout": "RGBA"}[end]
    except Exception:  # it is listed, and whoever reads it says what is wrong
        return False


def _unnamed(path):
    """Why a file that is a picture by its first bytes, but not by its name, is not read; None for all others."""
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return None
    kind = next((kind for magic, kind in _STARTS.items() if start.startswith(magic)), None)
    return kind and f"a {kind} inside, but '{path.suffix}' is no suffix of one; rename it"
