"""Training views that look like any photograph: one rendered person, framed, lit and placed anew every time.

Each ingredient is a switch of a profile (`ingredients`); what each gains stands in the dataset card.
"""

import cv2
import numpy as np

from p3mlib.data.augment import channels_first, drawn_kernel
from p3mlib.matte import composite, make_trimap

INGREDIENTS = {
    "places": "the person in front of other pictures and textures",
    "framing": "from close-ups to a person who fills a sixth of the picture, at any place that a cut figure allows",
    "texture": "fine detail of a place laid over the person, so that a photograph's grain does not say background",
    "clutter": "shapes and writing behind the person, filled with pieces of places",
    "colour": "gain, gamma, saturation and tint of person and place, apart and together",
    "camera": "blur, loss of resolution, noise and JPEG after composition",
}
PLACES = 0.3  # share of views in front of another place; at 0.75 a photograph's grain comes to mean background
ZOOM = (0.6, 2.6)  # height of the rendered picture over the view's
_TOUCHES = 0.02  # share of an edge that the person covers where the figure is cut by it


def photo_view(sample, size, places, ingredients, trimap_kernel, rng):
    """One view.

    Args:
        sample:        dict with `fg`, `bg` (H, W, 3) and `alpha` (H, W), float in [0, 1]; `facemask` (H, W) bool where faces are
                       pasted.
        size:          side of the result in pixels.
        places:        places.Places.
        ingredients:   names in `INGREDIENTS`.
        trimap_kernel: (low, high) side of the trimap's kernel at 512 px, inclusive.
        rng:           numpy Generator.
    Returns:
        as `augment.random_view`; `fg` and `bg` are those before the camera.
    Source:
        compositions: Xu et al. 2017.
    """
    fg, alpha, bg, mask = _framed(sample, size, "framing" in ingredients, rng)
    if "places" in ingredients and rng.random() < PLACES:
        bg = _defocused(places.draw(size, size, rng), rng)
    if "texture" in ingredients and rng.random() < 0.7:
        fg = _textured(fg, places, rng)
    if "clutter" in ingredients and rng.random() < 0.6:
        bg = _cluttered(bg, places, rng)
    if "colour" in ingredients:
        fg, bg = (_coloured(layer, rng) if rng.random() < 0.5 else layer for layer in (fg, bg))
        if rng.random() < 0.5:
            state = rng.integers(2**63)
            fg, bg = (_coloured(layer, np.random.default_rng(state)) for layer in (fg, bg))
    image = composite(fg, bg, alpha)
    if "camera" in ingredients:
        image = _camera(image, rng)
    kernel = drawn_kernel(trimap_kernel, size, rng)
    view = {"image": image, "fg": fg, "bg": bg, "alpha": alpha, "trimap": make_trimap(alpha, kernel)}
    if mask is not None:
        view["facemask"] = cv2.connectedComponents(mask)[1]
    flip = rng.random() < 0.5
    return {key: channels_first(array[:, ::-1] if flip else array) for key, array in view.items()}


def _framed(sample, size, free, rng):
    """fg, alpha, bg, face mask (or None) of a square: a crop of the rendered picture or, where `free`, the picture in a larger
    one, mirrored at its edges. An edge that cuts the person stays the picture's edge, or outside."""
    alpha = sample["alpha"]
    height, width = alpha.shape
    fit = size / min(height, width)
    zoom = float(np.exp(rng.uniform(*np.log(ZOOM)))) * size / height if free else fit
    cut = [edge.mean() > _TOUCHES for edge in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])]  # top, bottom, left, right
    if cut[0] and cut[1]:
        zoom = max(zoom, size / height)
    if cut[2] and cut[3]:
        zoom = max(zoom, size / width)
    h, w = round(height * zoom), round(width * zoom)
    top, left = _place(h, size, cut[0], cut[1], rng), _place(w, size, cut[2], cut[3], rng)

    def brought(layer, interpolation, border):
        layer = cv2.resize(layer, (w, h), interpolation=interpolation)
        above, before = max(0, top), max(0, left)
        layer = layer[above - top : size - top, before - left : size - left]
        below, after = size - above - layer.shape[0], size - before - layer.shape[1]
        return cv2.copyMakeBorder(layer, above, below, before, after, border)

    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    fg, bg = (brought(sample[key], smooth, cv2.BORDER_REFLECT_101) for key in ("fg", "bg"))
    mask = sample.get("facemask")
    if mask is not None:
        mask = brought(mask.astype(np.uint8), cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    levels = np.round(255 * np.clip(brought(alpha, smooth, cv2.BORDER_CONSTANT), 0, 1))  # resized ones are not quite one
    return fg, levels.astype(np.float32) / 255, bg, mask


def _place(length, size, cut_first, cut_last, rng):
    """Where a picture of `length` pixels begins in a view of `size`: at least three quarters of the smaller lie in the other."""
    slack = min(length, size) // 4
    low, high = min(0, size - length) - slack, max(0, size - length) + slack
    if cut_first:
        high = min(high, 0)
    if cut_last:
        low = max(low, size - length)
    if cut_first and cut_last:
        low, high = min(0, size - length), 0
    return int(rng.integers(min(low, high), high + 1))


def _textured(fg, places, rng):
    """The person with the fine detail of one or two places, brighter and darker by up to a half."""
    for _ in range(int(rng.integers(1, 3))):
        place = _grey(places.draw(len(fg), len(fg), rng))
        coarse = cv2.GaussianBlur(place, (0, 0), len(fg) * np.exp(rng.uniform(np.log(0.005), np.log(0.08))))[..., None]
        fg = fg * (1 + np.float32(rng.uniform(0, 2)) * np.clip(place - coarse, -0.5, 0.5))
    return np.clip(fg, 0, 1)


def _defocused(place, rng):
    sigma = len(place) * 0.02 * rng.random() if rng.random() < 0.4 else 0
    return cv2.GaussianBlur(place, (0, 0), sigma) if sigma > 0.3 else place


def _cluttered(bg, places, rng):
    """One to six shapes or words on a place, filled with another place or one colour."""
    size, bg = len(bg), bg.copy()
    other = places.draw(size, size, rng)
    for _ in range(int(rng.integers(1, 7))):
        shape = np.zeros((size, size), np.uint8)
        centre, reach, kind = rng.integers(size, size=2), rng.uniform(0.04, 0.3) * size, rng.integers(4)
        if kind == 0:
            count = int(rng.integers(3, 9))
            angles = np.sort(rng.uniform(0, 2 * np.pi, count))
            radii = reach * rng.uniform(0.4, 1, count)
            points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
            cv2.fillPoly(shape, [np.int32(points)], 255, cv2.LINE_AA)
        elif kind == 1:
            axes = [int(reach * factor) + 1 for factor in rng.uniform(0.3, 1, 2)]
            cv2.ellipse(shape, centre.tolist(), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        elif kind == 2:
            ends = rng.integers(-size // 4, size + size // 4, (2, 2)).tolist()
            cv2.line(shape, ends[0], ends[1], 255, 1 + int(reach / 4), cv2.LINE_AA)
        else:
            word = "".join(chr(65 + int(c)) for c in rng.integers(26, size=int(rng.integers(2, 9))))
            font = int(rng.integers(8))
            cv2.putText(shape, word, centre.tolist(), font, reach / 25, 255, 1 + int(reach / 20), cv2.LINE_AA)
        fill = np.float32(rng.random(3)) if rng.random() < 0.4 else other
        cover = shape[..., None].astype(np.float32) / 255
        bg = bg + cover * (fill - bg)
    return bg


def _coloured(layer, rng):
    """Gamma, gain, tint, saturation and contrast of a layer."""
    layer = cv2.pow(np.clip(layer, 1e-4, 1), float(np.exp(rng.normal(0, 0.3))))
    grey = _grey(layer)
    saturation = 0.0 if rng.random() < 0.07 else np.exp(rng.normal(0, 0.35))
    layer = grey + (layer - grey) * np.float32(saturation)
    gain, tint = np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.1, 3))
    mean = layer.mean()
    layer = mean + (layer - mean) * np.float32(np.exp(rng.normal(0, 0.2)))
    return np.clip(layer * np.float32(gain * tint), 0, 1)


def _grey(picture):
    """Mean of the channels, (H, W, 1); OpenCV takes a fifth of numpy's time."""
    return cv2.transform(picture, np.full((1, 3), 1 / 3, np.float32))[..., None]


def _camera(image, rng):
    size = len(image)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.6) * size / 224)
    if rng.random() < 0.25:
        small = int(size * rng.uniform(0.35, 0.9))
        image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape).astype(np.float32)
    image = np.clip(image, 0, 1)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 96))]
        image = cv2.imdecode(cv2.imencode(".jpg", np.uint8(np.round(image * 255)), quality)[1], cv2.IMREAD_COLOR)
        image = image.astype(np.float32) / 255
    return image
