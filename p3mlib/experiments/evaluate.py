"""Prediction at any image size (RESIZE and HYBRID) and per-image errors."""

import numpy as np
import pandas as pd
from skimage.transform import resize as sk_resize

from p3mlib.anonymize import default_kernel
from p3mlib.bars import tqdm
from p3mlib.io import read_matte
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad, matting_errors, mse, sad
from p3mlib.models.inference import resize

_PIXELS = 2**17  # of images that pass a network together: six of profile laptop; of eight one takes hardly less than of four


def whole_image(pred, sample):
    """All errors of a trimap-free prediction; the trimap is made from alpha where the sample has none."""
    return matting_errors(pred, sample["alpha"], trimap_of(sample))


def silhouette(pred, sample):
    """Errors of a prediction against a binary mask, of which free strands of hair may be no part: what does not depend on them.

    Args:
        pred: (H, W) in [0, 1]. sample: with `alpha` (H, W), 0 or 1.
    Returns:
        dict: IoU and Recall of `pred` >= 0.5, in [0, 1], higher is better (Recall NaN for an empty mask); SAD-Out, in thousands
        of pixels: SAD outside the band around the contour that a trimap of the mask has (`matte.make_trimap`, `default_kernel`).
    """
    mask, found = sample["alpha"] >= 0.5, pred >= 0.5
    both, either, outside = (mask & found).sum(), (mask | found).sum(), ~regions(trimap_of(sample))["unknown"]
    return {
        "IoU": float(both / either) if either else 1.0,
        "Recall": float(both / mask.sum()) if mask.any() else float("nan"),
        "SAD-Out": sad(pred, sample["alpha"], outside),
    }


def trimap_of(sample):
    """The sample's trimap (H, W) in {0, 0.5, 1}; where it has none, one made from its alpha with `default_kernel`."""
    trimap = sample.get("trimap")
    return make_trimap(sample["alpha"], default_kernel(sample["alpha"].shape)) if trimap is None else trimap


def transition_only(pred, sample):
    """SAD, MSE, MAD over the transition area without the blurred pixels, as for Tables 2 and 3 (Sec. 3.4.1).

    The face mask is left out on un-blurred images too, so that both compare the same pixels. An image whose region is
    empty has no error: NaN, which means over a table skip.
    """
    region = regions(trimap_of(sample))["unknown"]
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


def evaluate(predictor, portraits, score=whole_image, side=0, eight_bit=False, progress=True, keep=None):
    """Errors of a predictor on every image of a set.

    Args:
        predictor: callable, sample (dict) -> alpha (H, W) in [0, 1]; one with `many`, samples of one size -> their alphas, sees
            small images in batches.
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
    shrunk = (shrink(sample, side) for sample in tqdm(portraits, desc=title, unit="image", leave=False, disable=not progress))
    for sample, pred in _predictions(predictor, shrunk):
        if keep:
            keep(sample["name"], pred)
        pred = truncated(pred) if eight_bit else pred
        rows[sample["name"]] = {**score(pred, sample), "megapixels": sample["alpha"].size / 1e6}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def _predictions(predictor, samples):
    """(sample, its alpha) in order."""
    together = getattr(predictor, "many", lambda batch: [predictor(sample) for sample in batch])
    for batch in _batches(samples, _PIXELS if hasattr(predictor, "many") else 0):
        yield from zip(batch, (np.asarray(alpha, np.float32) for alpha in together(batch)), strict=True)


def _batches(samples, pixels):
    """Lists of neighbours of one size, at most so many that they have `pixels` together, at least one."""
    batch = []
    for sample in samples:
        alpha = sample["alpha"]
        if batch and (batch[0]["alpha"].shape != alpha.shape or (len(batch) + 1) * alpha.size > pixels):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def truncated(pred):
    """A prediction (H, W) in [0, 1] cut down to 8 bits, as the official release writes it: (H, W) float32."""
    return np.floor(pred * 255) / np.float32(255)


def mean_matte(portraits, shape):
    """Mean of all mattes of a set at one size: the best prediction that never looks at the image (in the L2 sense).

    Returns:
        (H, W) float32 in [0, 1].
    """
    total = np.zeros(shape, np.float64)
    for i in range(len(portraits)):
        total += resize(read_matte(portraits.paths(i)["alpha"]), shape, "modern")
    return (total / len(portraits)).astype(np.float32)
