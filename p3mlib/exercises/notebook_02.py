"""Exercises of notebook 02: what each metric sees, and where."""

import numpy as np

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, number
from p3mlib.matte import regions
from p3mlib.metrics import mad, matting_errors, mse, sad

_ALPHA = np.full((40, 50), 0.5)
_WRONG = _ALPHA + 0.2


def _trials():
    rng = np.random.default_rng(0)
    shapes = ((4, 5), (30, 20), (7, 7))
    return [(rng.random(s), rng.random(s), rng.random(s) < 0.4) for s in shapes]


def _share(pred, alpha, trimap):
    errors = matting_errors(pred, alpha, trimap)
    return errors["SAD-T"] / errors["SAD"] if errors["SAD"] else float("nan")


EXERCISES = (
    Exercise(
        "02.1",
        "predict",
        "SAD of a constant error",
        number(
            lambda: sad(_WRONG, _ALPHA),
            "thousand pixels",
            "The number of pixels times the error of each, in thousands.",
            [
                (lambda: sad(_WRONG, _ALPHA) * 1000, "The sum is right, the unit is not: SAD is printed in thousands of pixels."),
                (lambda: mad(_WRONG, _ALPHA), "That is MAD, the mean; SAD is the sum over all pixels, in thousands."),
                (lambda: mse(_WRONG, _ALPHA), "That is MSE, the mean of squares; SAD adds absolute differences."),
                (lambda: mse(_WRONG, _ALPHA) * _ALPHA.size / 1000, "Those are squares; SAD adds absolute differences."),
                (lambda: _ALPHA.size / 1000, "That is the size of the image; every pixel counts with its error only."),
            ],
        ),
        ("How many pixels are there?", "Each adds its absolute error.", "Divide the sum by 1000."),
    ),
    Exercise(
        "02.2",
        "change",
        "SAD within a region",
        function(
            sad,
            _trials,
            "This is SAD over a region: with known foreground it is SAD-FG, with known background SAD-BG.",
            [
                (lambda p, a, r: abs(p - a)[r].sum(), "The sum is right, the unit is not: divide by 1000."),
                (lambda p, a, r: abs(p - a)[r].mean(), "That is the mean, MAD; SAD is the sum, in thousands."),
                (lambda p, a, r: abs(p - a).sum() / 1000, "The region is not used: that is SAD over the whole image."),
                (lambda p, a, r: abs(p - a)[~r].sum() / 1000, "That counts the pixels outside of the region."),
                (lambda p, a, r: (p - a)[r].sum() / 1000, "Errors of opposite sign cancel: take absolute differences."),
                (lambda p, a, r: ((p - a)[r] ** 2).sum() / 1000, "Those are squares; SAD adds absolute differences."),
            ],
        ),
        (
            "A mask of True and False selects: `array[region]`.",
            "Absolute differences first, then select, then sum.",
            "The unit is thousands of pixels.",
        ),
    ),
    Exercise(
        "02.3",
        "explain",
        "Conn and the island",
        choice(
            "c",
            "The island is cut off from the largest piece that both mattes share, so it gets no tolerance of 0.15.",
            a="SAD is the same for both: the same number of pixels is off by the same amount.",
            b="Conn measures no distances; the official code computes a distance transform and never uses it.",
            d="Conn has no gradients; edges are what Grad looks at, and here Grad is the same for both squares.",
        ),
        ("Compare the two values of SAD that the cell printed.", "Which of the two squares touches the largest piece?"),
    ),
    Exercise(
        "02.4",
        "compute",
        "share of SAD in the transition area",
        number(
            _share,
            "a share of SAD between 0 and 1",
            "-T, -FG and -BG add up to SAD, so their shares say where a method errs.",
            [
                (
                    lambda pred, alpha, trimap: regions(trimap)["unknown"].mean(),
                    "That is the share of the pixels; asked is the share of the error.",
                ),
                (
                    lambda pred, alpha, trimap: matting_errors(pred, alpha, trimap)["SAD-T"],
                    "That is SAD-T itself; divide it by SAD.",
                ),
                (
                    lambda pred, alpha, trimap: matting_errors(pred, alpha, trimap)["MAD-T"] / mad(pred, alpha),
                    "A ratio of means is no share: MAD-T and MAD divide by different numbers of pixels.",
                ),
                (
                    lambda pred, alpha, trimap: 1 - _share(pred, alpha, trimap),
                    "That is the share of the known areas, FG and BG; asked is the transition area.",
                ),
                (
                    lambda pred, alpha, trimap: matting_errors(pred, alpha, trimap)["SAD-FG"] / sad(pred, alpha),
                    "That is the share of the known foreground; asked is the transition area.",
                ),
                (
                    lambda pred, alpha, trimap: matting_errors(pred, alpha, trimap)["SAD-BG"] / sad(pred, alpha),
                    "That is the share of the known background; asked is the transition area.",
                ),
            ],
        ),
        ("`errors` holds all ten numbers.", "Only sums have shares: take SAD-T and SAD.", '`errors["SAD-T"] / errors["SAD"]`'),
        ("pred", "alpha", "trimap"),
    ),
)
