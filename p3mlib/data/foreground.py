"""Foreground and background colours for a real P3M-10k folder: the release lacks them, composition losses need them."""

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pymatting

from p3mlib import io
from p3mlib.bars import tqdm
from p3mlib.data import datasets


def write_layers(root, jobs=None, limit=None, progress=True):
    """Estimate `fg` and `bg` of the training set from its blurred images and mattes, as PNG beside them.

    What is there is kept, so an interrupted call goes on where it stopped; both files of an image are written atomically.

    Args:
        root:  P3M-10k folder. jobs: processes; None means one per CPU. limit: only the first so many images.
    Returns:
        dict name -> reason of images that could not be done; all others have both layers.
    Raises:
        datasets.MissingData: no training images or mattes.
    Source:
        multi-level foreground estimation (Germer et al. 2020) through pymatting.
    """
    portraits = datasets.open_dataset("train", root, "B", limit=limit)
    folder = Path(root) / datasets.LAYOUTS["train"].folder
    todo = []
    for i, name in enumerate(portraits.names):
        paths = portraits.paths(i)
        targets = {layer: folder / layer / f"{name}.png" for layer in ("fg", "bg") if layer not in paths}
        if targets:
            todo.append((paths["image"], paths["alpha"], targets))
    failed = {}
    bar = tqdm(total=len(todo), desc="fg and bg", unit="image", disable=not progress)
    workers = min(jobs or os.cpu_count() or 1, max(1, len(todo)))
    with bar, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        tasks = {pool.submit(_write, *job): job for job in todo}
        try:
            for task in as_completed(tasks):
                try:
                    task.result()
                except Exception as error:  # of this one image, whatever it is: the others go on
                    failed[tasks[task][0].stem] = io.reason(error, tasks[task][0])
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)
    return failed


def _write(image_path, alpha_path, targets):
    image, alpha = io.read_image(image_path), io.read_matte(alpha_path)
    if image.shape[:2] != alpha.shape:
        raise io.DamagedFile(f"{alpha_path}: matte of {alpha.shape}, its image is {image.shape[:2]}; fetch both again")
    fg, bg = pymatting.estimate_foreground_ml(image.astype(np.float64), alpha.astype(np.float64), return_background=True)
    for layer, path in targets.items():
        io.write_image(path, np.clip({"fg": fg, "bg": bg}[layer], 0, 1).astype(np.float32))
