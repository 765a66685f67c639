"""Alpha and cut-out of any photograph, with the weights of a run."""

from pathlib import Path

import numpy as np
from pymatting import estimate_foreground_ml
from tqdm.auto import tqdm

from p3mlib.io import IMAGE_SUFFIXES, read_image, write_image
from p3mlib.models import from_pretrained
from p3mlib.models.inference import predict


def find_images(inputs):
    """Images among files and folders (searched one level deep), sorted within a folder.

    Raises:
        FileNotFoundError: an input does not exist. ValueError: nothing to do, or two inputs would write the same file.
    """
    found = []
    for path in map(Path, inputs):
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    if not found:
        raise ValueError(f"no image ({', '.join(IMAGE_SUFFIXES)}) in {', '.join(map(str, inputs))}")
    first = {}
    for path in found:
        other = first.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(f"{other} and {path} would write the same result; rename one or run them apart")
    return found


def predict_files(inputs, weights, output, strategy="resize", ratio=None, progress=True):
    """Write `<name>_alpha.png` and `<name>_cutout.png` (RGBA, colours of the foreground
    estimated by pymatting) for every image; a damaged file does not stop the others.

    Args:
        inputs:  files and folders. weights: see `from_pretrained`. output: folder, made when missing.
        ratio:   network's input side over the image's; None aims at 512 px on the longer side.
    Returns:
        dict path -> reason of the files that could not be done; empty when all is well.
    """
    images, model = find_images(inputs), from_pretrained(weights)
    failed = {}
    for path in tqdm(images, desc="predict", unit="image", disable=not progress):
        try:
            image = read_image(path)
            alpha = predict(model, image, strategy, ratio or min(1.0, 512 / max(image.shape[:2])), smallest=model.smallest_side)
        except (ValueError, OSError) as error:
            failed[path] = str(error)
            continue
        write_image(Path(output) / f"{path.stem}_alpha.png", alpha)
        colours = estimate_foreground_ml(image, alpha) if alpha.size > 1 else image  # pymatting wants two pixels
        write_image(Path(output) / f"{path.stem}_cutout.png", np.dstack([colours, alpha]))
    return failed
