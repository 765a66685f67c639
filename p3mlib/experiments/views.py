"""Views of a training set: which image is seen when, how it is cut, and by how many processes it is loaded."""

import logging
import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset, default_collate

from p3mlib import paths
from p3mlib.data.augment import LAYERS, random_view
from p3mlib.data.photo import photo_view
from p3mlib.data.places import Places

_SHARED = Path("/dev/shm")  # through which loader processes hand batches over


class TrainingViews(Dataset):
    """Random views of a training set. Every draw depends on (seed, epoch, index) alone, so an interrupted training sees
    the same views as one that ran through.

    Args:
        portraits: sequence of samples (see `datasets.Portraits`).
        config:    TrainConfig. seed: of the experiment.
        sources:   copy_paste.SourceFaces; batches then also hold `paste`, and the portraits need face masks.
    """

    def __init__(self, portraits, config, seed, sources=None):
        self.portraits, self.config, self.seed, self.epoch, self.sources = portraits, config, seed, 0, sources
        self.layers = LAYERS if sources is None else (*LAYERS, "facemask")
        self.places = Places(paths.places()) if config.ingredients else None

    def __len__(self):
        return len(self.portraits)

    def __getitem__(self, index):
        item = int(_order(self.seed, self.epoch, len(self))[index])
        rng = np.random.default_rng([self.seed, self.epoch, index])
        view = self._view(self._needed(item), rng)
        return view if self.sources is None else {**view, "index": index}

    def _view(self, sample, rng):
        config = self.config
        if self.places is None:
            return random_view(sample, config.crop_sides, config.size, config.trimap_kernel, rng)
        return photo_view(sample, config.size, self.places, config.ingredients, config.trimap_kernel, rng)

    def _needed(self, item):
        if self.places is None and hasattr(self.portraits, "windows"):
            sample = self.portraits.windows(item, self.layers)
        else:
            sample = self.portraits[item]
        if self.sources is not None and "facemask" not in sample:
            raise ValueError(f"{sample['name']}: no face mask, and copy and paste needs them for all training images")
        return {key: sample[key] for key in self.layers if key in sample}

    def collate(self, views):
        """Batch of views; with sources also `paste`, what `copy_paste.SourceFaces.draw` gives, where a target takes part."""
        batch = default_collate(views)
        if self.sources is not None:
            first = int(batch.pop("index")[0])
            start = first % self.config.batch_size  # of this process's part in the batch that all of them share
            rng = np.random.default_rng([self.seed, self.epoch, first - start, 1])
            paste = self.sources.draw(batch["image"], batch.pop("facemask"), rng, start, self.config.batch_size)
            batch |= {"paste": paste} if paste else {}
        return batch


@lru_cache(maxsize=1)
def _order(seed, epoch, count):
    """The images of an epoch in the order in which they are seen, drawn once: a million take 58 ms."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def loader_processes(views):
    """Loader processes: as configured, or none, with a warning, where shared memory is too small for their batches."""
    workers = views.config.workers
    if not workers or not _SHARED.is_dir():
        return workers
    batch = views.config.batch_size * sum(value.nbytes for value in views[0].values() if hasattr(value, "nbytes"))
    needed = 4 * workers * batch  # each has two batches under way, collated and in parts
    free = shutil.disk_usage(_SHARED).free
    if needed <= free:
        return workers
    logging.getLogger(__name__).warning(
        "%s has %d MB free and %d loader processes may need %d MB: data is loaded in the training's own process; "
        "a container gets more by --shm-size", _SHARED, free >> 20, workers, needed >> 20
    )  # fmt: skip
    return 0
