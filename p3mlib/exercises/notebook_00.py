"""Exercises of notebook 00: the matting equation, the matte, what B:N asks."""

import numpy as np

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, number
from p3mlib.matte import composite


def _pixel(alpha, fg, bg):
    """Brightness of one blended pixel."""
    return float(composite(np.full((1, 1, 3), fg), np.full((1, 1, 3), bg), np.full((1, 1), alpha)).mean())


def _soft(alpha):
    return (alpha > 0) & (alpha < 1)


def _trials():
    rng = np.random.default_rng(0)
    sizes = ((4, 5), (3, 3), (1, 2))
    return [(rng.random((*size, 3)), rng.random((*size, 3)), rng.random(size)) for size in sizes]


EXERCISES = (
    Exercise(
        "00.1",
        "predict",
        "brightness of a hair before a wall",
        number(
            lambda: _pixel(0.25, 0, 1),
            "brightness in [0, 1]",
            "The hair adds nothing, the wall what the hair lets through: αF + (1 − α)B.",
            [
                (
                    lambda: _pixel(0.75, 0, 1),
                    "Foreground and background are exchanged: α is the share of the hair, not of the wall.",
                ),
                (lambda: _pixel(0, 0, 1), "That is the wall alone, as if no hair were there."),
                (lambda: _pixel(1, 0, 1), "That is the hair alone, as if it let nothing through."),
                (lambda: _pixel(0.5, 0, 1), "That is the mean of hair and wall; the blend weighs them by α and 1 − α."),
            ],
        ),
        (
            "Put the numbers into I = αF + (1 − α)B.",
            "F is 0, so the first term falls away.",
            "What is left is 1 − α times the wall.",
        ),
    ),
    Exercise(
        "00.2",
        "compute",
        "share of partly transparent pixels",
        number(
            lambda alpha, trimap: _soft(alpha).mean(),
            "a share of all pixels between 0 and 1",
            "Few pixels are partly transparent, and matting is about those.",
            [
                (lambda alpha, trimap: _soft(alpha).sum(), "That is the number of pixels; divide by all pixels of the image."),
                (lambda alpha, trimap: (alpha > 0).mean(), "That counts the opaque person as well: α must be below 1, too."),
                (lambda alpha, trimap: (alpha < 1).mean(), "That counts the background as well: α must be above 0, too."),
                (
                    lambda alpha, trimap: (np.abs(trimap - 0.5) < 0.01).mean(),
                    "That is the unknown area of the trimap, a widened band that holds opaque and empty pixels as well.",
                ),
                (
                    lambda alpha, trimap: alpha.mean(),
                    "That is the mean of α, the area of the person; count pixels between 0 and 1.",
                ),
            ],
        ),
        (
            "Two conditions on α must hold at once.",
            "A mask of True and False has a mean: the share of True.",
            "`(alpha > 0) & (alpha < 1)` is that mask.",
        ),
        ("alpha", "trimap"),
    ),
    Exercise(
        "00.3",
        "change",
        "the matting equation as a function",
        function(
            composite,
            _trials,
            "This is the matting equation; new backgrounds are made with it, and the composition loss.",
            [
                (
                    lambda fg, bg, a: composite(bg, fg, a),
                    "Foreground and background are exchanged: where α is 1 stands the foreground.",
                ),
                (lambda fg, bg, a: a[..., None] * fg + bg, "The background must be weighed by 1 − α; as it is, light is added."),
                (lambda fg, bg, a: a[..., None] * fg, "The background is missing: this is the person before black."),
                (lambda fg, bg, a: (fg + bg) / 2, "α is not used: every pixel is the mean of both."),
            ],
        ),
        (
            "It is one line: αF + (1 − α)B.",
            "`alpha` is (H, W), the colours are (H, W, 3): α needs one more axis.",
            "`alpha[..., None]` has the shape (H, W, 1), which fits all three colours.",
        ),
    ),
    Exercise(
        "00.4",
        "explain",
        "which comparison shows the cost of PPT",
        choice(
            "b",
            "Same test images, un-blurred as in use; only what the network was trained on differs.",
            a="B:B and N:N differ in training and in test images, so a difference may come from either.",
            c="Both networks were trained on blurred images: this compares test images, not trainings.",
            d="N:N alone is the training that privacy forbids; a cost needs something to compare with.",
        ),
        (
            "Only one thing may differ between the two numbers.",
            "The letter before the colon must differ, the one after it must not.",
        ),
    ),
)
