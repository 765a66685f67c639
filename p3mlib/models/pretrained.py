"""Weights with their configuration, in the hub's layout: `config.json` beside `model.safetensors`."""

import json
import re
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from p3mlib.io import atomic_path, write_text
from p3mlib.models.build import build_model
from p3mlib.models.official import load_strictly, read_checkpoint

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save_pretrained(model, folder):
    """Write a network of `build_model` and its configuration into a folder, each file atomically."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WEIGHTS) as partial:
        save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, partial)
    write_text(folder / CONFIG, json.dumps(model.config, indent=1))


def from_pretrained(source, revision=None):
    """Network in eval mode with the weights of `save_pretrained`.

    Args:
        source:   folder, its model.safetensors, or an id on the Hugging Face hub ("owner/name"). revision: on the hub.
    Raises:
        FileNotFoundError: neither. OSError: the hub cannot be reached.
        ValueError: the configuration names no network of ours, or the weights are not those of the configuration.
    """
    weights = Path(source) if Path(source).suffix == ".safetensors" else Path(source) / WEIGHTS
    if not weights.parent.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        weights = _download(str(source), revision) / WEIGHTS
    described = weights.with_name(CONFIG)
    for path in (weights, described):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; weights are a {WEIGHTS} with {CONFIG} beside it")
    try:
        config = json.loads(described.read_text())
        model = build_model(config["model"], **config["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{described}: names no network of ours ({error})") from error
    load_strictly(model, read_checkpoint(weights), f"{weights}: not the weights that {CONFIG} describes")
    return model.eval()


def _download(name, revision):
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # whatever the hub client raises where there is no network
        kind = type(error).__name__
        raise OSError(f"{name}: no such folder, and the hub gives none ({kind}); fetch it and pass its folder") from error
