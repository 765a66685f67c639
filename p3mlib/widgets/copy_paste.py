"""Copy and paste: a face goes into a blurred portrait or into its features, and the network answers."""

import math

import torch

from p3mlib.copy_paste import Draw, copy_paste, pasting
from p3mlib.widgets.frame import Explorer, choice, pictures, slider


def copy_paste_explorer(target, target_mask, sources, source_masks, model=None):
    """Choose, scale and turn a source face, paste it into the image or after a layer, and see what the network says.

    Args:
        target: (1, 3, H, W) in [0, 1], sides multiples of 32. target_mask: (1, 1, H, W), see `copy_paste.copy_paste`.
        sources: (M, 3, H, W). source_masks: (M, 1, H, W) in {0, 1}.
        model: network in eval mode whose encoder takes faces (`paste_at`); None shows images alone.
    Returns:
        Explorer.
    Raises:
        ValueError: sources and their masks differ in number; or shapes do not belong together, see `copy_paste.copy_paste`.
    """
    if not 0 < len(sources) == len(source_masks):
        raise ValueError(f"{len(sources)} sources and {len(source_masks)} masks; there must be as many, at least one")
    names = [f"face {i + 1}" for i in range(len(sources))]
    layers = list(model.encoder.paste_at) if model is not None else []
    source = choice("source", names)
    scale, angle = slider("scale", 1.0, 0.25, 4.0, 0.05), slider("angle", 0, -90, 90, 5, "degrees")
    place = choice("paste into", ["the image (ICP)", *(f"features after {layer} (FCP)" for layer in layers)])

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.mean, model.std)) if model is not None else (0, 1)
    plain = (target - mean) / std
    with torch.inference_mode():
        before = model(plain).alpha[0, 0] if model is not None else None

    def draw():
        i = names.index(source.value)
        face, mask = sources[i : i + 1], source_masks[i : i + 1]
        turn = Draw(torch.tensor([scale.value]), torch.tensor([math.radians(angle.value)]), torch.tensor([True]))
        merged = copy_paste(target, target_mask, face, mask, turn)
        cut = face * (mask >= 0.5)
        panels = [
            (_picture(cut), "the source's face"),
            (_picture(target), "blurred target"),
            (_picture(merged), "pasted into it"),
        ]
        if model is not None:
            prepared, layer = (face - mean) / std, place.index - 1
            with torch.inference_mode():
                if layer < 0:
                    after = model((merged - mean) / std).alpha[0, 0]
                else:
                    with pasting(model, prepared, mask, target_mask, turn, layer):
                        after = model(plain).alpha[0, 0]
            inside = target_mask[0, 0] > 0
            told = f"{before[inside].mean():.1%} to {after[inside].mean():.1%} inside the face" if inside.any() else "no face"
            panels += [(before.numpy(), "matte without pasting"), (after.numpy(), f"matte with: {place.value}\nalpha {told}")]
        return pictures(panels)

    advice = (
        "Turn and shrink the face: it stays centred on the target's and never leaves its mask. Then paste into features "
        "instead: the image stays blurred, the network alone sees the face. The deeper the layer, the coarser the place it "
        "goes to."
    )
    controls = {"source": source, "scale": scale, "angle": angle, "place": place}
    return Explorer("What does a network see of a face pasted into the image, or into its features?", advice, controls, draw)


def _picture(tensor):
    return tensor[0].permute(1, 2, 0).numpy()
