"""Exercises of notebook 01: what is hidden, what is not, and when a face counts as recognised."""

import numpy as np

from p3mlib.anonymize import obfuscate
from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, number
from p3mlib.privacy.faces import SAME_PERSON


def _trials():
    rng = np.random.default_rng(0)
    images = [rng.uniform(0.1, 1, (8, 6, 3)) for _ in range(3)]
    masks = [rng.random((8, 6)) < share for share in (0.3, 0.9, 0.0)]
    return list(zip(images, masks, strict=True))


def _ones(image, mask):
    result = image.copy()
    result[mask] = 1
    return result


def _mean(image, mask):
    result = image.copy()
    result[mask] = image[mask].mean(0) if mask.any() else 0
    return result


def _first(strengths, distances):
    """The smallest strength at which the face is no longer taken for the same person."""
    return min((s for s, d in zip(strengths, distances, strict=True) if d >= SAME_PERSON), default=float("nan"))


def _last(strengths, distances):
    return max((s for s, d in zip(strengths, distances, strict=True) if d < SAME_PERSON), default=float("nan"))


EXERCISES = (
    Exercise(
        "01.1",
        "explain",
        "why the transition area stays untouched",
        choice(
            "b",
            "A blur mixes colours over the edge, and the mixed colours no longer fit αF + (1 − α)B with the α that is the label.",
            a="Hair can identify a person. The rule is there for the matte, and its price is a rim that stays open.",
            c="Time plays no part: the transition area is thin, and blurring it would cost nearly nothing.",
            d="A detector would look at the original image; what is left untouched is left for matting.",
        ),
        (
            "Think of the label that belongs to a pixel of hair.",
            "Put a blurred pixel into the matting equation: does α still explain it?",
        ),
    ),
    Exercise(
        "01.2",
        "change",
        "the zero mask as a function",
        function(
            lambda image, facemask: obfuscate(image, facemask, "mask"),
            _trials,
            "Zero inside the face mask, every other pixel bit for bit as it was.",
            [
                (lambda i, m: i * m[..., None], "The mask is the wrong way round: outside must stay, inside becomes zero."),
                (lambda i, m: np.zeros_like(i), "Everything is zero; outside the face mask nothing may change."),
                (lambda i, m: i, "Nothing has changed: inside the face mask every pixel must be zero."),
                (_ones, "Inside it is white; the zero mask of the paper is black."),
                (_mean, "That sets the mean colour, a mosaic of one cell; the zero mask leaves nothing of the face."),
            ],
        ),
        (
            "Copy first, then write into the copy.",
            "A mask of True and False selects pixels: `result[facemask] = ...`.",
            "Do not forget `return result`.",
        ),
    ),
    Exercise(
        "01.3",
        "predict",
        "a fixed kernel on a larger face",
        choice(
            "a",
            "The same kernel covers a smaller part of a larger face, so more detail is left and the distance falls.",
            b="The kernel would be stronger only if it grew with the face; here it stays as it is while the eyes grow.",
            c="The distance depends on what is left of eyes, nose and mouth, and that depends on kernel against face.",
        ),
        ("Compare the kernel with the size of an eye.", "What would a kernel of one pixel do to a face of a thousand?"),
    ),
    Exercise(
        "01.4",
        "compute",
        "the weakest blur that is enough",
        number(
            _first,
            "a strength, as a fraction of the face's width",
            f"From there on the distance is at least {SAME_PERSON:g}, the bound below which dlib takes two faces for one person.",
            [
                (_last, f"At that strength she is still recognised: a distance below {SAME_PERSON:g} means the same person."),
                (lambda strengths, distances: SAME_PERSON, "That is the bound of the distance; asked is the strength."),
                (
                    lambda strengths, distances: min(d for d in distances if d >= SAME_PERSON),
                    "That is the distance; asked is the strength at which it is reached.",
                ),
                (lambda strengths, distances: max(strengths), "That hides her as well, but a weaker blur is enough."),
                (
                    lambda strengths, distances: min(strengths),
                    "At the weakest blur the distance is the smallest: she is recognised.",
                ),
            ],
        ),
        (
            "Titles above the pictures show strength and distance.",
            "Distances below `faces.SAME_PERSON` are taken for one person.",
            "Take the smallest strength whose distance is not below it.",
        ),
        ("strengths", "distances"),
    ),
)
