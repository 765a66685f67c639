"""Weights with their configuration, in the hub's layout: `config.json` beside `model.safetensors`."""

import hashlib
import json
import re
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from p3mlib.io import DamagedFile, atomic_path, write_text
from p3mlib.models.build import build_model, list_models
from p3mlib.models.checkpoint import kind_of, load_strictly, read_checkpoint, read_torch, translated

CONFIG, WEIGHTS = "config.json", "model.safetensors"
CHECKPOINT = "checkpoint.pt"  # beside them while the training goes on


def save_pretrained(model, folder):
    """Write a network of `build_model` and its configuration, with the SHA-256 of the weights, into a folder, each file
    atomically."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WEIGHTS) as partial:
        save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, partial)
        digest = sha256(partial)
    write_text(folder / CONFIG, json.dumps({**model.config, "sha256": digest}, indent=1))


def sha256(path):
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_pretrained(source, revision=None):
    """Network in eval mode with the weights of `save_pretrained`.

    Args:
        source:   folder, its model.safetensors, or an id on the Hugging Face hub ("owner/name"). revision: on the hub.
    Raises:
        FileNotFoundError: neither. OSError: the hub cannot be reached.
        ValueError: a checkpoint of PyTorch (says how to use it) or another file; the configuration names no network of ours, or
        the weights are not those of the configuration. io.DamagedFile: either file is damaged.
    """
    weights = _weights(Path(source))
    if not weights.parent.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and weights != Path(source):
        weights = _download(str(source), revision) / WEIGHTS
    described = weights.with_name(CONFIG)
    for path in (weights, described):
        if not path.is_file():
            hint = "; its training has not finished, the same command goes on" if path.with_name(CHECKPOINT).is_file() else ""
            raise FileNotFoundError(f"{path}: no such file; weights are a {WEIGHTS} with {CONFIG} beside it{hint}")
    model, digest = _described(described)
    if digest and sha256(weights) != digest:
        raise DamagedFile(f"{weights}: damaged, its SHA-256 is not the one in {CONFIG}; fetch it or train it again")
    state = translated(read_checkpoint(weights), str, model.state_dict().keys())
    load_strictly(model, state, f"{weights}: not the weights that {CONFIG} describes")
    return model.eval()


def _weights(path):
    """File of weights that a path means; ValueError for a file that is none of ours."""
    if path.suffix == ".safetensors":
        return path
    if not path.is_file() and path.suffix not in (".pth", ".pt", ".ckpt", ".tar", ".bin"):
        return path / WEIGHTS
    if path.name == CONFIG:
        return path.with_name(WEIGHTS)
    check_finished(path)
    raise ValueError(
        f"{path}: a checkpoint that does not say of which network. Released weights are converted once, in Python: "
        f"save_pretrained(load_official(build_model(NAME), '{path}'), 'FOLDER') with NAME one of {', '.join(list_models())}; "
        f"FOLDER then holds {WEIGHTS} and {CONFIG}, which are read here"
    )


def check_finished(path):
    """Raise ValueError for the state of a training that has not finished, and what `checkpoint.kind_of` raises of other files."""
    if kind_of(path) == "torch" and isinstance(content := read_torch(path), dict) and {"objective", "history"} <= content.keys():
        raise ValueError(f"{path}: the state of a training that has not finished; the same command goes on and writes {WEIGHTS}")


def _described(path):
    """The network that a configuration describes, and the SHA-256 of its weights or None."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DamagedFile(f"{path}: damaged, not JSON ({error})") from error
    try:
        model = build_model(config["model"], **config["options"])
        model.config |= {"test": config["test"]} if "test" in config else {}
        return model, config.get("sha256")
    except Exception as error:  # what wrong options raise is anything
        raise ValueError(f"{path}: names no network of ours ({type(error).__name__}: {error})") from error


def _download(name, revision):
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # whatever the hub client raises where there is no network
        kind = type(error).__name__
        raise OSError(f"{name}: no such folder, and the hub gives none ({kind}); fetch it and pass its folder") from error
