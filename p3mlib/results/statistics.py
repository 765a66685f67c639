"""How much P3M-Synth looks like photographs: statistics of mattes and images, one column a set."""

import cv2
import numpy as np
import pandas as pd

from p3mlib import paths
from p3mlib.anonymize import default_kernel
from p3mlib.data import datasets
from p3mlib.experiments import config, corpus
from p3mlib.experiments.evaluate import shrink
from p3mlib.matte import make_trimap, regions
from p3mlib.results.printed import write

SOFT = 0.02, 0.98  # alpha between the two counts as partly transparent
BINS = 5
SYNTHETIC = (("train", "N"), ("P3M-500-P", "N"), ("P3M-500-NP", "N"), ("RWP", "N"))
REAL = (("P3M-500-P", "B"), ("P3M-500-NP", "N"))
ROWS = {  # statistic -> what the table prints
    "transition": "Transition area (%)",
    "soft": "Partly transparent pixels (%)",
    **{f"alpha {i}": f"of them with alpha {i / BINS:g} to {(i + 1) / BINS:g} (%)" for i in range(BINS)},
    "foreground": "Foreground, mean of alpha (%)",
    "face": "Face mask (%)",
    "edges transition": "Gradient in the transition area (1/255 a pixel)",
    "edges foreground": "Gradient in the foreground",
    "edges background": "Gradient in the background",
}


def image_statistics(sample):
    """Statistics of one image.

    Args:
        sample: dict with `image` (H, W, 3) and `alpha` (H, W) in [0, 1], and `facemask` (H, W) bool if there is one.
    Returns:
        dict with the keys of `ROWS`: shares of the pixels in percent (the alpha histogram of the partly transparent ones), mean
        gradient magnitude of grey values in 1/255 a pixel; NaN where a region is empty or there is no face mask.
    """
    image, alpha = np.asarray(sample["image"], np.float32), np.asarray(sample["alpha"], np.float32)
    areas = regions(make_trimap(alpha, default_kernel(alpha.shape)))
    soft = alpha[(alpha > SOFT[0]) & (alpha < SOFT[1])]
    counts, _ = np.histogram(soft, BINS, (0, 1))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) * 255
    edges = np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))))
    inside = {"transition": areas["unknown"], "foreground": areas["fg"], "background": areas["bg"]}
    return {
        "transition": 100 * areas["unknown"].mean(),
        "soft": 100 * soft.size / alpha.size,
        **{f"alpha {i}": 100 * n / soft.size if soft.size else float("nan") for i, n in enumerate(counts)},
        "foreground": 100 * alpha.mean(dtype=np.float64),
        "face": 100 * sample["facemask"].mean() if "facemask" in sample else float("nan"),
        **{f"edges {name}": edges[area].mean() if area.any() else float("nan") for name, area in inside.items()},
    }


def set_statistics(portraits, side, limit=100):
    """Statistics of the first `limit` images of a set, their longer side cut down to `side` pixels.

    Returns:
        DataFrame, one row an image; columns as `image_statistics`.
    """
    rows = [image_statistics(shrink(portraits[i], side)) for i in range(min(limit, len(portraits)))]
    return pd.DataFrame(rows, columns=list(ROWS))


def statistics_table(profile, limit=100):
    """`statistics.csv`, `.md` and `.tex` of a profile: P3M-Synth beside the real portraits of `paths.transfer_root`.

    All images are brought to the size of the profile's. Cells are means over images with their spread (standard deviation).
    """
    scale, root = config.load().profile(profile), paths.transfer_root()
    columns = {}
    with paths.synthetic_only():
        for name, domain in SYNTHETIC:
            columns[f"P3M-Synth {name}"] = corpus.open_set(name, domain, scale, count=limit)
    for name, domain in REAL:
        try:
            columns[f"Photographs {name}"] = datasets.open_dataset(name, root, domain) if root else None
        except datasets.MissingData:
            columns[f"Photographs {name}"] = None
    side = max(scale.data.size)
    found = {title: set_statistics(those, side, limit) for title, those in columns.items() if those is not None}
    frame = pd.concat([_described(title, those) for title, those in found.items()], ignore_index=True)
    lines = [["Images", *(str(len(found[t])) if t in found else "-" for t in columns)]]
    lines += [[text, *(_cell(found[t][key]) if t in found else "-" for t in columns)] for key, text in ROWS.items()]
    caption = (
        f"P3M-Synth beside photographs, mean ± standard deviation over images, longer side {side} px; the transition area is "
        "that of a trimap of 1.9% of the side. Mattes of sample portraits may be predictions of a network. "
        f"Profile {profile}."
    )
    return write("statistics", profile, frame, ["", *(title.replace(" ", "\n", 1) for title in columns)], lines, caption)


def _described(title, found):
    parts = {"value": found.mean(), "spread": found.std(), "images": found.count()}
    return pd.DataFrame({"set": title, **parts}, index=pd.Index(ROWS, name="statistic")).reset_index()


def _cell(values):
    return "-" if values.isna().all() else f"{values.mean():.1f}\n± {values.std():.1f}"
