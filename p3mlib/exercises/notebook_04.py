"""Exercises of notebook 04: networks that are given a trimap."""

import numpy as np
from torch import nn

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, number
from p3mlib.matte import regions


def _weights(inputs):
    return sum(p.numel() for p in nn.Conv2d(inputs, 64, 3, bias=False).parameters())


def _paste(pred, trimap):
    areas = regions(trimap)
    return np.where(areas["fg"], 1.0, np.where(areas["bg"], 0.0, pred))


def _exchanged(pred, trimap):
    areas = regions(trimap)
    return np.where(areas["unknown"], pred, 1.0 - trimap)


def _trials():
    rng = np.random.default_rng(0)
    return [(rng.random(s), rng.choice([0.0, 0.5, 1.0], s)) for s in ((5, 6), (9, 4), (3, 3))]


EXERCISES = (
    Exercise(
        "04.1",
        "predict",
        "what the fourth channel costs",
        number(
            lambda: _weights(4) - _weights(3),
            "weights",
            "One more input channel is one more kernel for every filter; beside the whole network it is nothing.",
            [
                (lambda: _weights(4), "That is the whole layer; asked is what the trimap adds to three channels."),
                (lambda: _weights(3), "That is the layer without the trimap; asked is what the trimap adds."),
                (lambda: _weights(1) / 64, "That is one kernel; every one of the filters gets one."),
                (lambda: 64, "A kernel has more than one weight: count its height and width, too."),
            ],
        ),
        (
            "A filter has one kernel for every input channel.",
            "One more channel: one more kernel for each of the filters.",
            "A kernel here has 3 × 3 weights.",
        ),
    ),
    Exercise(
        "04.2",
        "change",
        "known pixels pasted into a matte",
        function(
            _paste,
            _trials,
            "Where the trimap knows, it is right by definition; the network answers for the rest.",
            [
                (lambda p, t: p, "The trimap is not used: known pixels must be 0 and 1."),
                (_exchanged, "Foreground and background are exchanged: trimap 1 is alpha 1."),
                (lambda p, t: t, "That is the trimap itself; where it is 0.5 the prediction must stand."),
                (lambda p, t: np.where(t == 1, 1.0, p), "Known background is missing: where the trimap is 0, alpha is 0."),
                (lambda p, t: np.where(t == 0, 0.0, p), "Known foreground is missing: where the trimap is 1, alpha is 1."),
                (
                    lambda p, t: np.where(t == 0.5, t, p),
                    "The wrong way round: known pixels come from the trimap, the others from the network.",
                ),
            ],
        ),
        (
            "`np.where(condition, this, that)` chooses pixel by pixel.",
            "Three cases: trimap 1, trimap 0, anything else.",
            "`np.where(trimap == 0.5, pred, trimap)` does it in one line.",
        ),
    ),
    Exercise(
        "04.3",
        "explain",
        "what pasting changes in the tables",
        choice(
            "b",
            "Table 3 counts unknown pixels only. Tables 5 and 6, where DIM stands as a reference, count whole images.",
            a="Table 3 counts only the transition area, and there nothing is pasted.",
            c="A network that is given the answer and does not copy it makes errors; pasting cannot make a matte worse.",
            d="Pasting happens after the network has run; whether it trains has nothing to do with it.",
        ),
        ("Which pixels does Table 3 count?", "In which tables does a network with a trimap stand beside networks without?"),
    ),
)
