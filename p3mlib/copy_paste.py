"""P3M-CP, copy and paste: faces that may be shown go where faces were blurred, in images (ICP) or in features (FCP). Sec. 5.

The paper leaves ranges, interpolation and the layer open; the defaults here are ours and stated.
"""

import contextlib
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SCALES, TURN, CANDIDATES = (0.8, 1.25), 15.0, 8


class Draw(NamedTuple):
    """What is random in copy and paste, one value for each target.

    scale: (N,) factor of the source face beside what makes it as large as the target's face.
    angle: (N,) rotation in radians, counter-clockwise as seen.
    apply: (N,) bool, which targets take part.
    """

    scale: Tensor
    angle: Tensor
    apply: Tensor

    @classmethod
    def of(cls, paste):
        """From what `SourceFaces.draw` gives."""
        return cls(*(paste[name] for name in cls._fields))


def resize_mask(mask, size):
    """Mask at the resolution of the data: places at least half covered.

    Args:
        mask: (N, 1, H, W) in {0, 1}. size: (h, w).
    Returns:
        (N, 1, h, w) bool.
    """
    if mask.shape[-2:] == tuple(size):
        return mask >= 0.5
    return F.interpolate(mask.float(), size=tuple(size), mode="area") >= 0.5


def centre(mask):
    """Centre of mass and area of every mask.

    Args:
        mask: (N, 1, h, w) bool.
    Returns:
        (N, 2) x and y in pixels (0 where the mask is empty), (N,) area in pixels.
    """
    weight = mask[:, 0].float()
    area = weight.sum((1, 2))
    x = (weight.sum(1) * torch.arange(mask.shape[3], device=mask.device)).sum(1)
    y = (weight.sum(2) * torch.arange(mask.shape[2], device=mask.device)).sum(1)
    return torch.stack([x, y], 1) / area.clamp(min=1)[:, None], area


def copy_paste(target, target_mask, source, source_mask, draw, mode="bilinear"):
    """The module CP: the source's face, resized and turned, aligned by the centres of both masks, where both overlap.

    Args:
        target:      (N, C, H, W) images or features, of any floating type; what is pasted is sampled in float32.
        target_mask: (N, 1, h, w), any resolution: 0 outside faces, k inside the k-th (so bool and 0/255 are one face). Every face
                     gets the source's.
        source:      (N, C, H', W'), or (1, C, H', W') for all targets. No gradient reaches it.
        source_mask: (N or 1, 1, h', w') in {0, 1}, bool or {0, 255}: one face.
        draw:        see `Draw`. mode: of sampling the source, bilinear or nearest.
    Returns:
        (N, C, H, W): the target, and the source where a mask of the target, at its resolution, meets the source's. Targets or
        sources without a face, and those that `draw.apply` leaves out, come back as they are.
    Raises:
        ValueError: shapes do not belong together, or a mask holds other values; it is named.
    Source:
        Eq. 4-6. "Random resize" is about the size of the target's face here; that keeps the overlap a face.
    """
    n = len(target)
    _matching(target, target_mask, source, source_mask, draw)
    faces, source_mask = _labels(target_mask), _binary(source_mask)
    face_s = resize_mask(source_mask, source.shape[-2:])
    source, face_s = (x.detach().expand(n, *x.shape[1:]) for x in (source, face_s))
    centre_s, area_s = centre(face_s)
    both, merged = torch.cat([source.float(), face_s.float()], 1), target
    for k in faces:
        face_t = resize_mask((target_mask == k).float(), target.shape[-2:])
        centre_t, area_t = centre(face_t)
        scale = draw.scale * (area_t.clamp(min=1) / area_s.clamp(min=1)).sqrt()
        moved = F.grid_sample(both, _grid(target, centre_t, source, centre_s, scale, draw.angle), mode=mode, align_corners=False)
        pasted = face_t & (moved[:, -1:] >= 0.5) & (draw.apply & (area_s > 0))[:, None, None, None]
        merged = torch.where(pasted, moved[:, :-1].to(target.dtype), merged)
    return merged


def _matching(target, target_mask, source, source_mask, draw):
    n = len(target)
    for name, tensor, counts in (
        ("target_mask", target_mask, (n,)),
        ("source", source, (n, 1)),
        ("source_mask", source_mask, (len(source),)),
    ):
        if tensor.ndim != 4 or len(tensor) not in counts:
            raise ValueError(f"{name} of {tuple(tensor.shape)} does not belong to a target of {tuple(target.shape)}")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"source of {source.shape[1]} channels, target of {target.shape[1]}")
    if any(len(values) != n for values in draw):
        raise ValueError(f"a draw for {[len(values) for values in draw]} targets, there are {n}")


def _labels(mask):
    """Numbers of the faces in a target's mask, ascending. Raises ValueError for what is no number of a face."""
    values = [float(value) for value in mask.unique()]
    if any(value < 0 or value != int(value) for value in values):
        raise ValueError(f"target_mask holds {min(values):.3g} to {max(values):.3g}, expected 0 and the numbers of faces")
    return [int(value) for value in values if value > 0]


def _binary(mask):
    """A source's mask in [0, 1]. Raises ValueError for other codes than 0/1, bool and 0/255."""
    low, high = float(mask.min()), float(mask.max())
    if low < 0 or (high > 1 and high != 255):
        raise ValueError(f"source_mask spans {low:.3g} to {high:.3g}, expected 0 and 1, bool, or 0 and 255")
    return mask.float() / 255 if high == 255 else mask


def _grid(target, centre_t, source, centre_s, scale, angle):
    """(N, H, W, 2) places in the source, as `grid_sample` wants them, of the target's pixels."""
    height, width = target.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=target.device, dtype=torch.float32),
        torch.arange(width, device=target.device, dtype=torch.float32),
        indexing="ij",
    )
    offset = torch.stack([x, y], -1) - centre_t[:, None, None]
    cos, sin = (f(angle)[:, None, None] / scale[:, None, None] for f in (torch.cos, torch.sin))
    dx, dy = offset.unbind(-1)
    place = torch.stack([cos * dx - sin * dy, sin * dx + cos * dy], -1) + centre_s[:, None, None]
    return (2 * place + 1) / torch.tensor(source.shape[:-3:-1], device=target.device) - 1


@contextlib.contextmanager
def pasting(network, source, source_mask, target_mask, draw, layer=0):
    """While the block runs, `network` pastes a source face into the features of one layer of its encoder (FCP).

    The source passes the encoder as one more image of the batch, is copied from after the chosen layer, and its row is dropped
    from all that the encoder gives.

    Args:
        network:     with an `encoder` that names its layers in `paste_at`.
        source:      (1, 3, H, W), normalised as the batch is. source_mask: (1, 1, H, W).
        target_mask: (N, 1, H, W), see `copy_paste`. draw: see `Draw`.
        layer:       index into `encoder.paste_at`, shallow to deep.
    Raises:
        ValueError: the encoder has no such layer.
    Source:
        Sec. 5.3, Eq. 7-8.
    """
    encoder = getattr(network, "encoder", None)
    names = getattr(encoder, "paste_at", ())
    if not 0 <= layer < len(names):
        raise ValueError(f"{type(network).__name__} has no layer {layer} to paste at; it has {len(names)}")
    tokens = names[layer].startswith("stages.")  # (N, h, w, C)

    def join(module, inputs):
        return (torch.cat([inputs[0], source.to(inputs[0].dtype)]).contiguous(memory_format=torch.channels_last),)

    def paste(module, inputs, output):
        data = output.permute(0, 3, 1, 2) if tokens else output
        merged = copy_paste(data[:-1], target_mask, data[-1:], source_mask, draw)
        merged = torch.cat([merged, data[-1:]])
        return merged.permute(0, 2, 3, 1) if tokens else merged

    def drop(module, inputs, output):
        return _without_last(output)

    hooks = [
        encoder.register_forward_pre_hook(join),
        encoder.get_submodule(names[layer]).register_forward_hook(paste),
        encoder.register_forward_hook(drop),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _without_last(output):
    """Nested tuples of (N + 1, ...) tensors without their last rows."""
    if isinstance(output, Tensor):
        return output[:-1]
    parts = [_without_last(part) for part in output]
    return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)


class SourceFaces:
    """Source images with their face masks at the training's size, and what copy and paste draws of them.

    Args:
        faces:       sequence of samples with `image` (H, W, 3) in [0, 1] and `facemask` (H, W) bool.
        kind:        icp: a face for every target. fcp: one for the batch. matched: for every target the most
                     alike of `CANDIDATES` (`Look`), turned and lit like it; beyond the paper (its Sec. 5.2 and 7 ask for it).
        size:        side of the training images in pixels.
        in_memory:   keep what was read.
        probability: of a target (icp, matched) or a batch (fcp) to take part.
        scales:      factors of size, drawn evenly in their logarithm. turn: largest angle in degrees to either side.
    Raises:
        ValueError: no faces.
    Source:
        Sec. 5.2, 5.3 for the probability and the single source; ranges ours.
    """

    def __init__(self, faces, kind, size, in_memory=True, probability=0.5, scales=SCALES, turn=TURN):
        if not faces:
            raise ValueError("copy and paste needs at least one source face")
        self.faces, self.kind, self.size, self.in_memory = faces, kind, size, in_memory
        self.probability, self.scales, self.turn = probability, scales, turn
        self._read, self._described = {}, {}

    def draw(self, images, masks, rng, start=0, total=None):
        """What to paste into a batch.

        Args:
            images: (N, 3, size, size) in [0, 1]. masks: (N, 1, size, size), see `copy_paste`. rng: numpy Generator.
            start, total: where these begin in a batch of how many, of which other processes have the rest.
        Returns:
            dict of `source` (M, 3, size, size), `source_mask` (M, 1, size, size), `target_mask` and the fields of `Draw`, with M
            = N, or 1 for fcp; None if no target takes part.
        """
        n, single, own = total or len(images), self.kind == "fcp", slice(start, start + len(images))
        apply = np.repeat(rng.random(1 if single else n) < self.probability, n if single else 1)
        logs = rng.uniform(*np.log(self.scales), n)
        angles = np.deg2rad(rng.uniform(-self.turn, self.turn, n))
        chosen = rng.integers(len(self.faces), size=(1 if single else n, CANDIDATES if self.kind == "matched" else 1))
        apply, logs, angles, chosen = apply[own], logs[own], angles[own], chosen if single else chosen[own]
        if not apply.any():
            return None
        if self.kind == "matched":
            pairs = [self._matched(images[i], masks[i], chosen[i], apply[i]) for i in range(len(images))]
            logs, angles = logs / 2, angles / 2 + np.array([turn for _, _, turn in pairs])
        else:
            pairs = [self._view(row[0]) for row in chosen]
        sources, source_masks = (torch.stack([pair[k] for pair in pairs]) for k in (0, 1))
        drawn = Draw(*(torch.from_numpy(np.asarray(values)) for values in (np.float32(np.exp(logs)), np.float32(angles), apply)))
        return {"source": sources, "source_mask": source_masks, "target_mask": masks, **drawn._asdict()}

    def _view(self, index):
        """Image (3, size, size) and mask (1, size, size) of one source: resized by its shorter side, cut around the face."""
        if index not in self._read:
            view = face_view(self.faces[int(index)], self.size)
            if not self.in_memory:
                return view
            self._read[index] = view
        return self._read[index]

    def _matched(self, image, mask, candidates, wanted):
        """Source, its mask and the angle for one target."""
        target = describe(image, mask == 1) if wanted else None
        if target is None:
            return (*self._view(candidates[0]), 0.0)
        found = []
        for index in candidates:
            if index not in self._described:
                self._described[index] = describe(*self._view(index))
            if self._described[index] is not None:
                found.append((target.distance(self._described[index]), index))
        if not found:
            return (*self._view(candidates[0]), 0.0)
        index = min(found)[1]
        source, source_mask = self._view(index)
        return lit_like(source, self._described[index], target), source_mask, target.angle - self._described[index].angle


def face_view(face, size):
    """A square of an image around its face.

    Args:
        face: dict with `image` (H, W, 3) in [0, 1] and `facemask` (H, W) bool. size: of the result in pixels.
    Returns:
        (3, size, size), (1, size, size) mask of 0 and 1: the shorter side resized to `size`, the longer cut.
    """
    image, mask = face["image"], face["facemask"].astype(np.uint8)
    shape = [max(size, round(side * size / min(mask.shape))) for side in mask.shape]
    image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    place = np.argwhere(mask).mean(0) if mask.any() else np.array(shape) / 2
    top, left = (int(np.clip(round(c - size / 2), 0, side - size)) for c, side in zip(place, shape, strict=True))
    image, mask = (layer[top : top + size, left : left + size] for layer in (image, mask))
    return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(mask[None].astype(np.float32))


class Look(NamedTuple):
    """What of a face survives its blurring: size, pose and light.

    size:    logarithm of the area in pixels.
    pose:    skew of the mask to one side, in standard deviations; how much longer than wide it is, logarithm.
    angle:   of the mask's long axis to the vertical, radians, counter-clockwise, at most 30 degrees; 0 for round masks.
    colour:  (3,) mean.
    slope:   how brightness grows to the right and downwards, per standard deviation of the mask.
    """

    size: float
    pose: tuple
    angle: float
    colour: Tensor
    slope: tuple

    def distance(self, other):
        """Sum of squared differences, each over what is a clear difference to the eye."""
        pairs = ((self.size, other.size, 0.5), *zip(self.pose, other.pose, (0.3, 0.2), strict=True))
        pairs += tuple(zip(self.slope, other.slope, (0.03, 0.03), strict=True))
        apart = sum(((a - b) / unit) ** 2 for a, b, unit in pairs)
        return apart + float(((self.colour - other.colour) / 0.2).square().mean())


def describe(image, mask):
    """`Look` of a face, blurred or not.

    Args:
        image: (3, H, W) in [0, 1]. mask: (1, H, W), above 0 inside.
    Returns:
        Look, or None for fewer than 16 pixels.
    """
    y, x = (mask[0] > 0).nonzero(as_tuple=True)
    if len(x) < 16:
        return None
    pixels = image[:, y, x]
    x, y = x.float() - x.float().mean(), y.float() - y.float().mean()
    xx, yy, xy = float((x * x).mean()), float((y * y).mean()), float((x * y).mean())
    wide, tall = max(xx, 0.1) ** 0.5, max(yy, 0.1) ** 0.5
    angle = 0.5 * np.arctan2(2 * xy, yy - xx) if max(wide / tall, tall / wide) > 1.1 or abs(xy) > 0.1 * wide * tall else 0.0
    bright = pixels.mean(0) - pixels.mean()
    slope = float((bright * x).mean()) / wide, float((bright * y).mean()) / tall
    pose = float((x**3).mean()) / wide**3, float(np.log(tall / wide))
    return Look(float(np.log(len(x))), pose, float(np.clip(angle, -np.pi / 6, np.pi / 6)), pixels.mean(1), slope)


def lit_like(source, own, target):
    """Source image with the colour of the target's face: a gain for each channel, between a half and two.

    Args:
        source: (3, H, W) in [0, 1]. own, target: `Look` of the source's and of the target's face.
    Returns:
        (3, H, W) in [0, 1].
    """
    gain = ((target.colour + 0.02) / (own.colour + 0.02)).clamp(0.5, 2)
    return (source * gain[:, None, None]).clamp(0, 1)


def features_of(network, images, layer=0):
    """What the network's encoder gives at one of its layers for pasting.

    Args:
        images: (N, 3, H, W), normalised. layer: index into `encoder.paste_at`.
    Returns:
        (N, C, h, w).
    """
    name, found = network.encoder.paste_at[layer], []
    hook = network.encoder.get_submodule(name).register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        network.encoder(images)
    hook.remove()
    return found[0].permute(0, 3, 1, 2) if name.startswith("stages.") else found[0]
