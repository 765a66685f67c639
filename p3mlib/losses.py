"""Training losses of P3M-Net: named terms and their weighted total.

The paper does not print its losses; they are those of the public MM 2021 training code. Every function takes half
precision too and computes in float32 at least, inside autocast as well; none changes its inputs.
"""

import functools

import torch
import torch.nn.functional as F
from torch import distributed

IMAGENET_STD = (0.229, 0.224, 0.225)
SEGMENTATION_TERMS = ("ce_global", "ce_side2", "ce_side1", "ce_side0")
LEVELS = 5
_TINY = 1e-12
# Alpha and Laplacian of the final matte count 2 with the detail branch and once more in its own loss.
WEIGHTS = {
    **{"ce_global": 3 / 6, "ce_side2": 1 / 6, "ce_side1": 1 / 6, "ce_side0": 1 / 6},
    **{"alpha_local": 2.0, "lap_local": 2.0},
    **{"alpha_fusion": 3.0, "lap_fusion": 3.0, "comp_fusion": 1.0},
}


def full_precision(function):
    """Compute in float32 at least: half-precision tensors are widened, autocast is off."""

    def widen(value):
        half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if half else value

    @functools.wraps(function)
    def widened(first, *others, **named):
        with torch.autocast(first.device.type, enabled=False):
            return function(widen(first), *map(widen, others), **{name: widen(value) for name, value in named.items()})

    return widened


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # one first made during evaluation must serve training as well
def channels(values, dtype, device):
    """(1, C, 1, 1) tensor of a tuple of C numbers, made once: a copy to a GPU waits for all that it is at."""
    return torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1)


def same_shape(**tensors):
    """Raise ValueError, with all names and shapes, unless the tensors share one shape; None is left out."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor is not None}
    if len(set(shapes.values())) > 1:
        raise ValueError("shapes differ: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))


def trimap_labels(trimap):
    """Class of every trimap pixel, in the order of the segmentation logits.

    Args:
        trimap: (N, 1, H, W) float, 0 background, 1 foreground, anything between unknown.
    Returns:
        (N, H, W) int64: 0 background, 1 transition, 2 foreground.
    Raises:
        ValueError: another shape, or values above 1 ("looks like 0-255").
    Source:
        the official code compares 0..255 values that it truncates to integers, so an interpolated 0.4 becomes
        background there and an interpolated 2 foreground; here both are unknown.
    """
    if trimap.ndim != 4 or trimap.shape[1] != 1:
        raise ValueError(f"trimap must be (N, 1, H, W), got {tuple(trimap.shape)}")
    captured = trimap.is_cuda and torch.cuda.is_current_stream_capturing()  # a CUDA graph cannot wait for an answer
    if not captured and trimap.max() > 1:
        raise ValueError(f"trimap reaches {trimap.max().item():g}: looks like 0-255, expected 0, 0.5 and 1")
    return (1 + (trimap == 1).long() - (trimap == 0).long())[:, 0]


def transition_mask(trimap):
    """The pixels that the losses of the detail branch look at.

    Args:
        trimap: (N, 1, H, W) float in [0, 1].
    Returns:
        mask of the same shape and dtype: 1 where the trimap is exactly 0.5, or 128/255 as an 8-bit file divided by 255
        gives; 0 elsewhere. Interpolated values do not count, as in the official code.
    """
    return ((trimap == 0.5) | (trimap == 128 / 255)).to(trimap.dtype)


@full_precision
def _cross_entropy(logits, labels):
    if logits.ndim != 4 or logits.shape[1] != 3 or logits[:, 0].shape != labels.shape:
        n, h, w = labels.shape
        raise ValueError(f"logits {tuple(logits.shape)} do not fit the trimap, expected {(n, 3, h, w)}")
    return F.cross_entropy(logits, labels)


def segmentation_loss(logits, trimap):
    """Cross entropy of the three classes, mean over pixels.

    Args:
        logits: (N, 3, H, W) of background, transition, foreground.
        trimap: (N, 1, H, W) float {0, 0.5, 1}, see `trimap_labels`.
    Returns:
        scalar tensor.
    Raises:
        ValueError: height, width or batch differ, or the trimap is not one.
    """
    return _cross_entropy(logits, trimap_labels(trimap))


def shared_sum(weight, plus=0):
    """Sum of weights that divides a loss, and `plus`: (N, ...) tensor -> scalar tensor, without gradient where it is shared.

    Where processes share a batch it is the sum over all of it, divided by their number: the mean of their losses is then the loss
    of the whole batch, as it is for plain means.
    """
    total = weight.sum()
    if not (distributed.is_available() and distributed.is_initialized()):
        return total + plus
    total = total.detach().clone()
    distributed.all_reduce(total)
    return (total + plus) / distributed.get_world_size()


@full_precision
def alpha_loss(pred, alpha, mask=None):
    """Smooth absolute difference of two mattes, sqrt(d^2 + 1e-12).

    Args:
        pred, alpha: (N, 1, H, W) in [0, 1].
        mask:        (N, 1, H, W) of 0 and 1, the pixels that count; None means all.
    Returns:
        scalar tensor: the mean over pixels, or with a mask the sum divided by (masked pixels + 1), which is defined for
        an empty mask too. Every pixel outside the mask adds 1e-6 to that sum, as in the official code.
    Raises:
        ValueError: the shapes differ.
    """
    same_shape(pred=pred, alpha=alpha, mask=mask)
    if mask is None:
        return ((pred - alpha).square() + _TINY).sqrt().mean()
    return (((pred - alpha) * mask).square() + _TINY).sqrt().sum() / shared_sum(mask, 1)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)  # a matrix first made during evaluation must serve training as well
def _blur_factors(side, dtype, device):
    """Two (side, side) matrices that filter along one axis with repeated borders: a bell, and a sum of five.

    The 5x5 blur kernel is proportional to g(i) + g(j) with g(t) = exp(-t^2), which is bell x sum + sum x bell.
    """
    offset = torch.arange(-2, 3)
    source = (torch.arange(side)[:, None] + offset).clamp(0, side - 1)
    taps = torch.exp(-offset.double().square())
    bell = torch.zeros(side, side, dtype=torch.float64).scatter_add_(1, source, (taps / (10 * taps.sum())).repeat(side, 1))
    box = torch.zeros(side, side, dtype=torch.float64).scatter_add_(1, source, torch.ones(side, 5, dtype=torch.float64))
    return bell.to(device, dtype), box.to(device, dtype)


def _blur(x):
    """5x5 blur of (N, C, H, W) as matrix products: on a CPU several times faster to differentiate than a convolution
    with a single channel, and on a GPU not rounded to TF32."""
    bell_rows, box_rows = _blur_factors(x.shape[-2], x.dtype, x.device)
    bell_columns, box_columns = _blur_factors(x.shape[-1], x.dtype, x.device)
    return bell_rows @ (x @ box_columns.T) + box_rows @ (x @ bell_columns.T)


@full_precision
def laplacian_loss(pred, alpha, mask=None):
    """L1 distance of two Laplacian pyramids: the plain mean of every level, summed.

    A level is what a 5x5 blur removes; the blurred matte goes on at half the size (2x2 means, an odd last row or column
    is dropped). Five levels and the remainder; below 32 pixels fewer, halving until the shorter side is one pixel.
    Pyramids are linear, so one pyramid of the difference gives the same.

    Args:
        pred, alpha: (N, 1, H, W) in [0, 1].
        mask:        (N, 1, H, W) of 0 and 1 that multiplies both mattes; None means whole images.
    Returns:
        scalar tensor.
    Raises:
        ValueError: the shapes differ.
    """
    same_shape(pred=pred, alpha=alpha, mask=mask)
    rest = pred - alpha if mask is None else (pred - alpha) * mask
    terms = []
    while len(terms) < LEVELS and min(rest.shape[-2:]) > 1:
        blurred = _blur(rest)
        terms.append((rest - blurred).abs().mean())
        rest = F.avg_pool2d(blurred, 2)
    return sum(terms, rest.abs().mean())


@full_precision
def composition_loss(alpha_pred, image, fg, bg):
    """Difference between the image and the predicted alpha's composite, in ImageNet-normalised colours.

    Args:
        alpha_pred:    (N, 1, H, W) in [0, 1].
        image, fg, bg: (N, 3, H, W) in [0, 1], not normalised: the ImageNet mean cancels and its std divides here.
    Returns:
        scalar tensor: sqrt(d^2 + 1e-12) summed over the three colours, mean over pixels.
    Raises:
        ValueError: the shapes differ.
    """
    same_shape(image=image, fg=fg, bg=bg)
    same_shape(alpha_pred=alpha_pred, **{"one channel of image": image[:, :1]})
    std = channels(IMAGENET_STD, image.dtype, image.device)
    composite = alpha_pred * fg + (1 - alpha_pred) * bg  # in this order exactly fg where alpha is 1
    difference = (composite - image) / std
    return (difference.square() + _TINY).sqrt().sum() / alpha_pred.numel()


def _resolve_weights(output, weights):
    """Official weights for what the output has, then the caller's; only terms that count."""
    unknown = set(weights or {}) - set(WEIGHTS)
    if unknown:
        raise ValueError(f"no loss term {', '.join(sorted(unknown))}; there are {', '.join(WEIGHTS)}")
    if len(output.sides) not in (0, 3):
        raise ValueError(f"expected three side outputs (side2, side1, side0) or none, got {len(output.sides)}")
    resolved = dict(WEIGHTS)
    if not output.sides:
        resolved |= dict.fromkeys(SEGMENTATION_TERMS[1:], 0.0)
        resolved["ce_global"] = sum(WEIGHTS[name] for name in SEGMENTATION_TERMS)
    resolved |= weights or {}
    absent = [name for name in SEGMENTATION_TERMS[1:] if not output.sides and resolved[name]]
    if absent:
        raise ValueError(f"weights name {', '.join(absent)}, but the network has no side outputs")
    resolved = {name: weight for name, weight in resolved.items() if weight}
    if not resolved:
        raise ValueError("every loss term has weight 0")
    return resolved


def _check_layers(batch, resolved):
    """Raise ValueError where the batch lacks a layer that a term with a weight needs."""
    missing = [layer for layer in ("alpha", "trimap") if layer not in batch]
    if missing:
        raise ValueError(f"batch lacks {', '.join(missing)}")
    missing = [layer for layer in ("image", "fg", "bg") if layer not in batch]
    if missing and "comp_fusion" in resolved:
        raise ValueError(f"batch lacks {', '.join(missing)} for comp_fusion; weights={{'comp_fusion': 0}} leaves the term out")


def matting_loss(output, batch, weights=None):
    """All training losses of a two-decoder matting network.

    Args:
        output:  object with `segmentation` (N, 3, H, W) logits, `detail` and `alpha` (N, 1, H, W) in [0, 1], `sides`:
                 logits (N, 3, H, W) of side2, side1, side0, or empty.
        batch:   dict of tensors `alpha`, `trimap` {0, 0.5, 1} (N, 1, H, W), `image`, `fg`, `bg` (N, 3, H, W) in [0, 1].
        weights: dict term -> weight that replaces the official one of `WEIGHTS`; a term of weight 0 is not computed.
                 A network without side outputs has their weight on `ce_global`.
    Returns:
        dict of scalar tensors: the terms, unweighted, and `total`, their weighted sum.
    Raises:
        ValueError: an unknown term, a missing layer of the batch, or shapes that differ.
    Source:
        official MM 2021 training: (side2 + side1 + side0 + 3 global) / 6 + 2 (alpha + lap of detail)
        + 3 (alpha + lap of the final alpha) + composition.
    """
    resolved = _resolve_weights(output, weights)
    _check_layers(batch, resolved)
    alpha, labels, mask = batch["alpha"], trimap_labels(batch["trimap"]), transition_mask(batch["trimap"])
    compute = {
        name: functools.partial(_cross_entropy, logits, labels)
        for name, logits in zip(SEGMENTATION_TERMS, (output.segmentation, *output.sides), strict=False)
    } | {
        "alpha_local": lambda: alpha_loss(output.detail, alpha, mask),
        "lap_local": lambda: laplacian_loss(output.detail, alpha, mask),
        "alpha_fusion": lambda: alpha_loss(output.alpha, alpha),
        "lap_fusion": lambda: laplacian_loss(output.alpha, alpha),
        "comp_fusion": lambda: composition_loss(output.alpha, batch["image"], batch["fg"], batch["bg"]),
    }
    terms = {name: compute[name]() for name in resolved}
    return {**terms, "total": sum(weight * terms[name] for name, weight in resolved.items())}
