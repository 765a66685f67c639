"""Weights that come with the package: networks trained on blurred P3M-Synth in profiles `bases` and `longer`, where other
trainings begin, and the four of profile `photo`, for photographs.

A base is `bases/<name>.safetensors`, in half precision but for the statistics of batch norms, without what is frozen.
`bases/cards.json` says of each what it is: model and options, SHA-256, data, epochs, loss of each, seconds, device, commit,
errors, licence, what it is not for, and, in `before`, the same of the base that its training went on from.
"""

import copy
import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from p3mlib.io import DamagedFile, atomic_path, write_text
from p3mlib.models.build import build_model
from p3mlib.models.checkpoint import load_strictly
from p3mlib.models.pretrained import sha256

PHOTO = "p3mnet_lite0_n-s0"  # for photographs of people
FOLDER, CARDS = Path(__file__).parent / "bases", "cards.json"
_FULL = ("running_mean", "running_var")  # of batch norms: their range is that of the activations' squares


def cards(folder=FOLDER):
    """dict name ("<row>-s<seed>") -> card of every base, sorted by name; empty where there is none."""
    path = Path(folder) / CARDS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def laps(card, until=None):
    """The trainings that a base has behind it: their cards, oldest first; only up to the base of SHA-256 `until`, if any."""
    found = [*(laps(card["before"]) if "before" in card else ()), card]
    if until is None:
        return found
    sums = [lap["sha256"] for lap in found]
    return found[: sums.index(until) + 1] if until in sums else []


def find(network, seed, folder=FOLDER):
    """Name of the base for a training of a network with a seed: that seed's, or of fewer bases than seeds each in turn.

    Raises:
        ValueError: no base of this network; the message lists those there are.
    """
    names = [name for name in cards(folder) if name.rpartition("-s")[0] == network]
    if not names:
        known = sorted({name.rpartition("-s")[0] for name in cards(folder)})
        fix = f"train it from scratch with `{network}: {{training: {{init: scratch}}}}` in the profile's overrides"
        raise ValueError(f"the package has no base of '{network}'; there are {', '.join(known) or 'none'}; {fix}")
    return names[seed % len(names)]


def load(name, folder=FOLDER):
    """Network in eval mode, in single precision, with the weights of a base.

    Raises:
        ValueError: no such base. FileNotFoundError: its file is not there. io.DamagedFile: its SHA-256 is not that of its card.
    """
    card, path = cards(folder).get(name), Path(folder) / f"{name}.safetensors"
    if card is None:
        raise ValueError(f"the package has no base '{name}'; there are {', '.join(cards(folder)) or 'none'}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, though {CARDS} describes it; install the package anew")
    if sha256(path) != card["sha256"]:
        raise DamagedFile(f"{path}: damaged, its SHA-256 is not the one in {CARDS}; install the package anew")
    model = build_model(card["model"], **card["options"])
    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    state |= {key: value for key, value in model.state_dict().items() if _frozen(model, key)}
    load_strictly(model, state, f"{path}: not the weights that {CARDS} describes")
    return model.eval()


def write(name, model, card, folder=FOLDER):
    """Write a network as a base, with its card: `card` and the model, its options and SHA-256."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    with atomic_path(path) as partial:
        save_file({key: x for key, x in _half(model.state_dict()).items() if not _frozen(model, key)}, partial)
    card = {**model.config, "sha256": sha256(path), **card}
    write_text(folder / CARDS, json.dumps(dict(sorted({**cards(folder), name: card}.items())), indent=1) + "\n")


def halved(model):
    """Copy of a network with its weights as a base has them, in single precision again."""
    twin = copy.deepcopy(model)
    twin.load_state_dict(_half(model.state_dict()))
    return twin


def _frozen(model, key):
    return key.startswith(model.frozen)


def _half(state):
    """Weights in half precision, statistics of batch norms and counters as they are."""
    small = {key for key, value in state.items() if value.is_floating_point() and not key.endswith(_FULL)}
    return {key: (value.half() if key in small else value).cpu().contiguous() for key, value in state.items()}
