"""Alpha and cut-out of any photograph, with the weights of a run."""

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from accelerate import Accelerator
from PIL import Image
from pymatting import estimate_foreground_ml

from p3mlib import io
from p3mlib.bars import tqdm
from p3mlib.models import fast
from p3mlib.models.inference import predict
from p3mlib.models.weights import fingerprint, load, ratio_for, strategy_and_ratio

_SIGNED = "p3mlib predict "  # how the field `Software` of a result begins
_COLOURS = 2**19  # pixels of a photograph for which foreground colours are estimated; of larger ones a smaller copy is taken
_BYTES = 120  # of memory a pixel at the peak: the image, the colours of foreground and background, eight bits of all


class Photograph(NamedTuple):
    """A photograph and the two files that are made of it."""

    path: Path
    alpha: Path
    cutout: Path


def gather(inputs, output):
    """Photographs among files and folders, and where their results go: sub-folders are kept below `output`.

    Args:
        inputs: files and folders, see `io.list_photographs`; results of an earlier call are left out, wherever they lie.
    Returns:
        (list of Photograph, dict path -> why it is not done: not read, not there, or two would write one file).
    Raises:
        ValueError: not a single photograph, done or not.
    """
    found, refused = {}, {}
    for source in map(Path, inputs):
        try:
            paths, left = io.list_photographs(source)
        except (ValueError, OSError) as error:
            refused[source] = _why(error, source)
            continue
        refused |= left
        for path in paths:
            if (path == source and io.is_result(path)) or _signed(path):
                continue
            inner = path.relative_to(source).parent if source.is_dir() else Path()
            places = [Path(output) / inner / f"{path.stem}{end}.png" for end in io.RESULTS]
            found.setdefault(path.resolve(), Photograph(path, *places))
    if not found and not refused:
        raise ValueError(f"{', '.join(map(str, inputs))}: only results of an earlier call")
    users = {}
    for photograph in found.values():
        for place in photograph[1:]:
            users.setdefault(place.resolve(), []).append(photograph.path)
    for place, paths in users.items():
        if place in found:
            refused |= dict.fromkeys(paths, f"its result would overwrite the photograph {place}; choose another folder")
        elif len(paths) > 1:
            others = ", ".join(map(str, paths))
            refused |= dict.fromkeys(paths, f"{others} would write the same result; rename one or run them apart")
    return [photograph for photograph in found.values() if photograph.path not in refused], refused


def predict_files(inputs, weights, output, strategy=None, ratio=None, progress=True, device=None, force=False):
    """Write `<name>_alpha.png` and `<name>_cutout.png` (RGBA, foreground colours estimated by pymatting) for every photograph.

    Photographs are read one after the other as a viewer shows them (`io.read_photograph`): results are in sRGB, whatever profile
    a photograph has. Whatever goes wrong with one is its own matter. What is finished is not done again, unless the photograph,
    the weights or the settings have changed: the PNG field `Software` holds a hash of these and 16 bits of one of where the
    photograph lies, and nothing else is in the files. A file of a result's name without that field is not overwritten, nor is
    the result of another photograph of that name.

    Args:
        inputs:   files and folders, see `gather`. weights: see `weights.load`. output: folder, made when missing.
        strategy: see `inference.predict`. ratio: network's input side over the image's. None: what `weights.strategy_and_ratio`
            says, that is RESIZE to 512 px on the longer side, or to half of it for released weights of P3M-Net.
        device:   "cpu", "cuda:1", ...; None takes the accelerator that accelerate finds.
        force:    do again what is finished, and overwrite what is there.
    Returns:
        dict path -> reason of what could not be done; empty when all is well.
    Raises:
        ValueError: nothing to do, or no such device; and what `weights.load` raises. OSError: the folder cannot be made.
    """
    photographs, failed = gather(inputs, output)
    make_folder(output)
    for folder in {place.parent for photograph in photographs for place in photograph[1:]}:
        io.sweep(folder, deep=False)
    model = on_device(load(weights), device)
    strategy, ratio = strategy_and_ratio(model, strategy, ratio, samples=True)
    settings = strategy, ratio, fingerprint(model)
    model = fast(model)
    for photograph in tqdm(photographs, desc="predict", unit="image", disable=not progress):
        try:
            note = _note(photograph.path, settings)
            if force or not all(_has(place, note) for place in photograph[1:]):
                _one(photograph, model, strategy, ratio, note)
        except Exception as error:  # of this one photograph, whatever it is: the others go on
            failed[photograph.path] = _why(error, photograph.path)
    return failed


def make_folder(path):
    """Make a folder for results where it is missing. Raises OSError, which names it, where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(error.errno, f"{path}: cannot be made a folder ({error.strerror}); choose another") from None


def on_device(model, device=None):
    """A network on the device that is asked for, None for what accelerate finds. Raises ValueError where there is no such one."""
    try:
        return model.to(device or Accelerator().device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the latter
        raise ValueError(f"device '{device}': {str(error).splitlines()[0]}") from error


def _one(photograph, model, strategy, ratio, note):
    path = photograph.path
    height, width = io.image_size(path)
    io.check_memory(path, height, width, _BYTES)
    if path.suffix.lower() in (".tif", ".tiff", ".png", ".webp", ".avif") and (count := io.frames(path)) > 1:
        logging.getLogger(__name__).warning("%s: holds %d pages or frames, of which the first is done", io.printable(path), count)
    image = io.read_photograph(path)
    alpha = predict(model, image, strategy, ratio_for(image.shape, ratio), smallest=model.smallest_side)
    layers = np.dstack([_colours(image, alpha), alpha])
    del image  # of a photograph of 12 megapixels 144 MB
    io.write_image(photograph.cutout, layers, note=note)
    io.write_image(photograph.alpha, alpha, note=note)


def _colours(image, alpha):
    """Foreground colours (H, W, 3): the image's where alpha is 1, none where it is 0, between them estimated, of large images
    from a smaller copy."""
    scale = min(1.0, (_COLOURS / alpha.size) ** 0.5)
    size = [max(2, round(scale * length)) for length in alpha.shape[::-1]]  # pymatting wants two pixels
    small = (cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in (image, alpha))
    colours = cv2.resize(estimate_foreground_ml(*small), alpha.shape[::-1])
    colours = cv2.copyTo(image, np.uint8(alpha >= 1 - 0.5 / 255), colours)
    colours[alpha < 0.5 / 255] = 0
    return colours


def _note(path, settings):
    """What the results of a photograph say in their field `Software`: a key that changes with the file, the weights and the
    settings, and a place, four digits that say where the file lay to whoever knows, and tell nobody else."""
    state = os.stat(path)
    key = hashlib.sha256(repr((state.st_size, state.st_mtime_ns, settings)).encode()).hexdigest()[:16]
    return f"{_SIGNED}{key} {hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:4]}"


def _has(path, note):
    """True for a result that was written with this note and is whole. Raises ValueError where the file is not one of ours, or is
    of a photograph that lies elsewhere."""
    if not path.is_file() or not path.stat().st_size:
        return False
    if not (signed := _signed(path)):
        raise ValueError(f"{path} is there and was not written by predict; rename it, choose another folder, or use --force")
    (key, _, place), (wanted, _, here) = (text.removeprefix(_SIGNED).partition(" ") for text in (signed, note))
    if key != wanted and place not in ("", here):
        raise ValueError(f"{path} is of another photograph of this name, or this was moved; choose another folder, or --force")
    with contextlib.suppress(OSError, SyntaxError), Image.open(path) as picture:  # the latter is Pillow's, of damaged PNG files
        picture.verify()
        return key == wanted
    return False


def _signed(path):
    """The note in a result that `predict` wrote, by its name and its header; "" for all other files."""
    if path.suffix != ".png" or not path.stem.endswith(io.RESULTS):
        return ""
    with contextlib.suppress(OSError, SyntaxError), Image.open(path) as picture:
        signed = str(picture.info.get("Software"))
        return signed if signed.startswith(_SIGNED) else ""
    return ""


def _why(error, path):
    return io.reason(error, path).removeprefix(f"{io.printable(path)}: ")
