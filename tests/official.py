"""Facts about official checkpoints, for the tests of `load_official`: names, shapes, and tensors filled by a formula."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "parity" / "network"


def filled(key, shape):
    """A tensor that depends on nothing but its name and shape."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return torch.from_numpy(np.asarray(rng.uniform(0.1, 1, shape), np.float32))


def official_state(name):
    """State dict of `keys_<name>.json`, rows of (key, shape, key of the same tensor or null)."""
    rows = json.loads((FOLDER / f"keys_{name}.json").read_text())
    return {key: filled(same or key, shape) for key, shape, same in rows}


def assert_every_tensor_arrived(model, state, name):
    """Each of our tensors holds the values of exactly one official one, and none of them twice."""
    sums = {}
    for key, value in state.items():
        sums.setdefault(float(value.double().sum()), key)
    arrived = [sums.get(float(value.double().sum())) for key, value in model.state_dict().items() if "num_batches" not in key]
    assert None not in arrived and len(set(arrived)) == len(arrived), name
