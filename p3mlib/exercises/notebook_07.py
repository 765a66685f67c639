"""Exercises of notebook 07: encoders, metrics that do not notice, the parts of SAD, test strategies."""

import numpy as np

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, name
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import matting_errors

METRICS = ("SAD", "MSE", "Grad", "Conn")
PARTS = ("SAD-T", "SAD-FG", "SAD-BG")


def _of_an_offset():
    """Errors of a square matte of 0.8 that is 0.2 too bright everywhere."""
    alpha = np.zeros((40, 40))
    alpha[10:30, 10:30] = 0.8
    return matting_errors(alpha + 0.2, alpha)


def _least():
    errors = _of_an_offset()
    return min(METRICS, key=errors.get)


def _parts(pred, alpha, trimap):
    errors = matting_errors(pred, alpha, trimap)
    return [errors[part] for part in PARTS]


def _trials():
    rng = np.random.default_rng(0)
    found = []
    for side, start in ((40, 12), (60, 20), (50, 15)):
        alpha = np.zeros((side, side))
        alpha[start:-start, start:] = 1
        alpha[start] = 0.5
        pred = np.clip(alpha + rng.normal(0, 0.2, alpha.shape), 0, 1)
        found.append((pred, alpha, make_trimap(alpha, 5)))
    return found


def _by_area(pred, alpha, trimap, reduce):
    areas, error = regions(trimap), abs(pred - alpha)
    return [reduce(error[areas[area]]) for area in ("unknown", "fg", "bg")]


EXERCISES = (
    Exercise(
        "07.1",
        "explain",
        "why channels must agree at 1/16",
        choice(
            "a",
            "Max-unpooling puts every value back where the encoder's pooling took it from, and there is one index a channel.",
            b="Adding skips needs equal channels as well, but a projection could bring them there; indices cannot be projected.",
            c="ImageNet weights belong to the encoder alone; decoders start from nothing.",
            d="Memory is no reason: a decoder of fewer channels would take less.",
        ),
        ("What does the encoder hand over besides features?", "How many places does a max-pooling of C channels remember?"),
    ),
    Exercise(
        "07.2",
        "predict",
        "the metric that does not notice an offset",
        name(
            _least,
            METRICS,
            "A constant has no gradient, so edges stay what they were. A small Grad alone does not make a good matte.",
            lambda chosen: (
                f"{chosen} is {_of_an_offset()[chosen]:.3g} on a square matte that is 0.2 too bright everywhere: it does notice."
            ),
        ),
        ("Write down what each metric compares: values, or something made of them.", "One compares slopes."),
    ),
    Exercise(
        "07.3",
        "change",
        "SAD in three parts",
        function(
            _parts,
            _trials,
            "Three regions without overlap: their sums add up to SAD.",
            [
                (
                    lambda p, a, t: _by_area(p, a, t, np.mean),
                    "Those are means; means of regions do not add up. SAD is a sum, in thousands.",
                ),
                (lambda p, a, t: _by_area(p, a, t, np.sum), "The sums are right, the unit is not: divide by 1000."),
                (lambda p, a, t: np.array(_parts(p, a, t))[[0, 2, 1]], "Foreground and background are exchanged."),
                (
                    lambda p, a, t: np.array(_parts(p, a, t))[[1, 0, 2]],
                    "The order asked for is transition, foreground, background.",
                ),
                (
                    lambda p, a, t: np.array(_parts(p, a, t))[[1, 2, 0]],
                    "The order asked for is transition, foreground, background.",
                ),
                (
                    lambda p, a, t: np.array(_parts(p, a, t)) / sum(_parts(p, a, t)),
                    "Those are shares of SAD; asked are the three sums.",
                ),
            ],
        ),
        (
            "`p3mlib.matte.regions(trimap)` gives the masks `unknown`, `fg`, `bg`.",
            "`p3mlib.metrics.sad` takes a mask as its third argument.",
            "Return three numbers in the order T, FG, BG.",
        ),
    ),
    Exercise(
        "07.4",
        "explain",
        "what HYBRID does",
        choice(
            "b",
            "Finding a person takes context, which a small image gives; hair takes resolution. Each decoder gets what it needs.",
            a="It is one matte from two passes, put together by the segmentation; nothing is averaged.",
            c="That is RESIZE: one pass, the final alpha is resized back.",
            d="Both strategies use the same trained weights; they differ in how an image is handed in.",
        ),
        ("The two decoders have different needs.", "Which of them needs to see the whole person, which single hairs?"),
    ),
)
