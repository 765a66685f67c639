"""What an interrupted training goes on from: `checkpoint.pt`, written after every epoch, and within one that takes long."""

import logging
import zipfile

import pandas as pd
import torch

from p3mlib.io import atomic_path, reason, write_text
from p3mlib.models.pretrained import CHECKPOINT

EVERY = 600  # seconds between two checkpoints within an epoch
_KEYS = ("objective", "network", "optimiser", "history")


def write(folder, objective, optimiser, history, within=None):
    """Write `checkpoint.pt`, and `train.csv` where an epoch has ended; both atomically.

    Args:
        objective: train.Objective. history: list of dicts, one a finished epoch.
        within:    dict `step` (how many of this epoch are done), `sums` (of the loss terms so far) and `random_state`; None
            between two epochs.
    """
    state = {"objective": objective.state_dict(), "network": objective.network.state_dict()}
    state |= {"optimiser": optimiser.state_dict(), "history": history, "within": within}
    with atomic_path(folder / CHECKPOINT) as partial:
        torch.save(state, partial)
    if within is None:
        write_text(folder / "train.csv", pd.DataFrame(history).to_csv(index=False))


def read(folder, network):
    """What `write` left; empty where there is nothing, and with a warning where the file is damaged or misfits."""
    path = folder / CHECKPOINT
    try:
        if not path.exists():
            return {}
        with zipfile.ZipFile(path) as archive:  # torch.load reads a flipped bit as it is
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} is another")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if {k: v.shape for k, v in state["network"].items()} != {k: v.shape for k, v in network.state_dict().items()}:
            raise ValueError("its network has other weights than this one")
        return {key: state[key] for key in _KEYS} | {"within": state.get("within")}
    except Exception as error:  # whatever unpickling a damaged file ends in
        logging.getLogger(__name__).warning("%s: damaged (%s), so the training begins anew", path, reason(error))
        return {}


def random_state(device):
    """State of the generators that a training step draws from: dict cpu, and cuda where `device` is one."""
    return {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state, device):
    """What `random_state` gave; the CPU's alone where the training goes on elsewhere than on a GPU."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
