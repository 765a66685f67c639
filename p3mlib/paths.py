"""Where data, runs, tables and figures live. The only module that knows a path.

Environment variables override the defaults; a relative path counts from the project's folder, wherever a notebook runs:

    P3M_HOME     everything below (default: the checkout, or the current folder for an installed package)
    P3M_RUNS     trained runs and their per-image results (default: runs/)
    P3M_ROOT     a real P3M-10k folder; without it P3M-Synth is rendered and used
    RWP_ROOT     a real RealWorldPortrait-636 folder
    P3M_SAMPLE   real P3M-10k portraits to test on only: what was trained on P3M-Synth goes there (default: P3M_ROOT)
    P3M_NPR      portraits with masks of person and skin (`image/*.jpg`, `person/*.png`, `skin/*.png`), to measure on only
    P3M_PLACES   pictures without people, for the profile `photo` (default: data/places, else those of
                 scikit-image)
    CELEBA_ROOT  a real CelebAMask-HQ folder
    P3M_WEIGHTS  folder of the checkpoints that the authors of P3M-Net released: tables then have their rows too
    P3M_IMAGENET folder of ImageNet weights, one file a network: p3mnet_resnet34.safetensors, p3mnet_swin_t.pth, ...
"""

import contextlib
import os
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parent.parent

REAL_ROOTS = {"P3M-10k": "P3M_ROOT", "RWP": "RWP_ROOT", "CelebAMask-HQ": "CELEBA_ROOT"}


def home():
    """The folder that relative paths count from."""
    default = _CHECKOUT if (_CHECKOUT / "notebooks").is_dir() else Path.cwd()
    return Path(os.environ.get("P3M_HOME", default)).expanduser().resolve()


def _override(variable):
    value = os.environ.get(variable, "").strip()
    return (home() / Path(value).expanduser()).resolve() if value else None


def real_root(dataset):
    """Path of the real data set named in the environment, or None. `dataset` is a key of REAL_ROOTS."""
    return None if _synthetic else _override(REAL_ROOTS[dataset])


_synthetic = 0  # how many `synthetic_only` blocks are open


@contextlib.contextmanager
def synthetic_only():
    """A block in which no real data set is known, whatever the environment names."""
    global _synthetic
    _synthetic += 1
    try:
        yield
    finally:
        _synthetic -= 1


def named():
    """Folders of data and weights that the environment names, whole: dict variable -> absolute path, for another process."""
    given = (*REAL_ROOTS.values(), "P3M_SAMPLE", "P3M_NPR", "P3M_PLACES", "P3M_WEIGHTS", "P3M_IMAGENET")
    return {variable: os.fspath(path) for variable in given if (path := _override(variable))}


def transfer_root():
    """Folder of real portraits for networks that were trained on P3M-Synth, or None."""
    return _override("P3M_SAMPLE") or _override(REAL_ROOTS["P3M-10k"])


def portraits():
    """Folder of portraits with hand-drawn masks, as NPRportrait has them, or None."""
    return _override("P3M_NPR")


def places():
    """Folder of pictures of places without people: that of P3M_PLACES, or what `make places` fetched, or None."""
    fetched = home() / "data" / "places"
    return _override("P3M_PLACES") or (fetched if fetched.is_dir() else None)


def released():
    """Folder of the P3M-Net checkpoints that their authors released, or None."""
    return _override("P3M_WEIGHTS")


def is_real():
    """True when any real data set is named in the environment: outputs then keep apart from the synthetic ones."""
    return any(real_root(name) for name in REAL_ROOTS)


def _per_profile(kind, profile):
    suffix = "-real" if is_real() else "-released" if released() else ""
    return home() / kind / f"{profile}{suffix}"


def data(profile):
    """Folder of a profile's synthetic data sets."""
    return home() / "data" / profile


def runs(profile):
    """Folder of a profile's runs; the run id tells data sets apart."""
    return (_override("P3M_RUNS") or home() / "runs") / profile


def tables(profile):
    """Folder for a profile's tables: `tables/<profile>`; with real data -real is added, with P3M_WEIGHTS alone -released."""
    return _per_profile("tables", profile)


def shipped(profile):
    """Archive of the runs behind the tables of a profile that come with the project, whether it is there or not."""
    return _CHECKOUT / "tables" / profile / "runs.tar.xz"


def figures(profile):
    """Folder for a profile's figures, named like its tables."""
    return _per_profile("figures", profile)


def build():
    """Folder of executed notebooks and other throw-away output."""
    return home() / "build"


def imagenet(model):
    """File of ImageNet weights for a network by name, or None.

    Raises:
        FileNotFoundError: P3M_IMAGENET names a folder that has none for it.
    """
    folder = _override("P3M_IMAGENET")
    if folder is None:
        return None
    for suffix in (".safetensors", ".pth", ".pt", ".tar"):
        if (folder / f"{model}{suffix}").is_file():
            return folder / f"{model}{suffix}"
    raise FileNotFoundError(f"{folder} (P3M_IMAGENET): no {model}.safetensors or {model}.pth in it")


def notebooks():
    """Folder of the notebooks: of the checkout, or for an installed package, which has none, of the checkout that is home."""
    folder = _CHECKOUT / "notebooks"
    return folder if folder.is_dir() else home() / "notebooks"
