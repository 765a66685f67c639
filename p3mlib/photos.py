"""Alpha and cut-out of any photograph, with the weights of a run."""

import json
from pathlib import Path

import numpy as np
from pymatting import estimate_foreground_ml
from safetensors.torch import load_file
from tqdm.auto import tqdm

from p3mlib.evaluate import predict
from p3mlib.io import IMAGE_SUFFIXES, read_image, write_image
from p3mlib.models import build_model


def load_run_weights(weights):
    """Network of a run in eval mode.

    Args:
        weights: path of `model.safetensors`; `run.json` beside it says which network it is.
    Raises:
        FileNotFoundError: no such file, or no run.json beside it. ValueError: the file holds another network's weights.
    """
    weights = Path(weights)
    record = weights.with_name("run.json")
    for path in (weights, record):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; --weights takes model.safetensors of a run, with run.json beside it")
    training = json.loads(record.read_text())["training"]
    model = build_model(training["model"], width=training["width"], **training["options"])
    try:
        model.load_state_dict(load_file(weights))
    except Exception as error:
        raise ValueError(f"{weights}: not the weights that {record.name} describes ({type(error).__name__}: {error})") from error
    return model.eval()


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
        inputs:  files and folders. weights: `model.safetensors` of a run. output: folder, made when missing.
        ratio:   network's input side over the image's; None aims at 512 px on the longer side.
    Returns:
        dict path -> reason of the files that could not be done; empty when all is well.
    """
    images, model = find_images(inputs), load_run_weights(weights)
    failed = {}
    for path in tqdm(images, desc="predict", unit="image", disable=not progress):
        try:
            image = read_image(path)
            alpha = predict(model, image, strategy, ratio or min(1.0, 512 / max(image.shape[:2])))
        except (ValueError, OSError) as error:
            failed[path] = str(error)
            continue
        write_image(Path(output) / f"{path.stem}_alpha.png", alpha)
        write_image(Path(output) / f"{path.stem}_cutout.png", np.dstack([estimate_foreground_ml(image, alpha), alpha]))
    return failed
