"""What the files of a training set must hold for a row: asked before anything is trained."""

import json
from functools import cache

import torch

from p3mlib.data.datasets import LAYOUTS, MissingData
from p3mlib.experiments.train import Objective
from p3mlib.models import build_model

_SIDE = 64  # of the made-up images that show what a loss asks for


def check(experiment, portraits):
    """Raise MissingData where training images lack face masks for copy and paste, or the colours that a loss composes.

    Args:
        experiment: config.Experiment. portraits: datasets.Portraits of its training set.
    """
    row = experiment.row
    if row.copy_paste != "none" and not portraits.has("facemask"):
        cure = (
            "fetch facemask/ again, or take P3M-Synth, which has them; for photographs of your own `python -m p3mlib anonymize "
        )
        raise MissingData(
            _lacking(portraits, "facemask", f"row '{experiment.name}' pastes faces there", f"{cure}DIR DST` writes them")
        )
    for layer in ("fg", "bg"):
        if not portraits.has(layer) and _composes(row.model, json.dumps(row.options)):
            cure = f"`python -m p3mlib layers {portraits.root}` makes them"
            raise MissingData(_lacking(portraits, layer, f"a loss of row '{experiment.name}' composes images", cure))


def _lacking(portraits, part, why, cure):
    names = [name for i, name in enumerate(portraits.names) if part not in portraits.paths(i)]
    layout = LAYOUTS[portraits.name]
    shown = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    what = {"facemask": "face masks", "fg": "foreground colours", "bg": "background colours"}[part]
    place = portraits.root / layout.folder / layout.parts[part]
    return (
        f"{place}: no {what} for {len(names)} of {len(portraits)} training images ({shown}); {why}. {cure[0].upper() + cure[1:]}"
    )


@cache
def _composes(model, options):
    """True where a loss of the network asks for `fg` or `bg`: seen from a pass of a narrow copy over a batch that has neither."""
    with torch.random.fork_rng(), torch.no_grad():
        network = build_model(model, width=0.0625, **json.loads(options))
        alpha = torch.rand(2, 1, _SIDE, _SIDE)
        batch = {"image": torch.rand(2, 3, _SIDE, _SIDE), "alpha": alpha, "trimap": (2 * alpha).round() / 2}
        for stage in network.stages():
            try:
                Objective(network, stage, 0).train()(batch)
            except (KeyError, ValueError) as error:
                if {"fg", "bg"} & set(str(error).replace(",", " ").replace("'", " ").split()):
                    return True
                raise
    return False
