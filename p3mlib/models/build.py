"""Networks by name."""

import inspect

from p3mlib.models.p3mnet.p3mnet import p3mnet_lite0, p3mnet_resnet34, p3mnet_swin_t, p3mnet_vitae_s
from p3mlib.models.trimap_based.alphagan import alphagan
from p3mlib.models.trimap_based.dim import dim
from p3mlib.models.trimap_based.fba import fba
from p3mlib.models.trimap_based.gca import gca
from p3mlib.models.trimap_based.indexnet import indexnet
from p3mlib.models.trimap_free.gfm import gfm
from p3mlib.models.trimap_free.hatt import hatt
from p3mlib.models.trimap_free.lf import lf
from p3mlib.models.trimap_free.modnet import modnet
from p3mlib.models.trimap_free.shm import shm

_P3MNETS = (p3mnet_lite0, p3mnet_resnet34, p3mnet_swin_t, p3mnet_vitae_s)
_BUILDERS = {f.__name__: f for f in (alphagan, dim, fba, gca, gfm, hatt, indexnet, lf, modnet, *_P3MNETS, shm)}


def list_models():
    """Names that `build_model` knows, in alphabetical order."""
    return sorted(_BUILDERS)


def build_model(name, **options):
    """Build a network with freshly initialised weights (seed torch before for reproducible ones).

    Args:
        name:    one of `list_models()`.
        options: of that network, e.g. `width=1.0, tfi=True, sbfi=True, dbfi=True`.
    Raises:
        ValueError: unknown name or option; the message lists what there is.
    """
    if name not in _BUILDERS:
        raise ValueError(f"no model '{name}'; there are {', '.join(list_models())}")
    known = inspect.signature(_BUILDERS[name]).parameters
    unknown = options.keys() - known.keys()
    if unknown:
        raise ValueError(f"{name} has no option {sorted(unknown)}; it has {', '.join(known)}")
    model = _BUILDERS[name](**options)
    model.config = {"model": name, "options": options}
    return model


def count_parameters(model, paper=True):
    """Number of trainable parameters.

    Args:
        paper: count as the paper does, with the unused classifier of the official encoder (513,000 at width 1).
    """
    own = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return own + (model.uncounted_parameters if paper else 0)
