"""Exercises of notebook 09: sizes, where errors lie, and orders of methods."""

import numpy as np
from scipy.stats import pearsonr, spearmanr

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, number
from p3mlib.metrics import mse, sad

_SAD = 26
_ONE, _OTHER = (5, 6, 7), (12, 40, 15)


def _wrong(pixels, by):
    """A prediction of an empty matte that is wrong in so many pixels, and the matte."""
    pred = np.zeros((50, 50))
    pred.flat[:pixels] = by
    return pred, np.zeros_like(pred)


_MANY, _FEW = _wrong(1000, 0.1), _wrong(100, 1.0)


EXERCISES = (
    Exercise(
        "09.1",
        "compute",
        "from SAD to MAD",
        number(
            lambda kilopixels: _SAD / kilopixels["RWP"],
            "a mean absolute difference between 0 and 1",
            "SAD grows with the picture, MAD does not: compare sets of different sizes by MAD.",
            [
                (
                    lambda kilopixels: _SAD / kilopixels["P3M-500-NP"],
                    "That is the picture size of P3M-500; those of RWP are smaller.",
                ),
                (
                    lambda kilopixels: _SAD / kilopixels["RWP"] / 1000,
                    "SAD is in thousands of pixels already: divide by thousands of pixels.",
                ),
                (lambda kilopixels: _SAD / 1000, "Divide by the number of pixels; 1000 is the unit of SAD alone."),
                (lambda kilopixels: kilopixels["RWP"] / _SAD, "The wrong way round: error over pixels."),
                (lambda kilopixels: _SAD * kilopixels["RWP"], "MAD is a mean: divide by the number of pixels."),
                (
                    lambda kilopixels: _SAD * kilopixels["P3M-500-NP"] / kilopixels["RWP"],
                    "That is the SAD of such an error on pictures as large as P3M-500's; MAD is the mean over pixels.",
                ),
            ],
        ),
        (
            "`report.PAPER_KILOPIXELS` has the size of the paper's mean picture.",
            "MAD is SAD over the number of pixels, both in thousands.",
        ),
        ("kilopixels",),
    ),
    Exercise(
        "09.2",
        "explain",
        "where the error of a lost person lies",
        choice(
            "b",
            "What is missing of a person is known foreground; SAD-FG counts it.",
            a="The transition area is a band around the outline; a lost arm or face lies mostly inside of it.",
            c="SAD-BG counts what was taken for a person and is none, such as a chair.",
            d="Every pixel belongs to one region alone, and what is missing lies mostly in one of them.",
        ),
        ("Which region of the trimap is the inside of a person?", "A missing person has alpha 0 where it should be 1."),
    ),
    Exercise(
        "09.3",
        "predict",
        "the same SAD, another MSE",
        number(
            lambda: mse(*_FEW) / mse(*_MANY),
            "a factor",
            "Squares punish few large errors more than many small ones: a lost arm shows in MSE, a grey veil in SAD.",
            [
                (
                    lambda: sad(*_FEW) / sad(*_MANY),
                    "That is the ratio of SAD, which is the same for both; MSE squares every error first.",
                ),
                (lambda: mse(*_MANY) / mse(*_FEW), "The wrong way round: squares make the large errors count more."),
                (
                    lambda: (mse(*_FEW) / mse(*_MANY)) ** 2,
                    "The errors are squared, their number is not: there are fewer of the large ones.",
                ),
                (lambda: (mse(*_FEW) / mse(*_MANY)) ** 0.5, "No root is taken: MSE stays the mean of squares."),
            ],
        ),
        (
            "Write the number of pixels times the square of the error, for both.",
            "The images are of one size, so the sums compare as the means.",
        ),
    ),
    Exercise(
        "09.4",
        "predict",
        "a rank correlation",
        number(
            lambda: spearmanr(_ONE, _OTHER).statistic,
            "a rank correlation between −1 and 1",
            "Ranks alone count: that the second method is far behind changes nothing.",
            [
                (
                    lambda: pearsonr(_ONE, _OTHER).statistic,
                    "That is Pearson's correlation of the values; Spearman's takes ranks.",
                ),
                (lambda: 1, "That would be the same order in both sets; two methods have changed places."),
                (lambda: -1, "That would be the opposite order; the first method is first in both sets."),
                (lambda: 0, "Zero would be no relation; the first method is first in both sets."),
                (
                    lambda: 2 / 3,
                    "That is the share of pairs in the same order; Spearman's correlation squares differences of ranks.",
                ),
                (lambda: 1 / 3, "That is Kendall's correlation, of pairs; Spearman's squares differences of ranks."),
            ],
        ),
        (
            "Write the ranks of both rows: the smallest error has rank 1.",
            "With d the differences of ranks and n methods: 1 − 6 Σd² / (n (n² − 1)).",
            "`scipy.stats.spearmanr` computes it.",
        ),
    ),
)
