"""Prediction at any image size (RESIZE and HYBRID) and per-image errors."""

import numpy as np
import pandas as pd
import torch
from skimage.transform import resize as sk_resize
from tqdm.auto import tqdm

from p3mlib.matte import make_trimap
from p3mlib.metrics import matting_errors

LARGEST_SIDE = 1600


def network_size(side, ratio):
    """Side of the network's input for an image side: scaled, cut to a multiple of 32, at most 1600, at least 32."""
    scaled = int(side * ratio)
    return max(32, min(LARGEST_SIDE, scaled - scaled % 32))


def resize(array, shape, resizing="legacy"):
    """Bilinear resizing of a float (H, W) or (H, W, C) array.

    Args:
        shape:    (height, width) of the result.
        resizing: "legacy" as the official release (skimage 0.14: zeros beyond the border, no anti-aliasing), or "modern"
                  (edge repeated, Gaussian anti-aliasing when shrinking).
    Returns:
        float32; the input itself where the size is right already.
    """
    if array.shape[:2] == tuple(shape):
        return array.astype(np.float32, copy=False)
    legacy = resizing == "legacy"
    options = {"mode": "constant", "anti_aliasing": False} if legacy else {"mode": "edge", "anti_aliasing": True}
    return sk_resize(array, shape, order=1, **options).astype(np.float32)


@torch.inference_mode()
def _forward(model, image, ratio, resizing):
    device = next(model.parameters()).device
    height, width = image.shape[:2]
    small = resize(image, (network_size(height, ratio), network_size(width, ratio)), resizing)
    small = (small - np.float32(model.mean)) / np.float32(model.std)
    return model(torch.from_numpy(small.transpose(2, 0, 1))[None].to(device))


def predict(model, image, strategy="resize", ratio=0.5, resizing="legacy"):
    """Alpha of one image of any size.

    RESIZE: one pass at `ratio`, the final alpha is resized back. HYBRID: the segmentation at `ratio` decides what is
    certain; the rest comes from the detail branch at twice that ratio (at most full size).

    Args:
        model:    network in eval mode with `mean` and `std`.
        image:    (H, W, 3) float in [0, 1].
        strategy: "resize" or "hybrid". ratio: of the image's side. resizing: see `resize`.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: another strategy, or an image that is not (H, W, 3).
    Source:
        official inference of P3M-Net; size rule in `network_size`.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3), got {image.shape}")
    shape = image.shape[:2]
    if strategy not in ("resize", "hybrid"):
        raise ValueError(f"no test strategy '{strategy}'; there are resize, hybrid")
    coarse = _forward(model, image, ratio, resizing)
    if strategy == "resize":
        return np.clip(resize(coarse.alpha[0, 0].float().cpu().numpy(), shape, resizing), 0, 1)
    label = coarse.segmentation[0].argmax(0).cpu().numpy()
    trimap = resize((label * 0.5).astype(np.float32), shape, resizing)
    detail = _forward(model, image, min(1.0, 2 * ratio), resizing).detail[0, 0].float().cpu().numpy()
    detail = np.clip(resize(detail, shape, resizing), 0, 1)
    # Interpolation leaves dust around 0 and 1 where the official pipeline has exact values.
    return np.where(trimap < 1e-6, np.float32(0), np.where(trimap > 1 - 1e-6, np.float32(1), detail))


def evaluate(predictor, portraits, test, progress=True, keep=None, position=0):
    """Errors of a predictor on every image of a set.

    Args:
        predictor: callable, (H, W, 3) float in [0, 1] -> alpha (H, W).
        portraits: samples with `name`, `image`, `alpha` and optionally `trimap` (made from alpha where missing).
        test:      TestConfig; `eight_bit` truncates predictions to 8 bits first, as the official release.
        keep:      callable (name, alpha) that receives every prediction, e.g. to save a gallery.
    Returns:
        DataFrame indexed by name, one column a metric (`metrics.METRICS`) and `megapixels`.
    """
    rows = {}
    bar = tqdm(portraits, desc=f"score {getattr(portraits, 'name', '')}", unit="image", leave=False, disable=not progress, position=position)
    for sample in bar:
        pred = predictor(sample["image"])
        if keep:
            keep(sample["name"], pred)
        if test.eight_bit:
            pred = np.floor(pred * 255).astype(np.float32) / np.float32(255)
        trimap = sample.get("trimap")
        trimap = make_trimap(sample["alpha"]) if trimap is None else trimap
        errors = matting_errors(pred.astype(np.float32), sample["alpha"], trimap)
        rows[sample["name"]] = {**errors, "megapixels": sample["alpha"].size / 1e6}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def mean_matte(portraits, shape):
    """Mean of all mattes of a set at one size: the best prediction that never looks at the image (in the L2 sense).

    Returns:
        (H, W) float32 in [0, 1].
    """
    total = np.zeros(shape, np.float64)
    for sample in portraits:
        total += resize(sample["alpha"], shape, "modern")
    return (total / len(portraits)).astype(np.float32)
