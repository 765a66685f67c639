"""Which files of a folder are photographs: one rule for all commands."""

import os
import re
from pathlib import Path

from PIL import Image

from p3mlib.io.pictures import IMAGE_SUFFIXES

RESULTS = ("_alpha", "_cutout")  # what `predict` adds to the name of a photograph
_REASONS = {
    "HEIC is not read here; install pillow-heif, or save it as JPEG": ".heic .heif .hif .heics .heifs",
    "AVIF is not read by this Pillow; save it as JPEG": ".avif",
    "this kind of picture is not read; save it as JPEG or PNG": ".gif .apng .jxl .jp2 .j2k .psd .psb .xcf .svg .tga .pcx .ppm "
    ".pgm .pnm .pbm .ico .exr .hdr .eps .pdf .mpo .jps .dib",
    "a raw photograph; develop it into JPEG or TIFF first": ".cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .dng .raf .orf .rw2 .pef "
    ".srw .3fr .erf .kdc .mrw .x3f .raw .iiq",
    "a film; only single photographs are read": ".mp4 .mov .m4v .avi .mkv .webm .3gp .3g2 .mts .m2ts .mpg .mpeg .wmv .mp .lrv "
    ".insv .flv .vob .ogv .asf .mxf",
    "an archive, which may hold photographs; unpack it first": ".zip .rar .7z .tar .tgz",
}
_OTHERS = {suffix: why for why, suffixes in _REASONS.items() for suffix in suffixes.split()}
_STARTS = {  # what the first bytes of a picture look like, whatever its name
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "TIFF": rb"II\*\0|MM\0\*",
    "GIF": rb"GIF8",
    "WebP": rb"RIFF.{4}WEBP",
    "BMP": rb"BM.{4}\0{4}",
    "HEIC": rb".{4}ftyp(heic|heix|hevc|mif1|msf1)",
    "AVIF": rb".{4}ftypavi[fs]",
    "film": rb".{4}ftyp(?!M4[AB])|RIFF.{4}AVI |\x1a\x45\xdf\xa3|FLV\x01|\0\0\x01\xba",
}


def list_photographs(source, results=False):
    """Photographs in a folder, searched in depth, or the one file that is named.

    Left out without a word: files and folders whose names begin with a dot (macOS puts `._a.jpg` beside `a.jpg`), folders whose
    names look like files, what is no picture (.txt, Thumbs.db), and results of `predict` (`a_alpha.png`, `a_cutout.png`) beside
    their photograph. A file that is named itself is taken whatever its name, unless that says it is of a kind that is not read.

    Args:
        source:  folder or file. Names that are not UTF-8 survive as Python's surrogates; `files.printable` shows them.
        results: list those of `predict` too.
    Returns:
        (list of Path, sorted; dict Path -> why it is not read: HEIC, GIF, raw photographs, films, archives, a picture without its
        suffix, a linked folder, a link that leads nowhere, a folder that cannot be opened).
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
        linked = (path for path in (Path(folder, name) for name in folders) if path.is_symlink())
        refused.update(dict.fromkeys(linked, "a linked folder, which may lead anywhere; put the photographs here"))
        inside = {Path(name).stem for name in names if Path(name).suffix.lower() in (*IMAGE_SUFFIXES, *_OTHERS)}
        for path in (Path(folder, name) for name in sorted(names) if name[0] != "."):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_file():
                refused[path] = "a link that leads nowhere" if path.is_symlink() else "not a file"
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                found += [] if not results and is_result(path, inside) else [path]
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
            start = file.read(16)
    except OSError:
        return None
    kind = next((kind for kind, pattern in _STARTS.items() if re.match(pattern, start, re.DOTALL)), None)
    return kind and f"a {kind} inside, but '{path.suffix}' is no suffix of one; rename it"
