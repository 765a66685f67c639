"""Exercises of notebook 06: what the modules join, what they cost, and what is not skill."""

import numpy as np

from p3mlib.exercises.exercise import Exercise, right, wrong
from p3mlib.exercises.judges import choice, number
from p3mlib.metrics import sad
from p3mlib.models.p3mnet.integration import DBFI, SBFI, TFI

_CHANNELS = 64


def _projection():
    return sum(p.numel() for p in TFI(_CHANNELS).project.parameters())


def _background(alpha):
    return sad(np.zeros_like(alpha), alpha)


def _dbfi_alone(answer):
    """Verdict on a P3M-Net that should have dBFI and neither TFI nor sBFI."""
    if not hasattr(answer, "modules"):
        return wrong(f"A network is asked for, as `build_model` returns it; this is {type(answer).__name__}.")
    there = [
        label
        for label, kind in (("TFI", TFI), ("sBFI", SBFI), ("dBFI", DBFI))
        if any(isinstance(m, kind) for m in answer.modules())
    ]
    if not hasattr(answer, "tfi"):
        return wrong(f"This is {type(answer).__name__}, not a P3M-Net: it has no place for these modules.")
    if there == ["dBFI"]:
        return right("Pass-throughs stand where the other modules were, so the network is wired as before.")
    if not there:
        return wrong("That is BASIC: no module at all. dBFI must be on.")
    if "dBFI" not in there:
        return wrong(f"It has {' and '.join(there)}, but not dBFI.")
    return wrong(f"It still has {' and '.join(label for label in there if label != 'dBFI')}: switch that off, too.")


EXERCISES = (
    Exercise(
        "06.1",
        "predict",
        "what separate projections would cost",
        number(
            lambda: 2 * _projection(),
            "weights",
            "The projection that is there serves one of the inputs; the other two would need their own.",
            [
                (lambda: 3 * _projection(), "One projection is there already; asked is what would be added."),
                (_projection, "That is one projection; three inputs share it, so two more would be needed."),
                (lambda: 2 * _CHANNELS**2, "A projection goes from C channels to C/2, not to C."),
                (lambda: _CHANNELS**2 * 3, "A projection goes from C channels to C/2, and one is there already."),
                (lambda: 2 * 9 * _projection(), "The projections are 1 × 1 convolutions; the 3 × 3 one comes after them."),
                (lambda: 2 * (_projection() + _CHANNELS // 2), "These projections have no bias."),
            ],
            tolerance=0.001,
        ),
        (
            "A 1 × 1 convolution without bias has inputs times outputs weights.",
            "Outputs are half of the inputs.",
            "Three separate ones in place of one: two more.",
        ),
    ),
    Exercise(
        "06.2",
        "explain",
        "which module brings context",
        choice(
            "c",
            "dBFI upsamples the deepest map, which sees the most of the image, into the semantic decoder.",
            a="TFI joins semantic, matting and encoder features of one level for the matting decoder; it brings no deeper map.",
            b="sBFI brings texture of the shallowest map into the matting decoder; that sees a few pixels around.",
            d="Indices of the poolings put values back where they came from, in the matting decoder; they hold no context.",
        ),
        (
            "Context is what a place knows of the rest of the image.",
            "The deepest map has the largest receptive field. Which module reads it?",
        ),
    ),
    Exercise(
        "06.3",
        "change",
        "a network with dBFI alone",
        _dbfi_alone,
        (
            "`build_model` takes the modules as options: `tfi`, `sbfi`, `dbfi`.",
            "All of them are on unless told otherwise.",
            'Name the two that are off: `build_model("p3mnet_resnet34", tfi=False, ...)`.',
        ),
    ),
    Exercise(
        "06.4",
        "compute",
        "SAD of who always says background",
        number(
            _background,
            "thousand pixels",
            "It is the area of the person, weighed by α. A network must stay well below it to have learned anything.",
            [
                (lambda alpha: _background(alpha) * 1000, "The sum is right, the unit is not: thousands of pixels."),
                (lambda alpha: alpha.mean(), "That is its MAD, a mean; SAD is the sum, in thousands."),
                (
                    lambda alpha: (alpha > 0).sum() / 1000,
                    "That counts every touched pixel in full; a partly transparent one counts with its α.",
                ),
                (lambda alpha: (alpha == 1).sum() / 1000, "That leaves the transparent pixels out; they count with their α."),
                (lambda alpha: np.square(alpha).sum() / 1000, "Those are squares; SAD adds absolute differences."),
                (lambda alpha: (1 - alpha).sum() / 1000, "That is the SAD of who always says foreground."),
                (lambda alpha: alpha.size / 1000, "That is the size of the image; where α is 0, background is right."),
            ],
            tolerance=0.001,
        ),
        ("The prediction is 0 everywhere.", "The absolute difference is α itself.", "Sum, in thousands: `alpha.sum() / 1000`."),
        ("alpha",),
    ),
)
