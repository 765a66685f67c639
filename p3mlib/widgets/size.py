"""Size: what a network sees of a portrait at 64 to 512 pixels, and how few places its deepest map has."""

import time

import numpy as np

from p3mlib.metrics import mad
from p3mlib.models import fast, predict
from p3mlib.models.inference import network_size, resize
from p3mlib.widgets.frame import Explorer, choice, heat, pictures

SIDES = (64, 96, 128, 192, 256, 384, 512)
DEEPEST = 32  # pixels of the input for one place of the deepest map


def size_explorer(models, image, alpha):
    """Feed a portrait to trained networks at another size than they were trained at.

    Args:
        models: dict label -> network in eval mode. image: (H, W, 3) in [0, 1]. alpha: (H, W) in [0, 1], the truth.
    Returns:
        Explorer.
    Raises:
        ValueError: no network.
    """
    if not models:
        raise ValueError("no network to feed the portrait to")
    quick = {label: fast(model) for label, model in models.items()}
    which, longer = choice("network", quick), choice("longer side", SIDES, 128)
    truth, earlier = alpha, []

    def draw():
        factor = longer.value / max(truth.shape)
        shape = [network_size(side, factor) for side in truth.shape]
        seen = np.clip(resize(image, shape, "modern"), 0, 1)
        places = " x ".join(str(side // DEEPEST) for side in shape)
        goes_in = _grid(seen), f"what goes in: {shape[1]} x {shape[0]} px; its deepest map has {places} places (squares)"
        if earlier:
            yield pictures([goes_in, (earlier[0][0], "matte: the network looks ..."), *earlier[1:]], height=240)
        begin = time.perf_counter()
        pred = resize(predict(quick[which.value], seen, "resize", 1.0, "modern"), truth.shape, "modern")
        seconds = time.perf_counter() - begin
        earlier[:] = [
            (pred, f"matte, {1000 * seconds:.0f} ms"),
            (truth, "the truth"),
            (heat(pred - truth), f"error: red too little, blue too much\nMAD {mad(np.clip(pred, 0, 1), truth):.4f}"),
        ]
        yield pictures([goes_in, *earlier], height=240)

    advice = (
        "Go from 64 px upwards. Below the size that it was trained at a network has few places to say where the person is; "
        "far above it a place sees little of the person. Where is the error smallest? The largest sizes take longest."
    )
    return Explorer("At which size does a network know a person?", advice, {"network": which, "side": longer}, draw)


def _grid(image):
    """The image with the borders of the deepest map's places drawn in."""
    drawn = image.copy()
    drawn[DEEPEST - 1 :: DEEPEST] = drawn[:, DEEPEST - 1 :: DEEPEST] = (1.0, 0.85, 0.1)
    return drawn
