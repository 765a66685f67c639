"""Figure 9: the pipeline of copy and paste, at both levels, from the results of its steps."""

import numpy as np
import torch
import torch.nn.functional as F

from p3mlib.copy_paste import copy_paste, features_of, pasting
from p3mlib.drawing.network import INK, MODULE, MUTED, Canvas

SIDE, PITCH, ROW = 0.82, 1.0, 0.98  # of a picture, from one to the next, from source to target; inches
COLUMNS = {"image": 0, "data": 1, "mask": 2, "face": 3, "merged": 4.25, "alpha": 5.55}
WIDTH, HEIGHT = 6.6, 4.75


def levels(model, target, target_mask, source, source_mask, draw):
    """The two arguments of `pipeline`, from a trained network and one pair of images.

    Args:
        model: network with an encoder that takes faces. target, source: (1, 3, H, W) in [0, 1]. target_mask, source_mask:
            (1, 1, H, W). draw: see `copy_paste.Draw`. Of features, the root of their mean magnitude over channels is shown.
    """
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.mean, model.std))
    pair = (target, target_mask, source, source_mask, draw)
    maps = [features_of(model, (image - mean) / std) for image in (target, source)]
    limit = max(features.abs().mean(1).quantile(0.99) for features in maps)

    def strength(features):
        return (features[0].abs().mean(0) / limit).sqrt().numpy()

    images = {"source": _picture_of(source), "target": _picture_of(target)}
    at_images = {**images, **_steps(*pair, _picture_of)}
    at_features = {**images, **_steps(maps[0], target_mask, maps[1], source_mask, draw, strength)}
    at_features |= {"target_data": strength(maps[0]), "source_data": strength(maps[1])}
    with torch.no_grad():
        at_images["alpha"] = model((copy_paste(*pair) - mean) / std).alpha[0, 0].numpy()
        with pasting(model, (source - mean) / std, source_mask, target_mask, draw):
            at_features["alpha"] = model((target - mean) / std).alpha[0, 0].numpy()
    return at_images, at_features


def _picture_of(image):
    return image[0].permute(1, 2, 0).numpy()


def _steps(target, target_mask, source, source_mask, draw, show):
    """What the module makes of images or features; its source face alone is what it pastes into nothing."""
    small = {name: F.interpolate(m, target.shape[-2:]) for name, m in (("target", target_mask), ("source", source_mask))}
    merged, face = (copy_paste(into, target_mask, source, source_mask, draw) for into in (target, torch.zeros_like(target)))
    shown = {"merged": merged, "source_face": face, "target_face": target * small["target"]}
    return {name: show(data) for name, data in shown.items()} | {
        f"{name}_mask": mask[0, 0].numpy() for name, mask in small.items()
    }


def pipeline(image_level, feature_level):
    """Two lanes, P3M-ICP above and P3M-FCP below.

    Args:
        image_level, feature_level: dicts of pictures (H, W) or (H, W, 3) in [0, 1] of the steps: `source`, `target` (images),
            `source_data`, `target_data` (D_S, D_T; not for the image level), `source_mask`, `target_mask`, `source_face` (after
            resizing and turning), `target_face`, `merged` (D') and `alpha`.
    Returns:
        Figure.
    """
    canvas = Canvas(None, WIDTH, HEIGHT)
    canvas.ax.set_autoscale_on(False)
    _lane(canvas, image_level, 3.62, "P3M-ICP: in front of the network", "G1, G2")
    _lane(canvas, feature_level, 1.2, "P3M-FCP: after the first layers", "G2")
    return canvas.figure


def _lane(canvas, found, y, title, rest):
    top, bottom = y + ROW / 2, y - ROW / 2
    features = "source_data" in found
    left, right = _x("mask") - 0.5, _x("merged") + 0.5
    canvas.box((left + right) / 2, y, *MODULE, half=(right - left) / 2, height=2 * ROW + 0.16, zorder=1)
    canvas.text(0.06, y + ROW + 0.16, title, 8, ha="left", weight="bold")
    canvas.text((left + right) / 2, y + ROW + 0.16, "copy and paste module", 7, MODULE[0])
    for name, row in (("source", top), ("target", bottom)):
        _picture(canvas, _x("image"), row, found[name], f"$I_{name[0].upper()}$ {name}")
        if features:
            _picture(canvas, _x("data"), row, found[f"{name}_data"], f"$D_{name[0].upper()}$ features")
            _arrow(canvas, "image", "data", row, "G1")
        _arrow(
            canvas, "data" if features else "image", "mask", row, "" if features else f"$D_{name[0].upper()}=I_{name[0].upper()}$"
        )
        _picture(canvas, _x("mask"), row, found[f"{name}_mask"], f"$M'_{name[0].upper()}$")
        _picture(canvas, _x("face"), row, found[f"{name}_face"], "resized, turned, cut" if name == "source" else "to be filled")
        _arrow(canvas, "mask", "face", row)
        side = _x("face") + SIDE / 2
        canvas.line((side, row), (side + 0.14, row), (side + 0.14, y + 0.1 * (row > y) - 0.1 * (row < y)), head=False)
    for offset in (-0.1, 0.1):
        canvas.line((_x("face") + SIDE / 2 + 0.14, y + offset), (_x("merged") - SIDE / 2, y + offset))
    _picture(canvas, _x("merged"), y, found["merged"], "$D'$ centres aligned")
    _arrow(canvas, "merged", "alpha", y, rest)
    _picture(canvas, _x("alpha"), y, found["alpha"], "alpha")


def _x(column):
    return 0.5 + COLUMNS[column] * PITCH + 0.02


def _picture(canvas, x, y, picture, caption):
    y += 0.05
    extent = (x - SIDE / 2, x + SIDE / 2, y - SIDE / 2, y + SIDE / 2)
    canvas.ax.imshow(np.clip(np.asarray(picture, float), 0, 1), cmap="gray", vmin=0, vmax=1, extent=extent, zorder=4)
    canvas.box(x, y, INK, "none", SIDE / 2, SIDE, 0, lw=0.5, zorder=5)
    canvas.text(x, y - SIDE / 2 - 0.075, caption, 5.6, INK)


def _arrow(canvas, start, end, y, label=""):
    begin, finish = _x(start) + SIDE / 2, _x(end) - SIDE / 2
    canvas.line((begin, y), (finish, y))
    if label:
        canvas.text((begin + finish) / 2, y + 0.09, label, 6, MUTED)
