"""Exercises of notebook 05: two stages, what PPT costs, and when a difference is one."""

import numpy as np
import torch

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, name, number
from p3mlib.models import build_model
from p3mlib.results import report

EARLIER = ("SHM", "LF", "HATT", "GFM", "MODNet", "BASIC")


def _trials():
    """Probabilities of background, unknown, foreground, and an alpha of M-Net."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 4, 5), (2, 3, 3), (3, 2, 6))
    draws = [(torch.randn(n, 3, h, w, generator=generator), torch.rand(n, 1, h, w, generator=generator)) for n, h, w in shapes]
    return [(logits.softmax(1), raw) for logits, raw in draws]


def _fused(probabilities, raw):
    """SHM's own fusion, with `raw` in the place of what its M-Net says."""
    network = build_model("shm", width=0.0625)
    network.m_net = _Said(raw)
    return network.matte(torch.zeros(len(raw), 3, *raw.shape[2:]), probabilities)[1]


class _Said(torch.nn.Module):
    def __init__(self, raw):
        super().__init__()
        self.raw = raw

    def forward(self, x):
        return self.raw


def _hard(p, raw):
    label = p.argmax(1, keepdim=True)
    return torch.where(label == 2, torch.ones_like(raw), torch.where(label == 0, torch.zeros_like(raw), raw))


def _cost(method):
    """SAD of B:N minus SAD of N:N on P3M-500-P, as the paper prints them."""
    cells = report.paper_cells(4)
    blurred, normal = (float(cells[method, "P3M-500-P", setting, "SAD"]) for setting in ("B:N", "N:N"))
    return blurred - normal


def _error(values):
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


EXERCISES = (
    Exercise(
        "05.1",
        "change",
        "how SHM joins its two stages",
        function(
            _fused,
            _trials,
            "Where the first stage is certain, nothing of the second arrives. That is why an error of the first stage stays.",
            [
                (lambda p, raw: p[:, 1:2] * raw, "The certain foreground is missing: there alpha would be 0."),
                (
                    lambda p, raw: p[:, 2:] * raw + p[:, 1:2],
                    "Unknown and foreground are exchanged: M-Net answers for the unknown.",
                ),
                (lambda p, raw: p[:, 2:] + raw, "M-Net's alpha must be weighed by the probability of unknown."),
                (
                    lambda p, raw: p[:, :1] + p[:, 1:2] * raw,
                    "The first channel is background; foreground is the last of the three.",
                ),
                (_hard, "That decides for one class a pixel; SHM adds probabilities, so that gradients reach both stages."),
                (lambda p, raw: raw, "The first stage is not used: what it is certain of goes before M-Net."),
            ],
        ),
        (
            "Channels are background, unknown, foreground.",
            "Foreground counts with alpha 1, unknown with M-Net's alpha.",
            "Slices keep the axis: `probabilities[:, 1:2]` has the shape of `raw`.",
        ),
    ),
    Exercise(
        "05.2",
        "predict",
        "which method PPT costs most in the paper",
        name(
            lambda: max(EARLIER, key=_cost),
            EARLIER,
            "Its second stage sees what the first one found, and the first one never saw a sharp face.",
            lambda chosen: (
                f"In the paper {chosen}'s SAD changes by {_cost(chosen):+.2f} from N:N to B:N; another method loses more."
            ),
        ),
        ("In which network can an error on a face not be mended?", "One of them is two networks, one after the other."),
    ),
    Exercise(
        "05.3",
        "compute",
        "the standard error of a paired difference",
        number(
            lambda blurred, normal: _error(blurred - normal),
            "SAD",
            "Hard images are hard for both trainings; in the difference that falls away, and the interval is narrow.",
            [
                (
                    lambda blurred, normal: (_error(blurred) ** 2 + _error(normal) ** 2) ** 0.5,
                    "That treats the two lists as different images; these are the same ones, so take differences image by image.",
                ),
                (
                    lambda blurred, normal: np.std(blurred - normal, ddof=1),
                    "That is the spread of single images; the mean of n of them varies less, by the root of n.",
                ),
                (
                    lambda blurred, normal: 1.96 * _error(blurred - normal),
                    "That is half of a 95% interval; asked is the standard error itself.",
                ),
                (lambda blurred, normal: np.mean(blurred - normal), "That is the mean difference; asked is how sure it is."),
                (
                    lambda blurred, normal: abs(_error(blurred) - _error(normal)),
                    "A difference of two errors is not the error of a difference.",
                ),
                (
                    lambda blurred, normal: np.std(blurred - normal, ddof=1) / len(normal),
                    "Divide by the root of the number of images, not by the number.",
                ),
            ],
            tolerance=0.02,
        ),
        (
            "First one difference for every image.",
            "Then their standard deviation.",
            "Divide by the root of the number of images.",
        ),
        ("blurred", "normal"),
    ),
    Exercise(
        "05.4",
        "explain",
        "a bar that crosses zero",
        choice(
            "c",
            "The data fit a cost as well as a gain: nothing is decided, neither an effect nor that there is none.",
            a="No effect would need an interval that is narrow around zero; this one holds large effects, too.",
            b="The middle of the bar is the best guess, but zero and less fit the same data.",
            d="Leaving out images until a bar moves away from zero makes findings out of noise.",
        ),
        ("Read the interval as all values that fit the data.", "Does it hold values above zero? Below? Zero itself?"),
    ),
)
