"""Exercises of notebook 10: the module CP, ICP and FCP, and how much of a loss is won back."""

import torch

from p3mlib.copy_paste import Draw, copy_paste
from p3mlib.exercises.exercise import Exercise, right, wrong
from p3mlib.exercises.judges import choice, number


def _square(side, size=64):
    mask = torch.zeros(1, 1, size, size)
    start = (size - side) // 2
    mask[..., start : start + side, start : start + side] = 1
    return mask


def _enlarged():
    """How much larger the source's face lies on the target, measured on a source whose values are its own x."""
    source, size = torch.arange(64.0).expand(1, 1, 64, 64), 64
    draw = Draw(torch.ones(1), torch.zeros(1), torch.tensor([True]))
    merged = copy_paste(torch.full((1, 1, size, size), -1.0), _square(20), source, _square(10), draw)
    row = merged[0, 0, size // 2, 26:38]
    return float(11 / (row[-1] - row[0]))


def _first_two(answer):
    """Verdict on a Draw for four targets of which the first two take part."""
    if not all(hasattr(answer, field) for field in Draw._fields):
        return wrong(f"A `Draw` of three tensors is asked for; this is {type(answer).__name__}.")
    counts = [len(values) for values in answer]
    if set(counts) != {4}:
        return wrong(f"There are four targets, and each needs its scale, angle and apply; these have {counts} values.")
    if answer.apply.dtype != torch.bool:
        return wrong(f"`apply` is {answer.apply.dtype}; which targets take part is said in True and False.")
    if not (torch.allclose(answer.scale.float(), torch.ones(4)) and not answer.angle.any()):
        return wrong("Sizes and angles should stay: scale 1, angle 0 for all four.")
    target, mask = torch.zeros(4, 3, 64, 64), _square(20).expand(4, 1, 64, 64)
    merged = copy_paste(target, mask, torch.ones(4, 3, 64, 64), mask, answer)
    changed = [bool((merged[k] != target[k]).any()) for k in range(4)]
    if changed == [True, True, False, False]:
        return right("The others stay blurred: copy and paste takes part with a probability, so that training sees both.")
    if not any(changed):
        return wrong("No target has changed: the first two must take part.")
    names = [str(k + 1) for k in range(4) if changed[k]]
    return wrong(f"Changed were the targets {', '.join(names)}, asked are 1 and 2.")


EXERCISES = (
    Exercise(
        "10.1",
        "predict",
        "how much a source face is enlarged",
        number(
            _enlarged,
            "a factor of the side",
            "Areas are made equal, and a side grows with the root of its area.",
            [
                (lambda: _enlarged() ** 2, "That is the ratio of the areas; a side grows with its root."),
                (lambda: 1 / _enlarged(), "The wrong way round: the source's face is the smaller one."),
                (lambda: 1, "Scale 1 means as large as the target's face, not as large as it was."),
                (lambda: _enlarged() ** 0.5, "One root too many: the areas are given, the side is their root."),
                (lambda: 300, "That is the difference of the areas; asked is a factor."),
            ],
            tolerance=0.03,
        ),
        (
            "`Draw.scale` is counted from what makes the source's face as large as the target's.",
            "How many times larger is the target's area?",
            "A side is the root of an area.",
        ),
    ),
    Exercise(
        "10.2",
        "change",
        "only some targets take part",
        _first_two,
        (
            "`Draw` has three tensors, one value for each target.",
            "`same` above is a Draw for all four; what differs is `apply`.",
            "`torch.tensor([True, True, False, False])`",
        ),
    ),
    Exercise(
        "10.3",
        "explain",
        "what FCP does that ICP does not",
        choice(
            "b",
            "Nothing is known of the source's matte: a gradient would bend its features to whatever helps another image's loss.",
            a="Both do that: outside of the target's mask nothing is ever pasted.",
            c="That is ICP, which pastes into images, before the network; FCP has one source for the whole batch.",
            d="Neither does: PPT forbids it. The sources are faces of people who may be shown, from another data set.",
        ),
        ("Where is pasted, before the network or within it?", "For which images is there a loss, and for which is there none?"),
    ),
    Exercise(
        "10.4",
        "compute",
        "how much FCP wins back",
        number(
            lambda sad_fg: (sad_fg["B:N"] - sad_fg["B:N + FCP"]) / (sad_fg["B:N"] - sad_fg["N:N"]),
            "a share of the loss between 0 and 1",
            "The loss is what blurred training costs; won back is the part of it that pasting takes away.",
            [
                (
                    lambda sad_fg: (sad_fg["B:N"] - sad_fg["B:N + FCP"]) / sad_fg["B:N"],
                    "That is a share of the whole error; asked is the share of what blurred training costs.",
                ),
                (
                    lambda sad_fg: (sad_fg["B:N + FCP"] - sad_fg["N:N"]) / (sad_fg["B:N"] - sad_fg["N:N"]),
                    "That is the share that is still lost; asked is the share won back.",
                ),
                (lambda sad_fg: sad_fg["B:N"] - sad_fg["B:N + FCP"], "That is a difference in SAD; divide it by the loss."),
                (lambda sad_fg: sad_fg["N:N"] / sad_fg["B:N + FCP"], "That compares errors, not what was lost and won back."),
                (
                    lambda sad_fg: (sad_fg["B:N"] - sad_fg["N:N"]) / (sad_fg["B:N"] - sad_fg["B:N + FCP"]),
                    "The wrong way round: what was won back over what was lost.",
                ),
                (
                    lambda sad_fg: (sad_fg["B:N"] - sad_fg["B:N + FCP"]) / sad_fg["N:N"],
                    "That is a share of the error after normal training; asked is a share of the loss.",
                ),
            ],
        ),
        ("What is lost: B:N minus N:N.", "What is won back: B:N minus B:N + FCP.", "The second over the first."),
        ("sad_fg",),
    ),
)
