"""Exercises of notebook 08: how much an obfuscation can change, and why mattes change elsewhere."""

import numpy as np

from p3mlib.anonymize import obfuscate
from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, name, number
from p3mlib.results import report

HIDDEN = {"mosaic": "B:Mosaic", "mask": "B:Mask"}


def _change(kind):
    """Relative change of R34's SAD against blurring, as the paper prints it."""
    cells = report.paper_cells(8)
    before, after = (float(cells["P3M-Net (R34)", "P3M-500-P", setting, "SAD"]) for setting in ("B:B", HIDDEN[kind]))
    return after / before - 1


def _mosaic(image, cell):
    everywhere = np.ones(image.shape[:2], bool)
    return obfuscate(image, everywhere, "mosaic", strength=1.0, face_width=float(cell))


def _picked(image, cell):
    return image[::cell, ::cell].repeat(cell, 0).repeat(cell, 1)


def _small(image, cell):
    return _mosaic(image, cell)[::cell, ::cell]


def _grey(image, cell):
    return _mosaic(np.repeat(image.mean(2, keepdims=True), 3, 2), cell)


def _trials():
    rng = np.random.default_rng(0)
    return [(rng.random((8, 12, 3)), 4), (rng.random((6, 6, 3)), 2), (rng.random((9, 3, 3)), 3)]


EXERCISES = (
    Exercise(
        "08.1",
        "compute",
        "share of the image that is hidden",
        number(
            lambda facemasks: np.mean([mask.mean() for mask in facemasks]),
            "a share of all pixels between 0 and 1",
            "Inside the mask a matte can change by no more than these pixels. What changes beyond comes from context.",
            [
                (
                    lambda facemasks: np.mean([mask.sum() for mask in facemasks]),
                    "That is a number of pixels; divide by the image's.",
                ),
                (
                    lambda facemasks: np.sum([mask.mean() for mask in facemasks]),
                    "That adds the shares of all images; asked is their mean.",
                ),
                (lambda facemasks: facemasks[0].mean(), "That is the first image alone; asked is the mean over all."),
                (
                    lambda facemasks: max(mask.mean() for mask in facemasks),
                    "That is the largest face; asked is the mean over all images.",
                ),
                (
                    lambda facemasks: 1 - np.mean([mask.mean() for mask in facemasks]),
                    "That is the share of what stays as it was.",
                ),
            ],
        ),
        (
            "A mask's mean is the share of True.",
            "One share for every image, then their mean.",
            '`np.mean([s["facemask"].mean() for s in ...])`',
        ),
        ("facemasks",),
    ),
    Exercise(
        "08.2",
        "change",
        "a mosaic as a function",
        function(
            _mosaic,
            _trials,
            "Every cell keeps its mean colour and nothing else. It takes the un-blurred image, so it can show more than a blur.",
            [
                (_picked, "One pixel stands for its cell; a mosaic takes the mean of the cell."),
                (_small, "The cells are right, the size is not: every cell must fill its pixels again."),
                (_grey, "Colours are lost: take the mean of each channel on its own."),
                (
                    lambda image, cell: np.broadcast_to(image.mean((0, 1)), image.shape),
                    "That is one cell as large as the image; `cell` is not used.",
                ),
                (lambda image, cell: image, "Nothing has changed: average every cell."),
            ],
        ),
        (
            "Heights and widths tried are multiples of `cell`.",
            "Two loops over the cells do it: `result[y : y + cell, x : x + cell] = ...`.",
            "The mean of a cell is `image[y : y + cell, x : x + cell].mean((0, 1))`.",
        ),
    ),
    Exercise(
        "08.3",
        "predict",
        "which obfuscation hurts more in the paper",
        name(
            lambda: max(HIDDEN, key=_change),
            tuple(HIDDEN),
            "Black is a thing no training image had inside a face; a mosaic is smooth skin, much like a blur.",
            lambda chosen: (
                f"In the paper a {chosen} changes R34's SAD by {_change(chosen):+.1%} against blurring; the other one costs more."
            ),
        ),
        ("Which of the two is more like what the network was trained on?", "Think of the colour inside the mask."),
    ),
    Exercise(
        "08.4",
        "explain",
        "why mattes change outside of the mask",
        choice(
            "d",
            "Every output sees a receptive field much larger than a pixel. Where that holds the face, the matte can change.",
            a="Test images agree outside of the mask, as the cell above asserts; the network's input changes inside only.",
            b="Batch norm uses stored means in use; images do not influence one another.",
            c="The same weights run on all images; nothing is drawn anew.",
        ),
        (
            "One network, one set of weights; what differs lies inside the mask.",
            "How far from a pixel does the network look to decide about it?",
        ),
    ),
)
