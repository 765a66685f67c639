"""Losses of LF's three stages: named terms and their weighted total.

They are those of the public derivative of the authors' code (see `lf`); every function computes in float32 at least.
"""

import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.losses import full_precision, same_shape, shared_sum

SOLID = 0.05
BRANCHES = ("encoder", "foreground", "background")
SEGMENTATION = {"cross_entropy": 1.0, "distance": 1.0, "side_gradient": 1.0, "regulariser": 0.01}
FUSION = {"alpha": 1.0, "sparsity": 0.01, "gradient": 1.0, "regulariser": 0.01}
JOINT = {**FUSION, "cross_entropy": 0.5, "distance": 0.5}
_EPS = 1e-7


def _solid(alpha):
    return (alpha <= SOLID) | (alpha >= 1 - SOLID)


@full_precision
def gradient_loss(pred, alpha):
    """Differences of the forward differences of two mattes, sqrt(d^2 + 1e-7), plain mean, both directions added.

    Args:
        pred, alpha: (N, 1, H, W) in [0, 1].
    Returns:
        scalar tensor. The last column has no horizontal difference, the last row no vertical one: they count as 0.
    """
    difference = pred - alpha
    across, down = F.pad(difference.diff(dim=3), (0, 1)), F.pad(difference.diff(dim=2), (0, 0, 0, 1))
    return (across.square() + _EPS).sqrt().mean() + (down.square() + _EPS).sqrt().mean()


@full_precision
def branch_loss(probability, alpha):
    """Losses of one output of a branch.

    Args:
        probability: (N, 1, h, w) in [0, 1], enlarged bilinearly to the size of `alpha`.
        alpha:       (N, 1, H, W) in [0, 1], of the branch's class: 1 - alpha for the background.
    Returns:
        dict of scalar tensors. cross_entropy: with alpha > 0.05 as label, the pixels that are not solid count half; distance:
        mean of the squared difference to alpha on solid pixels, the absolute one elsewhere; side_gradient: `gradient_loss`.
        Solid is alpha up to 0.05 or from 0.95.
    Raises:
        ValueError: numbers of images or channels differ.
    """
    if probability.shape[2:] != alpha.shape[2:]:
        probability = F.interpolate(probability, alpha.shape[2:], mode="bilinear", align_corners=False)
    same_shape(probability=probability, alpha=alpha)
    solid, difference = _solid(alpha), probability - alpha
    label, weight = (alpha > SOLID).to(alpha.dtype), (1 + solid.to(alpha.dtype)) / 2
    return {
        "cross_entropy": F.binary_cross_entropy(probability.clamp(_EPS, 1 - _EPS), label, weight),
        "distance": torch.where(solid, difference.square(), difference.abs()).mean(),
        "side_gradient": gradient_loss(probability, alpha),
    }


@full_precision
def fusion_loss(pred, alpha):
    """Losses of the final matte.

    Args:
        pred, alpha: (N, 1, H, W) in [0, 1].
    Returns:
        dict of scalar tensors. alpha: sqrt(d^2 + 1e-7), a mean in which solid pixels (see `branch_loss`) count a tenth;
        sparsity: mean of (pred + 1e-5)^0.9 + (1 - pred + 1e-5)^0.9; gradient: `gradient_loss`.
    Raises:
        ValueError: the shapes differ.
    """
    same_shape(pred=pred, alpha=alpha)
    weight = 1 - 0.9 * _solid(alpha).to(alpha.dtype)
    return {
        "alpha": (weight * ((pred - alpha).square() + _EPS).sqrt()).sum() / shared_sum(weight),
        "sparsity": ((pred + 1e-5) ** 0.9 + (1 - pred + 1e-5) ** 0.9).mean(),
        "gradient": gradient_loss(pred, alpha),
    }


def regulariser(network, parts):
    """Mean square of every convolution's kernel, of the stem's the mean absolute value, summed over the named submodules."""
    kernels = {m: m.weight.float() for part in parts for m in network.get_submodule(part).modules() if isinstance(m, nn.Conv2d)}
    return sum((k.abs() if m is network.encoder.conv0 else k.square()).mean() for m, k in kernels.items())


def _branch_terms(sides, alpha):
    """Terms of `branch_loss`, summed over four outputs for the foreground and four for the background."""
    outputs = [branch_loss(side, target) for side, target in zip(sides, [alpha] * 4 + [1 - alpha] * 4, strict=True)]
    return {name: sum(terms[name] for terms in outputs) for name in outputs[0]}


def _weighted(terms, weights):
    return {**{name: terms[name] for name in weights}, "total": sum(weight * terms[name] for name, weight in weights.items())}


def segmentation_stage(network, image, batch):
    """Loss of the first stage, all of `branch_loss` at four scales of both branches; the fusion is not run."""
    (foreground, _), (background, _) = network.branches(image)
    terms = _branch_terms([logits.float().sigmoid() for logits in (*foreground, *background)], batch["alpha"])
    return _weighted({**terms, "regulariser": regulariser(network, BRANCHES)}, SEGMENTATION)


def fusion_stage(network, image, batch):
    """Loss of the second stage, `fusion_loss`."""
    terms = fusion_loss(network(image).alpha, batch["alpha"])
    return _weighted({**terms, "regulariser": regulariser(network, ("fusion",))}, FUSION)


def joint_stage(network, image, batch):
    """Loss of the last stage: that of the second, and half of `branch_loss` without its gradient term."""
    output = network(image)
    terms = {**fusion_loss(output.alpha, batch["alpha"]), **_branch_terms(output.sides, batch["alpha"])}
    return _weighted({**terms, "regulariser": regulariser(network, (*BRANCHES, "fusion"))}, JOINT)
