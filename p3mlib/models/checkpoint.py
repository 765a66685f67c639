"""Checkpoints as files: what a file is by its first bytes, reading it safely, and the state dict in it."""

import argparse
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from p3mlib.io import DamagedFile

_UNPACK = "unpack it and name the weights in it"
_CUT = "the download or copy was cut short: fetch it again"
# First bytes -> what that is, and what to do.
_HEADS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`, or download the file",
    **dict.fromkeys((b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh"), f"a RAR, 7z or TAR archive, or a compressed file: {_UNPACK}"),
    **dict.fromkeys((b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), f"a compressed file: {_UNPACK}"),
    b"\x89HDF": "HDF5, as Keras writes; only files of PyTorch and safetensors are read",
    b"\x93NUMPY": "one NumPy array; only files of PyTorch and safetensors are read",
    b"GGUF": "GGUF; only files of PyTorch and safetensors are read",
    b"%PDF": "a PDF, not weights",
}
_PAGE = "a web page (HTML), not weights: the server answered with a page (a login, a quota, a licence); download the file itself"
# Of values beside the weights, such as lists of losses: numbers and arrays of NumPy under their old and new names, options.
_HARMLESS = [
    *(
        (getattr(np._core.multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    *(np.ndarray, np.dtype, argparse.Namespace, *(kind for kind in vars(np.dtypes).values() if isinstance(kind, type))),
]
# Where a checkpoint holds several dicts of tensors, the first of these is meant.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "params_ema", "params", "state_dict_ema", "model_ema")
_LAYERS = re.compile(r"\b(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # what engines put around modules
_COUNTERS = re.compile(r"(?:.*\.)?(?:total_ops|total_params|n_averaged)")  # of profilers and of averaged weights


def kind_of(path):
    """ "torch" or "safetensors", by the file's first bytes.

    Raises:
        FileNotFoundError: no such file. DamagedFile: a checkpoint whose end is missing. ValueError: something else; the message
        says what the file is and what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name the file of weights in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head.strip(b"\0"):
        raise DamagedFile(f"{path}: {'holds nothing but zeros' if head else 'is empty'}; {_CUT}")
    if zipfile.is_zipfile(path):
        return _kind_of_zip(path)
    if head.startswith(b"PK\x03\x04"):
        raise DamagedFile(f"{path}: damaged, a ZIP file, as PyTorch writes, without its end; {_CUT}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "torch"
    raise ValueError(f"{path}: is {_other(path, head)}")


def _kind_of_zip(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"{path}: is TorchScript, which holds code; save torch.jit.load(FILE).state_dict() and name that file")
    if not any(name.endswith("data.pkl") for name in names):
        raise ValueError(f"{path}: is a ZIP archive of {some(names, 3) or 'nothing'}, not weights: {_UNPACK}")
    return "torch"


def _other(path, head):
    """What a file is that is no checkpoint, in words."""
    for start, words in _HEADS.items():
        if head.startswith(start):
            return words
    if head[257:262] == b"ustar":
        return f"a TAR archive: {_UNPACK}"
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", head, re.IGNORECASE):
        return _PAGE
    try:
        with Image.open(path) as picture:
            return f"a picture ({picture.format}), not weights"
    except Image.DecompressionBombError:
        return "a picture, not weights"
    except (OSError, ValueError, SyntaxError):
        pass
    text = head.decode("utf-8", "replace").removesuffix("\ufffd")
    if all(letter.isprintable() or letter.isspace() for letter in text) and "\ufffd" not in text:
        return f"text that begins with {text.strip()[:40]!r}, not weights: download the file itself"
    return f"no file of PyTorch or safetensors; it begins with {head[:8].hex(' ')}"


def read_torch(path):
    """What `torch.save` wrote, read without running code; of a ZIP file every checksum is compared.

    Raises:
        DamagedFile: it cannot be read whole. ValueError: reading it would run code. Both name the file.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if broken := archive.testzip():  # torch.load does not look
                    raise zipfile.BadZipFile(f"{broken} does not fit its checksum")
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises is anything
        if isinstance(error, pickle.UnpicklingError) and (code := _code(str(error))):
            raise ValueError(f"{path}: refused, loading it would run code ({code}); save its state dict alone") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedFile(f"{path}: damaged, or not a checkpoint ({reason}); fetch or write it again") from error


def _code(message):
    """What torch's safe reader would not run; empty where it met a damaged file."""
    found = re.search(
        r"(?:GLOBAL|function|class) [`']?([\w.]+)|Unsupported operand 149", message
    )  # 149: a frame, of Python's own pickle
    return found and (found[1] or "a pickle that torch.save did not write")


def read_checkpoint(source):
    """Name -> tensor of a checkpoint, safely: a pickle that would run code is refused.

    Args:
        source: path of a file of PyTorch or safetensors, whatever its suffix, or a state dict. A dict around it ("state_dict",
            "model" or any name if it is the only one with tensors), values beside the tensors, counters of profilers and what
            torch.compile puts into names are taken off.
    Raises:
        FileNotFoundError: no such file. ValueError: not a checkpoint (see `kind_of`), or values that are not finite; names the
        file.
    """
    where = "state dict"
    if not isinstance(source, dict):
        where, source = str(source), _load(Path(source))
    state = {_LAYERS.sub("", name): value for name, value in _unwrapped(source, where).items() if not _COUNTERS.fullmatch(name)}
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ValueError(f"{where}: NaN or infinity in {some(broken)}")
    return state


def _load(path):
    if kind_of(path) == "torch":
        return read_torch(path)
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise DamagedFile(f"{path}: damaged, or not a checkpoint ({error}); fetch or write it again") from error


def _unwrapped(content, where):
    """The state dict in what a checkpoint holds."""
    if not isinstance(content, dict):
        raise ValueError(f"{where}: holds a {type(content).__name__}, not a state dict (name -> tensor); save that alone")
    inner = [name for name, value in content.items() if _holds_tensors(value)]
    tensors = {name: _tensor(value) for name, value in content.items() if isinstance(name, str) and _is_tensor(value)}
    known = [name for name in _WRAPPERS if name in inner]
    if known or (len(inner) == 1 and len(tensors) < len(content[inner[0]])):
        return _unwrapped(content[(known or inner)[0]], where)
    if not tensors:
        several = f"; it holds {some(sorted(inner))}: save one of them alone" if inner else ""
        raise ValueError(f"{where}: not a state dict (name -> tensor), bare or in a dict{several}")
    return tensors


def _is_tensor(value):
    return isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiub")


def _tensor(value):
    return value if isinstance(value, torch.Tensor) else torch.from_numpy(value)


def _holds_tensors(value):
    if not isinstance(value, dict):
        return False
    return any(isinstance(name, str) and (_is_tensor(part) or _holds_tensors(part)) for name, part in value.items())


def translated(state, rename, own):
    """A state dict under our names. Prefixes that all its names share are taken off as far as that makes more of them ours.

    Args:
        rename: name -> our name, or None for what we do not have. own: our names.
    """
    best, most = {}, -1
    while True:
        renamed = {ours: tensor for name, tensor in state.items() if (ours := rename(name)) is not None}
        if (fits := len(renamed.keys() & own)) > most:
            best, most = renamed, fits
        heads = {name.partition(".")[0] for name in state}
        if len(heads) != 1 or not all("." in name for name in state):
            return best
        state = {name.partition(".")[2]: tensor for name, tensor in state.items()}


def load_strictly(module, state, complaint, optional=""):
    """Load a state dict of our names. Counters of batch norms, which nothing here reads, may be missing or left over.

    Args:
        complaint: beginning of the message. optional: pattern of names that `state` may lack.
    Returns:
        the optional names that it lacks.
    Raises:
        ValueError: lists missing, surplus and mis-shaped tensors.
    """
    left, faults = misfits(module, state, optional)
    if faults:
        listed = "; ".join(f"{kind}: {some(names)}" for kind, names in faults.items())
        raise ValueError(f"{complaint}: {listed}")
    module.load_state_dict(state, strict=False)
    return left


def misfits(module, state, optional=""):
    """What keeps a state dict of our names from fitting a module; nothing is loaded. Arguments as for `load_strictly`.

    Returns:
        (the optional names that it lacks, dict "missing", "surplus", "of another shape" -> names, sorted; empty where it fits).
    """
    own = module.state_dict()
    missing, surplus = (
        sorted(name for name in names if not name.endswith("num_batches_tracked"))
        for names in (own.keys() - state.keys(), state.keys() - own.keys())
    )
    left = [name for name in missing if re.fullmatch(optional, name)]
    faults = {
        "missing": [name for name in missing if name not in left],
        "surplus": surplus,
        "of another shape": [
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            for name in own.keys() & state.keys()
            if state[name].shape != own[name].shape
        ],
    }
    return left, {kind: sorted(names) for kind, names in faults.items() if names}


def some(names, limit=6):
    """The first few names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
