"""Prediction at any image size (RESIZE and HYBRID) and per-image errors."""

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from skimage.transform import resize as sk_resize
from tqdm.auto import tqdm

from p3mlib.anonymize import default_kernel
from p3mlib.io import read_matte
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad, matting_errors, mse, sad

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
                  (edge repeated, Gaussian anti-aliasing when shrinking), or "area" (means over areas, as MODNet).
    Returns:
        float32; the input itself where the size is right already.
    """
    if array.shape[:2] == tuple(shape):
        return array.astype(np.float32, copy=False)
    if resizing == "area":
        planes = torch.from_numpy(np.ascontiguousarray(array, np.float32).reshape(*array.shape[:2], -1)).permute(2, 0, 1)
        small = F.interpolate(planes[None], tuple(shape), mode="area")[0].permute(1, 2, 0)
        return small.reshape(*shape, *array.shape[2:]).numpy()
    legacy = resizing == "legacy"
    options = {"mode": "constant", "anti_aliasing": False} if legacy else {"mode": "edge", "anti_aliasing": True}
    return sk_resize(array, shape, order=1, **options).astype(np.float32)


@torch.inference_mode()
def _forward(model, image, size, resizing, trimap=None):
    device = next(model.parameters()).device
    small = resize(image, size, resizing)
    small = (small - np.float32(model.mean)) / np.float32(model.std)
    if trimap is not None:
        plane = cv2.resize(np.float32(trimap), tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)
        small = np.dstack([small, np.where(plane >= 1, 1, np.where(plane <= 0, 0, 0.5)).astype(np.float32)])
    return model(torch.from_numpy(small.transpose(2, 0, 1))[None].to(device))


def predict(model, image, strategy="resize", ratio=0.5, resizing="legacy", smallest=0, side=512, trimap=None):
    """Alpha of one image of any size.

    RESIZE: one pass at `ratio`, the final alpha is resized back. HYBRID: the segmentation at `ratio` decides what is
    certain; the rest comes from the detail branch at twice that ratio (at most full size). A network with a size rule of its
    own (`MattingNetwork.input_size`) follows that instead, in one pass.

    Args:
        model:    network in eval mode.
        image:    (H, W, 3) float in [0, 1].
        strategy: "resize" or "hybrid". ratio: of the image's side. resizing: see `resize`; the network's own goes before it.
        smallest: an image with a shorter side is enlarged to it, and goes through once whatever the strategy; the official
            release does that for Swin-T with 512, on RWP and on free samples (`model.smallest_side`).
        side:     of the images that the network was trained on, for its own size rule.
        trimap:   (H, W) float in [0, 1] for a network that is given one (`model.channels` is 4); known pixels are its own.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: another strategy, an image that is not (H, W, 3), a trimap that is missing or of another size.
    Source:
        official inference of P3M-Net; size rule in `network_size`.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3), got {image.shape}")
    shape, resizing, given = image.shape[:2], model.resizing or resizing, getattr(model, "channels", 3) == 4
    if given and (trimap is None or trimap.shape != shape):
        raise ValueError(f"the network needs a trimap of {shape}, got {'none' if trimap is None else trimap.shape}")
    if strategy not in ("resize", "hybrid"):
        raise ValueError(f"no test strategy '{strategy}'; there are resize, hybrid")
    if min(shape) < smallest:
        strategy, ratio = "resize", smallest / min(shape)
    own = model.input_size(*shape, side)
    coarse = _forward(model, image, own or [network_size(s, ratio) for s in shape], resizing, trimap if given else None)
    if own or strategy == "resize":
        alpha = np.clip(resize(coarse.alpha[0, 0].float().cpu().numpy(), shape, resizing), 0, 1)
        return np.where(trimap >= 1, 1, np.where(trimap <= 0, 0, alpha)).astype(np.float32) if given else alpha
    label = coarse.segmentation[0].argmax(0).cpu().numpy()
    trimap = resize((label * 0.5).astype(np.float32), shape, resizing)
    fine = _forward(model, image, [network_size(s, min(1.0, 2 * ratio)) for s in shape], resizing)
    detail = np.clip(resize(fine.detail[0, 0].float().cpu().numpy(), shape, resizing), 0, 1)
    # Interpolation leaves dust around 0 and 1 where the official pipeline has exact values.
    return np.where(trimap < 1e-6, np.float32(0), np.where(trimap > 1 - 1e-6, np.float32(1), detail))


def whole_image(pred, sample):
    """All errors of a trimap-free prediction; the trimap is made from alpha where the sample has none."""
    return matting_errors(pred, sample["alpha"], _trimap(sample))


def _trimap(sample):
    trimap = sample.get("trimap")
    return make_trimap(sample["alpha"], default_kernel(sample["alpha"].shape)) if trimap is None else trimap


def transition_only(pred, sample):
    """SAD, MSE, MAD over the transition area without the blurred pixels, as for Tables 2 and 3 (Sec. 3.4.1).

    The face mask is left out on un-blurred images too, so that both compare the same pixels. An image whose region is
    empty has no error: NaN, which means over a table skip.
    """
    region = regions(_trimap(sample))["unknown"]
    if "facemask" in sample:
        region &= ~sample["facemask"]
    if not region.any():
        return dict.fromkeys(("SAD", "MSE", "MAD"), float("nan"))
    return {
        "SAD": sad(pred, sample["alpha"], region),
        "MSE": mse(pred, sample["alpha"], region),
        "MAD": mad(pred, sample["alpha"], region),
    }


def face_hole(pred, sample):
    """Face-hole rate: how much of alpha is missing where a face is certainly foreground; NaN where no face is known.

    Args:
        pred: (H, W) in [0, 1]. sample: with `alpha` and, for a number, `facemask`.
    Returns:
        mean of alpha - pred inside the face mask where alpha is 1.
    """
    solid = sample["facemask"] & (sample["alpha"] == 1) if "facemask" in sample else np.zeros(pred.shape, bool)
    return float(1 - pred[solid].mean(dtype=np.float64)) if solid.any() else float("nan")


def with_regions(pred, sample):
    """`whole_image`, as SAD-U, MSE-U, MAD-U `transition_only`, and as Hole `face_hole`."""
    transition = {f"{name}-U": error for name, error in transition_only(pred, sample).items()}
    return {**whole_image(pred, sample), **transition, "Hole": face_hole(pred, sample)}


def shrink(sample, side):
    """The sample with its longer side cut down to `side` pixels (0: as it is); masks and trimaps stay exact."""
    height, width = sample["alpha"].shape
    factor = side / max(height, width)
    if not 0 < factor < 1:
        return sample
    shape = (round(height * factor), round(width * factor))
    small = dict(sample)
    for key in sample.keys() & {"image", "alpha", "fg", "bg"}:
        small[key] = np.clip(resize(sample[key], shape, "modern"), 0, 1)
    for key in sample.keys() & {"trimap", "facemask"}:
        nearest = sk_resize(sample[key], shape, order=0, anti_aliasing=False, preserve_range=True)
        small[key] = nearest.astype(sample[key].dtype)
    return small


def evaluate(predictor, portraits, score=whole_image, side=0, eight_bit=False, progress=True, keep=None, position=0):
    """Errors of a predictor on every image of a set.

    Args:
        predictor: callable, sample (dict) -> alpha (H, W) in [0, 1].
        portraits: samples with `name`, `image`, `alpha` and what else predictor and score need.
        score:     callable (alpha, sample) -> dict metric -> error: `whole_image` or `transition_only`.
        side:      images are shrunk to this longer side before; 0 keeps them.
        eight_bit: truncate predictions to 8 bits before scoring, as the official release.
        keep:      callable (name, alpha) that receives every prediction, e.g. to save a gallery.
    Returns:
        DataFrame indexed by name, one column a metric and `megapixels` of the image that was scored.
    """
    rows = {}
    title = f"score {getattr(portraits, 'name', '')}"
    for sample in tqdm(portraits, desc=title, unit="image", leave=False, disable=not progress, position=position):
        sample = shrink(sample, side)
        pred = np.asarray(predictor(sample), np.float32)
        if keep:
            keep(sample["name"], pred)
        if eight_bit:
            pred = np.floor(pred * 255) / np.float32(255)
        rows[sample["name"]] = {**score(pred, sample), "megapixels": sample["alpha"].size / 1e6}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def mean_matte(portraits, shape):
    """Mean of all mattes of a set at one size: the best prediction that never looks at the image (in the L2 sense).

    Returns:
        (H, W) float32 in [0, 1].
    """
    total = np.zeros(shape, np.float64)
    for i in range(len(portraits)):
        total += resize(read_matte(portraits.paths(i)["alpha"]), shape, "modern")
    return (total / len(portraits)).astype(np.float32)
