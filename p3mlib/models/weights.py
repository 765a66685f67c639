"""Weights by one name, for every command: ours with their configuration, released ones with or without their network's name."""

import hashlib
import logging
import os
import re
from functools import cache
from pathlib import Path

import torch

from p3mlib.models import bases
from p3mlib.models.build import build_model, list_models
from p3mlib.models.checkpoint import read_checkpoint, some
from p3mlib.models.official import fits, load_official, released
from p3mlib.models.pretrained import CONFIG, check_finished, from_pretrained

SIDE = 512  # of the network's input, which the default ratio aims at
P3M_NETS = ("p3mnet_resnet34", "p3mnet_swin_t", "p3mnet_vitae_s")  # whose authors train them on P3M-10k's blurred images
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".tar", ".bin", ".safetensors")
# Released networks that differ from what `build_model` gives by their name alone.
_VARIANTS = {"gfm_ft": ("gfm", {"rosta": "FT"}), "gfm_bt": ("gfm", {"rosta": "BT"})}


def load(name):
    """Network in eval mode with the weights that a name means.

    Args:
        name: folder of a run, its model.safetensors, or an id on the hub ("owner/name"), see `from_pretrained`; a base of the
            package ("basic-s0"), see `bases`; or "NETWORK:CHECKPOINT" for released weights, with NETWORK of `build_model`, gfm_ft
            or gfm_bt; or the released checkpoint alone, whose network is recognised by the names and shapes of its tensors.
    Returns:
        the network; released weights bring the size rule of their release, see `strategy_and_ratio`.
    Raises:
        ValueError: a network's name alone or an unknown one; a checkpoint that fits none or several (they are listed), or not
        the network that is named. FileNotFoundError, OSError, io.DamagedFile: as `from_pretrained` and `read_checkpoint`.
    """
    text, path = os.fspath(name), Path(name)
    network, colon, file = text.partition(":")
    if colon and not path.exists() and re.fullmatch(r"\w{2,}", network):  # one letter is a drive of Windows
        return _named(network, file)
    if text in bases.cards() and not path.exists():
        return bases.load(text)
    if text in list_models() and not path.exists():
        raise ValueError(
            f"{text} has no weights of its own: name a folder of weights, or its released weights as {text}:CHECKPOINT"
        )
    if path.is_file() and path.name != CONFIG and not path.with_name(CONFIG).is_file():
        return _recognised(path)
    return from_pretrained(name)


def strategy_and_ratio(model, strategy=None, ratio=None, samples=False):
    """How images go through a network where nothing else is asked for.

    Args:
        model:   of `load`, `fast` or not. strategy, ratio: what is asked for, see `inference.predict`; None leaves it open.
        samples: photographs rather than the images of a data set; the authors of P3M-Net (Swin-T, ViTAE-S) test those with
            RESIZE, these with HYBRID, and P3M-Net (R34), of MM 2021, the other way round.
    Returns:
        (strategy, ratio); ratio is None where the longer side is to become `SIDE`, see `ratio_for`.
    Source:
        official inference scripts of P3M-Net: ratio 1/2; "RESIZE (1/2) as in the paper" for MM 2021.
    """
    if (strategy or ratio) and model.input_size(SIDE, SIDE, SIDE) is not None:
        logging.getLogger(__name__).warning("these weights have a size rule of their own: strategy and ratio change nothing")
    own = model.config.get("test", {})
    return strategy or own.get("samples" if samples else "sets", "resize"), ratio or own.get("ratio")


def ratio_for(shape, ratio=None):
    """`ratio`, or for None the one that brings the longer side of an image (H, W, ...) down to `SIDE`; at most 1."""
    return ratio or min(1.0, SIDE / max(shape[:2]))


def fingerprint(model):
    """Short hex over the names and values of all weights of a network, and its class."""
    content = hashlib.sha256(type(model).__name__.encode())
    for name, tensor in model.state_dict().items():
        content.update(name.encode() + bytes(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()))
    return content.hexdigest()[:16]


def _build(name):
    network, options = _VARIANTS.get(name, (name, {}))
    return build_model(network, **options)


def _named(name, file):
    if not file:
        raise ValueError(f"{name}: names no file; write {name}:CHECKPOINT")
    return load_official(_build(name), file).eval()


def _recognised(path):
    """The one released network that a checkpoint fits."""
    check_finished(path)
    state = read_checkpoint(path)
    found = candidates(state)
    if len(found) == 1:
        return load_official(_build(found[0]), state).eval()
    if not found and path.suffix == ".safetensors":
        return from_pretrained(path)  # ours without its configuration, which it says
    if found:
        raise ValueError(f"{path}: fits several networks; write NAME:{path} with NAME one of {', '.join(found)}")
    raise ValueError(
        f"{path}: a checkpoint of no network that was released (its tensors: {some(sorted(state), 3)}); NAME:{path} says what "
        f"does not fit, with NAME one of {', '.join(_released())}"
    )


def candidates(state):
    """Names of the released networks that a state dict (name -> tensor) fits by the names and shapes of its tensors."""
    return [name for name, model in _released().items() if fits(model, state)]


def of_p3m(folder):
    """The P3M-Nets whose released checkpoints lie in a folder, recognised by their tensors, whatever they are called.

    Checkpoints of other networks are left alone: their authors did not train them on P3M-10k.

    Returns:
        dict name of the network -> path of the file.
    Raises:
        FileNotFoundError: no such folder, or none of its files is one; they are named. ValueError: two are of one network.
        io.DamagedFile: as `read_checkpoint`.
    """
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of released checkpoints")
    files = sorted(path for path in folder.iterdir() if path.suffix in _CHECKPOINTS)
    for path in files:
        state = read_checkpoint(path)
        for name in (name for name in P3M_NETS if fits(_blank(name), state)):
            if name in found:
                raise ValueError(f"{folder}: {found[name].name} and {path.name} are both of {name}; leave one of them there")
            found[name] = path
    if not found:
        names = ", ".join(path.name for path in files) or "no checkpoint at all"
        raise FileNotFoundError(f"{folder}: no released checkpoint of a P3M-Net ({', '.join(P3M_NETS)}) in it: {names}")
    return found


@cache
def _released():
    """Name -> network whose values mean nothing, of all whose weights were released."""
    models = {name: _blank(name) for name in [*list_models(), *_VARIANTS]}
    return {name: model for name, model in models.items() if released(model)}


@cache
def _blank(name):
    """Network whose values mean nothing, on the device "meta"."""
    with torch.device("cpu" if name == "gca" else "meta"):  # spectral norms take ten times as long on "meta"
        return _build(name).to("meta")
