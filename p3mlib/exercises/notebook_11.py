"""Exercises of notebook 11: batch norms folded into convolutions, and fair times."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from p3mlib.exercises.exercise import Exercise
from p3mlib.exercises.judges import choice, function, number

_CHANNELS = 64


def _count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def _pair():
    return nn.Conv2d(_CHANNELS, _CHANNELS, 3, bias=False).eval(), nn.BatchNorm2d(_CHANNELS).eval()


def _folded(weight, gamma, var, eps):
    nothing = torch.zeros_like(gamma)
    return fuse_conv_bn_weights(weight, nothing, nothing, var, eps, gamma, nothing)[0]


def _scaled(weight, factor):
    return weight * factor[:, None, None, None]


def _trials():
    generator = torch.Generator().manual_seed(0)
    found = []
    for outputs, inputs, eps in ((4, 3, 1e-1), (5, 5, 1e-2), (2, 6, 0.5)):
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        gamma, var = (torch.rand(outputs, generator=generator) + 0.5 for _ in range(2))
        found.append((weight, gamma, var, eps))
    return found


EXERCISES = (
    Exercise(
        "11.1",
        "predict",
        "parameters after folding",
        number(
            lambda: _count(fuse_conv_bn_eval(*_pair())),
            "parameters",
            "The weights are scaled and stay as many; what the batch norm added becomes one bias a channel.",
            [
                (lambda: _count(*_pair()), "That is before folding: the batch norm's scale goes into the weights and is gone."),
                (lambda: _count(_pair()[0]), "The shift of the batch norm is left: it becomes a bias, one a channel."),
                (lambda: 9 * _CHANNELS + _CHANNELS, "A filter has one kernel for every input channel, not one in all."),
                (lambda: _CHANNELS, "That is the new bias alone; the weights stay."),
            ],
            tolerance=1e-4,
        ),
        (
            "Weights of the convolution: inputs × outputs × 9.",
            "A batch norm in use is a scale and a shift for every channel.",
            "The scale goes into the weights; the shift becomes a bias.",
        ),
    ),
    Exercise(
        "11.2",
        "change",
        "fold a batch norm",
        function(
            _folded,
            _trials,
            "Every filter is scaled by γ / √(var + ε): the outputs stay, and one operation falls away.",
            [
                (
                    lambda w, g, v, e: _scaled(w, g / (v + e)),
                    "The variance needs its root: a batch norm divides by the standard deviation.",
                ),
                (
                    lambda w, g, v, e: _scaled(w, g / v.sqrt()),
                    "ε is missing under the root: outputs would differ where a variance is small.",
                ),
                (lambda w, g, v, e: _scaled(w, g), "γ alone is not the scale: divide by √(var + ε)."),
                (lambda w, g, v, e: _scaled(w, 1 / (v + e).sqrt()), "γ is missing: the batch norm's own scale."),
                (lambda w, g, v, e: _scaled(w, g * (v + e).sqrt()), "Divide by √(var + ε), do not multiply."),
                (lambda w, g, v, e: _scaled(w, g / (v.sqrt() + e)), "ε stands under the root, beside the variance."),
            ],
        ),
        (
            "In use a batch norm multiplies channel k by γₖ / √(varₖ + ε).",
            "Channel k of the output is made by filter k, `weight[k]`.",
            "Three more axes bring a factor of each filter into place: `factor[:, None, None, None]`.",
        ),
    ),
    Exercise(
        "11.3",
        "explain",
        "why paths take turns",
        choice(
            "c",
            "What else the machine does slows both paths alike in the same minute, so that their ratio stays.",
            a="Taking turns takes no less time: every path still runs as often.",
            b="Caches are warmed up by runs that are not counted; turns do not serve that.",
            d="A mean over a busy hour and a mean over a quiet one differ whatever the number of runs.",
        ),
        (
            "What happens to the ratio if another program starts between two measurements?",
            "And if both paths are measured while it runs?",
        ),
    ),
    Exercise(
        "11.4",
        "predict",
        "eight images at once on a CPU",
        choice(
            "b",
            "One image already keeps all cores busy. A GPU has places left, until it is full.",
            a="That would need cores that one image leaves idle; a convolution of one image fills them.",
            c="No image has to wait for another; time grows with the work, not with its square.",
        ),
        ("Are cores idle while one image is computed?", "Work grows eightfold; what of the hands that do it?"),
    ),
)
