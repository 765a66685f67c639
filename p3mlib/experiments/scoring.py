"""Weights on a set of images, under one protocol: a table for each that grows image by image."""

import contextlib
import glob
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from p3mlib import io
from p3mlib.bars import tqdm
from p3mlib.data import datasets
from p3mlib.data.pictures import Pictures, Silhouettes, open_pictures
from p3mlib.experiments import processes
from p3mlib.experiments.cluster import side_by_side
from p3mlib.experiments.evaluate import evaluate, silhouette, trimap_of, whole_image
from p3mlib.experiments.predict import make_folder, on_device
from p3mlib.experiments.rows import Rows
from p3mlib.metrics import METRICS
from p3mlib.models import fast, predict
from p3mlib.models.weights import fingerprint, load, ratio_for, strategy_and_ratio

_METRICS = {"mattes": (*METRICS, "megapixels"), "masks": ("IoU", "Recall", "SAD-Out", "megapixels")}
_SHAPE = (512, 512)  # that shows whether a network has a size rule of its own


@dataclass(frozen=True)
class Protocol:
    """How a number came about.

    Attributes:
        images:    the set and its domain, or the folder. strategy: "resize", "hybrid", or "own" for the network's own size rule.
        ratio:     of the image's side; None: 512 px on the longer side. resizing: see `inference.resize`.
        smallest:  see `inference.predict`. eight_bit: predictions are truncated to 8 bits.
        score:     "mattes" (`evaluate.whole_image`) or "masks" (`evaluate.silhouette`).
    """

    images: str
    strategy: str
    ratio: float | None
    resizing: str
    smallest: int
    eight_bit: bool
    score: str

    def sentence(self, portraits):
        """What stands beside the numbers, for these Portraits."""
        size = f"ratio {self.ratio:g}" if self.ratio else "512 px on the longer side"
        size = "the network's own size rule" if self.strategy == "own" else f"{self.strategy.upper()}, {size}"
        size += f", a shorter side below {self.smallest} px enlarged to it" * bool(self.smallest)
        stored = sum("trimap" in portraits.paths(i) for i in range(len(portraits)))
        trimaps = "stored" if stored == len(portraits) else f"stored for {stored}, else made" if stored else "made"
        areas = f"trimaps {trimaps}" + " from the matte with a kernel of 1.9% of the side" * (stored < len(portraits))
        if self.score == "masks":
            areas = "SAD-Out outside a band around the contour of 1.9% of the side; IoU and Recall at 0.5, higher is better"
        kind = "synthetic " if portraits.synthetic else ""
        numbers = "truncated to 8 bits" if self.eight_bit else "not rounded"
        count = f"{len(portraits)} {kind}image{'s' * (len(portraits) != 1)}"
        return f"{self.images}, {count}: {size}, {self.resizing} resizing, predictions {numbers}, {areas}"


@dataclass(frozen=True)
class Scored:
    """Weights that were scored.

    Attributes:
        label: short name of the weights. protocol: Protocol. path: of the CSV file.
        errors: DataFrame indexed by name, in the order of the images; columns the metrics and `megapixels`.
        failed: dict path of an image -> why it has no row.
    """

    label: str
    protocol: Protocol
    path: Path
    errors: pd.DataFrame
    failed: dict


def open_images(name=None, domain=None, root=None, images=None, mattes=None, binary=False, limit=None, shard=None):
    """The images to score: a set in a real layout, or two folders.

    Args:
        name, root: see `datasets.open_dataset`. domain: None is B where the set has blurred images, else N.
        images, mattes, binary: see `pictures.open_pictures`, where `name` is None. limit: only the first so many.
        shard: "2/8" is every eighth of these from the second on; None all.
    """
    if name is None:
        portraits = open_pictures(images, mattes, binary, limit)
    else:
        layout = datasets.LAYOUTS.get(name)
        portraits = datasets.open_dataset(name, root, domain or ("B" if layout and "B" in layout.images else "N"), limit)
    number, count = map(int, (shard or "1/1").split("/"))
    return portraits[number - 1 :: count]


def score_weights(
    weights,
    portraits,
    folder,
    strategy=None,
    ratio=None,
    resizing=None,
    eight_bit=False,
    jobs=1,
    device=None,
    shard=None,
    progress=True,
):
    """Score one set of weights on every image, or on those that `folder` has no row of yet.

    The table (`rows.Rows`) is `<label>.<images>.<key>.csv`; the key hashes weights and protocol, so that rows of others are never
    mixed in. A row is kept as long as its files hold the same bytes.

    Args:
        weights: see `weights.load`. portraits: of `open_images`. folder: made when missing.
        strategy, ratio: see `weights.strategy_and_ratio`. resizing: see `inference.resize`; None: the network's own, else
            "legacy". eight_bit: see `evaluate.truncated`.
        jobs: processes that predict and score side by side, each with a copy of the network. device: see `predict.on_device`.
        shard: that of `portraits`, which gets a table of its own, so that machines can share a set. None takes over what shards
            have scored, once none of them is at work, and scores the rest.
    Returns:
        Scored. Its table is, image by image, what an uninterrupted call writes.
    Raises:
        ValueError, OSError: what `weights.load` raises; no such device; a network with another resizing of its own; the folder
        cannot be made.
    """
    make_folder(folder)
    model = on_device(load(weights), device)
    protocol = _protocol(model, portraits, strategy, ratio, resizing, eight_bit)
    key = hashlib.sha256(repr((fingerprint(model), asdict(protocol))).encode()).hexdigest()[:12]
    label = label_of(weights)
    stem = f"{label}.{_plain(protocol.images)}.{key}"
    path = Path(folder) / (f"{stem}.{shard.replace('/', 'of')}.csv" if shard else f"{stem}.csv")
    about = {"weights": os.fspath(weights), "fingerprint": fingerprint(model), **asdict(protocol)}
    io.write_text(path.with_suffix(".json"), json.dumps(about, indent=1))
    with processes.locked(path.with_suffix(".lock")):
        table = Rows(path, _METRICS[protocol.score], key)
        for other in () if shard else sorted(Path(folder).glob(f"{glob.escape(stem)}.*of*.csv")):
            with processes.locked(other.with_suffix(".lock")):
                table.adopt(Rows(other, _METRICS[protocol.score], key))
        failed = _fill(table, model, portraits, protocol, weights, jobs, device, f"score {label}", progress)
    names = [io.printable(name) for name in portraits.names]
    return Scored(label, protocol, path, table.frame([name for name in names if name in table.rows]), failed)


def label_of(weights):
    """A short name of weights for files and tables: the run, or the checkpoint with its network's name where that is given."""
    network, colon, file = os.fspath(weights).partition(":")
    path = Path(file if colon else weights).absolute()
    path = path.parent if path.name in ("model.safetensors", "config.json") else path
    name = re.sub(r"\.(pth|pt|ckpt|safetensors|bin|tar)$", "", path.name)
    return _plain(f"{network}-{name}" if colon else name)


def _plain(text):
    return re.sub(r"[^\w.+-]+", "-", text)[:80]


def _protocol(model, portraits, strategy, ratio, resizing, eight_bit):
    own, samples = model.input_size(*_SHAPE, _SHAPE[0]) is not None, isinstance(portraits, Pictures)
    strategy, ratio = strategy_and_ratio(model, strategy, ratio, samples)
    strategy, ratio = ("own", None) if own else (strategy, ratio)
    smallest = 0 if own or not (samples or portraits.name == "RWP") else model.smallest_side
    images = portraits.name if samples else f"{portraits.name} {portraits.domain}"
    score = "masks" if isinstance(portraits, Silhouettes) else "mattes"
    if resizing and model.resizing not in (None, resizing):
        raise ValueError(f"--resizing {resizing}: {type(model).__name__} has its own, {model.resizing}; leave the option out")
    return Protocol(images, strategy, ratio, model.resizing or resizing or "legacy", smallest, eight_bit, score)


def _fill(table, model, portraits, protocol, weights, jobs, device, title, progress):
    """Score what the table lacks; returns dict path -> why not."""
    states = [_state(portraits.paths(i)) for i in range(len(portraits))]
    names, failed = [io.printable(name) for name in portraits.names], {}
    todo = [i for i, name in enumerate(names) if table.state(name) != states[i]]
    if not todo:
        return failed
    if min(jobs, len(todo)) > 1:
        given = weights, device, portraits, protocol, max(1, (os.cpu_count() or 1) // jobs)
        results = ((i, found if error is None else io.reason(error)) for i, found, error in side_by_side(_one, todo, jobs, given))
    else:
        score = _Scorer(model, portraits, protocol)
        results = ((i, score(i)) for i in todo)
    with tqdm(total=len(names), initial=len(names) - len(todo), desc=title, unit="image", disable=not progress) as bar:
        for i, result in results:
            if isinstance(result, str):
                failed[portraits.paths(i)["image"]] = result
                table.rows.pop(names[i], None)
            else:
                table.append(names[i], states[i], result)
            bar.update()
    table.sort()
    return failed


def _state(paths):
    """Short hex over the contents of an image's files: part -> path. One that cannot be read is the scorer's to name."""
    parts = []
    for part, path in sorted(paths.items()):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            parts.append((part, hashlib.file_digest(file, "sha256").hexdigest()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class _Scorer:
    """Index of an image -> dict of its errors, or in a str why there are none."""

    def __init__(self, model, portraits, protocol):
        self.model, self.portraits, self.protocol = fast(model), portraits, protocol

    def __call__(self, i):
        how = self.protocol
        score = {"mattes": whole_image, "masks": silhouette}[how.score]
        try:
            one = evaluate(self._alpha, self.portraits[i : i + 1], score, eight_bit=how.eight_bit, progress=False)
        except Exception as error:  # of this one image, whatever it is: the others go on
            path = self.portraits.paths(i)["image"]
            return io.reason(error, path).removeprefix(f"{io.printable(path)}: ")
        return one.iloc[0].to_dict()

    def _alpha(self, sample):
        how, trimap = self.protocol, trimap_of(sample) if self.model.channels == 4 else None
        strategy = "resize" if how.strategy == "own" else how.strategy
        ratio = ratio_for(sample["alpha"].shape, how.ratio)
        return predict(self.model, sample["image"], strategy, ratio, how.resizing, how.smallest, trimap=trimap)


_own = {}  # of a process that scores for one call: its _Scorer


def _one(i, given):
    weights, device, portraits, protocol, threads = given
    torch.set_num_threads(threads)
    if "scorer" not in _own:
        _own["scorer"] = _Scorer(on_device(load(weights), device), portraits, protocol)
    return _own["scorer"](i)
