"""What every trained network has in common: its output, how it is trained in stages, how it wants its input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class MattingOutput(NamedTuple):
    """Output of a matting network for an (N, 3, H, W) image.

    segmentation: (N, 3, H, W) logits of background, transition, foreground, unless the network says otherwise.
    detail:       (N, 1, H, W) alpha in [0, 1], meant for the transition area.
    alpha:        (N, 1, H, W) final alpha in [0, 1].
    sides:        side outputs, coarse to fine; what they are the network says; empty where it has none.
    """

    segmentation: Tensor
    detail: Tensor
    alpha: Tensor
    sides: tuple


def fuse(segmentation, detail):
    """Final alpha: `detail` where the transition class wins, else 0 or 1. No gradient reaches the segmentation.

    Args:
        segmentation: (N, 3, H, W) logits. detail: (N, 1, H, W) in [0, 1].
    Returns:
        (N, 1, H, W) in [0, 1].
    """
    background, transition, foreground = segmentation.detach().split(1, dim=1)
    # An argmax whose first maximum wins, several times faster on a CPU.
    opaque = (foreground > background) & (foreground > transition)
    unknown = (transition > background) & (transition >= foreground)
    return torch.where(unknown, detail, opaque.to(detail.dtype))


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        name:   for the log.
        loss:   (network, image, batch) -> dict of scalar tensors, its terms and `total`, which is minimised. `image` is the
                batch's, normalised; `batch` holds `image`, `fg`, `bg` (N, 3, H, W), `alpha`, `trimap` (N, 1, H, W) in [0, 1].
        share:  of all epochs of the training, relative to the other stages.
        learns: names of the network's submodules that learn; the others stay as they are, their batch norms too. Empty: all.
        lr:     multiplies the learning rate.
        critic: () -> discriminator that learns beside the network and is thrown away afterwards. `loss` then takes it as fourth
                argument, and `total` holds the critic's own loss; neither loss may reach the other's weights (`frozen_call`).
        critic_lr: multiplies the critic's learning rate. One that learns as fast as a network from scratch soon knows it all,
                and leads the network astray.
    """

    name: str
    loss: Callable
    share: float = 1.0
    learns: tuple[str, ...] = ()
    lr: float = 1.0
    critic: Callable | None = None
    critic_lr: float = 0.1


def frozen_call(module, *inputs):
    """Output of a module whose weights get no gradient, while its inputs do."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    return torch.func.functional_call(module, weights, inputs)


class MattingNetwork(nn.Module):
    """Base of all networks: (N, 3, H, W) normalised image -> MattingOutput.

    Attributes:
        channels:             of the input: 3, or 4 where a trimap in {0, 0.5, 1} is the last one.
        mean, std:            of the normalisation, for images in [0, 1].
        multiple:             of which the sides of the input must be multiples.
        resizing:             how images are brought to the network's size; None leaves it to the profile (`inference.resize`).
        guided:               a network with a size rule of its own for photographs: the mean matte of a smaller input and of its
                              mirror image is enlarged by `matte.refine`.
        smallest_side:        see `inference.predict`.
        uncounted_parameters: of modules that the official network has, never uses, and the paper counts.
        official:             (pattern, replacement) from official state-dict names to ours, see `load_official`.
        frozen:               beginnings of state-dict names that never learn: `build_model` gives their values.
        backbones:            submodule -> (timm model, (pattern, replacement) from its names to ours), see `load_imagenet`.
    """

    channels = 3
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    multiple = 32
    resizing = None
    guided = False
    smallest_side = 0
    uncounted_parameters = 0
    official = ()
    frozen = ()
    backbones = {}

    def stages(self):
        """Stages of the published training, in order."""
        raise NotImplementedError

    def input_size(self, height, width, side):
        """(height, width) at which the network wants to see an image; None where RESIZE or HYBRID decides.

        Args:
            height, width: of the image. side: of the training images, 512 in the paper.
        """

    def check(self, image):
        """Raise ValueError where (N, C, H, W) has other channels than `channels` or a side is not a multiple of `multiple`."""
        if image.shape[1] != self.channels:
            hint = "; the trimap is the fourth" if self.channels == 4 else ""
            raise ValueError(f"image of {tuple(image.shape)}: the network takes {self.channels} channels{hint}")
        if image.shape[-1] % self.multiple or image.shape[-2] % self.multiple:
            raise ValueError(f"image of {tuple(image.shape)}: height and width must be multiples of {self.multiple}")


def whole_image(height, width, multiple, largest=1600):
    """Size rule of networks that see the whole image: sides cut to multiples, at least 64, at most 1600 px (ours, for memory)."""
    scale = min(1.0, largest / max(height, width))
    return tuple(max(64, int(scale * side) // multiple * multiple) for side in (height, width))


class TrimapNetwork(MattingNetwork):
    """Base of networks that are given a trimap: (N, 4, H, W), the normalised image and the trimap in {0, 0.5, 1}.

    Of their MattingOutput `segmentation` is the trimap (1 for its class), `detail` what the network says, not limited to [0, 1]
    where it has no final non-linearity, and `alpha` that in the unknown area and the trimap elsewhere.
    """

    channels = 4

    def input_size(self, height, width, side):
        """The whole image, at most 1600 px."""
        return whole_image(height, width, self.multiple)

    def pasted(self, alpha, trimap, sides=()):
        """MattingOutput of an alpha (N, 1, H, W) and the trimap (N, 1, H, W)."""
        fg, bg = trimap > 0.75, trimap < 0.25
        classes = torch.cat([bg, ~(fg | bg), fg], dim=1).to(alpha.dtype)
        known = torch.where(fg, 1.0, torch.where(bg, 0.0, alpha.clamp(0, 1)))
        return MattingOutput(classes, alpha, known.to(alpha.dtype), sides)


def with_trimap(image, batch):
    """Input of a TrimapNetwork: the normalised image (N, 3, H, W) and the batch's trimap."""
    return torch.cat([image, batch["trimap"]], dim=1).contiguous(memory_format=torch.channels_last)
