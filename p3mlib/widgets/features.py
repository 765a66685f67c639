"""Who sees what: the maps inside a trained P3M-Net, and its matte with a module switched off."""

import contextlib
from functools import cache

import numpy as np
import torch

from p3mlib.metrics import mad
from p3mlib.models.inference import network_size, resize
from p3mlib.models.p3mnet.integration import NoDBFI, NoSBFI, NoTFI
from p3mlib.widgets.frame import Explorer, choice, pictures

_OFF = {"tfi": NoTFI, "sbfi": NoSBFI, "dbfi": NoDBFI}
NAMES = {"tfi": "TFI", "sbfi": "sBFI", "dbfi": "dBFI"}
ALL = "nothing"


@torch.inference_mode()
def look_inside(model, image, off=ALL):
    """Magnitudes of a network's maps, and its matte.

    Args:
        model: P3MNet in eval mode. image: (H, W, 3) in [0, 1].
        off: name of the module, one of `NAMES`'s values, that is passed by in this one forward; `ALL` passes none by.
    Returns:
        dict name -> (h, w) mean magnitude over channels (E0 to E4, and of every module that is there), (H, W) alpha.
    """
    shape, found = [network_size(side, 1.0) for side in image.shape[:2]], {}
    normal = (resize(image, shape, "modern") - np.float32(model.mean)) / np.float32(model.std)
    hooks = [model.encoder.register_forward_hook(lambda m, i, output: found.update(_encoder(output)))]
    for kind, name in NAMES.items():
        for level, module in enumerate(getattr(model, kind), 1):
            if not isinstance(module, _OFF[kind]) and name != off:
                hooks.append(module.register_forward_hook(_noting(found, f"{name} at 1/{2**level}")))
    with contextlib.ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.remove)
        stack.enter_context(_without(model, off))
        alpha = model(torch.from_numpy(normal.transpose(2, 0, 1))[None]).alpha[0, 0].numpy()
    return found, np.clip(resize(alpha, image.shape[:2], "modern"), 0, 1)


def _encoder(features):
    maps = (features.full, *features.skips[1:], features.deep)
    return {f"E{i}, {_names(i)}": _magnitude(m) for i, m in enumerate(maps)}


def _names(i):
    return "full size" if i == 0 else f"1/{2 ** (i + 1)}"


def _noting(found, name):
    def note(module, inputs, output):
        found[name] = _magnitude(output[0] if isinstance(output, tuple) else output)

    return note


def _magnitude(maps):
    return maps[0].abs().mean(0).numpy()


@contextlib.contextmanager
def _without(model, off):
    """The network with the modules of one kind passed by, while the block runs."""
    kind = next((kind for kind, name in NAMES.items() if name == off), None)
    kept = list(getattr(model, kind)) if kind else []
    for level in range(len(kept)):
        getattr(model, kind)[level] = _OFF[kind]()
    try:
        yield
    finally:
        for level, module in enumerate(kept):
            getattr(model, kind)[level] = module


def features_explorer(model, samples):
    """Choose a portrait and a map; switch a kind of module off and see the matte.

    Args:
        model: P3MNet with all modules, in eval mode. samples: portraits with `name`, `image`, `alpha`.
    Returns:
        Explorer.
    """
    people = {sample["name"]: sample for sample in samples}

    @cache
    def seen(name, without):
        return look_inside(model, people[name]["image"], without)

    names = list(seen(samples[0]["name"], ALL)[0])
    who, which, off = choice("portrait", people), choice("map", names), choice("switch off", [ALL, *NAMES.values()])

    def draw():
        sample = people[who.value]
        (maps, full), (other, alpha) = seen(who.value, ALL), seen(who.value, off.value)
        shown = other.get(which.value, maps[which.value])
        size = f"{shown.shape[1]} x {shown.shape[0]} places"
        panels = [
            (sample["image"], "the portrait"),
            (shown / max(np.quantile(shown, 0.99), 1e-9), f"{which.value}: {size}, white is strong"),
            (full, f"matte with all modules: MAD {mad(full, sample['alpha']):.4f}"),
            (alpha, f"{off.value} switched off: MAD {mad(alpha, sample['alpha']):.4f}"),
            (sample["alpha"], "the truth"),
        ]
        return pictures(panels)

    advice = (
        "Go from E0 to E4: edges first, then a person in a few places. Then see what TFI, sBFI and dBFI add, and switch one "
        "off. A network trained without the module (Table 7) learned to do without; this one did not."
    )
    controls = {"portrait": who, "map": which, "off": off}
    return Explorer("Who sees what, and who depends on whom?", advice, controls, draw)
