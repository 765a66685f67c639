"""Exercises of notebook 03: trimaps, and what an error in the unknown area is."""

from p3mlib.exercises.exercise import Exercise, right, wrong
from p3mlib.exercises.judges import choice, number
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad, mse, sad


def _unknown(trimap):
    return regions(trimap)["unknown"]


def _wider(answer, alpha, trimap):
    """Verdict on a trimap that should know less, and nothing wrong."""
    if getattr(answer, "shape", None) != alpha.shape:
        return wrong(
            f"A trimap of the image's shape {alpha.shape} is asked for, not {getattr(answer, 'shape', type(answer).__name__)}."
        )
    areas, truth = regions(answer), regions(make_trimap(alpha, 1))
    for name, told in (("fg", "foreground"), ("bg", "background")):
        false = int((areas[name] & ~truth[name]).sum())
        if false:
            return wrong(f"{false} pixels are called known {told} and are not: a method would never mend them.")
    before, after = (int(_unknown(t).sum()) for t in (trimap, answer))
    if after <= before:
        return wrong(f"The unknown area has {after} pixels, before it had {before}: make it larger.")
    lacking = [told for name, told in (("fg", "foreground"), ("bg", "background")) if not areas[name].any()]
    if lacking:
        return wrong(f"No known {' and no known '.join(lacking)} is left: every method here needs samples of both.")
    return right(f"From {before} to {after} unknown pixels, and what is known is still true.")


EXERCISES = (
    Exercise(
        "03.1",
        "change",
        "a wider unknown area",
        _wider,
        (
            "`p3mlib.matte.make_trimap` makes a trimap of a matte.",
            "Its kernel says how far the unknown area reaches.",
            'Try `make_trimap(sample["alpha"], kernel)` with larger kernels, as long as both colours stay.',
        ),
        ("alpha", "trimap"),
    ),
    Exercise(
        "03.2",
        "compute",
        "MAD in the unknown area",
        number(
            lambda pred, alpha, trimap: mad(pred, alpha, _unknown(trimap)),
            "the mean absolute difference over the unknown pixels",
            "Only there a method had something to find.",
            [
                (
                    lambda pred, alpha, trimap: mad(pred, alpha),
                    "That is MAD over the whole image: known pixels were given, and make every method look better.",
                ),
                (
                    lambda pred, alpha, trimap: sad(pred, alpha, _unknown(trimap)),
                    "That is SAD there, a sum in thousands; asked is the mean.",
                ),
                (lambda pred, alpha, trimap: mse(pred, alpha, _unknown(trimap)), "That is MSE there, the mean of squares."),
                (
                    lambda pred, alpha, trimap: mad(pred, alpha, ~_unknown(trimap)),
                    "That is the known area; turn the region around.",
                ),
                (
                    lambda pred, alpha, trimap: abs(float((pred - alpha)[_unknown(trimap)].mean())),
                    "Errors of opposite sign cancel: take absolute differences first.",
                ),
            ],
        ),
        (
            "`p3mlib.metrics.mad` takes a region as its third argument.",
            '`p3mlib.matte.regions(trimap)["unknown"]` is the region.',
            'The matte is `mattes["Closed"]`.',
        ),
        ("pred", "alpha", "trimap"),
    ),
    Exercise(
        "03.3",
        "predict",
        "how much blurring matters to these methods",
        choice(
            "a",
            "The blur never touches the unknown area, and all else is known: only samples inside the face can change.",
            b="Nothing here was trained on faces: these methods see colours near the outline, and those are not blurred.",
            c="A blurred face has no soft edge that would help: its pixels are known foreground.",
        ),
        ("Which pixels does a method have to find?", "Which pixels does the rule of Figure 3 never blur?"),
    ),
    Exercise(
        "03.4",
        "explain",
        "why blurred pixels are not counted",
        choice(
            "b",
            "On both versions the same pixels count, so a difference is one of the methods, not of what was counted.",
            a="The mattes are exact under the blur as well: they belong to the person, not to the pixels' colours.",
            c="Faces lie mostly in known foreground, so little would change; what matters is that both versions count alike.",
            d="The methods do get the blurred pixels as samples; only the metric leaves them out.",
        ),
        ("Two columns are compared.", "What must be the same in both, so that the difference means something?"),
    ),
)
